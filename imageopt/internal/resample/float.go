package resample

import "context"

// RowFunc writes pixels [x0, x1) of row y to dst, four values each: red, green and
// blue multiplied by alpha/255, then alpha, all in 0..255. Rows are asked for in
// order, each at most once.
type RowFunc func(y, x0, x1 int, dst []float32)

// Float fills dst, four bytes per pixel with straight alpha, from rows. It holds a
// few filtered rows of the result's width and no more, whichever way it scales.
// The error is ctx.Err().
func Float(ctx context.Context, dst Plane, rows RowFunc, x, y Axis, k Kernel) error {
	f := &floater{rows: rows, cols: x.taps(k)}
	f.lo, f.hi = span(f.cols)
	f.in = make([]float32, 4*(f.hi-f.lo))
	for i := range f.cols {
		f.cols[i].first -= f.lo
	}
	if y.Step > 1 {
		return f.scatter(ctx, dst, y.taps(k))
	}
	return f.gather(ctx, dst, y.taps(k))
}

type floater struct {
	rows   RowFunc
	cols   []window[float32]
	lo, hi int
	in     []float32
}

// line writes row y, filtered to the result's width, to out.
func (f *floater) line(y int, out []float32) {
	f.rows(y, f.lo, f.hi, f.in)
	for i := range f.cols {
		c := &f.cols[i]
		s := f.in[4*c.first:][:4*len(c.w)]
		var v0, v1, v2, v3 float32
		for _, w := range c.w {
			v0 += s[0] * w
			v1 += s[1] * w
			v2 += s[2] * w
			v3 += s[3] * w
			s = s[4:]
		}
		o := out[4*i:][:4]
		o[0], o[1], o[2], o[3] = v0, v1, v2, v3
	}
}

// scatter adds each row to the few results that it belongs to: it suits reduction,
// where a result takes many rows but a row serves few results.
func (f *floater) scatter(ctx context.Context, dst Plane, ws []window[float32]) error {
	lo, hi := span(ws)
	line := make([]float32, 4*dst.W)
	var free, active [][]float32
	done := 0 // active[i] is result done+i
	for y := lo; y < hi; y++ {
		if err := ctx.Err(); err != nil {
			return err
		}
		f.line(y, line)
		for next := done + len(active); next < len(ws) && ws[next].first <= y; next++ {
			var acc []float32
			if n := len(free); n > 0 {
				acc, free = free[n-1], free[:n-1]
				clear(acc)
			} else {
				acc = make([]float32, len(line))
			}
			active = append(active, acc)
		}
		for i, acc := range active {
			w := ws[done+i]
			if j := y - w.first; j >= 0 && j < len(w.w) {
				axpy(acc, line, w.w[j])
			}
		}
		for len(active) > 0 && y+1 >= ws[done].first+len(ws[done].w) {
			store(dst.Row(done, 0, dst.W), active[0])
			free = append(free, active[0])
			active = append(active[:0], active[1:]...)
			done++
		}
	}
	return nil
}

// gather keeps the last filtered rows and sums them for each result: it suits
// enlargement, where a row serves many results but a result takes few rows.
func (f *floater) gather(ctx context.Context, dst Plane, ws []window[float32]) error {
	n := 1
	for _, w := range ws {
		n = max(n, len(w.w))
	}
	ring := make([][]float32, n)
	for i := range ring {
		ring[i] = make([]float32, 4*dst.W)
	}
	sum := make([]float32, 4*dst.W)
	next, _ := span(ws)
	for i, w := range ws {
		if err := ctx.Err(); err != nil {
			return err
		}
		for ; next < w.first+len(w.w); next++ {
			f.line(next, ring[next%n])
		}
		clear(sum)
		for j, v := range w.w {
			axpy(sum, ring[(w.first+j)%n], v)
		}
		store(dst.Row(i, 0, dst.W), sum)
	}
	return nil
}

func axpy(acc, line []float32, w float32) {
	line = line[:len(acc)]
	for i := range acc {
		acc[i] += line[i] * w
	}
}

// store rounds one row of premultiplied values to straight alpha.
func store(dst []byte, row []float32) {
	for len(row) >= 4 && len(dst) >= 4 {
		a := row[3]
		if a < 0.5 {
			dst[0], dst[1], dst[2], dst[3] = 0, 0, 0, 0
		} else {
			s := 255 / a
			dst[0], dst[1], dst[2] = round(row[0]*s), round(row[1]*s), round(row[2]*s)
			dst[3] = round(a)
		}
		row, dst = row[4:], dst[4:]
	}
}

func round(v float32) byte {
	v += 0.5
	switch {
	case !(v > 0): // NaN too
		return 0
	case v >= 255:
		return 255
	}
	return byte(v)
}
