package memory

import "testing"

// TestRoundHeap compares the size classes with the rounding that append shows.
func TestRoundHeap(t *testing.T) {
	for n := 1; n < 70_000; n += 1 + n/100 {
		want := int64(cap(append([]byte(nil), make([]byte, n)...)))
		if got := roundHeap(int64(n), false); got != want {
			t.Fatalf("roundHeap(%d) = %d; the runtime takes %d", n, got, want)
		}
	}
}
