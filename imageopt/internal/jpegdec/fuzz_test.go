package jpegdec_test

import (
	"bytes"
	"errors"
	"image"
	"image/jpeg"
	"math/rand/v2"
	"testing"

	"github.com/perfblocks/perfblocks/imageopt/internal/jpegdec"
)

// FuzzDecode: no panic, errors of a known kind only, planes that hold what they claim,
// the same samples and errors when they come by rows, and the size of image/jpeg when
// that takes the header.
func FuzzDecode(f *testing.F) {
	m := photo(33, 21)
	f.Add(encoded(f, m, 70), uint8(0))
	f.Add(encoded(f, image.NewGray(image.Rect(0, 0, 9, 9)), 70), uint8(1))
	for _, b := range seeds {
		f.Add([]byte(b), uint8(2))
		f.Add([]byte(b), uint8(8)) // a partial picture
	}
	f.Add(doubled(encoded(f, m, 70)), uint8(4))
	tooBig := errors.New("too big")
	f.Fuzz(func(t *testing.T, b []byte, how uint8) {
		o := jpegdec.Options{Scale: 1 << (how & 3), FullChroma: how&4 != 0, Partial: how&8 != 0, Check: func(w, h int, _ jpegdec.Colour) error {
			if w*h > 1<<14 {
				return tooBig
			}
			return nil
		}}
		if len(b) > 1<<14 || bytes.Count(b, []byte{0xff, 0xda}) > 20 {
			return
		}
		got, err := jpegdec.Decode(t.Context(), b, o)
		sameAs(t, got, err, b, o, rand.New(rand.NewPCG(uint64(how), uint64(len(b)))))
		if err != nil {
			for _, known := range []error{jpegdec.ErrCorrupt, jpegdec.ErrTruncated, jpegdec.ErrUnsupported, tooBig} {
				if errors.Is(err, known) {
					return
				}
			}
			t.Fatalf("error of no known kind: %v", err)
		}
		for i, p := range got.Planes {
			if p.W < 1 || p.H < 1 || p.Stride < p.W || len(p.Pix) < (p.H-1)*p.Stride+p.W {
				t.Fatalf("plane %d: %d × %d, stride %d, %d bytes", i, p.W, p.H, p.Stride, len(p.Pix))
			}
		}
		if got.Damage != nil && !o.Partial {
			t.Fatal("damage without Partial")
		}
		std, err := jpeg.DecodeConfig(bytes.NewReader(b))
		if err == nil && (std.Width != got.W || std.Height != got.H) {
			t.Fatalf("size %d × %d; image/jpeg says %d × %d", got.W, got.H, std.Width, std.Height)
		}
	})
}
