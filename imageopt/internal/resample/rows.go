package resample

import "context"

// Full is the value of a full channel in a row of 14 bits.
const Full = 255 * 255 >> 2

// RowFunc writes pixels [x0, x1) of row y to dst, four values of 0..Full each: red,
// green and blue multiplied by alpha, then alpha. Rows are asked for in order, each at
// most once for a worker.
type RowFunc func(y, x0, x1 int, dst []int16)

// FinishFunc turns a row of four values for a pixel, which may lie a little outside
// 0..Full, into bytes of straight alpha.
type FinishFunc func(dst []byte, row []int16)

// Rows fills dst, four bytes per pixel, from rows. It holds a few filtered rows of
// the result's width and no more, whichever way it scales. The error is ctx.Err().
func (s *Scaler) Rows(ctx context.Context, dst Plane, rows RowFunc, finish FinishFunc) error {
	return s.bands(ctx, dst.H, func(y0, y1 int) error {
		l := &lines{s: s, rows: rows, finish: finish, dst: dst}
		l.in = make([]int16, 4*(s.x.hi-s.x.lo+s.x.taps))
		l.out = make([]int16, 4*dst.W)
		if s.up {
			return l.gather(ctx, y0, y1)
		}
		return l.scatter(ctx, y0, y1)
	})
}

type lines struct {
	s       *Scaler
	rows    RowFunc
	finish  FinishFunc
	dst     Plane
	in, out []int16
}

// line writes row y, filtered to the result's width, to out.
func (l *lines) line(y int, out []int16) {
	x := l.s.x
	l.rows(y, x.lo, x.hi, l.in[:4*(x.hi-x.lo)])
	l.s.kernels.wide4(out, l.in, x)
}

// store ends result y, whose sum is acc.
func (l *lines) store(y int, acc []int32) {
	for i, v := range acc {
		l.out[i] = saturate((v + one/2) >> 14)
	}
	l.finish(l.dst.Row(y, 0, l.dst.W), l.out)
}

// scatter adds each row to the few results that it belongs to: it suits reduction,
// where a result takes many rows but a row serves few results.
func (l *lines) scatter(ctx context.Context, y0, y1 int) error {
	w := l.s.y
	line := make([]int16, 4*l.dst.W)
	var free, active [][]int32
	done := y0 // active[i] is result done+i
	starts, end := w.extent(y0, y1)
	for y := starts[0]; y < end; y++ {
		if err := ctx.Err(); err != nil {
			return err
		}
		l.line(w.lo+y, line)
		for next := done + len(active); next < y1 && starts[next-y0] <= y; next++ {
			var acc []int32
			if n := len(free); n > 0 {
				acc, free = free[n-1], free[:n-1]
				clear(acc)
			} else {
				acc = make([]int32, len(line))
			}
			active = append(active, acc)
		}
		for i, acc := range active {
			if j := y - int(w.first[done+i]); j >= 0 && j < int(w.n[done+i]) {
				l.s.kernels.axpy(acc, line, w.of(done + i)[j])
			}
		}
		for len(active) > 0 && y+1 >= int(w.first[done]+w.n[done]) {
			l.store(done, active[0])
			free = append(free, active[0])
			active = append(active[:0], active[1:]...)
			done++
		}
	}
	return nil
}

// gather keeps the last filtered rows and sums them for each result: it suits
// enlargement, where a row serves many results but a result takes few rows.
func (l *lines) gather(ctx context.Context, y0, y1 int) error {
	w := l.s.y
	ring := make([][]int16, w.taps)
	for i := range ring {
		ring[i] = make([]int16, 4*l.dst.W)
	}
	sum := make([]int32, 4*l.dst.W)
	starts, _ := w.extent(y0, y1)
	next := starts[0]
	for i := y0; i < y1; i++ {
		if err := ctx.Err(); err != nil {
			return err
		}
		first, n := int(w.first[i]), int(w.n[i])
		for ; next < first+n; next++ {
			l.line(w.lo+next, ring[next%len(ring)])
		}
		clear(sum)
		for j, v := range w.of(i)[:n] {
			l.s.kernels.axpy(sum, ring[(first+j)%len(ring)], v)
		}
		l.store(i, sum)
	}
	return nil
}

// extent returns for each of the results [i0, i1) the first sample that it or a later
// one takes, and where the last of all ends. Zeros at their ends may have made a later
// window begin before an earlier one.
func (w *windows) extent(i0, i1 int) (starts []int, end int) {
	starts = make([]int, i1-i0)
	least := w.hi
	for i := i1 - 1; i >= i0; i-- {
		least = min(least, int(w.first[i]))
		starts[i-i0] = least
		end = max(end, int(w.first[i]+w.n[i]))
	}
	return starts, end
}
