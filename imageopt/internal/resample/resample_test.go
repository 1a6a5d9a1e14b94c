package resample

import (
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"testing"
)

func lanczos() Kernel {
	sinc := func(x float64) float64 {
		if x == 0 {
			return 1
		}
		return math.Sin(math.Pi*x) / (math.Pi * x)
	}
	return Kernel{3, func(x float64) float64 {
		if math.Abs(x) >= 3 {
			return 0
		}
		return sinc(x) * sinc(x/3)
	}}
}

func TestWeightsSumToOne(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for range 300 {
		n := 1 + rng.IntN(5000)
		lo := rng.IntN(n)
		a := Linear(lo, lo+1+rng.IntN(n-lo), 1+rng.IntN(300))
		a.Start += rng.Float64() - 0.5
		for i, w := range a.fixed(lanczos()) {
			sum := 0
			for _, v := range w.w {
				sum += int(v)
			}
			if sum != one || w.first < a.Lo || w.first+len(w.w) > a.Hi {
				t.Fatalf("%+v result %d: sum %d, samples %d..%d", a, i, sum, w.first, w.first+len(w.w))
			}
		}
		for i, w := range a.taps(lanczos()) {
			sum := float32(0)
			for _, v := range w.w {
				sum += v
			}
			if math.Abs(float64(sum)-1) > 1e-3 || w.first < a.Lo || w.first+len(w.w) > a.Hi {
				t.Fatalf("%+v float result %d: sum %v", a, i, sum)
			}
		}
	}
}

// A flat picture stays flat, to the last bit, at any scale and offset.
func TestFlatStaysFlat(t *testing.T) {
	for _, v := range []byte{0, 1, 127, 254, 255} {
		for _, n := range []int{1, 2, 7, 90, 300} {
			src := NewPlane(91, 1000, 4)
			for i := range src.Pix {
				src.Pix[i] = v
			}
			dst := NewPlane(n, n, 4)
			if err := Bytes(t.Context(), dst, src, Linear(0, 91, n), Linear(0, 1000, n), lanczos()); err != nil {
				t.Fatal(err)
			}
			for _, got := range dst.Pix {
				if got != v {
					t.Fatalf("flat %d scaled to %d has %d", v, n, got)
				}
			}
		}
	}
}

// The two kernels agree where both apply, whichever way the rows are summed.
func TestFloatAgainstBytes(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	for range 60 {
		src := NewPlane(1+rng.IntN(90), 1+rng.IntN(90), 4)
		for i := range src.Pix {
			src.Pix[i] = byte(70 + rng.IntN(110)) // no clipping between the passes
			if i%4 == 3 {
				src.Pix[i] = 255
			}
		}
		w, h := 1+rng.IntN(120), 1+rng.IntN(120)
		x, y := Linear(0, src.W, w), Linear(0, src.H, h)
		a, b := NewPlane(w, h, 4), NewPlane(w, h, 4)
		next := 0
		rows := func(row, x0, x1 int, dst []float32) {
			if row != next {
				t.Fatalf("row %d asked for after %d", row, next-1)
			}
			next++
			for i, v := range src.Row(row, x0, x1) {
				dst[i] = float32(v)
			}
		}
		if err := errors.Join(Bytes(t.Context(), a, src, x, y, lanczos()), Float(t.Context(), b, rows, x, y, lanczos())); err != nil {
			t.Fatal(err)
		}
		for i := range a.Pix {
			if d := int(a.Pix[i]) - int(b.Pix[i]); d > 2 || d < -2 {
				t.Fatalf("%d × %d to %d × %d: kernels differ by %d", src.W, src.H, w, h, d)
			}
		}
	}
}

func TestCancelled(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	p := NewPlane(4, 4, 4)
	x := Linear(0, 4, 4)
	rows := func(int, int, int, []float32) {}
	for _, n := range []int{2, 4, 9} {
		x.N, x.Step = n, 4/float64(n)
		dst := NewPlane(n, n, 4)
		if err := Bytes(ctx, dst, p, x, x, lanczos()); !errors.Is(err, context.Canceled) {
			t.Errorf("Bytes = %v; want Canceled", err)
		}
		if err := Float(ctx, dst, rows, x, x, lanczos()); !errors.Is(err, context.Canceled) {
			t.Errorf("Float = %v; want Canceled", err)
		}
	}
}
