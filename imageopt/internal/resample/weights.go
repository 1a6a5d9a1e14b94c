package resample

import "math"

// Kernel is a filter: At is zero for |x| > Support. Support 0 means nearest.
type Kernel struct {
	Support float64
	At      func(float64) float64
}

// Axis maps N results onto samples: result i is centred at Start+(i+½)·Step, where
// sample u covers [u, u+1). Only samples in [Lo, Hi) are used.
type Axis struct {
	Lo, Hi      int
	Start, Step float64
	N           int
}

// Linear returns the axis that maps the window [lo, hi) onto n results.
func Linear(lo, hi, n int) Axis {
	return Axis{Lo: lo, Hi: hi, Start: float64(lo), Step: float64(hi-lo) / float64(n), N: n}
}

// Span returns the axis that maps the window [lo, hi) of a row of samples onto n
// results. The window may begin and end within samples, and is cut to the row.
func Span(lo, hi float64, samples, n int) Axis {
	first := min(max(int(math.Floor(lo)), 0), samples-1)
	return Axis{
		Lo: first, Hi: min(max(int(math.Ceil(hi)), first+1), samples),
		Start: lo, Step: (hi - lo) / float64(n), N: n,
	}
}

// one is the sum of the weights of a result.
const one = 1 << 14

// windows holds the runs of samples that make the results of an axis. The weights of
// result i are w[i·taps:]; behind the first n[i] they are zero. taps is 8 or a
// multiple of 16, as the vector loops want it.
type windows struct {
	first, n []int32
	w        []int16
	taps     int
	lo, hi   int // all samples that are used
}

func (w *windows) of(i int) []int16 { return w.w[i*w.taps:][:w.taps] }

// windows rounds the weights to integers. Rounding is carried along the window, so
// that weights sum to exactly one and no single sample bears the error of a thousand.
func (a Axis) windows(k Kernel) *windows {
	k = k.tabulated(a)
	most := 1
	if k.Support > 0 {
		most = min(int(2*math.Ceil(k.Support*max(a.Step, 1)))+2, a.Hi-a.Lo)
	}
	out := &windows{first: make([]int32, a.N), n: make([]int32, a.N), lo: a.Hi, hi: a.Lo}
	if out.taps = 8; most > 8 {
		out.taps = (most + 15) &^ 15
	}
	out.w = make([]int16, a.N*out.taps)
	var tmp []float64
	for i := range a.N {
		first, w := a.tap(k, i, tmp[:0])
		tmp = w
		first, n := round(out.of(i), first, w)
		out.first[i], out.n[i] = int32(first), int32(n)
		out.lo, out.hi = min(out.lo, first), max(out.hi, first+n)
	}
	for i := range out.first {
		out.first[i] -= int32(out.lo)
	}
	return out
}

// round writes the weights without their zeros at both ends.
func round(q []int16, first int, w []float64) (start, n int) {
	sum, done := 0.0, 0
	started := false
	for _, v := range w {
		sum += v * one
		r := int(math.Round(sum)) - done
		r = min(max(r, math.MinInt16), math.MaxInt16)
		done += r
		if r == 0 && !started {
			first++
			continue
		}
		started = true
		q[n] = int16(r)
		n++
	}
	for n > 1 && q[n-1] == 0 {
		n--
	}
	return first, n
}

// tabulated replaces the filter by a table of it where the axis asks for more values
// than the table has. Values between its points are off by less than 10⁻⁵.
func (k Kernel) tabulated(a Axis) Kernel {
	const per = 512 // points for a unit
	reach := k.Support * max(a.Step, 1)
	points := int(math.Ceil(k.Support*per)) + 2
	if k.Support <= 0 || 2*reach*float64(a.N) < float64(2*points) {
		return k
	}
	table := make([]float64, points)
	for i := range table {
		table[i] = k.At(min(float64(i)/per, k.Support))
	}
	return Kernel{k.Support, func(x float64) float64 {
		x = math.Abs(x) * per
		i := int(x)
		if i+1 >= len(table) {
			return 0
		}
		f := x - float64(i)
		return table[i] + f*(table[i+1]-table[i])
	}}
}

// tap appends the weights of result i to w and returns the first sample.
func (a Axis) tap(k Kernel, i int, w []float64) (int, []float64) {
	centre := a.Start + (float64(i)+0.5)*a.Step
	nearest := min(max(int(math.Floor(centre)), a.Lo), a.Hi-1)
	if k.Support <= 0 || a.Step == 1 && a.Start == math.Trunc(a.Start) {
		return nearest, append(w, 1) // nothing to filter
	}
	scale := max(a.Step, 1)
	reach := scale * k.Support
	first := max(int(math.Ceil(centre-0.5-reach)), a.Lo)
	last := min(int(math.Floor(centre-0.5+reach)), a.Hi-1)
	sum := 0.0
	for u := first; u <= last; u++ {
		v := k.At((float64(u) + 0.5 - centre) / scale)
		w = append(w, v)
		sum += v
	}
	if sum == 0 || first > last {
		return nearest, append(w[:0], 1)
	}
	for j := range w {
		w[j] /= sum
	}
	return first, w
}
