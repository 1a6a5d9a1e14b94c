package vp8l

import (
	"context"
	"encoding/binary"
)

// MaxSide is the largest width and height of a WebP.
const MaxSide = 1 << 14

// Encode writes a picture of straight RGBA without gaps between its rows. Colours
// under full transparency are lost. The error is ctx.Err().
func Encode(ctx context.Context, pix []byte, w, h int) ([]byte, error) {
	e := &encoder{ctx: ctx, w: w, h: h, pix: make([]uint32, w*h), distances: near()}
	for i := range e.pix {
		if i%often == 0 && e.stop() {
			return nil, ctx.Err()
		}
		if p := pix[4*i:][:4]; p[3] != 0 {
			e.pix[i] = uint32(p[3])<<24 | uint32(p[0])<<16 | uint32(p[1])<<8 | uint32(p[2])
			e.alpha = e.alpha || p[3] != 255
		} else {
			e.alpha = true
		}
	}
	e.try()
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	return riff(e.best), nil
}

// riff puts a bit stream into its container.
func riff(data []byte) []byte {
	out := make([]byte, 20, 21+len(data))
	copy(out, "RIFF")
	copy(out[8:], "WEBPVP8L")
	binary.LittleEndian.PutUint32(out[16:], uint32(len(data)))
	out = append(out, data...)
	if len(out)&1 != 0 {
		out = append(out, 0)
	}
	binary.LittleEndian.PutUint32(out[4:], uint32(len(out)-8))
	return out
}

type encoder struct {
	ctx       context.Context
	w, h      int
	pix       []uint32
	alpha     bool
	distances [128]uint8
	best      []byte // the smallest stream so far
}

// often is after how many pixels a loop asks whether it shall stop. What it has made by
// then is of no use.
const often = 1 << 14

func (e *encoder) stop() bool { return e.ctx.Err() != nil }

// The transforms, as they are numbered in the file.
const (
	predictor = 0
	noGreen   = 2
	indexed   = 3
)

// small is how many pixels a picture may have to be tried in every way.
const small = 1 << 15

// try writes the picture in the ways that may suit it.
func (e *encoder) try() {
	if colours := e.palette(); colours != nil {
		e.indexed(colours)
		if len(e.pix) > small {
			return
		}
	} else if len(e.pix) > small {
		e.write(true, true)
		return
	}
	for way := range 4 {
		e.write(way&1 != 0, way&2 != 0)
	}
}

// begin writes the header.
func (e *encoder) begin() *bitWriter {
	b := &bitWriter{}
	b.put(0x2f, 8)
	b.put(uint32(e.w-1), 14)
	b.put(uint32(e.h-1), 14)
	alpha := uint32(0)
	if e.alpha {
		alpha = 1
	}
	b.put(alpha, 1)
	b.put(0, 3)
	return b
}

// end keeps a stream that is the smallest.
func (e *encoder) end(b *bitWriter) {
	b.flush()
	if e.best == nil || len(b.out) < len(e.best) {
		e.best = b.out
	}
}

// write tries the picture in colours.
func (e *encoder) write(predict, green bool) {
	b := e.begin()
	pix := e.pix
	if green {
		b.put(1, 1)
		b.put(noGreen, 2)
		pix = subtractGreen(pix, e.stop)
	}
	if predict {
		tile := uint(3)
		for ; tile < 9 && len(pix)>>(2*tile) > 4096; tile++ {
		}
		b.put(1, 1)
		b.put(predictor, 2)
		b.put(uint32(tile-2), 3)
		rest, modes := predicted(pix, e.w, e.h, tile, e.stop)
		e.image(b, modes, (e.w+1<<tile-1)>>tile, false)
		pix = rest
	}
	b.put(0, 1)
	e.image(b, pix, e.w, true)
	e.end(b)
}

// image writes pixels in the way that takes the fewest bits. main tells a picture
// from the pictures that serve its transforms.
func (e *encoder) image(b *bitWriter, pix []uint32, w int, main bool) {
	depth := 32
	sizes := []uint{0, 4, 8}
	if len(pix) > small {
		depth, sizes = 12, []uint{0, 10}
	}
	if !main {
		sizes = sizes[:1]
	}
	f := newFinder(pix, w, depth, e.stop)
	d := &distances{w, e.distances}
	mark := *b
	mark.out = append([]byte(nil), b.out...)
	var best *bitWriter
	for _, size := range sizes {
		if e.stop() {
			break
		}
		tokens := f.parse(nil, size)
		h := count(tokens, d, size, e.stop)
		for range 2 {
			if e.stop() {
				break
			}
			tokens = f.parse(h.costs(d, size), size)
			h = count(tokens, d, size, e.stop)
		}
		if e.stop() {
			break // the codes of h may not be those of all tokens
		}
		c := mark
		c.out = append([]byte(nil), mark.out...)
		if size > 0 {
			c.put(1, 1)
			c.put(uint32(size), 4)
		} else {
			c.put(0, 1)
		}
		if main {
			c.put(0, 1) // one set of codes for all
		}
		writeTokens(&c, tokens, d, h, e.stop)
		if best == nil || len(c.out) < len(best.out) || len(c.out) == len(best.out) && c.n < best.n {
			best = &c
		}
	}
	if best != nil {
		*b = *best
	}
}
