package imageopt

import (
	"context"
	"errors"
	"fmt"
	"image"

	"github.com/perfblocks/perfblocks/imageopt/internal/jpegdec"
	"github.com/perfblocks/perfblocks/imageopt/internal/jpegenc"
	"github.com/perfblocks/perfblocks/imageopt/internal/resample"
)

// Truncation says what becomes of a JPEG that ends before its picture does, or is
// damaged within it.
type Truncation uint8

const (
	// TruncatedReject makes it an error. It is the default.
	TruncatedReject Truncation = iota
	// TruncatedPartial takes what could be decoded and leaves the rest gray, or, in a
	// progressive JPEG, coarse. Result.Partial tells.
	TruncatedPartial

	truncationCount
)

// String returns "reject" or "partial".
func (t Truncation) String() string {
	return enumString("Truncation", truncationNames[:], int(t))
}

// MarshalText returns the name that String gives, or an error matching
// [ErrOptions] for a value that is none of the constants.
func (t Truncation) MarshalText() ([]byte, error) {
	return enumText("Truncation", truncationNames[:], int(t))
}

// UnmarshalText accepts the names that String gives, in any case; an empty text
// means TruncatedReject. Anything else is an error matching [ErrOptions].
func (t *Truncation) UnmarshalText(text []byte) error {
	return enumParse(t, "Truncation", truncationNames[:], text)
}

var truncationNames = [truncationCount]string{"reject", "partial"}

// wanted is how a JPEG is to be decoded for a set of results.
type wanted struct {
	scale  int  // denominator
	chroma bool // some result keeps more chroma than 4:2:0 does
}

// want sets j.wanted to the largest reduction that leaves each result half as much again
// as it needs on both axes, so that resampling still decides how it looks; see enough for
// the exception.
func (j *job) want(specs ...Spec) {
	info := j.src.info()
	w := wanted{scale: 8}
	for i := range specs {
		p, err := newPlan(&specs[i], info.Width, info.Height, j.o.opts.Limits.OutputSide)
		if err != nil {
			continue
		}
		if specs[i].Filter == FilterNearest || specs[i].LinearLight {
			w.scale = 1 // decoding to less averages, and not light
		}
		ways := j.o.ways(&specs[i], info)
		chroma := specs[i].LinearLight || j.src.colour != nil || j.o.needsRGB(ways) || fullChroma(&specs[i], ways)
		means := info.Progressive && !chroma && specs[i].Quality < 90
		for w.scale > 1 && !enough(p, w.scale, means) {
			w.scale /= 2
		}
		w.chroma = w.chroma || chroma
	}
	j.wanted = w
}

// enough reports whether a reduction leaves a result what it needs. The means of 8 × 8
// pixels of a progressive JPEG, for which a tenth of its file is read, will do for
// results that are not larger than they are, if means says so: those whose chroma is
// written at half of their size, up to quality 89.
func enough(p plan, scale int, means bool) bool {
	w, h := p.win.Dx(), p.win.Dy()
	if means && scale == 8 {
		return w >= 8*p.w && h >= 8*p.h
	}
	return 2*w >= 3*p.w*scale && 2*h >= 3*p.h*scale
}

// fullChroma reports whether a result is written as 4:4:4: from quality 90 on, where
// chroma would be what is seen first.
func fullChroma(s *Spec, ways []Format) bool {
	return s.Quality >= 90 && !s.searches() && len(ways) == 1 && ways[0] == FormatJPEG
}

// errColours hands a JPEG in RGB or inks to image/jpeg.
var errColours = errors.New("imageopt: JPEG is not in YCbCr")

// decodeJPEG decodes to planes, reduced as far as w allows. damage is why the picture
// is not complete, if Options.Truncated lets it pass.
// rows may take the samples, see [jpegdec.Options].
func (s *source) decodeJPEG(ctx context.Context, w wanted, t Truncation, rows func(*jpegdec.Image) jpegdec.Rows) (r *raster, damage error, err error) {
	img, err := jpegdec.Decode(ctx, s.data, jpegdec.Options{
		Stream: rows,
		Scale:  w.scale, FullChroma: w.chroma, Partial: t == TruncatedPartial,
		Check: func(width, height int, c jpegdec.Colour) error {
			if width != s.head.W || height != s.head.H {
				return fmt.Errorf("%w: two sizes in one header", jpegdec.ErrCorrupt)
			}
			if c != jpegdec.Gray && c != jpegdec.YCbCr {
				return errColours
			}
			return nil
		},
	})
	switch {
	case ctx.Err() != nil:
		return nil, nil, ctxError(ctx)
	case errors.Is(err, jpegdec.ErrTruncated):
		return nil, nil, truncated(s.format, err)
	case errors.Is(err, jpegdec.ErrUnsupported):
		return nil, nil, unsupported(s.format, err)
	case errors.Is(err, jpegdec.ErrCorrupt):
		return nil, nil, corrupt(s.format, err)
	case err != nil:
		return nil, nil, err
	}
	return s.jpegRaster(img), img.Damage, nil
}

func (s *source) jpegRaster(img *jpegdec.Image) *raster {
	r := &raster{w: img.W, h: img.H, opaque: true, colour: s.colour}
	for _, p := range img.Planes {
		r.planes = append(r.planes, resample.Plane{Pix: p.Pix, W: p.W, H: p.H, Stride: p.Stride, Ch: 1})
		r.sub = append(r.sub, sampling{p.SX, p.SY, p.Denom > 1})
	}
	return r
}

// smallFile is the length below which the many headers of a progression would weigh
// more than it saves, in bytes.
const smallFile = 6 << 10

// jpegCost estimates the encoder's memory for so many pixels, in bytes: coefficients,
// at worst none of them zero, 14 bytes more for each block, the symbols of one scan,
// and planes of its own for a picture in RGB.
func jpegCost(s *Spec, px int64) int64 {
	samples := 3 * px
	if s.Quality < 90 || s.searches() {
		samples = 3 * px / 2
	}
	cost := 2*samples + samples/4 + 4*px + samples
	if s.searches() {
		cost += 2 * samples // coefficients as they were before they were quantised, or a decoded try
	}
	return cost + 64<<10
}

// encodeJPEG writes a picture that has no alpha.
func encodeJPEG(ctx context.Context, p picture, s *Spec, buffers *jpegenc.Buffers) ([]byte, error) {
	in := p.planes(s.Quality >= 90 && !s.searches())
	o := jpegenc.Options{Quality: float64(s.Quality), Buffers: buffers}
	if s.TargetBytes > 0 {
		o.Sequential = s.TargetBytes < smallFile
		data, err := jpegenc.EncodeTo(ctx, in, s.TargetBytes, o)
		if e, ok := errors.AsType[*jpegenc.TooLargeError](err); ok {
			return nil, &LimitError{Limit: "target bytes", Got: int64(e.Least), Max: int64(s.TargetBytes)}
		}
		return data, err
	}
	o.Sequential = in.Planes[0].W*in.Planes[0].H < 8*smallFile // a bit for each pixel, or so
	if s.TargetSSIM > 0 {
		return encodeAlike(ctx, in, s, o)
	}
	return jpegenc.Encode(ctx, in, o)
}

// planes returns the picture as JPEG stores it. A picture in RGB keeps all of its
// chroma with full, and a quarter of it otherwise.
func (p picture) planes(full bool) jpegenc.Picture {
	switch {
	case p.gray != nil:
		m := p.gray
		return jpegenc.Picture{Planes: []jpegenc.Plane{{Pix: m.Pix, W: m.Rect.Dx(), H: m.Rect.Dy(), Stride: m.Stride}}}
	case p.ycc == nil:
		p.ycc = toYCbCr(p.flatten(toNRGBA(image.White.C)).rgba, full)
	}
	m := p.ycc
	w, h, sub := m.Rect.Dx(), m.Rect.Dy(), 1
	if m.SubsampleRatio == image.YCbCrSubsampleRatio420 {
		sub = 2
	}
	cw, ch := (w+sub-1)/sub, (h+sub-1)/sub
	return jpegenc.Picture{Sub: sub, Planes: []jpegenc.Plane{
		{Pix: m.Y, W: w, H: h, Stride: m.YStride},
		{Pix: m.Cb, W: cw, H: ch, Stride: m.CStride},
		{Pix: m.Cr, W: cw, H: ch, Stride: m.CStride},
	}}
}

// toYCbCr converts opaque pixels, of which four share their chroma unless full.
func toYCbCr(m *image.NRGBA, full bool) *image.YCbCr {
	w, h := m.Rect.Dx(), m.Rect.Dy()
	ratio, sub := image.YCbCrSubsampleRatio420, 2
	if full {
		ratio, sub = image.YCbCrSubsampleRatio444, 1
	}
	out := image.NewYCbCr(image.Rect(0, 0, w, h), ratio)
	for y := 0; y < h; y += sub {
		for x := 0; x < w; x += sub {
			var r, g, b, n int32
			for v := y; v < min(y+sub, h); v++ {
				for u := x; u < min(x+sub, w); u++ {
					px := m.Pix[v*m.Stride+4*u:][:3]
					pr, pg, pb := int32(px[0]), int32(px[1]), int32(px[2])
					out.Y[v*out.YStride+u] = byte((19595*pr + 38470*pg + 7471*pb + 1<<15) >> 16)
					r, g, b, n = r+pr, g+pg, b+pb, n+1
				}
			}
			c := y/sub*out.CStride + x/sub
			out.Cb[c] = chroma(-11056*r-21712*g+32768*b, n)
			out.Cr[c] = chroma(32768*r-27440*g-5328*b, n)
		}
	}
	return out
}

// chroma takes the sum of n differences, in units of 1/65536, to a byte around 128.
func chroma(sum, n int32) byte {
	return byte(min((sum/n+128<<16+1<<15)>>16, 255))
}

// fineChroma reports whether the chroma of the source has more to show in a result
// than 4:2:0 holds.
func (r *raster) fineChroma(p plan) bool {
	if len(r.planes) != 3 {
		return false
	}
	s := r.sub[1]
	return float64(p.win.Dx()) > 1.5*s.x*float64(p.w)/2 || float64(p.win.Dy()) > 1.5*s.y*float64(p.h)/2
}

// sharpened makes up for the blur of samples that are means. Averaging damps a
// frequency f, in cycles per sample, to about 1−(πf)²/6; the three weights −1, 26, −1
// over 24 do the opposite, and are folded into the filter.
func sharpened(k resample.Kernel, step float64) resample.Kernel {
	if k.Support <= 0 {
		return k
	}
	d := 1 / max(step, 1) // a sample, in the filter's own unit
	return resample.Kernel{Support: k.Support + d, At: func(x float64) float64 {
		return (26*k.At(x) - k.At(x-d) - k.At(x+d)) / 24
	}}
}
