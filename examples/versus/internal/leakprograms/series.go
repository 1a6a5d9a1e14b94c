package leakprograms

import (
	"math"
	"math/rand/v2"
)

// Series is a kind of healthy heap as a random series, one value a window around 1
// or above.
type Series struct {
	// Name is unique.
	Name string
	// Make returns a series; it is called once with a new source for each.
	Make func(*rand.Rand) func(window int) float64
}

// AllSeries returns kinds that the detector's own simulation does not have.
func AllSeries() []Series {
	return []Series{
		{"cache that finds its keys at random", coupons},
		{"cache of a Zipf load", zipfCache},
		{"users who come and go", users},
		{"office hours", officeHours},
		{"largest request so far, 8 buffers", largestSoFar},
		{"tenants with sawtooths of their own", tenants},
		{"reloads", reloads},
		{"warm-up, then a daily cycle", warmThenDay},
		{"ramps up and down", triangles},
		{"queue that backs up and drains", queue},
	}
}

func spread(r *rand.Rand, a, b float64) float64 { return a * math.Pow(b/a, r.Float64()) }

func coupons(r *rand.Rand) func(int) float64 {
	keys, size := 500+r.IntN(4000), spread(r, 0.2, 10)
	draws, seen := int(float64(keys)/(0.5+6*r.Float64())), map[int]bool{}
	return func(int) float64 {
		for range draws {
			seen[r.IntN(keys)] = true
		}
		return 1 + size*float64(len(seen))/float64(keys)
	}
}

func zipfCache(r *rand.Rand) func(int) float64 {
	z := rand.NewZipf(r, 1.1+0.3*r.Float64(), 1, 20_000)
	room, seen, size := 200+r.IntN(800), map[uint64]bool{}, spread(r, 0.2, 10)
	gets := int(float64(room) * (0.7 + 4*r.Float64()))
	return func(int) float64 {
		for range gets {
			if k := z.Uint64(); len(seen) < room {
				seen[k] = true
			}
		}
		return 1 + size*float64(len(seen))/float64(room)
	}
}

// users stay a random time; their number has the spread of a Poisson count.
func users(r *rand.Rand) func(int) float64 {
	mean, stay := spread(r, 20, 2000), 0.2+0.7*r.Float64()
	n := mean
	return func(int) float64 {
		n = stay*n + (1-stay)*mean + math.Sqrt(mean*(1-stay*stay))*r.NormFloat64()
		return 1 + max(0, n)/mean
	}
}

func officeHours(r *rand.Rand) func(int) float64 {
	from, size := 24*r.Float64(), spread(r, 0.1, 2)
	return func(w int) float64 {
		return 1 + size*max(0, math.Sin(math.Pi*(math.Mod(float64(w)+from, 24)-7)/14))
	}
}

func largestSoFar(r *rand.Rand) func(int) float64 {
	var buffers [8]float64
	size, requests := spread(r, 0.02, 1), 8+r.IntN(40)
	return func(int) float64 {
		sum := 1.0
		for range requests {
			i := r.IntN(len(buffers))
			buffers[i] = max(buffers[i], size*r.ExpFloat64())
		}
		for _, b := range buffers {
			sum += b
		}
		return sum
	}
}

func tenants(r *rand.Rand) func(int) float64 {
	n := 2 + r.IntN(6)
	period, from := make([]float64, n), make([]float64, n)
	for i := range n {
		period[i], from[i] = 1.2+8*r.Float64(), 10*r.Float64()
	}
	return func(w int) float64 {
		sum := 1.0
		for i := range n {
			sum += math.Mod(float64(w)+from[i], period[i]) / period[i]
		}
		return sum
	}
}

func reloads(r *rand.Rand) func(int) float64 {
	every, from := 3+r.IntN(20), r.IntN(20)
	return func(w int) float64 {
		if (w+from)%every == 0 {
			return 2
		}
		return 1
	}
}

func warmThenDay(r *rand.Rand) func(int) float64 {
	tau, from, size, day := spread(r, 0.5, 5), 24*r.Float64(), spread(r, 0.2, 5), 0.5*r.Float64()
	return func(w int) float64 {
		t := float64(w)
		return 1 + (1-math.Exp(-t/tau))*size*(1+day*math.Sin(2*math.Pi*(t+from)/24))
	}
}

// triangles rise for at most nine windows.
func triangles(r *rand.Rand) func(int) float64 {
	half, from, size := 2+7*r.Float64(), 20*r.Float64(), spread(r, 0.1, 3)
	return func(w int) float64 {
		return 1 + size*math.Abs(math.Mod((float64(w)+from)/half, 2)-1)
	}
}

// queue walks like the queue of a server with a tenth to a half of its time free.
func queue(r *rand.Rand) func(int) float64 {
	n, free, size := 0.0, 0.1+0.4*r.Float64(), spread(r, 0.05, 0.5)
	return func(int) float64 {
		n = max(0, n+r.NormFloat64()-free)
		return 1 + size*n
	}
}
