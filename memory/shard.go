package memory

import (
	"reflect"
	"sync"
	"time"
)

// Sizes of an arena's chunks. Whole chunks are allocated at once, so that growth
// copies nothing but the first, small one.
const (
	firstChunk    = 8
	maxChunk      = 1024
	chunkBytes    = 64 << 10
	slotBytes     = 7  // tag and index at the mean load of the table
	slack         = 4  // times the entries that an arena may be sized for
	chances       = 16 // entries that one search for a victim may spare
	evictPerLock  = 1024
	maxDonorTries = 4
)

// entry is one cached pair. Links are indexes into the arena, not pointers: the
// collector has no list to walk, and nothing at all to scan if K and V hold no
// pointers.
type entry[K comparable, V any] struct {
	prev, next uint32
	hash       uint32 // the low half, which places the entry in the table
	sizeLow    uint32
	meta       uint64 // deadline << 15 | frequency << 11 | used << 10 | ring << 8 | size >> 32
	key        K
	value      V
}

// The parts of an entry's meta. What is told of an entry's use lies in the line that
// finding it has brought in anyway: a hit need not touch another.
const (
	ringShift, usedShift, freqShift, deadlineShift = 8, 10, 11, 15

	ringMask    = uint64(3) << ringShift
	usedBit     = uint64(1) << usedShift // used since it was set or last spared
	freqMask    = uint64(counterMax) << freqShift
	maxDeadline = 1<<(64-deadlineShift) - 1 // µs, 17 years
)

func (e *entry[K, V]) size() int64 { return int64(e.meta&0xff)<<32 | int64(e.sizeLow) }

// deadline is in µs since the cache's start, 0 for an entry that does not expire.
func (e *entry[K, V]) deadline() int64 { return int64(e.meta >> deadlineShift) }

func (e *entry[K, V]) ring() int { return int(e.meta & ringMask >> ringShift) }

func (e *entry[K, V]) setRing(ring int) { e.meta = e.meta&^ringMask | uint64(ring)<<ringShift }

func (e *entry[K, V]) used() bool { return e.meta&usedBit != 0 }

func (e *entry[K, V]) frequency() uint64 { return e.meta & freqMask >> freqShift }

// count raises the frequency and returns 1, or 0 if it is the most already. It does not
// branch: what the processor guessed wrong would hold up the calls behind this one.
func (e *entry[K, V]) count() uint64 {
	one := ((e.meta&freqMask ^ freqMask) + freqMask) >> deadlineShift
	e.meta += one << freqShift
	return one
}

func (e *entry[K, V]) setFrequency(n uint64) { e.meta = e.meta&^freqMask | n<<freqShift }

func (e *entry[K, V]) set(value V, size, deadline int64) {
	e.value = value
	e.sizeLow = uint32(size)
	e.meta = uint64(deadline)<<deadlineShift | e.meta&(ringMask|usedBit|freqMask) | uint64(size)>>32
}

func (e *entry[K, V]) expired(now int64) bool {
	d := e.deadline()
	return d != 0 && now >= d
}

// shard is one independent part of a cache. Entry 0 of its arena is not used, so
// that 0 can stand for no entry.
type shard[K comparable, V any] struct {
	mu sync.Mutex

	// All guarded by mu.
	chunks [][]entry[K, V]
	shift  uint // log2 of the chunk length
	used   uint32
	free   uint32 // head of the free list through next; 0: none
	count  int
	ends   [rings]ends
	exact  bool  // one shard is all: PolicyLRU keeps the order of uses itself
	age    age   // of newcomers, under PolicyLRU in a cache of more shards
	scan   *scan // nil under PolicyLRU
	table
	calls    map[K]*call[V]
	watchers []*watcher[K]
	counts   shardCounts

	_ [64]byte // keeps neighbours' locks off this cache line
}

// ends are those of a ring: prev of the first entry, the most recently used, and
// next of the last are 0.
type ends struct{ first, last uint32 }

// shardCounts are the counters behind CacheStats.
type shardCounts struct {
	hits, misses, sets       uint64
	tooLarge, pressure       uint64
	evicted, shrunk, expired uint64
	loads, loadErrors        uint64
	loadTime                 time.Duration
}

// watcher notes that its key was written to or deleted.
type watcher[K comparable] struct {
	key     K
	touched bool
}

// entryBytes is the size of one entry of a cache of this type.
func entryBytes[K comparable, V any]() int64 {
	return int64(reflect.TypeFor[entry[K, V]]().Size())
}

// chunkShift returns log2 of the chunk length for entries of size bytes.
func chunkShift(size int64) uint {
	shift := uint(1) // the first chunk holds an entry beside the unused one
	for 1<<shift < maxChunk && size<<(shift+1) <= chunkBytes {
		shift++
	}
	return shift
}

func (s *shard[K, V]) at(i uint32) *entry[K, V] {
	return &s.chunks[i>>(s.shift&31)][i&(1<<(s.shift&31)-1)]
}

// insert adds an entry that is not there yet, as the most recently used of its ring.
func (s *shard[K, V]) insert(hash uint32, key K, value V, size, deadline int64, ring int) uint32 {
	idx := s.alloc()
	e := s.at(idx)
	e.hash, e.key = hash, key
	e.set(value, size, deadline)
	s.link(idx, ring)
	s.slot(idx, hash)
	s.count++
	return idx
}

// alloc returns the index of an unused entry.
func (s *shard[K, V]) alloc() uint32 {
	if s.free != 0 {
		idx := s.free
		s.free = s.at(idx).next
		return idx
	}
	if s.used == 0 {
		s.used = 1
	}
	length := 1 << s.shift
	last := len(s.chunks) - 1
	switch {
	case last < 0:
		s.chunks = append(s.chunks, make([]entry[K, V], min(firstChunk, length)))
	case int(s.used) == last<<s.shift+len(s.chunks[last]):
		if n := len(s.chunks[last]); n < length {
			grown := make([]entry[K, V], min(2*n, length))
			copy(grown, s.chunks[last])
			s.chunks[last] = grown
		} else {
			s.chunks = append(s.chunks, make([]entry[K, V], length))
		}
	}
	s.used++
	return s.used - 1
}

// remove takes an entry out and forgets its key and value.
func (s *shard[K, V]) remove(idx uint32) {
	if s.scan != nil {
		s.scan.raise(s.at(idx).hash, s.at(idx).frequency())
	}
	s.unslot(idx)
	s.unlink(idx)
	*s.at(idx) = entry[K, V]{next: s.free}
	s.free = idx
	s.count--
}

func (s *shard[K, V]) link(idx uint32, ring int) {
	e, r := s.at(idx), &s.ends[ring]
	e.setRing(ring)
	e.prev, e.next = 0, r.first
	if r.first != 0 {
		s.at(r.first).prev = idx
	} else {
		r.last = idx
	}
	r.first = idx
	if s.scan != nil {
		s.scan.bytes[ring] += e.size()
	}
}

func (s *shard[K, V]) unlink(idx uint32) {
	e := s.at(idx)
	ring := e.ring()
	if e.prev != 0 {
		s.at(e.prev).next = e.next
	} else {
		s.ends[ring].first = e.next
	}
	if e.next != 0 {
		s.at(e.next).prev = e.prev
	} else {
		s.ends[ring].last = e.prev
	}
	if s.scan != nil {
		s.scan.bytes[ring] -= e.size()
	}
}

// move makes an entry the most recent of a ring. A use that it was spared for is spent.
func (s *shard[K, V]) move(idx uint32, ring int) {
	s.at(idx).meta &^= usedBit
	if s.ends[ring].first != idx {
		s.unlink(idx)
		s.link(idx, ring)
	}
}

// touch notes a use of the entry e at idx. A mark in the entry is enough in a large
// cache: moving it would cost the lines of two neighbours.
func (s *shard[K, V]) touch(idx uint32, e *entry[K, V]) {
	e.meta |= usedBit
	if n := s.scan; n != nil {
		if n.use(e.count()) {
			s.scanDue()
		}
	} else if s.exact {
		s.move(idx, 0)
	}
}

// update gives an entry another value.
func (s *shard[K, V]) update(idx uint32, value V, size, deadline int64) {
	e := s.at(idx)
	if s.scan != nil {
		s.scan.bytes[e.ring()] += size - e.size()
	}
	e.set(value, size, deadline)
}

// victim returns the entry to evict next other than keep, or 0.
func (s *shard[K, V]) victim(keep uint32) uint32 {
	if s.scan != nil {
		return s.scanVictim(keep)
	}
	return s.oldest(0, keep)
}

// oldest returns the entry at the cold end of a ring, or 0 if there is none but keep.
// Entries that were used while they moved there, young ones and keep go to the front
// instead, a few at most: so a search is short. Where it meets no other, the first of
// those that were used goes.
func (s *shard[K, V]) oldest(ring int, keep uint32) uint32 {
	r := &s.ends[ring]
	spared := uint32(0) // the first that was used
	for range s.age.chances() {
		last := r.last
		if last == 0 || last == r.first {
			break
		}
		switch e := s.at(last); {
		case last == keep:
		case e.used():
			if spared == 0 {
				spared = last
			}
			if s.scan == nil {
				e.setFrequency(0) // it was asked for, so its age does not matter any more
			}
		case !s.young(e):
			return last
		}
		s.move(last, ring)
	}
	last := r.last
	if spared != 0 && (last == keep || s.at(last).used() || s.young(s.at(last))) {
		return spared
	}
	if last == keep && keep != 0 {
		return s.at(keep).prev
	}
	return last
}

// young tells whether e counts as just set, under PolicyLRU.
func (s *shard[K, V]) young(e *entry[K, V]) bool { return s.age.now != 0 && s.age.young(e.frequency()) }

// each yields the entries of one ring after another, the least recently used first.
func (s *shard[K, V]) each(yield func(idx uint32) bool) {
	for ring := range s.ends {
		for idx := s.ends[ring].last; idx != 0; idx = s.at(idx).prev {
			if !yield(idx) {
				return
			}
		}
	}
}

// unlock unlocks s after entries may have left it. An arena far too large for the
// rest is packed first: it is not in what the cache counts. That costs less than
// the removals that led to it. No index may be used across unlock.
func (s *shard[K, V]) unlock() {
	if int(s.used) > slack*(s.count+firstChunk) {
		s.compact()
	}
	s.mu.Unlock()
}

// detach empties s and returns what it held, for the caller alone to read.
func (s *shard[K, V]) detach() *shard[K, V] {
	old := &shard[K, V]{chunks: s.chunks, shift: s.shift, used: s.used, count: s.count, ends: s.ends}
	s.chunks, s.used, s.free, s.count, s.parts, s.ends = nil, 0, 0, 0, nil, [rings]ends{}
	s.age = age{}
	if s.scan != nil { // uses of absent keys are not known any more, the window's share is
		s.scan.sketch, s.scan.bytes, s.scan.debt, s.scan.counts = sketch{}, [rings]int64{}, 0, 0
	}
	return old
}

// bytes returns the sum of the entries' sizes; unused entries have none.
func (s *shard[K, V]) bytes() (sum int64) {
	for i := uint32(1); i < s.used; i++ {
		sum += s.at(i).size()
	}
	return sum
}

// compact gives back the arena and table that a shrunken shard no longer needs,
// by building smaller ones. It is O(count).
func (s *shard[K, V]) compact() {
	if int(s.used) <= 2*s.count+firstChunk {
		return
	}
	old := s.detach()
	if s.scan != nil {
		s.scan.fit(old.count)
	}
	for idx := range old.each {
		e := old.at(idx)
		at := s.insert(e.hash, e.key, e.value, e.size(), e.deadline(), e.ring())
		s.at(at).meta |= e.meta & usedBit
		if s.scan != nil {
			s.at(at).setFrequency(e.frequency())
		}
	}
}

// noteWrite tells loads in flight and conditional deletes that key has changed.
func (s *shard[K, V]) noteWrite(key K) {
	if len(s.calls) > 0 {
		delete(s.calls, key) // its result is handed out, but no longer stored
	}
	for _, w := range s.watchers {
		if w.key == key {
			w.touched = true
		}
	}
}
