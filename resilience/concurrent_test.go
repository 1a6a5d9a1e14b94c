package resilience_test

import (
	"context"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/perfblocks/perfblocks/resilience"
)

// TestBreakerConcurrent lets many goroutines go through an outage together and
// checks what must hold at every moment.
func TestBreakerConcurrent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var last resilience.State
		var delivering, inside atomic.Int32
		b := newBreaker(t, resilience.BreakerOptions{
			Probes: 2, SuccessToClose: 4, MinCalls: 10, Window: time.Second,
			Hooks: resilience.BreakerHooks{StateChanged: func(c resilience.StateChange) {
				if delivering.Add(1) != 1 {
					t.Error("two events at a time")
				}
				time.Sleep(300 * time.Millisecond) // Let others change the state meanwhile.
				if c.From != last || c.From == c.To {
					t.Errorf("event %v>%v after %v", c.From, c.To, last)
				}
				last = c.To
				delivering.Add(-1)
			}},
		})
		p := newPipeline(t, resilience.Options{Breaker: b, Bulkhead: 5, Retry: resilience.RetryOptions{BaseDelay: time.Millisecond}})
		start := time.Now()
		down := func() bool { d := time.Since(start); return d > time.Second && d < 4*time.Second }
		var failures atomic.Int64
		var wg sync.WaitGroup
		for seed := range uint64(16) {
			wg.Go(func() {
				r := rand.New(rand.NewPCG(seed, 3))
				for time.Since(start) < 10*time.Second {
					ctx, cancel := context.WithTimeout(t.Context(), time.Duration(1+r.IntN(50))*time.Millisecond)
					work := time.Duration(r.IntN(10)) * time.Millisecond
					err := resilience.Run(ctx, p, func(ctx context.Context) error {
						if inside.Add(1) > 5 {
							t.Error("more inside than the bulkhead has places")
						}
						defer inside.Add(-1)
						time.Sleep(work)
						if down() {
							return errBoom
						}
						return nil
					})
					cancel()
					if err != nil {
						failures.Add(1)
					}
					time.Sleep(time.Duration(r.IntN(20)) * time.Millisecond)
				}
			})
		}
		wg.Wait()
		s := p.Stats()
		if s.Calls != s.Successes+s.Failures || int64(s.Failures) != failures.Load() {
			t.Errorf("Stats = %+v with %d failures seen", s, failures.Load())
		}
		if st := b.State(); st != resilience.StateClosed || b.Stats().Opened == 0 {
			t.Errorf("State = %v, opened %d times; want closed after the outage", st, b.Stats().Opened)
		}
		if s.Rejected == 0 {
			t.Errorf("Stats = %+v; want rejections", s)
		}
	})
}
