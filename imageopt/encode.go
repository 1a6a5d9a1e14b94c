package imageopt

import (
	"bytes"
	"context"
	"fmt"
	"image"
	"image/gif"
	"image/png"
	"slices"

	"github.com/perfblocks/perfblocks/imageopt/internal/jpegenc"
	"github.com/perfblocks/perfblocks/imageopt/internal/quant"
)

// file is a candidate for the result.
type file struct {
	format Format
	data   []byte
}

// weight is the length, raised where the client likes the format less.
func (f file) weight(s *Spec) float64 {
	w := acceptance(s)[f.format]
	if w == 0 {
		w = 1 // nothing that it accepts can be made
	}
	return float64(len(f.data)) * 4 / float64(w)
}

// acceptance returns how welcome each format is to the spec.
func acceptance(s *Spec) weights {
	if s.Format != FormatAuto {
		var w weights
		w[s.Format] = 4
		return w
	}
	return parseAccept(s.Accept)
}

func (o *Optimizer) encodes(f Format) bool {
	return f >= FormatJPEG && f <= FormatWebP || o.opts.Encoders[f] != nil
}

// lossy reports whether the encoder for f takes YCbCr and loses detail.
func (o *Optimizer) lossy(f Format) bool { return f == FormatJPEG || o.opts.Encoders[f] != nil }

// needsRGB reports whether one of the formats does not take YCbCr.
func (o *Optimizer) needsRGB(ways []Format) bool {
	return slices.ContainsFunc(ways, func(f Format) bool { return !o.lossy(f) })
}

// ways returns the formats that a result can have, as far as the header tells.
func (o *Optimizer) ways(s *Spec, info Info) []Format {
	if s.Format != FormatAuto {
		return []Format{s.Format}
	}
	w := acceptance(s)
	ok := func(f Format) bool { return w[f] > 0 && o.encodes(f) }
	if info.Animated && info.Format == FormatGIF && ok(FormatGIF) {
		return []Format{FormatGIF}
	}
	order := []Format{FormatAVIF, FormatWebP, FormatPNG, FormatJPEG}
	ways := slices.DeleteFunc(order, func(f Format) bool { return !ok(f) })
	if info.Lossy && !info.Alpha && slices.ContainsFunc(ways, o.lossy) {
		ways = slices.DeleteFunc(ways, func(f Format) bool { return !o.lossy(f) })
	}
	return ways
}

// narrow takes the formats away that cannot hold the picture, and makes sure that one
// is left: a client that accepts nothing we can make gets what suits the picture.
func (o *Optimizer) narrow(ways []Format, s *Spec, info Info) []Format {
	if s.Format != FormatAuto {
		return ways
	}
	if info.Alpha {
		ways = slices.DeleteFunc(slices.Clone(ways), func(f Format) bool { return f == FormatJPEG })
	}
	if len(ways) > 0 {
		return ways
	}
	switch w := acceptance(s); {
	case w[FormatGIF] > 0:
		return []Format{FormatGIF}
	case info.Alpha && w[FormatJPEG] > 0:
		return []Format{FormatJPEG}
	case info.Alpha || !info.Lossy:
		return []Format{FormatPNG}
	}
	return []Format{FormatJPEG}
}

// photographic tells pictures of nature from drawings: their neighbours differ, but
// seldom by much, and few pixels are alike.
func photographic(p picture) bool {
	if p.rgba == nil {
		return true // gray or YCbCr
	}
	m := p.rgba
	same, all := 0, 0
	for y := range m.Rect.Dy() {
		row := m.Pix[y*m.Stride:][:4*m.Rect.Dx()]
		for ; len(row) >= 8; row = row[4:] {
			if row[0] == row[4] && row[1] == row[5] && row[2] == row[6] {
				same++
			}
			all++
		}
	}
	return all > 0 && same*4 < all
}

// encode makes the file. buffers, which may be nil, serve the results of one job.
func (o *Optimizer) encode(ctx context.Context, f Format, pic picture, s *Spec, buffers *jpegenc.Buffers) ([]byte, error) {
	if ctx.Err() != nil {
		return nil, ctxError(ctx)
	}
	var b bytes.Buffer
	w := ctxWriter{ctx, &b}
	var err error
	switch e := o.opts.Encoders[f]; {
	case e != nil:
		err = runEncoder(ctx, e, w, pic.image(), EncodeOptions{Quality: s.Quality})
		if err == nil && Sniff(b.Bytes()) != f {
			err = fmt.Errorf("encoder wrote no %v", f)
		}
	case f == FormatJPEG:
		var data []byte
		if data, err = encodeJPEG(ctx, pic, s, buffers); err == nil {
			return data, nil
		}
	case f == FormatPNG:
		err = png.Encode(w, pngImage(pic))
	case f == FormatGIF:
		err = gif.Encode(w, paletteOf(pic.nrgba()), nil)
	case f == FormatWebP:
		err = encodeWebP(ctx, w, pic)
	default:
		err = ErrUnsupported
	}
	if ctx.Err() != nil {
		return nil, ctxError(ctx)
	}
	if err != nil {
		return nil, fmt.Errorf("imageopt: encode %v: %w", f, err)
	}
	return b.Bytes(), nil
}

func runEncoder(ctx context.Context, e Encoder, w ctxWriter, img image.Image, eo EncodeOptions) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("encoder panicked: %v", p)
		}
	}()
	return e.Encode(ctx, w, img, eo)
}

// ctxWriter ends an encoder that writes on after ctx is done.
type ctxWriter struct {
	ctx context.Context
	b   *bytes.Buffer
}

// Write fails once ctx is done.
func (w ctxWriter) Write(p []byte) (int, error) {
	if err := w.ctx.Err(); err != nil {
		return 0, err
	}
	return w.b.Write(p)
}

// pngImage returns the picture in the narrowest model that holds it exactly: gray,
// a palette, or RGB with alpha if need be.
func pngImage(p picture) image.Image {
	if p.gray != nil {
		return p.gray
	}
	m := p.nrgba()
	if q := quant.Exact(m, 256); q != nil {
		return q
	}
	g := image.NewGray(m.Rect)
	for i := range g.Pix {
		px := m.Pix[4*i:][:4]
		if px[0] != px[1] || px[1] != px[2] || px[3] != 255 {
			return m
		}
		g.Pix[i] = px[0]
	}
	return g
}

func paletteOf(m *image.NRGBA) *image.Paletted {
	hard := thresholdAlpha(m)
	if q := quant.Exact(hard, 256); q != nil {
		return q
	}
	return quant.Cut(hard, 256)
}

// thresholdAlpha makes every pixel fully opaque or fully transparent, as GIF wants. It
// returns m itself when that is so already.
func thresholdAlpha(m *image.NRGBA) *image.NRGBA {
	if m.Opaque() {
		return m
	}
	out := image.NewNRGBA(m.Rect)
	for i := 0; i < len(m.Pix); i += 4 {
		if m.Pix[i+3] >= 128 {
			copy(out.Pix[i:i+3], m.Pix[i:i+3])
			out.Pix[i+3] = 255
		}
	}
	return out
}
