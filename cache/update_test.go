package cache_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/perfblocks/perfblocks/cache"
)

// with returns an fn for Update that adds x.
func with(x int) func([]int) ([]int, bool) {
	return func(old []int) ([]int, bool) {
		if slices.Contains(old, x) {
			return old, true
		}
		return append(slices.Clip(old), x), true
	}
}

// TestUpdate: what a Load finds after an Update, and how often it had to be loaded.
func TestUpdate(t *testing.T) {
	ctx := t.Context()
	for _, x := range []struct {
		name   string
		s      cache.Strategy[[]int]
		before func(c *cache.Cache, v *cache.View[[]int]) error
		fn     func([]int) ([]int, bool)
		after  func(c *cache.Cache, v *cache.View[[]int]) error
		loads  int
	}{
		{name: "fresh", fn: with(2), loads: 1},
		{name: "packed", s: cache.Strategy[[]int]{Codec: cache.JSON[[]int](), Compression: cache.Zstd}, fn: with(2), loads: 1},
		{name: "cloned", s: cache.Strategy[[]int]{Clone: slices.Clone[[]int]}, fn: with(2), loads: 1},
		{name: "refused", fn: func(old []int) ([]int, bool) { return nil, false }, loads: 2},
		{name: "deleted", before: func(_ *cache.Cache, v *cache.View[[]int]) error { return v.Delete(ctx, "k") }, fn: with(2), loads: 2},
		{name: "expired", s: cache.Strategy[[]int]{StaleWhileRevalidate: time.Hour}, fn: with(2), loads: 2,
			before: func(_ *cache.Cache, v *cache.View[[]int]) error { return v.Expire(ctx, "k") }},
		{name: "its tag before", before: func(c *cache.Cache, _ *cache.View[[]int]) error { return c.DeleteTag(ctx, "tag") }, fn: with(2), loads: 2},
		{name: "its tag after", fn: with(2), after: func(c *cache.Cache, _ *cache.View[[]int]) error { return c.DeleteTag(ctx, "tag") }, loads: 2},
		{name: "its strategy's tag after", s: cache.Strategy[[]int]{Tags: []string{"all"}}, fn: with(2), loads: 2,
			after: func(c *cache.Cache, _ *cache.View[[]int]) error { return c.DeleteTag(ctx, "all") }},
	} {
		t.Run(x.name, func(t *testing.T) {
			c := newCache(t, cache.Options{})
			x.s.Name = "s"
			v := add(t, c, x.s)
			db, loads := slices.Repeat([]int{1}, 500), 0
			load := func(_ context.Context, e *cache.Entry[[]int]) ([]int, error) {
				loads++
				e.DependsOn("tag")
				return slices.Clone(db), nil
			}
			first, err := v.Load(ctx, "k", load)
			if err == nil && x.before != nil {
				err = x.before(c, v)
			}
			db = append(db, 2)
			if err := errors.Join(err, v.Update(ctx, "k", x.fn)); err != nil {
				t.Fatal(err)
			}
			if x.after != nil {
				err = x.after(c, v)
			}
			got, e := v.Load(ctx, "k", load)
			if err = errors.Join(err, e); err != nil || !slices.Equal(got, db) || loads != x.loads {
				t.Errorf("after Update: %v… of %d, %v, after %d loads; want %d values after %d", got[:1], len(got), err, loads, len(db), x.loads)
			}
			if len(first) != 500 {
				t.Errorf("what was read before has %d values now", len(first))
			}
		})
	}
}

// TestUpdateKeepsTheEnd: an Update does not make an entry live longer.
func TestUpdateKeepsTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCache(t, cache.Options{})
		for name, s := range map[string]cache.Strategy[int]{"plain": {}, "windowed": {StaleIfError: time.Hour}, "full": {Idle: 10 * time.Minute}} {
			s.Name, s.TTL = name, time.Minute
			v := add(t, c, s)
			mustLoad(t, v, "k", constant(1, new(int)), 1)
			time.Sleep(45 * time.Second)
			if err := v.Update(t.Context(), "k", func(old int) (int, bool) { return old + 1, true }); err != nil {
				t.Fatal(err)
			}
			if got, ok := v.Get(t.Context(), "k"); got != 2 || !ok {
				t.Errorf("%s: Get = %d, %t; want 2", name, got, ok)
			}
			time.Sleep(15 * time.Second)
			if got, ok := v.Get(t.Context(), "k"); ok {
				t.Errorf("%s: Get after the TTL = %d; want a miss", name, got)
			}
		}
		_ = c.Close()
	})
}

// TestUpdateOfWhatIsLoading: a load that began before the change is not stored, and
// what was built from the entry goes.
func TestUpdateOfWhatIsLoading(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCache(t, cache.Options{})
		v, outer := add(t, c, cache.Strategy[int]{Name: "s"}), add(t, c, cache.Strategy[int]{Name: "outer"})
		hold := make(chan struct{})
		var db atomic.Int64
		slow := func(context.Context, *cache.Entry[int]) (int, error) {
			read := int(db.Load())
			<-hold
			return read, nil
		}
		go func() { _, _ = v.Load(context.Background(), "k", slow) }()
		synctest.Wait()
		db.Store(1)
		if err := v.Update(t.Context(), "k", func(int) (int, bool) { t.Error("there is no value"); return 9, true }); err != nil {
			t.Fatal(err)
		}
		close(hold)
		synctest.Wait()
		around := func(ctx context.Context, _ *cache.Entry[int]) (int, error) { return v.Load(ctx, "k", slow) }
		mustLoad(t, outer, "k", around, 1)
		db.Store(2)
		_ = v.Update(t.Context(), "k", func(int) (int, bool) { return 2, true })
		mustLoad(t, outer, "k", around, 2)
		_ = c.Close()
	})
}

// TestUpdateWithRemote: another node may change the same value at the same time, so
// both nodes load it anew.
func TestUpdateWithRemote(t *testing.T) {
	r := newFakeRemote()
	for range 2 {
		c := newCache(t, cache.Options{Remote: r})
		v := add(t, c, cache.Strategy[int]{Name: "s", Codec: cache.JSON[int]()})
		mustLoad(t, v, "k", constant(1, new(int)), 1)
		if err := v.Update(t.Context(), "k", func(int) (int, bool) { t.Error("fn ran"); return 9, true }); err != nil {
			t.Fatal(err)
		}
		mustLoad(t, v, "k", constant(2, new(int)), 2)
		_ = v.Delete(t.Context(), "k")
	}
}

func TestUpdatePanics(t *testing.T) {
	c := newCache(t, cache.Options{})
	v := add(t, c, cache.Strategy[int]{Name: "s"})
	mustLoad(t, v, "k", constant(1, new(int)), 1)
	err := v.Update(t.Context(), "k", func(int) (int, bool) { panic("x") })
	if _, ok := errors.AsType[*cache.PanicError](err); !ok {
		t.Errorf("Update = %v; want a PanicError", err)
	}
	if got, ok := v.Get(t.Context(), "k"); ok {
		t.Errorf("Get after the panic = %d; want a miss", got)
	}
	_ = c.Close()
	if err := v.Update(t.Context(), "k", func(int) (int, bool) { return 1, true }); !errors.Is(err, cache.ErrClosed) {
		t.Errorf("Update after Close = %v; want ErrClosed", err)
	}
}

// TestUpdateRaces: writers change a list and update it, others read, load anew,
// invalidate and evict it. Whoever has written finds it in what is read next, and so
// does everybody who begins to read after that.
func TestUpdateRaces(t *testing.T) {
	c := newCache(t, cache.Options{MaxEntries: 4})
	v := add(t, c, cache.Strategy[[]int]{Name: "s"})
	var mu sync.Mutex
	var db []int                     // guarded by mu
	acked := make([]atomic.Int64, 4) // the last of each writer's numbers that is written
	load := func(_ context.Context, e *cache.Entry[[]int]) ([]int, error) {
		e.DependsOn("tag")
		mu.Lock()
		defer mu.Unlock()
		return slices.Clone(db), nil
	}
	read := func() {
		want := make([]int64, len(acked))
		for w := range acked {
			want[w] = acked[w].Load()
		}
		got, err := v.Load(context.Background(), "k", load)
		if err != nil {
			t.Error(err)
		}
		for _, x := range want {
			if x != 0 && !slices.Contains(got, int(x)) {
				t.Errorf("read lacks %d, which was written before", x)
			}
		}
	}
	var writers, others sync.WaitGroup
	stop := make(chan struct{})
	for w := range acked {
		writers.Go(func() {
			for i := 1; i <= 300; i++ {
				x := i*len(acked) + w
				mu.Lock()
				db = append(db, x)
				mu.Unlock()
				if err := v.Update(context.Background(), "k", with(x)); err != nil {
					t.Error(err)
				}
				acked[w].Store(int64(x))
				read()
			}
		})
	}
	for o := range 3 {
		others.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				default:
				}
				switch {
				case o == 0 && i%50 == 0:
					_ = c.DeleteTag(context.Background(), "tag")
				case o == 1 && i%50 == 0:
					for _, k := range []string{"a", "b", "c", "d", "e"} {
						_ = v.Set(context.Background(), k, nil)
					}
				}
				read()
			}
		})
	}
	writers.Wait()
	close(stop)
	others.Wait()
	if st := v.Stats(); st.Replaced == 0 || st.Loads == 0 {
		t.Errorf("Stats = %+v; want some values replaced and some loaded", st)
	}
}
