package header

import (
	"bytes"
	"compress/zlib"
	"encoding/binary"
	"hash/crc32"
)

// EmbedJPEG puts EXIF and a profile, each if it is not nil, behind the beginning of a
// JPEG. A file that does not begin as it should is returned as it is.
func EmbedJPEG(b, exif, icc []byte) []byte {
	if len(b) < 4 || b[0] != 0xff || b[1] != 0xd8 {
		return b
	}
	at := 2
	if b[3] == 0xe0 && len(b) > 6 {
		at += 2 + int(binary.BigEndian.Uint16(b[4:])) // JFIF comes first
	}
	if at > len(b) {
		return b
	}
	out := append(make([]byte, 0, len(b)+len(exif)+len(icc)+64), b[:at]...)
	segment := func(marker byte, parts ...[]byte) {
		n := 2
		for _, p := range parts {
			n += len(p)
		}
		out = append(out, 0xff, marker, byte(n>>8), byte(n))
		for _, p := range parts {
			out = append(out, p...)
		}
	}
	if exif != nil {
		segment(0xe1, []byte("Exif\x00\x00"), exif)
	}
	const most = 65519
	all := (len(icc) + most - 1) / most
	for i := range all {
		segment(0xe2, []byte("ICC_PROFILE\x00"), []byte{byte(i + 1), byte(all)}, icc[:min(len(icc), most)])
		icc = icc[min(len(icc), most):]
	}
	return append(out, b[at:]...)
}

// EmbedPNG is EmbedJPEG for a PNG.
func EmbedPNG(b, exif, icc []byte) []byte {
	const head = 8 + 25
	if len(b) < head {
		return b
	}
	out := append(make([]byte, 0, len(b)+len(exif)+len(icc)+64), b[:head]...)
	chunk := func(typ string, data []byte) {
		out = binary.BigEndian.AppendUint32(out, uint32(len(data)))
		at := len(out)
		out = append(append(out, typ...), data...)
		out = binary.BigEndian.AppendUint32(out, crc32.ChecksumIEEE(out[at:]))
	}
	if icc != nil {
		var z bytes.Buffer
		z.WriteString("ICC profile\x00\x00")
		w := zlib.NewWriter(&z)
		_, _ = w.Write(icc) // memory does not fail
		_ = w.Close()
		chunk("iCCP", z.Bytes())
	}
	if exif != nil {
		chunk("eXIf", exif)
	}
	return append(out, b[head:]...)
}

// EmbedWebP is EmbedJPEG for a WebP of w × h.
func EmbedWebP(b, exif, icc []byte, w, h int) []byte {
	if len(b) < 30 || exif == nil && icc == nil {
		return b
	}
	rest, flags := b[12:], byte(0)
	switch string(rest[:4]) {
	case "VP8L":
		flags = rest[8+4] >> 4 & 1 << 4 // its own flag of alpha
	case "VP8X":
		flags = rest[8] &^ (0x20 | 0x08)
		rest = rest[18:]
	}
	chunk := func(out []byte, typ string, data []byte) []byte {
		out = append(out, typ...)
		out = binary.LittleEndian.AppendUint32(out, uint32(len(data)))
		out = append(out, data...)
		return append(out, make([]byte, len(data)&1)...)
	}
	if icc != nil {
		flags |= 0x20
	}
	if exif != nil {
		flags |= 0x08
	}
	x, y := w-1, h-1
	out := append(make([]byte, 0, len(b)+len(exif)+len(icc)+64), b[:12]...)
	out = chunk(out, "VP8X", []byte{flags, 0, 0, 0, byte(x), byte(x >> 8), byte(x >> 16), byte(y), byte(y >> 8), byte(y >> 16)})
	if icc != nil {
		out = chunk(out, "ICCP", icc)
	}
	out = append(out, rest...)
	if exif != nil {
		out = chunk(out, "EXIF", exif)
	}
	binary.LittleEndian.PutUint32(out[4:], uint32(len(out)-8))
	return out
}
