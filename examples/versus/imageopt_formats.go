package main

import (
	"archive/zip"
	"bytes"
	"context"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"io"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"

	"github.com/HugoSmits86/nativewebp"

	"github.com/perfblocks/perfblocks/examples/versus/internal/bench"
	"github.com/perfblocks/perfblocks/imageopt"
)

// imageAsset is the path of a picture in the folder that PERF_ASSETS names.
func imageAsset(elem ...string) string {
	dir := os.Getenv("PERF_ASSETS")
	if dir == "" {
		dir = filepath.Join("..", "..", "..", "shared", "assets", "images")
	}
	return filepath.Join(append([]string{dir}, elem...)...)
}

// without adds a row for what cannot be measured here.
func without(r *bench.Report, measure, missing string) {
	r.Add(bench.Row{Measure: measure + ": skipped", Unit: "-", OK: true, Note: missing + " is not there"})
}

// pngSuite reads the files of PngSuite, or returns nothing if they are not there.
func pngSuite() (map[string][]byte, error) {
	z, err := zip.OpenReader(imageAsset("png", "PngSuite.zip"))
	if err != nil {
		return nil, nil //nolint:nilerr // a machine without the pictures
	}
	defer z.Close()
	files := map[string][]byte{}
	for _, f := range z.File {
		if path.Ext(f.Name) != ".png" {
			continue
		}
		r, err := f.Open()
		if err != nil {
			return nil, err
		}
		if files[path.Base(f.Name)], err = io.ReadAll(r); err != nil {
			return nil, err
		}
	}
	return files, nil
}

// flatPictures are drawings in few colours.
func flatPictures() (map[string][]byte, error) {
	files := map[string][]byte{}
	for name, at := range map[string]func(x, y int) color.NRGBA{
		"chart": func(x, y int) color.NRGBA { return color.NRGBA{byte(x / 40 * 30), byte(y / 60 * 50), 200, 255} },
		"check": func(x, y int) color.NRGBA { return color.NRGBA{byte((x/8 + y/8) % 2 * 255), 255, 255, 255} },
		"icon": func(x, y int) color.NRGBA {
			if d := (x-200)*(x-200) + (y-150)*(y-150); d < 14400 {
				return color.NRGBA{200, byte(d / 3600 * 40), 60, 255}
			}
			return color.NRGBA{}
		},
		"text": func(x, y int) color.NRGBA {
			if y%14 < 9 && (x*x+y/14*7)%5 < 2 {
				return color.NRGBA{20, 20, 20, 255}
			}
			return color.NRGBA{250, 250, 245, 255}
		},
	} {
		m := image.NewNRGBA(image.Rect(0, 0, 400, 300))
		for i := range 400 * 300 {
			m.SetNRGBA(i%400, i/400, at(i%400, i/400))
		}
		var b bytes.Buffer
		if err := png.Encode(&b, m); err != nil {
			return nil, err
		}
		files[name+".png"] = b.Bytes()
	}
	return files, nil
}

// imageoptFormats compares lossless WebP with PNG, and lets other programs read it.
func imageoptFormats(r *bench.Report) error {
	o, err := imageopt.New(imageopt.Options{})
	if err != nil {
		return err
	}
	suite, err := pngSuite()
	if err != nil {
		return err
	}
	for name := range suite {
		if strings.HasPrefix(name, "x") {
			delete(suite, name)
		}
	}
	flat, err := flatPictures()
	if err != nil {
		return err
	}
	if len(suite) == 0 {
		without(r, "lossless WebP of PngSuite", "PngSuite.zip")
	} else if err := lossless(r, o, "PngSuite", suite); err != nil {
		return err
	}
	return lossless(r, o, "flat colours", flat)
}

// lossless encodes files as PNG and WebP. The crop keeps the source from being taken
// as the result.
func lossless(r *bench.Report, o *imageopt.Optimizer, set string, files map[string][]byte) error {
	dir, err := os.MkdirTemp("", "webp")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	dwebp, missing := exec.LookPath("dwebp")
	notLarger, wrong := 0, 0
	var sizes struct{ png, webp, native int }
	for name, src := range files {
		m, err := png.Decode(bytes.NewReader(src))
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		var p, w, native bytes.Buffer
		for f, b := range map[imageopt.Format]*bytes.Buffer{imageopt.FormatPNG: &p, imageopt.FormatWebP: &w} {
			if _, err := o.Process(context.Background(), b, bytes.NewReader(src), imageopt.Spec{Format: f, Crop: m.Bounds()}); err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
		}
		if err := nativewebp.Encode(&native, m, nil); err != nil {
			return fmt.Errorf("%s: nativewebp: %w", name, err)
		}
		sizes.png, sizes.webp, sizes.native = sizes.png+p.Len(), sizes.webp+w.Len(), sizes.native+native.Len()
		if w.Len() <= p.Len() {
			notLarger++
		}
		if missing == nil {
			same, err := readAs(dwebp, dir, w.Bytes(), p.Bytes())
			if err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
			if !same {
				wrong++
			}
		}
	}
	title := fmt.Sprintf("lossless WebP, %s, %d files: ", set, len(files))
	r.AtLeast(title+"not larger than PNG", "share", float64(notLarger)/float64(len(files)), 0.9)
	r.Add(bench.Row{Measure: title + "bytes to those of PNG", Unit: "ratio", Ours: float64(sizes.webp) / float64(sizes.png), OK: true,
		Peers: []bench.Value{{Name: "nativewebp", Value: float64(sizes.native) / float64(sizes.png)}}})
	if missing != nil {
		without(r, title+"read back by dwebp", "dwebp")
		return nil
	}
	r.AtMost(title+"dwebp shows another picture", "files", float64(wrong), 0)
	return nil
}

// readAs lets dwebp read a WebP and compares the pixels with those of a PNG.
func readAs(dwebp, dir string, webp, want []byte) (bool, error) {
	in, out := filepath.Join(dir, "in.webp"), filepath.Join(dir, "out.png")
	if err := os.WriteFile(in, webp, 0o600); err != nil {
		return false, err
	}
	if msg, err := exec.Command(dwebp, in, "-o", out).CombinedOutput(); err != nil {
		return false, fmt.Errorf("dwebp: %w: %s", err, msg)
	}
	got, err := os.ReadFile(out)
	if err != nil {
		return false, err
	}
	a, err := png.Decode(bytes.NewReader(got))
	if err != nil {
		return false, err
	}
	b, err := png.Decode(bytes.NewReader(want))
	if err != nil {
		return false, err
	}
	return bytes.Equal(straightPixels(a), straightPixels(b)), nil
}

// straightPixels returns the pixels of a picture, without colours that cannot be seen.
func straightPixels(m image.Image) (out []byte) {
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
