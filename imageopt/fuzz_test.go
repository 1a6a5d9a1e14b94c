package imageopt_test

import (
	"bytes"
	"errors"
	"image"
	"image/color"
	"math/rand/v2"
	"path/filepath"
	"testing"

	"github.com/perfblocks/perfblocks/imageopt"
)

// FuzzProcess: no panic, no memory past the limits, and what comes out decodes to the
// size that was promised.
func FuzzProcess(f *testing.F) {
	add := func(b []byte) { f.Add(b, uint16(7), uint16(9), uint8(1), uint8(3)) }
	small := photo(9, 7)
	for k := range 3 {
		add(withEXIF(toJPEG(f, small, 30+30*k), 6+k))
	}
	add(toPNG(f, veil(9, 7)))
	add(randomGIF(f, rand.New(rand.NewPCG(1, 2)), 8, 8))
	add(gifOf(5, 5, 3))
	add(webpOf(9, 9))
	for _, p := range []string{"testdata/*.webp", "testdata/*.bmp", "testdata/*.tiff", "testdata/pngsuite/*.png"} {
		files, _ := filepath.Glob(p)
		for _, name := range files {
			add(readFile(f, name))
		}
	}
	limits := imageopt.Limits{Bytes: 1 << 16, Pixels: 1 << 16, Frames: 8, FramePixels: 1 << 17, OutputSide: 64}
	o := newOptimizer(f, imageopt.Options{Limits: limits, Inputs: []imageopt.Format{
		imageopt.FormatJPEG, imageopt.FormatPNG, imageopt.FormatGIF, imageopt.FormatWebP, imageopt.FormatBMP, imageopt.FormatTIFF,
	}})
	f.Fuzz(func(t *testing.T, src []byte, w, h uint16, fit, format uint8) {
		s := imageopt.Spec{
			Width: int(w % 65), Height: int(h % 65), Fit: imageopt.Fit(fit % 5), Format: imageopt.Format(format % 5),
			AllowUpscale: fit&8 != 0, Filter: imageopt.Filter(fit >> 4 % 15),
		}
		if fit&128 != 0 {
			s.Background, s.Crop = color.White, image.Rect(1, 1, 5, 4)
		}
		var b bytes.Buffer
		res, err := o.Process(t.Context(), &b, bytes.NewReader(src), s)
		if err == nil {
			m := decode(t, b.Bytes())
			if m.Bounds().Dx() != res.Width || m.Bounds().Dy() != res.Height || res.Width > 64 || res.Height > 64 {
				t.Errorf("result is %v; Result says %d × %d", m.Bounds(), res.Width, res.Height)
			}
			return
		}
		for _, known := range []error{imageopt.ErrOptions, imageopt.ErrTooLarge, imageopt.ErrUnsupported, imageopt.ErrCorrupt, imageopt.ErrTruncated} {
			if errors.Is(err, known) {
				return
			}
		}
		t.Errorf("error of no known kind: %v", err)
	})
}
