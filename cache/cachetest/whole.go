package cachetest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/perfblocks/perfblocks/cache"
)

// over makes a cache over an engine of the factory, with one view.
func over(t *testing.T, b *bench, o cache.Options) (*cache.Cache, *cache.View[int]) {
	t.Helper()
	o.Engine = b.factory
	c, err := cache.New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	v, err := cache.Add(c, cache.Strategy[int]{Name: "s"})
	if err != nil {
		t.Fatal(err)
	}
	return c, v
}

// sweepBesideSet: a sweep that has seen a dead entry does not take the value that was
// set for its key meanwhile.
func sweepBesideSet(t *testing.T, b *bench) {
	c, v := over(t, b, cache.Options{})
	ctx := context.Background()
	for round := range 100 {
		for i := range 20 {
			if _, err := v.Load(ctx, fmt.Sprint(i), func(_ context.Context, e *cache.Entry[int]) (int, error) {
				e.DependsOn("t")
				return -1, nil
			}); err != nil {
				t.Fatal(err)
			}
		}
		if err := c.DeleteTag(ctx, "t"); err != nil {
			t.Fatal(err)
		}
		var wg sync.WaitGroup
		wg.Go(func() { c.Shrink(ctx, 1) }) // sweeps
		for i := range 20 {
			if err := v.Set(ctx, fmt.Sprint(i), round); err != nil {
				t.Fatal(err)
			}
		}
		wg.Wait()
		for i := range 20 {
			if got, ok := v.Get(ctx, fmt.Sprint(i)); !ok || got != round {
				t.Fatalf("Get(%d) after Set beside a sweep = %d, %v; want %d", i, got, ok, round)
			}
		}
		c.Shrink(ctx, 0)
	}
}

// hooksMayCall: the Evict hook is told of each value once, and may use the cache.
func hooksMayCall(t *testing.T, b *bench) {
	ctx := context.Background()
	var mu sync.Mutex
	told := map[string]int{}
	var c *cache.Cache
	var v *cache.View[int]
	c, v = over(t, b, cache.Options{MaxEntries: 50, Hooks: cache.Hooks{Evict: func(ev cache.EvictEvent) {
		mu.Lock()
		told[ev.Key]++
		mu.Unlock()
		v.Get(ctx, ev.Key)
		_ = v.Delete(ctx, ev.Key)
		_ = c.DeleteTag(ctx, "none")
		c.Stats()
	}}})
	const n = 2000
	var wg sync.WaitGroup
	for g := range 4 {
		wg.Go(func() {
			for i := range n / 4 {
				if err := v.Set(ctx, fmt.Sprint(g, "-", i), i); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	c.Shrink(ctx, 0)
	mu.Lock()
	defer mu.Unlock()
	for k, times := range told {
		if times != 1 {
			t.Errorf("the hook was told of %s %d times; want once", k, times)
		}
	}
	if st := c.Stats(); uint64(len(told)) != st.Evictions || st.Entries != 0 || st.Bytes != 0 || len(told) < n-50 {
		t.Errorf("told of %d evictions of %d values; Stats() = %+v", len(told), n, st)
	}
}

// closeBesideAll: Close meets everything else, and neither panics nor hangs.
func closeBesideAll(t *testing.T, b *bench) {
	ctx := context.Background()
	for range 30 {
		c, v := over(t, b, cache.Options{MaxEntries: 100})
		var wg sync.WaitGroup
		start := make(chan struct{})
		for g := range 4 {
			wg.Go(func() {
				<-start
				for i := range 100 {
					k := fmt.Sprint(g*20 + i)
					if err := v.Set(ctx, k, i); err != nil && !errors.Is(err, cache.ErrClosed) {
						t.Errorf("Set beside Close = %v; want nil or ErrClosed", err)
					}
					if _, err := v.Load(ctx, k, func(context.Context, *cache.Entry[int]) (int, error) { return i, nil }); err != nil && !errors.Is(err, cache.ErrClosed) {
						t.Errorf("Load beside Close = %v; want nil or ErrClosed", err)
					}
					_ = c.DeleteTag(ctx, "t")
				}
			})
		}
		wg.Go(func() { <-start; c.Shrink(ctx, 0.5) })
		for range 2 {
			wg.Go(func() {
				<-start
				if err := c.Close(); err != nil {
					t.Errorf("Close() = %v; want nil", err)
				}
			})
		}
		close(start)
		wg.Wait()
		if _, ok := v.Get(ctx, "1"); ok {
			t.Error("Get after Close hit")
		}
	}
}
