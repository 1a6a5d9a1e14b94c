package header

import (
	"encoding/binary"
	"errors"
)

var (
	// ErrMore asks for more of the file. Header has its size set if it is known.
	ErrMore = errors.New("more data needed")
	// ErrTruncated: the file ends inside its header.
	ErrTruncated = errors.New("unexpected end of header")
	// ErrCorrupt: the header breaks the rules of the format.
	ErrCorrupt = errors.New("invalid header")
	// ErrUnsupported: a variety of the format that no decoder here reads.
	ErrUnsupported = errors.New("unsupported variety")
)

// Header is what the header of a file tells.
type Header struct {
	W, H        int   // as stored; 0 while unknown
	Orientation int   // EXIF, 1..8
	Frames      int   // 1, or the frames of a GIF
	RectPixels  int64 // sum of the frames' own rectangles (GIF)
	Animated    bool  // the file announces or holds more than one frame
	Alpha       bool  // the file can hold transparency
	Progressive bool  // or interlaced
	Lossy       bool  // JPEG and lossy WebP
	Credits     Credits
	ICC         []byte // a copy, nil when there is none or it is damaged
	Decode      int64  // estimate of what the decoder allocates, bytes
	Samples     int64  // of all planes of a JPEG in gray or YCbCr, else 0
	Full        int64  // samples of a JPEG's plane in full resolution

	packed []byte // a deflated profile, part of the file's bytes

	coded                 []byte // a lossless WebP stream, see Trees
	codedHead, codedWhole bool   // with its own header, and up to its end
}

// Unpack sets ICC for formats that hold it deflated. It is apart from reading the
// header, so that nothing is inflated for a picture that the limits refuse.
func (h *Header) Unpack() {
	if h.packed != nil {
		h.ICC, h.packed = inflateICC(h.packed), nil
	}
}

// maxICC bounds a profile, in bytes; larger ones are ignored.
const maxICC = 1 << 20

// pixels stays at 2⁴⁸, over every limit, so that its multiples do not overflow.
func (h *Header) pixels() int64 { return min(int64(h.W)*int64(h.H), 1<<48) }

// short returns the error for data that ends too early.
func short(eof bool) error {
	if eof {
		return ErrTruncated
	}
	return ErrMore
}

// Orientation reads the EXIF orientation of a TIFF structure. It returns 1 for
// anything missing or damaged, which must never fail a picture.
func Orientation(b []byte) int {
	var bo binary.ByteOrder = binary.BigEndian
	switch {
	case len(b) < 8:
		return 1
	case string(b[:4]) == "II*\x00":
		bo = binary.LittleEndian
	case string(b[:4]) != "MM\x00*":
		return 1
	}
	off := uint64(bo.Uint32(b[4:]))
	if off+2 > uint64(len(b)) {
		return 1
	}
	n, ifd := int(bo.Uint16(b[off:])), b[off+2:]
	for range n {
		if len(ifd) < 12 {
			return 1
		}
		if bo.Uint16(ifd) == 0x0112 {
			v := 0
			switch bo.Uint16(ifd[2:]) {
			case 3: // SHORT
				v = int(bo.Uint16(ifd[8:]))
			case 4: // LONG, written by some cameras
				v = int(min(bo.Uint32(ifd[8:]), 9))
			}
			if v < 1 || v > 8 {
				return 1
			}
			return v
		}
		ifd = ifd[12:]
	}
	return 1
}
