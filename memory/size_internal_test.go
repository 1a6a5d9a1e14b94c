package memory

import (
	"math"
	"testing"
	"time"
)

// TestRoundHeap compares the size classes with the rounding that append shows.
func TestRoundHeap(t *testing.T) {
	for n := 1; n < 70_000; n += 1 + n/100 {
		want := int64(cap(append([]byte(nil), make([]byte, n)...)))
		if got := roundHeap(int64(n), false); got != want {
			t.Fatalf("roundHeap(%d) = %d; the runtime takes %d", n, got, want)
		}
	}
}

// TestGCShare: the first share is since the start, a later one forgets by and by, and
// while no collection ends it falls.
func TestGCShare(t *testing.T) {
	var g gcShare
	at := time.Unix(1000, 0)
	e := func(seconds float64) float64 { return math.Exp(-seconds / 2) }
	for i, tc := range []struct {
		gc, total float64 // on two processors
		after     time.Duration
		want      float64
	}{
		{0, 0, 0, 0},
		{10, 100, 0, 0.1},
		{10, 100, time.Second, 0.1 * e(1)},
		{10.5, 101, -time.Second / 2, 0.1*e(0.5) + 0.5*(1-e(0.5))}, // a burst of half a second
		{70.5, 201, 50 * time.Second, 0.6},                         // a spiral
		{70.5, 201, 2 * time.Second, 0.6 * e(2)},
		{70.5, 201, -time.Hour, 0.6},
		{0, 299, time.Second, 0},
	} {
		at = at.Add(tc.after)
		if got := g.next(tc.gc, tc.total, at, 2); math.Abs(got-tc.want) > 1e-6 {
			t.Errorf("step %d: share = %v; want %v", i, got, tc.want)
		}
	}
}
