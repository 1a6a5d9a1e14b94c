package memory

import (
	"math"
	"math/bits"
)

// Sizes of a table. Whole parts split, so that growth never moves more than the
// entries of one of them, however many a shard has.
const (
	groupSlots    = 12
	partGroups    = 64 // at most
	partShare     = 64 // entries of the table for each place for a part, at least
	partFullSlots = groupSlots * 3 / 4
)

// table is a shard's index by hash: an extendible hash table. The high bits of a hash
// name the part, the low ones the group in it, those between are its tag.
type table struct {
	parts []part // a power of two; a part stands at all places that share its depth
	top   uint   // shift of a hash, so that the bits that name its part remain
}

// part is a table of entries whose hashes share their first depth bits.
type part struct {
	groups []group // a power of two
	*partState
}

type partState struct{ count, depth int }

// group is one cache line with some entries of the same low bits of hash, and with
// some that found the groups before full. It has a byte for each slot, 0 if that is
// empty, else the entry's tag, so that all can be compared at once.
type group struct {
	low    uint64 // of slots 0 to 7
	high   uint32 // of slots 8 to 11
	passed uint32 // entries that stand further on because this was full
	slots  [groupSlots]uint32
}

const (
	lowBits  = 0x0101010101010101
	highBits = 0x8080808080808080
	allSlots = uint64(highBits | highBits&math.MaxUint32>>1) // as match and empty tell
)

// tagOf returns a byte with its highest bit set.
func tagOf(hash uint32) uint8 { return uint8(hash>>6) | 0x80 }

// match returns a bit for each slot with that tag, to be taken by slotAt. It may also
// return slots with another tag, but none that is empty.
func (g *group) match(tag uint8) uint64 {
	low, high := g.low^lowBits*uint64(tag), uint64(g.high)^lowBits*uint64(tag)
	return (low-lowBits)&^low&highBits | (high-lowBits)&^high&(highBits&math.MaxUint32)>>1
}

// empty returns a bit for each slot without entry.
func (g *group) empty() uint64 {
	return ^g.low&highBits | ^uint64(g.high)&(highBits&math.MaxUint32)>>1
}

// slotAt returns the slot of the lowest bit: bit 8i+7 is slot i, bit 8i+6 slot 8+i.
func slotAt(bit uint64) int {
	p := bits.TrailingZeros64(bit)
	return p>>3 + ^p&1<<3
}

// setTag sets the tag of an empty slot.
func (g *group) setTag(slot int, tag uint8) {
	if slot < 8 {
		g.low |= uint64(tag) << (8 * slot)
	} else {
		g.high |= uint32(tag) << (8 * (slot - 8))
	}
}

func (g *group) clearTag(slot int) {
	if slot < 8 {
		g.low &^= 0xff << (8 * slot)
	} else {
		g.high &^= 0xff << (8 * (slot - 8))
	}
}

func newPart(groups, depth int) part {
	return part{groups: make([]group, groups), partState: &partState{depth: depth}}
}

// partOf returns the part that hash belongs to.
func (t *table) partOf(hash uint32) *part {
	return &t.parts[uint64(hash)>>(t.top&63)]
}

// put enters idx, for which there is room.
func (p part) put(idx, hash uint32) {
	p.count++
	for i := hash; ; i++ {
		g := &p.groups[i&uint32(len(p.groups)-1)]
		if empty := g.empty(); empty != 0 {
			slot := slotAt(empty)
			g.setTag(slot, tagOf(hash))
			g.slots[slot] = idx
			return
		}
		g.passed++
	}
}

// find returns the index of key's entry, or 0.
func (s *shard[K, V]) find(hash uint32, key K) uint32 {
	idx, _ := s.lookup(hash, key)
	return idx
}

// lookup returns the index of key's entry and the entry, or 0 and nil.
func (s *shard[K, V]) lookup(hash uint32, key K) (uint32, *entry[K, V]) {
	if s.count == 0 {
		return 0, nil
	}
	groups, tag := s.partOf(hash).groups, tagOf(hash)
	for i := hash; ; i++ {
		g := &groups[i&uint32(len(groups)-1)]
		for match := g.match(tag); match != 0; match &= match - 1 {
			idx := g.slots[slotAt(match)]
			if e := s.at(idx); e.hash == hash && e.key == key {
				return idx, e
			}
		}
		if g.passed == 0 || i-hash == uint32(len(groups)-1) {
			return 0, nil // each group may have been passed by others, at different times
		}
	}
}

// slot enters idx into the table.
func (s *shard[K, V]) slot(idx, hash uint32) {
	if s.parts == nil {
		s.parts, s.top = []part{newPart(1, 0)}, 32
	}
	p := *s.partOf(hash)
	for p.count >= partFullSlots*len(p.groups) {
		s.growPart(p, hash)
		p = *s.partOf(hash)
	}
	p.put(idx, hash)
}

// unslot takes idx out of the table.
func (s *shard[K, V]) unslot(idx uint32) {
	hash := s.at(idx).hash
	p := s.partOf(hash)
	p.count--
	for i := hash; ; i++ {
		g := &p.groups[i&uint32(len(p.groups)-1)]
		for match := g.match(tagOf(hash)); match != 0; match &= match - 1 {
			if slot := slotAt(match); g.slots[slot] == idx {
				g.clearTag(slot)
				return
			}
		}
		g.passed--
	}
}

// growPart doubles p, the part of hash, or makes two of it. Entries whose hashes agree
// in more bits than chance has it stay in one part, which may then have more groups
// than others: splitting would leave them together and double the places for parts.
func (s *shard[K, V]) growPart(p part, hash uint32) {
	if len(p.groups) != partGroups || s.count>>p.depth < partShare {
		grown := newPart(2*len(p.groups), p.depth)
		s.scatter(p, grown, grown)
		s.setPart(grown, hash)
		return
	}
	if 1<<p.depth == len(s.parts) {
		wider := make([]part, 2*len(s.parts))
		for i := range wider {
			wider[i] = s.parts[i/2]
		}
		s.parts = wider
		s.top--
	}
	low, high := newPart(partGroups, p.depth+1), newPart(partGroups, p.depth+1)
	s.scatter(p, low, high)
	bit := uint32(1) << (31 - p.depth)
	s.setPart(low, hash&^bit)
	s.setPart(high, hash|bit)
}

// scatter puts the entries of p into low or high, by the first bit of their hashes
// that p does not tell.
func (s *shard[K, V]) scatter(p, low, high part) {
	for i := range p.groups {
		g := &p.groups[i]
		for held := allSlots &^ g.empty(); held != 0; held &= held - 1 {
			idx := g.slots[slotAt(held)]
			hash := s.at(idx).hash
			if hash>>(31-p.depth)&1 == 0 {
				low.put(idx, hash)
			} else {
				high.put(idx, hash)
			}
		}
	}
}

// setPart lets p stand for all hashes that share its depth of bits with hash.
func (t *table) setPart(p part, hash uint32) {
	span := len(t.parts) >> p.depth
	first := int(uint64(hash)>>(32-p.depth)) * span
	for i := range span {
		t.parts[first+i] = p
	}
}
