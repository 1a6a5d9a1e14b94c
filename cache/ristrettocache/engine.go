package ristrettocache

import (
	"errors"
	"fmt"
	"hash/maphash"
	"math"
	"runtime"
	"sync"

	"github.com/perfblocks/perfblocks/cache"
)

// New makes the engine of a cache: give it as cache.Options.Engine. The engine also
// has Range, EvictTo, Resize and Close, which the cache finds by itself. It runs two
// goroutines of ristretto until Close. The error matches cache.ErrOptions and
// names every bad field.
func New(o cache.EngineOptions) (cache.Engine, error) {
	e, err := newEngine(o)
	if err != nil {
		return nil, err // not e: a nil *engine is no nil Engine
	}
	return e, nil
}

// maxWeight keeps sums of two weights from overflowing, here and in ristretto.
const maxWeight = math.MaxInt64 / 4

const shardCount = 64 // a power of two

// engine is a map that holds the truth, with a policy that says who must leave it.
//
// Locks are taken in the order mu, shard. Weights and lists change under mu only; a
// shard's lock is enough to read a slot and to swap its item for one of equal weight.
type engine struct {
	onRemove func(it *cache.Item, evicted bool)
	hash     func(cache.Key) uint64
	shards   [shardCount]shard

	mu     sync.Mutex
	max    int64           // guarded by mu: the bound
	lists  [3]list         // guarded by mu: the window and two that take turns as main
	gen    uint8           // guarded by mu: which of lists is main, 1 or 2
	ghosts *ghosts         // guarded by mu: ristretto, which knows what is in main; nil after Close
	room   int64           // guarded by mu: number of entries that ghosts has counters for
	net    runtime.Cleanup // guarded by mu: closes ghosts of a forgotten engine
}

// shard is a part of the map. Keys with equal hashes evict each other: what ristretto
// cannot tell apart must not be here twice.
type shard struct {
	mu     sync.RWMutex
	slots  map[uint64]*slot // guarded by mu; nil after Close
	ghosts *ghosts          // guarded by mu: the same in all shards, nil after Close
	_      [24]byte         // a cache line for each
}

func newEngine(o cache.EngineOptions) (*engine, error) {
	var errs []error
	if o.MaxWeight <= 0 {
		errs = append(errs, fmt.Errorf("MaxWeight %d is not above 0", o.MaxWeight))
	}
	if o.OnRemove == nil {
		errs = append(errs, errors.New("OnRemove is nil"))
	}
	if len(errs) > 0 {
		return nil, fmt.Errorf("ristrettocache: %w: %w", cache.ErrOptions, errors.Join(errs...))
	}
	seed := maphash.MakeSeed()
	e := &engine{
		onRemove: o.OnRemove,
		max:      min(o.MaxWeight, maxWeight),
		gen:      1,
		hash: func(k cache.Key) uint64 {
			return maphash.String(seed, k.ID) + uint64(k.Strategy)*0x9e3779b97f4a7c15
		},
	}
	for i := range e.shards {
		e.shards[i].slots = make(map[uint64]*slot)
	}
	if err := e.renewLocked(min(e.max, firstRoom)); err != nil {
		return nil, err
	}
	return e, nil
}

func (e *engine) shard(h uint64) *shard { return &e.shards[h>>58] }

// Get returns the item of key, and tells ristretto that it was wanted.
func (e *engine) Get(key cache.Key) (*cache.Item, bool) {
	h := e.hash(key)
	sh := e.shard(h)
	sh.mu.RLock()
	defer sh.mu.RUnlock() // ghosts stays open as long as it is held
	if sh.ghosts == nil {
		return nil, false
	}
	sh.ghosts.touch(h)
	if s := sh.slots[h]; s != nil && s.key() == key {
		return s.item, true
	}
	return nil, false
}

// Set stores it for key. A replacement of the same weight touches the map only.
func (e *engine) Set(key cache.Key, it *cache.Item) error {
	h := e.hash(key)
	sh := e.shard(h)
	sh.mu.Lock()
	if s := sh.slots[h]; s != nil && s.weight == it.Weight() && s.key() == key {
		old := s.item
		s.item = it
		sh.mu.Unlock()
		if old != it {
			e.onRemove(old, false)
		}
		return nil
	}
	sh.mu.Unlock()
	return e.enter(h, key, it)
}

// DeleteIf removes key if it holds exactly it.
func (e *engine) DeleteIf(key cache.Key, it *cache.Item) bool {
	h := e.hash(key)
	e.mu.Lock()
	defer e.mu.Unlock()
	sh := e.shard(h)
	sh.mu.Lock()
	s := sh.slots[h]
	if s == nil || s.item != it || s.key() != key {
		sh.mu.Unlock()
		return false
	}
	delete(sh.slots, h)
	sh.mu.Unlock()
	e.withdrawLocked(s)
	return true
}

// Range calls fn for all items, with no lock held: what is set meanwhile may be
// missing, and what has left meanwhile may still come.
func (e *engine) Range(fn func(cache.Key, *cache.Item) bool) {
	type entry struct {
		key  cache.Key
		item *cache.Item
	}
	var copied []entry
	for i := range e.shards {
		sh := &e.shards[i]
		copied = copied[:0]
		sh.mu.RLock()
		for _, s := range sh.slots {
			copied = append(copied, entry{s.key(), s.item})
		}
		sh.mu.RUnlock()
		for _, x := range copied {
			if !fn(x.key, x.item) {
				return
			}
		}
	}
}

// EvictTo evicts until at most weight is left; the bound stays. It makes writers wait
// for one batch at a time, and does not chase what they add meanwhile.
func (e *engine) EvictTo(weight int64) {
	weight = max(weight, 0)
	e.mu.Lock()
	excess := e.weightLocked() - weight
	e.mu.Unlock()
	for excess > 0 {
		e.mu.Lock()
		before := e.weightLocked()
		if before <= weight || e.ghosts == nil {
			excess = 0
		} else {
			e.cutLocked(weight)
			excess -= before - e.weightLocked()
		}
		e.mu.Unlock()
	}
}

// Resize changes the bound, and evicts down to it before it returns.
func (e *engine) Resize(weight int64) {
	weight = min(max(weight, 0), maxWeight)
	e.mu.Lock()
	e.max = weight
	e.mu.Unlock()
	e.EvictTo(weight)
}

// Close drops all items, calls OnRemove for each as if it was replaced, and joins the
// goroutines of ristretto. Repeats do nothing. Afterwards Get misses and Set returns
// an error matching cache.ErrClosed.
func (e *engine) Close() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.ghosts == nil {
		return nil
	}
	for i := range e.shards {
		sh := &e.shards[i]
		sh.mu.Lock()
		slots := sh.slots
		sh.slots, sh.ghosts = nil, nil
		sh.mu.Unlock()
		for _, s := range slots {
			e.onRemove(s.item, false)
		}
	}
	e.net.Stop()
	e.ghosts.close()
	e.ghosts, e.lists = nil, [3]list{}
	return nil
}
