package resilience_test

import (
	"context"
	"testing"
	"time"

	"github.com/perfblocks/perfblocks/resilience"
	"github.com/perfblocks/perfblocks/resilience/faulttest"
)

// TestFaultSchedule prints what the default options do in each phase, and checks
// that an outage is met by little load and a recovery is soon found.
func TestFaultSchedule(t *testing.T) {
	for _, c := range []struct {
		name    string
		breaker *resilience.BreakerOptions
		load    float64 // at most, while the server is down
		checked bool    // recovery as well
	}{
		{"no breaker", nil, 1.05, false},
		{"default breaker", &resilience.BreakerOptions{}, 0.05, true},
		{"MaxOpenFor 10s", &resilience.BreakerOptions{MaxOpenFor: 10 * time.Second}, 0.02, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			if testing.Short() && !c.checked {
				t.Skip("only the default in short mode")
			}
			r := runSchedule(t, faulttest.Options{}, resilience.Options{}, c.breaker)
			t.Logf("\n%v", r)
			if got := r.Phase("down").Load(); got > c.load {
				t.Errorf("down: %.3f attempts for each call; want at most %v", got, c.load)
			}
			if got := r.Phase("flaky").Success(); c.load != 0.02 && got < 0.985 {
				t.Errorf("flaky: success %.4f; want at least 0.985", got)
			}
			if c.checked {
				checkRecovery(t, r)
			}
		})
	}
}

// checkRecovery checks that the phases after a fault are soon well.
func checkRecovery(t *testing.T, r faulttest.Report) {
	t.Helper()
	for _, name := range []string{"healthy", "after down", "after slow", "after flaky"} {
		if got := r.Phase(name).Recovery; got > 2*time.Second {
			t.Errorf("%s: recovered %v after the fault; want at most 2s", name, got)
		}
	}
}

// runSchedule runs the schedule with a pipeline, and a breaker if there are
// options for one, for each client.
func runSchedule(t *testing.T, f faulttest.Options, o resilience.Options, breaker *resilience.BreakerOptions) faulttest.Report {
	t.Helper()
	return faulttest.Run(t, f, func(backend faulttest.Call) faulttest.Call {
		if breaker != nil {
			o.Breaker = newBreaker(t, *breaker)
		}
		p := newPipeline(t, o)
		return func(ctx context.Context) error { return resilience.Run(ctx, p, backend) }
	})
}
