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

func noise(rng *rand.Rand, w, h, ch, lo, hi int) Plane {
	p := NewPlane(w, h, ch)
	for i := range p.Pix {
		p.Pix[i] = byte(lo + rng.IntN(hi-lo+1))
	}
	return p
}

func TestWeightsSumToOne(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for range 300 {
		n := 1 + rng.IntN(5000)
		lo := rng.IntN(n)
		a := Linear(lo, lo+1+rng.IntN(n-lo), 1+rng.IntN(300))
		a.Start += rng.Float64() - 0.5
		ws := a.windows(lanczos())
		for i := range a.N {
			sum := 0
			for j, v := range ws.of(i) {
				sum += int(v)
				if j >= int(ws.n[i]) && v != 0 {
					t.Fatalf("%+v result %d: weight %d behind its window", a, i, v)
				}
			}
			first := ws.lo + int(ws.first[i])
			if end := first + int(ws.n[i]); sum != one || first < a.Lo || end > a.Hi || end > ws.hi {
				t.Fatalf("%+v result %d: sum %d, samples %d..%d", a, i, sum, first, end)
			}
		}
	}
}

func TestSpan(t *testing.T) {
	for _, tc := range []struct {
		lo, hi     float64
		samples, n int
		want       Axis
	}{
		{0, 100, 100, 25, Axis{0, 100, 0, 4, 25}},
		{0.5, 3.5, 10, 3, Axis{0, 4, 0.5, 1, 3}},
		{-2, 12, 10, 7, Axis{0, 10, -2, 2, 7}},
		{9.5, 11, 10, 1, Axis{9, 10, 9.5, 1.5, 1}},
		{12, 14, 10, 1, Axis{9, 10, 12, 2, 1}},
	} {
		if got := Span(tc.lo, tc.hi, tc.samples, tc.n); got != tc.want {
			t.Errorf("Span(%v, %v, %d, %d) = %+v; want %+v", tc.lo, tc.hi, tc.samples, tc.n, got, tc.want)
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
			s := NewScaler(Linear(0, 91, n), Linear(0, 1000, n), lanczos())
			dst := NewPlane(n, n, 4)
			if err := s.Bytes(t.Context(), dst, src); err != nil {
				t.Fatal(err)
			}
			for _, got := range dst.Pix {
				if got != v {
					t.Fatalf("flat %d scaled to %d has %d", v, n, got)
				}
			}
			rows := func(y, x0, x1 int, dst []int16) {
				Premultiplied(dst, src.Row(y, x0, x1))
				for i := 3; i < len(dst); i += 4 {
					dst[i] = Full
				}
			}
			for i := range src.Pix {
				if i%4 == 3 {
					src.Pix[i] = 255
				}
			}
			if err := s.Rows(t.Context(), dst, rows, Straight); err != nil {
				t.Fatal(err)
			}
			for i, got := range dst.Pix {
				if want := src.Pix[i%4]; got != want {
					t.Fatalf("rows of %d scaled to %d have %d", v, n, got)
				}
			}
		}
	}
}

// The two ways agree where both apply, whichever way the rows are summed, and a
// picture that workers share is the same to the last bit.
func TestRowsAgainstBytes(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	for range 60 {
		src := noise(rng, 1+rng.IntN(90), 1+rng.IntN(90), 4, 70, 180) // no clipping
		for i := 3; i < len(src.Pix); i += 4 {
			src.Pix[i] = 255
		}
		w, h := 1+rng.IntN(120), 1+rng.IntN(120)
		s := NewScaler(Linear(0, src.W, w), Linear(0, src.H, h), lanczos())
		a, b, c, d := NewPlane(w, h, 4), NewPlane(w, h, 4), NewPlane(w, h, 4), NewPlane(w, h, 4)
		next := 0
		ordered := func(row, x0, x1 int, dst []int16) {
			if row != next {
				t.Fatalf("row %d asked for after %d", row, next-1)
			}
			next++
			Premultiplied(dst, src.Row(row, x0, x1))
		}
		rows := func(row, x0, x1 int, dst []int16) { Premultiplied(dst, src.Row(row, x0, x1)) }
		err := errors.Join(s.Bytes(t.Context(), a, src), s.Rows(t.Context(), b, ordered, Straight))
		s.Workers = 3
		err = errors.Join(err, s.Bytes(t.Context(), c, src), s.Rows(t.Context(), d, rows, Straight))
		if err != nil {
			t.Fatal(err)
		}
		for i := range a.Pix {
			if d := int(a.Pix[i]) - int(b.Pix[i]); d > 1 || d < -1 {
				t.Fatalf("%d × %d to %d × %d: ways differ by %d", src.W, src.H, w, h, d)
			}
			if a.Pix[i] != c.Pix[i] || b.Pix[i] != d.Pix[i] {
				t.Fatalf("%d × %d to %d × %d: workers make a difference", src.W, src.H, w, h)
			}
		}
	}
}

func TestCancelled(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	p := NewPlane(16, 16, 4)
	rows := func(int, int, int, []int16) {}
	for _, n := range []int{2, 16, 40} {
		for _, workers := range []int{0, 2} {
			x := Linear(0, 16, n)
			s := NewScaler(x, x, lanczos())
			s.Workers = workers
			dst := NewPlane(n, n, 4)
			if err := s.Bytes(ctx, dst, p); !errors.Is(err, context.Canceled) {
				t.Errorf("Bytes = %v; want Canceled", err)
			}
			if err := s.Rows(ctx, dst, rows, Straight); !errors.Is(err, context.Canceled) {
				t.Errorf("Rows = %v; want Canceled", err)
			}
		}
	}
}

// White and black lines mix to the gray that emits half the light.
func TestLight(t *testing.T) {
	l := NewLight()
	for i := range 256 {
		var row [4]int16
		var back [4]byte
		l.Premultiplied(row[:], []byte{byte(i), 0, 255, 255})
		l.Straight(back[:], row[:])
		if back != [4]byte{byte(i), 0, 255, 255} {
			t.Errorf("%d comes back as %v", i, back)
		}
	}
	src := NewPlane(64, 64, 4)
	for i := range src.Pix {
		if i%4 == 3 || i/4/64%2 == 0 {
			src.Pix[i] = 255
		}
	}
	s := NewScaler(Linear(0, 64, 8), Linear(0, 64, 8), Kernel{0.5, func(float64) float64 { return 1 }})
	for _, tc := range []struct {
		premultiply func([]int16, []byte)
		finish      FinishFunc
		want        byte
	}{{Premultiplied, Straight, 127}, {l.Premultiplied, l.Straight, 188}} {
		dst := NewPlane(8, 8, 4)
		rows := func(y, x0, x1 int, dst []int16) { tc.premultiply(dst, src.Row(y, x0, x1)) }
		if err := s.Rows(t.Context(), dst, rows, tc.finish); err != nil {
			t.Fatal(err)
		}
		if got := dst.Pix[0]; got < tc.want || got > tc.want+1 {
			t.Errorf("lines of white and black become %d; want %d", got, tc.want)
		}
	}
}

// TestPanicsReachTheCaller: one of another goroutine would end the program.
func TestPanicsReachTheCaller(t *testing.T) {
	defer func() {
		if p := recover(); p != "broken" {
			t.Errorf("recovered %v", p)
		}
	}()
	s := NewScaler(Linear(0, 64, 32), Linear(0, 64, 32), Kernel{Support: 1, At: func(x float64) float64 { return 1 - math.Abs(x) }})
	s.Workers = 3
	rows := func(y, _, _ int, _ []int16) {
		if y == 40 {
			panic("broken")
		}
	}
	_ = s.Rows(t.Context(), NewPlane(32, 32, 4), rows, func([]byte, []int16) {})
	t.Error("no panic")
}
