package imageencoders_test

import (
	"bytes"
	"context"
	"errors"
	"image"
	"image/color"
	"image/jpeg"
	"image/png"
	"math"
	"testing"

	"github.com/perfblocks/perfblocks/examples/imageencoders"
	"github.com/perfblocks/perfblocks/imageopt"
)

// photo has soft forms and some grain.
func photo(w, h int) *image.NRGBA {
	m := image.NewNRGBA(image.Rect(0, 0, w, h))
	for y := range h {
		for x := range w {
			v := 128 + 90*math.Sin(float64(x)/17)*math.Cos(float64(y)/23) + float64((x*7+y*13)%9)
			m.SetNRGBA(x, y, color.NRGBA{byte(v), byte(v * 0.8), byte(255 - v), 255})
		}
	}
	return m
}

func sources(t *testing.T) (jpg, alpha []byte) {
	t.Helper()
	var a, b bytes.Buffer
	m := photo(640, 480)
	if err := jpeg.Encode(&a, m, &jpeg.Options{Quality: 95}); err != nil {
		t.Fatal(err)
	}
	for i := 3; i < len(m.Pix); i += 4 {
		m.Pix[i] = byte(i / 4 % 640 * 255 / 640)
	}
	if err := png.Encode(&b, m); err != nil {
		t.Fatal(err)
	}
	return a.Bytes(), b.Bytes()
}

func TestInstalled(t *testing.T) {
	jpg, alpha := sources(t)
	encoders := imageencoders.Installed(2)
	if len(encoders) == 0 {
		t.Skip("neither cwebp nor avifenc is there: install webp and libavif-bin")
	}
	o, err := imageopt.New(imageopt.Options{Encoders: encoders})
	if err != nil {
		t.Fatal(err)
	}
	for f := range encoders {
		accept := f.ContentType() + ",image/jpeg;q=0.9,*/*;q=0.1"
		for name, src := range map[string][]byte{"jpeg": jpg, "alpha": alpha} {
			var b, plain bytes.Buffer
			res, err := o.Process(t.Context(), &b, bytes.NewReader(src), imageopt.Spec{Width: 320, Format: f, Quality: 75})
			if err != nil || res.Format != f || imageopt.Sniff(b.Bytes()) != f {
				t.Errorf("%s to %v: %+v, %v", name, f, res, err)
				continue
			}
			if _, err := o.Process(t.Context(), &plain, bytes.NewReader(src), imageopt.Spec{Width: 320, Format: imageopt.FormatPNG}); err != nil {
				t.Fatal(err)
			}
			if b.Len() >= plain.Len() {
				t.Errorf("%s: %d bytes of %v, %d of PNG", name, b.Len(), f, plain.Len())
			}
			b.Reset()
			if res, err = o.Process(t.Context(), &b, bytes.NewReader(src), imageopt.Spec{Width: 320, Accept: accept}); err != nil || res.Format != f {
				t.Errorf("%s for a client with %q: %+v, %v; want %v", name, accept, res.Format, err, f)
			}
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := o.Process(ctx, new(bytes.Buffer), bytes.NewReader(jpg), imageopt.Spec{Format: f}); !errors.Is(err, context.Canceled) {
			t.Errorf("%v under a cancelled context: %v", f, err)
		}
	}
}

// What is not installed is not offered.
func TestNotInstalled(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	if got := imageencoders.Installed(1); len(got) != 0 {
		t.Fatalf("encoders %v without programs", got)
	}
	o, err := imageopt.New(imageopt.Options{Encoders: imageencoders.Installed(1)})
	if err != nil {
		t.Fatal(err)
	}
	jpg, _ := sources(t)
	res, err := o.Process(t.Context(), new(bytes.Buffer), bytes.NewReader(jpg), imageopt.Spec{Width: 320, Accept: "image/avif,image/webp,image/jpeg;q=0.5"})
	if err != nil || res.Format != imageopt.FormatJPEG {
		t.Errorf("without programs: %v, %v; want JPEG", res.Format, err)
	}
}
