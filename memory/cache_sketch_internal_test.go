package memory

import (
	"math/rand/v2"
	"testing"
)

// TestSketchEstimates: an estimate is never below the count while counters are not
// halved, seldom far above it, and survives growth.
func TestSketchEstimates(t *testing.T) {
	var k sketch
	k.fit(1000)
	rng := rand.New(rand.NewPCG(1, 1))
	hashes, counts := make([]uint32, 1000), make([]uint64, 1000)
	for i := range hashes {
		hashes[i], counts[i] = rng.Uint32(), rng.Uint64N(8)
		for range counts[i] {
			k.add(hashes[i])
		}
	}
	k.fit(1600)
	if n := len(k.blocks); n != 2*126 {
		t.Errorf("%d blocks for 1600 entries; want twice those for 1000", n)
	}
	above := 0
	for i, h := range hashes {
		got := k.frequency(h)
		if got < counts[i] {
			t.Fatalf("frequency = %d; it was added %d times", got, counts[i])
		}
		if got > counts[i]+1 {
			above++
		}
	}
	if above > 50 {
		t.Errorf("%d of 1000 estimates are more than one too high", above)
	}
}

// TestSketchForgets: counters are halved, and none spills into its neighbour.
func TestSketchForgets(t *testing.T) {
	var k sketch
	k.fit(8)
	for range 100 {
		k.add(7)
	}
	if got := k.frequency(7); got != 15 {
		t.Errorf("frequency after 100 uses = %d; want the most, 15", got)
	}
	k.halve()
	if got := k.frequency(7); got != 7 {
		t.Errorf("frequency after halving = %d; want 7", got)
	}
	rng := rand.New(rand.NewPCG(2, 2))
	for range 10_000 {
		k.add(rng.Uint32())
	}
	if k.counts >= sketchAge*blockEntries*len(k.blocks) {
		t.Errorf("%d counts are kept; want halving before", k.counts)
	}
	if (&sketch{}).frequency(1) != 0 {
		t.Error("the zero sketch has seen something")
	}
}
