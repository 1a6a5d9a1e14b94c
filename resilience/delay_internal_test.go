package resilience

import (
	"testing"
	"time"
)

func TestRetryDelays(t *testing.T) {
	const base, ask = 100 * time.Millisecond, 10 * time.Second
	for _, c := range []struct {
		name     string
		o        RetryOptions
		attempt  int
		asked    time.Duration
		from, to time.Duration // what the delays span, nearly
	}{
		{"full", RetryOptions{BaseDelay: base}, 2, 0, 0, 2 * base},
		{"equal", RetryOptions{BaseDelay: base, Jitter: JitterEqual}, 2, 0, base, 2 * base},
		{"none", RetryOptions{BaseDelay: base, Jitter: JitterNone}, 2, 0, 2 * base, 2 * base},
		{"factor", RetryOptions{BaseDelay: base, Factor: 3, Jitter: JitterNone}, 3, 0, 9 * base, 9 * base},
		{"most", RetryOptions{BaseDelay: base, MaxDelay: 3 * base, Jitter: JitterNone}, 9, 0, 3 * base, 3 * base},
		{"asked", RetryOptions{BaseDelay: time.Minute, MaxDelay: time.Minute, Jitter: JitterNone}, 1, ask, ask + ask/10, ask + ask/10},
		{"asked, less than a tenth", RetryOptions{BaseDelay: base, Jitter: JitterNone}, 1, ask, ask + base, ask + base},
		{"asked, spread", RetryOptions{BaseDelay: time.Second}, 1, ask, ask, ask + time.Second},
	} {
		var v validator
		c.o.normalize(&v)
		low, high := time.Hour, time.Duration(0)
		for range 500 {
			d := c.o.delay(c.attempt, c.asked)
			low, high = min(low, d), max(high, d)
		}
		near := (c.to - c.from) / 5
		if low < c.from || low > c.from+near || high > c.to || high < c.to-near {
			t.Errorf("%s: delays from %v to %v; want about %v to %v", c.name, low, high, c.from, c.to)
		}
	}
}
