package cache

import "math/rand/v2"

// lfuSketch estimates how often hashes were seen lately: a count-min sketch of counters of
// 4 bits, halved from time to time, as in TinyLFU. A block is one cache line, and each hash
// has 4 counters in one. The zero value has seen nothing and counts nothing.
type lfuSketch struct {
	blocks [][8]uint64
	seen   int // additions since the counters were halved, half of those before included
}

const (
	sketchEntries = 4  // entries for each block, or fewer: 16 to 32 bytes each
	sketchAge     = 10 // additions for each entry until counters are halved
	counterMax    = 15
	admitByChance = 6 // from here on one in 128 who should not come in does: who knows the hashes cannot shut others out
)

// place returns the block of hash and the bits that choose counters in it.
func (k *lfuSketch) place(hash uint32) (*[8]uint64, uint64) {
	x := uint64(hash) * 0x9e3779b97f4a7c15
	x ^= x >> 29
	x *= 0xbf58476d1ce4e5b9
	return &k.blocks[x>>32*uint64(len(k.blocks))>>32], x
}

// frequency returns how often hash was seen, at most 15.
func (k *lfuSketch) frequency(hash uint32) uint64 {
	if len(k.blocks) == 0 {
		return 0
	}
	block, x := k.place(hash)
	least := uint64(counterMax)
	for row := uint64(0); row < 8; row += 2 {
		least = min(least, block[row|x&1]>>(x>>1&15*4)&counterMax)
		x >>= 5
	}
	return least
}

// add counts hash once, among so many entries.
func (k *lfuSketch) add(hash uint32, entries int) {
	if len(k.blocks) == 0 {
		return
	}
	block, x := k.place(hash)
	counted := false
	for row := uint64(0); row < 8; row += 2 {
		word, shift := &block[row|x&1], x>>1&15*4
		if *word>>shift&counterMax < counterMax {
			*word += 1 << shift
			counted = true
		}
		x >>= 5
	}
	if !counted {
		return
	}
	if k.seen++; k.seen >= sketchAge*max(entries, sketchEntries) {
		k.halve()
	}
}

func (k *lfuSketch) halve() {
	for i := range k.blocks {
		for j, word := range k.blocks[i] {
			k.blocks[i][j] = word >> 1 & 0x7777777777777777
		}
	}
	k.seen /= 2
}

// fit makes the sketch large enough for so many entries. Each block hands its counters to
// both that take its place.
func (k *lfuSketch) fit(entries int) {
	if len(k.blocks) == 0 {
		k.blocks = make([][8]uint64, 1+entries/sketchEntries)
	}
	for len(k.blocks)*sketchEntries < entries {
		wide := make([][8]uint64, 2*len(k.blocks))
		for i := range wide {
			wide[i] = k.blocks[i/2]
		}
		k.blocks = wide
	}
}

// admit tells whether the one is to stay and the other to go.
func (k *lfuSketch) admit(one, other uint32) bool {
	f := k.frequency(one)
	return f > k.frequency(other) || f >= admitByChance && rand.Uint32()&127 == 0
}
