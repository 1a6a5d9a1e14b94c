package quant

import (
	"cmp"
	"image"
	"image/color"
	"slices"
	"sync"
)

// Exact returns m with a palette of all its colours if there are at most limit of
// them (≤ 256), else nil. Fully transparent pixels are one colour.
func Exact(m *image.NRGBA, limit int) *image.Paletted {
	index := make(map[color.NRGBA]uint8, limit)
	out := image.NewPaletted(m.Rect, nil)
	var last color.NRGBA
	lastAt, some := uint8(0), false
	for y := range m.Rect.Dy() {
		row, dst := m.Pix[y*m.Stride:][:4*m.Rect.Dx()], out.Pix[y*out.Stride:]
		for x := 0; len(row) >= 4; row, x = row[4:], x+1 {
			c := color.NRGBA{row[0], row[1], row[2], row[3]}
			if c.A == 0 {
				c = color.NRGBA{}
			}
			if !some || c != last {
				at, ok := index[c]
				if !ok {
					if len(out.Palette) == limit {
						return nil
					}
					at = uint8(len(out.Palette))
					index[c] = at
					out.Palette = append(out.Palette, c)
				}
				last, lastAt, some = c, at, true
			}
			dst[x] = lastAt
		}
	}
	return out
}

// bin gathers the pixels whose colours agree in the upper five bits.
type bin struct {
	n, r, g, b int64
	key        uint16
}

// box is a run of bins.
type box struct {
	bins []bin
	n    int64
	axis int // the longest side
	side int
}

// Cut returns m with a palette of at most limit colours (2..256) by median cut.
// Pixels with alpha below 128 become the transparent entry, which is the last one;
// all others become opaque. Without such pixels there is no transparent entry.
func Cut(m *image.NRGBA, limit int) *image.Paletted {
	all := cells.Get().(*[1 << 15]bin)
	defer cells.Put(all)
	bins, transparent := histogram(m, all)
	if transparent {
		limit--
	}
	out := image.NewPaletted(m.Rect, nil)
	var table [1 << 15]uint8
	for i, b := range split(bins, limit) {
		var s bin
		for _, v := range b.bins {
			s.n, s.r, s.g, s.b = s.n+v.n, s.r+v.r, s.g+v.g, s.b+v.b
			table[v.key] = uint8(i)
		}
		h := s.n / 2
		out.Palette = append(out.Palette, color.NRGBA{byte((s.r + h) / s.n), byte((s.g + h) / s.n), byte((s.b + h) / s.n), 255})
	}
	if transparent || len(out.Palette) == 0 {
		out.Palette = append(out.Palette, color.NRGBA{})
	}
	last := uint8(len(out.Palette) - 1)
	for y := range m.Rect.Dy() {
		row, dst := m.Pix[y*m.Stride:][:4*m.Rect.Dx()], out.Pix[y*out.Stride:]
		for x := 0; len(row) >= 4; row, x = row[4:], x+1 {
			if row[3] < 128 {
				dst[x] = last
			} else {
				dst[x] = table[key(row)]
			}
		}
	}
	return out
}

func key(p []byte) uint16 { return uint16(p[0]>>3)<<10 | uint16(p[1]>>3)<<5 | uint16(p[2]>>3) }

// cells keeps histograms, which are large, for the next picture or frame.
var cells = sync.Pool{New: func() any { return new([1 << 15]bin) }}

// histogram fills all, and returns the part of it that holds the colours of m.
func histogram(m *image.NRGBA, all *[1 << 15]bin) (bins []bin, transparent bool) {
	clear(all[:])
	for y := range m.Rect.Dy() {
		for row := m.Pix[y*m.Stride:][:4*m.Rect.Dx()]; len(row) >= 4; row = row[4:] {
			if row[3] < 128 {
				transparent = true
				continue
			}
			b := &all[key(row)]
			b.n++
			b.r, b.g, b.b = b.r+int64(row[0]), b.g+int64(row[1]), b.b+int64(row[2])
		}
	}
	used := 0
	for i, b := range all {
		if b.n > 0 {
			b.key = uint16(i)
			all[used] = b
			used++
		}
	}
	return all[:used], transparent
}

func split(bins []bin, limit int) []box {
	if len(bins) == 0 {
		return nil
	}
	boxes := []box{measure(bins)}
	for len(boxes) < limit {
		// The box that errs most: long and full of pixels.
		at, worst := -1, int64(0)
		for i, b := range boxes {
			if v := int64(b.side) * int64(b.side) * b.n; len(b.bins) > 1 && v > worst {
				at, worst = i, v
			}
		}
		if at < 0 {
			return boxes
		}
		b := boxes[at]
		shift := 10 - 5*b.axis
		slices.SortFunc(b.bins, func(x, y bin) int {
			return cmp.Or(cmp.Compare(x.key>>shift&31, y.key>>shift&31), cmp.Compare(x.key, y.key))
		})
		half, sum := 1, b.bins[0].n
		for half < len(b.bins)-1 && sum < b.n/2 {
			sum += b.bins[half].n
			half++
		}
		boxes[at] = measure(b.bins[:half])
		boxes = append(boxes, measure(b.bins[half:]))
	}
	return boxes
}

func measure(bins []bin) box {
	b := box{bins: bins}
	lo, hi := [3]int{31, 31, 31}, [3]int{}
	for _, v := range bins {
		b.n += v.n
		for a := range 3 {
			c := int(v.key >> (10 - 5*a) & 31)
			lo[a], hi[a] = min(lo[a], c), max(hi[a], c)
		}
	}
	for a := range 3 {
		if s := hi[a] - lo[a] + 1; s > b.side {
			b.side, b.axis = s, a
		}
	}
	return b
}
