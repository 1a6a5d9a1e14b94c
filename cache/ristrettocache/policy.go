package ristrettocache

import (
	"runtime"

	"github.com/perfblocks/perfblocks/cache"
)

// Newcomers wait in a window, first in, first out. When it is full, ristretto is asked
// about a batch of them: who joins the main part, and who leaves for them. Asking at
// once would not do, for ristretto may refuse a newcomer, and a Set must be readable
// when it returns; and one wait for ristretto's goroutine serves a batch.
//
// Only enter adds weight, and it makes room before, so the bound is never exceeded,
// not even while Sets run.

const (
	// windowShare is the part of the bound that the window has: one in so many.
	windowShare = 16
	// batch is the most entries that ristretto is asked about at a time.
	batch = 32
	// cutStep is about how many entries EvictTo evicts while writers wait.
	cutStep = 256
)

// inWindow is the index of the window in engine.lists.
const inWindow uint8 = 0

// slot is the place of a key. Its item may be swapped under the shard's lock for one
// of the same weight; weight changes under both locks, all else is as in engine.
type slot struct {
	id         string // id and strategy are the key
	strategy   uint32
	in         uint8 // index in engine.lists
	hash       uint64
	weight     int64 // of item
	item       *cache.Item
	prev, next *slot
}

func (s *slot) key() cache.Key { return cache.Key{Strategy: s.strategy, ID: s.id} }

// list is a queue of slots with the sum of their weights.
type list struct {
	first, last *slot
	n           int64
	weight      int64
}

func (l *list) push(s *slot) {
	s.prev, s.next = l.last, nil
	if l.last == nil {
		l.first = s
	} else {
		l.last.next = s
	}
	l.last = s
	l.n++
	l.weight += s.weight
}

func (l *list) remove(s *slot) {
	if s.prev == nil {
		l.first = s.next
	} else {
		s.prev.next = s.next
	}
	if s.next == nil {
		l.last = s.prev
	} else {
		s.next.prev = s.prev
	}
	s.prev, s.next = nil, nil
	l.n--
	l.weight -= s.weight
}

// windowOf returns the part of weight that the window gets; at least 1 of above 0.
func windowOf(weight int64) int64 { return (weight + windowShare - 1) / windowShare }

func (e *engine) window() *list { return &e.lists[inWindow] }
func (e *engine) main() *list   { return &e.lists[e.gen] }

// stale is what was in main before the counters grew. It counts as a part of main
// that ristretto does not know yet.
func (e *engine) stale() *list { return &e.lists[3-e.gen] }

func (e *engine) weightLocked() int64 {
	return e.lists[0].weight + e.lists[1].weight + e.lists[2].weight
}

func (e *engine) pushLocked(s *slot, in uint8) {
	s.in = in
	e.lists[in].push(s)
}

// enter sets a key that is new or whose weight changes: it goes to the end of the
// window. An older value stays readable until the new one is.
func (e *engine) enter(h uint64, key cache.Key, it *cache.Item) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.ghosts == nil {
		return cache.ErrClosed
	}
	w := it.Weight()
	if w > e.max {
		return cache.ErrTooLarge
	}
	sh := e.shard(h)
	sh.mu.RLock()
	s := sh.slots[h]
	sh.mu.RUnlock()
	if s != nil {
		e.withdrawLocked(s) // nobody else evicts it now
		if s.key() != key {
			e.dropLocked(s)
			s = nil
		}
	}
	e.makeRoomLocked(w)
	var old *cache.Item
	sh.mu.Lock()
	if s == nil {
		s = &slot{id: key.ID, strategy: key.Strategy, hash: h}
		sh.slots[h] = s
	}
	old, s.item, s.weight = s.item, it, w
	sh.mu.Unlock()
	e.pushLocked(s, inWindow)
	if old != nil && old != it {
		e.onRemove(old, false)
	}
	if e.lists[0].n+e.lists[1].n+e.lists[2].n > e.room {
		e.growLocked()
	}
	return nil
}

// withdrawLocked takes s off its list, and from ristretto if that knows it.
func (e *engine) withdrawLocked(s *slot) {
	if s.in == e.gen {
		e.ghosts.forget(s.hash)
	}
	e.lists[s.in].remove(s)
}

// dropLocked ends s, which is on no list, by an eviction.
func (e *engine) dropLocked(s *slot) {
	sh := e.shard(s.hash)
	sh.mu.Lock()
	delete(sh.slots, s.hash)
	it := s.item
	sh.mu.Unlock()
	e.onRemove(it, true)
}

// makeRoomLocked lets a newcomer of weight w enter the window.
func (e *engine) makeRoomLocked(w int64) {
	size := windowOf(e.max)
	if e.stale().n > 0 {
		e.askLocked(e.stale(), e.stale().weight, e.max-size)
	}
	if e.window().weight > size-w {
		// A quarter more than needed, so that the next few need not ask.
		low := size - size/4 - w
		e.askLocked(e.window(), e.window().weight-low, e.max-size)
	}
	for e.weightLocked() > e.max-w {
		e.cutLocked(e.max - w)
	}
}

// cutLocked does a step towards a sum of weights of at most target, which is less
// than it is: it empties the window down to its part of that, or makes the main part
// smaller.
func (e *engine) cutLocked(target int64) {
	window, known := e.window(), e.main().weight+e.stale().weight
	if low := windowOf(target); window.weight > low {
		e.askLocked(window, window.weight-low, max(target-low, known))
		return
	}
	l := e.stale()
	if l.n == 0 {
		l = e.main()
	}
	step := min(e.weightLocked()-target, cutStep*(l.weight/l.n+1))
	e.askLocked(l, step, known-step)
}

// askLocked offers the oldest of l, until their weight is need but at most a batch of
// them, for places in a main part of at most limit. Where there is no place, the one
// that asks leaves, or others do that ristretto holds for colder. With l = main it is
// a contest among its members, of which at least one leaves if limit is below their
// sum. It waits for ristretto's goroutine, which takes no lock of the engine.
func (e *engine) askLocked(l *list, need, limit int64) {
	var asked [batch]*slot
	n := 0
	for ; n < batch && l.n > 0 && need > 0; n++ {
		s := l.first
		need -= s.weight
		e.withdrawLocked(s)
		asked[n] = s
	}
	limit = max(limit-e.stale().weight, 0)
	for _, s := range asked[:n] {
		e.ghosts.offer(s.hash, s.weight, limit)
		e.pushLocked(s, e.gen)
	}
	e.ghosts.settle(func(h uint64) {
		sh := e.shard(h)
		sh.mu.RLock()
		s := sh.slots[h]
		sh.mu.RUnlock()
		if s != nil && s.in == e.gen {
			e.main().remove(s)
			e.dropLocked(s)
		}
	})
}

// growLocked gives ristretto counters for twice as many entries. That needs a new
// one, which hears of the entries bit by bit, as Sets go on.
func (e *engine) growLocked() {
	for e.stale().n > 0 {
		e.askLocked(e.stale(), e.stale().weight, e.max-windowOf(e.max))
	}
	_ = e.renewLocked(min(2*e.room, e.max)) // without it all goes on with the old one
}

// renewLocked begins with a new ristretto that knows nothing.
func (e *engine) renewLocked(room int64) error {
	g, err := newGhosts(room)
	if err != nil {
		return err
	}
	for i := range e.shards {
		sh := &e.shards[i]
		sh.mu.Lock()
		sh.ghosts = g
		sh.mu.Unlock()
	}
	if e.ghosts != nil {
		e.net.Stop()
		e.ghosts.close()
		e.gen = 3 - e.gen
	}
	e.ghosts, e.room = g, room
	e.net = runtime.AddCleanup(e, (*ghosts).close, g)
	return nil
}
