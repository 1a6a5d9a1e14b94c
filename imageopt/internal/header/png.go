package header

import (
	"bytes"
	"compress/zlib"
	"encoding/binary"
	"io"
	"slices"
)

// PNG reads a PNG up to its first image data.
func PNG(b []byte, eof bool) (Header, error) {
	h := Header{Orientation: 1, Frames: 1}
	depth, bits, interlaced := byte(0), byte(0), false
	for p := 8; ; {
		typ, data, next, err := pngChunk(b, p, eof)
		if err != nil {
			return h, err
		}
		if h.W == 0 && typ != "IHDR" {
			return h, ErrCorrupt
		}
		switch typ {
		case "IHDR":
			if h.W != 0 || len(data) != 13 {
				return h, ErrCorrupt
			}
			w, ht := binary.BigEndian.Uint32(data), binary.BigEndian.Uint32(data[4:])
			if w == 0 || ht == 0 || w > 1<<31-1 || ht > 1<<31-1 {
				return h, ErrCorrupt
			}
			h.W, h.H = int(w), int(ht)
			bits, depth, interlaced = data[8], data[9], data[12] == 1
			h.Progressive = interlaced
			h.Alpha = depth == 4 || depth == 6
		case "tRNS":
			h.Alpha = true
		case "eXIf":
			h.Orientation, h.Credits = Orientation(data), readCredits(data)
		case "iCCP":
			h.packed = data
		case "acTL":
			h.Animated = true
		case "IDAT", "IEND":
			h.Decode = h.pixels() * pngPixel(depth, bits, h.Alpha)
			if interlaced {
				h.Decode *= 2
			}
			return h, nil
		}
		p = next
	}
}

// pngPixel is the size of a pixel in the image that image/png makes.
func pngPixel(colour, bits byte, alpha bool) int64 {
	n := int64(4)
	if (colour == 0 || colour == 3) && !alpha {
		n = 1
	}
	if colour == 3 {
		return 1
	}
	if bits == 16 {
		n *= 2
	}
	return n
}

func pngChunk(b []byte, p int, eof bool) (typ string, data []byte, next int, err error) {
	if p+8 > len(b) {
		return "", nil, 0, short(eof)
	}
	n := int64(binary.BigEndian.Uint32(b[p:]))
	typ = string(b[p+4 : p+8])
	if typ == "IDAT" || typ == "IEND" {
		n = min(n, int64(len(b)-p-8)) // enough to know that it is there
	}
	if n > 1<<31-1 {
		return "", nil, 0, ErrCorrupt
	}
	if int64(p)+12+n > int64(len(b)) && typ != "IDAT" && typ != "IEND" {
		return "", nil, 0, short(eof)
	}
	end := p + 8 + int(n)
	return typ, b[p+8 : end], end + 4, nil
}

func inflateICC(data []byte) []byte {
	i := bytes.IndexByte(data, 0)
	if i < 0 || i > 79 || len(data) < i+2 || data[i+1] != 0 {
		return nil
	}
	z, err := zlib.NewReader(bytes.NewReader(data[i+2:]))
	if err != nil {
		return nil
	}
	p, err := io.ReadAll(io.LimitReader(z, maxICC+1))
	if err != nil || len(p) > maxICC {
		return nil
	}
	return p
}

// StripPNG copies a PNG with only the chunks that make its picture. It reports
// false when the chunks do not add up.
func StripPNG(b []byte) ([]byte, bool) {
	if len(b) < 8 {
		return nil, false
	}
	keep := []string{"IHDR", "PLTE", "tRNS", "IDAT", "IEND", "gAMA", "cHRM", "sRGB", "cICP"}
	out := append(make([]byte, 0, len(b)), b[:8]...)
	for p := 8; p+12 <= len(b); {
		n := int64(binary.BigEndian.Uint32(b[p:]))
		end := int64(p) + 12 + n
		if end > int64(len(b)) {
			return nil, false
		}
		typ := string(b[p+4 : p+8])
		if slices.Contains(keep, typ) {
			out = append(out, b[p:end]...)
		}
		if typ == "IEND" {
			return out, true
		}
		p = int(end)
	}
	return nil, false
}
