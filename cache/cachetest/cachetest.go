package cachetest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/perfblocks/perfblocks/cache"
)

// Factory makes an engine, as cache.Options.Engine does.
type Factory = func(cache.EngineOptions) (cache.Engine, error)

// Run checks the engines of factory against the contract of [cache.Engine], one
// subtest for each rule. It needs nothing but the factory, which must accept any
// bound above 0.
func Run(t *testing.T, factory Factory) {
	for _, rule := range []struct {
		name string
		fn   func(*testing.T, *bench)
	}{
		{"SetIsReadable", setIsReadable},
		{"LastSetWins", lastSetWins},
		{"DeleteIf", deleteIf},
		{"BoundHolds", boundHolds},
		{"GrowingReplacement", growingReplacement},
		{"TooLarge", tooLarge},
		{"NewcomerAmongHot", newcomerAmongHot},
		{"Concurrent", concurrent},
		{"CrowdedWriters", crowdedWriters},
		{"BoundWhileWriting", boundWhileWriting},
		{"BoundOfCache", boundOfCache},
		{"Range", rangeAll},
		{"EvictTo", evictTo},
		{"Resize", resize},
		{"WholeCache", wholeCache},
		{"SweepBesideSet", sweepBesideSet},
		{"HooksMayCall", hooksMayCall},
		{"CloseBesideAll", closeBesideAll},
	} {
		t.Run(rule.name, func(t *testing.T) {
			rule.fn(t, &bench{t: t, factory: factory, mint: newMint(t)})
		})
	}
}

const bound = 1 << 20

// bench is an engine under test with a record of what it told.
type bench struct {
	t       *testing.T
	factory Factory
	mint    *mint
	engine  cache.Engine

	mu      sync.Mutex
	live    map[*cache.Item]cache.Key // guarded by mu: set and not told to be gone
	evicted int                       // guarded by mu
}

func (b *bench) start(max int64) {
	b.t.Helper()
	b.live = map[*cache.Item]cache.Key{}
	e, err := b.factory(cache.EngineOptions{MaxWeight: max, OnRemove: func(it *cache.Item, evicted bool) {
		b.mu.Lock()
		defer b.mu.Unlock()
		if _, ok := b.live[it]; ok && evicted {
			b.evicted++
		}
		delete(b.live, it)
	}})
	if err != nil {
		b.t.Fatalf("factory: %v", err)
	}
	b.engine = e
	b.t.Cleanup(func() {
		if c, ok := e.(interface{ Close() error }); ok {
			if err := c.Close(); err != nil {
				b.t.Errorf("Close() = %v; want nil", err)
			}
		}
	})
}

func key(i int) cache.Key { return cache.Key{Strategy: uint32(i % 3), ID: fmt.Sprint("key", i)} }

// set stores a new item, which the engine must take and have.
func (b *bench) set(k cache.Key, size int64) *cache.Item {
	b.t.Helper()
	it := b.mint.item(size)
	b.put(k, it)
	if got, ok := b.engine.Get(k); !ok || got != it {
		b.t.Errorf("Get(%v) after Set = %p, %v; want %p, true", k, got, ok, it)
	}
	return it
}

func (b *bench) put(k cache.Key, it *cache.Item) {
	b.t.Helper()
	b.mu.Lock()
	b.live[it] = k
	b.mu.Unlock()
	if err := b.engine.Set(k, it); err != nil {
		b.t.Errorf("Set(%v) of weight %d = %v; want nil", k, it.Weight(), err)
	}
}

// check compares what the engine told with what it holds.
func (b *bench) check(max int64) {
	b.t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	sum := int64(0)
	for it, k := range b.live {
		sum += it.Weight()
		if got, ok := b.engine.Get(k); !ok || got != it {
			b.t.Errorf("%v left and OnRemove was not called", k)
			delete(b.live, it)
		}
	}
	if sum > max {
		b.t.Errorf("items weigh %d; the bound is %d", sum, max)
	}
}

func setIsReadable(t *testing.T, b *bench) {
	b.start(bound * 4)
	for i := range 2000 {
		b.set(key(i), 100)
	}
	for i := range 2000 {
		if _, ok := b.engine.Get(key(i)); !ok {
			t.Fatalf("Get(%v) missed although there is room", key(i))
		}
	}
	if _, ok := b.engine.Get(key(2000)); ok {
		t.Error("Get of an unknown key hit")
	}
	b.check(bound * 4)
}

func lastSetWins(t *testing.T, b *bench) {
	b.start(bound * 4)
	var last [500]*cache.Item
	for i := range last {
		old := b.set(key(i), 100)
		last[i] = b.set(key(i), 200)
		b.mu.Lock()
		if _, ok := b.live[old]; ok {
			t.Errorf("OnRemove was not called for the replaced %v", key(i))
		}
		b.mu.Unlock()
	}
	for i := range last {
		if got, ok := b.engine.Get(key(i)); !ok || got != last[i] {
			t.Errorf("Get(%v) is not the last Set", key(i))
		}
	}
	if b.evicted != 0 {
		t.Errorf("%d replacements were told as evictions", b.evicted)
	}
}

func deleteIf(t *testing.T, b *bench) {
	b.start(bound)
	old := b.set(key(1), 100)
	it := b.set(key(1), 100)
	for _, tc := range []struct {
		k    cache.Key
		it   *cache.Item
		want bool
	}{{key(1), old, false}, {key(2), it, false}, {key(1), it, true}, {key(1), it, false}} {
		if got := b.engine.DeleteIf(tc.k, tc.it); got != tc.want {
			t.Errorf("DeleteIf = %v; want %v", got, tc.want)
		}
	}
	if _, ok := b.engine.Get(key(1)); ok {
		t.Error("Get after DeleteIf hit")
	}
	if _, told := b.live[it]; !told {
		t.Error("OnRemove was called for DeleteIf")
	}
	delete(b.live, it)
	b.set(key(1), 100)
	b.check(bound)
}

func boundHolds(t *testing.T, b *bench) {
	b.start(bound)
	rng := rand.New(rand.NewPCG(1, 1))
	for i := range 3000 {
		b.set(key(rng.IntN(900)), int64(100+rng.IntN(8000)))
		if i%100 == 0 {
			b.check(bound)
		}
	}
	b.check(bound)
	if b.evicted == 0 {
		t.Error("nothing was evicted")
	}
	sum := int64(0)
	for it := range b.live {
		sum += it.Weight()
	}
	if sum < bound/2 {
		t.Errorf("items weigh %d of %d: the engine evicts without need", sum, bound)
	}
}

// growingReplacement: updates must evict as newcomers do.
func growingReplacement(_ *testing.T, b *bench) {
	b.start(bound)
	for size := int64(100); size < 50_000; size *= 4 {
		for i := range 100 {
			b.set(key(i), size)
		}
		b.check(bound)
	}
}

func tooLarge(t *testing.T, b *bench) {
	b.start(bound)
	it := b.set(key(1), 100)
	if err := b.engine.Set(key(1), b.mint.item(bound+1)); !errors.Is(err, cache.ErrTooLarge) {
		t.Errorf("Set above the bound = %v; want ErrTooLarge", err)
	}
	if got, ok := b.engine.Get(key(1)); !ok || got != it {
		t.Error("a refused Set changed the old item")
	}
	b.check(bound)
}

func newcomerAmongHot(_ *testing.T, b *bench) {
	b.start(bound)
	for i := range 1200 {
		b.set(key(i), 600)
	}
	for range 20 {
		for i := range 1200 {
			b.engine.Get(key(i))
		}
	}
	for i := range 50 {
		b.set(key(10_000+i), int64(600+i*10_000))
	}
	b.check(bound)
}

// concurrent: each goroutine owns its keys, so that the last Set of each is known.
func concurrent(t *testing.T, b *bench) {
	b.start(bound)
	var wg sync.WaitGroup
	for g := range 4 {
		wg.Go(func() {
			rng := rand.New(rand.NewPCG(uint64(g), 1))
			for range 3000 {
				k := key(g*1000 + rng.IntN(500))
				switch rng.IntN(4) {
				case 0:
					if it, ok := b.engine.Get(k); ok && b.engine.DeleteIf(k, it) {
						b.mu.Lock()
						delete(b.live, it)
						b.mu.Unlock()
					}
				case 1:
					b.engine.Get(key(rng.IntN(4000)))
				default:
					it := b.mint.item(int64(100 + rng.IntN(3000)))
					b.put(k, it)
					if got, ok := b.engine.Get(k); ok && got != it {
						t.Errorf("Get(%v) is not the last Set", k)
					}
				}
			}
		})
	}
	wg.Wait()
	b.set(key(1_000_000), 100)
	b.check(bound)
}

// crowdedWriters: what fits is taken, however many writers fight for the room.
func crowdedWriters(_ *testing.T, b *bench) {
	const small = 64 << 10
	b.start(small)
	var wg sync.WaitGroup
	for g := range 64 {
		wg.Go(func() {
			for i := range 400 {
				size := 300 + i*g%20_000
				if i%100 == 0 {
					size = 40_000
				}
				b.put(key(g*1000+i), b.mint.item(int64(size)))
			}
		})
	}
	wg.Wait()
	b.set(key(1_000_000), 300)
	b.check(small)
}

func rangeAll(t *testing.T, b *bench) {
	b.start(bound)
	r, ok := b.engine.(interface {
		Range(func(cache.Key, *cache.Item) bool)
	})
	if !ok {
		t.Skip("the engine has no Range")
	}
	for i := range 3000 {
		b.set(key(i), 600)
	}
	n := 0
	r.Range(func(k cache.Key, it *cache.Item) bool {
		if b.live[it] != k {
			t.Errorf("Range yields %v, which is not there", k)
		}
		n++
		return true
	})
	if n != len(b.live) {
		t.Errorf("Range yields %d items of %d", n, len(b.live))
	}
	n = 0
	r.Range(func(cache.Key, *cache.Item) bool { n++; return false })
	if n != 1 {
		t.Errorf("Range went on to %d items after false", n)
	}
}

func evictTo(t *testing.T, b *bench) {
	b.start(bound)
	e, ok := b.engine.(interface{ EvictTo(int64) })
	if !ok {
		t.Skip("the engine has no EvictTo")
	}
	for i := range 3000 {
		b.set(key(i), 600)
	}
	for _, target := range []int64{bound, bound / 3, 0, 0} {
		e.EvictTo(target)
		b.check(target)
	}
	b.set(key(1), bound) // the bound stays
	b.check(bound)
}

func resize(t *testing.T, b *bench) {
	b.start(bound)
	r, ok := b.engine.(interface{ Resize(int64) })
	if !ok {
		t.Skip("the engine has no Resize")
	}
	for i := range 3000 {
		b.set(key(i), 600)
	}
	r.Resize(bound / 4)
	b.check(bound / 4)
	b.set(key(5000), 600)
	b.check(bound / 4)
	r.Resize(bound)
	before := len(b.live)
	for i := range 3000 {
		b.set(key(i), 600)
	}
	if len(b.live) < 2*before {
		t.Errorf("after growing back the engine holds %d items; it held %d", len(b.live), before)
	}
	b.check(bound)
}

// wholeCache: figures of a cache over the engine agree with what it holds.
func wholeCache(t *testing.T, b *bench) {
	c, err := cache.New(cache.Options{Engine: b.factory, MaxBytes: bound})
	if err != nil {
		t.Fatal(err)
	}
	v, err := cache.Add(c, cache.Strategy[[]byte]{Name: "s"})
	if err != nil {
		t.Fatal(err)
	}
	ctx := context.Background()
	load := func(_ context.Context, e *cache.Entry[[]byte]) ([]byte, error) {
		e.DependsOn("all")
		return make([]byte, 700), nil
	}
	var wg sync.WaitGroup
	for g := range 4 {
		wg.Go(func() {
			for i := range 2000 {
				if _, err := v.Load(ctx, fmt.Sprint(i%1500+g), load); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if st := c.Stats(); st.Bytes <= 0 || st.Bytes > bound || st.Entries <= 0 {
		t.Errorf("Stats() = %+v", st)
	}
	if err := c.DeleteTag(ctx, "all"); err != nil {
		t.Fatal(err)
	}
	for k := range 1500 {
		if _, ok := v.Get(ctx, fmt.Sprint(k)); ok {
			t.Errorf("Get(%d) after DeleteTag hit", k)
		}
	}
	if err := errors.Join(c.Close(), c.Close()); err != nil {
		t.Errorf("Close() = %v; want nil", err)
	}
}

// mint makes items: it catches those that a cache of its own stores.
type mint struct {
	mu   sync.Mutex
	view *cache.View[int64]
	last *cache.Item
	base int64
}

func newMint(t *testing.T) *mint {
	m := &mint{}
	c, err := cache.New(cache.Options{MaxBytes: 1 << 40, SweepInterval: -1,
		Engine: func(cache.EngineOptions) (cache.Engine, error) { return catcher{m}, nil }})
	if err != nil {
		t.Fatal(err)
	}
	m.view, err = cache.Add(c, cache.Strategy[int64]{Name: "mint", SizeOf: func(n int64) int64 { return n }})
	if err != nil {
		t.Fatal(err)
	}
	m.base = m.item(0).Weight()
	t.Cleanup(func() { _ = c.Close() })
	return m
}

// item returns a new item of the weight, or of the least possible one.
func (m *mint) item(weight int64) *cache.Item {
	m.mu.Lock()
	defer m.mu.Unlock()
	_ = m.view.Set(context.Background(), "", max(weight-m.base, 0))
	return m.last
}

// catcher is an engine that keeps nothing but the last item in its mint.
type catcher struct{ m *mint }

func (c catcher) Get(cache.Key) (*cache.Item, bool)     { return nil, false }
func (c catcher) Set(_ cache.Key, it *cache.Item) error { c.m.last = it; return nil }
func (c catcher) DeleteIf(cache.Key, *cache.Item) bool  { return false }
