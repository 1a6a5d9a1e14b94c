package hash

import (
	"image"
	"math"
)

// Thumb returns the ThumbHash of a picture of at most 100 × 100 pixels.
func Thumb(m *image.NRGBA) []byte {
	w, h := m.Rect.Dx(), m.Rect.Dy()
	ch, alpha := lpqa(m)
	limit := 7.0
	if alpha {
		limit = 5
	}
	long := float64(max(w, h))
	lx := max(1, int(round(limit*float64(w)/long)))
	ly := max(1, int(round(limit*float64(h)/long)))
	l := transform(ch[0], w, h, max(3, lx), max(3, ly))
	p := transform(ch[1], w, h, 3, 3)
	q := transform(ch[2], w, h, 3, 3)
	parts := []spectrum{l, p, q}
	h24 := round(63*l.dc) | round(31.5+31.5*p.dc)<<6 | round(31.5+31.5*q.dc)<<12 | round(31*l.scale)<<18
	h16 := uint32(lx) | round(63*p.scale)<<3 | round(63*q.scale)<<9
	if w > h {
		h16 = uint32(ly) | h16&^7 | 1<<15
	}
	if alpha {
		h24 |= 1 << 23
	}
	out := []byte{byte(h24), byte(h24 >> 8), byte(h24 >> 16), byte(h16), byte(h16 >> 8)}
	if alpha {
		a := transform(ch[3], w, h, 5, 5)
		out = append(out, byte(round(15*a.dc)|round(15*a.scale)<<4))
		parts = append(parts, a)
	}
	odd := false
	for _, s := range parts {
		for _, f := range s.ac {
			if u := byte(round(15 * f)); odd {
				out[len(out)-1] |= u << 4
			} else {
				out = append(out, u)
			}
			odd = !odd
		}
	}
	return out
}

func round(v float64) uint32 { return uint32(max(math.Floor(v+0.5), 0)) }

// lpqa returns luma, yellow-blue, red-green and alpha, on the mean colour where the
// picture is transparent.
func lpqa(m *image.NRGBA) (ch [4][]float64, alpha bool) {
	var mean [3]float64
	sum := 0.0
	n := m.Rect.Dx() * m.Rect.Dy()
	for i := range n {
		px := m.Pix[4*i:][:4]
		a := float64(px[3]) / 255
		for c := range mean {
			mean[c] += a / 255 * float64(px[c])
		}
		sum += a
	}
	if sum > 0 {
		for c := range mean {
			mean[c] /= sum
		}
	}
	for c := range ch {
		ch[c] = make([]float64, n)
	}
	for i := range n {
		px := m.Pix[4*i:][:4]
		a := float64(px[3]) / 255
		var v [3]float64
		for c := range v {
			v[c] = mean[c]*(1-a) + a/255*float64(px[c])
		}
		ch[0][i], ch[1][i], ch[2][i], ch[3][i] = (v[0]+v[1]+v[2])/3, (v[0]+v[1])/2-v[2], v[0]-v[1], a
		alpha = alpha || px[3] != 255
	}
	return ch, alpha
}

type spectrum struct {
	dc, scale float64
	ac        []float64 // 0..1
}

func transform(ch []float64, w, h, nx, ny int) (s spectrum) {
	fx := make([]float64, w)
	for cy := range ny {
		for cx := 0; cx*ny < nx*(ny-cy); cx++ {
			for x := range fx {
				fx[x] = math.Cos(math.Pi / float64(w) * float64(cx) * (float64(x) + 0.5))
			}
			f := 0.0
			for y := range h {
				fy := math.Cos(math.Pi / float64(h) * float64(cy) * (float64(y) + 0.5))
				for x, v := range fx {
					f += ch[y*w+x] * v * fy
				}
			}
			f /= float64(w * h)
			if cx == 0 && cy == 0 {
				s.dc = f
				continue
			}
			s.ac = append(s.ac, f)
			s.scale = max(s.scale, math.Abs(f))
		}
	}
	for i := range s.ac {
		if s.scale > 0 {
			s.ac[i] = 0.5 + 0.5/s.scale*s.ac[i]
		}
	}
	return s
}
