package resilience

import (
	"errors"
	"testing"
)

// TestBreakerLateTrip has a failure that was counted while the breaker was reset: it
// must not open the period that follows.
func TestBreakerLateTrip(t *testing.T) {
	b, err := NewBreaker(BreakerOptions{})
	if err != nil {
		t.Fatal(err)
	}
	word := b.word.Load()
	b.Reset()
	b.trip(word, "consecutive", errors.New("down"), b.now())
	if s := b.Stats(); s.State != StateClosed || s.Opened != 0 {
		t.Errorf("after a late trip: %+v; want closed", s)
	}
}
