package header

import "encoding/binary"

// WebP reads a WebP. When its header announces EXIF, which stands at the end, it
// needs the whole file.
func WebP(b []byte, eof bool) (Header, error) {
	h := Header{Orientation: 1, Frames: 1}
	wantEXIF, image := false, false
	for p := 12; ; {
		if image && !wantEXIF {
			return h, nil
		}
		if p+8 > len(b) {
			if image && eof {
				return h, nil
			}
			return h, short(eof)
		}
		typ, n := string(b[p:p+4]), int64(binary.LittleEndian.Uint32(b[p+4:]))
		if n > 1<<31-1 {
			return h, ErrCorrupt
		}
		data := b[p+8 : int(min(int64(p)+8+n, int64(len(b))))]
		whole := int64(len(data)) == n
		if image && typ != "EXIF" {
			typ = "" // decoders stop at the first picture
		}
		if err := h.webpChunk(typ, data, whole, eof); err != nil {
			return h, err
		}
		wantEXIF = wantEXIF || typ == "VP8X" && data[0]&8 != 0
		image = image || typ == "VP8 " || typ == "VP8L" || typ == "ANMF"
		next := int64(p) + 8 + n + n&1
		if next > int64(len(b)) && !(image && !wantEXIF) && !eof {
			return h, ErrMore
		}
		p = int(min(next, int64(len(b))))
	}
}

func (h *Header) webpChunk(typ string, data []byte, whole, eof bool) error {
	switch typ {
	case "VP8X":
		if len(data) < 10 {
			return short(eof)
		}
		h.W, h.H = 1+int(le24(data[4:])), 1+int(le24(data[7:]))
		h.Alpha, h.Animated = data[0]&0x10 != 0, data[0]&2 != 0
	case "VP8L":
		h.coded, h.codedHead, h.codedWhole = data, true, whole
		return h.webpImage(typ, data, eof)
	case "VP8 ":
		return h.webpImage(typ, data, eof)
	case "ALPH":
		if h.W > 0 && len(data) > 0 && data[0]&3 == 1 {
			h.coded, h.codedHead, h.codedWhole = data[1:], false, whole
		}
	case "ANMF":
		if h.W == 0 {
			return ErrCorrupt
		}
	case "EXIF":
		if whole {
			exif := webpEXIF(data)
			h.Orientation, h.Credits = Orientation(exif), readCredits(exif)
		}
	case "ICCP":
		if !whole {
			return short(eof)
		}
		if len(data) <= maxICC {
			h.ICC = append([]byte(nil), data...)
		}
	}
	return nil
}

func le24(b []byte) uint32 { return uint32(b[0]) | uint32(b[1])<<8 | uint32(b[2])<<16 }

func webpEXIF(b []byte) []byte {
	if len(b) > 6 && string(b[:6]) == "Exif\x00\x00" {
		b = b[6:] // not by the book, but written by many
	}
	return b
}

func (h *Header) webpImage(typ string, d []byte, eof bool) error {
	if len(d) < 10 {
		return short(eof)
	}
	var w, ht int
	if typ == "VP8 " {
		w = int(binary.LittleEndian.Uint16(d[6:]) & 0x3fff)
		ht = int(binary.LittleEndian.Uint16(d[8:]) & 0x3fff)
		h.Lossy = true
	} else {
		v := binary.LittleEndian.Uint32(d[1:])
		w, ht = int(v&0x3fff)+1, int(v>>14&0x3fff)+1
		h.Alpha = h.Alpha || v>>28&1 != 0
	}
	if w == 0 || ht == 0 || h.W != 0 && (w != h.W || ht != h.H) {
		return ErrCorrupt
	}
	h.W, h.H = w, ht
	mb := int64((w+15)/16) * int64((ht+15)/16) * 256
	switch {
	case !h.Lossy:
		h.Decode = 12 * mb // pixels, entropy images and transforms
	case h.Alpha:
		h.Decode = 14*mb + mb/2
	default:
		h.Decode = mb + mb/2
	}
	return nil
}

// StripWebP copies a still WebP with its picture and alpha only. It reports false
// when the chunks do not add up.
func StripWebP(b []byte) ([]byte, bool) {
	if len(b) < 12 {
		return nil, false
	}
	out := append(make([]byte, 0, len(b)), b[:12]...)
	image := false
	for p := 12; p+8 <= len(b); {
		n := int64(binary.LittleEndian.Uint32(b[p+4:]))
		end := int64(p) + 8 + n + n&1
		if end > int64(len(b)) {
			if end-1 != int64(len(b)) || n&1 == 0 {
				return nil, false
			}
			end-- // padding left out at the end
		}
		switch string(b[p : p+4]) {
		case "VP8X":
			at := len(out)
			out = append(out, b[p:end]...)
			if len(out) < at+9 {
				return nil, false
			}
			out[at+8] &= 0x10 // only alpha remains announced
		case "VP8 ", "VP8L", "ALPH":
			image = true
			out = append(out, b[p:end]...)
		}
		p = int(end)
	}
	if len(out)&1 != 0 {
		out = append(out, 0)
	}
	binary.LittleEndian.PutUint32(out[4:], uint32(len(out)-8))
	return out, image
}
