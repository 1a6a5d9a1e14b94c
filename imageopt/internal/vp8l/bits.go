package vp8l

// bitWriter writes numbers from the lowest bit on.
type bitWriter struct {
	out []byte
	acc uint64
	n   uint
}

// put writes the n lowest bits of v, whose others are zero; n ≤ 32.
func (b *bitWriter) put(v uint32, n uint) {
	b.acc |= uint64(v) << b.n
	for b.n += n; b.n >= 8; b.n -= 8 {
		b.out = append(b.out, byte(b.acc))
		b.acc >>= 8
	}
}

// flush writes the rest of the last byte.
func (b *bitWriter) flush() {
	if b.n > 0 {
		b.put(0, 8-b.n)
	}
}
