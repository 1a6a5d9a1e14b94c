package resample

// FlipsX reports whether the stored picture runs right to left when it is shown
// under EXIF orientation o, FlipsY whether it runs bottom to top, and Swaps whether
// its rows become columns.
func FlipsX(o int) bool { return o == 2 || o == 3 || o == 7 || o == 8 }

// FlipsY: see FlipsX.
func FlipsY(o int) bool { return o == 3 || o == 4 || o == 6 || o == 7 }

// Swaps: see FlipsX.
func Swaps(o int) bool { return o >= 5 && o <= 8 }

// Upright returns p as it is shown under EXIF orientation o. For orientation 1 that
// is p itself, otherwise a new plane.
func Upright(p Plane, o int) Plane {
	if o < 2 || o > 8 {
		return p
	}
	w, h := p.W, p.H
	if Swaps(o) {
		w, h = h, w
	}
	out := NewPlane(w, h, p.Ch)
	// A step right in the result is a step of dx bytes in the source, a step down
	// one of dy; at is the source of the result's first pixel.
	dx, dy := p.Ch, p.Stride
	at := 0
	if FlipsX(o) {
		at += (p.W - 1) * p.Ch
		dx = -dx
	}
	if FlipsY(o) {
		at += (p.H - 1) * p.Stride
		dy = -dy
	}
	if Swaps(o) {
		dx, dy = dy, dx
	}
	for y := range h {
		dst, s := out.Row(y, 0, w), at+y*dy
		if p.Ch == 1 {
			for x := range dst {
				dst[x] = p.Pix[s]
				s += dx
			}
			continue
		}
		for x := 0; x < len(dst); x += p.Ch {
			copy(dst[x:x+p.Ch], p.Pix[s:s+p.Ch])
			s += dx
		}
	}
	return out
}
