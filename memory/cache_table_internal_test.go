package memory

import (
	"math/rand/v2"
	"testing"
)

// forcedHashes are ways to give keys hashes that the table should not rely on. Two
// keys may share all 32 bits in any cache; here they do so by the hundred.
func forcedHashes() map[string]func(key int) uint32 {
	return map[string]func(int) uint32{
		"all equal":     func(int) uint32 { return 0xdeadbeef },
		"all zero":      func(int) uint32 { return 0 },
		"all ones":      func(int) uint32 { return 0xffffffff },
		"three":         func(k int) uint32 { return []uint32{0, 0xffffffff, 0x80000001}[k%3] },
		"low bits only": func(k int) uint32 { return uint32(k % 64) },
		"neighbours":    func(k int) uint32 { return uint32(k%2) - 1 }, // the last group and the first
		"high bits":     func(k int) uint32 { return uint32(k) << 20 },
		"highest bits":  func(k int) uint32 { return uint32(k%4) << 30 },
		"tags only":     func(k int) uint32 { return uint32(k%128) << 6 },
		"spread":        func(k int) uint32 { return uint32(k) * 0x9e3779b9 },
	}
}

// TestTableForcedHashes drives a shard with such hashes against a map: whatever they
// are, each entry is found, none that is absent is, and every search ends.
func TestTableForcedHashes(t *testing.T) {
	for name, hash := range forcedHashes() {
		for _, scan := range []bool{false, true} {
			t.Run(name, func(t *testing.T) { testForcedHashes(t, hash, scan) })
		}
	}
}

func testForcedHashes(t *testing.T, hash func(int) uint32, resistant bool) {
	const keys = 1500 // a part has to grow beyond what it holds by far
	s := shard[int, int]{shift: chunkShift(entryBytes[int, int]())}
	if resistant {
		s.scan = newScan()
	}
	want := map[int]int{}
	rng := rand.New(rand.NewPCG(11, 12))
	for step := range 12_000 {
		key := rng.IntN(keys)
		idx, e := s.lookup(hash(key), key)
		if v, ok := want[key]; ok != (idx != 0) || ok && e.value != v {
			t.Fatalf("step %d: lookup(%d) = %d; the map has %d, %t", step, key, idx, v, ok)
		}
		more := 75 // fills, then empties, then fills again
		if step/4000 == 1 {
			more = 20
		}
		switch op := rng.IntN(100); {
		case idx != 0 && op < more/2:
			s.touch(idx, e)
		case idx != 0:
			s.remove(idx)
			delete(want, key)
		case op < more:
			at := s.insert(hash(key), key, step, 1+rng.Int64N(5), 0, ringWindow)
			if s.scan != nil {
				s.scanInsert(at, op%2 == 0)
			}
			want[key] = step
		case op < more+5 && len(want) > 0:
			v := s.victim(0)
			delete(want, s.at(v).key)
			s.remove(v)
		}
		s.mu.Lock()
		s.unlock() // packs the arena
		if step%500 == 0 {
			s.compact()
		}
		if step%200 == 0 || step%25 == 0 && len(want) < 100 {
			checkShard(t, &s)
		}
	}
	if len(want) != s.count {
		t.Errorf("count %d; the map has %d", s.count, len(want))
	}
	checkShard(t, &s)
	checkPassed(t, &s)
}

// checkPassed reckons from where the entries stand how often each group was passed.
func checkPassed(t *testing.T, s *shard[int, int]) {
	t.Helper()
	var last *partState
	for _, p := range s.parts {
		if p.partState == last {
			continue
		}
		last = p.partState
		passed := make([]uint32, len(p.groups))
		for at := range p.groups {
			g := &p.groups[at]
			for held := allSlots &^ g.empty(); held != 0; held &= held - 1 {
				i := int(s.at(g.slots[slotAt(held)]).hash) & (len(p.groups) - 1)
				for ; i != at; i = (i + 1) & (len(p.groups) - 1) {
					passed[i]++
				}
			}
		}
		for i := range p.groups {
			if p.groups[i].passed != passed[i] {
				t.Fatalf("group %d of %d says that %d passed it; want %d", i, len(p.groups), p.groups[i].passed, passed[i])
			}
		}
	}
}

// TestTableDirectoryStaysSmall: entries that share the bits which name their part do
// not make the table of parts grow without use.
func TestTableDirectoryStaysSmall(t *testing.T) {
	s := shard[int, int]{shift: chunkShift(entryBytes[int, int]())}
	const entries = 3000
	for k := range entries {
		s.insert(7, k, k, 1, 0, 0)
	}
	if len(s.parts) > entries {
		t.Errorf("%d parts for %d entries with one hash", len(s.parts), entries)
	}
	for k := range entries {
		if s.find(7, k) == 0 {
			t.Fatalf("key %d is not found", k)
		}
	}
	checkShard(t, &s)
	checkPassed(t, &s)
}
