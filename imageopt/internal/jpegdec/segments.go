package jpegdec

import "bytes"

// run parses the file and decodes its scans as they come.
func (d *decoder) run() error {
	if len(d.data) < 2 || d.data[0] != 0xff || d.data[1] != 0xd8 {
		return corrupt("no start of image")
	}
	d.at = 2
	for {
		m, seg, err := d.segment()
		if err != nil {
			return err
		}
		if m == 0xd9 {
			return nil
		}
		if err := d.apply(m, seg); err != nil {
			return err
		}
	}
}

// segment returns the next marker with its payload. Stray bytes before it are
// skipped, as all decoders do.
func (d *decoder) segment() (marker byte, seg []byte, err error) {
	for {
		i := bytes.IndexByte(d.data[d.at:], 0xff)
		if i < 0 || d.at+i+1 >= len(d.data) {
			return 0, nil, truncated("no end of image")
		}
		d.at += i + 1
		m := d.data[d.at]
		switch {
		case m == 0xff: // fill byte
			continue
		case m == 0 || m >= 0xd0 && m <= 0xd7:
			d.at++
			continue
		case m == 0xd9:
			d.at++
			return m, nil, nil
		}
		if d.at+3 > len(d.data) {
			return 0, nil, truncated("segment")
		}
		n := int(d.data[d.at+1])<<8 | int(d.data[d.at+2])
		if n < 2 {
			return 0, nil, corrupt("short segment")
		}
		if d.at+1+n > len(d.data) {
			return 0, nil, truncated("segment")
		}
		seg = d.data[d.at+3 : d.at+1+n]
		d.at += 1 + n
		return m, seg, nil
	}
}

func (d *decoder) apply(m byte, seg []byte) error {
	switch {
	case m >= 0xc0 && m <= 0xc2:
		return d.frame(m, seg)
	case m == 0xc4:
		return d.huffman(seg)
	case m == 0xdb:
		return d.quantisation(seg)
	case m == 0xdd:
		if len(seg) != 2 {
			return corrupt("restart interval")
		}
		d.restart = int(seg[0])<<8 | int(seg[1])
	case m == 0xda:
		return d.scan(seg)
	case m == 0xe0:
		d.jfif = d.jfif || bytes.HasPrefix(seg, []byte("JFIF\x00"))
	case m == 0xee:
		if len(seg) >= 12 && string(seg[:5]) == "Adobe" {
			d.adobe, d.adobeTransform = true, seg[11]
		}
	case m >= 0xe0 && m <= 0xef || m == 0xfe:
	case m < 0xc0:
		return corrupt("unknown marker")
	default:
		return unsupported("marker")
	}
	return nil
}

func (d *decoder) frame(m byte, s []byte) error {
	if len(d.comps) > 0 {
		return corrupt("two frames")
	}
	if len(s) < 6 || len(s) != 6+3*int(s[5]) {
		return corrupt("frame header")
	}
	n := int(s[5])
	if n != 1 && n != 3 && n != 4 {
		return unsupported("number of components")
	}
	if s[0] != 8 {
		return unsupported("precision")
	}
	d.h, d.w = int(s[1])<<8|int(s[2]), int(s[3])<<8|int(s[4])
	if d.h == 0 || d.w == 0 {
		return corrupt("no size")
	}
	d.progressive = m == 0xc2
	d.hmax, d.vmax = 1, 1
	comps := make([]component, n)
	for i := range comps {
		c := &comps[i]
		c.index = i
		c.id, c.h, c.v, c.tq = s[6+3*i], int(s[7+3*i]>>4), int(s[7+3*i]&15), s[8+3*i]
		if c.h < 1 || c.h > 4 || c.v < 1 || c.v > 4 || c.tq > 3 {
			return corrupt("component")
		}
		for j := range i {
			if comps[j].id == c.id {
				return corrupt("repeated component")
			}
		}
		if n == 1 {
			c.h, c.v = 1, 1 // its blocks are never interleaved, whatever it says
		}
		d.hmax, d.vmax = max(d.hmax, c.h), max(d.vmax, c.v)
	}
	d.mcusX, d.mcusY = ceilDiv(d.w, 8*d.hmax), ceilDiv(d.h, 8*d.vmax)
	for i := range comps {
		d.layOut(&comps[i])
	}
	d.comps = comps
	return nil
}

// layOut works out the sizes of a component.
func (d *decoder) layOut(c *component) {
	c.w, c.ht = ceilDiv(d.w*c.h, d.hmax), ceilDiv(d.h*c.v, d.vmax)
	c.bw, c.bh = ceilDiv(c.w, 8), ceilDiv(c.ht, 8)
	c.mw, c.mh = d.mcusX*c.h, d.mcusY*c.v
	c.denom = d.o.Scale
	full := d.o.FullChroma && !(d.progressive && c.denom == 8)
	for k := 2; full && c.denom > 1 && c.h*k <= d.hmax && c.v*k <= d.vmax; k *= 2 {
		c.denom /= 2
	}
	c.limit = limits[c.denom]
	c.reach = c.limit
	c.plane.Denom = c.denom
	c.plane.Stride = c.mw * (8 / c.denom)
	c.plane.W, c.plane.H = ceilDiv(c.w, c.denom), ceilDiv(c.ht, c.denom)
	c.plane.SX = float64(d.hmax) / float64(c.h) * float64(c.denom)
	c.plane.SY = float64(d.vmax) / float64(c.v) * float64(c.denom)
}

// limits are the last coefficients that the inverse transforms use, by scale.
var limits = [9]int{1: 63, 2: 24, 4: 4, 8: 0}

func ceilDiv(a, b int) int { return (a + b - 1) / b }

func (d *decoder) quantisation(s []byte) error {
	for len(s) > 0 {
		wide := int(s[0] >> 4)
		if s[0]&15 > 3 || wide > 1 || len(s) < 1+64*(1+wide) {
			return corrupt("quantisation table")
		}
		q := new([64]uint16)
		for i := range q {
			if wide == 1 {
				q[i] = uint16(s[1+2*i])<<8 | uint16(s[2+2*i])
			} else {
				q[i] = uint16(s[1+i])
			}
		}
		d.quant[s[0]&3] = q
		s = s[1+64*(1+wide):]
	}
	return nil
}

func (d *decoder) huffman(s []byte) error {
	for len(s) > 0 {
		if len(s) < 17 {
			return corrupt("Huffman table")
		}
		n := 0
		for _, v := range s[1:17] {
			n += int(v)
		}
		class, id := s[0]>>4, s[0]&15
		if class > 1 || id > 3 || n == 0 || n > 256 || len(s) < 17+n {
			return corrupt("Huffman table")
		}
		c, err := newCodes(s[1:17], s[17:17+n])
		if err != nil {
			return err
		}
		if class == 0 {
			d.dc[id] = newDC(c)
		} else {
			d.ac[id] = newAC(c)
		}
		s = s[17+n:]
	}
	return nil
}
