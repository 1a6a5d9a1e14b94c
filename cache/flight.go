package cache

import (
	"context"
	"hash/maphash"
	"sync"
	"sync/atomic"
	"time"
)

// A flight is the one load of a key that is running. A call is one run of a loader:
// it carries one flight, or several for LoadMany.

const (
	flightShards   = 128
	writtenClasses = 1 << 13 // keys of one class vouch for each other: too few cost loads
)

type flightShard struct {
	// mu also orders all writes of a key: Set, Delete, Expire and the end of a load.
	mu sync.Mutex
	m  map[Key]*flight // guarded by mu
	// sets holds the Sets under way of a cache with a second level. Guarded by mu.
	sets map[Key]*setting
	_    [40]byte // keeps neighbours off one cache line
}

type flightTable struct {
	loaders atomic.Int64 // goroutines that run a loader, or are about to
	seed    maphash.Seed
	shards  [flightShards]flightShard

	// written holds for each class of keys the moment of the last write by hand. It
	// tells of writes of entries whose tag nobody had named by then.
	written [writtenClasses]atomic.Int64

	waitMu sync.Mutex
	waits  map[*call]map[*call]int // guarded by waitMu: who waits for whom inside loaders
}

type flight struct {
	key   Key
	call  *call
	stamp uint64        // the epoch before the load
	done  chan struct{} // closed when the fields below are set

	superseded bool // guarded by the shard's mu: a write of the key came between

	// Set before done is closed.
	value   any // a V, or nil with err
	err     error
	nodes   []*node
	stale   bool // value is an old one, served because of an error
	unmoved bool // no tag of it was invalidated between stamp and the end
	ended   bool // guarded by the shard's mu
}

type call struct {
	core       *core
	flights    []*flight
	rec        *recorder
	ctx        context.Context
	cancel     context.CancelCauseFunc
	timer      *time.Timer // HardTimeout, or nil
	background bool
	ahead      bool // the value is still fresh
	settled    bool // the loader's goroutine has ended all flights
	begun      int64
	missed     atomic.Bool // the loader named an entry that was written after begun
	rgen       uint64
	rpos       uint64
	waiters    atomic.Int32 // 0: abandoned, nobody may join any more
}

// setting is one or more Sets of a key that have asked the second level for a
// position and not stored their value yet.
type setting struct {
	n   int
	pos uint64 // highest position at which the key was invalidated meanwhile
}

// beginSet announces a Set of key.
func (t *flightTable) beginSet(key Key) {
	s := t.shard(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.sets == nil {
		s.sets = make(map[Key]*setting)
	}
	if s.sets[key] == nil {
		s.sets[key] = &setting{}
	}
	s.sets[key].n++
}

func (t *flightTable) endSet(key Key) {
	s := t.shard(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.sets[key].n--; s.sets[key].n == 0 {
		delete(s.sets, key)
	}
}

// overtookLocked notes that key was invalidated at a position of the second level.
func (s *flightShard) overtookLocked(key Key, pos uint64) {
	if set := s.sets[key]; set != nil {
		set.pos = max(set.pos, pos)
	}
}

// answers tells whether f may answer a caller that began at the moment begun and read
// epoch then: not if f may have read what was invalidated before.
func (f *flight) answers(epoch uint64, begun int64) bool {
	return f.unmoved || f.stamp >= epoch && (begun <= f.call.begun || !f.call.missed.Load())
}

func newFlightTable() *flightTable {
	t := &flightTable{seed: maphash.MakeSeed(), waits: make(map[*call]map[*call]int)}
	for i := range t.shards {
		t.shards[i].m = make(map[Key]*flight)
	}
	return t
}

func (t *flightTable) shard(key Key) *flightShard {
	return &t.shards[maphash.Comparable(t.seed, key)%flightShards]
}

// lastWrite is the moment of the last write by hand of a key of the same class.
func (t *flightTable) lastWrite(key Key) *atomic.Int64 {
	return &t.written[maphash.Comparable(t.seed, key)%writtenClasses]
}

// noteWrite notes that key was written by hand at the moment now, unless a later write
// of its class is known already: writers may come here in any order.
func (t *flightTable) noteWrite(key Key, now int64) {
	last := t.lastWrite(key)
	for {
		at := last.Load()
		if at >= now || last.CompareAndSwap(at, now) {
			return
		}
	}
}

// supersedeLocked detaches the running load of key: its result goes to those who
// wait for it, and is not stored; later callers start anew.
func (s *flightShard) supersedeLocked(key Key) {
	if f := s.m[key]; f != nil {
		f.superseded = true
		delete(s.m, key)
	}
}

// join adds a waiter, unless all have left already.
func (cl *call) join() bool {
	for {
		n := cl.waiters.Load()
		if n == 0 {
			return false
		}
		if cl.waiters.CompareAndSwap(n, n+1) {
			return true
		}
	}
}

// leave removes a waiter; when the last one has gone, the loader is cancelled.
func (cl *call) leave(cause error) {
	if cl.waiters.Add(-1) == 0 {
		cl.cancel(cause)
	}
}

// enterWait notes that loader from waits for to, or returns ErrCycle if to waits
// for from already. A nil from is not inside a loader.
func (t *flightTable) enterWait(from, to *call) error {
	if from == nil {
		return nil
	}
	t.waitMu.Lock()
	defer t.waitMu.Unlock()
	if t.reachesLocked(to, from, map[*call]bool{}) {
		return ErrCycle
	}
	if t.waits[from] == nil {
		t.waits[from] = make(map[*call]int)
	}
	t.waits[from][to]++
	return nil
}

func (t *flightTable) reachesLocked(from, to *call, seen map[*call]bool) bool {
	if from == to {
		return true
	}
	if seen[from] {
		return false
	}
	seen[from] = true
	for next := range t.waits[from] {
		if t.reachesLocked(next, to, seen) {
			return true
		}
	}
	return false
}

func (t *flightTable) leaveWait(from, to *call) {
	if from == nil {
		return
	}
	t.waitMu.Lock()
	defer t.waitMu.Unlock()
	m := t.waits[from]
	if m[to]--; m[to] <= 0 {
		delete(m, to)
	}
	if len(m) == 0 {
		delete(t.waits, from)
	}
}

// recorder collects what a running loader depends on. It travels in the loader's ctx.
type recorder struct {
	c    *Cache
	call *call

	mu      sync.Mutex
	nodes   []*node // guarded by mu; one reference each
	tainted bool    // guarded by mu: the loader saw a stale value
	closed  bool    // guarded by mu: the load has ended
}

// recorderKey is per cache, so that loaders of several caches may nest.
type recorderKey struct{ c *Cache }

// recorder returns the recorder of the innermost running loader of c that ctx belongs
// to, or nil. While no loader runs, it does not have to walk through ctx.
func (c *Cache) recorder(ctx context.Context) *recorder {
	if c.flights.loaders.Load() == 0 {
		return nil
	}
	return c.recorderIn(ctx)
}

func (c *Cache) recorderIn(ctx context.Context) *recorder {
	r, _ := ctx.Value(recorderKey{c}).(*recorder)
	return r
}

// add records a dependency on the tag name and returns its node, nil after the end.
func (r *recorder) add(name string) *node {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return nil
	}
	for _, n := range r.nodes {
		if n.name == name {
			return n
		}
	}
	n := r.c.tags.acquire(name)
	r.nodes = append(r.nodes, n)
	return n
}

// inherit records all that a value read inside the loader depends on. Nodes are
// acquired by name: their owner may have left, and a forgotten node is deaf.
func (r *recorder) inherit(nodes []*node) {
	for _, n := range nodes {
		r.add(n.name)
	}
}

func (r *recorder) taint() {
	r.mu.Lock()
	r.tainted = true
	r.mu.Unlock()
}

// close ends recording and hands the nodes with their references to the caller.
func (r *recorder) close() (nodes []*node, tainted bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.closed = true
	nodes, r.nodes = r.nodes, nil
	return nodes, r.tainted
}

func (r *recorder) caller() *call {
	if r == nil {
		return nil
	}
	return r.call
}
