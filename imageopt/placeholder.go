package imageopt

import (
	"context"
	"encoding/base64"
	"fmt"
	"image"
	"image/color"
	"time"

	"github.com/perfblocks/perfblocks/imageopt/internal/hash"
)

// PlaceholderKind is a way to stand in for a picture until it has loaded.
type PlaceholderKind uint8

const (
	// PlaceholderLQIP is a tiny picture as a data URL, to be blurred by the page.
	PlaceholderLQIP PlaceholderKind = iota
	// PlaceholderBlurHash is a BlurHash string of 4×3 or 3×4 components.
	PlaceholderBlurHash
	// PlaceholderThumbHash is a ThumbHash in standard base64; it knows transparency
	// and the aspect ratio.
	PlaceholderThumbHash
	// PlaceholderColor is the dominant colour as "#rrggbb".
	PlaceholderColor

	placeholderCount
)

var placeholderNames = [placeholderCount]string{"lqip", "blurhash", "thumbhash", "color"}

// String returns the lower-case name: "lqip", "blurhash", "thumbhash" or "color".
func (k PlaceholderKind) String() string {
	return enumString("PlaceholderKind", placeholderNames[:], int(k))
}

// MarshalText returns the name that String gives, or an error matching
// [ErrOptions] for a value that is none of the constants.
func (k PlaceholderKind) MarshalText() ([]byte, error) {
	return enumText("PlaceholderKind", placeholderNames[:], int(k))
}

// UnmarshalText accepts the names that String gives, in any case; an empty text
// means PlaceholderLQIP. Anything else is an error matching [ErrOptions].
func (k *PlaceholderKind) UnmarshalText(text []byte) error {
	return enumParse(k, "PlaceholderKind", placeholderNames[:], text)
}

// Placeholder is what stands in for a picture.
type Placeholder struct {
	// Kind is the kind that was asked for.
	Kind PlaceholderKind
	// Value is the data URL, the hash or "#rrggbb". It is what [Picture].Placeholder
	// takes for PlaceholderLQIP and PlaceholderColor.
	Value string
	// Color is the dominant colour of the picture, for every kind. Fully
	// transparent pixels do not count.
	Color color.NRGBA
	// Width and Height are the size of the upright source in pixels, which a page
	// needs to reserve the room.
	Width, Height int
}

// Placeholder decodes src and returns its placeholder. An animated picture is
// represented by its first frame. Errors are those of [Optimizer.Process].
func (o *Optimizer) Placeholder(ctx context.Context, src []byte, kind PlaceholderKind) (Placeholder, error) {
	return o.placeholder(ctx, src, kind)
}

func (o *Optimizer) placeholder(ctx context.Context, src []byte, kind PlaceholderKind) (ph Placeholder, err error) {
	j := &job{o: o, ev: Event{Op: "placeholder"}}
	defer func() {
		j.ev.Err = err
		o.finish(j.ev)
	}()
	if kind >= placeholderCount {
		return ph, fmt.Errorf("%w: %v", ErrOptions, kind)
	}
	if o.opts.Disabled {
		res, err := o.asIs(src)
		return Placeholder{Kind: kind, Width: res.Width, Height: res.Height}, err
	}
	if j.src, err = o.openBytes(src, true); err != nil {
		return ph, err
	}
	side := map[PlaceholderKind]int{PlaceholderLQIP: 24, PlaceholderThumbHash: 100}[kind]
	spec := Spec{Width: max(side, 48), Height: max(side, 48), Format: FormatPNG}
	j.want(spec)
	release, err := j.admit(ctx, spec)
	if err != nil {
		return ph, err
	}
	defer release()
	pic, err := j.small(ctx, spec)
	if err != nil {
		return ph, err
	}
	info := j.src.info()
	ph = Placeholder{Kind: kind, Color: dominant(pic), Width: info.Width, Height: info.Height}
	switch kind {
	case PlaceholderLQIP:
		spec.Width, spec.Height = side, side
		if pic, err = j.small(ctx, spec); err == nil {
			ph.Value, err = o.dataURL(ctx, pic)
		}
	case PlaceholderBlurHash:
		nx, ny := 4, 3
		if info.Height > info.Width {
			nx, ny = 3, 4
		}
		ph.Value = hash.Blur(picture{rgba: pic}.flatten(ph.Color).rgba, nx, ny)
	case PlaceholderThumbHash:
		ph.Value = base64.StdEncoding.EncodeToString(hash.Thumb(pic))
	case PlaceholderColor:
		ph.Value = fmt.Sprintf("#%02x%02x%02x", ph.Color.R, ph.Color.G, ph.Color.B)
	}
	if err != nil {
		return Placeholder{}, err
	}
	return ph, nil
}

// small renders the whole picture into the box of spec.
func (j *job) small(ctx context.Context, spec Spec) (*image.NRGBA, error) {
	if err := j.decode(ctx); err != nil {
		return nil, err
	}
	info := j.src.info()
	p, err := newPlan(&spec, info.Width, info.Height, j.o.opts.Limits.OutputSide)
	if err != nil {
		return nil, err
	}
	start := time.Now()
	defer func() { j.ev.Resize += time.Since(start) }()
	pic, err := j.raster.render(ctx, p, info.Orientation, j.o.scaling(&spec), asRGB)
	if err != nil {
		return nil, err
	}
	return pic.nrgba(), nil
}

func (o *Optimizer) dataURL(ctx context.Context, m *image.NRGBA) (string, error) {
	f := FormatJPEG
	if !m.Opaque() {
		f = FormatPNG
	}
	data, err := o.encode(ctx, f, picture{rgba: m}, &Spec{Quality: 40}, nil)
	if err != nil {
		return "", err
	}
	return "data:" + f.ContentType() + ";base64," + base64.StdEncoding.EncodeToString(data), nil
}

// dominant is the mean of the fullest of 4096 cells of the colour cube; pixels that
// cannot be seen do not count.
func dominant(m *image.NRGBA) color.NRGBA {
	type cell struct{ n, r, g, b int }
	var cells [4096]cell
	best := 0
	for px := m.Pix; len(px) >= 4; px = px[4:] {
		if px[3] < 128 {
			continue
		}
		i := int(px[0]>>4)<<8 | int(px[1]>>4)<<4 | int(px[2]>>4)
		c := &cells[i]
		c.n++
		c.r, c.g, c.b = c.r+int(px[0]), c.g+int(px[1]), c.b+int(px[2])
		if c.n > cells[best].n {
			best = i
		}
	}
	c := cells[best]
	if c.n == 0 {
		return color.NRGBA{255, 255, 255, 255}
	}
	h := c.n / 2
	return color.NRGBA{byte((c.r + h) / c.n), byte((c.g + h) / c.n), byte((c.b + h) / c.n), 255}
}
