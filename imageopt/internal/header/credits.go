package header

import (
	"encoding/binary"
	"strings"
)

// Credits are the two fields of EXIF that name people.
type Credits struct {
	Artist, Copyright string
}

const (
	tagArtist    = 0x013b
	tagCopyright = 0x8298
	maxCredit    = 1 << 10 // bytes of a field that are kept
)

// readCredits reads a TIFF structure; what is missing or damaged is empty.
func readCredits(b []byte) (c Credits) {
	var bo binary.ByteOrder = binary.BigEndian
	switch {
	case len(b) < 8:
		return c
	case string(b[:4]) == "II*\x00":
		bo = binary.LittleEndian
	case string(b[:4]) != "MM\x00*":
		return c
	}
	off := uint64(bo.Uint32(b[4:]))
	if off+2 > uint64(len(b)) {
		return c
	}
	n, ifd := int(bo.Uint16(b[off:])), b[off+2:]
	for ; n > 0 && len(ifd) >= 12; n, ifd = n-1, ifd[12:] {
		tag := bo.Uint16(ifd)
		if tag != tagArtist && tag != tagCopyright || bo.Uint16(ifd[2:]) != 2 {
			continue
		}
		size := uint64(bo.Uint32(ifd[4:]))
		text := ifd[8:12]
		if size > 4 {
			at := uint64(bo.Uint32(ifd[8:]))
			if at+size > uint64(len(b)) {
				continue
			}
			text = b[at : at+size]
		}
		s := clean(text[:min(size, uint64(len(text)), maxCredit)])
		if tag == tagArtist {
			c.Artist = s
		} else {
			c.Copyright = s
		}
	}
	return c
}

// clean keeps what can be read. A NUL in the middle separates the rights of the
// photographer from those of the editor.
func clean(b []byte) string {
	s := strings.ReplaceAll(strings.Trim(string(b), "\x00 "), "\x00", "; ")
	return strings.TrimSpace(strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return -1
		}
		return r
	}, strings.ToValidUTF8(s, "")))
}

// EXIF writes a TIFF structure of nothing but the credits, or nil if there are none.
func (c Credits) EXIF() []byte {
	var fields []struct {
		tag  uint16
		text string
	}
	for _, f := range []struct {
		tag  uint16
		text string
	}{{tagArtist, c.Artist}, {tagCopyright, c.Copyright}} {
		if f.text != "" {
			fields = append(fields, f)
		}
	}
	if len(fields) == 0 {
		return nil
	}
	out := []byte("MM\x00*\x00\x00\x00\x08")
	out = binary.BigEndian.AppendUint16(out, uint16(len(fields)))
	at := 8 + 2 + 12*len(fields) + 4
	var texts []byte
	for _, f := range fields {
		text := f.text + "\x00"
		out = binary.BigEndian.AppendUint16(out, f.tag)
		out = binary.BigEndian.AppendUint16(out, 2)
		out = binary.BigEndian.AppendUint32(out, uint32(len(text)))
		if len(text) <= 4 {
			out = append(out, append([]byte(text), 0, 0, 0)[:4]...)
			continue
		}
		out = binary.BigEndian.AppendUint32(out, uint32(at+len(texts)))
		texts = append(texts, text...)
		if len(texts)&1 != 0 {
			texts = append(texts, 0)
		}
	}
	out = append(out, 0, 0, 0, 0)
	return append(out, texts...)
}
