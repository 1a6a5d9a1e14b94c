package memory

import (
	"math"
	"math/rand/v2"
	"testing"
)

// windowsOf makes a series of n windows.
func windowsOf(n int, f func(t float64) float64) []float64 {
	y := make([]float64, n)
	for i := range y {
		y[i] = f(float64(i))
	}
	return y
}

// suspectedAt returns the first window at whose end y is suspected, or -1.
func suspectedAt(y []float64) int {
	for w := leakWindows; w < len(y); w++ {
		if _, ok := judgeTrend(y[max(0, w-leakHistory):w+1], defaultLeakMinShare, 0); ok {
			return w
		}
	}
	return -1
}

func TestJudgeTrend(t *testing.T) {
	for _, tc := range []struct {
		name string
		f    func(t float64) float64
		want int // window of the suspicion, -1 for never
	}{
		{"flat", func(float64) float64 { return 100 }, -1},
		{"linear", func(t float64) float64 { return 100 + t }, 10},
		{"below the least share", func(t float64) float64 { return 1000 + t }, -1},
		{"falling", func(t float64) float64 { return 1000 - t }, -1},
		{"step", func(t float64) float64 { return 100 + 50*math.Floor(t/30) }, -1},
		{"three steps", func(t float64) float64 { return 100 + 20*math.Floor(t/20) }, -1},
		{"warm-up of nine windows", func(t float64) float64 { return 100 + 10*min(t, 9) }, -1},
		{"exponential warm-up", func(t float64) float64 { return 200 - 100*math.Exp(-t/6) }, -1},
		{"logarithm", func(t float64) float64 { return 100 * math.Log(t+2) }, -1},
		{"sawtooth", func(t float64) float64 { return 100 + math.Mod(t, 9) }, -1},
		{"day", func(t float64) float64 { return 100 + 50*math.Sin(t/24*2*math.Pi) }, -1},
		{"leak under a sawtooth", func(t float64) float64 { return 100 + t + math.Mod(t, 3) }, 10},
		{"doubling tables on top of a leak", func(t float64) float64 { return 100 + t + 4*math.Floor(t/9) }, 10},
		{"leak after a warm-up", func(t float64) float64 { return 10*min(t, 7) + t }, 16},
		{"accelerating", func(t float64) float64 { return 100 + t + t*t/20 }, 10},
		{"one goroutine a window", func(t float64) float64 { return t }, 10},
		{"where it was before", func(t float64) float64 {
			if t < 5 {
				return 200
			}
			return 100 + t
		}, 50}, // when only two of the high windows are remembered
	} {
		t.Run(tc.name, func(t *testing.T) {
			if got := suspectedAt(windowsOf(60, tc.f)); got != tc.want {
				t.Errorf("suspected at %d; want %d", got, tc.want)
			}
		})
	}
}

// family makes random series of one shape.
type family struct {
	name string
	make func(r *rand.Rand) func(t float64) float64
	most int // per 10,000 that may be accused, or 0 for none of 300
}

func between(r *rand.Rand, a, b float64) float64 { return a + (b-a)*r.Float64() }

// around is between, with equal chances for each factor.
func around(r *rand.Rand, a, b float64) float64 { return a * math.Pow(b/a, r.Float64()) }

func tooth(t, period float64) float64 { return math.Mod(t, period) / period }

func healthyFamilies() []family {
	return []family{
		{name: "white noise", make: func(r *rand.Rand) func(float64) float64 {
			sd := around(r, 0.005, 0.3)
			return func(float64) float64 { return 1 + sd*r.NormFloat64() }
		}},
		{name: "walk back to the mean", most: 100, make: func(r *rand.Rand) func(float64) float64 {
			phi, sd, x := between(r, 0.3, 0.97), around(r, 0.01, 0.2), 0.0
			return func(float64) float64 {
				x = phi*x + sd*math.Sqrt(1-phi*phi)*r.NormFloat64()
				return 1 + x
			}
		}},
		{name: "sawtooth", make: func(r *rand.Rand) func(float64) float64 {
			p, a, from := between(r, 1.1, 9.5), around(r, 0.05, 3), between(r, 0, 100)
			return func(t float64) float64 { return 1 + a*tooth(t+from, p) }
		}},
		{name: "two sawtooths", make: func(r *rand.Rand) func(float64) float64 {
			p, q, a, b := between(r, 1.1, 9.5), between(r, 1.1, 9.5), around(r, 0.05, 2), around(r, 0.05, 2)
			return func(t float64) float64 { return 1 + a*tooth(t+50, p) + b*tooth(t+31, q) }
		}},
		{name: "exponential warm-up", make: func(r *rand.Rand) func(float64) float64 {
			tau, a := around(r, 0.5, 8), around(r, 0.2, 30)
			return func(t float64) float64 { return 1 + a*(1-math.Exp(-t/tau)) }
		}},
		{name: "logarithmic warm-up", most: 100, make: func(r *rand.Rand) func(float64) float64 {
			a, c := around(r, 0.05, 2), around(r, 0.3, 3)
			return func(t float64) float64 { return 1 + a*math.Log1p(t/c) }
		}},
		{name: "linear warm-up", most: 100, make: func(r *rand.Rand) func(float64) float64 {
			w, a, from := between(r, 1, 8), around(r, 0.1, 20), float64(r.IntN(15))
			return func(t float64) float64 { return 1 + a*min(1, max(0, t-from)/w) }
		}},
		{name: "steps", make: func(r *rand.Rand) func(float64) float64 {
			at, size := [3]float64{}, [3]float64{}
			for i := range 1 + r.IntN(3) {
				at[i], size[i] = float64(r.IntN(60)), around(r, 0.05, 3)
			}
			return func(t float64) float64 {
				y := 1.0
				for i := range at {
					if t >= at[i] {
						y += size[i]
					}
				}
				return y
			}
		}},
		{name: "cycle", most: 100, make: func(r *rand.Rand) func(float64) float64 {
			p, a, from := between(r, 3, 24), between(r, 0.05, 0.9), between(r, 0, 7)
			return func(t float64) float64 { return 1 + a*math.Sin(from+2*math.Pi*t/p) }
		}},
		{name: "bursts", make: func(r *rand.Rand) func(float64) float64 {
			k, a := between(r, 1, 6), around(r, 0.1, 5)
			return func(float64) float64 { return 1 + a*math.Pow(r.Float64(), k) }
		}},
		{name: "on and off", make: func(r *rand.Rand) func(float64) float64 {
			p, a, from := between(r, 2, 24), around(r, 0.05, 2), between(r, 0, 50)
			return func(t float64) float64 { return 1 + a*math.Round(tooth(t+from, p)) }
		}},
	}
}

// TestLeakTrendSimulated bounds how often random healthy series are accused in 60
// windows, half of them with noise of up to 5 %, and how often leaks are found.
func TestLeakTrendSimulated(t *testing.T) {
	const runs = 300
	for k, f := range healthyFamilies() {
		r := rand.New(rand.NewPCG(uint64(k), 1))
		accused := 0
		for i := range runs {
			y, noise := windowsOf(61, f.make(r)), 0.0
			if i%2 == 0 {
				noise = around(r, 0.0005, 0.05)
			}
			for i := range y {
				y[i] = max(0.01, y[i]*(1+noise*r.NormFloat64()))
			}
			if suspectedAt(y) >= 0 {
				accused++
			}
		}
		if accused*10_000 > f.most*runs {
			t.Errorf("%s: %d of %d accused", f.name, accused, runs)
		}
	}
	for _, tc := range []struct{ noise, in10, in20 float64 }{{0, 1, 1}, {0.1, 0.9, 1}, {0.2, 0.6, 0.97}} {
		r, early, late := rand.New(rand.NewPCG(7, 7)), 0.0, 0.0
		for range runs {
			rate := around(r, 0.005, 0.5)
			y := windowsOf(21, func(t float64) float64 { return 1 + rate*(t+tc.noise*r.NormFloat64()) })
			switch at := suspectedAt(y); {
			case at == leakWindows:
				early++
				late++
			case at > 0:
				late++
			}
		}
		if early < tc.in10*runs || late < tc.in20*runs {
			t.Errorf("noise of %v of the rate: %v found in 10 windows, %v in 20, of %d", tc.noise, early, late, runs)
		}
	}
}
