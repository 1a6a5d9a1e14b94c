package imageopt_test

import (
	"archive/zip"
	"bytes"
	"image"
	"image/color"
	"io"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"
	"testing"

	"github.com/perfblocks/perfblocks/imageopt"
)

// flat returns drawings in few colours: text-like bars, charts, icons.
func flat() map[string]*image.NRGBA {
	out := map[string]*image.NRGBA{}
	for name, at := range map[string]func(x, y int) color.NRGBA{
		"one":   func(x, y int) color.NRGBA { return color.NRGBA{10, 20, 30, 255} },
		"bars":  func(x, y int) color.NRGBA { return color.NRGBA{byte(x / 16 * 40), 90, 200, 255} },
		"check": func(x, y int) color.NRGBA { return color.NRGBA{byte((x/8 + y/8) % 2 * 255), 255, 255, 255} },
		"disc": func(x, y int) color.NRGBA {
			if (x-100)*(x-100)+(y-60)*(y-60) < 2500 {
				return color.NRGBA{200, 30, 60, 255}
			}
			return color.NRGBA{}
		},
		"lines": func(x, y int) color.NRGBA {
			if y%12 < 8 && (x*x+y/12*7)%5 < 2 {
				return color.NRGBA{20, 20, 20, 255}
			}
			return color.NRGBA{250, 250, 245, 255}
		},
	} {
		m := image.NewNRGBA(image.Rect(0, 0, 200, 120))
		for i := range 200 * 120 {
			m.SetNRGBA(i%200, i/200, at(i%200, i/200))
		}
		out[name] = m
	}
	return out
}

// both makes a PNG and a WebP of a source. The crop keeps it from being copied.
func both(t *testing.T, o *imageopt.Optimizer, src []byte) (p, w []byte) {
	t.Helper()
	all := decode(t, src).Bounds()
	p, _ = process(t, o, src, imageopt.Spec{Format: imageopt.FormatPNG, Crop: all})
	w, _ = process(t, o, src, imageopt.Spec{Format: imageopt.FormatWebP, Crop: all})
	return p, w
}

func TestWebPNotLargerThanPNG(t *testing.T) {
	t.Parallel()
	o := newOptimizer(t, imageopt.Options{})
	for name, m := range flat() {
		p, w := both(t, o, toPNG(t, m))
		if len(w) > len(p) {
			t.Errorf("%s: %d bytes as WebP, %d as PNG", name, len(w), len(p))
		}
		if _, most := diff(t, decode(t, w), m); most > 0 {
			t.Errorf("%s: WebP is off by %d", name, most)
		}
	}
	files, smaller := 0, 0
	forPngSuite(t, func(name string, src []byte) {
		p, w := both(t, o, src)
		files++
		if len(w) <= len(p) {
			smaller++
		}
		if !bytes.Equal(straight(decode(t, w)), straight(decode(t, p))) {
			t.Errorf("%s: WebP and PNG differ", name)
		}
	})
	if files < 160 || smaller*10 < files*9 {
		t.Errorf("%d of %d files of PngSuite are not larger as WebP; want nine of ten", smaller, files)
	}
}

// forPngSuite calls f for the valid files of the suite.
func forPngSuite(t *testing.T, f func(name string, src []byte)) {
	t.Helper()
	z, err := zip.OpenReader(asset(t, "png", "PngSuite.zip"))
	if err != nil {
		t.Fatal(err)
	}
	defer z.Close()
	for _, e := range z.File {
		name := path.Base(e.Name)
		if path.Ext(name) != ".png" || strings.HasPrefix(name, "x") {
			continue
		}
		r, err := e.Open()
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		f(name, b)
	}
}

// libwebp reads what this package writes, to the last bit.
func TestWebPReadByDwebp(t *testing.T) {
	t.Parallel()
	tool, err := exec.LookPath("dwebp")
	if err != nil {
		t.Skip("dwebp is not there: install webp")
	}
	dir := t.TempDir()
	o := newOptimizer(t, imageopt.Options{})
	sources := map[string][]byte{"photo": toPNG(t, photo(150, 90)), "veil": toPNG(t, veil(90, 70)), "noise": toPNG(t, noise(70, 50, false))}
	for name, m := range flat() {
		sources[name] = toPNG(t, m)
	}
	for name, src := range sources {
		p, w := both(t, o, src)
		in, out := filepath.Join(dir, name+".webp"), filepath.Join(dir, name+".png")
		if err := os.WriteFile(in, w, 0o600); err != nil {
			t.Fatal(err)
		}
		if msg, err := exec.CommandContext(t.Context(), tool, in, "-o", out).CombinedOutput(); err != nil {
			t.Errorf("%s: dwebp: %v: %s", name, err, msg)
			continue
		}
		if got := decode(t, readFile(t, out)); !bytes.Equal(straight(got), straight(decode(t, p))) {
			t.Errorf("%s: dwebp shows another picture than the PNG", name)
		}
	}
}

// straight returns the pixels of a picture, without colours that cannot be seen.
func straight(m image.Image) (out []byte) {
	b := m.Bounds()
	for y := b.Min.Y; y < b.Max.Y; y++ {
		for x := b.Min.X; x < b.Max.X; x++ {
			c := color.NRGBAModel.Convert(m.At(x, y)).(color.NRGBA)
			if c.A == 0 {
				c = color.NRGBA{}
			}
			out = append(out, c.R, c.G, c.B, c.A)
		}
	}
	return out
}
