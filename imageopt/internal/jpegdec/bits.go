package jpegdec

import (
	"bytes"
	"encoding/binary"
)

const (
	// unitBytes is more than one MCU can take: ten blocks of 64 codes of 16 bits with
	// 16 more each.
	unitBytes = 4096
	chunk     = 32 << 10
)

// bits reads entropy-coded data. Bytes are unstuffed in chunks, so that decoding can
// load eight at a time without a look at them; behind the end it reads zeros.
type bits struct {
	src []byte // from the file; at is the next byte to unstuff
	at  int
	eof bool // src has no more data at at, but a marker or its end

	buf []byte // unstuffed: end bytes and unitBytes of zeros
	end int
	p   int // next byte of buf to load

	acc uint64 // the next n bits, at the top; below them may be more of the same data
	n   uint
}

// start begins at src[at].
func (r *bits) start(src []byte, at int) {
	if r.buf == nil {
		r.buf = make([]byte, chunk+unitBytes+8)
	}
	r.src, r.at, r.eof = src, at, false
	r.end, r.p, r.acc, r.n = 0, 0, 0, 0
	r.more()
}

// ready makes sure that one MCU can be decoded, if only from the zeros behind the
// end. It reports false when more bits were taken than there are.
func (r *bits) ready() bool {
	if r.end-r.p >= unitBytes {
		return true
	}
	if !r.eof {
		r.more()
	}
	return !r.over()
}

// more moves what is left to the front of the buffer and unstuffs behind it.
func (r *bits) more() {
	rest := copy(r.buf, r.buf[min(r.p, r.end):r.end])
	r.p = max(r.p-r.end, 0)
	n := rest
	for n < chunk-1 && !r.eof {
		lim := min(r.at+chunk-n-1, len(r.src))
		i := bytes.IndexByte(r.src[r.at:lim], 0xff)
		if i < 0 {
			n += copy(r.buf[n:], r.src[r.at:lim])
			r.at = lim
			r.eof = lim == len(r.src)
			continue
		}
		n += copy(r.buf[n:], r.src[r.at:r.at+i])
		r.at += i
		if r.at+1 >= len(r.src) || r.src[r.at+1] != 0 {
			r.eof = true
			break
		}
		r.buf[n] = 0xff
		n++
		r.at += 2
	}
	clear(r.buf[n:])
	r.end = n
}

// over reports whether more bits were taken than there are.
func (r *bits) over() bool { return r.eof && 8*r.p-int(r.n) > 8*r.end }

// fill makes at least 56 bits available.
func (r *bits) fill() {
	r.acc |= binary.BigEndian.Uint64(r.buf[r.p:]) >> r.n
	r.p += int((63 - r.n) >> 3)
	r.n |= 56
}

func (r *bits) take(n uint) uint32 {
	v := uint32(r.acc >> (64 - n))
	r.acc <<= n
	r.n -= n
	return v
}

// marker returns the place of the next marker at or behind what was unstuffed, with
// the marker itself, or 0 at the end of the file.
func (r *bits) marker() (at int, m byte) {
	p := r.at
	for p+1 < len(r.src) {
		i := bytes.IndexByte(r.src[p:len(r.src)-1], 0xff)
		if i < 0 {
			break
		}
		p += i
		if c := r.src[p+1]; c != 0 && c != 0xff {
			return p, c
		}
		p++
	}
	return len(r.src), 0
}
