package header

import (
	"image"
	"image/color"
	"math"
	"testing"

	encoder "github.com/perfblocks/perfblocks/imageopt/internal/vp8l"
)

// Files with every transform and references into the picture: whoever loses the
// thread of bits ends in an error, or in codes that are not there.
func TestTreesReadsFiles(t *testing.T) {
	one := int64(16*(280+3*256+40) + 5*560)
	for name, at := range map[string]func(x, y int) color.NRGBA{
		"gradient": func(x, y int) color.NRGBA { return color.NRGBA{byte(x), byte(y), byte(x + y), 255} },
		"waves": func(x, y int) color.NRGBA {
			return color.NRGBA{byte(128 + 90*math.Sin(float64(x*y)/50)), byte(x * y), byte(x ^ y), byte(x)}
		},
		"twenty colours": func(x, y int) color.NRGBA { return color.NRGBA{byte((x/3 + y/5) % 20 * 12), 7, 9, 255} },
	} {
		m := image.NewNRGBA(image.Rect(0, 0, 211, 97))
		for i := range 211 * 97 {
			m.SetNRGBA(i%211, i/211, at(i%211, i/211))
		}
		b, err := encoder.Encode(t.Context(), m.Pix, 211, 97)
		if err != nil {
			t.Fatal(err)
		}
		h, err := WebP(b, true)
		if err != nil {
			t.Fatal(err)
		}
		d := &vp8l{b: h.coded}
		d.bits(40)
		n := d.trees(h.W, h.H)
		if d.bad || n < one || n > one+16*2048 {
			t.Errorf("%s: %d bytes of codes, bad %v; want one set, %d", name, n, d.bad, one)
		}
		// What is left is the picture: its five codes must be there.
		for i := range 5 {
			if p := d.prefix([5]int{280 + int(n-one)/16, 256, 256, 256, 40}[i]); d.bad || len(p.symbols) == 0 {
				t.Errorf("%s: code %d is bad", name, i)
				break
			}
		}
	}
}
