package cache

import (
	"hash/maphash"
	"iter"
	"sync/atomic"
)

// cell is the node of an entry: in a chain of the table and in a queue of the policy. It
// fills one cache line.
type cell struct {
	next atomic.Pointer[cell] // in its chain; a cell that left still leads on
	item atomic.Pointer[Item] // nil once it has left
	key  Key
	hash uint32

	queue          queue // guarded by the engine's mu, as are its neighbours in it
	colder, warmer *cell
}

// lfuTable finds cells by their keys. Readers take no lock; those who change it hold the
// engine's mu.
type lfuTable struct {
	seed   maphash.Seed
	none   []atomic.Pointer[cell] // the chains of a shard that never had any
	shards [1 << shardsLog]tableShard
	counts [1 << shardsLog]int // of cells, guarded by the engine's mu; apart from what is read
}

// A shard at a time is rearranged when it grows: with a million entries that is 16,000.
const shardsLog = 6

type tableShard struct {
	chains atomic.Pointer[[]atomic.Pointer[cell]] // a power of two; nil while they are rearranged
}

func (t *lfuTable) init() {
	t.seed = maphash.MakeSeed()
	t.none = make([]atomic.Pointer[cell], 1)
	for i := range t.shards {
		t.shards[i].chains.Store(&t.none)
	}
}

func (t *lfuTable) hash(key Key) uint32 {
	return uint32(maphash.String(t.seed, key.ID)) ^ key.Strategy*0x9e3779b1
}

func shardAt(hash uint32) int { return int(hash >> (32 - shardsLog)) }

// find returns the cell of key, or nil. It is sure that there is none unless the chains
// were rearranged meanwhile: then a reader may have been led past it.
func (t *lfuTable) find(hash uint32, key Key) (c *cell, sure bool) {
	s := &t.shards[shardAt(hash)]
	chains := s.chains.Load()
	if chains == nil {
		return nil, false
	}
	for c := (*chains)[int(hash)&(len(*chains)-1)].Load(); c != nil; c = c.next.Load() {
		if c.hash == hash && c.key == key {
			return c, true
		}
	}
	return nil, s.chains.Load() == chains
}

// insert puts c first in its chain: who reads the chain already does not miss another.
func (t *lfuTable) insert(c *cell) {
	i := shardAt(c.hash)
	s := &t.shards[i]
	if chains := s.chains.Load(); chains == &t.none || t.counts[i] >= len(*chains) {
		s.grow()
	}
	first := s.chain(c.hash)
	c.next.Store(first.Load())
	first.Store(c)
	t.counts[i]++
}

func (s *tableShard) chain(hash uint32) *atomic.Pointer[cell] {
	chains := *s.chains.Load()
	return &chains[int(hash)&(len(chains)-1)]
}

// remove takes c out of its chain. Who stands at c goes on from there.
func (t *lfuTable) remove(c *cell) {
	i := shardAt(c.hash)
	at := t.shards[i].chain(c.hash)
	for at.Load() != c {
		at = &at.Load().next
	}
	at.Store(c.next.Load())
	t.counts[i]--
}

// grow doubles the chains. Readers that begin meanwhile wait for the engine's mu, and
// those who had begun see that the chains are others.
func (s *tableShard) grow() {
	old := *s.chains.Load()
	wide := make([]atomic.Pointer[cell], max(8, 2*len(old)))
	s.chains.Store(nil)
	for i := range old {
		for c := old[i].Load(); c != nil; {
			next := c.next.Load()
			first := &wide[int(c.hash)&(len(wide)-1)]
			c.next.Store(first.Load())
			first.Store(c)
			c = next
		}
	}
	s.chains.Store(&wide)
}

// cells walks the cells of s, which must not change meanwhile.
func (s *tableShard) cells() iter.Seq[*cell] {
	return func(yield func(*cell) bool) {
		chains := *s.chains.Load()
		for i := range chains {
			for c := chains[i].Load(); c != nil; c = c.next.Load() {
				if !yield(c) {
					return
				}
			}
		}
	}
}
