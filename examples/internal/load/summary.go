package load

import (
	"math"
	"slices"
	"time"
)

// Objective is how long an answer may take to be a good one.
const Objective = 1500 * time.Millisecond

// Good tells whether the answer is right and came in time.
func (s Sample) Good() bool { return s.Right && s.Latency < Objective }

// Summary is what a set of samples comes to.
type Summary struct {
	N, Good, Degraded int
	Stale             int // in time, and good if it were not stale
	PerSecond         float64
	P50, P95, P99     time.Duration
}

// GoodShare is the share of good answers, 0 to 1.
func (s Summary) GoodShare() float64 { return float64(s.Good) / float64(max(s.N, 1)) }

// DegradedShare is the share of degraded answers, 0 to 1.
func (s Summary) DegradedShare() float64 { return float64(s.Degraded) / float64(max(s.N, 1)) }

// Bound is what the true share of bad answers exceeds with a probability of 5 % at most:
// the exact bound of Clopper and Pearson, which is the rule of three if none was seen.
func (s Summary) Bound() float64 {
	bad := s.N - s.Good
	low, high := float64(bad)/float64(max(s.N, 1)), 1.0
	if s.N == 0 || bad == s.N {
		return 1
	}
	for range 50 {
		p := (low + high) / 2
		if atMost(bad, s.N, p) > 0.05 {
			low = p
		} else {
			high = p
		}
	}
	return high
}

// atMost is the probability of k or fewer bad ones among n, each of which is bad with
// the probability p, at least k/n and less than 1.
func atMost(k, n int, p float64) float64 {
	lg := func(x int) float64 { v, _ := math.Lgamma(float64(x) + 1); return v }
	term := math.Exp(lg(n) - lg(k) - lg(n-k) + float64(k)*math.Log(p) + float64(n-k)*math.Log1p(-p))
	sum := 0.0
	for ; k >= 0 && term > 1e-12; k-- { // from the largest term down
		sum += term
		term *= float64(k) / float64(n-k+1) * (1 - p) / p
	}
	return sum
}

// Summarize counts the samples from one moment to another that keep accepts; nil
// accepts all.
func Summarize(samples []Sample, from, to time.Duration, keep func(Sample) bool) (s Summary) {
	var latencies []time.Duration
	for _, x := range samples {
		if x.At < from || x.At >= to || keep != nil && !keep(x) {
			continue
		}
		s.N++
		if x.Good() {
			s.Good++
		}
		if x.Stale && x.Latency < Objective {
			s.Stale++
		}
		if x.Degraded {
			s.Degraded++
		}
		latencies = append(latencies, x.Latency)
	}
	slices.Sort(latencies)
	s.P50, s.P95, s.P99 = Quantile(latencies, 0.5), Quantile(latencies, 0.95), Quantile(latencies, 0.99)
	if to > from {
		s.PerSecond = float64(s.N) / (to - from).Seconds()
	}
	return s
}

// Quantile is the value of sorted durations that a share q of them does not exceed, 0
// of none.
func Quantile(sorted []time.Duration, q float64) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[min(max(int(q*float64(len(sorted))+0.999999)-1, 0), len(sorted)-1)]
}
