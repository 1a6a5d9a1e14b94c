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

// window is the run of samples that makes one result.
type window[W int16 | float32] struct {
	first int
	w     []W
}

// taps returns for each result the first sample and the weights, which sum to one.
func (a Axis) taps(k Kernel) []window[float32] {
	out := make([]window[float32], a.N)
	var tmp []float64
	for i := range out {
		first, w := a.tap(k, i, tmp[:0])
		tmp = w
		f := make([]float32, len(w))
		for j, v := range w {
			f[j] = float32(v)
		}
		out[i] = window[float32]{first, f}
	}
	return out
}

// one is the sum of the integer weights of a result.
const one = 1 << 14

// fixed is taps in integers. Rounding is carried along the window, so that weights
// sum to exactly one and no single sample bears the error of a thousand.
func (a Axis) fixed(k Kernel) []window[int16] {
	out := make([]window[int16], a.N)
	var tmp []float64
	for i := range out {
		first, w := a.tap(k, i, tmp[:0])
		tmp = w
		q := make([]int16, len(w))
		sum, done := 0.0, 0
		for j, v := range w {
			sum += v * one
			r := int(math.Round(sum)) - done
			r = min(max(r, math.MinInt16), math.MaxInt16)
			q[j] = int16(r)
			done += r
		}
		lo, hi := 0, len(q)
		for lo < hi-1 && q[lo] == 0 {
			lo++
		}
		for hi > lo+1 && q[hi-1] == 0 {
			hi--
		}
		out[i] = window[int16]{first + lo, q[lo:hi:hi]}
	}
	return out
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
