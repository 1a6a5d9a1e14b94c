package memory

import (
	"math"
	"slices"
)

// Bounds of the judgement, found by simulation (TestLeakTrendSimulated): as strict
// as a leak of equal steps with a fifth of a step of noise allows.
const (
	leakWindows = 10 // windows of growth that make a case
	leakHistory = 47 // windows remembered: two days of hours

	leakUsual     = 1.5  // of the upper median: the most that counts of a window's growth
	leakRose      = 7    // windows that must have risen
	leakRise      = 0.2  // of the mean rate: what counts as risen
	leakEdge      = 0.25 // of the mean rate: the first and the last window
	leakThird     = 0.6  // of the mean rate: each third
	leakNoise     = 0.25 // of the mean rate: deviation from a smooth course
	leakEndSlope  = 0.9  // of the mean rate: slope at the end of a parabola
	leakEndCubic  = 0.85 // the same of a cubic
	leakHeadCubic = 0.5  // of the mean rate: slope at the beginning of a cubic
	leakKnown     = 3    // earlier windows as high as now that make it known ground
)

// trend is what was found in a series that looks like a leak.
type trend struct {
	rate   float64 // growth a window
	growth float64 // over leakWindows, what was given back again left out
	noise  float64 // deviation from a smooth course, in units of the series
	rose   int     // windows of leakWindows
}

// judgeTrend looks for a leak at the end of h, one value per window, oldest first.
// It asks for growth that is large enough, was kept, came in most windows and not
// in steps, does not slow down, stands clear of the noise and leads to where the
// series has not been before.
func judgeTrend(h []float64, minShare, minGrowth float64) (trend, bool) {
	if len(h) < leakWindows+1 {
		return trend{}, false
	}
	y := h[len(h)-leakWindows-1:]
	s := steady(kept(y))
	t := trend{growth: s[leakWindows] - s[0]}
	t.rate = t.growth / leakWindows
	if t.growth <= 0 || t.growth < minGrowth || t.growth < minShare*s[0] {
		return t, false
	}
	var even bool
	if t.rose, even = spread(s, t.rate); !even {
		return t, false
	}
	c := fitCubic(s)
	t.noise = min(c.noise, cyclicNoise(y))
	if t.noise > leakNoise*c.slope || !c.goesOn() {
		return t, false
	}
	earlier := h[:len(h)-leakWindows-1]
	known, now := 0, slices.Min(y[leakWindows-2:])
	for _, v := range earlier {
		if v >= now {
			known++
		}
	}
	return t, known < leakKnown && !slowing(h)
}

// kept returns for each window the lowest value from there on: what was given back
// later is no leak, so only growth that stayed is left.
func kept(y []float64) []float64 {
	s := slices.Clone(y)
	for i := len(s) - 2; i >= 0; i-- {
		s[i] = min(s[i], s[i+1])
	}
	return s
}

// steady cuts windows that grew far more than half of them did down to what is
// usual: tables that double in size on top of a leak are not its rate, and a step on
// top of nothing is nothing.
func steady(s []float64) []float64 {
	steps := make([]float64, len(s)-1)
	for i := range steps {
		steps[i] = s[i+1] - s[i]
	}
	sorted := slices.Sorted(slices.Values(steps))
	most := leakUsual * sorted[len(sorted)/2]
	c := slices.Clone(s)
	for i, g := range steps {
		c[i+1] = c[i] + min(g, most)
	}
	return c
}

// spread tells in how many windows s rose, and whether its growth is spread over
// all of them rather than in steps, at the beginning or at the end.
func spread(s []float64, rate float64) (rose int, even bool) {
	const n, third = leakWindows, leakWindows / 3
	for i := range n {
		if s[i+1]-s[i] >= leakRise*rate {
			rose++
		}
	}
	head, tail := (s[third]-s[0])/third, (s[n]-s[n-third])/third
	middle := (s[n-third] - s[third]) / (n - 2*third)
	even = rose >= leakRose &&
		min(s[1]-s[0], s[n]-s[n-1]) >= leakEdge*rate &&
		min(head, middle, tail) >= leakThird*rate
	return rose, even
}

// cubic is a least-squares fit by orthogonal polynomials in the window's number,
// counted from the middle.
type cubic struct {
	slope, bend, twist float64
	cubed              float64 // the part of x in the polynomial of degree 3
	end                float64 // x of the last window
	noise              float64 // deviation from the parabola
}

func fitCubic(y []float64) cubic {
	n := float64(len(y))
	c := cubic{end: (n - 1) / 2}
	var m2, m4, mean float64
	for i, v := range y {
		x := float64(i) - c.end
		m2, m4, mean = m2+x*x, m4+x*x*x*x, mean+v/n
	}
	squared := m2 / n
	c.cubed = m4 / m2
	var n2, n3 float64
	for i, v := range y {
		x := float64(i) - c.end
		q, k := x*x-squared, x*x*x-c.cubed*x
		c.slope, c.bend, c.twist = c.slope+x*v/m2, c.bend+q*v, c.twist+k*v
		n2, n3 = n2+q*q, n3+k*k
	}
	c.bend, c.twist = c.bend/n2, c.twist/n3
	sum := 0.0
	for i, v := range y {
		x := float64(i) - c.end
		e := v - mean - c.slope*x - c.bend*(x*x-squared)
		sum += e * e
	}
	c.noise = math.Sqrt(sum / (n - 3))
	return c
}

// goesOn reports whether the slope is about the same at both ends: a curve that
// saturates is slow at its end, a cycle between two turns is slow at both.
func (c cubic) goesOn() bool {
	parabola := c.slope + 2*c.end*c.bend
	twist := (3*c.end*c.end - c.cubed) * c.twist
	return parabola >= leakEndSlope*c.slope && parabola+twist >= leakEndCubic*c.slope &&
		c.slope-2*c.end*c.bend+twist >= leakHeadCubic*c.slope
}

// cyclicNoise is the deviation left when windows are compared with those two, three
// or four before them, so that a sawtooth on top of a leak is not taken for noise.
func cyclicNoise(y []float64) float64 {
	least := math.Inf(1)
	for lag := 2; lag <= 4; lag++ {
		n, sum, squares := float64(len(y)-lag), 0.0, 0.0
		for i := range len(y) - lag {
			d := y[i+lag] - y[i]
			sum, squares = sum+d, squares+d*d
		}
		variance := max(0, squares-sum*sum/n) / (n - 1)
		least = min(least, math.Sqrt(variance/2)) // a difference has the noise of two
	}
	return least
}

// Bounds of slowing.
const (
	slowingFrom  = 12   // points of history; below, the span itself tells all
	slowingRatio = 0.93 // growth of the last half of the span to that of the first
	slowingFit   = 2.0  // how much worse than a bent line a slowing curve may fit
)

// slowing reports whether a curve that grows ever more slowly, over the whole
// history, explains it as well as a line that bent once and is straight since then:
// a warm-up is the first, a leak after a warm-up is the second.
func slowing(h []float64) bool {
	n := len(h)
	if n < slowingFrom {
		return false
	}
	x, z := make([]float64, n), make([]float64, n)
	best, ratio := math.Inf(1), 1.0
	try := func(f func(t float64) float64) {
		for i := range x {
			x[i] = f(float64(i))
		}
		if e, rises := fitLine(x, h); rises && e < best {
			const half = leakWindows / 2
			best, ratio = e, (x[n-1]-x[n-1-half])/(x[n-1-half]-x[n-1-2*half])
		}
	}
	for _, start := range []float64{0.3, 1, 3, 10, 30} {
		try(func(t float64) float64 { return math.Log(t + start) })
		for _, p := range []float64{-1, -0.5, 0.25, 0.5, 0.75} {
			try(func(t float64) float64 { return math.Pow(t+start, p) / p })
		}
	}
	for _, tau := range []float64{3, 5, 8, 12, 20, 30} {
		try(func(t float64) float64 { return -math.Exp(-t / tau) })
	}
	if ratio > slowingRatio {
		return false
	}
	bent := math.Inf(1)
	for i := range x {
		x[i] = float64(i)
	}
	for k := range n - leakWindows {
		for i := range z {
			z[i] = float64(max(0, i-k))
		}
		bent = min(bent, fitPlane(x, z, h))
	}
	return best < slowingFit*bent
}

// fitLine returns the squared error of y = a + b·x, and whether b is above zero.
func fitLine(x, y []float64) (squares float64, rises bool) {
	m := moments(x, x, y)
	b := m.xy / m.xx
	return max(0, m.yy-b*m.xy), b > 0
}

// fitPlane returns the squared error of y = a + b·x + c·z.
func fitPlane(x, z, y []float64) float64 {
	m := moments(x, z, y)
	det := m.xx*m.zz - m.xz*m.xz
	if det <= 1e-9*m.xx*m.zz { // z is x but for a constant
		return max(0, m.yy-m.xy*m.xy/m.xx)
	}
	b, c := (m.xy*m.zz-m.zy*m.xz)/det, (m.zy*m.xx-m.xy*m.xz)/det
	return max(0, m.yy-b*m.xy-c*m.zy)
}

// products are sums of products of deviations from the mean.
type products struct{ xx, zz, yy, xz, xy, zy float64 }

func moments(x, z, y []float64) (p products) {
	n := float64(len(y))
	var mx, mz, my float64
	for i := range y {
		mx, mz, my = mx+x[i]/n, mz+z[i]/n, my+y[i]/n
	}
	for i := range y {
		a, b, c := x[i]-mx, z[i]-mz, y[i]-my
		p.xx, p.zz, p.yy = p.xx+a*a, p.zz+b*b, p.yy+c*c
		p.xz, p.xy, p.zy = p.xz+a*b, p.xy+a*c, p.zy+b*c
	}
	return p
}
