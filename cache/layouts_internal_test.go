package cache

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"
	"unsafe"
)

// TestLayoutSizes pins what a million entries pay for beside their values.
func TestLayoutSizes(t *testing.T) {
	if unsafe.Sizeof(uintptr(0)) != 8 {
		t.Skip("sizes are for 64 bits")
	}
	for _, l := range []struct {
		name      string
		got, most uintptr
	}{
		{"plain", unsafe.Sizeof(plainOf[*int]{}), 24},
		{"tagged", unsafe.Sizeof(taggedOf[*int]{}), 48},
		{"windowed", unsafe.Sizeof(windowedOf[*int]{}), 64},
	} {
		if l.got > l.most {
			t.Errorf("a %s item with a pointer takes %d bytes; want at most %d", l.name, l.got, l.most)
		}
	}
}

// TestLayoutsHold: each layout gives back its value, its tags and its marks.
func TestLayoutsHold(t *testing.T) {
	type odd struct {
		s string
		b byte
	}
	for _, s := range []Strategy[odd]{
		{Name: "plain"},
		{Name: "tagged", Tags: []string{"t"}},
		{Name: "windowed", StaleIfError: time.Hour},
		{Name: "full", Idle: time.Hour, Tags: []string{"t"}},
	} {
		c, err := New(Options{})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		v, err := Add(c, s)
		if err != nil {
			t.Fatal(err)
		}
		for _, tags := range []int{0, 1, tagsMax, tagsMax + 10} {
			want := odd{fmt.Sprint(s.Name, tags), byte(tags)}
			load := func(_ context.Context, e *Entry[odd]) (odd, error) {
				for i := range tags {
					e.DependsOn(fmt.Sprint("own", i))
				}
				return want, nil
			}
			key := fmt.Sprint(tags)
			_, _ = v.Load(t.Context(), key, load)
			if got, ok := v.Get(t.Context(), key); !ok || got != want {
				t.Errorf("%s with %d tags: Get = %v, %v; want %v", s.Name, tags, got, ok, want)
			}
			it, _ := c.engine.Get(v.key(key))
			if n := len(it.tags()); n != tags+len(s.Tags) {
				t.Errorf("%s: %d tags; want %d", s.Name, n, tags+len(s.Tags))
			}
			if tags > 0 {
				_ = c.DeleteTag(t.Context(), fmt.Sprint("own", tags-1))
				if _, ok := v.Get(t.Context(), key); ok {
					t.Errorf("%s: a hit after DeleteTag of the last of %d tags", s.Name, tags)
				}
			}
		}
	}
}

// TestHugeValue: no engine is given what an item cannot count.
func TestHugeValue(t *testing.T) {
	c, err := New(Options{MaxBytes: 64 << 30})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	v, err := Add(c, Strategy[int64]{Name: "s", SizeOf: func(n int64) int64 { return n }})
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range []int64{4 << 30, 1<<63 - 1} {
		_ = v.Set(t.Context(), "k", 1)
		if err := v.Set(t.Context(), "k", n); !errors.Is(err, ErrTooLarge) {
			t.Errorf("Set of %d bytes = %v; want ErrTooLarge", n, err)
		}
	}
	if st := v.Stats(); st.Bytes != 0 || st.Entries != 0 {
		t.Errorf("Stats() = %+v; want nothing held", st)
	}
}

// TestBusyExpiry: hits that do not read the clock do not outlive the TTL.
func TestBusyExpiry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, err := New(Options{SweepInterval: -1})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		v, err := Add(c, Strategy[int]{Name: "s", TTL: 3 * time.Second, Jitter: -1})
		if err != nil {
			t.Fatal(err)
		}
		_ = v.Set(t.Context(), "k", 1)
		kept := false
		for at := time.Duration(0); at < 5*time.Second; at += 5 * time.Millisecond {
			if _, ok := v.Get(t.Context(), "k"); ok != (at < 3*time.Second) {
				t.Fatalf("Get after %v = %v", at, ok)
			}
			kept = kept || c.clock.moment.Load() != 0
			time.Sleep(5 * time.Millisecond)
		}
		if !kept {
			t.Error("the clock was read at each hit")
		}
		time.Sleep(2 * clockTick * clockTicks)
		if c.clock.moment.Load() != 0 {
			t.Error("the timer runs on although nobody reads")
		}
	})
}

// BenchmarkHooksOff is what nil hooks cost a write or a load; a hit has no hook.
func BenchmarkHooksOff(b *testing.B) {
	c, err := New(Options{})
	if err != nil {
		b.Fatal(err)
	}
	defer c.Close()
	v, err := Add(c, Strategy[int]{Name: "s"})
	if err != nil {
		b.Fatal(err)
	}
	cl := &call{core: v.core}
	keys := []string{"k"}
	b.Run("hook=Load", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			v.tellLoad(cl, keys, LoadEvent{})
		}
	})
	b.Run("hook=Evict", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			c.tellEvictions()
		}
	})
}

// TestClockStops: Close ends the keeping of the moment, and nothing starts it again.
func TestClockStops(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, err := New(Options{})
		if err != nil {
			t.Fatal(err)
		}
		v, err := Add(c, Strategy[int]{Name: "s"})
		if err != nil {
			t.Fatal(err)
		}
		_ = v.Set(t.Context(), "k", 1)
		for range 1000 {
			v.Get(t.Context(), "k")
		}
		if c.clock.moment.Load() == 0 {
			t.Fatal("no moment is kept")
		}
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
		if c.clock.moment.Load() != 0 || c.clock.timer.Stop() {
			t.Error("the timer runs on after Close")
		}
		c.clock.running.Store(false)
		c.clock.keep(c)
		if c.clock.moment.Load() != 0 || c.clock.timer.Stop() {
			t.Error("a late hit started the timer again after Close")
		}
	})
}
