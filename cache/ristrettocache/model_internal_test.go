package ristrettocache

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/perfblocks/perfblocks/cache"
)

// check compares the lists, the map and ristretto with each other.
func (e *engine) check(t *testing.T) {
	t.Helper()
	e.mu.Lock()
	defer e.mu.Unlock()
	if w := e.weightLocked(); w > e.max {
		t.Errorf("weight %d is above the bound %d", w, e.max)
	}
	slots := map[*slot]bool{}
	for i := range e.shards {
		sh := &e.shards[i]
		sh.mu.RLock()
		for h, s := range sh.slots {
			slots[s] = true
			if s.hash != h || e.hash(s.key()) != h || e.shard(h) != sh || s.weight != s.item.Weight() {
				t.Errorf("slot %+v is damaged or at the wrong place", s)
			}
		}
		sh.mu.RUnlock()
	}
	e.ghosts.r.Wait()
	for in := range e.lists {
		n, weight := int64(0), int64(0)
		for s := e.lists[in].first; s != nil; s = s.next {
			n, weight = n+1, weight+s.weight
			if s.in != uint8(in) || !slots[s] {
				t.Errorf("slot %+v is on list %d; in the map: %v", s, in, slots[s])
			}
			delete(slots, s)
			if _, known := e.ghosts.r.Get(s.hash); known != (s.in == e.gen) {
				t.Errorf("slot on list %d, main is %d; ristretto knows it: %v", in, e.gen, known)
			}
		}
		if l := e.lists[in]; l.n != n || l.weight != weight {
			t.Errorf("list %d has %d slots that weigh %d; it says %d, %d", in, n, weight, l.n, l.weight)
		}
	}
	if len(slots) > 0 {
		t.Errorf("%d slots are on no list", len(slots))
	}
	ghosts := int64(0)
	e.ghosts.r.IterValues(func(struct{}) bool { ghosts++; return false })
	if ghosts != e.main().n {
		t.Errorf("ristretto holds %d; main has %d", ghosts, e.main().n)
	}
}

// model is what an engine should hold by what it told.
type model struct {
	mu   sync.Mutex
	live map[cache.Key]*cache.Item // guarded by mu
	gone map[*cache.Item]int       // guarded by mu: calls of OnRemove
}

func newModel() *model {
	return &model{live: map[cache.Key]*cache.Item{}, gone: map[*cache.Item]int{}}
}

func (m *model) engine(t *testing.T, weight, room int64) *engine {
	t.Helper()
	e, err := newEngine(cache.EngineOptions{MaxWeight: weight, OnRemove: func(it *cache.Item, _ bool) {
		m.mu.Lock()
		defer m.mu.Unlock()
		m.gone[it]++
		for k, held := range m.live {
			if held == it {
				delete(m.live, k)
			}
		}
	}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = e.Close() })
	e.mu.Lock()
	defer e.mu.Unlock()
	if err := e.renewLocked(room); err != nil {
		t.Fatal(err)
	}
	return e
}

func (m *model) check(t *testing.T, e *engine) {
	t.Helper()
	m.mu.Lock()
	defer m.mu.Unlock()
	n := 0
	e.Range(func(k cache.Key, it *cache.Item) bool {
		n++
		if m.live[k] != it {
			t.Errorf("the engine holds %v, which it told to be gone", k)
		}
		return true
	})
	if n != len(m.live) {
		t.Errorf("the engine holds %d items; by what it told there are %d", n, len(m.live))
	}
	for it, calls := range m.gone {
		if calls != 1 {
			t.Errorf("OnRemove was called %d times for %p", calls, it)
		}
	}
}

// TestModel does random operations, with good hashes and with such that keys share,
// from a small ristretto that must grow on the way.
func TestModel(t *testing.T) {
	mint := NewMint(t)
	for name, mask := range map[string]uint64{"hashes": ^uint64(0), "collisions": 63<<58 | 31} {
		t.Run(name, func(t *testing.T) {
			rng := rand.New(rand.NewPCG(1, 2))
			bound := int64(200_000)
			m := newModel()
			e := m.engine(t, bound, 16)
			good := e.hash
			e.hash = func(k cache.Key) uint64 { return good(k) & mask }
			for step := range 20_000 {
				k := cache.Key{Strategy: uint32(rng.IntN(2)), ID: fmt.Sprint(rng.IntN(1 + step/20))}
				switch op := rng.IntN(1000); {
				case op < 400:
					it, ok := e.Get(k)
					if m.live[k] != it || ok != (it != nil) {
						t.Fatalf("Get(%v) = %p, %v; want %p", k, it, ok, m.live[k])
					}
				case op < 900:
					m.set(t, e, k, mint.Item(int64(400+rng.IntN(4)*100+rng.IntN(50)/49*40_000)))
				case op < 990:
					it := m.live[k]
					if got := e.DeleteIf(k, it); got != (it != nil) {
						t.Fatalf("DeleteIf(%v) = %v; it holds %p", k, got, it)
					}
					delete(m.live, k)
				case op < 997:
					e.EvictTo(rng.Int64N(bound))
				default:
					bound = 50_000 + rng.Int64N(200_000)
					e.Resize(bound)
				}
				if step%200 == 0 {
					e.check(t)
					m.check(t, e)
				}
				if t.Failed() {
					t.Fatalf("at step %d", step)
				}
			}
		})
	}
}

func (m *model) set(t *testing.T, e *engine, k cache.Key, it *cache.Item) {
	t.Helper()
	err := e.Set(k, it)
	if err != nil {
		t.Fatalf("Set(%v) of weight %d = %v", k, it.Weight(), err)
	}
	m.mu.Lock()
	m.live[k] = it
	m.mu.Unlock()
	if got, ok := e.Get(k); !ok || got != it {
		t.Fatalf("Get(%v) after Set = %p, %v; want %p", k, got, ok, it)
	}
}

// TestBoundWhileSetsRun looks at all that is held, again and again, beside 64 writers.
func TestBoundWhileSetsRun(t *testing.T) {
	const bound = 1 << 20
	mint := NewMint(t)
	e, err := newEngine(cache.EngineOptions{MaxWeight: bound, OnRemove: func(*cache.Item, bool) {}})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	var writers, looker sync.WaitGroup
	done := make(chan struct{})
	looker.Go(func() {
		for {
			sum := int64(0)
			e.mu.Lock() // weights stand still
			e.Range(func(_ cache.Key, it *cache.Item) bool { sum += it.Weight(); return true })
			e.mu.Unlock()
			if sum > bound {
				t.Errorf("%d is held; the bound is %d", sum, bound)
			}
			select {
			case <-done:
				return
			default:
			}
		}
	})
	for g := range 64 {
		writers.Go(func() {
			rng := rand.New(rand.NewPCG(uint64(g), 3))
			for range 300 {
				k := cache.Key{ID: fmt.Sprint(rng.IntN(4000))}
				if err := e.Set(k, mint.Item(400+rng.Int64N(4000)+rng.Int64N(100)/99*300_000)); err != nil {
					t.Error(err)
				}
				if it, ok := e.Get(k); ok && rng.IntN(10) == 0 {
					e.DeleteIf(k, it)
				}
				if rng.IntN(100) == 0 {
					e.EvictTo(bound * 3 / 4)
				}
			}
		})
	}
	writers.Wait()
	close(done)
	looker.Wait()
	e.check(t)
	if w := e.weightLocked(); w < bound/2 {
		t.Errorf("%d of %d is held: the engine evicts without need", w, bound)
	}
}

// TestGrow: the counters grow with the entries, and no entry is lost by that.
func TestGrow(t *testing.T) {
	mint := NewMint(t)
	m := newModel()
	e := m.engine(t, 4_000_000, 64)
	it := make([]*cache.Item, 5000)
	for i := range it {
		it[i] = mint.Item(500)
		if err := e.Set(cache.Key{ID: fmt.Sprint(i)}, it[i]); err != nil {
			t.Fatal(err)
		}
		if i%500 == 0 {
			e.check(t)
		}
	}
	for i := range it {
		if got, ok := e.Get(cache.Key{ID: fmt.Sprint(i)}); !ok || got != it[i] {
			t.Fatalf("Get(%d) = %p, %v; want %p", i, got, ok, it[i])
		}
	}
	if e.room != 8192 || e.stale().n != 0 {
		t.Errorf("room for %d, %d stale; want 8192 and none", e.room, e.stale().n)
	}
	e.check(t)
}

// TestOfferDropsNothing: ristretto's queue is full long before the last offer.
func TestOfferDropsNothing(t *testing.T) {
	const n = 100_000
	g, err := newGhosts(1)
	if err != nil {
		t.Fatal(err)
	}
	defer g.close()
	for h := range uint64(n) {
		g.offer(h, 1, n)
	}
	g.settle(func(h uint64) { t.Errorf("%d is out although there is room", h) })
	known := 0
	g.r.IterValues(func(struct{}) bool { known++; return false })
	if known != n {
		t.Errorf("ristretto knows %d of %d", known, n)
	}
}
