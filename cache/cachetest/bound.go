package cachetest

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/perfblocks/perfblocks/cache"
)

const (
	crowd = 64      // goroutines that write at a time
	slack = 1 << 20 // bytes by which what is held may exceed a bound of up to 50 MiB
)

// settled adds up the weights of the items whose Set has returned and that are still
// there.
type settled struct {
	mu    sync.Mutex
	live  map[*cache.Item]bool // guarded by mu: true once its Set has returned
	sum   int64                // guarded by mu
	worst int64                // guarded by mu
}

func (s *settled) removed(it *cache.Item, _ bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.live[it] {
		s.sum -= it.Weight()
	}
	delete(s.live, it)
}

func (s *settled) begin(it *cache.Item) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.live[it] = false
}

func (s *settled) end(it *cache.Item) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, there := s.live[it]; there {
		s.live[it] = true
		s.sum += it.Weight()
		s.worst = max(s.worst, s.sum)
	}
}

// boundWhileWriting: at no moment do the items whose Set has returned weigh more than
// the bound and the slack, with many writers of new keys, replacements and deletions.
func boundWhileWriting(t *testing.T, b *bench) {
	s := &settled{live: map[*cache.Item]bool{}}
	const max = 4 * bound
	e, err := b.factory(cache.EngineOptions{MaxWeight: max, OnRemove: s.removed})
	if err != nil {
		t.Fatalf("factory: %v", err)
	}
	if c, ok := e.(interface{ Close() error }); ok {
		defer c.Close()
	}
	var items [32]int64
	for i := range items {
		items[i] = int64(200 + i*i*64) // up to 62 KiB: together the writers have as much under way as the bound
	}
	var wg sync.WaitGroup
	for g := range crowd {
		wg.Go(func() {
			rng := rand.New(rand.NewPCG(uint64(g), 3))
			for range 150 {
				k, it := key(rng.IntN(2000)), b.mint.item(items[rng.IntN(len(items))])
				s.begin(it)
				if err := e.Set(k, it); err != nil {
					t.Errorf("Set(%v) of weight %d = %v; want nil", k, it.Weight(), err)
				}
				s.end(it)
				if rng.IntN(8) == 0 && e.DeleteIf(k, it) {
					s.removed(it, false)
				}
			}
		})
	}
	wg.Wait()
	if s.worst > max+slack {
		t.Errorf("items weighed %d at one time; the bound is %d", s.worst, max)
	}
	if s.sum > max {
		t.Errorf("items weigh %d in the end; the bound is %d", s.sum, max)
	}
	if s.worst < max*3/4 {
		t.Errorf("items never weighed more than %d of %d", s.worst, max)
	}
}

// boundOfCache is the same for the bytes that a cache counts, with what is under way.
func boundOfCache(t *testing.T, b *bench) {
	const max = 4 * bound
	c, err := cache.New(cache.Options{Engine: b.factory, MaxBytes: max})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	v, err := cache.Add(c, cache.Strategy[[]byte]{Name: "s"})
	if err != nil {
		t.Fatal(err)
	}
	ctx := context.Background()
	var wg sync.WaitGroup
	for g := range crowd {
		wg.Go(func() {
			rng := rand.New(rand.NewPCG(uint64(g), 4))
			for i := range 120 {
				k, val := fmt.Sprint(rng.IntN(2000)), make([]byte, rng.IntN(12<<10))
				if i%2 == 0 {
					if err := v.Set(ctx, k, val); err != nil {
						t.Error(err)
					}
				} else if _, err := v.Load(ctx, k, func(context.Context, *cache.Entry[[]byte]) ([]byte, error) { return val, nil }); err != nil {
					t.Error(err)
				}
				if n := v.Stats().Bytes; n > max+slack {
					t.Errorf("%d bytes are held; the bound is %d", n, max)
				}
			}
		})
	}
	wg.Wait()
	if n := c.Stats().Bytes; n > max || n < max/2 {
		t.Errorf("%d bytes are held in the end; the bound is %d", n, max)
	}
}
