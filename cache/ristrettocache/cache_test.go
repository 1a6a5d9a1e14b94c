package ristrettocache_test

import (
	"context"
	"fmt"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/perfblocks/perfblocks/cache"
	"github.com/perfblocks/perfblocks/cache/ristrettocache"
)

func newCache(t testing.TB, o cache.Options) (*cache.Cache, *cache.View[int]) {
	t.Helper()
	o.Engine = ristrettocache.New
	c, err := cache.New(o)
	if err != nil {
		t.Fatal(err)
	}
	v, err := cache.Add(c, cache.Strategy[int]{Name: "s", TTL: time.Minute, Jitter: -1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c, v
}

// TestCache drives the verbs of a cache over this engine.
func TestCache(t *testing.T) {
	var mu sync.Mutex
	evicted := 0
	c, v := newCache(t, cache.Options{MaxEntries: 100, Hooks: cache.Hooks{Evict: func(cache.EvictEvent) {
		mu.Lock()
		defer mu.Unlock()
		evicted++
	}}})
	ctx := t.Context()
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			for i := range 500 {
				n := (i*7 + g) % 300
				got, err := v.Load(context.Background(), fmt.Sprint(n), func(_ context.Context, e *cache.Entry[int]) (int, error) {
					e.DependsOn(fmt.Sprint("mod", n%2))
					return n, nil
				})
				if got != n || err != nil {
					t.Errorf("Load(%d) = %d, %v", n, got, err)
				}
			}
		})
	}
	wg.Wait()
	if n := v.Len(); n > 100 || n < 90 {
		t.Errorf("Len() = %d; want about 100", n)
	}
	if err := c.DeleteTag(ctx, "mod1"); err != nil {
		t.Fatal(err)
	}
	for k, n := range v.All() {
		if n%2 == 1 {
			t.Errorf("All() yields %s after its tag was deleted", k)
		}
	}
	_ = v.Set(ctx, "k", 1)
	_ = v.Delete(ctx, "k")
	if _, ok := v.Get(ctx, "k"); ok {
		t.Error("Get after Delete hit")
	}
	if freed := c.Shrink(ctx, 0.25); freed <= 0 || v.Len() > 25 {
		t.Errorf("Shrink(0.25) = %d; %d entries are left", freed, v.Len())
	}
	if c.Shrink(ctx, 0); v.Len() != 0 {
		t.Errorf("%d entries after Shrink(0)", v.Len())
	}
	for i := range 200 {
		_ = v.Set(ctx, fmt.Sprint(i), i)
	}
	if n := v.Len(); n < 90 {
		t.Errorf("Len() = %d after Shrink; the bound did not stay", n)
	}
	_ = c.Close()
	st := c.Stats()
	if st.Entries != 0 || st.Bytes != 0 {
		t.Errorf("Stats() = %+v after Close; want nothing held", st)
	}
	if uint64(evicted) != st.Evictions || evicted == 0 {
		t.Errorf("%d evictions were told; Stats say %d", evicted, st.Evictions)
	}
}

// TestMemoryPerEntry prints what an entry costs over either engine. Run it with
//
//	go test -count=1 -v -run TestMemoryPerEntry ./cache/ristrettocache
func TestMemoryPerEntry(t *testing.T) {
	const n = 100_000
	keys := make([]string, n)
	for i := range keys {
		keys[i] = fmt.Sprintf("key-%012d", i)
	}
	perEntry := func(engine func(cache.EngineOptions) (cache.Engine, error)) int64 {
		before := liveHeap()
		c, err := cache.New(cache.Options{MaxEntries: n, Engine: engine})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		v, err := cache.Add(c, cache.Strategy[*int]{Name: "s", TTL: -1})
		if err != nil {
			t.Fatal(err)
		}
		for _, k := range keys {
			if err := v.Set(t.Context(), k, nil); err != nil {
				t.Fatal(err)
			}
		}
		return (liveHeap() - before) / int64(v.Len())
	}
	ours, otters := perEntry(ristrettocache.New), perEntry(cache.NewOtter)
	t.Logf("%d entries without keys and values: ristrettocache %d bytes each, otter %d", n, ours, otters)
	if ours-otters > 400 {
		t.Errorf("an entry costs %d bytes more than over otter; want at most 400", ours-otters)
	}
	runtime.KeepAlive(keys)
}

func liveHeap() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
