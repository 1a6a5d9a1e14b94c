package resample

import (
	"context"
	"sync"
)

// Scaler holds the weights that take pictures of one size to another. It does not
// change once made, and can be used by many goroutines.
type Scaler struct {
	x, y *windows
	up   bool // rows are added, not taken away
	// Workers is how many goroutines share a picture, each with a band of rows.
	// 0 and 1 mean that the caller does it alone. Set it before the first use.
	Workers int
	kernels kernels
}

// kernels are the inner loops. Slices that are read may be as long as the loop needs
// them to be, past the samples that count.
type kernels struct {
	// vert8 sets dst to the weighted sum of n rows in 1/64 steps. src begins at the
	// first of them.
	vert8 func(dst []int16, src []byte, stride int, w []int16, n int)
	// horiz1 and horiz4 filter a row of one or four channels in 1/64 steps to bytes.
	horiz1, horiz4 func(dst []byte, row []int16, x *windows)
	// wide4 filters a row of four channels and keeps its scale.
	wide4 func(dst, row []int16, x *windows)
	// axpy adds w × row to acc.
	axpy func(acc []int32, row []int16, w int16)
}

// NewScaler returns a Scaler for results of x.N × y.N.
func NewScaler(x, y Axis, k Kernel) *Scaler {
	return &Scaler{x: x.windows(k), y: y.windows(k), up: y.Step <= 1, kernels: best()}
}

// Bytes fills dst, whose size must be x.N × y.N, from src. Columns are filtered
// first, into one row of scratch, and then that row. The four channels of a pixel are
// filtered alike, so alpha must be constant. The error is ctx.Err().
func (s *Scaler) Bytes(ctx context.Context, dst, src Plane) error {
	return s.bands(ctx, dst.H, func(y0, y1 int) error { return s.bytes(ctx, dst, src, y0, y1) })
}

// bands splits rows over the workers. A panic of theirs becomes the caller's, who may
// recover from it.
func (s *Scaler) bands(ctx context.Context, rows int, do func(y0, y1 int) error) error {
	n := min(s.Workers, rows/8)
	if n <= 1 {
		return do(0, rows)
	}
	var wg sync.WaitGroup
	panics := make([]any, n)
	for i := range n {
		wg.Go(func() {
			defer func() { panics[i] = recover() }()
			_ = do(rows*i/n, rows*(i+1)/n) // it fails only when ctx is done
		})
	}
	wg.Wait()
	for _, p := range panics {
		if p != nil {
			panic(p)
		}
	}
	return ctx.Err()
}

func (s *Scaler) bytes(ctx context.Context, dst, src Plane, y0, y1 int) error {
	row := s.scratch(src.Ch)
	for y := y0; y < y1; y++ {
		if err := s.line(ctx, dst, src, 0, y, row); err != nil {
			return err
		}
	}
	return nil
}

// scratch is what line needs for a row.
func (s *Scaler) scratch(ch int) []int16 { return make([]int16, (s.x.hi-s.x.lo+s.x.taps)*ch) }

// line makes row y of dst. Row 0 of src is row top of the source.
func (s *Scaler) line(ctx context.Context, dst, src Plane, top, y int, row []int16) error {
	lo, hi := s.x.lo, s.x.hi
	cols := (hi - lo) * src.Ch
	first, n := s.y.lo+int(s.y.first[y])-top, int(s.y.n[y])
	// A few million products at a time, so that ctx is asked often enough.
	step := max(1<<21/n, 64) &^ 63
	for c := 0; c < cols; c += step {
		if err := ctx.Err(); err != nil {
			return err
		}
		s.kernels.vert8(row[c:min(c+step, cols)], src.Pix[first*src.Stride+lo*src.Ch+c:], src.Stride, s.y.of(y), n)
	}
	horizontal := s.kernels.horiz1
	if src.Ch == 4 {
		horizontal = s.kernels.horiz4
	}
	horizontal(dst.Row(y, 0, dst.W), row, s.x)
	return nil
}

// Planes scales the part of src from (x0, y0) to (x1, y1), in samples, to all of
// dst. The error is ctx.Err().
func Planes(ctx context.Context, dst, src Plane, x0, y0, x1, y1 float64, k Kernel) error {
	return NewScaler(Span(x0, x1, src.W, dst.W), Span(y0, y1, src.H, dst.H), k).Bytes(ctx, dst, src)
}
