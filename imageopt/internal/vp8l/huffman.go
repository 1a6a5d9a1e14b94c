package vp8l

import (
	"cmp"
	"math/bits"
	"slices"
)

// code is a prefix code: the bits of each symbol, lowest first, and how many.
type code struct {
	bits []uint16
	len  []uint8
	one  bool // a single symbol, which takes no bits
}

// put writes a symbol.
func (c *code) put(b *bitWriter, s int) {
	if !c.one {
		b.put(uint32(c.bits[s]), uint(c.len[s]))
	}
}

// lengths finds the lengths of an optimal prefix code of at most limit bits. Symbols
// that do not occur have none.
func lengths(count []uint32, limit uint8) []uint8 {
	out := make([]uint8, len(count))
	var used []node
	for s, n := range count {
		if n > 0 {
			used = append(used, node{n, int32(s), 0})
		}
	}
	switch len(used) {
	case 0:
		return out
	case 1:
		out[used[0].left] = 1
		return out
	}
	// Raising the rarest symbols makes the tree flatter until it fits.
	for least := uint32(1); ; least *= 2 {
		if tree(slices.Clone(used), least, out) <= limit {
			return out
		}
	}
}

// node is a symbol, or a pair of nodes.
type node struct {
	n           uint32
	left, right int32
}

// tree sets the lengths by Huffman's method with two queues: the leaves in order, and
// the pairs, which come in order by themselves.
func tree(leaves []node, least uint32, out []uint8) (deepest uint8) {
	for i := range leaves {
		leaves[i].n = max(leaves[i].n, least)
	}
	slices.SortStableFunc(leaves, func(a, b node) int { return cmp.Compare(a.n, b.n) })
	n := len(leaves)
	all := append(make([]node, 0, 2*n-1), leaves...)
	leaf, pair := 0, n
	take := func() int32 {
		if leaf < n && (pair >= len(all) || all[leaf].n <= all[pair].n) {
			leaf++
			return int32(leaf - 1)
		}
		pair++
		return int32(pair - 1)
	}
	for len(all) < 2*n-1 {
		a, b := take(), take()
		all = append(all, node{all[a].n + all[b].n, a, b})
	}
	depth := make([]uint8, len(all))
	for i := len(all) - 1; i >= n; i-- {
		depth[all[i].left], depth[all[i].right] = depth[i]+1, depth[i]+1
	}
	for i, l := range leaves {
		out[l.left] = depth[i]
		deepest = max(deepest, depth[i])
	}
	return deepest
}

// canonical numbers the symbols of a code by their lengths.
func canonical(length []uint8) code {
	c := code{bits: make([]uint16, len(length)), len: length}
	var count, next [17]uint32
	used := 0
	for _, n := range length {
		if n > 0 {
			count[n]++
			used++
		}
	}
	c.one = used <= 1
	v := uint32(0)
	for n := 1; n < len(next); n++ {
		v = (v + count[n-1]) << 1
		next[n] = v
	}
	for s, n := range length {
		if n > 0 {
			c.bits[s] = bits.Reverse16(uint16(next[n])) >> (16 - n)
			next[n]++
		}
	}
	return c
}

// writeCode finds the code for symbols that occur so often, and writes it.
func writeCode(b *bitWriter, count []uint32) code {
	var few []int
	for s, n := range count {
		if n > 0 {
			few = append(few, s)
		}
	}
	if len(few) == 0 {
		few = []int{0}
	}
	if len(few) <= 2 && few[len(few)-1] < 256 {
		return simple(b, few, len(count))
	}
	l := lengths(count, 15)
	writeLengths(b, l)
	return canonical(l)
}

// simple writes a code of one or two symbols.
func simple(b *bitWriter, s []int, n int) code {
	b.put(1, 1)
	b.put(uint32(len(s)-1), 1)
	if s[0] < 2 {
		b.put(0, 1)
		b.put(uint32(s[0]), 1)
	} else {
		b.put(1, 1)
		b.put(uint32(s[0]), 8)
	}
	l := make([]uint8, n)
	for i, v := range s {
		l[v] = 1
		if i == 1 {
			b.put(uint32(v), 8)
		}
	}
	return canonical(l)
}

// step is a symbol of the code that the lengths of a code are written in.
type step struct {
	symbol, extra uint8
	bits          uint8
}

func writeLengths(b *bitWriter, length []uint8) {
	steps := runs(length)
	count := make([]uint32, 19)
	for _, s := range steps {
		count[s.symbol]++
	}
	l := lengths(count, 7)
	c := canonical(l)
	order := [19]int{17, 18, 0, 1, 2, 3, 4, 5, 16, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}
	n := len(order)
	for n > 4 && l[order[n-1]] == 0 {
		n--
	}
	b.put(0, 1)
	b.put(uint32(n-4), 4)
	for _, s := range order[:n] {
		b.put(uint32(l[s]), 3)
	}
	// Zeros at the end need not be written, if telling how many steps there are
	// takes fewer bits.
	end, saved := len(steps), 0
	for end > 0 && (steps[end-1].symbol == 0 || steps[end-1].symbol >= 17) {
		end--
		saved += int(steps[end].bits)
		if !c.one {
			saved += int(l[steps[end].symbol])
		}
	}
	wide := 2
	if end > 2 {
		wide = max(2, (bits.Len(uint(end-2))+1)&^1)
	}
	if end >= 2 && saved > 3+wide {
		b.put(1, 1)
		b.put(uint32(wide-2)/2, 3)
		b.put(uint32(end-2), uint(wide))
		steps = steps[:end]
	} else {
		b.put(0, 1)
	}
	for _, s := range steps {
		c.put(b, int(s.symbol))
		b.put(uint32(s.extra), uint(s.bits))
	}
}

// runs writes lengths as steps: themselves, repetitions and runs of zeros.
func runs(length []uint8) (out []step) {
	last := uint8(8)
	for i := 0; i < len(length); {
		v := length[i]
		n := 1
		for i+n < len(length) && length[i+n] == v {
			n++
		}
		i += n
		if v == 0 {
			out = zeros(out, n)
			continue
		}
		if v != last {
			out = append(out, step{v, 0, 0})
			last = v
			n--
		}
		for n > 0 {
			k := min(n, 6)
			if k < 3 {
				out = append(out, step{v, 0, 0})
				k = 1
			} else {
				out = append(out, step{16, uint8(k - 3), 2})
			}
			n -= k
		}
	}
	return out
}

func zeros(out []step, n int) []step {
	for n > 0 {
		k := min(n, 138)
		switch {
		case k < 3:
			out = append(out, step{})
			k = 1
		case k <= 10:
			out = append(out, step{17, uint8(k - 3), 3})
		default:
			out = append(out, step{18, uint8(k - 11), 7})
		}
		n -= k
	}
	return out
}
