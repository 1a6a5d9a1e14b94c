package curve

import (
	"fmt"
	"math"
	"slices"
	"strings"
)

// axis is a logarithmic axis from least to most, both steps of 1, 2 and 5.
type axis struct {
	least, most float64
	ticks       []float64
}

// axisOf spans all values, with at least two steps.
func axisOf(values []float64) axis {
	least, most := math.Inf(1), 0.0
	for _, v := range values {
		least, most = min(least, v), max(most, v)
	}
	a := axis{least: step(least*1.0001, 0), most: step(most*0.9999, 1)}
	if a.least > least {
		a.least = step(least, -1)
	}
	if a.most < most {
		a.most = step(most, 1)
	}
	for a.most/a.least < 4 {
		a.least, a.most = step(a.least, -1), step(a.most, 1)
	}
	all := steps(a.least, a.most)
	a.ticks = all
	if len(all) > 10 { // decades alone
		a.ticks = nil
		for _, v := range all {
			if e := math.Log10(v); math.Abs(e-math.Round(e)) < 1e-9 {
				a.ticks = append(a.ticks, v)
			}
		}
	}
	return a
}

// of is where v stands on the axis, from 0 to 1.
func (a axis) of(v float64) float64 { return math.Log(v/a.least) / math.Log(a.most/a.least) }

// step returns the step of 1, 2 and 5 at or below v, and so many on.
func step(v float64, on int) float64 {
	e := int(math.Floor(math.Log10(v) + 1e-9))
	mantissa := v / math.Pow10(e)
	i := 0
	for i < 2 && mantissa >= []float64{1, 2, 5}[i+1]-1e-9 {
		i++
	}
	i += on + 3*e
	e = int(math.Floor(float64(i) / 3))
	return []float64{1, 2, 5}[i-3*e] * math.Pow10(e)
}

// steps returns all steps from least to most.
func steps(least, most float64) (all []float64) {
	for v := least; v <= most*1.0001; v = step(v*1.0001, 1) {
		all = append(all, v)
	}
	return all
}

// text writes a tick.
func (u Unit) text(v float64) string {
	names, factor := []string{"", "k", "M", "G"}, 1000.0
	switch u {
	case Nanoseconds:
		names = []string{"ns", "µs", "ms", "s"}
	case Bytes:
		names = []string{"B", "kB", "MB", "GB"}
	}
	i := 0
	for ; i < len(names)-1 && v >= factor*0.9999; i++ {
		v /= factor
	}
	return strings.TrimSpace(fmt.Sprintf("%.4g %s", v, names[i]))
}

// spread makes an axis of its ticks, with some room on both sides.
func spread(a axis) axis {
	slices.Sort(a.ticks)
	a.ticks = slices.Compact(a.ticks)
	least, most := a.ticks[0], a.ticks[len(a.ticks)-1]
	room := max(math.Pow(most/least, 0.04), 1.1)
	a.least, a.most = least/room, most*room
	return a
}
