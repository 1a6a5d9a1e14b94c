package cache_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/perfblocks/perfblocks/cache"
	"github.com/perfblocks/perfblocks/cache/cachetest"
)

func TestDefaultEngineConforms(t *testing.T) { cachetest.Run(t, cache.NewLFU) }

func TestOtterConforms(t *testing.T) { cachetest.Run(t, cache.NewOtter) }

func TestBoundHolds(t *testing.T) {
	const bound = 4 << 20
	c := newCache(t, cache.Options{MaxBytes: bound})
	v := add(t, c, cache.Strategy[[]byte]{Name: "s"})
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			for i := range 2000 {
				if err := v.Set(context.Background(), fmt.Sprint(g, "-", i%700), make([]byte, 100+i*7%9000)); err != nil {
					t.Error(err)
				}
				if b := c.Stats().Bytes; i%100 == 0 && b > bound+1<<20 {
					t.Errorf("Bytes = %d while writing; bound %d", b, bound)
				}
			}
		})
	}
	wg.Wait()
	st := c.Stats()
	if st.Bytes > bound || st.Bytes < bound/2 {
		t.Errorf("Bytes = %d; want at most %d and at least half of it", st.Bytes, bound)
	}
	if st.Entries != int64(v.Len()) || st.Evictions == 0 {
		t.Errorf("Stats() = %+v, Len() = %d", st, v.Len())
	}
	n, bytes := 0, 0
	for _, val := range v.All() {
		n++
		bytes += len(val)
	}
	if n != v.Len() || int64(bytes) > st.Bytes {
		t.Errorf("All() yields %d entries of %d bytes; Len() = %d, Bytes = %d", n, bytes, v.Len(), st.Bytes)
	}
}

func TestMaxEntries(t *testing.T) {
	for _, o := range []cache.Options{{MaxEntries: 10}, {MaxEntries: 10, MaxBytes: 1 << 20}, {MaxEntries: 1}} {
		c := newCache(t, o)
		v := add(t, c, cache.Strategy[int]{Name: "s"})
		for i := range 1000 {
			k := fmt.Sprint(i)
			if err := v.Set(t.Context(), k, i); err != nil {
				t.Fatal(err)
			}
			wantHit(t, v, k) // Set is readable when it returns
			if n := v.Len(); n > o.MaxEntries {
				t.Fatalf("%+v: Len() = %d", o, n)
			}
		}
	}
}

// TestNewcomerIsReadable: a value that is large beside a full, hot cache enters at
// once, although the engine's policy would refuse it.
func TestNewcomerIsReadable(t *testing.T) {
	var evicted int
	c := newCache(t, cache.Options{MaxBytes: 1 << 20, Hooks: cache.Hooks{Evict: func(e cache.EvictEvent) {
		evicted++
		if e.Strategy != "s" || e.Key == "" || e.Bytes <= 0 {
			t.Errorf("event %+v", e)
		}
	}}})
	v := add(t, c, cache.Strategy[[]byte]{Name: "s"})
	ctx := t.Context()
	for i := range 1000 {
		_ = v.Set(ctx, fmt.Sprint(i), make([]byte, 1000))
	}
	for range 20 {
		for i := range 1000 {
			v.Get(ctx, fmt.Sprint(i))
		}
	}
	for _, size := range []int{20_000, 200_000, 900_000} {
		for i := range 10 {
			k := fmt.Sprint("big", size, i)
			if err := v.Set(ctx, k, make([]byte, size)); err != nil {
				t.Fatalf("Set of %d bytes: %v", size, err)
			}
			if _, ok := v.Get(ctx, k); !ok {
				t.Errorf("Get after Set of %d bytes missed", size)
			}
		}
	}
	if evicted == 0 || uint64(evicted) != c.Stats().Evictions {
		t.Errorf("%d events; Stats say %d", evicted, c.Stats().Evictions)
	}
}

func TestTooLarge(t *testing.T) {
	c := newCache(t, cache.Options{MaxBytes: 100_000})
	v := add(t, c, cache.Strategy[[]byte]{Name: "s"})
	_ = v.Set(t.Context(), "k", make([]byte, 10))
	if err := v.Set(t.Context(), "k", make([]byte, 100_000)); !errors.Is(err, cache.ErrTooLarge) {
		t.Errorf("Set error = %v; want ErrTooLarge", err)
	}
	if got, ok := v.Get(t.Context(), "k"); ok {
		t.Errorf("Get after a refused Set = %d bytes; want a miss", len(got))
	}
	got, err := v.Load(t.Context(), "k", func(context.Context, *cache.Entry[[]byte]) ([]byte, error) { return make([]byte, 1<<20), nil })
	if len(got) != 1<<20 || err != nil {
		t.Errorf("Load of a large value = %d bytes, %v", len(got), err)
	}
	if st := c.Stats(); st.Bytes != 0 || st.Entries != 0 {
		t.Errorf("Stats() = %+v; want nothing held", st)
	}
}

func TestShrink(t *testing.T) {
	const bound = 1 << 20
	fill := func(t *testing.T) (*cache.Cache, *cache.View[[]byte]) {
		c := newCache(t, cache.Options{MaxBytes: bound})
		v := add(t, c, cache.Strategy[[]byte]{Name: "s"})
		for i := range 2000 {
			_ = v.Set(t.Context(), fmt.Sprint(i), make([]byte, 1000))
		}
		return c, v
	}
	for _, tc := range []struct{ target, max float64 }{
		{0.5, 0.5}, {0, 0}, {-1, 0}, {1, 1}, {7, 1}, {math.NaN(), 1}, {math.Inf(-1), 0}, {1e-9, 0},
	} {
		c, v := fill(t)
		before := c.Stats().Bytes
		freed := c.Shrink(t.Context(), tc.target)
		after := c.Stats().Bytes
		if freed != before-after || float64(after) > tc.max*bound {
			t.Errorf("Shrink(%v) = %d; %d bytes before, %d after", tc.target, freed, before, after)
		}
		if tc.max == 1 && freed != 0 {
			t.Errorf("Shrink(%v) freed %d", tc.target, freed)
		}
		for i := range 2000 { // the bound is what it was
			_ = v.Set(t.Context(), fmt.Sprint(i), make([]byte, 1000))
		}
		if b := c.Stats().Bytes; b < bound*9/10 {
			t.Errorf("after Shrink(%v) the cache fills to %d only", tc.target, b)
		}
	}
	c, _ := fill(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if n := c.Shrink(ctx, 0); n != 0 {
		t.Errorf("Shrink with an ended ctx = %d", n)
	}
}

// TestShrinkBesideLargeSet: no Set is refused because memory is being given back.
func TestShrinkBesideLargeSet(t *testing.T) {
	c := newCache(t, cache.Options{MaxBytes: 1 << 20})
	v := add(t, c, cache.Strategy[[]byte]{Name: "s"})
	var wg sync.WaitGroup
	wg.Go(func() {
		for range 500 {
			if err := v.Set(context.Background(), "k", make([]byte, 900_000)); err != nil {
				t.Errorf("Set beside Shrink = %v; want nil", err)
				return
			}
		}
	})
	for range 500 {
		c.Shrink(t.Context(), 0.1)
	}
	wg.Wait()
}

func TestSweeper(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCache(t, cache.Options{SweepInterval: time.Minute})
		v := add(t, c, cache.Strategy[int]{Name: "s", TTL: time.Hour})
		for i := range 100 {
			mustLoad(t, v, fmt.Sprint(i), tagged(i, fmt.Sprint("t", i%2)), i)
		}
		_ = c.DeleteTag(t.Context(), "t1")
		if n := v.Len(); n != 100 {
			t.Errorf("Len() = %d before the sweep; want 100", n)
		}
		time.Sleep(time.Minute + time.Second)
		synctest.Wait()
		if st := v.Stats(); v.Len() != 50 || st.Swept != 50 {
			t.Errorf("Len() = %d, Swept = %d after the sweep; want 50, 50", v.Len(), st.Swept)
		}
		time.Sleep(2 * time.Hour)
		synctest.Wait()
		if n := v.Len(); n != 0 {
			t.Errorf("Len() = %d after the TTL; want 0", n)
		}
		_ = v.Set(t.Context(), "again", 1)
		time.Sleep(2 * time.Hour)
		if n := v.Len(); n != 0 {
			t.Errorf("Len() = %d; the sweeper did not come back", n)
		}
		_ = c.Close()
	})
}

// mapEngine is an Engine in twenty lines: it evicts in map order.
type mapEngine struct {
	mu   sync.Mutex
	o    cache.EngineOptions
	m    map[cache.Key]*cache.Item
	used int64
}

func newMapEngine(o cache.EngineOptions) (cache.Engine, error) {
	return &mapEngine{o: o, m: map[cache.Key]*cache.Item{}}, nil
}

func (e *mapEngine) Get(key cache.Key) (*cache.Item, bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	it, ok := e.m[key]
	return it, ok
}

func (e *mapEngine) Set(key cache.Key, it *cache.Item) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if it.Weight() > e.o.MaxWeight {
		return cache.ErrTooLarge
	}
	if old := e.m[key]; old != nil {
		e.used -= old.Weight()
		e.o.OnRemove(old, false)
	}
	delete(e.m, key)
	for k, old := range e.m {
		if e.used+it.Weight() <= e.o.MaxWeight {
			break
		}
		delete(e.m, k)
		e.used -= old.Weight()
		e.o.OnRemove(old, true)
	}
	e.m[key] = it
	e.used += it.Weight()
	return nil
}

func (e *mapEngine) DeleteIf(key cache.Key, it *cache.Item) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.m[key] != it || it == nil {
		return false
	}
	delete(e.m, key)
	e.used -= it.Weight()
	return true
}

func TestOwnEngine(t *testing.T) {
	c := newCache(t, cache.Options{Engine: newMapEngine, MaxEntries: 50})
	v := add(t, c, cache.Strategy[int]{Name: "s"})
	for i := range 1000 {
		mustLoad(t, v, fmt.Sprint(i), tagged(i, "t"), i)
	}
	if st := c.Stats(); st.Entries != 50 || st.Evictions != 950 {
		t.Errorf("Stats() = %+v; want 50 entries, 950 evictions", st)
	}
	_ = c.DeleteTag(t.Context(), "t")
	wantMiss(t, v, "999")
	boom := errors.New("no engine")
	if _, err := cache.New(cache.Options{Engine: func(cache.EngineOptions) (cache.Engine, error) { return nil, boom }}); !errors.Is(err, boom) {
		t.Errorf("New error = %v; want %v", err, boom)
	}
}
