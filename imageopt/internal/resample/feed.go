package resample

import "context"

// Feed fills a plane while the rows of its source come in. The result is that of
// [Scaler.Bytes].
type Feed struct {
	s      *Scaler
	dst    Plane
	y      int // next row of dst
	starts []int
	row    []int16
}

// Feed returns a Feed for dst, whose size must be that of the axes and whose channels
// those of the source.
func (s *Scaler) Feed(dst Plane) *Feed {
	starts, _ := s.y.extent(0, dst.H)
	return &Feed{s: s, dst: dst, starts: starts, row: s.scratch(dst.Ch)}
}

// Window is the most rows of the source that a result takes.
func (f *Feed) Window() int { return f.s.y.taps }

// Rows takes what is there of the source: row 0 of src is its row top, and those before
// end can be read. It returns the first row that is needed again, which may be behind
// end. The error is ctx.Err().
func (f *Feed) Rows(ctx context.Context, src Plane, top, end int) (keep int, err error) {
	w := f.s.y
	for ; f.y < f.dst.H && w.lo+int(w.first[f.y]+w.n[f.y]) <= end; f.y++ {
		if err := f.s.line(ctx, f.dst, src, top, f.y, f.row); err != nil {
			return top, err
		}
	}
	if f.y == f.dst.H {
		return end, nil
	}
	return w.lo + f.starts[f.y], nil
}
