package quant

import (
	"image"
	"image/color"
	"math/rand/v2"
	"testing"
)

func TestExactAndCut(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for _, colours := range []int{1, 2, 255, 256, 257, 2000} {
		m := image.NewNRGBA(image.Rect(3, 5, 63, 65))
		pal := make([]color.NRGBA, colours)
		for i := range pal {
			pal[i] = color.NRGBA{byte(i), byte(i >> 3), byte(rng.IntN(8)), 255}
		}
		if colours > 200 {
			pal[7] = color.NRGBA{}
		}
		n := 0
		for y := 5; y < 65; y++ {
			for x := 3; x < 63; x++ {
				m.SetNRGBA(x, y, pal[n%colours])
				n++
			}
		}
		exact := Exact(m, 256)
		if (exact != nil) != (colours <= 256) {
			t.Errorf("Exact of %d colours = %v", colours, exact != nil)
		}
		cut := Cut(m, 256)
		if len(cut.Palette) > 256 || len(cut.Palette) == 0 {
			t.Errorf("Cut of %d colours has %d", colours, len(cut.Palette))
		}
		for y := 5; y < 65; y++ {
			for x := 3; x < 63; x++ {
				want := m.NRGBAAt(x, y)
				if exact != nil && exact.At(x, y) != color.Color(want) {
					t.Fatalf("Exact of %d colours: %v at %d,%d; want %v", colours, exact.At(x, y), x, y, want)
				}
				got := cut.At(x, y).(color.NRGBA)
				if dr, dg := int(got.R)-int(want.R), int(got.G)-int(want.G); got.A != want.A || dr > 24 || dr < -24 || dg > 24 || dg < -24 {
					t.Fatalf("Cut of %d colours: %v at %d,%d; want near %v", colours, got, x, y, want)
				}
			}
		}
	}
	if p := Cut(image.NewNRGBA(image.Rect(0, 0, 2, 2)), 2); len(p.Palette) != 1 || p.At(1, 1) != (color.NRGBA{}) {
		t.Errorf("Cut of nothing = %v", p.Palette)
	}
}
