package imageopt_test

import (
	"bytes"
	"errors"
	"image"
	"image/jpeg"
	"io"
	"math"
	"testing"

	"github.com/disintegration/imaging"
	"github.com/perfblocks/perfblocks/imageopt"
)

// luma returns the first plane of a JPEG as image/jpeg decodes it.
func luma(t testing.TB, b []byte) *image.Gray {
	t.Helper()
	m, err := jpeg.Decode(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	y, ok := m.(*image.YCbCr)
	if !ok {
		t.Fatalf("JPEG decodes to %T", m)
	}
	return &image.Gray{Pix: y.Y, Stride: y.YStride, Rect: y.Rect}
}

// TestReducedDecodeLooksAlike compares the luma of small results with that of all
// pixels resampled.
func TestReducedDecodeLooksAlike(t *testing.T) {
	t.Parallel()
	o := newOptimizer(t, imageopt.Options{})
	src := toJPEG(t, imaging.Blur(photo(1210, 803), 1), 95)
	ref := luma(t, src)
	for _, w := range []int{100, 250, 400, 800} {
		out, res := process(t, o, src, imageopt.Spec{Width: w, Format: imageopt.FormatJPEG, Quality: 100})
		want := imaging.Resize(ref, w, res.Height, imaging.Lanczos)
		got := luma(t, out)
		sum := 0.0
		for y := range res.Height {
			for x := range w {
				d := float64(got.GrayAt(x, y).Y) - float64(want.NRGBAAt(x, y).R)
				sum += d * d
			}
		}
		if db := 10 * math.Log10(255*255*float64(w*res.Height)/sum); db < 45 {
			t.Errorf("%d px: luma is %.1f dB off all pixels resampled; want 45", w, db)
		}
	}
}

// TestWidthIsExact: the height that follows from a width is rounded, and that does not
// come back on the width.
func TestWidthIsExact(t *testing.T) {
	t.Parallel()
	o := newOptimizer(t, imageopt.Options{})
	src := toPNG(t, photo(151, 100))
	for w := 1; w <= 151; w += 10 {
		if _, res := process(t, o, src, imageopt.Spec{Width: w, Format: imageopt.FormatPNG}); res.Width != w {
			t.Errorf("Width %d made %d × %d", w, res.Width, res.Height)
		}
	}
}

// TestReducedDecodeTakesLess pins what the reduction is for.
func TestReducedDecodeTakesLess(t *testing.T) {
	o := newOptimizer(t, imageopt.Options{})
	src := progressive420(4000, 3000)
	n := allocated(func() { process(t, o, src, imageopt.Spec{Width: 250}) })
	if n > 4<<20 {
		t.Errorf("progressive 12 MP to 250 px allocated %d KiB; want 4 MiB at most", n>>10)
	}
	n = allocated(func() {
		if _, err := o.Placeholder(t.Context(), src, imageopt.PlaceholderBlurHash); err != nil {
			t.Fatal(err)
		}
	})
	if n > 4<<20 {
		t.Errorf("placeholder of progressive 12 MP allocated %d KiB; want 4 MiB at most", n>>10)
	}
}

func TestTruncated(t *testing.T) {
	t.Parallel()
	src := toJPEG(t, photo(300, 200), 90)
	cut := src[:len(src)*2/3]
	strict, lax := newOptimizer(t, imageopt.Options{}), newOptimizer(t, imageopt.Options{Truncated: imageopt.TruncatedPartial})
	for _, s := range []imageopt.Spec{{Format: imageopt.FormatPNG}, {Width: 100, Format: imageopt.FormatPNG}} {
		if _, err := strict.Process(t.Context(), io.Discard, bytes.NewReader(cut), s); !errors.Is(err, imageopt.ErrTruncated) {
			t.Errorf("%+v: %v; want ErrTruncated", s, err)
		}
		whole, res := process(t, lax, src, s)
		if res.Partial {
			t.Errorf("%+v: a whole file is partial", s)
		}
		part, res := process(t, lax, cut, s)
		if !res.Partial || res.Original {
			t.Errorf("%+v: %+v; want a partial result", s, res)
		}
		h := res.Height / 2
		upper := image.Rect(0, 0, res.Width, h)
		if mean, _ := diff(t, imaging.Crop(decode(t, part), upper), imaging.Crop(decode(t, whole), upper)); mean != 0 {
			t.Errorf("%+v: the upper half is %.2f off the whole file's", s, mean)
		}
		if last := rgba(decode(t, part).At(res.Width-1, res.Height-1)); last != [4]int{128, 128, 128, 255} {
			t.Errorf("%+v: what is missing is %v; want gray", s, last)
		}
	}
	if _, err := lax.Process(t.Context(), io.Discard, bytes.NewReader(src[:200]), imageopt.Spec{}); !errors.Is(err, imageopt.ErrTruncated) {
		t.Errorf("partial without a scan: %v; want ErrTruncated", err)
	}
}

func TestTargetBytes(t *testing.T) {
	t.Parallel()
	o := newOptimizer(t, imageopt.Options{})
	src := toJPEG(t, photo(900, 600), 95)
	for _, want := range []int{4000, 9000, 30000} {
		for _, s := range []imageopt.Spec{{Width: 450, TargetBytes: want}, {Width: 600, TargetBytes: want, Format: imageopt.FormatJPEG}} {
			out, _ := process(t, o, src, s)
			if len(out) > want || len(out) < want*92/100 {
				t.Errorf("%+v: %d bytes; want 92 to 100 %%", s, len(out))
			}
			decode(t, out)
		}
	}
	_, err := o.Process(t.Context(), io.Discard, bytes.NewReader(src), imageopt.Spec{Width: 450, TargetBytes: 700})
	if le, ok := errors.AsType[*imageopt.LimitError](err); !ok || le.Limit != "target bytes" || le.Max != 700 || le.Got <= 700 {
		t.Errorf("target of 700 bytes: %v; want ErrTooLarge", err)
	}
	free, _ := process(t, o, src, imageopt.Spec{Width: 300, Quality: 50})
	bound, _ := process(t, o, src, imageopt.Spec{Width: 300, Quality: 50, TargetBytes: 1 << 20})
	if !bytes.Equal(free, bound) {
		t.Errorf("quality 50 makes %d bytes, %d with a target that is far", len(free), len(bound))
	}
}

func TestChromaByQuality(t *testing.T) {
	t.Parallel()
	o := newOptimizer(t, imageopt.Options{})
	for name, src := range map[string][]byte{"jpeg": toJPEG(t, photo(300, 200), 95), "png": toPNG(t, photo(300, 200))} {
		for q, want := range map[int]image.YCbCrSubsampleRatio{80: image.YCbCrSubsampleRatio420, 89: image.YCbCrSubsampleRatio420, 90: image.YCbCrSubsampleRatio444} {
			out, _ := process(t, o, src, imageopt.Spec{Width: 100, Quality: q, Format: imageopt.FormatJPEG})
			if got := decode(t, out).(*image.YCbCr).SubsampleRatio; got != want {
				t.Errorf("%s at quality %d: %v; want %v", name, q, got, want)
			}
		}
	}
	// 4:2:0 in and the same size out: there is no more chroma than that.
	out, _ := process(t, o, toJPEG(t, photo(300, 200), 100), imageopt.Spec{Width: 299, Quality: 95, Format: imageopt.FormatJPEG})
	if got := decode(t, out).(*image.YCbCr).SubsampleRatio; got != image.YCbCrSubsampleRatio420 {
		t.Errorf("4:2:0 source at its size: %v; want 4:2:0", got)
	}
}
