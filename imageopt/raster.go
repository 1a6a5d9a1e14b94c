package imageopt

import (
	"context"
	"image"
	"image/color"
	"math"

	"github.com/perfblocks/perfblocks/imageopt/internal/icc"
	"github.com/perfblocks/perfblocks/imageopt/internal/resample"
)

// raster is a decoded picture in the form that the kernels take: planes of luma and
// chroma, one plane of gray, one of opaque pixels, or rows on demand.
type raster struct {
	w, h    int
	planes  []resample.Plane // 3: Y, Cb, Cr; 1: gray or RGBA; none: rows
	sub     []sampling       // of each plane
	rows    resample.RowFunc
	pixel   func(x, y int, dst []byte) // straight RGBA, where rows would lose some of it
	opaque  bool
	limited bool // planes are BT.601 studio range, as in WebP
	colour  *icc.Transform
}

// sampling is how many pixels of the picture a sample of a plane stands for. A mean
// is that of what the plane would hold at its full size.
type sampling struct {
	x, y float64
	mean bool
}

// newRaster wraps img without copying its pixels. Alpha that is 255 everywhere is
// found out here, since opaque pixels take a simpler path.
func newRaster(img image.Image, limited bool, colour *icc.Transform) *raster {
	b := img.Bounds()
	r := &raster{w: b.Dx(), h: b.Dy(), sub: []sampling{{x: 1, y: 1}}, opaque: true, limited: limited, colour: colour}
	switch m := img.(type) {
	case *image.YCbCr:
		r.ycc(m)
	case *image.Gray:
		r.planes = []resample.Plane{{Pix: m.Pix[m.PixOffset(b.Min.X, b.Min.Y):], W: r.w, H: r.h, Stride: m.Stride, Ch: 1}}
	case *image.RGBA:
		r.pixels(m.Pix[m.PixOffset(b.Min.X, b.Min.Y):], m.Stride, m.Opaque(), premultipliedRow)
	case *image.NRGBA:
		r.pixels(m.Pix[m.PixOffset(b.Min.X, b.Min.Y):], m.Stride, m.Opaque(), resample.Premultiplied)
		r.pixel = func(x, y int, dst []byte) { copy(dst, m.Pix[m.PixOffset(b.Min.X+x, b.Min.Y+y):][:4]) }
	case *image.Paletted:
		r.paletted(m)
	default:
		if o, ok := img.(interface{ Opaque() bool }); ok {
			r.opaque = o.Opaque()
		} else {
			r.opaque = false
		}
		r.rows = anyRows(img, limited)
	}
	return r
}

func (r *raster) ycc(m *image.YCbCr) {
	sx, sy := subsampling(m.SubsampleRatio)
	b := m.Rect
	cw, ch := (r.w+sx-1)/sx, (r.h+sy-1)/sy
	chroma := sampling{x: float64(sx), y: float64(sy)}
	r.sub = append(r.sub, chroma, chroma)
	y, c := m.YOffset(b.Min.X, b.Min.Y), m.COffset(b.Min.X, b.Min.Y)
	r.planes = []resample.Plane{
		{Pix: m.Y[y:], W: r.w, H: r.h, Stride: m.YStride, Ch: 1},
		{Pix: m.Cb[c:], W: cw, H: ch, Stride: m.CStride, Ch: 1},
		{Pix: m.Cr[c:], W: cw, H: ch, Stride: m.CStride, Ch: 1},
	}
}

func subsampling(s image.YCbCrSubsampleRatio) (sx, sy int) {
	switch s {
	case image.YCbCrSubsampleRatio422:
		return 2, 1
	case image.YCbCrSubsampleRatio420:
		return 2, 2
	case image.YCbCrSubsampleRatio440:
		return 1, 2
	case image.YCbCrSubsampleRatio411:
		return 4, 1
	case image.YCbCrSubsampleRatio410:
		return 4, 2
	}
	return 1, 1
}

// studioTables take BT.601 studio range, which WebP uses, to the full range of JPEG.
func studioTables(limited bool) (luma, chroma [256]byte) {
	for i := range 256 {
		luma[i], chroma[i] = byte(i), byte(i)
		if limited {
			luma[i] = byte(min(max(((i-16)*255*2+219)/(2*219), 0), 255))
			chroma[i] = byte(min(max(128+floorDiv((i-128)*255*2+224, 2*224), 0), 255))
		}
	}
	return luma, chroma
}

func floorDiv(a, b int) int {
	if a < 0 {
		return -((-a + b - 1) / b)
	}
	return a / b
}

// picture is a result in pixels: exactly one of the fields is set.
type picture struct {
	ycc  *image.YCbCr
	gray *image.Gray
	rgba *image.NRGBA
}

func (p picture) image() image.Image {
	switch {
	case p.ycc != nil:
		return p.ycc
	case p.gray != nil:
		return p.gray
	}
	return p.rgba
}

// model is the form of a result.
type model uint8

const (
	asYCbCr   model = iota // in YCbCr if the source is, subsampled 4:2:0
	asFullYCC              // in YCbCr with all of its chroma, if the source is
	asRGB                  // never in YCbCr
)

// render scales the picture to p and turns it upright under orientation o.
func (r *raster) render(ctx context.Context, p plan, o int, how scaling, m model) (out picture, err error) {
	lie := p.lie(o, r.w, r.h)
	convert := r.colour != nil && !how.keepICC
	if convert {
		m = asRGB
	}
	switch {
	case how.linear && lie.win.Size() != image.Pt(lie.w, lie.h):
		out, err = r.renderPixels(ctx, lie, o, how)
	case len(r.planes) == 3, len(r.planes) == 1 && r.planes[0].Ch == 1:
		d := r.draw(lie, o, how, m)
		for i := 0; i < len(d.planes) && err == nil; i++ {
			err = d.scalers[i].Bytes(ctx, d.planes[i], r.planes[i])
		}
		out = r.drawn(d)
	default:
		out, err = r.renderPixels(ctx, lie, o, how)
	}
	if err != nil {
		return picture{}, ctxError(ctx)
	}
	if convert {
		out = r.converted(out)
	}
	return out, nil
}

// converted takes a picture to sRGB.
func (r *raster) converted(p picture) picture {
	n := p.nrgba()
	r.colour.Convert(n.Pix)
	return picture{rgba: n}
}

// drawing is a result of planes on its way.
type drawing struct {
	planes  []resample.Plane // those of the result, as they lie in the file
	scalers []*resample.Scaler
	o       int
	model   model
	ratio   image.YCbCrSubsampleRatio
}

// draw plans a result of planes of one channel, without a look at their samples.
func (r *raster) draw(l stored, o int, how scaling, m model) *drawing {
	d := &drawing{o: o, model: m, ratio: image.YCbCrSubsampleRatio420}
	div := 2
	if m != asYCbCr {
		div, d.ratio = 1, image.YCbCrSubsampleRatio444
	}
	for i, p := range r.planes {
		switch {
		case i == 0:
			d.add(p, l, r.sub[i], 1, how)
		case i == 2 && r.sub[1] == r.sub[2] && r.planes[1].W == p.W && r.planes[1].H == p.H:
			c := d.planes[1]
			d.planes = append(d.planes, resample.NewPlane(c.W, c.H, 1))
			d.scalers = append(d.scalers, d.scalers[1]) // both planes of chroma take the same weights
		default:
			d.add(p, l, r.sub[i], div, how)
		}
	}
	return d
}

// add plans a plane with a sample for div × div pixels of the result.
func (d *drawing) add(p resample.Plane, l stored, sub sampling, div int, how scaling) {
	ax := axis(l.win.Min.X, l.win.Max.X, l.w, sub.x, div, p.W, l.flipX)
	ay := axis(l.win.Min.Y, l.win.Max.Y, l.h, sub.y, div, p.H, l.flipY)
	k := how.filter.kernel()
	if sub.mean {
		k = sharpened(k, math.Sqrt(ax.Step*ay.Step))
	}
	d.planes = append(d.planes, resample.NewPlane(ax.N, ay.N, 1))
	d.scalers = append(d.scalers, how.scaler(ax, ay, k))
}

// drawn turns the planes of d, which are full, upright and makes them the picture.
func (r *raster) drawn(d *drawing) picture {
	q := d.planes
	for i := range q {
		q[i] = resample.Upright(q[i], d.o)
	}
	if len(q) == 1 {
		return picture{gray: &image.Gray{Pix: q[0].Pix, Stride: q[0].Stride, Rect: image.Rect(0, 0, q[0].W, q[0].H)}}
	}
	if r.limited {
		luma, chroma := studioTables(true)
		for i, t := range []*[256]byte{&luma, &chroma, &chroma} {
			for j, v := range q[i].Pix {
				q[i].Pix[j] = t[v]
			}
		}
	}
	y := &image.YCbCr{
		Y: q[0].Pix, Cb: q[1].Pix, Cr: q[2].Pix, YStride: q[0].Stride, CStride: q[1].Stride,
		SubsampleRatio: d.ratio, Rect: image.Rect(0, 0, q[0].W, q[0].H),
	}
	if d.model == asRGB {
		return picture{rgba: picture{ycc: y}.nrgba()}
	}
	return picture{ycc: y}
}

// nrgba returns the picture in straight RGBA, its own pixels if it is that already.
func (p picture) nrgba() *image.NRGBA {
	if p.rgba != nil {
		return p.rgba
	}
	b := p.image().Bounds()
	out := image.NewNRGBA(b)
	if p.gray != nil {
		for i, v := range p.gray.Pix { // no gaps: it comes from render
			out.Pix[4*i], out.Pix[4*i+1], out.Pix[4*i+2], out.Pix[4*i+3] = v, v, v, 255
		}
		return out
	}
	d := out.Pix
	for y := range b.Dy() {
		for x := range b.Dx() {
			c := p.ycc.COffset(x, y)
			d[0], d[1], d[2] = color.YCbCrToRGB(p.ycc.Y[y*p.ycc.YStride+x], p.ycc.Cb[c], p.ycc.Cr[c])
			d[3] = 255
			d = d[4:]
		}
	}
	return out
}

// flatten puts the picture on a ground. It returns pixels of its own or p unchanged
// when that is opaque.
func (p picture) flatten(ground color.NRGBA) picture {
	if p.rgba == nil || p.rgba.Opaque() {
		return p
	}
	out := image.NewNRGBA(p.rgba.Rect)
	copy(out.Pix, p.rgba.Pix)
	blend(out.Pix, ground)
	return picture{rgba: out}
}

func blend(pix []byte, g color.NRGBA) {
	gc := [3]uint32{uint32(g.R), uint32(g.G), uint32(g.B)}
	for ; len(pix) >= 4; pix = pix[4:] {
		a := uint32(pix[3])
		if a == 255 {
			continue
		}
		ga := uint32(g.A) * (255 - a) / 255
		sum := a + ga
		if sum == 0 {
			continue
		}
		for i := range 3 {
			pix[i] = byte((uint32(pix[i])*a + gc[i]*ga + sum/2) / sum)
		}
		pix[3] = byte(sum)
	}
}

// pad puts the picture into its box, the rest of which is ground.
func (p picture) pad(pl plan, ground color.NRGBA) picture {
	if !pl.padded() {
		return p
	}
	src := p.nrgba()
	out := image.NewNRGBA(image.Rectangle{Max: pl.box})
	for i := 0; i < len(out.Pix); i += 4 {
		out.Pix[i], out.Pix[i+1], out.Pix[i+2], out.Pix[i+3] = ground.R, ground.G, ground.B, ground.A
	}
	for y := range src.Rect.Dy() {
		copy(out.Pix[out.PixOffset(pl.at.X, pl.at.Y+y):], src.Pix[y*src.Stride:][:4*src.Rect.Dx()])
	}
	return picture{rgba: out}
}

// toNRGBA is the straight 8-bit form of any colour.
func toNRGBA(c color.Color) color.NRGBA { return color.NRGBAModel.Convert(c).(color.NRGBA) }
