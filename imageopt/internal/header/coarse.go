package header

import "bytes"

// Coarse leaves out the data of the scans of a progressive JPEG that do not hold the
// first coefficients of the blocks: most of the file, and nothing that a picture of an
// eighth of its size needs. The headers of these scans stay, so that what is wrong with
// them still shows. What follows the end of the picture goes too. The zero value is at
// the beginning of a file.
type Coarse struct {
	part   coarsePart
	marker byte
	left   int // bytes of the segment that are to come
	head   []byte
	lead   bool // the first byte of the marker behind data that is left out has been kept
}

// coarsePart is what the next byte of a file is.
type coarsePart uint8

const (
	coarseStart  coarsePart = iota // the mark of the beginning
	coarseSecond                   // of its two bytes
	coarseData                     // of a scan, or stray bytes
	coarseMarker                   // the byte behind 0xff
	coarseHigh                     // of the length of a segment
	coarseLow
	coarseSegment
	coarseSkip       // data that is left out
	coarseSkipMarker // the byte behind 0xff in it
	coarseEnd
)

// Filter moves what stays of p, the next part of the file, to its front and returns
// how much that is.
func (c *Coarse) Filter(p []byte) (kept int) {
	for i := 0; i < len(p); {
		n := 1
		keep := true
		switch c.part {
		case coarseStart, coarseSecond:
			c.part++
		case coarseData:
			n = c.upTo(p[i:], coarseMarker)
		case coarseSkip:
			n = c.upTo(p[i:], coarseSkipMarker)
			keep = false
			if c.part == coarseSkipMarker && !c.lead {
				c.lead = true
				p[kept] = 0xff
				kept++
			}
		case coarseMarker:
			c.behind(p[i], coarseData)
		case coarseSkipMarker:
			c.behind(p[i], coarseSkip)
			keep = c.part == coarseHigh || c.part == coarseEnd
		case coarseHigh:
			c.left, c.part = int(p[i])<<8, coarseLow
		case coarseLow:
			c.left += int(p[i]) - 2
			c.part = coarseSegment
			if c.head = c.head[:0]; c.left <= 0 {
				c.part = coarseData
			}
		case coarseSegment:
			n = min(c.left, len(p)-i)
			c.segment(p[i : i+n])
		case coarseEnd:
			return kept
		}
		if keep {
			kept += copy(p[kept:], p[i:i+n])
		}
		i += n
	}
	return kept
}

// upTo returns how much of p there is up to 0xff and with it. If it is there, next is
// what follows.
func (c *Coarse) upTo(p []byte, next coarsePart) int {
	i := bytes.IndexByte(p, 0xff)
	if i < 0 {
		return len(p)
	}
	c.part = next
	return i + 1
}

// behind takes the byte behind 0xff. Where that makes no marker, data goes on.
func (c *Coarse) behind(m byte, data coarsePart) {
	switch {
	case m == 0xff: // fill byte
	case m == 0 || m >= 0xd0 && m <= 0xd7:
		c.part = data
	case m == 0xd9:
		c.part = coarseEnd
	default:
		c.marker, c.part = m, coarseHigh
	}
}

// segment takes a part of a segment. At the end of the header of a scan it knows
// whether the data is left out.
func (c *Coarse) segment(p []byte) {
	const longest = 4 + 2*4 // of the headers of scans
	c.head = append(c.head, p[:min(len(p), longest+1-len(c.head))]...)
	if c.left -= len(p); c.left > 0 {
		return
	}
	c.part, c.lead = coarseData, false
	if h := c.head; c.marker == 0xda && len(h) <= longest && len(h) == 4+2*int(h[0]) && h[len(h)-3] > 0 {
		c.part = coarseSkip
	}
}
