package header

import "encoding/binary"

// GIF walks through a whole GIF and counts its frames. Before the end it returns
// ErrMore with the size set.
func GIF(b []byte, eof bool) (Header, error) {
	h := Header{Orientation: 1}
	if len(b) < 13 {
		return h, short(eof)
	}
	h.W, h.H = int(binary.LittleEndian.Uint16(b[6:])), int(binary.LittleEndian.Uint16(b[8:]))
	if h.W == 0 || h.H == 0 {
		return h, ErrCorrupt
	}
	if !eof {
		return h, ErrMore
	}
	err := gifBlocks(b, func(kind int, block []byte) bool {
		switch kind {
		case extension | 0xf9:
			h.Alpha = h.Alpha || len(block) > 3 && block[3]&1 != 0
		case 0x2c:
			h.Frames++
			w, ht := binary.LittleEndian.Uint16(block[5:]), binary.LittleEndian.Uint16(block[7:])
			h.RectPixels += int64(w) * int64(ht)
			h.Progressive = h.Progressive || block[9]&0x40 != 0
			h.Alpha = h.Alpha || int(w) != h.W || int(ht) != h.H
		}
		return true
	})
	h.Animated = h.Frames > 1
	h.Decode = 2 * h.pixels()
	if h.Animated {
		h.Decode = 2*h.RectPixels + 8*h.pixels()
	}
	if h.Frames == 0 && err == nil {
		err = ErrCorrupt
	}
	return h, err
}

// extension sets the labels of extensions apart from the other blocks.
const extension = 0x100

// gifBlocks calls f for each block: kind 0x2c with an image (descriptor, table and
// data), 0x3b with the trailer, or extension and its label with all of it. f
// returns false to stop.
func gifBlocks(b []byte, f func(kind int, block []byte) bool) error {
	p := 13
	if b[10]&0x80 != 0 {
		p += 3 << (1 + b[10]&7)
	}
	for {
		if p >= len(b) {
			return ErrTruncated
		}
		start, kind := p, int(b[p])
		switch kind {
		case 0x3b:
			f(kind, b[p:p+1])
			return nil
		case 0x21:
			if p+2 > len(b) {
				return ErrTruncated
			}
			kind = extension | int(b[p+1])
			p += 2
			if kind == extension|0x01 && p < len(b) && b[p] != 12 {
				return ErrCorrupt // the decoder takes 12 for granted, and would find other frames
			}
		case 0x2c:
			if p+11 > len(b) {
				return ErrTruncated
			}
			fields := b[p+9]
			p += 10
			if fields&0x80 != 0 {
				p += 3 << (1 + fields&7)
			}
			p++ // code size
		default:
			return ErrCorrupt
		}
		for { // sub-blocks
			if p >= len(b) {
				return ErrTruncated
			}
			n := int(b[p])
			p += 1 + n
			if n == 0 {
				break
			}
		}
		if p > len(b) {
			return ErrTruncated
		}
		if !f(kind, b[start:p]) {
			return nil
		}
	}
}

// StripGIF copies a GIF without comments, plain text and applications' data other
// than the loop count. It reports false when the blocks do not add up.
func StripGIF(b []byte) ([]byte, bool) {
	if len(b) < 13 {
		return nil, false
	}
	head := 13
	if b[10]&0x80 != 0 {
		head += 3 << (1 + b[10]&7)
	}
	if head > len(b) {
		return nil, false
	}
	out := append(make([]byte, 0, len(b)), b[:head]...)
	err := gifBlocks(b, func(kind int, block []byte) bool {
		switch kind {
		case 0x2c, 0x3b, extension | 0xf9:
			out = append(out, block...)
		case extension | 0xff:
			if loop := gifLoop(block); loop != nil {
				out = append(append(append(out, block[:14]...), loop...), 0)
			}
		}
		return true
	})
	return out, err == nil
}

// gifLoop returns the sub-block of an application's block that holds the loop count.
// Others, such as the size of a buffer, may stand beside it.
func gifLoop(block []byte) []byte {
	if len(block) < 14 || block[2] != 11 || string(block[3:14]) != "NETSCAPE2.0" {
		return nil
	}
	for b := block[14:]; len(b) > 0 && len(b) > int(b[0]); b = b[1+int(b[0]):] {
		if b[0] == 3 && b[1] == 1 {
			return b[:4]
		}
	}
	return nil
}
