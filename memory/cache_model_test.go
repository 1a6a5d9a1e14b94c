package memory_test

import (
	"container/list"
	"errors"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/perfblocks/perfblocks/memory"
)

// oracle is the plainest LRU with both bounds: a list and a map.
type oracle struct {
	maxItems int
	maxBytes int64
	bytes    int64
	order    *list.List // of oracleEntry, the most recent in front
	at       map[int]*list.Element
	gone     []memory.Eviction[int, int]
}

type oracleEntry struct {
	key, value int
	size       int64
}

func newOracle(maxItems int, maxBytes int64) *oracle {
	return &oracle{maxItems: maxItems, maxBytes: maxBytes, order: list.New(), at: map[int]*list.Element{}}
}

func (o *oracle) get(key int) (int, bool) {
	e, ok := o.at[key]
	if !ok {
		return 0, false
	}
	o.order.MoveToFront(e)
	return e.Value.(*oracleEntry).value, true
}

func (o *oracle) remove(e *list.Element, reason memory.EvictReason) {
	x := e.Value.(*oracleEntry)
	o.order.Remove(e)
	delete(o.at, x.key)
	o.bytes -= x.size
	o.gone = append(o.gone, memory.Eviction[int, int]{Key: x.key, Value: x.value, Bytes: x.size, Reason: reason})
}

func (o *oracle) set(key, value int, size int64) error {
	e := o.at[key]
	if size > o.maxBytes {
		if e != nil {
			o.remove(e, memory.EvictReplaced)
		}
		return memory.ErrTooLarge
	}
	if e != nil {
		o.order.MoveToFront(e)
		x := e.Value.(*oracleEntry)
		for o.bytes-x.size+size > o.maxBytes {
			o.remove(o.order.Back(), memory.EvictCapacity)
		}
		o.gone = append(o.gone, memory.Eviction[int, int]{Key: key, Value: x.value, Bytes: x.size, Reason: memory.EvictReplaced})
		o.bytes += size - x.size
		x.value, x.size = value, size
		return nil
	}
	for o.order.Len()+1 > o.maxItems || o.bytes+size > o.maxBytes {
		o.remove(o.order.Back(), memory.EvictCapacity)
	}
	o.at[key] = o.order.PushFront(&oracleEntry{key, value, size})
	o.bytes += size
	return nil
}

func (o *oracle) shrink(goal int64) {
	for o.bytes > goal {
		o.remove(o.order.Back(), memory.EvictPressure)
	}
}

func (o *oracle) resize(maxItems int, maxBytes int64) {
	o.maxItems, o.maxBytes = maxItems, maxBytes
	for o.order.Len() > maxItems || o.bytes > maxBytes {
		o.remove(o.order.Back(), memory.EvictCapacity)
	}
}

// TestCacheMatchesOracle runs random operations on the cache and on the oracle and
// compares every answer, every victim and, from time to time, the whole order.
func TestCacheMatchesOracle(t *testing.T) {
	steps := 400_000 // for each of three seeds: more than 10^6 in all
	if testing.Short() {
		steps = 30_000
	}
	for _, seed := range []uint64{1, 2, 3} {
		rng := rand.New(rand.NewPCG(seed, 77))
		var gone []memory.Eviction[int, int]
		size := int64(0)
		c, err := memory.NewCache(memory.CacheOptions[int, int]{
			MaxItems: 300, MaxBytes: 20_000,
			SizeOf:  func(int, int) int64 { return size },
			OnEvict: func(e memory.Eviction[int, int]) { gone = append(gone, e) },
		})
		if err != nil {
			t.Fatal(err)
		}
		o := newOracle(300, 20_000)
		for step := range steps {
			key := int(rng.ExpFloat64() * 150)
			switch op := rng.IntN(1000); {
			case op < 500:
				got, ok := c.Get(key)
				want, wantOK := o.get(key)
				if got != want || ok != wantOK {
					t.Fatalf("seed %d step %d: Get(%d) = %d, %t; want %d, %t", seed, step, key, got, ok, want, wantOK)
				}
			case op < 940:
				size = 1 + rng.Int64N(150)
				if rng.IntN(500) == 0 {
					size = rng.Int64N(30_000)
				}
				size = max(1, size)
				err, want := c.Set(key, step), o.set(key, step, size)
				if !errors.Is(err, want) || (want == nil) != (err == nil) {
					t.Fatalf("seed %d step %d: Set(%d) = %v; want %v", seed, step, key, err, want)
				}
			case op < 980:
				e, want := o.at[key]
				if want {
					o.remove(e, memory.EvictDeleted)
				}
				if got := c.Delete(key); got != want {
					t.Fatalf("seed %d step %d: Delete(%d) = %t; want %t", seed, step, key, got, want)
				}
			case op < 995:
				got, ok := c.Peek(key)
				if e, want := o.at[key]; ok != want || ok && got != e.Value.(*oracleEntry).value {
					t.Fatalf("seed %d step %d: Peek(%d) = %d, %t; want present %t", seed, step, key, got, ok, want)
				}
			case op < 998:
				target := rng.Float64()
				o.shrink(int64(target * float64(o.bytes)))
				c.Shrink(t.Context(), target)
			default:
				items, bytes := 50+rng.IntN(300), 5_000+rng.Int64N(20_000)
				o.resize(items, bytes)
				if err := c.Resize(items, bytes); err != nil {
					t.Fatal(err)
				}
			}
			if !slices.Equal(gone, o.gone) {
				t.Fatalf("seed %d step %d: departures %v; want %v", seed, step, gone, o.gone)
			}
			gone, o.gone = gone[:0], o.gone[:0]
			if c.Len() != o.order.Len() || c.Bytes() != o.bytes {
				t.Fatalf("seed %d step %d: Len %d, Bytes %d; want %d, %d", seed, step, c.Len(), c.Bytes(), o.order.Len(), o.bytes)
			}
			if step%5000 == 0 {
				compareOrder(t, c, o)
			}
		}
		compareOrder(t, c, o)
	}
}

func compareOrder(t *testing.T, c *memory.Cache[int, int], o *oracle) {
	t.Helper()
	var want []int
	for e := o.order.Front(); e != nil; e = e.Next() {
		want = append(want, e.Value.(*oracleEntry).key)
	}
	if got := slices.Collect(c.Keys()); !slices.Equal(got, want) {
		t.Fatalf("Keys() = %v; want %v", got, want)
	}
}
