package jpegdec

import "errors"

// band is the part of a plane that is in memory while its samples go to [Rows]. Where
// none do, all of it is zero.
type band struct {
	top, end int // rows that are held, all of them done
	keep     int // the first that is wanted again
	open     int // rows behind end that are being decoded
	gray     bool
}

// errAgain: a component is decoded twice, and only whole planes can tell what remains
// of the first time.
var errAgain = errors.New("jpegdec: scans overwrite each other")

// open makes room for a row of blocks, or v of them.
func (d *decoder) open(c *component, v int) {
	if d.rows == nil {
		return
	}
	b, p := &c.band, &c.plane
	n := 8 / c.denom * v
	kept, have := b.end-b.keep, len(p.Pix)/p.Stride
	switch {
	case b.end+n-b.top <= have:
	case 2*kept+n <= have: // so that what is moved is less than what has come since
		copy(p.Pix, p.Pix[(b.keep-b.top)*p.Stride:(b.end-b.top)*p.Stride])
		b.top = b.keep
	default:
		old := p.Pix[min(b.keep-b.top, have)*p.Stride:]
		p.Pix = make([]byte, min(3*kept+2*n, 8/c.denom*c.mh)*p.Stride)
		copy(p.Pix, old)
		b.top = b.keep
	}
	b.open = n
	if b.gray {
		fresh := p.Pix[(b.end-b.top)*p.Stride:][:n*p.Stride]
		for i := range fresh {
			fresh[i] = 128
		}
	}
}

// done hands on what open made room for.
func (d *decoder) done(c *component) (err error) {
	if d.rows == nil {
		return nil
	}
	b := &c.band
	b.end += b.open
	b.open = 0
	if end := min(b.end, c.plane.H); end > b.keep {
		b.keep, err = d.rows(c.index, c.plane, b.top, end)
		d.refused = err != nil
		b.keep = min(max(b.keep, b.top), end)
	}
	return err
}

// openAll and doneAll do so for the components of a sequential scan.
func (d *decoder) openAll(h scanHeader) {
	for _, sc := range h.comps {
		if !d.progressive {
			d.open(sc.c, rowsOfBlocks(h, sc))
		}
	}
}

func (d *decoder) doneAll(h scanHeader) error {
	for _, sc := range h.comps {
		if d.progressive {
			break
		}
		if err := d.done(sc.c); err != nil {
			return err
		}
	}
	return nil
}

func rowsOfBlocks(h scanHeader, sc scanComp) int {
	if len(h.comps) == 1 {
		return 1
	}
	return sc.c.v
}

// finish hands on what an incomplete scan has left, and the gray below.
func (d *decoder) finish(c *component) error {
	for c.band.open > 0 || c.band.end < c.plane.H {
		if c.band.open == 0 {
			d.open(c, 1)
		}
		if err := d.done(c); err != nil {
			return err
		}
	}
	c.plane.Pix = nil
	return nil
}
