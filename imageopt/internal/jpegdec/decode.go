package jpegdec

import (
	"context"
	"errors"
)

var (
	// ErrCorrupt: the file breaks the rules of JPEG.
	ErrCorrupt = errors.New("invalid JPEG")
	// ErrTruncated: the file ends before its picture does.
	ErrTruncated = errors.New("unexpected end of JPEG")
	// ErrUnsupported: arithmetic coding, lossless, hierarchical, 12 bits.
	ErrUnsupported = errors.New("unsupported kind of JPEG")
)

// Options says what is wanted of a file.
type Options struct {
	// Scale is the denominator of the size: 1, 2, 4 or 8. 0 means 1.
	Scale int
	// FullChroma decodes subsampled components at a larger scale, as far as that
	// brings their planes nearer to the size of the first one. It does nothing at an
	// eighth of a progressive picture, most of whose scans it would have to read.
	FullChroma bool
	// Partial returns what could be decoded of a file that is cut off or damaged
	// behind its first scan header, with the rest in gray.
	Partial bool
	// Check is called with the size of the frame and its colours before anything is
	// allocated for it. Its error ends the decoding.
	Check func(w, h int, c Colour) error
	// Stream, if it is set, is called behind Check with the picture as it will be, but
	// without samples. If it returns a function, that takes the samples as they are
	// decoded, and the planes that Decode returns are without them too. There are
	// files, of which a later scan overwrites an earlier one, whose planes have samples
	// all the same; those count, and what the function was given does not. Stream is
	// called with nil then, before they are decoded.
	Stream func(*Image) Rows
}

// Rows takes samples of plane i. Row 0 of p is row top of the plane, and all before row
// end of the plane are there. It returns the first row that it wants to see again; p is
// valid until then only. An error ends the decoding.
type Rows func(i int, p Plane, top, end int) (keep int, err error)

// Plane is one component. Sample (x, y) is Pix[y*Stride+x].
type Plane struct {
	Pix          []byte
	W, H, Stride int
	// SX and SY are how many pixels of the full picture one sample stands for.
	SX, SY float64
	// Denom is the reduction of this plane itself; its samples are means of that many
	// by as many.
	Denom int
}

// Colour is how the components make a colour.
type Colour uint8

const (
	// Gray has one component.
	Gray Colour = iota
	// YCbCr is the BT.601 model of JFIF.
	YCbCr
	// RGB has no chroma, and usually no subsampling.
	RGB
	// CMYK has four components of ink, as Adobe writes them: 255 is none.
	CMYK
	// YCCK is CMYK with the first three in YCbCr.
	YCCK
)

// Image is a decoded picture.
type Image struct {
	W, H   int // size of the full picture
	Colour Colour
	Planes []Plane
	// Damage is why the picture is not complete, when Options.Partial allowed that.
	Damage error
}

// Decode decodes a whole file. The error wraps one of the sentinels of this package,
// or is ctx.Err(), which is looked at for each row of blocks, or that of Check.
func Decode(ctx context.Context, data []byte, o Options) (*Image, error) {
	if o.Scale == 0 {
		o.Scale = 1
	}
	d := &decoder{ctx: ctx, data: data, o: o}
	err := d.run()
	if err == errAgain {
		o.Stream(nil)
		o.Stream = nil
		return Decode(ctx, data, o)
	}
	if err != nil {
		if !o.Partial || !d.begun || d.refused || ctx.Err() != nil {
			return nil, err
		}
	}
	if len(d.comps) == 0 || !d.begun {
		return nil, corrupt("no scan")
	}
	if d.progressive {
		if err := d.reconstruct(); err != nil {
			return nil, err
		}
	}
	for i := range d.comps {
		c := &d.comps[i]
		if !c.begun {
			if err == nil {
				err = corrupt("component without a scan")
			}
			if !o.Partial {
				return nil, err
			}
			d.makePlane(c, true)
		}
		if d.rows != nil {
			if err := d.finish(c); err != nil {
				return nil, err
			}
		}
	}
	img := d.image()
	img.Damage = err
	return img, nil
}

func (d *decoder) image() *Image {
	img := &Image{W: d.w, H: d.h, Colour: d.colour()}
	for i := range d.comps {
		img.Planes = append(img.Planes, d.comps[i].plane)
	}
	return img
}

type wrapped struct {
	kind error
	what string
}

func (e *wrapped) Error() string { return e.kind.Error() + ": " + e.what }
func (e *wrapped) Unwrap() error { return e.kind }

func corrupt(what string) error     { return &wrapped{ErrCorrupt, what} }
func unsupported(what string) error { return &wrapped{ErrUnsupported, what} }
func truncated(what string) error   { return &wrapped{ErrTruncated, what} }

// decoder is the state of one file.
type decoder struct {
	ctx  context.Context // for the one call that made the decoder
	data []byte
	at   int // next byte of data to parse
	o    Options

	w, h           int
	progressive    bool
	begun          bool // a scan has begun
	comps          []component
	hmax, vmax     int
	mcusX, mcusY   int
	restart        int // MCUs between restart markers, 0 for none
	jfif           bool
	adobe          bool
	adobeTransform byte

	quant   [4]*[64]uint16 // in zig-zag order
	dc      [4]*dcTable
	ac      [4]*acTable
	r       bits
	eobRun  int
	skimmed bool // the scans ahead have been looked through
	rows    Rows // takes the samples, or nil
	refused bool // rows has returned an error
}

// component is one channel of the frame.
type component struct {
	id     byte
	index  int
	h, v   int
	tq     byte
	denom  int // scale of this component
	bw, bh int // blocks that lie in the picture
	mw, mh int // blocks with the padding of the MCUs
	w, ht  int // samples at full size
	plane  Plane
	zq     *[80]uint32 // quantisation and place of each coefficient, see quantPlaces
	limit  int         // last coefficient, in zig-zag order, that the scale needs
	pred   int32
	begun  bool // it has a plane, or a band of it
	band   band

	// Of a progressive picture:
	reach int      // last coefficient, in zig-zag order, whose scans are read
	first []int16  // the first coefficient of each block
	coefs []int16  // those after it that the scale needs, limit for a block
	masks []uint64 // which coefficients of each block are not zero, up to reach
}

// makePlane allocates the samples, unless they go to rows. The gray of pictures that
// may stay incomplete is the middle of the range for every component.
func (d *decoder) makePlane(c *component, gray bool) {
	n := 8 / c.denom
	c.begun = true
	if d.rows != nil {
		c.band.gray = gray
		return
	}
	c.plane.Pix = make([]byte, c.mw*n*c.mh*n)
	if gray {
		for i := range c.plane.Pix {
			c.plane.Pix[i] = 128
		}
	}
}

func (d *decoder) colour() Colour {
	switch len(d.comps) {
	case 1:
		return Gray
	case 3:
		// The marker of JFIF decides before that of Adobe, and that before the names.
		named := d.comps[0].id == 'R' && d.comps[1].id == 'G' && d.comps[2].id == 'B'
		if !d.jfif && (d.adobe && d.adobeTransform == 0 || !d.adobe && named) {
			return RGB
		}
		return YCbCr
	}
	if d.adobe && d.adobeTransform != 0 {
		return YCCK
	}
	return CMYK
}
