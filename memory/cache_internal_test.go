package memory

import (
	"math/bits"
	"math/rand/v2"
	"runtime"
	"testing"
)

// TestResizeWaitsForOldReservations: a Set that has seen the old bound, and still
// holds its shard's lock, must be done before the new bound is told.
func TestResizeWaitsForOldReservations(t *testing.T) {
	c, err := NewCache(CacheOptions[int, int]{MaxBytes: 100, SizeOf: func(int, int) int64 { return 1 }})
	if err != nil {
		t.Fatal(err)
	}
	s := &c.shards[0]
	s.mu.Lock()
	done := make(chan error, 1)
	go func() { done <- c.Resize(0, 10) }()
	for c.budget.capBytes.Load() != 10 {
		runtime.Gosched()
	}
	for range 1000 {
		runtime.Gosched()
	}
	select {
	case err := <-done:
		s.mu.Unlock()
		t.Fatalf("Resize returned %v while a Set was under way", err)
	default:
	}
	if c.budget.maxBytes.Load() != 100 {
		t.Errorf("the bound told is %d before it holds; want 100", c.budget.maxBytes.Load())
	}
	s.mu.Unlock()
	if err := <-done; err != nil || c.budget.maxBytes.Load() != 10 {
		t.Errorf("Resize = %v, bound %d; want 10", err, c.budget.maxBytes.Load())
	}
}

// checkShard verifies the structure of a shard: ring, table and free list tell of
// the same entries.
func checkShard[K comparable, V any](t *testing.T, s *shard[K, V]) (bytes int64) {
	t.Helper()
	count := 0
	for ring := range s.ends {
		prev, held := uint32(0), int64(0)
		for idx := s.ends[ring].first; idx != 0; idx = s.at(idx).next {
			e := s.at(idx)
			if e.prev != prev || e.ring() != ring {
				t.Fatalf("entry %d: prev %d, ring %d; want %d, %d", idx, e.prev, e.ring(), prev, ring)
			}
			if got := s.find(e.hash, e.key); got != idx {
				t.Fatalf("find(%v) = %d; want %d", e.key, got, idx)
			}
			bytes += e.size()
			held += e.size()
			prev = idx
			if count++; count > s.count {
				t.Fatalf("the rings have more than %d entries", s.count)
			}
		}
		if s.ends[ring].last != prev {
			t.Fatalf("ring %d ends with %d; want %d", ring, s.ends[ring].last, prev)
		}
		if s.scan != nil && s.scan.bytes[ring] != held {
			t.Fatalf("ring %d holds %d bytes; it says %d", ring, held, s.scan.bytes[ring])
		}
	}
	used := 0
	var last *partState
	for _, p := range s.parts {
		if p.partState == last {
			continue
		}
		last = p.partState
		tags := 0
		for _, g := range p.groups {
			tags += groupSlots - bits.OnesCount64(g.empty())
		}
		if tags != p.count {
			t.Fatalf("a part holds %d entries; it says %d", tags, p.count)
		}
		used += tags
	}
	free := 0
	for idx := s.free; idx != 0; idx = s.at(idx).next {
		free++
	}
	if count != s.count || used != s.count || s.used > 0 && int(s.used) != 1+s.count+free {
		t.Fatalf("count %d, ring %d, table %d, arena %d, free %d do not fit", s.count, count, used, s.used, free)
	}
	return bytes
}

// TestShardInvariants checks the structure between many random operations on
// a cache of several shards.
func TestShardInvariants(t *testing.T) {
	for _, p := range []Policy{PolicyLRU, PolicyScanResistant} {
		t.Run(p.String(), func(t *testing.T) { testShardInvariants(t, p) })
	}
}

func testShardInvariants(t *testing.T, p Policy) {
	c, err := NewCache(CacheOptions[int, string]{MaxBytes: 40 << 20, Policy: p, SizeOf: func(_ int, v string) int64 { return int64(len(v)) << 10 }})
	if err != nil {
		t.Fatal(err)
	}
	if len(c.shards) < 4 {
		t.Fatalf("%d shards for 40 MiB; want several", len(c.shards))
	}
	const text = "0123456789012345678901234567890123456789"
	rng := rand.New(rand.NewPCG(3, 4))
	for step := range 30_000 {
		key := rng.IntN(6000)
		switch op := rng.IntN(1000); {
		case op < 700:
			if err := c.Set(key, text[:1+rng.IntN(len(text)-1)]); err != nil {
				t.Fatal(err)
			}
		case op < 850:
			c.Get(key)
		case op < 990:
			c.Delete(key)
		case op < 995:
			c.Shrink(t.Context(), rng.Float64())
		case op < 996:
			c.Purge()
		default:
			if err := c.Resize(1000+rng.IntN(4000), int64(5+rng.IntN(35))<<20); err != nil {
				t.Fatal(err)
			}
		}
		if step%100 != 0 {
			continue
		}
		var items, bytes int64
		for i := range c.shards {
			bytes += checkShard(t, &c.shards[i])
			items += int64(c.shards[i].count)
		}
		if items != c.budget.items.Load() || bytes != c.budget.bytes.Load() {
			t.Fatalf("step %d: shards hold %d, %d; the budget says %d, %d", step, items, bytes, c.budget.items.Load(), c.budget.bytes.Load())
		}
	}
}

// TestShardTakesFromFuller: a shard with less than its share grows at the cost of
// those with more, not of its own entries.
func TestShardTakesFromFuller(t *testing.T) {
	bound := 1000 * shardCount(8000, unbounded)
	c, err := NewCache(CacheOptions[int, int]{MaxItems: bound, MaxBytes: -1})
	if err != nil {
		t.Fatal(err)
	}
	poor := &c.shards[0]
	var own []int // keys of the poor shard
	for key := 0; len(own) < 200 || c.Len() < bound; key++ {
		if s, _ := c.shardOf(key); s == poor {
			own = append(own, key)
		} else if err := c.Set(key, key); err != nil {
			t.Fatal(err)
		}
	}
	for _, key := range own[:200] {
		if err := c.Set(key, key); err != nil {
			t.Fatal(err)
		}
	}
	if poor.count < 180 || c.Len() != bound {
		t.Errorf("the shard kept %d of 200 entries with %d in all; want most of them", poor.count, c.Len())
	}
}

// TestShardSparesUsed: in a large cache an entry that was used is spared once, and goes
// when the search comes to it again; no search spares more than a few.
func TestShardSparesUsed(t *testing.T) {
	c, err := NewCache(CacheOptions[int, int]{MaxItems: 20_000, MaxBytes: -1})
	if err != nil {
		t.Fatal(err)
	}
	s := &c.shards[0]
	hash := func(k int) uint32 { _, h := c.shardOf(k); return h }
	for k := range 100 {
		s.insert(hash(k), k, k, 1, 0, 0)
	}
	gone := func() int {
		idx := s.victim(0)
		k := s.at(idx).key
		s.remove(idx)
		return k
	}
	for _, k := range []int{0, 1, 3} {
		idx, e := s.lookup(hash(k), k)
		s.touch(idx, e)
	}
	for _, want := range []int{2, 4, 5} {
		if got := gone(); got != want {
			t.Fatalf("victim %d; want %d", got, want)
		}
	}
	for k := 6; k < 100; k++ {
		if got := gone(); got != k {
			t.Fatalf("victim %d; want %d", got, k)
		}
	}
	if a, b, last := gone(), gone(), gone(); a != 0 || b != 1 || last != 3 || s.victim(0) != 0 {
		t.Errorf("the last victims are %d, %d, %d; want 0, 1, 3", a, b, last)
	}
	for k := range 100 {
		idx := s.insert(hash(k), k, k, 1, 0, 0)
		s.touch(idx, s.at(idx))
	}
	s.insert(hash(100), 100, 100, 1, 0, 0) // the only one that was not used
	for range 100 / (chances + 1) {
		if got := gone(); got == 100 {
			t.Fatal("the newest entry went before others had had one chance")
		}
	}
	checkShard(t, s)
}

// TestShardKeepsUpdated: what a Set has just updated is not evicted for its own growth,
// wherever it stood, unless it is alone.
func TestShardKeepsUpdated(t *testing.T) {
	for _, p := range []Policy{PolicyLRU, PolicyScanResistant} {
		size := int64(1 << 10)
		c, err := NewCache(CacheOptions[int, int]{MaxBytes: 8 << 20, Policy: p, SizeOf: func(int, int) int64 { return size }})
		if err != nil {
			t.Fatal(err)
		}
		rng := rand.New(rand.NewPCG(6, 6))
		for k := range 20_000 {
			size = 1 << 10
			if err := c.Set(k, k); err != nil {
				t.Fatal(err)
			}
			if k%7 == 0 {
				size = 1 + rng.Int64N(64<<10)
				old := max(0, k-rng.IntN(8000))
				if err := c.Set(old, k); err != nil {
					t.Fatal(err)
				}
				if v, ok := c.Peek(old); !ok || v != k {
					t.Fatalf("%v: Peek(%d) after Set of %d bytes = %d, %t", p, old, size, v, ok)
				}
			}
		}
		s := &c.shards[0]
		c.Purge()
		idx := s.insert(1, 1, 1, 1, 0, 0)
		if got := s.victim(idx); got != 0 {
			t.Errorf("%v: victim %d although there is only the one to keep", p, got)
		}
	}
}

// TestTableSplits: a table grows in parts, and finds each of its entries at any size.
func TestTableSplits(t *testing.T) {
	c, err := NewCache(CacheOptions[int, int]{MaxItems: 1 << 20, MaxBytes: -1})
	if err != nil {
		t.Fatal(err)
	}
	const n = 60_000
	for k := range n {
		if err := c.Set(k, k); err != nil {
			t.Fatal(err)
		}
	}
	for i := range c.shards {
		s := &c.shards[i]
		checkShard(t, s)
		for _, p := range s.parts {
			if len(p.groups) > partGroups {
				t.Fatalf("a part has %d groups; want at most %d", len(p.groups), partGroups)
			}
		}
	}
	for k := range n {
		if v, ok := c.Get(k); !ok || v != k {
			t.Fatalf("Get(%d) = %d, %t", k, v, ok)
		}
		if k%3 != 0 {
			c.Delete(k)
		}
	}
	for k := range n {
		if v, ok := c.Get(k); ok != (k%3 == 0) || ok && v != k {
			t.Fatalf("Get(%d) after deletes = %d, %t", k, v, ok)
		}
	}
}

// TestTableAbsentAllPassed: entries that came and went can leave every group of a part
// passed by one that is still there. A search for an absent key ends even so.
func TestTableAbsentAllPassed(t *testing.T) {
	var s shard[int, int]
	s.shift = chunkShift(entryBytes[int, int]())
	var there []uint32
	add := func(n int, hash uint32) {
		for range n {
			there = append(there, s.insert(hash, len(there), 0, 1, 0, 0))
		}
	}
	add(groupSlots+1, 0) // fills group 0 and passes it
	for _, idx := range there[:groupSlots-1] {
		s.remove(idx)
	}
	add(groupSlots, 1) // fills group 1 and passes it
	checkShard(t, &s)
	part := s.partOf(0)
	for i := range part.groups {
		if part.groups[i].passed == 0 {
			t.Fatalf("group %d of %d was not passed: this test does not reach what it is for", i, len(part.groups))
		}
	}
	if idx := s.find(0, -1); idx != 0 {
		t.Errorf("find of an absent key = %d; want 0", idx)
	}
}

// TestGroupMatches compares the bit tricks with a plain look at each byte.
func TestGroupMatches(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 5))
	for range 20_000 {
		var g group
		var tags [groupSlots]uint8
		for range rng.IntN(2 * groupSlots) {
			slot := rng.IntN(groupSlots)
			g.clearTag(slot)
			if tags[slot] = 0; rng.IntN(3) > 0 {
				tags[slot] = 0x80 | uint8(rng.IntN(4)) // few, so that neighbours meet
				g.setTag(slot, tags[slot])
			}
		}
		want := 0x80 | uint8(rng.IntN(4))
		var matches, empties [groupSlots]bool
		for m := g.match(want); m != 0; m &= m - 1 {
			matches[slotAt(m)] = true
		}
		for m := g.empty(); m != 0; m &= m - 1 {
			empties[slotAt(m)] = true
		}
		for slot, tag := range tags {
			if empties[slot] != (tag == 0) || tag == want && !matches[slot] || tag == 0 && matches[slot] {
				t.Fatalf("tags %x, want %x: matches %v, empty %v", tags, want, matches, empties)
			}
		}
	}
}
