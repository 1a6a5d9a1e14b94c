package load

import (
	"math"
	"math/rand/v2"
	"sort"
	"time"
)

// Popularity draws among n things: the rank r is drawn in proportion to 1/r^Exponent,
// and which thing has a rank drifts: in a Day a third of the ranks pass on.
type Popularity struct {
	day    time.Duration
	share  []float64 // of the ranks up to each
	phase  []float64 // when in three days a rank passes on
	ofRank []int
	moveOn int
}

// NewPopularity returns a popularity of n things, at least 1.
func NewPopularity(n int, exponent float64, day time.Duration, seed uint64) *Popularity {
	rnd := rand.New(rand.NewPCG(seed, 0x21bf))
	p := &Popularity{day: day, share: make([]float64, n), phase: make([]float64, n), ofRank: rnd.Perm(n), moveOn: max(n/7, 1)}
	sum := 0.0
	for r := range n {
		sum += math.Pow(float64(r+1), -exponent)
		p.share[r], p.phase[r] = sum, rnd.Float64()
	}
	for r := range p.share {
		p.share[r] /= sum
	}
	return p
}

// Draw returns a thing, 0 to n-1, as popular as it is at that moment.
func (p *Popularity) Draw(rnd *rand.Rand, at time.Duration) int {
	n := len(p.ofRank)
	r := min(sort.SearchFloat64s(p.share, rnd.Float64()), n-1)
	passed := 0
	if p.day > 0 {
		passed = max(int(float64(at)/float64(3*p.day)+p.phase[r]), 0)
	}
	return p.ofRank[(r+passed*p.moveOn)%n]
}
