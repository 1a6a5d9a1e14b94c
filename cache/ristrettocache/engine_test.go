package ristrettocache_test

import (
	"errors"
	"fmt"
	"math"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/perfblocks/perfblocks/cache"
	"github.com/perfblocks/perfblocks/cache/cachetest"
	"github.com/perfblocks/perfblocks/cache/ristrettocache"
)

func TestConforms(t *testing.T) { cachetest.Run(t, ristrettocache.New) }

// engine is what New makes, with the optional methods.
type engine interface {
	cache.Engine
	Range(fn func(cache.Key, *cache.Item) bool)
	EvictTo(weight int64)
	Resize(maxWeight int64)
	Close() error
}

func newEngine(t testing.TB, weight int64, onRemove func(*cache.Item, bool)) engine {
	t.Helper()
	if onRemove == nil {
		onRemove = func(*cache.Item, bool) {}
	}
	e, err := ristrettocache.New(cache.EngineOptions{MaxWeight: weight, OnRemove: onRemove})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = e.(engine).Close() })
	return e.(engine)
}

func key(i int) cache.Key { return cache.Key{Strategy: uint32(i % 3), ID: fmt.Sprint("key", i)} }

func mustSet(t testing.TB, e cache.Engine, k cache.Key, it *cache.Item) {
	t.Helper()
	if err := e.Set(k, it); err != nil {
		t.Errorf("Set(%v) of weight %d = %v; want nil", k, it.Weight(), err)
	}
}

func TestOptions(t *testing.T) {
	none := func(*cache.Item, bool) {}
	for _, tc := range []struct {
		o    cache.EngineOptions
		want []string // nil: no error
	}{
		{cache.EngineOptions{}, []string{"MaxWeight 0", "OnRemove"}},
		{cache.EngineOptions{MaxWeight: -1, OnRemove: none}, []string{"MaxWeight -1"}},
		{cache.EngineOptions{MaxWeight: 1}, []string{"OnRemove"}},
		{cache.EngineOptions{MaxWeight: 1, OnRemove: none}, nil},
		{cache.EngineOptions{MaxWeight: math.MaxInt64, OnRemove: none}, nil},
	} {
		e, err := ristrettocache.New(tc.o)
		if (err == nil) != (tc.want == nil) || (err != nil) != (e == nil) {
			t.Errorf("New(%+v) = %v, %v", tc.o, e, err)
		}
		if err == nil {
			_ = e.(engine).Close()
			continue
		}
		if !errors.Is(err, cache.ErrOptions) {
			t.Errorf("New error = %v; want ErrOptions", err)
		}
		for _, text := range tc.want {
			if !strings.Contains(err.Error(), text) {
				t.Errorf("New error = %v; want %q in it", err, text)
			}
		}
	}
}

// TestNothingDropped: ristretto itself drops what its queue has no room for.
func TestNothingDropped(t *testing.T) {
	const writers, sets = 4, 20_000
	it := ristrettocache.NewMint(t).Item(500)
	e := newEngine(t, 1<<40, nil)
	var wg sync.WaitGroup
	for g := range writers {
		wg.Go(func() {
			for i := range sets {
				mustSet(t, e, key(g*sets+i), it)
			}
		})
	}
	wg.Wait()
	for i := range writers * sets {
		if _, ok := e.Get(key(i)); !ok {
			t.Fatalf("Get(%v) missed although there is room", key(i))
		}
	}
}

// TestLastSetWins: ristretto itself keeps the first of two Sets of a new key.
func TestLastSetWins(t *testing.T) {
	mint := ristrettocache.NewMint(t)
	e := newEngine(t, 1<<40, nil)
	for i := range 5000 {
		mustSet(t, e, key(i), mint.Item(500))
		last := mint.Item(int64(500 + i%2*100)) // with and without a new weight
		mustSet(t, e, key(i), last)
		if got, ok := e.Get(key(i)); !ok || got != last {
			t.Fatalf("Get(%v) = %p, %v; want the last %p", key(i), got, ok, last)
		}
	}
}

// TestReplacementIsSeamless: while a value is replaced, readers see one or the other.
func TestReplacementIsSeamless(t *testing.T) {
	mint := ristrettocache.NewMint(t)
	e := newEngine(t, 1<<40, nil)
	mustSet(t, e, key(1), mint.Item(500))
	var wg sync.WaitGroup
	done := make(chan struct{})
	wg.Go(func() {
		defer close(done)
		for i := range 3000 {
			mustSet(t, e, key(1), mint.Item(int64(500+i%3)))
			mustSet(t, e, key(2+i), mint.Item(500)) // moves key(1) on to ristretto
		}
	})
	for reading := true; reading; {
		select {
		case <-done:
			reading = false
		default:
		}
		if _, ok := e.Get(key(1)); !ok {
			t.Error("Get missed a key that is always there")
			break
		}
	}
	wg.Wait()
}

// TestNewcomerAmongHot: ristretto itself refuses most newcomers to a hot cache.
func TestNewcomerAmongHot(t *testing.T) {
	it := ristrettocache.NewMint(t).Item(1)
	for _, n := range []int{1, 2, 10, 1000} {
		e := newEngine(t, int64(n)*it.Weight(), nil)
		for i := range n {
			mustSet(t, e, key(i), it)
		}
		for range 20 {
			for i := range n {
				e.Get(key(i))
			}
		}
		for i := range 1000 {
			mustSet(t, e, key(n+i), it)
			if _, ok := e.Get(key(n + i)); !ok {
				t.Fatalf("of %d: Get of newcomer %d missed", n, i)
			}
		}
	}
}

// TestUpdatesEvict: ristretto itself lets updates grow beyond its bound.
func TestUpdatesEvict(t *testing.T) {
	const bound = 100_000
	mint := ristrettocache.NewMint(t)
	e := newEngine(t, bound, nil)
	for _, weight := range []int64{500, 50_000, 500, 500} {
		for i := range 100 {
			mustSet(t, e, key(i), mint.Item(weight))
			n, sum := 0, int64(0)
			e.Range(func(_ cache.Key, it *cache.Item) bool { n++; sum += it.Weight(); return true })
			if sum > bound {
				t.Fatalf("%d entries weigh %d; the bound is %d", n, sum, bound)
			}
		}
	}
	n := 0
	e.Range(func(cache.Key, *cache.Item) bool { n++; return true })
	if n != 100 {
		t.Errorf("%d entries after all became small; want 100: costs have drifted", n)
	}
}

// TestHugeBound: counters are by entries, not by bytes of the bound.
func TestHugeBound(t *testing.T) {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	const bound = 1<<32 - 2 // no item is larger
	e := newEngine(t, bound, nil)
	runtime.ReadMemStats(&after)
	if n := after.TotalAlloc - before.TotalAlloc; n > 2<<20 {
		t.Errorf("an empty engine took %d bytes", n)
	}
	mustSet(t, e, key(1), ristrettocache.NewMint(t).Item(bound/2))
	mustSet(t, e, key(2), ristrettocache.NewMint(t).Item(bound))
	if _, ok := e.Get(key(1)); ok {
		t.Error("both fit although one of them is the bound")
	}
}

// TestCloseBesideAll: ristretto itself panics or hangs when Close meets other calls.
func TestCloseBesideAll(t *testing.T) {
	mint := ristrettocache.NewMint(t)
	for range 50 {
		e := newEngine(t, 20_000, nil)
		var wg sync.WaitGroup
		start := make(chan struct{})
		for g := range 4 {
			wg.Go(func() {
				<-start
				for i := range 100 {
					k := key(g*50 + i)
					if err := e.Set(k, mint.Item(500)); err != nil && !errors.Is(err, cache.ErrClosed) {
						t.Errorf("Set beside Close = %v; want nil or ErrClosed", err)
					}
					if it, ok := e.Get(k); ok && i%5 == 0 {
						e.DeleteIf(k, it)
					}
				}
			})
		}
		wg.Go(func() { <-start; e.EvictTo(1000); e.Resize(15_000) })
		for range 2 {
			wg.Go(func() {
				<-start
				if err := e.Close(); err != nil {
					t.Errorf("Close() = %v; want nil", err)
				}
			})
		}
		close(start)
		wg.Wait()
		if _, ok := e.Get(key(0)); ok {
			t.Error("Get after Close hit")
		}
		if err := e.Set(key(0), mint.Item(1)); !errors.Is(err, cache.ErrClosed) {
			t.Errorf("Set after Close = %v; want ErrClosed", err)
		}
	}
}

// TestOnRemoveOnce: every item is told of once, also at Close. Ristretto itself tells
// of one value up to four times, and of replaced ones not at all.
func TestOnRemoveOnce(t *testing.T) {
	mint := ristrettocache.NewMint(t)
	told := map[*cache.Item]int{}
	e := newEngine(t, 50_000, func(it *cache.Item, _ bool) { told[it]++ })
	set := map[*cache.Item]bool{}
	for i := range 2000 {
		it := mint.Item(int64(500 + i%7*100))
		set[it] = true
		mustSet(t, e, key(i*i%701), it)
	}
	_ = e.Close()
	for it := range set {
		if told[it] != 1 {
			t.Errorf("OnRemove was called %d times for an item", told[it])
		}
	}
}

// TestNoGoroutineLeft: synctest fails if one is left at the end.
func TestNoGoroutineLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, v := newCache(t, cache.Options{MaxEntries: 10})
		for i := range 100 {
			_ = v.Set(t.Context(), fmt.Sprint(i), i)
		}
		if err := errors.Join(c.Close(), c.Close()); err != nil {
			t.Errorf("Close() = %v; want nil", err)
		}
	})
}

// TestForgotten: an engine that nobody closed ends with the garbage collector's help.
func TestForgotten(t *testing.T) {
	var engines [10]cache.Engine
	for i := range engines {
		e, err := ristrettocache.New(cache.EngineOptions{MaxWeight: 1, OnRemove: func(*cache.Item, bool) {}})
		if err != nil {
			t.Fatal(err)
		}
		engines[i] = e
	}
	n := runtime.NumGoroutine()
	runtime.KeepAlive(&engines)
	for range 1000 {
		runtime.GC()
		if runtime.NumGoroutine() <= n-2*len(engines) {
			return
		}
	}
	t.Errorf("%d goroutines with 10 engines, %d without", n, runtime.NumGoroutine())
}

// TestExpiry: an entry that was set anew after its TTL stays, and dead ones are freed.
// Ristretto itself frees by buckets of five seconds, and may hit the fresh value.
func TestExpiry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, v := newCache(t, cache.Options{SweepInterval: 3 * time.Second})
		defer c.Close()
		for i := range 10 {
			_ = v.Set(t.Context(), fmt.Sprint(i), i)
		}
		time.Sleep(time.Minute) // the TTL
		for i := range 10 {
			if _, ok := v.Get(t.Context(), fmt.Sprint(i)); ok {
				t.Errorf("Get(%d) at its TTL hit", i)
			}
		}
		for range 10 {
			_ = v.Set(t.Context(), "0", 7)
			time.Sleep(5*time.Second - 1)
			if got, ok := v.Get(t.Context(), "0"); !ok || got != 7 {
				t.Errorf("Get of a fresh value = %d, %v; want 7", got, ok)
			}
		}
		if n := v.Len(); n != 1 {
			t.Errorf("Len() = %d; want 1: the dead were not swept", n)
		}
	})
}

func TestGetAllocs(t *testing.T) {
	e := newEngine(t, 1<<20, nil)
	mustSet(t, e, key(1), ristrettocache.NewMint(t).Item(500))
	for _, k := range []cache.Key{key(1), key(2)} {
		if n := testing.AllocsPerRun(1000, func() { e.Get(k) }); n != 0 {
			t.Errorf("Get(%v) allocates %v times; want 0 on average", k, n)
		}
	}
}
