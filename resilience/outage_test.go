package resilience_test

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/perfblocks/perfblocks/resilience"
)

// TestOutageLoad sends 60 calls a second into an upstream that is down for 30 s and
// counts what reaches it, with the default options.
func TestOutageLoad(t *testing.T) {
	for _, c := range []struct {
		name    string
		breaker bool
		most    float64 // attempts for each call while down
	}{{"budget alone", false, 1.05}, {"breaker", true, 0.05}} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				o := resilience.Options{AttemptTimeout: 250 * time.Millisecond}
				if c.breaker {
					o.Breaker = newBreaker(t, resilience.BreakerOptions{})
				}
				p := newPipeline(t, o)
				var mu sync.Mutex
				calls, attempts, lost := 0, 0, time.Duration(0)
				start := time.Now()
				down := func() bool { d := time.Since(start); return d >= 10*time.Second && d < 40*time.Second }
				var wg sync.WaitGroup
				for time.Since(start) < 60*time.Second {
					wg.Go(func() {
						begun := down()
						ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
						defer cancel()
						err := resilience.Run(ctx, p, func(context.Context) error {
							time.Sleep(time.Millisecond)
							if !down() {
								return nil
							}
							mu.Lock()
							attempts++
							mu.Unlock()
							return errBoom
						})
						mu.Lock()
						defer mu.Unlock()
						if begun {
							calls++
						} else if err != nil {
							lost = max(lost, time.Since(start))
						}
					})
					time.Sleep(time.Second / 60)
				}
				wg.Wait()
				if load := float64(attempts) / float64(calls); load > c.most {
					t.Errorf("%d attempts for %d calls while down = %.3f; want at most %v", attempts, calls, load, c.most)
				}
				// A breaker learns of the recovery by the end of an open period.
				if lost > 52*time.Second {
					t.Errorf("a call failed %v after the outage; want at most 12s", lost-40*time.Second)
				}
				t.Logf("%d attempts for %d calls; last failure %v after the outage", attempts, calls, lost-40*time.Second)
			})
		})
	}
}
