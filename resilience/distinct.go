package resilience

import (
	"math"
	"math/bits"
)

const sketchCells = 64 // power of two

// sketch estimates how many different fingerprints it has seen (HyperLogLog,
// Flajolet et al. 2007). The sketches of a guard's shards are read together, where
// the standard error is 1.04/sqrt(1024), 3 %.
type sketch [sketchCells]uint8

// add takes a fingerprint of the shard; the bits that chose it tell nothing.
func (s *sketch) add(fingerprint uint64) {
	cell := &s[fingerprint/guardShards%sketchCells]
	*cell = max(*cell, uint8(bits.LeadingZeros64(fingerprint))+1)
}

// distinct is the estimate of all sketches together.
func distinct(sketches []sketch) uint64 {
	m, sum, empty := 0.0, 0.0, 0.0
	for i := range sketches {
		for _, rank := range sketches[i] {
			m++
			sum += math.Ldexp(1, -int(rank))
			if rank == 0 {
				empty++
			}
		}
	}
	estimate := 0.7213 / (1 + 1.079/m) * m * m / sum
	if estimate <= 2.5*m && empty > 0 { // Counting the empty cells is better here.
		estimate = m * math.Log(m/empty)
	}
	return uint64(math.Round(estimate))
}
