package resilience_test

import (
	"context"
	"testing"
	"time"

	"github.com/perfblocks/perfblocks/resilience"
	"github.com/perfblocks/perfblocks/resilience/faulttest"
)

// TestFaultSchedule prints what the default options do in each phase, and checks
// that an outage is met by little load, that a recovery is soon found, and that a
// fallback does not wait long for its turn.
func TestFaultSchedule(t *testing.T) {
	for _, c := range []struct {
		name    string
		rate    float64
		breaker *resilience.BreakerOptions
		load    float64 // at most, while the server is down
		judged  bool    // the rest as well
	}{
		{"no breaker", 600, nil, 1.05, false},
		{"default breaker", 600, &resilience.BreakerOptions{}, 0.05, true},
		{"default breaker, a third of the calls", 200, &resilience.BreakerOptions{}, 0.15, true},
		{"default breaker, a tenth of the calls", 60, &resilience.BreakerOptions{}, 0.45, true},
		{"MaxOpenFor 10s", 600, &resilience.BreakerOptions{MaxOpenFor: 10 * time.Second}, 0.02, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			if testing.Short() && c.rate < 600 {
				t.Skip("one rate in short mode")
			}
			r := runSchedule(t, faulttest.Options{Rate: c.rate}, resilience.Options{}, c.breaker)
			t.Logf("\n%v", r)
			if got := r.Phase("down").Load(); got > c.load {
				t.Errorf("down: %.3f attempts for each call; want at most %v", got, c.load)
			}
			if c.judged {
				judge(t, r)
			}
		})
	}
}

// TestDay is a day of faults with a stale fallback: of the requests for keys that
// were asked for before, 999 of 1,000 are served.
func TestDay(t *testing.T) {
	if testing.Short() {
		t.Skip("not in short mode: a virtual day takes seconds")
	}
	r := runSchedule(t, faulttest.Options{Phases: faulttest.Day(1), Rate: 4}, resilience.Options{}, &resilience.BreakerOptions{}).Total()
	t.Logf("%d requests: %.3f %% succeeded, %.3f %% served, %.3f %% of %d for warm keys", r.Requests, 100*r.Success(), 100*r.ServedShare(), 100*r.WarmShare(), r.Warm)
	if r.WarmShare() < 0.999 || r.Success() > 0.9999 {
		t.Errorf("served %.5f over warm keys, %.5f succeeded; want at least 0.999, and faults that are met", r.WarmShare(), r.Success())
	}
}

// judge allows for what differs from run to run: goroutines that wake at the same
// moment run in any order. The means are better; see the package comment.
func judge(t *testing.T, r faulttest.Report) {
	t.Helper()
	for _, name := range []string{"healthy", "after down", "after slow", "after flaky"} {
		if p := r.Phase(name); p.Recovery > 2*time.Second || p.LastFailure > 2*time.Second || p.Success() < 0.99 {
			t.Errorf("%s: success %.4f, recovered after %v, last failure after %v; want 0.99 and at most 2s", name, p.Success(), p.Recovery, p.LastFailure)
		}
	}
	if got := r.Phase("flaky").Success(); got < 0.975 {
		t.Errorf("flaky: success %.4f; want at least 0.975", got)
	}
	if p := r.Phase("down"); p.FailedP99 > 500*time.Millisecond {
		t.Errorf("down: calls failed after %v; want at most 500ms", p.FailedP99)
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
