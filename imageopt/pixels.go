package imageopt

import (
	"context"
	"image"
	"image/color"

	"github.com/perfblocks/perfblocks/imageopt/internal/resample"
)

// scaling is how a picture is scaled.
type scaling struct {
	filter  Filter
	linear  bool
	workers int
	keepICC bool // colours are not converted
}

func (o *Optimizer) scaling(s *Spec) scaling {
	return scaling{filter: s.Filter, linear: s.LinearLight, workers: o.opts.Workers}
}

func (s scaling) scaler(x, y resample.Axis, k resample.Kernel) *resample.Scaler {
	scaler := resample.NewScaler(x, y, k)
	scaler.Workers = s.workers
	return scaler
}

// renderPixels scales pixels of four channels: those of a raster that has no planes,
// and of any raster in linear light.
func (r *raster) renderPixels(ctx context.Context, l stored, o int, how scaling) (picture, error) {
	dst := resample.NewPlane(l.w, l.h, 4)
	ax := axis(l.win.Min.X, l.win.Max.X, l.w, 1, 1, r.w, false)
	ay := axis(l.win.Min.Y, l.win.Max.Y, l.h, 1, 1, r.h, false)
	var err error
	switch {
	case r.pixel != nil && l.win.Size() == image.Pt(l.w, l.h):
		for y := 0; y < l.h && err == nil; y++ {
			r.straight(l.win.Min.Y+y, l.win.Min.X, l.win.Max.X, dst.Row(y, 0, l.w))
			err = ctx.Err()
		}
	case how.linear:
		light := resample.NewLight()
		rows := func(y, x0, x1 int, dst []int16) {
			row := make([]byte, 4*(x1-x0))
			r.straight(y, x0, x1, row)
			light.Premultiplied(dst, row)
		}
		err = how.scaler(ax, ay, how.filter.kernel()).Rows(ctx, dst, rows, light.Straight)
	case r.rows != nil:
		err = how.scaler(ax, ay, how.filter.kernel()).Rows(ctx, dst, r.rows, resample.Straight)
	default:
		err = how.scaler(ax, ay, how.filter.kernel()).Bytes(ctx, dst, r.planes[0])
	}
	dst = resample.Upright(dst, o)
	return picture{rgba: &image.NRGBA{Pix: dst.Pix, Stride: dst.Stride, Rect: image.Rect(0, 0, dst.W, dst.H)}}, err
}

// straight writes pixels [x0, x1) of row y in straight RGBA.
func (r *raster) straight(y, x0, x1 int, dst []byte) {
	switch {
	case r.pixel != nil:
		for x := x0; x < x1; x, dst = x+1, dst[4:] {
			r.pixel(x, y, dst)
		}
	case r.rows != nil:
		row := make([]int16, len(dst))
		r.rows(y, x0, x1, row)
		resample.Straight(dst, row)
	case len(r.planes) == 3:
		luma, chroma := studioTables(r.limited)
		for x := x0; x < x1; x, dst = x+1, dst[4:] {
			at := func(i int) byte {
				p, s := &r.planes[i], r.sub[i]
				return p.Pix[min(int(float64(y)/s.y), p.H-1)*p.Stride+min(int(float64(x)/s.x), p.W-1)]
			}
			dst[0], dst[1], dst[2] = color.YCbCrToRGB(luma[at(0)], chroma[at(1)], chroma[at(2)])
			dst[3] = 255
		}
	case r.planes[0].Ch == 1:
		for x := x0; x < x1; x, dst = x+1, dst[4:] {
			v := r.planes[0].Pix[y*r.planes[0].Stride+x]
			dst[0], dst[1], dst[2], dst[3] = v, v, v, 255
		}
	default:
		copy(dst, r.planes[0].Row(y, x0, x1))
	}
}

func (r *raster) pixels(pix []byte, stride int, opaque bool, row func(dst []int16, src []byte)) {
	if r.opaque = opaque; opaque {
		r.planes = []resample.Plane{{Pix: pix, W: r.w, H: r.h, Stride: stride, Ch: 4}}
		return
	}
	r.rows = func(y, x0, x1 int, dst []int16) { row(dst, pix[y*stride+4*x0:y*stride+4*x1]) }
}

// premultipliedRow serves pixels that bear their alpha already.
func premultipliedRow(dst []int16, src []byte) {
	for i, v := range src {
		dst[i] = int16((int(v)*255 + 2) >> 2)
	}
}

// paletted turns indices into colours by a table of 256, so that no index, however
// wrong, is out of range.
func (r *raster) paletted(m *image.Paletted) {
	var table [256][4]int16
	var colours [256]color.NRGBA
	for i, c := range m.Palette[:min(len(m.Palette), 256)] {
		n := toNRGBA(c)
		colours[i] = n
		resample.Premultiplied(table[i][:], []byte{n.R, n.G, n.B, n.A})
	}
	r.opaque = m.Opaque()
	pix := m.Pix[m.PixOffset(m.Rect.Min.X, m.Rect.Min.Y):]
	r.rows = func(y, x0, x1 int, dst []int16) {
		for _, v := range pix[y*m.Stride+x0 : y*m.Stride+x1] {
			copy(dst[:4], table[v][:])
			dst = dst[4:]
		}
	}
	r.pixel = func(x, y int, dst []byte) {
		c := colours[pix[y*m.Stride+x]]
		dst[0], dst[1], dst[2], dst[3] = c.R, c.G, c.B, c.A
	}
}

// anyRows serves the rarer kinds: 16 bits, CMYK, gray or YCbCr with alpha.
func anyRows(img image.Image, limited bool) resample.RowFunc {
	b := img.Bounds()
	if m, ok := img.(*image.NYCbCrA); ok {
		luma, chroma := studioTables(limited)
		return func(y, x0, x1 int, dst []int16) {
			for x := x0; x < x1; x++ {
				c := m.NYCbCrAAt(b.Min.X+x, b.Min.Y+y)
				rr, g, bb := color.YCbCrToRGB(luma[c.Y], chroma[c.Cb], chroma[c.Cr])
				resample.Premultiplied(dst[:4], []byte{rr, g, bb, c.A})
				dst = dst[4:]
			}
		}
	}
	at := func(x, y int) color.RGBA64 {
		rr, g, bb, a := img.At(x, y).RGBA()
		return color.RGBA64{uint16(rr), uint16(g), uint16(bb), uint16(a)}
	}
	if m, ok := img.(image.RGBA64Image); ok {
		at = m.RGBA64At
	}
	return func(y, x0, x1 int, dst []int16) {
		for x := x0; x < x1; x++ {
			c := at(b.Min.X+x, b.Min.Y+y)
			dst[0], dst[1], dst[2], dst[3] = deep(c.R), deep(c.G), deep(c.B), deep(c.A)
			dst = dst[4:]
		}
	}
}

// deep takes 16 bits to the kernels' 14.
func deep(v uint16) int16 { return int16((uint32(v)*resample.Full + 0x7fff) / 0xffff) }
