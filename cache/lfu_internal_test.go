package cache

import (
	"math/rand/v2"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"unsafe"
)

// check fails t unless the parts of e agree with each other.
func (e *lfuEngine) check(t *testing.T) {
	t.Helper()
	e.mu.Lock()
	defer e.mu.Unlock()
	sum, count := int64(0), 0
	for q := queueWindow; q < queues; q++ {
		weight := int64(0)
		var before *cell
		for c := e.policy.queues[q].first; c != nil; c = c.warmer {
			it := c.item.Load()
			if found, sure := e.table.find(c.hash, c.key); found != c || !sure {
				t.Fatalf("the table has %p for %v; want %p", found, c.key, c)
			}
			if c.queue != q || c.colder != before || it == nil {
				t.Fatalf("a cell of queue %d has queue %d, item %p", q, c.queue, it)
			}
			weight += it.Weight()
			count++
			before = c
		}
		if e.policy.queues[q].weight != weight || e.policy.queues[q].last != before {
			t.Fatalf("queue %d: weight %d; want %d", q, e.policy.queues[q].weight, weight)
		}
		sum += weight
	}
	held := 0
	for i := range e.table.shards {
		n := 0
		for range e.table.shards[i].cells() {
			n++
		}
		if n != e.table.counts[i] {
			t.Fatalf("shard %d has %d cells; want %d", i, n, e.table.counts[i])
		}
		held += n
	}
	if e.weight != sum || e.weight > e.max || e.policy.count != count || held != count {
		t.Fatalf("weight %d of at most %d, %d cells, %d in the table; want %d and %d", e.weight, e.max, e.policy.count, held, sum, count)
	}
}

// lfuOf returns an engine, and what it told of items that left.
func lfuOf(t *testing.T, max int64) (*lfuEngine, map[*Item]bool) {
	t.Helper()
	left := map[*Item]bool{}
	e, err := newLFU(EngineOptions{MaxWeight: max, OnRemove: func(it *Item, evicted bool) { left[it] = evicted }})
	if err != nil {
		t.Fatal(err)
	}
	return e.(*lfuEngine), left
}

func itemOf(weight int64) *Item {
	it, _ := makeItem(layoutPlain, kindValue, 0)
	it.bytes = uint32(weight)
	return it
}

// TestLFUModel: random calls against a map. What is in the map and was not told to have
// been evicted is there.
func TestLFUModel(t *testing.T) {
	for seed := range uint64(20) {
		rng := rand.New(rand.NewPCG(seed, 7))
		max := 1 + rng.Int64N(5000)
		e, left := lfuOf(t, max)
		model := map[Key]*Item{}
		for range 4000 {
			key := Key{Strategy: rng.Uint32N(2), ID: strconv.Itoa(rng.IntN(300))}
			switch was := model[key]; rng.IntN(12) {
			case 0:
				if got := e.DeleteIf(key, was); got != (was != nil) {
					t.Fatalf("DeleteIf = %v; want %v", got, was != nil)
				}
				delete(model, key)
			case 1:
				if e.DeleteIf(key, itemOf(1)) {
					t.Fatal("DeleteIf of another item = true")
				}
			case 2:
				if rng.IntN(40) == 0 {
					max = 1 + rng.Int64N(5000)
					e.Resize(max)
				} else if rng.IntN(40) == 0 {
					e.EvictTo(rng.Int64N(max))
				}
			case 3, 4, 5, 6:
				it := itemOf(1 + rng.Int64N(1+rng.Int64N(600)))
				if err := e.Set(key, it); (err != nil) != (it.Weight() > max) {
					t.Fatalf("Set of weight %d of at most %d = %v", it.Weight(), max, err)
				} else if err != nil {
					break
				}
				if evicted, told := left[was]; was != nil && (!told || evicted) {
					t.Fatalf("the replaced item: told %v, evicted %v", told, evicted)
				}
				if got, ok := e.Get(key); !ok || got != it {
					t.Fatalf("Get after Set = %p, %v; want %p", got, ok, it)
				}
				model[key] = it
			default:
				if got, ok := e.Get(key); ok != (was != nil) || ok && got != was {
					t.Fatalf("Get = %p, %v; want %p", got, ok, was)
				}
			}
			for k, it := range model {
				if left[it] {
					delete(model, k)
				}
			}
			if rng.IntN(20) == 0 {
				e.check(t)
				if len(model) != e.policy.count {
					t.Fatalf("%d entries; want %d", e.policy.count, len(model))
				}
			}
		}
		ranked := 0
		e.Hottest(func(key Key, it *Item) bool {
			if model[key] != it {
				t.Fatalf("Hottest yields %v", key)
			}
			ranked++
			return true
		})
		if ranked != len(model) {
			t.Fatalf("Hottest yields %d entries of %d", ranked, len(model))
		}
	}
}

// TestLFUReadersBesideGrowth: entries that stay are found by each read, while the chains
// are rearranged and other entries come and go.
func TestLFUReadersBesideGrowth(t *testing.T) {
	for range 20 {
		e, err := newLFU(EngineOptions{MaxWeight: 1 << 30, OnRemove: func(*Item, bool) {}})
		if err != nil {
			t.Fatal(err)
		}
		const stay = 200
		for i := range stay {
			_ = e.Set(Key{ID: strconv.Itoa(i)}, itemOf(1))
		}
		var stop atomic.Bool
		var wg sync.WaitGroup
		for range 3 {
			wg.Go(func() {
				for i := 0; !stop.Load(); i++ {
					if _, ok := e.Get(Key{ID: strconv.Itoa(i % stay)}); !ok {
						t.Errorf("entry %d is not found", i%stay)
						return
					}
				}
			})
		}
		for i := range 20_000 {
			key := Key{ID: strconv.Itoa(stay + i)}
			it := itemOf(1)
			_ = e.Set(key, it)
			if i%3 == 0 {
				e.DeleteIf(key, it)
			}
		}
		stop.Store(true)
		wg.Wait()
		e.(*lfuEngine).check(t)
	}
}

// TestLFUBesideAll: calls of all kinds at once leave the parts in agreement.
func TestLFUBesideAll(t *testing.T) {
	var live atomic.Int64
	engine, err := newLFU(EngineOptions{MaxWeight: 2000, OnRemove: func(it *Item, _ bool) { live.Add(-it.Weight()) }})
	if err != nil {
		t.Fatal(err)
	}
	e := engine.(*lfuEngine)
	var wg sync.WaitGroup
	for g := range uint64(8) {
		wg.Go(func() {
			rng := rand.New(rand.NewPCG(g, 8))
			for range 5000 {
				key := Key{ID: strconv.Itoa(rng.IntN(1000))}
				switch rng.IntN(20) {
				case 0:
					e.Resize(1000 + rng.Int64N(2000))
				case 1:
					e.EvictTo(rng.Int64N(3000))
				case 2:
					if it, ok := e.Get(key); ok && e.DeleteIf(key, it) {
						live.Add(-it.Weight())
					}
				case 3:
					e.Range(func(Key, *Item) bool { return rng.IntN(100) > 0 })
				case 4, 5, 6, 7:
					it := itemOf(1 + rng.Int64N(20))
					live.Add(it.Weight())
					if e.Set(key, it) != nil {
						t.Error("Set failed")
					}
				default:
					e.Get(key)
				}
			}
		})
	}
	wg.Wait()
	e.check(t)
	if n := live.Load(); n != e.weight {
		t.Errorf("items weigh %d by what was told; the engine says %d", n, e.weight)
	}
}

// TestLFURing: the latest notes are read once, in order, also where the count wraps.
func TestLFURing(t *testing.T) {
	r := &readRing{}
	r.added.Store(^uint32(0) - 40)
	r.read = r.added.Load()
	cells := make([]cell, 200)
	for i, n := 0, 1; i < 100; n = n*3%50 + 1 {
		for range n {
			r.add(&cells[i])
			i++
		}
		want := i - min(n, ringCells)
		for c := range r.notes() {
			if c != &cells[want] {
				t.Fatalf("after %d notes another one than %d is read", i, want)
			}
			want++
		}
		if want != i {
			t.Fatalf("notes are read up to %d; want %d", want, i)
		}
		for range r.notes() {
			t.Fatal("a note is read twice")
		}
	}
}

// TestLFUCell: a cell is one cache line.
func TestLFUCell(t *testing.T) {
	if unsafe.Sizeof(uintptr(0)) != 8 {
		t.Skip("sizes are for 64 bits")
	}
	if n := unsafe.Sizeof(cell{}); n != 64 {
		t.Errorf("a cell takes %d bytes; want 64", n)
	}
}

// TestLFUMemory: what an entry takes beside its key, in a cache that is nowhere near its
// bound and so counts no uses.
func TestLFUMemory(t *testing.T) {
	if unsafe.Sizeof(uintptr(0)) != 8 || unsafe.Sizeof(box{}) > 0 {
		t.Skip("sizes are for 64 bits, without the tag perfblocks_safe")
	}
	const n = 100_000
	keys := make([]string, n)
	for i := range keys {
		keys[i] = strconv.Itoa(i)
	}
	before := heapBytes()
	c, err := New(Options{MaxBytes: 1 << 40, SweepInterval: -1})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	v, err := Add(c, Strategy[int]{Name: "s"})
	if err != nil {
		t.Fatal(err)
	}
	for i, k := range keys {
		if err := v.Set(t.Context(), k, i); err != nil {
			t.Fatal(err)
		}
	}
	each := float64(heapBytes()-before) / n
	runtime.KeepAlive(keys)
	t.Logf("%.1f bytes for an entry with an int", each)
	if each > 108 { // 24 for the item, 64 for the cell, 10.5 for the table and 2 for what is not of an entry
		t.Errorf("an entry with an int takes %.1f bytes; want at most 108", each)
	}
}

func heapBytes() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// TestLFUWindowGrows: where each entry is used once more before long and then never again,
// a larger window hits more, up to half of all lookups. In one of the first size a
// thirtieth of them would hit.
func TestLFUWindowGrows(t *testing.T) {
	const first, later, soon = 100_000, 200_000, 800
	rng := rand.New(rand.NewPCG(1, 9))
	e, _ := lfuOf(t, 1000)
	hits := 0
	use := func(i int) {
		key := Key{ID: strconv.Itoa(i)}
		if _, ok := e.Get(key); ok {
			hits++
		} else if err := e.Set(key, itemOf(1)); err != nil {
			t.Fatal(err)
		}
	}
	for i := soon; i < later; i++ {
		if i == first {
			hits = 0
		}
		use(i)
		use(i - rng.IntN(soon))
	}
	r := float64(hits) / (2 * (later - first))
	t.Logf("hit ratio %.3f with a window of %.2f", r, e.policy.window)
	if r < 0.1 {
		t.Errorf("hit ratio %.3f with a window of %.2f; want 0.1", r, e.policy.window)
	}
}

// TestLFULoopHits: a loop that hardly exceeds the bound mostly hits. The optimum is 0.97;
// by recency it would be nothing.
func TestLFULoopHits(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	const caches = 12
	sum := 0.0
	for range caches {
		sum += loopHits(t, nil)
	}
	if r := sum / caches; r < 0.86 {
		t.Errorf("hit ratio %.3f, the mean of %d caches; want 0.86", r, caches)
	}
}
