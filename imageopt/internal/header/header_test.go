package header

import (
	"bytes"
	"errors"
	"image"
	"testing"

	encoder "github.com/perfblocks/perfblocks/imageopt/internal/vp8l"
)

// FuzzHeader: readers and copiers of headers never panic, and a prefix never reads as
// another size than the whole.
func FuzzHeader(f *testing.F) {
	f.Add([]byte("\xff\xd8\xff\xe1\x00\x10Exif\x00\x00MM\x00*\x00\x00\x00\x08\xff\xc0\x00\x0b\x08\x00\x10\x00\x20\x01\x01\x11\x00\xff\xda\x00\x02"))
	f.Add([]byte("\x89PNG\r\n\x1a\n\x00\x00\x00\x0dIHDR\x00\x00\x00\x01\x00\x00\x00\x01\x08\x02\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x04IDAT"))
	f.Add([]byte("GIF89a\x01\x00\x01\x00\x80\x00\x00\x00\x00\x00\xff\xff\xff\x21\xf9\x04\x01\x00\x00\x00\x00\x2c\x00\x00\x00\x00\x01\x00\x01\x00\x00\x02\x02\x44\x01\x00\x3b"))
	f.Add([]byte("RIFF\x00\x00\x00\x00WEBPVP8X\x0a\x00\x00\x00\x0c\x00\x00\x00\x01\x00\x00\x01\x00\x00VP8L\x05\x00\x00\x00\x2f\x01\x40\x00\x00\x00\x00\x00\x00\x00EXIF\x00\x00\x00\x00"))
	m := image.NewNRGBA(image.Rect(0, 0, 20, 20))
	for i := range m.Pix {
		m.Pix[i] = byte(i * i)
	}
	coded, err := encoder.Encode(f.Context(), m.Pix, 20, 20)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(coded)
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) < 12 {
			return
		}
		for name, read := range map[string]func([]byte, bool) (Header, error){"jpeg": JPEG, "png": PNG, "gif": GIF, "webp": WebP} {
			h, err := read(b, true)
			if errors.Is(err, ErrMore) {
				t.Errorf("%s asks for more after the end", name)
			}
			if h.Orientation < 1 || h.Orientation > 8 || h.Decode < 0 {
				t.Errorf("%s: %+v", name, h)
			}
			if n, err := h.Trees(true); n < 0 || errors.Is(err, ErrMore) {
				t.Errorf("%s: Trees = %d, %v", name, n, err)
			}
			p, perr := read(b[:len(b)/2+6], false)
			if err == nil && perr != nil && !errors.Is(perr, ErrMore) || perr == nil && err == nil && (p.W != h.W || p.H != h.H) {
				t.Errorf("%s: half reads as %d × %d, %v; all as %d × %d", name, p.W, p.H, perr, h.W, h.H)
			}
		}
		for name, strip := range map[string]func([]byte) ([]byte, bool){"jpeg": StripJPEG, "png": StripPNG, "gif": StripGIF, "webp": StripWebP} {
			if out, ok := strip(b); ok && len(out) > len(b)+16 {
				t.Errorf("%s: stripped copy is longer, %d of %d bytes", name, len(out), len(b))
			}
		}
	})
}

func TestOrientationTolerates(t *testing.T) {
	ok := []byte("II*\x00\x08\x00\x00\x00\x01\x00\x12\x01\x03\x00\x01\x00\x00\x00\x06\x00\x00\x00")
	if got := Orientation(ok); got != 6 {
		t.Errorf("Orientation = %d; want 6", got)
	}
	for n := range ok {
		if got := Orientation(ok[:n]); got != 1 {
			t.Errorf("Orientation of %d bytes = %d; want 1", n, got)
		}
	}
	for _, v := range []byte{0, 9, 255} {
		b := bytes.Clone(ok)
		b[18] = v
		if got := Orientation(b); got != 1 {
			t.Errorf("Orientation with value %d = %d; want 1", v, got)
		}
	}
}

// The block with the loop count may hold other things, which must not be cut in two.
func TestStripGIFKeepsBlocksWhole(t *testing.T) {
	const head, frame = "GIF89a\x01\x00\x01\x00\x80\x00\x00\x00\x00\x00\xff\xff\xff", "\x2c\x00\x00\x00\x00\x01\x00\x01\x00\x00\x02\x02\x44\x01\x00"
	const app, loop, buffer = "\x21\xff\x0bNETSCAPE2.0", "\x03\x01\x07\x00", "\x05\x02\x00\x01\x02\x03"
	for in, want := range map[string]string{
		app + loop + "\x00":                                app + loop + "\x00",
		app + buffer + loop + "\x00":                       app + loop + "\x00",
		app + loop + buffer + "\x00":                       app + loop + "\x00",
		app + buffer + "\x00":                              "",
		app + "\x00":                                       "",
		"\x21\xff\x0bXMP DataXMP\x03\x01\x07\x00\x00":      "",
		"\x21\xff\x0cNETSCAPE2.0\x01\x03\x01\x07\x00\x00":  "",
		"\x21\xfe\x03GPS\x00" + app + loop + loop + "\x00": app + loop + "\x00",
	} {
		out, ok := StripGIF([]byte(head + in + frame + "\x3b"))
		if !ok || string(out) != head+want+frame+"\x3b" {
			t.Errorf("StripGIF with %q = %q, %t; want %q", in, out, ok, want)
		}
	}
}
