package resample

import "encoding/binary"

// scalar returns the loops in plain Go.
func scalar() kernels {
	return kernels{vert8: vert8Scalar, horiz1: horiz1Scalar, horiz4: horiz4Scalar, wide4: wide4Scalar, axpy: axpyScalar}
}

// block is how many columns vertBlock sums at once.
const block = 64

// vert8Scalar goes from block to block; the last one may overlap the one before.
func vert8Scalar(dst []int16, src []byte, stride int, w []int16, n int) {
	cols := len(dst)
	if cols < block {
		vertFew(dst, src, stride, w, n)
		return
	}
	for c := 0; c < cols; c += block {
		c = min(c, cols-block)
		vertBlock((*[block]int16)(dst[c:]), src[c:], stride, w[:n])
	}
}

// vertBlock sums two columns in the halves of a word: of eight columns 0 and 4, 1 and
// 5, 2 and 6, 3 and 7. Sums are kept positive by a bias, so that no half borrows from
// the other.
func vertBlock(dst *[block]int16, src []byte, stride int, w []int16) {
	const bias = 1<<31 + 128
	const mask = 0xff<<32 | 0xff
	var sums [block / 8][4]uint64
	for i := range sums {
		sums[i] = [4]uint64{bias<<32 | bias, bias<<32 | bias, bias<<32 | bias, bias<<32 | bias}
	}
	at := 0
	for ; len(w) >= 2; w = w[2:] {
		a, b := uint64(int64(w[0])), uint64(int64(w[1]))
		p, q := (*[block]byte)(src[at:]), (*[block]byte)(src[at+stride:])
		at += 2 * stride
		for i := range sums {
			s := &sums[i]
			v, u := binary.LittleEndian.Uint64(p[8*i:]), binary.LittleEndian.Uint64(q[8*i:])
			s[0] += (v&mask)*a + (u&mask)*b
			s[1] += (v>>8&mask)*a + (u>>8&mask)*b
			s[2] += (v>>16&mask)*a + (u>>16&mask)*b
			s[3] += (v>>24&mask)*a + (u>>24&mask)*b
		}
	}
	if len(w) > 0 {
		a := uint64(int64(w[0]))
		p := (*[block]byte)(src[at:])
		for i := range sums {
			s := &sums[i]
			v := binary.LittleEndian.Uint64(p[8*i:])
			s[0] += (v & mask) * a
			s[1] += (v >> 8 & mask) * a
			s[2] += (v >> 16 & mask) * a
			s[3] += (v >> 24 & mask) * a
		}
	}
	for i := range sums {
		for j, v := range sums[i] {
			dst[8*i+j] = saturate(int32(uint32(v)^1<<31) >> 8)
			dst[8*i+j+4] = saturate(int32(uint32(v>>32)^1<<31) >> 8)
		}
	}
}

func vertFew(dst []int16, src []byte, stride int, w []int16, n int) {
	for i := range dst {
		v := int32(128)
		for j := range n {
			v += int32(src[j*stride+i]) * int32(w[j])
		}
		dst[i] = saturate(v >> 8)
	}
}

func horiz1Scalar(dst []byte, row []int16, x *windows) {
	for i := range dst {
		n := int(x.n[i])
		s, w := row[x.first[i]:][:n], x.w[i*x.taps:][:n]
		v, u := int32(1<<19), int32(0)
		for len(s) >= 4 && len(w) >= 4 {
			v += int32(s[0])*int32(w[0]) + int32(s[1])*int32(w[1])
			u += int32(s[2])*int32(w[2]) + int32(s[3])*int32(w[3])
			s, w = s[4:], w[4:]
		}
		for j, c := range s {
			v += int32(c) * int32(w[j])
		}
		dst[i] = clamp((v + u) >> 20)
	}
}

func horiz4Scalar(dst []byte, row []int16, x *windows) {
	for i := range len(dst) / 4 {
		d := dst[4*i:][:4]
		r, g, b, a := dot4(row, x, i, 1<<19)
		d[0], d[1], d[2], d[3] = clamp(r>>20), clamp(g>>20), clamp(b>>20), clamp(a>>20)
	}
}

func wide4Scalar(dst, row []int16, x *windows) {
	for i := range len(dst) / 4 {
		d := dst[4*i:][:4]
		r, g, b, a := dot4(row, x, i, one/2)
		d[0], d[1], d[2], d[3] = saturate(r>>14), saturate(g>>14), saturate(b>>14), saturate(a>>14)
	}
}

func dot4(row []int16, x *windows, i int, half int32) (r, g, b, a int32) {
	n := int(x.n[i])
	s := row[4*x.first[i]:][:4*n]
	r, g, b, a = half, half, half, half
	for _, w := range x.w[i*x.taps:][:n] {
		w := int32(w)
		p := s[:4]
		r += int32(p[0]) * w
		g += int32(p[1]) * w
		b += int32(p[2]) * w
		a += int32(p[3]) * w
		s = s[4:]
	}
	return r, g, b, a
}

func axpyScalar(acc []int32, row []int16, w int16) {
	row = row[:len(acc)]
	for i, v := range row {
		acc[i] += int32(v) * int32(w)
	}
}

func saturate(v int32) int16 {
	if v != int32(int16(v)) {
		return int16(v>>31) ^ 0x7fff
	}
	return int16(v)
}

func clamp(v int32) byte {
	if uint32(v) > 255 {
		return byte(^(v >> 31)) // 0 below, 255 above
	}
	return byte(v)
}
