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

// TestGCShare: the share is that of the time since the counters moved before, and
// falls while they stand still.
func TestGCShare(t *testing.T) {
	var g gcShare
	at := time.Unix(1000, 0)
	for i, tc := range []struct {
		gc, total float64
		after     time.Duration
		want      float64
	}{
		{0, 0, 0, 0},
		{1, 10, 0, 0.1},
		{4, 16, time.Second, 0.5},
		{4, 16, 3 * time.Second, 0.25},
		{4, 16, 24 * time.Second, 0.05},
		{5, 76, time.Second, 1.0 / 60},
		{5, 76, -time.Hour, 1.0 / 60},
		{0, 99, time.Second, 0},
	} {
		at = at.Add(tc.after)
		if got := g.next(tc.gc, tc.total, at, 2); math.Abs(got-tc.want) > 1e-9 {
			t.Errorf("step %d: share = %v; want %v", i, got, tc.want)
		}
	}
}
