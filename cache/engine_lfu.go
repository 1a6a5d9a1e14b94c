package cache

import (
	"sync"
	"sync/atomic"
)

// lfuEngine is the default Engine: adaptive W-TinyLFU in one node per entry. Whatever
// changes it takes mu, so that the bound holds at each moment; Get takes no lock, and
// leaves a note of what it has used in a ring. Who writes reads the notes first.
type lfuEngine struct {
	onRemove func(it *Item, evicted bool)
	ranks    atomic.Bool // uses matter: there is not much room left

	table  lfuTable
	rings  [1 << ringsLog]readRing
	urgent atomic.Int32 // how many full rings are still read by those who filled them; written under mu

	mu     sync.Mutex
	max    int64     // guarded by mu: the bound
	weight int64     // guarded by mu: the sum of weights
	policy lfuPolicy // guarded by mu
}

// urgencies is how many full rings are read at once after an eviction: where one lookup in
// a thousand evicts something, that is always.
const urgencies = 32

func newLFU(o EngineOptions) (Engine, error) {
	e := &lfuEngine{onRemove: o.OnRemove, max: o.MaxWeight}
	e.table.init()
	e.policy.init(o.MaxWeight)
	return e, nil
}

func (e *lfuEngine) Get(key Key) (*Item, bool) {
	hash := e.table.hash(key)
	c, sure := e.table.find(hash, key)
	if c == nil {
		if sure {
			return nil, false
		}
		if c = e.search(hash, key); c == nil {
			return nil, false
		}
	}
	it := c.item.Load()
	if it == nil {
		return nil, false // it has just left
	}
	if e.ranks.Load() {
		e.note(c)
	}
	return it, true
}

// search is find for one that a table under rearrangement sent away.
func (e *lfuEngine) search(hash uint32, key Key) *cell {
	e.mu.Lock()
	defer e.mu.Unlock()
	c, _ := e.table.find(hash, key)
	return c
}

// note leaves a note that c was used.
func (e *lfuEngine) note(c *cell) {
	r := &e.rings[whereabouts()>>(32-ringsLog)]
	full, filling := r.add(c)
	if !full || e.urgent.Load() == 0 && filling%ringsSkipped != 0 {
		return
	}
	if e.mu.TryLock() {
		e.urgent.Store(max(e.urgent.Load()-1, 0))
		e.readNotes()
		e.mu.Unlock()
	}
}

// readNotes tells the policy what was used. mu is held.
func (e *lfuEngine) readNotes() {
	for i := range e.rings {
		r := &e.rings[i]
		if r.added.Load() == r.read {
			continue
		}
		for c := range r.notes() {
			e.policy.use(c)
		}
	}
}

func (e *lfuEngine) Set(key Key, it *Item) error {
	w, hash := it.Weight(), e.table.hash(key)
	e.mu.Lock()
	defer e.mu.Unlock()
	if w > e.max {
		return ErrTooLarge
	}
	e.readNotes()
	if c, _ := e.table.find(hash, key); c != nil {
		e.replace(c, it)
		return nil
	}
	e.makeRoom(e.max-w, nil)
	c := &cell{key: key, hash: hash}
	c.item.Store(it)
	e.weight += w
	e.table.insert(c)
	e.policy.add(c, w)
	if !e.ranks.Load() && e.weight >= e.max/ranksFrom {
		e.policy.start()
		e.ranks.Store(true)
	}
	return nil
}

// From a 16th of the bound on uses are noted.
const ranksFrom = 16

// replace gives c, which is a use of it, another item. mu is held.
func (e *lfuEngine) replace(c *cell, it *Item) {
	e.policy.use(c)
	old := c.item.Load()
	more := it.Weight() - old.Weight()
	e.makeRoom(e.max-more, c)
	c.item.Store(it)
	e.weight += more
	e.policy.grow(c, more)
	e.onRemove(old, false)
}

// makeRoom evicts until the weights are at most target. It spares keep. mu is held.
func (e *lfuEngine) makeRoom(target int64, keep *cell) {
	for e.weight > target {
		c := e.policy.victim(e.max-target, keep)
		if c == nil {
			return
		}
		e.urgent.Store(urgencies)
		e.onRemove(e.remove(c), true)
	}
}

// remove takes c out and returns its item. mu is held.
func (e *lfuEngine) remove(c *cell) *Item {
	it := c.item.Load()
	e.table.remove(c)
	e.policy.remove(c, it.Weight())
	e.weight -= it.Weight()
	c.item.Store(nil)
	return it
}

func (e *lfuEngine) DeleteIf(key Key, it *Item) bool {
	hash := e.table.hash(key)
	e.mu.Lock()
	defer e.mu.Unlock()
	c, _ := e.table.find(hash, key)
	if c == nil || it == nil || c.item.Load() != it {
		return false
	}
	e.remove(c)
	return true
}

// Range holds no lock while fn runs.
func (e *lfuEngine) Range(fn func(Key, *Item) bool) {
	var part []aged
	for i := range e.table.shards {
		part = part[:0]
		e.mu.Lock()
		for c := range e.table.shards[i].cells() {
			part = append(part, aged{c.key, c.item.Load()})
		}
		e.mu.Unlock()
		for _, a := range part {
			if !fn(a.key, a.it) {
				return
			}
		}
	}
}

// Hottest walks the items from the one that is kept longest.
func (e *lfuEngine) Hottest(fn func(Key, *Item) bool) {
	for _, a := range e.ranking() {
		if !fn(a.key, a.it) {
			return
		}
	}
}

func (e *lfuEngine) ranking() []aged {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.readNotes()
	cells := e.policy.ranking()
	out := make([]aged, len(cells))
	for i, c := range cells {
		out[i] = aged{c.key, c.item.Load()}
	}
	return out
}

// EvictTo drops the coldest items until the sum of weights is at most target.
func (e *lfuEngine) EvictTo(target int64) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.readNotes()
	e.makeRoom(target, nil)
}

func (e *lfuEngine) Resize(maxWeight int64) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.readNotes()
	e.max = maxWeight
	e.policy.resize(maxWeight)
	e.makeRoom(maxWeight, nil)
}
