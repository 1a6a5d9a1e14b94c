package cache_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/perfblocks/perfblocks/cache"
)

// modelEntry is what the oracle knows of an entry: its value, and all that kills it.
type modelEntry struct {
	val  int
	tags map[string]bool
}

// model is a naive cache: a walk over everything for each invalidation.
type model struct {
	entries map[string]modelEntry
	edges   map[string][]string // parent to children
}

// kill removes what has tag, and what is below it.
func (m *model) kill(tag string, seen map[string]bool) {
	if seen[tag] {
		return
	}
	seen[tag] = true
	for key, e := range m.entries {
		if e.tags[tag] || "@s:"+key == tag {
			delete(m.entries, key)
		}
	}
	for _, child := range m.edges[tag] {
		m.kill(child, seen)
	}
}

// TestModelSequential compares random operations with the oracle, hit by hit.
func TestModelSequential(t *testing.T) {
	ctx := t.Context()
	for seed := range uint64(20) {
		rng := rand.New(rand.NewPCG(seed, 1))
		c := newCache(t, cache.Options{})
		v := add(t, c, cache.Strategy[int]{Name: "s", Tags: []string{"all"}})
		m := &model{entries: map[string]modelEntry{}, edges: map[string][]string{}}
		key := func() string { return fmt.Sprint("k", rng.IntN(8)) }
		tag := func() string { return fmt.Sprint("t", rng.IntN(6)) }
		val := 0
		load := func() {
			k, inner, tags := key(), "", []string{tag(), tag()}
			if rng.IntN(3) == 0 {
				inner = fmt.Sprint("i", rng.IntN(3))
			}
			val++
			e, have := m.entries[k]
			got, err := v.Load(ctx, k, func(ctx context.Context, e *cache.Entry[int]) (int, error) {
				e.DependsOn(tags...)
				if inner != "" {
					_, _ = v.Load(ctx, inner, tagged(0, "t0", "ti"))
				}
				return val, nil
			})
			if want := map[bool]int{true: e.val, false: val}[have]; err != nil || got != want {
				t.Fatalf("seed %d: Load(%s) = %d, %v; want %d", seed, k, got, err, want)
			}
			if have {
				return
			}
			set := map[string]bool{"all": true}
			for _, x := range tags {
				set[x] = true
			}
			if inner != "" {
				if _, ok := m.entries[inner]; !ok {
					m.entries[inner] = modelEntry{0, map[string]bool{"all": true, "t0": true, "ti": true}}
				}
				set["@s:"+inner] = true
				for x := range m.entries[inner].tags {
					set[x] = true
				}
			}
			m.entries[k] = modelEntry{val, set}
		}
		for range 3000 {
			switch rng.IntN(12) {
			case 0:
				k := key()
				val++
				_ = v.Set(ctx, k, val)
				m.kill("@s:"+k, map[string]bool{})
				m.entries[k] = modelEntry{val, map[string]bool{"all": true}}
			case 1:
				k := fmt.Sprint("i", rng.IntN(3))
				_ = v.Delete(ctx, k)
				m.kill("@s:"+k, map[string]bool{})
			case 2:
				x := tag()
				_ = c.DeleteTag(ctx, x)
				m.kill(x, map[string]bool{})
			case 3:
				x := tag()
				_ = c.ExpireTag(ctx, x) // without windows that is a miss too
				m.kill(x, map[string]bool{})
			case 4:
				k := key()
				_ = v.Expire(ctx, k)
				m.kill("@s:"+k, map[string]bool{})
			case 5:
				x := v.Tag(key())
				_ = c.DeleteTag(ctx, x, "ti")
				m.kill(x, map[string]bool{})
				m.kill("ti", map[string]bool{})
			case 6:
				parent, child := tag(), tag()
				if rng.IntN(4) == 0 && c.Depend(child, parent) == nil {
					m.edges[parent] = append(m.edges[parent], child)
					// Entries that are older than the parent's last invalidation may go
					// with the new edge: the oracle lets all of them go.
					_ = c.DeleteTag(ctx, child)
					m.kill(child, map[string]bool{})
				}
			default:
				load()
			}
			k := key()
			got, ok := v.Get(ctx, k)
			if e, have := m.entries[k]; ok != have || ok && got != e.val {
				t.Fatalf("seed %d: Get(%s) = %d, %v; want %d, %v", seed, k, got, ok, e.val, have)
			}
		}
	}
}

// TestModelConcurrent: whoever begins to read after an invalidation returned sees at
// least what was written before it, through any number of loads, evictions and
// invalidations at the same time.
func TestModelConcurrent(t *testing.T) {
	for _, entries := range []int{0, 12} {
		t.Run(fmt.Sprint("entries=", entries), func(t *testing.T) { modelConcurrent(t, entries) })
	}
}

func modelConcurrent(t *testing.T, entries int) {
	const keys, rounds = 8, 4000
	c := newCache(t, cache.Options{MaxEntries: entries})
	v := add(t, c, cache.Strategy[int64]{Name: "s"})
	many := add(t, c, cache.Strategy[int64]{Name: "many"})
	var db, committed [keys]atomic.Int64
	var write [keys]sync.Mutex
	for k := range keys {
		if err := c.Depend(many.Tag(fmt.Sprint(k)), fmt.Sprint("up", k)); err != nil {
			t.Fatal(err)
		}
		if err := c.Depend(fmt.Sprint("tag", k), fmt.Sprint("up", k)); err != nil {
			t.Fatal(err)
		}
	}
	loader := func(k int) cache.Loader[int64] {
		return func(_ context.Context, e *cache.Entry[int64]) (int64, error) {
			val := db[k].Load()
			e.DependsOn(fmt.Sprint("tag", k))
			return val, nil
		}
	}
	ctx := context.Background()
	var wg sync.WaitGroup
	for g := range uint64(4) {
		wg.Go(func() {
			rng := rand.New(rand.NewPCG(g, 2))
			for range rounds {
				k := rng.IntN(keys)
				id := fmt.Sprint(k)
				low := committed[k].Load()
				var got int64
				var err error
				switch what := rng.IntN(10); {
				case what < 2:
					write[k].Lock()
					val := db[k].Add(1)
					switch rng.IntN(5) {
					case 0:
						err = v.Set(ctx, id, val)
						_ = many.Delete(ctx, id)
					case 1:
						err = v.Delete(ctx, id)
						_ = many.Delete(ctx, id)
					case 2:
						err = c.DeleteTag(ctx, "up"+id)
						if err == nil {
							err = v.Delete(ctx, id) // a value from Set has no tag
						}
					case 3:
						err = c.ExpireTag(ctx, "up"+id)
						if err == nil {
							err = v.Expire(ctx, id)
						}
					case 4:
						err = c.DeleteTag(ctx, v.Tag(id), many.Tag(id))
					}
					committed[k].Store(val)
					write[k].Unlock()
					got = val
				case what < 5:
					got, err = v.Load(ctx, id, loader(k))
				case what < 7: // an entry made of another one
					got, err = v.Load(ctx, "out"+id, func(ctx context.Context, _ *cache.Entry[int64]) (int64, error) {
						return v.Load(ctx, id, loader(k))
					})
				case what < 9:
					var m map[string]int64
					m, err = many.LoadMany(ctx, []string{id, fmt.Sprint((k + 1) % keys)}, func(_ context.Context, ids []string) (map[string]int64, error) {
						out := map[string]int64{}
						for _, id := range ids {
							out[id] = db[int(id[0]-'0')].Load()
						}
						return out, nil
					})
					got = m[id]
				default:
					var ok bool
					if got, ok = v.Get(ctx, id); !ok {
						got = low
					}
				}
				if err != nil || got < low {
					t.Errorf("key %d: got %d, %v; want at least %d", k, got, err, low)
					return
				}
			}
		})
	}
	wg.Wait()
}
