package imageopt_test

import (
	"errors"
	"image"
	"image/color"
	"io"
	"math"
	"testing"

	"bytes"

	"github.com/perfblocks/perfblocks/imageopt"
)

// somewhere is a plain picture with a lively spot around (x, y).
func somewhere(w, h, x, y int) *image.NRGBA {
	m := image.NewNRGBA(image.Rect(0, 0, w, h))
	for i := range w * h {
		u, v := i%w, i/w
		c := color.NRGBA{90, byte(100 + 20*u/w), 110, 255}
		if (u-x)*(u-x)+(v-y)*(v-y) < 400 {
			c = color.NRGBA{220, byte(60 * ((u/4 + v/4) % 3)), 40, 255}
		}
		m.SetNRGBA(u, v, c)
	}
	return m
}

func TestAnchorAttention(t *testing.T) {
	t.Parallel()
	o := newOptimizer(t, imageopt.Options{})
	spec := imageopt.Spec{Width: 60, Height: 60, Fit: imageopt.FitCover, Anchor: imageopt.AnchorAttention, Format: imageopt.FormatPNG}
	lively := func(b []byte) int {
		n := 0
		m := decode(t, b)
		for i := range 60 * 60 {
			if p := rgba(m.At(i%60, i/60)); p[0] > 180 && p[2] < 80 {
				n++
			}
		}
		return n
	}
	for _, c := range []struct{ w, h, x, y int }{{400, 120, 40, 60}, {400, 120, 360, 60}, {400, 120, 230, 60}, {120, 400, 60, 30}, {120, 400, 60, 310}} {
		m := somewhere(c.w, c.h, c.x, c.y)
		want := lively(toPNGOf(t, o, m, imageopt.Spec{Width: 60, Height: 60, Fit: imageopt.FitCover, Format: imageopt.FormatPNG,
			Crop: image.Rect(c.x-60, c.y-60, c.x+60, c.y+60).Intersect(m.Rect)}))
		for k := 1; k <= 8; k++ {
			out, res := process(t, o, withEXIF(toJPEG(t, orient(m, k), 95), k), spec)
			if n := lively(out); n < 230 || res.Width != 60 || res.Height != 60 {
				t.Errorf("%v orientation %d: %d lively pixels of about %d in %d × %d", c, k, n, want, res.Width, res.Height)
			}
		}
		crop := spec
		crop.Crop = image.Rect(10, 10, c.w-5, c.h-5)
		if out, _ := process(t, o, toPNG(t, m), crop); lively(out) < 230 {
			t.Errorf("%v within a crop: %d lively pixels", c, lively(out))
		}
	}
	plain := image.NewNRGBA(image.Rect(0, 0, 300, 100))
	for i := range plain.Pix {
		plain.Pix[i] = 255
	}
	for x := 149; x < 151; x++ { // what is alike everywhere else has its middle kept
		for y := range 100 {
			plain.SetNRGBA(x, y, color.NRGBA{250, 255, 255, 255})
		}
	}
	a, _ := process(t, o, toPNG(t, plain), spec)
	spec.Anchor = imageopt.AnchorCenter
	b, _ := process(t, o, toPNG(t, plain), spec)
	if mean, _ := diff(t, decode(t, a), decode(t, b)); mean > 1 {
		t.Errorf("a plain picture is %.1f off its middle", mean)
	}
}

func toPNGOf(t *testing.T, o *imageopt.Optimizer, m image.Image, s imageopt.Spec) []byte {
	b, _ := process(t, o, toPNG(t, m), s)
	return b
}

// grayOf is the gray of a picture as JPEG has it.
func grayOf(m image.Image) [][]float64 {
	out := make([][]float64, m.Bounds().Dy())
	for y := range out {
		for x := range m.Bounds().Dx() {
			if c, ok := m.(*image.YCbCr); ok { // RGB would clip
				out[y] = append(out[y], float64(c.Y[c.YOffset(x, y)]))
				continue
			}
			r, g, b, _ := m.At(m.Bounds().Min.X+x, m.Bounds().Min.Y+y).RGBA()
			out[y] = append(out[y], 0.299*float64(r>>8)+0.587*float64(g>>8)+0.114*float64(b>>8))
		}
	}
	return out
}

// naive is the mean SSIM over all windows of 8 × 8, each by its definition.
func naive(a, b [][]float64) float64 {
	sum, n := 0.0, 0.0
	for y := 0; y+8 <= len(a); y++ {
		for x := 0; x+8 <= len(a[0]); x++ {
			var ma, mb, va, vb, vab float64
			for i := range 64 {
				ma, mb = ma+a[y+i/8][x+i%8]/64, mb+b[y+i/8][x+i%8]/64
			}
			for i := range 64 {
				p, q := a[y+i/8][x+i%8]-ma, b[y+i/8][x+i%8]-mb
				va, vb, vab = va+p*p/64, vb+q*q/64, vab+p*q/64
			}
			sum += (2*ma*mb + 6.5025) * (2*vab + 58.5225) / ((ma*ma + mb*mb + 6.5025) * (va + vb + 58.5225))
			n++
		}
	}
	return sum / n
}

func TestTargetSSIM(t *testing.T) {
	t.Parallel()
	o := newOptimizer(t, imageopt.Options{})
	for name, m := range map[string]image.Image{"photo": photo(211, 163), "drawing": drawing(200, 150)} {
		src := toPNG(t, m)
		ref := grayOf(m)
		last := 0
		for _, target := range []float64{0.9, 0.95, 0.98, 0.995} {
			out, _ := process(t, o, src, imageopt.Spec{Format: imageopt.FormatJPEG, TargetSSIM: target})
			if got := naive(grayOf(decode(t, out)), ref); got < target-0.01 || name == "photo" && got > target+0.04 { // quality 1 of the drawing has 0.96
				t.Errorf("%s: SSIM %.4f for a target of %v, in %d bytes", name, got, target, len(out))
			}
			if len(out) < last {
				t.Errorf("%s: target %v takes %d bytes, less than a lower one", name, target, len(out))
			}
			last = len(out)
		}
		capped, _ := process(t, o, src, imageopt.Spec{Format: imageopt.FormatJPEG, TargetSSIM: 0.999, Quality: 50})
		plain, _ := process(t, o, src, imageopt.Spec{Format: imageopt.FormatJPEG, Quality: 50})
		if !bytes.Equal(capped, plain) {
			t.Errorf("%s: Quality does not bound the search: %d bytes, %d of quality 50", name, len(capped), len(plain))
		}
	}
	if out, _ := process(t, o, toPNG(t, photo(3, 2)), imageopt.Spec{Format: imageopt.FormatJPEG, TargetSSIM: 0.9}); len(out) == 0 {
		t.Error("a picture smaller than a window")
	}
	for _, s := range []imageopt.Spec{{TargetSSIM: 1}, {TargetSSIM: -0.1}, {TargetSSIM: math.NaN()}, {TargetSSIM: 0.9, TargetBytes: 100}} {
		if _, err := o.Process(t.Context(), io.Discard, bytes.NewReader(nil), s); !errors.Is(err, imageopt.ErrOptions) {
			t.Errorf("%+v: %v; want ErrOptions", s, err)
		}
	}
}
