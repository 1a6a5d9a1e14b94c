package hash

import (
	"image"
	"image/color"
	"strings"
	"testing"
)

func fill(w, h int, f func(x, y int) color.NRGBA) *image.NRGBA {
	m := image.NewNRGBA(image.Rect(0, 0, w, h))
	for i := range w * h {
		m.SetNRGBA(i%w, i/w, f(i%w, i/w))
	}
	return m
}

func decode83(s string) (v int) {
	for _, c := range s {
		v = v*83 + strings.IndexRune(base83, c)
	}
	return v
}

func TestBlur(t *testing.T) {
	flat := Blur(fill(32, 20, func(int, int) color.NRGBA { return color.NRGBA{200, 100, 50, 255} }), 4, 3)
	if len(flat) != 28 || decode83(flat[:1]) != 3+2*9 || decode83(flat[2:6]) != 200<<16|100<<8|50 {
		t.Errorf("Blur(flat) = %q; want size 4 × 3 and the colour as its mean", flat)
	}
	// Black on the left, white on the right: the first horizontal term is negative and
	// as large as any, so it is quantised to 0. The first vertical one is near zero, the
	// 9 in the middle of the scale: the format's cosines start at the pixel's edge.
	half := Blur(fill(32, 32, func(x, _ int) color.NRGBA {
		if x < 16 {
			return color.NRGBA{0, 0, 0, 255}
		}
		return color.NRGBA{255, 255, 255, 255}
	}), 2, 2)
	if mean := decode83(half[2:6]); mean>>16 != 188 || decode83(half[6:8]) != 0 || decode83(half[8:10]) != 11*361+11*19+11 {
		t.Errorf("Blur(half) = %q: mean %#x, terms %d %d", half, mean, decode83(half[6:8]), decode83(half[8:10]))
	}
}

func TestThumb(t *testing.T) {
	for _, tc := range []struct {
		name string
		m    *image.NRGBA
		c    color.NRGBA
	}{
		{"landscape", fill(100, 50, func(int, int) color.NRGBA { return color.NRGBA{200, 100, 50, 255} }), color.NRGBA{200, 100, 50, 255}},
		{"portrait", fill(40, 90, func(int, int) color.NRGBA { return color.NRGBA{10, 220, 130, 255} }), color.NRGBA{10, 220, 130, 255}},
		{"alpha", fill(60, 60, func(x, _ int) color.NRGBA { return color.NRGBA{200, 100, 50, byte(x * 4)} }), color.NRGBA{200, 100, 50, 118}},
	} {
		b := Thumb(tc.m)
		// The mean, as decoders read it.
		h := uint32(b[0]) | uint32(b[1])<<8 | uint32(b[2])<<16
		l, p, q := float64(h&63)/63, float64(h>>6&63)/31.5-1, float64(h>>12&63)/31.5-1
		blue := l - 2.0/3*p
		red := (3*l - blue + q) / 2
		green := red - q
		for i, d := range []float64{red*255 - float64(tc.c.R), green*255 - float64(tc.c.G), blue*255 - float64(tc.c.B)} {
			if d > 10 || d < -10 {
				t.Errorf("%s: mean %v %v %v; want %v (channel %d)", tc.name, red*255, green*255, blue*255, tc.c, i)
			}
		}
		alpha, landscape := h>>23&1 == 1, b[4]>>7 == 1
		if alpha != (tc.c.A < 255) || landscape != (tc.m.Rect.Dx() > tc.m.Rect.Dy()) {
			t.Errorf("%s: alpha %t, landscape %t", tc.name, alpha, landscape)
		}
		if alpha && (float64(b[5]&15)/15*255-float64(tc.c.A) > 12) {
			t.Errorf("%s: mean alpha %d of 15", tc.name, b[5]&15)
		}
	}
	one := Thumb(fill(1, 1, func(int, int) color.NRGBA { return color.NRGBA{} }))
	if len(one) < 6 {
		t.Errorf("Thumb of one transparent pixel has %d bytes", len(one))
	}
}
