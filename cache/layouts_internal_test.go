package cache

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"runtime"
	"testing"
	"testing/synctest"
	"time"
	"unsafe"
)

// TestLayoutSizes pins what a million entries pay for beside their values.
func TestLayoutSizes(t *testing.T) {
	if unsafe.Sizeof(uintptr(0)) != 8 || unsafe.Sizeof(box{}) > 0 {
		t.Skip("sizes are for 64 bits, without the tag perfblocks_safe")
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

// TestLayoutShapes: values of all shapes come back from each layout, whatever the garbage
// collector did meanwhile. The race detector checks the casts.
func TestLayoutShapes(t *testing.T) {
	type padded struct {
		a byte
		p *int
		b byte
		c bool
	}
	shape(t, "zero size", func(int) struct{} { return struct{}{} })
	shape(t, "byte", func(i int) byte { return byte(i) })
	shape(t, "pointer", func(i int) *int { return new(i) })
	shape(t, "string", func(i int) string { return fmt.Sprint("a string on the heap ", i) })
	shape(t, "bytes", func(i int) []byte { return fmt.Append(nil, "bytes on the heap ", i) })
	shape(t, "interface", func(i int) any { return fmt.Sprint("boxed ", i) })
	shape(t, "nil interface", func(int) error { return nil })
	shape(t, "map", func(i int) map[string]*int { return map[string]*int{"k": new(i)} })
	shape(t, "func", func(i int) func() *int { return func() *int { return new(i) } })
	shape(t, "channel", func(i int) chan *int { c := make(chan *int, 1); c <- new(i); return c })
	shape(t, "array of pointers", func(i int) [300]*int { return [300]*int{0: new(i), 299: new(i)} })
	shape(t, "large array", func(i int) [1 << 20]byte { return [1 << 20]byte{1<<20 - 1: byte(i)} })
	shape(t, "array of zero size", func(int) [8]struct{} { return [8]struct{}{} })
	shape(t, "padded", func(i int) *padded { return &padded{a: 1, p: new(i), b: 2, c: true} })
	shape(t, "padded value", func(i int) struct {
		a byte
		p *int
		b byte
		f float64
		c bool
	} {
		return struct {
			a byte
			p *int
			b byte
			f float64
			c bool
		}{1, new(i), 2, 0.5, true}
	})
}

// shape checks that what made returned comes back.
func shape[V any](t *testing.T, name string, made func(int) V) {
	t.Helper()
	print := func(v any) string {
		switch v := v.(type) {
		case [1 << 20]byte:
			return fmt.Sprint(v[1<<20-1])
		case func() *int:
			return fmt.Sprint(*v())
		case chan *int:
			p := <-v
			v <- p
			return fmt.Sprint(*p)
		}
		b, err := json.Marshal(v)
		return fmt.Sprint(string(b), err)
	}
	const n = 8
	for l := layoutPlain; l <= layoutFull; l++ {
		var items [n]*Item
		for i := range items {
			items[i], _ = makeItem(l, kindValue, made(i))
			items[i].attach([]*node{{name: fmt.Sprint(i)}})
		}
		runtime.GC()
		for range 1000 { // what was freed by mistake is overwritten
			_ = fmt.Sprint(name, l)
		}
		for i, it := range items {
			if got, want := print(*held[V](it)), print(made(i)); got != want {
				t.Errorf("%s in layout %d = %.100s; want %.100s", name, l, got, want)
			}
			if tags := it.tags(); l > layoutPlain && (len(tags) != 1 || tags[0].name != fmt.Sprint(i)) {
				t.Errorf("%s in layout %d: tags = %v", name, l, tags)
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
