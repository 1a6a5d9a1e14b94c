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

	lightest = 200      // weight of an item of boundWhileWriting
	heaviest = 61 << 10 // and of another: together the writers have as much under way as the bound
)

// settled adds up the weights of the items whose Set has returned and that are still
// there, as far as an engine has told: what a Set evicts leaves the engine before it
// is told of, so that up to one item too many is counted for each call under way.
type settled struct {
	calls sync.RWMutex // held to read by each call, to write when none is to be under way

	mu       sync.Mutex
	live     map[*cache.Item]bool // guarded by mu: true once its Set has returned
	sum      int64                // guarded by mu
	underWay int64                // guarded by mu: calls
	busiest  int64                // guarded by mu: the largest sum less what calls under way may explain
	idlest   int64                // guarded by mu: the largest sum with no call under way
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
	s.calls.RLock()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.live[it] = false
	s.underWay++
}

func (s *settled) set(it *cache.Item) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, there := s.live[it]; there {
		s.live[it] = true
		s.sum += it.Weight()
	}
}

func (s *settled) end() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.underWay--
	s.busiest = max(s.busiest, s.sum-s.underWay*heaviest)
	s.calls.RUnlock()
}

// rest waits until no call is under way.
func (s *settled) rest() {
	s.calls.Lock()
	defer s.calls.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.idlest = max(s.idlest, s.sum)
}

// boundWhileWriting: the items whose Set has returned never weigh more than the bound
// with many writers of new keys, replacements and deletions; and no more than the slack
// above it while calls are under way.
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
	var wg sync.WaitGroup
	for g := range crowd {
		wg.Go(func() {
			rng := rand.New(rand.NewPCG(uint64(g), 3))
			for i := range 150 {
				side := rng.Int64N(32)
				k, it := key(rng.IntN(2000)), b.mint.item(lightest+side*side*(heaviest-lightest)/(31*31))
				s.begin(it)
				if err := e.Set(k, it); err != nil {
					t.Errorf("Set(%v) of weight %d = %v; want nil", k, it.Weight(), err)
				}
				s.set(it)
				if rng.IntN(8) == 0 && e.DeleteIf(k, it) {
					s.removed(it, false)
				}
				s.end()
				if i%25 == 24 {
					s.rest()
				}
			}
		})
	}
	wg.Wait()
	s.rest()
	if s.busiest > max+slack {
		t.Errorf("items weighed %d at one time; the bound is %d", s.busiest, max)
	}
	if s.idlest > max {
		t.Errorf("items weighed %d when every Set had returned; the bound is %d", s.idlest, max)
	}
	if s.idlest < max*3/4 {
		t.Errorf("items never weighed more than %d of %d", s.idlest, max)
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
