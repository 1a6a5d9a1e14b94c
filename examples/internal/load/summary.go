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
	PerSecond         float64
	P50, P95, P99     time.Duration
}

// GoodShare is the share of good answers, 0 to 1.
func (s Summary) GoodShare() float64 { return float64(s.Good) / float64(max(s.N, 1)) }

// DegradedShare is the share of degraded answers, 0 to 1.
func (s Summary) DegradedShare() float64 { return float64(s.Degraded) / float64(max(s.N, 1)) }

// Bound is a 95 % bound on the true share of bad answers: by the rule of three if none
// was seen, else by the normal approximation.
func (s Summary) Bound() float64 {
	if s.N == 0 {
		return 1
	}
	n, bad := float64(s.N), float64(s.N-s.Good)
	if bad == 0 {
		return min(3/n, 1)
	}
	p := bad / n
	return min(p+1.96*math.Sqrt(p*(1-p)/n), 1)
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
