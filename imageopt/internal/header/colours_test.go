package header_test

import (
	"bytes"
	"errors"
	"image"
	"image/jpeg"
	"testing"

	"github.com/perfblocks/perfblocks/imageopt/internal/header"
	"github.com/perfblocks/perfblocks/imageopt/internal/jpegdec"
)

// TestColoursOfTheDecoder: what is booked for pixels in RGB, and never for others.
func TestColoursOfTheDecoder(t *testing.T) {
	var file bytes.Buffer
	if err := jpeg.Encode(&file, image.NewYCbCr(image.Rect(0, 0, 16, 16), image.YCbCrSubsampleRatio420), nil); err != nil {
		t.Fatal(err)
	}
	plain := file.Bytes()
	segments := []string{
		"\xff\xe0\x00\x07JFIF\x00", "\xff\xe0\x00\x07JFXX\x00", "\xff\xee\x00\x0eAdobe\x00d\x00\x00\x00\x00\x00",
		"\xff\xee\x00\x0eAdobe\x00d\x00\x00\x00\x00\x01", "\xff\xee\x00\x0eother\x00d\x00\x00\x00\x00\x00", "\xff\xee\x00\x07Adobe",
	}
	named := bytes.Clone(plain)
	for _, marker := range []string{"\xff\xc0", "\xff\xda"} {
		at, step := bytes.Index(named, []byte(marker))+5, 2
		if marker == "\xff\xc0" {
			at, step = at+5, 3
		}
		for i := range 3 {
			named[at+i*step] = "RGB"[i]
		}
	}
	rgb := 0
	for _, b := range [][]byte{plain, named} {
		for i := range 6 * 6 * 6 {
			with := append([]byte("\xff\xd8"+segments[i%6]+segments[i/6%6]+segments[i/36]), b[2:]...)
			h, err := header.JPEG(with, true)
			if err != nil {
				t.Fatal(err)
			}
			var colour jpegdec.Colour
			stop := errors.New("stop")
			_, err = jpegdec.Decode(t.Context(), with, jpegdec.Options{Check: func(_, _ int, c jpegdec.Colour) error {
				colour = c
				return stop
			}})
			if !errors.Is(err, stop) {
				t.Fatal(err)
			}
			if (h.Samples == 0) != (colour == jpegdec.RGB) {
				t.Errorf("%q: %d samples in planes, the decoder says %d", with[:48], h.Samples, colour)
			}
			if colour == jpegdec.RGB {
				rgb++
			}
		}
	}
	if rgb < 20 {
		t.Errorf("%d files in RGB", rgb)
	}
}
