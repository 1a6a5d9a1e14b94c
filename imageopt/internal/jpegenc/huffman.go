package jpegenc

import "slices"

// histogram counts symbols.
type histogram [256]uint32

// code is a Huffman code: for each symbol the bits and their number.
type code struct {
	counts [16]byte // codes of each length
	vals   []byte   // symbols in the order of their codes
	bits   [256]uint16
	lens   [256]uint8
}

// node is a symbol or a sum of two nodes.
type node struct {
	n           uint64
	left, right int16 // of a sum
	sym         int16
}

// best returns the code that is the shortest for h among those that JPEG allows: no
// more than 16 bits, none of ones alone.
func best(h *histogram) *code {
	nodes := make([]node, 1, 514)
	nodes[0] = node{sym: 256} // takes the longest code, that of ones alone, for nobody
	for s, n := range h {
		if n > 0 {
			nodes = append(nodes, node{n: uint64(n), sym: int16(s)})
		}
	}
	slices.SortStableFunc(nodes[1:], func(a, b node) int { return int(int64(a.n) - int64(b.n)) })
	leaves := len(nodes)
	// Sums come in rising order too, so the least node is at one of two fronts.
	leaf, sum := 0, leaves
	least := func() int16 {
		if sum >= len(nodes) || leaf < leaves && nodes[leaf].n <= nodes[sum].n {
			leaf++
			return int16(leaf - 1)
		}
		sum++
		return int16(sum - 1)
	}
	for range leaves - 1 {
		a := least()
		b := least()
		nodes = append(nodes, node{n: nodes[a].n + nodes[b].n, left: a, right: b})
	}
	var counts [260]int
	depth := make([]int, len(nodes))
	for i := len(nodes) - 1; i >= 0; i-- {
		if i < leaves {
			counts[max(depth[i], 1)]++
			continue
		}
		depth[nodes[i].left], depth[nodes[i].right] = depth[i]+1, depth[i]+1
	}
	shorten(&counts)
	c := &code{}
	for l := 1; l <= 16; l++ {
		c.counts[l-1] = byte(counts[l])
	}
	for i := leaves - 1; i > 0; i-- { // the most frequent first
		c.vals = append(c.vals, byte(nodes[i].sym))
	}
	c.assign()
	return c
}

// shorten moves codes of more than 16 bits up, as the standard's Annex K does, and
// takes the code of ones alone away.
func shorten(counts *[260]int) {
	for l := len(counts) - 1; l > 16; l-- {
		for counts[l] > 0 {
			j := l - 2
			for counts[j] == 0 {
				j--
			}
			counts[l] -= 2
			counts[l-1]++
			counts[j+1] += 2
			counts[j]--
		}
	}
	for l := 16; l > 0; l-- {
		if counts[l] > 0 {
			counts[l]--
			return
		}
	}
}

// assign numbers the codes.
func (c *code) assign() {
	next, k := uint16(0), 0
	for l := range c.counts {
		for range c.counts[l] {
			s := c.vals[k]
			c.bits[s], c.lens[s] = next, uint8(l+1)
			next++
			k++
		}
		next <<= 1
	}
}
