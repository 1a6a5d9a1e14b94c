package imageopt

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/gif"
	"time"

	"github.com/perfblocks/perfblocks/imageopt/internal/quant"
)

// firstFrame puts a GIF's first frame on its canvas, when it is smaller than that.
func firstFrame(img image.Image, w, h int) image.Image {
	b := img.Bounds()
	if b == image.Rect(0, 0, w, h) {
		return img
	}
	canvas := image.NewNRGBA(image.Rect(0, 0, w, h))
	if m, ok := img.(*image.Paletted); ok {
		paint(canvas, m)
	}
	return canvas
}

// paint draws a frame over the canvas. Indices outside the palette paint nothing.
func paint(canvas *image.NRGBA, m *image.Paletted) {
	var table [256]color.NRGBA
	for i, c := range m.Palette[:min(len(m.Palette), 256)] {
		table[i] = toNRGBA(c)
	}
	r := m.Rect.Intersect(canvas.Rect)
	for y := r.Min.Y; y < r.Max.Y; y++ {
		src := m.Pix[m.PixOffset(r.Min.X, y):][:r.Dx()]
		dst := canvas.Pix[canvas.PixOffset(r.Min.X, y):]
		for _, v := range src {
			if c := table[v]; c.A != 0 {
				dst[0], dst[1], dst[2], dst[3] = c.R, c.G, c.B, c.A
			}
			dst = dst[4:]
		}
	}
}

func wipe(canvas *image.NRGBA, r image.Rectangle) {
	r = r.Intersect(canvas.Rect)
	for y := r.Min.Y; y < r.Max.Y; y++ {
		clear(canvas.Pix[canvas.PixOffset(r.Min.X, y):][:4*r.Dx()])
	}
}

// composite shows each frame of g as a viewer would see it. The canvas is valid
// during the call only.
func composite(g *gif.GIF, w, h int, show func(i int, canvas *image.NRGBA) error) error {
	canvas := image.NewNRGBA(image.Rect(0, 0, w, h))
	var saved *image.NRGBA
	for i, m := range g.Image {
		disposal := g.Disposal[i]
		if disposal == gif.DisposalPrevious {
			if saved == nil {
				saved = image.NewNRGBA(canvas.Rect)
			}
			copy(saved.Pix, canvas.Pix)
		}
		paint(canvas, m)
		if err := show(i, canvas); err != nil {
			return err
		}
		switch disposal {
		case gif.DisposalBackground:
			wipe(canvas, m.Rect)
		case gif.DisposalPrevious:
			copy(canvas.Pix, saved.Pix)
		}
	}
	return nil
}

// animate makes a GIF of all frames at the size of p.
func (j *job) animate(ctx context.Context, spec *Spec, p plan) ([]byte, error) {
	if err := j.decodeFrames(ctx); err != nil {
		return nil, err
	}
	a := &animator{out: gif.GIF{LoopCount: j.frames.LoopCount, Config: image.Config{Width: p.box.X, Height: p.box.Y}}}
	start := time.Now()
	defer func() { j.ev.Resize += time.Since(start) }()
	err := composite(j.frames, j.src.head.W, j.src.head.H, func(i int, canvas *image.NRGBA) error {
		pic, err := newRaster(canvas, false, nil).render(ctx, p, 1, j.o.scaling(spec), asRGB)
		if err != nil {
			return err
		}
		a.add(thresholdAlpha(ground(pic, spec, p, nil).nrgba()), j.frames.Delay[i])
		return nil
	})
	if err != nil {
		return nil, err
	}
	a.flush(nil)
	var b bytes.Buffer
	if err := gif.EncodeAll(ctxWriter{ctx, &b}, &a.out); err != nil {
		if ctx.Err() != nil {
			return nil, ctxError(ctx)
		}
		return nil, fmt.Errorf("imageopt: encode gif: %w", err)
	}
	return b.Bytes(), nil
}

// decodeFrames makes j.frames, once.
func (j *job) decodeFrames(ctx context.Context) error {
	if j.frames != nil {
		return nil
	}
	start := time.Now()
	defer func() { j.ev.Decode += time.Since(start) }()
	var g *gif.GIF
	err := guard(FormatGIF, func() (err error) {
		g, err = gif.DecodeAll(ctxReader{ctx, bytes.NewReader(j.src.data)})
		return err
	})
	if err != nil {
		return j.src.decodeError(ctx, err)
	}
	if len(g.Image) == 0 || len(g.Image) > j.src.head.Frames || len(g.Disposal) != len(g.Image) || len(g.Delay) != len(g.Image) {
		return corrupt(FormatGIF, errors.New("frames differ from the header"))
	}
	j.frames = g
	return nil
}

// animator turns whole pictures into frames that hold only what changes. A frame is
// written when its successor is known, because that decides how it is disposed of.
type animator struct {
	out   gif.GIF
	base  *image.NRGBA // on the screen before last was drawn; nil: nothing
	last  *image.NRGBA
	delay int
}

func (a *animator) add(m *image.NRGBA, delay int) {
	if a.last != nil {
		a.flush(m)
	}
	a.last, a.delay = m, delay
}

// flush writes the pending frame; next is what follows it.
func (a *animator) flush(next *image.NRGBA) {
	if a.last == nil {
		return
	}
	if next != nil && vanishes(a.last, next) {
		// Only disposal can make a pixel transparent again, and it takes the whole frame.
		a.emit(paletteOf(a.last), gif.DisposalBackground)
		a.base = nil
		return
	}
	a.emit(delta(a.base, a.last), gif.DisposalNone)
	a.base = a.last
}

func (a *animator) emit(m *image.Paletted, disposal byte) {
	a.out.Image = append(a.out.Image, m)
	a.out.Delay = append(a.out.Delay, a.delay)
	a.out.Disposal = append(a.out.Disposal, disposal)
}

// vanishes reports whether a pixel of a is transparent in b.
func vanishes(a, b *image.NRGBA) bool {
	for i := 3; i < len(a.Pix); i += 4 {
		if a.Pix[i] != 0 && b.Pix[i] == 0 {
			return true
		}
	}
	return false
}

// delta returns the part of m that differs from base, with the pixels that do not
// differ made transparent, so that they compress to nothing.
func delta(base, m *image.NRGBA) *image.Paletted {
	if base == nil {
		return paletteOf(m)
	}
	var r image.Rectangle
	for y := range m.Rect.Dy() {
		a, b := base.Pix[y*base.Stride:][:4*m.Rect.Dx()], m.Pix[y*m.Stride:][:4*m.Rect.Dx()]
		if bytes.Equal(a, b) {
			continue
		}
		x0, x1 := 0, m.Rect.Dx()
		for bytes.Equal(a[4*x0:4*x0+4], b[4*x0:4*x0+4]) {
			x0++
		}
		for bytes.Equal(a[4*x1-4:4*x1], b[4*x1-4:4*x1]) {
			x1--
		}
		r = r.Union(image.Rect(x0, y, x1, y+1))
	}
	if r.Empty() {
		r = image.Rect(0, 0, 1, 1) // a frame cannot be empty
	}
	part := image.NewNRGBA(r)
	for y := r.Min.Y; y < r.Max.Y; y++ {
		a, b := base.Pix[base.PixOffset(r.Min.X, y):], m.Pix[m.PixOffset(r.Min.X, y):]
		d := part.Pix[part.PixOffset(r.Min.X, y):]
		for x := 0; x < 4*r.Dx(); x += 4 {
			if !bytes.Equal(a[x:x+4], b[x:x+4]) {
				copy(d[x:x+4], b[x:x+4])
			}
		}
	}
	if q := quant.Exact(part, 256); q != nil {
		return q
	}
	return quant.Cut(part, 256)
}
