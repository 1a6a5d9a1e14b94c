package resample

import "context"

// Plane is a picture of interleaved bytes: pixel (x, y) starts at y·Stride+x·Ch.
type Plane struct {
	Pix    []byte
	W, H   int
	Stride int
	Ch     int // 1 or 4
}

// NewPlane returns a zeroed plane without gaps between rows.
func NewPlane(w, h, ch int) Plane {
	return Plane{Pix: make([]byte, w*h*ch), W: w, H: h, Stride: w * ch, Ch: ch}
}

// Row returns the bytes of pixels [x0, x1) of row y.
func (p Plane) Row(y, x0, x1 int) []byte { return p.Pix[y*p.Stride+x0*p.Ch:][:(x1-x0)*p.Ch] }

// Bytes fills dst, whose size must be x.N × y.N, from src. Columns are filtered
// first into one row of scratch, which is rounded to bytes, and then that row. The
// four channels of a pixel are filtered alike, so alpha must be constant. The
// error is ctx.Err().
func Bytes(ctx context.Context, dst, src Plane, x, y Axis, k Kernel) error {
	rows, cols := y.fixed(k), x.fixed(k)
	lo, hi := span(cols)
	acc := make([]int32, (hi-lo)*src.Ch)
	tmp := make([]byte, (hi-lo)*src.Ch)
	for i := range cols {
		cols[i].first -= lo
	}
	for i, w := range rows {
		if err := ctx.Err(); err != nil {
			return err
		}
		row := tmp
		if len(w.w) == 1 && w.w[0] == one {
			row = src.Row(w.first, lo, hi)
		} else {
			vertical(tmp, acc, src, w, lo, hi)
		}
		if src.Ch == 4 {
			horizontal4(dst.Row(i, 0, dst.W), row, cols)
		} else {
			horizontal1(dst.Row(i, 0, dst.W), row, cols)
		}
	}
	return nil
}

func span[W int16 | float32](ws []window[W]) (lo, hi int) {
	lo = ws[0].first
	for _, w := range ws {
		lo, hi = min(lo, w.first), max(hi, w.first+len(w.w))
	}
	return lo, hi
}

// vertical sets dst to the weighted sum of the rows of w, columns [lo, hi).
func vertical(dst []byte, acc []int32, src Plane, w window[int16], lo, hi int) {
	n := len(dst)
	acc = acc[:n]
	for i := range acc {
		acc[i] = one / 2
	}
	j := 0
	for ; j+3 < len(w.w); j += 4 {
		r0, r1 := src.Row(w.first+j, lo, hi)[:n], src.Row(w.first+j+1, lo, hi)[:n]
		r2, r3 := src.Row(w.first+j+2, lo, hi)[:n], src.Row(w.first+j+3, lo, hi)[:n]
		a, b, c, d := int32(w.w[j]), int32(w.w[j+1]), int32(w.w[j+2]), int32(w.w[j+3])
		for i := range acc {
			acc[i] += int32(r0[i])*a + int32(r1[i])*b + int32(r2[i])*c + int32(r3[i])*d
		}
	}
	for ; j < len(w.w); j++ {
		r, a := src.Row(w.first+j, lo, hi)[:n], int32(w.w[j])
		for i := range acc {
			acc[i] += int32(r[i]) * a
		}
	}
	for i, v := range acc {
		dst[i] = clamp(v >> 14)
	}
}

func horizontal1(dst, src []byte, cols []window[int16]) {
	dst = dst[:len(cols)]
	for i := range cols {
		c := &cols[i]
		s := src[c.first:][:len(c.w)]
		v := int32(one / 2)
		for j, w := range c.w {
			v += int32(s[j]) * int32(w)
		}
		dst[i] = clamp(v >> 14)
	}
}

func horizontal4(dst, src []byte, cols []window[int16]) {
	for i := range cols {
		c := &cols[i]
		s := src[4*c.first:][:4*len(c.w)]
		v0, v1, v2, v3 := int32(one/2), int32(one/2), int32(one/2), int32(one/2)
		for _, w := range c.w {
			w := int32(w)
			v0 += int32(s[0]) * w
			v1 += int32(s[1]) * w
			v2 += int32(s[2]) * w
			v3 += int32(s[3]) * w
			s = s[4:]
		}
		d := dst[4*i:][:4]
		d[0], d[1], d[2], d[3] = clamp(v0>>14), clamp(v1>>14), clamp(v2>>14), clamp(v3>>14)
	}
}

func clamp(v int32) byte {
	if uint32(v) > 255 {
		return byte(^(v >> 31)) // 0 below, 255 above
	}
	return byte(v)
}
