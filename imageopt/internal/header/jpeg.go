package header

import (
	"bytes"
	"encoding/binary"
)

// JPEG reads a JPEG up to its first scan.
func JPEG(b []byte, eof bool) (Header, error) {
	h := Header{Orientation: 1, Frames: 1, Lossy: true}
	var icc iccParts
	var colours jpegColours
	oriented := false
	for p := 2; ; {
		m, seg, next, err := jpegSegment(b, p, eof)
		if err != nil {
			return h, err
		}
		switch {
		case m == 0xda || m == 0xd9:
			if h.W == 0 {
				return h, ErrCorrupt
			}
			if colours.rgb() {
				h.Decode += 4 * h.Full
				h.Samples = 0
			}
			h.ICC = icc.join()
			return h, nil
		case m == 0xe0 || m == 0xee:
			colours.add(m, seg)
		case m == 0xe1 && !oriented && bytes.HasPrefix(seg, []byte("Exif\x00\x00")):
			h.Orientation, h.Credits, oriented = Orientation(seg[6:]), readCredits(seg[6:]), true
		case m == 0xe2:
			icc.add(seg)
		case m >= 0xc0 && m <= 0xcf && m != 0xc4 && m != 0xc8 && m != 0xcc:
			if h.W != 0 {
				return h, ErrCorrupt
			}
			if err := h.jpegFrame(m, seg); err != nil {
				return h, err
			}
			colours.frame = seg
		}
		p = next
	}
}

// jpegSegment returns the marker at or after p with its payload. Stray bytes
// before a marker are skipped, as decoders do.
func jpegSegment(b []byte, p int, eof bool) (marker byte, seg []byte, next int, err error) {
	for {
		i := bytes.IndexByte(b[min(p, len(b)):], 0xff)
		if i < 0 || p+i+1 >= len(b) {
			return 0, nil, 0, short(eof)
		}
		p += i + 1
		m := b[p]
		switch {
		case m == 0xff: // fill byte
			continue
		case m == 0 || m == 1 || m >= 0xd0 && m <= 0xd8:
			p++ // no payload
			continue
		case m == 0xd9:
			return m, nil, p + 1, nil
		}
		if p+3 > len(b) {
			return 0, nil, 0, short(eof)
		}
		n := int(binary.BigEndian.Uint16(b[p+1:]))
		if n < 2 {
			return 0, nil, 0, ErrCorrupt
		}
		if p+1+n > len(b) {
			return 0, nil, 0, short(eof)
		}
		return m, b[p+3 : p+1+n], p + 1 + n, nil
	}
}

func (h *Header) jpegFrame(m byte, s []byte) error {
	if m > 0xc2 {
		return ErrUnsupported // lossless, hierarchical or arithmetic
	}
	if len(s) < 6 || len(s) < 6+3*int(s[5]) {
		return ErrCorrupt
	}
	if s[0] != 8 {
		return ErrUnsupported // 12 bits
	}
	height, width := int(binary.BigEndian.Uint16(s[1:])), int(binary.BigEndian.Uint16(s[3:]))
	n := int(s[5])
	if height == 0 || width == 0 || n == 0 {
		return ErrCorrupt
	}
	if n > 4 || n == 2 {
		return ErrUnsupported
	}
	h.H, h.W = height, width
	h.Progressive = m == 0xc2
	hmax, vmax, sum := 1, 1, 0
	for i := range n {
		hv := s[7+3*i]
		ch, cv := int(hv>>4), int(hv&15)
		if ch < 1 || ch > 4 || cv < 1 || cv > 4 {
			return ErrCorrupt
		}
		hmax, vmax, sum = max(hmax, ch), max(vmax, cv), sum+ch*cv
	}
	if n == 1 {
		hmax, vmax, sum = 1, 1, 1
	}
	mcu := int64((width+8*hmax-1)/(8*hmax)) * int64((height+8*vmax-1)/(8*vmax))
	samples := mcu * 64 * int64(sum)
	h.Full = mcu * 64 * int64(hmax*vmax)
	h.Decode = samples
	if h.Progressive {
		h.Decode += 4 * samples // coefficients
	}
	if h.Samples = samples; n == 4 {
		h.Samples = 0
		h.Decode += 4 * h.Full // CMYK copy
	}
	if n == 3 && (hmax == 3 || vmax > 2 || hmax > 2) {
		h.Decode += 3 * h.Full // layouts that are expanded
	}
	return nil
}

// jpegColours gathers what makes the decoder take three components for RGB, and hand
// them to image/jpeg, which copies them to four bytes for each pixel.
type jpegColours struct {
	frame       []byte
	jfif, adobe bool
	transform   byte // of the last segment of Adobe
}

func (c *jpegColours) add(m byte, seg []byte) {
	switch {
	case m == 0xe0:
		c.jfif = c.jfif || bytes.HasPrefix(seg, []byte("JFIF\x00"))
	case len(seg) >= 12 && bytes.HasPrefix(seg, []byte("Adobe")):
		c.adobe, c.transform = true, seg[11]
	}
}

func (c *jpegColours) rgb() bool {
	s := c.frame
	if s[5] != 3 || c.jfif {
		return false
	}
	if c.adobe {
		return c.transform == 0
	}
	return s[6] == 'R' && s[9] == 'G' && s[12] == 'B'
}

// JPEGScans counts the scans of a whole JPEG, each of which costs the decoder a walk
// over all of the picture, however short it is. The error is ErrCorrupt when a
// segment behind the first scan would change what JPEG has found out.
func JPEGScans(b []byte) (scans int, err error) {
	for p := 2; ; {
		m, _, next, err := jpegSegment(b, p, true)
		switch {
		case err != nil || m == 0xd9:
			return scans, nil // what is wrong with it, the decoder will say
		case m == 0xda:
			scans++
			next = scanEnd(b, next)
		case scans > 0 && (m == 0xe0 || m == 0xee):
			return scans, ErrCorrupt
		}
		p = next
	}
}

// iccParts gathers a profile from its APP2 segments.
type iccParts struct {
	parts [256][]byte
	size  int
}

func (p *iccParts) add(seg []byte) {
	if len(seg) > 14 && bytes.HasPrefix(seg, []byte("ICC_PROFILE\x00")) && p.parts[seg[12]] == nil {
		p.parts[seg[12]] = seg[14:]
		p.size += len(seg) - 14
	}
}

func (p *iccParts) join() []byte {
	if p.size == 0 || p.size > maxICC {
		return nil
	}
	out := make([]byte, 0, p.size)
	for _, s := range p.parts {
		out = append(out, s...)
	}
	return out
}

// StripJPEG copies a JPEG without its comments and application segments, but for
// JFIF and Adobe's colour transform, and without anything after its end (gain maps,
// depth maps, second pictures). It reports false when the file is not plain enough.
func StripJPEG(b []byte) ([]byte, bool) {
	if len(b) < 4 {
		return nil, false
	}
	out := append(make([]byte, 0, len(b)), 0xff, 0xd8)
	for p := 2; ; {
		m, seg, next, err := jpegSegment(b, p, true)
		if err != nil {
			return nil, false
		}
		drop := m == 0xfe || m >= 0xe1 && m <= 0xef && m != 0xee ||
			m == 0xe0 && !bytes.HasPrefix(seg, []byte("JFIF\x00")) ||
			m == 0xee && !bytes.HasPrefix(seg, []byte("Adobe"))
		switch {
		case m == 0xd9:
			return append(out, 0xff, 0xd9), true
		case m == 0xe0 && !drop && len(seg) >= 14:
			out = append(out, 0xff, 0xe0, 0, 16)
			out = append(out, seg[:12]...)
			out = append(out, 0, 0) // no thumbnail
		case !drop:
			out = append(out, 0xff, m, byte((len(seg)+2)>>8), byte(len(seg)+2))
			out = append(out, seg...)
		}
		p = next
		if m == 0xda { // entropy-coded data runs to the next real marker
			end := scanEnd(b, p)
			out = append(out, b[p:end]...)
			p = end
		}
	}
}

func scanEnd(b []byte, p int) int {
	for p+1 < len(b) {
		i := bytes.IndexByte(b[p:], 0xff)
		if i < 0 || p+i+1 >= len(b) {
			break
		}
		p += i
		if m := b[p+1]; m != 0 && m != 0xff && (m < 0xd0 || m > 0xd7) {
			return p
		}
		p++
	}
	return len(b)
}
