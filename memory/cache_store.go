package memory

// leavers collects the values that an operation removed, for OnEvict to be told
// of once the locks are free.
type leavers[K comparable, V any] []Eviction[K, V]

// notify tells OnEvict of out. No lock is held, and no state depends on whether
// OnEvict returns.
func (c *Cache[K, V]) notify(out leavers[K, V]) {
	for _, e := range out {
		c.opts.OnEvict(e)
	}
}

// note adds a departure to out if somebody wants to know.
func (c *Cache[K, V]) note(out *leavers[K, V], e *entry[K, V], reason EvictReason) {
	if c.opts.OnEvict != nil {
		*out = append(*out, Eviction[K, V]{Key: e.key, Value: e.value, Bytes: e.size(), Reason: reason})
	}
}

// drop removes the entry at idx of s, which is locked, and releases its room.
func (c *Cache[K, V]) drop(s *shard[K, V], idx uint32, reason EvictReason, out *leavers[K, V]) {
	e := s.at(idx)
	c.note(out, e, reason)
	size := e.size()
	s.remove(idx)
	c.budget.release(1, size)
	switch reason {
	case EvictCapacity:
		s.counts.evicted++
	case EvictPressure:
		s.counts.shrunk++
	case EvictExpired:
		s.counts.expired++
	}
}

// dropVictim removes the entry of s other than keep that the policy chooses, and
// returns the bytes freed, 0 if there was none.
func (c *Cache[K, V]) dropVictim(s *shard[K, V], keep uint32, now int64, reason EvictReason, out *leavers[K, V]) (freed int64) {
	idx := s.victim(keep)
	if idx == 0 {
		return 0
	}
	e := s.at(idx)
	if e.expired(now) {
		reason = EvictExpired
	}
	freed = e.size()
	c.drop(s, idx, reason, out)
	if s.scan == nil && !s.exact {
		s.age.step(s.count)
	}
	return freed
}

// store puts a value into s, which is locked; it may unlock s for a while to find
// room elsewhere. With a call it stores only while that load is still wanted.
func (c *Cache[K, V]) store(s *shard[K, V], hash uint32, key K, value V, size int64, of *call[V], out *leavers[K, V]) error {
	for range 16 * len(c.shards) {
		if of != nil && s.calls[key] != of {
			return nil // overtaken by a write
		}
		if c.closed.Load() {
			return ErrClosed
		}
		if size > min(maxEntryBytes, c.budget.capBytes.Load()) {
			break
		}
		if c.place(s, hash, key, value, size, out) {
			s.noteWrite(key)
			s.counts.sets++
			return nil
		}
		s.unlock() // two shards are never waited for at once
		c.makeRoom(size, out)
		s.mu.Lock()
	}
	if of == nil {
		s.noteWrite(key)
		if idx := s.find(hash, key); idx != 0 {
			c.drop(s, idx, EvictReplaced, out)
		}
	}
	return c.refuse(s, size)
}

// place updates or inserts the entry, evicting within s and from shards that are
// free at the moment; it reports false if that gave not enough room.
func (c *Cache[K, V]) place(s *shard[K, V], hash uint32, key K, value V, size int64, out *leavers[K, V]) bool {
	now := c.now()
	idx := s.find(hash, key)
	if idx != 0 {
		e := s.at(idx)
		s.touch(idx, e)
		grown := size - e.size()
		if grown > 0 {
			if ok, _ := c.reserve(s, idx, 0, grown, now, out); !ok {
				return false
			}
		}
		c.note(out, e, EvictReplaced)
		s.update(idx, value, size, c.deadline())
		if s.age.now != 0 {
			e.setFrequency(s.age.now)
		}
		if grown < 0 {
			c.budget.release(0, -grown)
		}
		return true
	}
	if now > 0 { // expired entries at the cold end leave before they are in the way
		for _, ring := range [...]int{ringWindow, ringWindow, ringProbation, ringProtected} {
			if old := s.ends[ring].last; old != 0 && s.at(old).expired(now) {
				c.drop(s, old, EvictExpired, out)
			}
		}
	}
	ok, full := c.reserve(s, 0, 1, size, now, out)
	if !ok {
		return false
	}
	idx = s.insert(hash, key, value, size, c.deadline(), ringWindow)
	switch {
	case s.scan != nil:
		s.scanInsert(idx, full)
	case s.age.now != 0:
		s.age.step(s.count)
		s.at(idx).setFrequency(s.age.now)
	}
	return true
}

// reserve takes room for an entry of s, which is locked, evicting until there is.
// A shard with less than its share takes the room from one with more. full tells
// that something had to be evicted.
func (c *Cache[K, V]) reserve(s *shard[K, V], keep uint32, items, bytes, now int64, out *leavers[K, V]) (ok, full bool) {
	for !c.budget.reserve(items, bytes) {
		full = true
		mean := int(c.budget.items.Load() / int64(len(c.shards)))
		if s.count < mean && c.dropElsewhere(s, mean, now, out) {
			continue
		}
		if c.dropVictim(s, keep, now, EvictCapacity, out) > 0 {
			continue
		}
		if !c.dropElsewhere(s, 1, now, out) {
			return false, full
		}
	}
	return true, full
}

// dropElsewhere evicts one entry from another shard that holds at least fill
// entries and is not locked. It never waits, so holding s cannot deadlock.
func (c *Cache[K, V]) dropElsewhere(s *shard[K, V], fill int, now int64, out *leavers[K, V]) bool {
	for range min(len(c.shards)-1, maxDonorTries) {
		other := &c.shards[c.donor.Add(1)&uint32(len(c.shards)-1)]
		if other == s || !other.mu.TryLock() {
			continue
		}
		dropped := other.count >= max(1, fill) && c.dropVictim(other, 0, now, EvictCapacity, out) > 0
		other.unlock()
		if dropped {
			return true
		}
	}
	return false
}

// makeRoom evicts until an entry of size would fit, waiting for each shard in
// turn. No lock is held; others may take the room before the caller does.
func (c *Cache[K, V]) makeRoom(size int64, out *leavers[K, V]) {
	now := c.now()
	for range c.shards {
		items, bytes := c.budget.excess(c.budget.capItems.Load()-1, c.budget.capBytes.Load()-size)
		if items == 0 && bytes == 0 {
			return
		}
		s := &c.shards[c.donor.Add(1)&uint32(len(c.shards)-1)]
		s.mu.Lock()
		c.evictSome(s, items, bytes, now, EvictCapacity, out)
		s.unlock()
	}
}

// evictSome evicts entries of s, in the policy's order, which is locked, until that many items
// and bytes are gone, and at most evictPerLock. It returns the bytes freed.
func (c *Cache[K, V]) evictSome(s *shard[K, V], items, bytes, now int64, reason EvictReason, out *leavers[K, V]) (freed int64) {
	var gone int64
	for gone < evictPerLock && (gone < items || freed < bytes) {
		n := c.dropVictim(s, 0, now, reason, out)
		if n == 0 {
			break
		}
		freed += n
		gone++
	}
	return freed
}
