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
		k.raise(hashes[i], counts[i])
		if counts[i] > 0 {
			k.raise(hashes[i], counts[i]-1) // which must not lower it
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
			t.Fatalf("frequency = %d; it was raised to %d", got, counts[i])
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
	k.raise(7, counterMax)
	if got := k.frequency(7); got != 15 {
		t.Errorf("frequency = %d; want the most, 15", got)
	}
	k.halve()
	if got := k.frequency(7); got != 7 {
		t.Errorf("frequency after halving = %d; want 7", got)
	}
	var zero sketch
	zero.raise(1, 1)
	if zero.frequency(1) != 0 {
		t.Error("the zero sketch has seen something")
	}
}

// TestEntryCounts: a frequency rises to its most and stays, beside all that an entry
// tells, and halving takes it down with the sketch.
func TestEntryCounts(t *testing.T) {
	var e entry[int, int]
	e.setRing(ringProtected)
	e.set(1, maxEntryBytes, maxDeadline)
	for i := range uint64(20) {
		want := min(i, counterMax)
		if got := e.frequency(); got != want {
			t.Fatalf("frequency after %d uses = %d; want %d", i, got, want)
		}
		if got := e.count(); got != min(i+1, counterMax)-want {
			t.Fatalf("count() at %d = %d", want, got)
		}
	}
	if e.ring() != ringProtected || e.size() != maxEntryBytes || e.deadline() != maxDeadline || e.used() {
		t.Errorf("ring %d, size %d, deadline %d, used %t after counting", e.ring(), e.size(), e.deadline(), e.used())
	}
}

// TestScanHalvesCounts: entries' counts fall with those of the sketch, and what an
// evicted entry had counted is known when it comes back.
func TestScanHalvesCounts(t *testing.T) {
	c, err := NewCache(CacheOptions[int, int]{MaxItems: 100, Policy: PolicyScanResistant})
	if err != nil {
		t.Fatal(err)
	}
	set := func(k int) {
		if err := c.Set(k, k); err != nil {
			t.Fatal(err)
		}
	}
	s := &c.shards[0]
	for k := range 100 {
		set(k)
	}
	for range 9 {
		c.Get(7)
	}
	_, hash := c.shardOf(7)
	if got := s.at(s.find(hash, 7)).frequency(); got != 10 {
		t.Fatalf("frequency after Set and 9 Gets = %d; want 10", got)
	}
	c.Delete(7)
	set(7)
	if got := s.at(s.find(hash, 7)).frequency(); got != 11 {
		t.Errorf("frequency after it came back = %d; want 11", got)
	}
	for i := range 20_000 {
		c.Get(8 + i%91)
	}
	if got := s.at(s.find(hash, 7)).frequency(); got > 5 {
		t.Errorf("frequency after many other uses = %d; want it halved", got)
	}
}
