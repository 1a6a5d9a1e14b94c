package memory

// Dimensions of a sketch. A block is one cache line of 128 counters of 4 bits, for
// 8 entries; each hash has 4 counters in one block.
const (
	blockWords   = 8
	blockEntries = 8
	sketchBytes  = 8  // for each entry, at the mean size of the sketch
	sketchAge    = 10 // counts for each entry until all are halved
	counterMax   = 15
)

// sketch estimates how often hashes were seen lately: a count-min sketch whose
// counters are halved from time to time, as in TinyLFU. The zero value has seen
// nothing.
type sketch struct {
	blocks [][blockWords]uint64
}

// place returns the block of hash and the bits that choose counters in it. Both
// come from a mix of the 32 bits at hand, as some of those chose the table's slot.
func (k *sketch) place(hash uint32) (*[blockWords]uint64, uint64) {
	x := uint64(hash) * 0x9e3779b97f4a7c15
	x ^= x >> 29
	x *= 0xbf58476d1ce4e5b9
	return &k.blocks[x>>32*uint64(len(k.blocks))>>32], x
}

// frequency returns how often hash was seen, at most 15.
func (k *sketch) frequency(hash uint32) uint64 {
	if len(k.blocks) == 0 {
		return 0
	}
	block, x := k.place(hash)
	least := uint64(counterMax)
	for row := uint64(0); row < blockWords; row += 2 {
		least = min(least, block[row|x&1]>>(x>>1&15*4)&counterMax)
		x >>= 5
	}
	return least
}

// raise makes hash count as seen that often, if it does not already.
func (k *sketch) raise(hash uint32, seen uint64) {
	if len(k.blocks) == 0 {
		return
	}
	block, x := k.place(hash)
	for row := uint64(0); row < blockWords; row += 2 {
		word, shift := &block[row|x&1], x>>1&15*4
		if *word>>shift&counterMax < seen {
			*word = *word&^(counterMax<<shift) | seen<<shift
		}
		x >>= 5
	}
}

func (k *sketch) halve() {
	for i := range k.blocks {
		for j, word := range k.blocks[i] {
			k.blocks[i][j] = word >> 1 & 0x7777777777777777
		}
	}
}

// fit makes the sketch large enough for that many entries. Its size is then
// between 2/3 and 4/3 of a block for every 8 of them while they grow. Each block
// hands its counters to both that take its place.
func (k *sketch) fit(entries int) {
	if 2*entries <= 3*blockEntries*len(k.blocks) {
		return
	}
	if len(k.blocks) == 0 {
		k.blocks = make([][blockWords]uint64, 1+entries/blockEntries)
		return
	}
	grown := make([][blockWords]uint64, 2*len(k.blocks))
	for i := range grown {
		grown[i] = k.blocks[i/2]
	}
	k.blocks = grown
}
