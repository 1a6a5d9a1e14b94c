package hist_test

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/perfblocks/perfblocks/examples/chatserver/internal/hist"
)

func TestQuantileIsWithinABucketOfTheTruth(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	var h hist.Histogram
	var all []time.Duration
	for range 20000 {
		d := time.Duration(rnd.ExpFloat64() * float64(3*time.Millisecond))
		all = append(all, d)
		h.Observe(d)
	}
	slices.Sort(all)
	c := h.Snapshot()
	for _, q := range []float64{0.01, 0.5, 0.95, 0.99, 1} {
		want := all[max(int(q*float64(len(all))+0.999999)-1, 0)]
		got := c.Quantile(q)
		if got < want || float64(got) > float64(want)*17/16+float64(2*time.Microsecond) {
			t.Errorf("Quantile(%v) = %v; want %v up to 1/16 more", q, got, want)
		}
	}
}

func TestEdges(t *testing.T) {
	var h hist.Histogram
	if got := h.Snapshot().Quantile(0.5); got != 0 {
		t.Errorf("Quantile of nothing = %v; want 0", got)
	}
	h.Observe(-time.Second)
	first := h.Snapshot()
	h.Observe(1 << 62)
	if got := h.Snapshot().Sub(first); got.N != 1 || got.Quantile(1) < 24*time.Hour {
		t.Errorf("after the longest duration: N %d, max %v", got.N, got.Quantile(1))
	}
}
