package jpegdec

import "encoding/binary"

// The inverse transforms take dequantised coefficients and write samples. The one of
// 8 × 8 is the factorisation of Loeffler, Ligtenberg and Moschytz with 13 bits of
// fraction; the smaller ones give the averages of the samples that they stand for, as
// far as the low frequencies make them.

const fraction = 13

// Cosines in units of 1 << fraction, as the factorisation combines them.
const (
	c0298 = 2446  // 0.298631336
	c0390 = 3196  // 0.390180644
	c0541 = 4433  // 0.541196100
	c0765 = 6270  // 0.765366865
	c0899 = 7373  // 0.899976223
	c1175 = 9633  // 1.175875602
	c1501 = 12299 // 1.501321110
	c1847 = 15137 // 1.847759065
	c1961 = 16069 // 1.961570560
	c2053 = 16819 // 2.053119869
	c2562 = 20995 // 2.562915447
	c3072 = 25172 // 3.072711026
)

// clamp moves a sample around zero to 0..255.
func clamp(v int32) byte {
	v += 128
	if uint32(v) > 255 {
		return byte(^(v >> 31)) // 0 below, 255 above
	}
	return byte(v)
}

// flat fills n × n samples.
func flat(dst []byte, st, n int, dc int32) {
	v := clamp((dc + 4) >> 3)
	switch n {
	case 1:
		dst[0] = v
	case 2:
		dst[0], dst[1], dst[st], dst[st+1] = v, v, v, v
	case 4:
		for y := range 4 {
			binary.LittleEndian.PutUint32(dst[y*st:], uint32(v)*0x01010101)
		}
	default:
		for y := range 8 {
			binary.LittleEndian.PutUint64(dst[y*st:], uint64(v)*0x0101010101010101)
		}
	}
}

// odd is the half of the transform that the odd coefficients make.
func odd(z1, z3, z5, z7 int32) (a, b, c, d int32) {
	p, q := z7+z3, z5+z1
	r := (p + q) * c1175
	p, q = r-p*c1961, r-q*c0390
	s, t := (z7+z1)*c0899, (z5+z3)*c2562
	d = z7*c0298 - s + p
	c = z5*c2053 - t + q
	b = z3*c3072 - t + p
	a = z1*c1501 - s + q
	return a, b, c, d
}

// fullScalar is full in plain Go.
func fullScalar(b *block, dst []byte, st, last int) {
	if last < 10 {
		idct8low(b, dst, st)
	} else {
		idct8(b, dst, st)
	}
}

func idct8(b *block, dst []byte, st int) {
	const down = fraction - 2
	for i := range 8 {
		z0, z1, z2, z3 := b[i], b[8+i], b[16+i], b[24+i]
		z4, z5, z6, z7 := b[32+i], b[40+i], b[48+i], b[56+i]
		if z1|z2|z3|z4|z5|z6|z7 == 0 {
			v := (z0<<fraction + 1<<(down-1)) >> down // z0 << 2, unless a damaged file's wraps
			b[i], b[8+i], b[16+i], b[24+i] = v, v, v, v
			b[32+i], b[40+i], b[48+i], b[56+i] = v, v, v, v
			continue
		}
		m := (z2 + z6) * c0541
		t2, t3 := m-z6*c1847, m+z2*c0765
		t0, t1 := (z0+z4)<<fraction+1<<(down-1), (z0-z4)<<fraction+1<<(down-1)
		e0, e3, e1, e2 := t0+t3, t0-t3, t1+t2, t1-t2
		o0, o1, o2, o3 := odd(z1, z3, z5, z7)
		b[i], b[56+i] = (e0+o0)>>down, (e0-o0)>>down
		b[8+i], b[48+i] = (e1+o1)>>down, (e1-o1)>>down
		b[16+i], b[40+i] = (e2+o2)>>down, (e2-o2)>>down
		b[24+i], b[32+i] = (e3+o3)>>down, (e3-o3)>>down
	}
	for y := range 8 {
		r := b[8*y:][:8]
		idctRow(dst[y*st:][:8], r[0], r[1], r[2], r[3], r[4], r[5], r[6], r[7])
	}
}

const rowDown = fraction + 2 + 3

func idctRow(d []byte, z0, z1, z2, z3, z4, z5, z6, z7 int32) {
	m := (z2 + z6) * c0541
	t2, t3 := m-z6*c1847, m+z2*c0765
	t0, t1 := (z0+z4)<<fraction+1<<(rowDown-1), (z0-z4)<<fraction+1<<(rowDown-1)
	e0, e3, e1, e2 := t0+t3, t0-t3, t1+t2, t1-t2
	o0, o1, o2, o3 := odd(z1, z3, z5, z7)
	d = d[:8]
	d[0], d[7] = clamp((e0+o0)>>rowDown), clamp((e0-o0)>>rowDown)
	d[1], d[6] = clamp((e1+o1)>>rowDown), clamp((e1-o1)>>rowDown)
	d[2], d[5] = clamp((e2+o2)>>rowDown), clamp((e2-o2)>>rowDown)
	d[3], d[4] = clamp((e3+o3)>>rowDown), clamp((e3-o3)>>rowDown)
}

// idct8low is idct8 for blocks whose coefficients lie in the first four rows and
// columns.
func idct8low(b *block, dst []byte, st int) {
	const down = fraction - 2
	for i := range 4 {
		z0, z1, z2, z3 := b[i], b[8+i], b[16+i], b[24+i]
		t2, t3 := z2*c0541, z2*(c0541+c0765)
		t0 := z0<<fraction + 1<<(down-1)
		e0, e3, e1, e2 := t0+t3, t0-t3, t0+t2, t0-t2
		o0, o1, o2, o3 := oddLow(z1, z3)
		b[i], b[56+i] = (e0+o0)>>down, (e0-o0)>>down
		b[8+i], b[48+i] = (e1+o1)>>down, (e1-o1)>>down
		b[16+i], b[40+i] = (e2+o2)>>down, (e2-o2)>>down
		b[24+i], b[32+i] = (e3+o3)>>down, (e3-o3)>>down
	}
	for y := range 8 {
		r := b[8*y:][:4]
		z0, z1, z2, z3 := r[0], r[1], r[2], r[3]
		t2, t3 := z2*c0541, z2*(c0541+c0765)
		t0 := z0<<fraction + 1<<(rowDown-1)
		e0, e3, e1, e2 := t0+t3, t0-t3, t0+t2, t0-t2
		o0, o1, o2, o3 := oddLow(z1, z3)
		d := dst[y*st:][:8]
		d[0], d[7] = clamp((e0+o0)>>rowDown), clamp((e0-o0)>>rowDown)
		d[1], d[6] = clamp((e1+o1)>>rowDown), clamp((e1-o1)>>rowDown)
		d[2], d[5] = clamp((e2+o2)>>rowDown), clamp((e2-o2)>>rowDown)
		d[3], d[4] = clamp((e3+o3)>>rowDown), clamp((e3-o3)>>rowDown)
	}
}

// oddLow is odd without its fifth and seventh coefficient.
func oddLow(z1, z3 int32) (a, b, c, d int32) {
	r := (z3 + z1) * c1175
	p, q := r-z3*c1961, r-z1*c0390
	s, t := z1*c0899, z3*c2562
	return z1*c1501 - s + q, z3*c3072 - t + p, q - t, p - s
}

// Weights of coefficient k for sample i of four: cos(kπ/16)·cos((2i+1)kπ/8)·√2 for
// k > 0, in units of 1 << fraction; the first factor is what averaging two samples
// leaves of a cosine.
const (
	h10 = 10498 // k = 1: cos π/16 · cos π/8 · √2
	h11 = 4348  // cos π/16 · cos 3π/8 · √2
	h20 = 7568  // k = 2: cos π/8 · cos π/4 · √2
	h30 = 3686  // k = 3: cos 3π/16 · cos 3π/8 · √2
	h31 = 8899  // cos 3π/16 · cos 9π/8 · √2, negated
)

// idct4 makes 4 × 4 samples of the first four rows and columns.
func idct4(b *block, dst []byte, st int) {
	const down = fraction - 3
	for i := range 4 {
		z0, z1, z2, z3 := b[i], b[8+i], b[16+i], b[24+i]
		t0 := z0<<fraction + 1<<(down-1)
		e0, e1 := t0+z2*h20, t0-z2*h20
		o0, o1 := z1*h10+z3*h30, z1*h11-z3*h31
		b[i], b[24+i] = (e0+o0)>>down, (e0-o0)>>down
		b[8+i], b[16+i] = (e1+o1)>>down, (e1-o1)>>down
	}
	const out = fraction + 3 + 3
	for y := range 4 {
		r := b[8*y:][:4]
		t0 := r[0]<<fraction + 1<<(out-1)
		e0, e1 := t0+r[2]*h20, t0-r[2]*h20
		o0, o1 := r[1]*h10+r[3]*h30, r[1]*h11-r[3]*h31
		d := dst[y*st:][:4]
		d[0], d[3] = clamp((e0+o0)>>out), clamp((e0-o0)>>out)
		d[1], d[2] = clamp((e1+o1)>>out), clamp((e1-o1)>>out)
	}
}

// idct2 makes 2 × 2 samples. What averaging four samples leaves of the first cosine,
// times √2, is 0.9061, here in units of 1 << 11.
func idct2(b *block, dst []byte, st int) {
	const w, ww, out = 1856, 1681, 11 + 3
	t := b[0]<<11 + 1<<(out-1)
	x, y, xy := b[1]*w, b[8]*w, b[9]*ww
	d0, d1 := dst[:2], dst[st:][:2]
	d0[0], d0[1] = clamp((t+x+y+xy)>>out), clamp((t-x+y-xy)>>out)
	d1[0], d1[1] = clamp((t+x-y-xy)>>out), clamp((t-x-y+xy)>>out)
}
