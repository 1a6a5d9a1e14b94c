package vp8l

import "slices"

// palette returns the colours of the picture in the order of their values, or nil if
// there are more than 256.
func (e *encoder) palette() []uint32 {
	seen := make(map[uint32]bool, 257)
	last := uint32(0)
	for i, p := range e.pix {
		if i%often == 0 && e.stop() {
			break
		}
		if i > 0 && p == last {
			continue
		}
		last = p
		if !seen[p] {
			if len(seen) == 256 {
				return nil
			}
			seen[p] = true
		}
	}
	var out []uint32
	for p := range seen {
		out = append(out, p)
	}
	slices.Sort(out)
	return out
}

// indexed tries the picture as places in a palette, several to a pixel if they are
// small.
func (e *encoder) indexed(colours []uint32) {
	b := e.begin()
	b.put(1, 1)
	b.put(indexed, 2)
	b.put(uint32(len(colours)-1), 8)
	steps := make([]uint32, len(colours))
	last := uint32(0)
	for i, c := range colours {
		steps[i], last = sub(c, last), c
	}
	e.image(b, steps, len(steps), false)
	b.put(0, 1)
	shift := 0
	switch n := len(colours); {
	case n <= 2:
		shift = 3
	case n <= 4:
		shift = 2
	case n <= 16:
		shift = 1
	}
	place := make(map[uint32]uint32, len(colours))
	for i, c := range colours {
		place[c] = uint32(i)
	}
	w := (e.w + 1<<shift - 1) >> shift
	packed := make([]uint32, w*e.h)
	for y := range e.h {
		if e.stop() {
			return
		}
		row, out := e.pix[y*e.w:][:e.w], packed[y*w:][:w]
		for x := range out {
			out[x] = 0xff000000
		}
		for x, p := range row {
			at := x & (1<<shift - 1)
			out[x>>shift] |= place[p] << (8 + at*(8>>shift))
		}
	}
	e.image(b, packed, w, true)
	e.end(b)
}
