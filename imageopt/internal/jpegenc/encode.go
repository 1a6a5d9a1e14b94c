package jpegenc

import (
	"context"
	"errors"
)

// Plane is one component. Sample (x, y) is Pix[y*Stride+x].
type Plane struct {
	Pix          []byte
	W, H, Stride int
}

// Picture is what is encoded: luma alone, or with two planes of chroma that have a
// sample for Sub × Sub samples of luma, Sub being 1 or 2.
type Picture struct {
	Planes []Plane
	Sub    int
}

// Options says how.
type Options struct {
	// Quality is 1 to 100, on the scale of libjpeg.
	Quality float64
	// Sequential writes one scan instead of a progression.
	Sequential bool
	// Buffers, if not nil, is used and left with what it took.
	Buffers *Buffers
}

// Buffers is the memory that a picture takes while it is encoded, for those that are
// encoded one after the other. The zero value has none.
type Buffers struct {
	stores [3]store
	tokens [][]token // chunks for the next scan
}

var errPicture = errors.New("jpegenc: planes do not make a picture")

// Encode returns the file. The error is ctx.Err(), which is looked at for each row of
// blocks, unless the planes do not fit together.
func Encode(ctx context.Context, p Picture, o Options) ([]byte, error) {
	e, err := newEncoder(ctx, p, o.Buffers)
	if err != nil {
		return nil, err
	}
	e.tables(o.Quality)
	if err := e.transform(true); err != nil {
		return nil, err
	}
	return e.file(o.Sequential)
}

// encoder is the state of one picture.
type encoder struct {
	ctx   context.Context // for the one call that made the encoder
	w, h  int
	comps []component
	quant [2]quantiser
	*Buffers
}

// component is one plane as blocks.
type component struct {
	p      Plane
	h      int     // sampling factor, both ways
	table  int     // 0 luma, 1 chroma
	bw, bh int     // blocks that lie in the picture
	mw, mh int     // blocks with the padding of the MCUs
	raw    []coefs // not quantised yet
	*store
}

// coefs are the 64 coefficients of a block.
type coefs [64]int16

func newEncoder(ctx context.Context, p Picture, b *Buffers) (*encoder, error) {
	if len(p.Planes) != 1 && (len(p.Planes) != 3 || p.Sub < 1 || p.Sub > 2) {
		return nil, errPicture
	}
	if b == nil {
		b = &Buffers{}
	}
	e := &encoder{ctx: ctx, w: p.Planes[0].W, h: p.Planes[0].H, Buffers: b}
	if e.w < 1 || e.h < 1 || e.w > 65535 || e.h > 65535 {
		return nil, errPicture
	}
	sub := max(p.Sub, 1)
	if len(p.Planes) == 1 {
		sub = 1
	}
	mx, my := ceilDiv(e.w, 8*sub), ceilDiv(e.h, 8*sub)
	for i, q := range p.Planes {
		c := component{p: q, h: sub, mw: mx * sub, mh: my * sub, store: &b.stores[i]}
		w, h := e.w, e.h
		if i > 0 {
			c.h, c.table, c.mw, c.mh = 1, 1, mx, my
			w, h = ceilDiv(w, sub), ceilDiv(h, sub)
		}
		if q.W != w || q.H != h || q.Stride < w || len(q.Pix) < (h-1)*q.Stride+w {
			return nil, errPicture
		}
		c.bw, c.bh = ceilDiv(w, 8), ceilDiv(h, 8)
		e.comps = append(e.comps, c)
	}
	return e, nil
}

func ceilDiv(a, b int) int { return (a + b - 1) / b }

// transform makes the coefficients of all blocks, quantised at once or kept as they
// are for later.
func (e *encoder) transform(quantise bool) error {
	for i := range e.comps {
		c := &e.comps[i]
		q := &e.quant[c.table]
		c.reset(c.mw * c.mh)
		if !quantise {
			c.raw = make([]coefs, c.bw*c.bh)
		}
		var b [64]int32
		for y := range c.bh {
			if err := e.ctx.Err(); err != nil {
				return err
			}
			for x := range c.bw {
				c.transform(&b, x, y)
				if quantise {
					c.add(y*c.mw+x, q, &b)
					continue
				}
				raw := &c.raw[y*c.bw+x]
				for k, v := range b {
					raw[k] = int16(v)
				}
			}
		}
		if quantise {
			c.pad()
		}
	}
	return nil
}

// requantise makes the quantised blocks of the kept coefficients.
func (e *encoder) requantise() error {
	for i := range e.comps {
		c := &e.comps[i]
		q := &e.quant[c.table]
		c.reset(c.mw * c.mh)
		var b [64]int32
		for y := range c.bh {
			if err := e.ctx.Err(); err != nil {
				return err
			}
			for x := range c.bw {
				for k, v := range c.raw[y*c.bw+x] {
					b[k] = int32(v)
				}
				c.add(y*c.mw+x, q, &b)
			}
		}
		c.pad()
	}
	return nil
}

// pad gives the blocks outside the picture the mean of the one before, which costs
// the fewest bits.
func (c *component) pad() {
	for y := range c.mh {
		for x := range c.mw {
			if y < c.bh && x < c.bw {
				continue
			}
			before := y*c.mw + x - 1
			if x == 0 {
				before = (y - 1) * c.mw
			}
			c.means[y*c.mw+x] = c.means[before]
		}
	}
}

// transform makes the coefficients of a block.
func (c *component) transform(b *[64]int32, bx, by int) {
	if 8*bx+8 <= c.p.W && 8*by+8 <= c.p.H {
		whole(b, c.p.Pix[8*by*c.p.Stride+8*bx:], c.p.Stride)
		return
	}
	c.load(b, bx, by)
	forward(b)
}

// wholeScalar transforms 8 × 8 samples.
func wholeScalar(b *[64]int32, src []byte, st int) {
	for i := 0; i < 64; i += 8 {
		r := src[:8]
		d := b[i:][:8]
		d[0], d[1], d[2], d[3] = int32(r[0])-128, int32(r[1])-128, int32(r[2])-128, int32(r[3])-128
		d[4], d[5], d[6], d[7] = int32(r[4])-128, int32(r[5])-128, int32(r[6])-128, int32(r[7])-128
		src = src[min(st, len(src)):]
	}
	forward(b)
}

// load reads a block around zero. What lies outside the plane repeats its edge.
func (c *component) load(b *[64]int32, bx, by int) {
	x, y := 8*bx, 8*by
	for i := range b {
		u, v := min(x+i&7, c.p.W-1), min(y+i>>3, c.p.H-1)
		b[i] = int32(c.p.Pix[v*c.p.Stride+u]) - 128
	}
}
