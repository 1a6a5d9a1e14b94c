package jpegdec

// codes is a canonical Huffman code.
type codes struct {
	over  [18]uint32 // first code that is longer than this length, left-aligned in 16 bits
	shift [17]int32  // from a code of this length to its place in vals
	vals  [256]byte
	lens  [256]byte // by place in vals
	first [256]uint16
	n     int
}

func newCodes(counts, vals []byte) (*codes, error) {
	c := &codes{n: len(vals)}
	copy(c.vals[:], vals)
	code, k := uint32(0), 0
	for l := 1; l <= 16; l++ {
		c.shift[l] = int32(k) - int32(code)
		for range counts[l-1] {
			if code >= 1<<l {
				return nil, corrupt("Huffman table is over-subscribed")
			}
			c.lens[k], c.first[k] = byte(l), uint16(code<<(16-l))
			code++
			k++
		}
		c.over[l] = code << (16 - l)
		code <<= 1
	}
	c.over[17] = 1 << 16
	return c, nil
}

// find decodes a code of any length from the top 16 bits of a window. Length 0 means
// that it is none.
func (c *codes) find(top uint32) (sym byte, length uint) {
	for l := uint(1); l <= 16; l++ {
		if top < c.over[l] {
			return c.vals[byte(int32(top>>(16-l))+c.shift[l])], l
		}
	}
	return 0, 0
}

const (
	dcBits = 9
	acBits = 10
	skBits = 12
)

// dcTable gives for the next bits the length of the code and the size that it stands
// for: length | size<<8; 0 asks for find.
type dcTable struct {
	look [1 << dcBits]uint16
	codes
}

func newDC(c *codes) *dcTable {
	t := &dcTable{codes: *c}
	for k := range c.n {
		if l := uint(c.lens[k]); l <= dcBits {
			for i := range 1 << (dcBits - l) {
				t.look[int(c.first[k]>>(16-dcBits))+i] = uint16(l) | uint16(c.vals[k])<<8
			}
		}
	}
	return t
}

// acTable decodes run, size and often the value at once. An entry of look with a
// value in its upper half is complete: bits 0–5 are all bits that it takes, 8–11 the
// run. Else bits 0–5 are the length of the code and 8–15 its symbol; length 0 asks
// for find.
type acTable struct {
	look [1 << acBits]uint32
	skip *skipTable
	codes
}

func newAC(c *codes) *acTable {
	t := &acTable{codes: *c}
	for k := range c.n {
		l, sym := uint(c.lens[k]), uint32(c.vals[k])
		if l > acBits {
			continue
		}
		base := uint32(c.first[k] >> (16 - acBits))
		size := uint(sym & 15)
		for i := range uint32(1) << (acBits - l) {
			e := uint32(l) | sym<<8
			if size > 0 && l+size <= acBits {
				v := int32(i >> (acBits - l - size))
				e = uint32(l+size) | sym>>4<<8 | uint32(extend(v, size))<<16
			}
			t.look[base+i] = e
		}
	}
	return t
}

// extend gives the value of size bits, of which the first tells the sign.
func extend(v int32, size uint) int32 {
	if v < 1<<(size-1) {
		v += -1<<size + 1
	}
	return v
}

// skipTable is for coefficients that nobody needs. An entry covers as many of them as
// the bits tell: bits 0–5 are the bits to drop, 6–12 the coefficients that they stand
// for, skipEnd tells that the block ends behind them. 0 asks for find.
type skipTable [1 << skBits]uint16

const skipEnd = 1 << 13

// skips makes the table at its first need.
func (t *acTable) skips() *skipTable {
	if t.skip != nil {
		return t.skip
	}
	var one skipTable              // of single symbols
	var codeLen [1 << skBits]uint8 // without what follows the code
	for k := range t.n {
		l, sym := uint(t.lens[k]), uint16(t.vals[k])
		if l > skBits {
			continue
		}
		e := uint16(l) + sym&15 | (sym>>4+1)<<6
		if sym&15 == 0 && sym != 0xf0 {
			e = uint16(l) | skipEnd
		}
		for i := range 1 << (skBits - l) {
			at := int(t.first[k]>>(16-skBits)) + i
			one[at], codeLen[at] = e, uint8(l)
		}
	}
	t.skip = new(skipTable)
	for i := range one {
		e := one[i]
		for e != 0 && e&skipEnd == 0 && e&63 < skBits && e>>6 < 64 {
			// What follows may be cut off; a symbol counts when its code is whole.
			used := e & 63
			rest := uint32(i) << used & (1<<skBits - 1)
			next := one[rest]
			if next == 0 || uint16(codeLen[rest]) > skBits-used {
				break
			}
			e = used + next&63 | (e>>6&127+next>>6&127)<<6 | next&skipEnd
		}
		t.skip[i] = e
	}
	return t.skip
}
