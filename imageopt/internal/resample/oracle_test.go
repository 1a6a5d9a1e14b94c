package resample_test

import (
	"image"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/disintegration/imaging"
	"github.com/perfblocks/perfblocks/imageopt/internal/resample"
)

// exact scales one row or column of values in float64, as imaging defines it.
func exact(src []float64, n int, f imaging.ResampleFilter) []float64 {
	if n == len(src) {
		return src // imaging leaves out a pass that keeps the size
	}
	out := make([]float64, n)
	step := float64(len(src)) / float64(n)
	scale := max(step, 1)
	for i := range out {
		centre := (float64(i)+0.5)*step - 0.5
		sum, total := 0.0, 0.0
		for u := max(0, int(math.Ceil(centre-scale*f.Support))); u <= min(len(src)-1, int(centre+scale*f.Support)); u++ {
			w := f.Kernel((float64(u) - centre) / scale)
			sum, total = sum+w*src[u], total+w
		}
		out[i] = sum / total
	}
	return out
}

func exactPlane(p resample.Plane, w, h int, f imaging.ResampleFilter) []float64 {
	rows := make([][]float64, p.H)
	for y := range rows {
		row := make([]float64, p.W)
		for x := range row {
			row[x] = float64(p.Pix[y*p.Stride+x])
		}
		rows[y] = exact(row, w, f)
	}
	out := make([]float64, w*h)
	col := make([]float64, p.H)
	for x := range w {
		for y := range col {
			col[y] = rows[y][x]
		}
		for y, v := range exact(col, h, f) {
			out[y*w+x] = min(max(v, 0), 255)
		}
	}
	return out
}

// Hard noise shows every error of weights, of rounding and of clipping.
func TestPlanesAgainstExact(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	for name, f := range map[string]imaging.ResampleFilter{
		"box": imaging.Box, "linear": imaging.Linear, "catmullrom": imaging.CatmullRom, "lanczos": imaging.Lanczos,
		"mitchell": imaging.MitchellNetravali, "gaussian": imaging.Gaussian, "bartlett": imaging.Bartlett,
	} {
		for range 12 {
			w, h := 1+rng.IntN(300), 1+rng.IntN(300)
			src := resample.NewPlane(w, h, 1)
			for i := range src.Pix {
				src.Pix[i] = byte(rng.IntN(2) * 255)
			}
			dst := resample.NewPlane(1+rng.IntN(120), 1+rng.IntN(120), 1)
			if err := resample.Planes(t.Context(), dst, src, 0, 0, float64(w), float64(h), kernel(f)); err != nil {
				t.Fatal(err)
			}
			for i, want := range exactPlane(src, dst.W, dst.H, f) {
				if d := math.Abs(float64(dst.Pix[i]) - want); d > 0.7 { // half a level, and the rounding of weights and of the row between
					t.Fatalf("%s from %d × %d to %d × %d: %d at %d; want %.2f", name, w, h, dst.W, dst.H, dst.Pix[i], i, want)
				}
			}
		}
	}
}

// imaging clips to bytes between its passes, so the picture keeps clear of the ends.
func TestRowsAgainstImaging(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 8))
	for name, f := range map[string]imaging.ResampleFilter{"box": imaging.Box, "catmullrom": imaging.CatmullRom, "lanczos": imaging.Lanczos} {
		for range 12 {
			m := image.NewNRGBA(image.Rect(0, 0, 20+rng.IntN(200), 20+rng.IntN(200)))
			for i := range m.Pix {
				m.Pix[i] = byte(90 + rng.IntN(60))
			}
			dst := resample.NewPlane(1+rng.IntN(150), 1+rng.IntN(150), 4)
			s := resample.NewScaler(resample.Linear(0, m.Rect.Dx(), dst.W), resample.Linear(0, m.Rect.Dy(), dst.H), kernel(f))
			rows := func(y, x0, x1 int, dst []int16) {
				resample.Premultiplied(dst, m.Pix[y*m.Stride+4*x0:y*m.Stride+4*x1])
			}
			if err := s.Rows(t.Context(), dst, rows, resample.Straight); err != nil {
				t.Fatal(err)
			}
			want := imaging.Resize(m, dst.W, dst.H, f)
			for i, v := range dst.Pix {
				if d := int(v) - int(want.Pix[i]); d > 2 || d < -2 {
					t.Fatalf("%s from %v to %d × %d: %d at %d; imaging has %d", name, m.Rect, dst.W, dst.H, v, i, want.Pix[i])
				}
			}
		}
	}
}
