package memory

import (
	"context"
	"fmt"
	"hash/maphash"
	"iter"
	"math/bits"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Bounds up to which a cache has one shard, and so exact recency order.
const (
	exactItems = 4096
	exactBytes = 4 << 20
	maxShards  = 256
)

// Cache is a cache bounded by items and by bytes, each never exceeded at any
// instant. It is safe for concurrent use and must not be copied. A value that was
// set is there for the next Get, until it is evicted, expires or is deleted.
// Values are shared with every reader: do not modify what was stored.
type Cache[K comparable, V any] struct {
	opts   CacheOptions[K, V]
	seed   maphash.Seed
	sizeOf func(K, V) int64
	extra  int64 // charged for each entry beside what sizeOf says
	start  time.Time
	shards []shard[K, V]
	budget budget
	donor  atomic.Uint32 // rotates over the shards that give up room

	closed     atomic.Bool
	loads      sync.WaitGroup
	unregister func() // nil without a Monitor

	boundsMu sync.Mutex
	held     bool  // guarded by boundsMu: capBytes is below the bound for pressure
	heldFrom int64 // guarded by boundsMu: what the ceiling grows back to
}

// NewCache returns an empty cache and starts nothing. An error matches
// [ErrOptions] and names every bad field. With CacheOptions.Monitor the cache is
// registered there until Close.
func NewCache[K comparable, V any](o CacheOptions[K, V]) (*Cache[K, V], error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	c := &Cache[K, V]{opts: o, seed: maphash.MakeSeed(), start: time.Now(), sizeOf: o.SizeOf}
	if c.sizeOf == nil {
		c.sizeOf = defaultSizer[K, V]()
		if o.Policy == PolicyScanResistant {
			c.extra = sketchBytes
		}
	}
	c.publish(int64(o.MaxItems), o.MaxBytes)
	c.budget.capItems.Store(min(maxArena, c.budget.maxItems.Load()))
	c.budget.capBytes.Store(c.budget.maxBytes.Load())
	c.shards = make([]shard[K, V], shardCount(c.budget.maxItems.Load(), c.budget.maxBytes.Load()))
	shift := chunkShift(entryBytes[K, V]())
	for i := range c.shards {
		c.shards[i].shift = shift
		c.shards[i].exact = len(c.shards) == 1
		if o.Policy == PolicyScanResistant {
			c.shards[i].scan = newScan()
		}
	}
	if o.Monitor != nil && !o.Disabled {
		c.unregister = o.Monitor.Register(o.Name, c)
	}
	return c, nil
}

// shardCount returns 1 for small caches, else a power of two by processors.
func shardCount(maxItems, maxBytes int64) int {
	if maxItems <= exactItems || maxBytes <= exactBytes {
		return 1
	}
	return min(maxShards, 1<<bits.Len(uint(4*runtime.GOMAXPROCS(0)-1)))
}

// publish makes the bounds visible; 0 items and negative bytes mean none.
func (c *Cache[K, V]) publish(maxItems, maxBytes int64) {
	if maxItems == 0 {
		maxItems = unbounded
	}
	if maxBytes < 0 {
		maxBytes = unbounded
	}
	c.budget.maxItems.Store(maxItems)
	c.budget.maxBytes.Store(maxBytes)
}

// shardOf returns the shard of key and the part of its hash that places it there.
func (c *Cache[K, V]) shardOf(key K) (*shard[K, V], uint32) {
	h := maphash.Comparable(c.seed, key)
	return c.shardAt(h), uint32(h)
}

func (c *Cache[K, V]) shardAt(h uint64) *shard[K, V] {
	return &c.shards[h>>32&uint64(len(c.shards)-1)]
}

// now returns the time in µs since the cache was made, rounded down; 0 without TTL.
func (c *Cache[K, V]) now() int64 {
	if c.opts.TTL == 0 {
		return 0
	}
	return int64(time.Since(c.start) / time.Microsecond)
}

// expired reads the clock only if e can expire at all.
func (c *Cache[K, V]) expired(e *entry[K, V]) bool { return e.deadline() != 0 && e.expired(c.now()) }

// deadline returns when an entry set now expires, rounded up to a µs, or 0.
func (c *Cache[K, V]) deadline() int64 {
	if c.opts.TTL == 0 {
		return 0
	}
	at := time.Since(c.start)
	if at > maxDeadline*time.Microsecond-time.Microsecond-c.opts.TTL {
		return 0 // beyond what an entry can tell: for ever
	}
	return int64((at + c.opts.TTL + time.Microsecond - 1) / time.Microsecond)
}

// Get returns the value of key and counts as a use of it. ok is false if the key
// is absent or its value has expired. Get does not allocate.
func (c *Cache[K, V]) Get(key K) (value V, ok bool) {
	h := maphash.Comparable(c.seed, key) // not by shardOf: see below
	s, hash := c.shardAt(h), uint32(h)
	s.mu.Lock()
	idx, e := s.lookup(hash, key)
	if idx == 0 {
		s.counts.misses++
		s.mu.Unlock()
		return value, false
	}
	if e.deadline() != 0 && e.expired(c.now()) {
		c.expire(s, idx)
		return value, false
	}
	s.counts.hits++
	value = e.value
	// As in touch, but written out: the misses above leave the processor room to look
	// ahead by a few hundred instructions only, and those of a call here would keep it
	// from reaching the misses of the next Get.
	e.meta |= usedBit
	if n := s.scan; n != nil {
		if n.use(e.count()) {
			s.scanDue()
		}
	} else if s.exact {
		s.move(idx, 0)
	}
	s.mu.Unlock()
	return value, true
}

// expire ends a Get that found an expired entry, and unlocks s.
func (c *Cache[K, V]) expire(s *shard[K, V], idx uint32) {
	var out leavers[K, V]
	s.counts.misses++
	c.drop(s, idx, EvictExpired, &out)
	s.unlock()
	c.notify(out)
}

// Peek returns the value of key as Get does, but does not count as a use: neither
// the order of eviction nor the counters change.
func (c *Cache[K, V]) Peek(key K) (value V, ok bool) {
	s, hash := c.shardOf(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	if idx := s.find(hash, key); idx != 0 {
		if e := s.at(idx); !c.expired(e) {
			return e.value, true
		}
	}
	return value, false
}

// Set stores value for key, evicting other entries when a bound needs the room. It
// returns an error matching [ErrTooLarge] if the entry alone passes MaxBytes,
// [ErrPressure] if it passes what memory pressure leaves of it (or if other Sets
// kept taking the room), [ErrClosed] after Close. After an error the key is absent:
// a value that was to be replaced is not served.
func (c *Cache[K, V]) Set(key K, value V) error {
	if c.opts.Disabled {
		return nil
	}
	var out leavers[K, V]
	s, hash := c.shardOf(key)
	size := c.charge(key, value)
	s.mu.Lock()
	err := c.store(s, hash, key, value, size, nil, &out)
	s.unlock()
	c.notify(out)
	return err
}

func (c *Cache[K, V]) charge(key K, value V) int64 { return max(1, c.sizeOf(key, value)+c.extra) }

// Delete removes key and reports whether it was there, expired or not. A load of
// the key that is in flight is still handed to its callers, but not stored.
func (c *Cache[K, V]) Delete(key K) bool {
	var out leavers[K, V]
	s, hash := c.shardOf(key)
	s.mu.Lock()
	s.noteWrite(key)
	idx := s.find(hash, key)
	if idx != 0 {
		c.drop(s, idx, EvictDeleted, &out)
	}
	s.unlock()
	c.notify(out)
	return idx != 0
}

// DeleteIf removes key if pred returns true for its value, and reports whether it
// did. pred runs outside the locks; if the value is replaced meanwhile it is asked
// again about the new one, so what is removed is always what it said yes to.
func (c *Cache[K, V]) DeleteIf(key K, pred func(V) bool) bool {
	s, hash := c.shardOf(key)
	w := &watcher[K]{key: key}
	defer c.unwatch(s, w)
	for watching := false; ; watching = true {
		s.mu.Lock()
		if !watching {
			s.watchers = append(s.watchers, w)
		}
		w.touched = false
		idx := s.find(hash, key)
		if idx == 0 || c.expired(s.at(idx)) {
			s.mu.Unlock()
			return false
		}
		value := s.at(idx).value
		s.mu.Unlock()
		if !pred(value) {
			return false
		}
		if done, deleted := c.deleteUntouched(s, hash, w); done {
			return deleted
		}
	}
}

// deleteUntouched removes the entry that w watches unless it was written to; done
// is false if it was.
func (c *Cache[K, V]) deleteUntouched(s *shard[K, V], hash uint32, w *watcher[K]) (done, deleted bool) {
	var out leavers[K, V]
	s.mu.Lock()
	if w.touched {
		s.mu.Unlock()
		return false, false
	}
	idx := s.find(hash, w.key)
	if idx != 0 {
		s.noteWrite(w.key)
		c.drop(s, idx, EvictDeleted, &out)
	}
	s.unlock()
	c.notify(out)
	return true, idx != 0
}

func (c *Cache[K, V]) unwatch(s *shard[K, V], w *watcher[K]) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, other := range s.watchers {
		if other == w {
			last := len(s.watchers) - 1
			s.watchers[i], s.watchers[last] = s.watchers[last], nil
			s.watchers = s.watchers[:last]
			return
		}
	}
}

// Purge removes every entry, the Floor notwithstanding, and gives back the memory
// of the cache's own structures. Loads in flight are not stored. OnEvict is told
// once all entries are gone.
func (c *Cache[K, V]) Purge() {
	var out leavers[K, V]
	for i := range c.shards {
		s := &c.shards[i]
		s.mu.Lock()
		clear(s.calls)
		for _, w := range s.watchers {
			w.touched = true
		}
		old := s.detach()
		c.budget.release(int64(old.count), old.bytes())
		s.mu.Unlock()
		for idx := range old.each {
			c.note(&out, old.at(idx), EvictDeleted)
		}
	}
	c.notify(out)
}

// Len returns the number of entries, expired ones that were not touched since
// included. It is one atomic load.
func (c *Cache[K, V]) Len() int { return int(c.budget.items.Load()) }

// Bytes returns what the entries are charged, in bytes. It is one atomic load.
func (c *Cache[K, V]) Bytes() int64 { return c.budget.bytes.Load() }

// All iterates over the entries, in a small cache under [PolicyLRU] from the most to
// the least recently used, else in no order to rely on. No lock is held meanwhile: entries that come or go during the
// iteration may be seen or not. It does not count as a use.
func (c *Cache[K, V]) All() iter.Seq2[K, V] {
	type pair struct {
		key   K
		value V
	}
	return func(yield func(K, V) bool) {
		var pairs []pair
		for i := range c.shards {
			now := c.now()
			s := &c.shards[i]
			clear(pairs)
			pairs = pairs[:0]
			s.mu.Lock()
			for idx := range s.each {
				if e := s.at(idx); !e.expired(now) {
					pairs = append(pairs, pair{e.key, e.value})
				}
			}
			s.mu.Unlock()
			for _, p := range slices.Backward(pairs) {
				if !yield(p.key, p.value) {
					return
				}
			}
		}
	}
}

// Keys iterates over the keys as All does over the entries.
func (c *Cache[K, V]) Keys() iter.Seq[K] {
	return func(yield func(K) bool) {
		for k := range c.All() {
			if !yield(k) {
				return
			}
		}
	}
}

// Close ends the registration with the Monitor, cancels loads in flight and waits
// for them, and removes every entry. Later Sets and loads return [ErrClosed]; Get
// misses. It always returns nil and may be called again. Do not call it from a
// load or from OnEvict.
func (c *Cache[K, V]) Close() error {
	c.closed.Store(true)
	if c.unregister != nil {
		c.unregister()
	}
	for i := range c.shards {
		s := &c.shards[i]
		s.mu.Lock() // after this no Set or load of before Close is under way here
		var cancels []context.CancelFunc
		for _, call := range s.calls {
			cancels = append(cancels, call.cancel)
		}
		s.mu.Unlock()
		for _, cancel := range cancels {
			cancel()
		}
	}
	c.loads.Wait()
	c.Purge()
	return nil
}

func (c *Cache[K, V]) refuse(s *shard[K, V], size int64) error {
	if size > min(maxEntryBytes, c.budget.maxBytes.Load()) {
		s.counts.tooLarge++
		return fmt.Errorf("%w: set %d bytes", ErrTooLarge, size)
	}
	s.counts.pressure++
	return fmt.Errorf("%w: set %d bytes", ErrPressure, size)
}
