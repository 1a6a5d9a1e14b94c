package faulttest_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/perfblocks/perfblocks/resilience/faulttest"
)

// bare sends each request once.
func bare(backend faulttest.Call) faulttest.Call { return backend }

// naive makes four attempts without a pause, as much code does.
func naive(backend faulttest.Call) faulttest.Call {
	return func(ctx context.Context) (err error) {
		for range 4 {
			if err = backend(ctx); err == nil {
				return nil
			}
		}
		return err
	}
}

// TestScheduleBites shows that the schedule tells good settings from bad ones.
func TestScheduleBites(t *testing.T) {
	r := faulttest.Run(t, faulttest.Options{}, bare)
	t.Logf("no retries:\n%v", r)
	if got := r.Phase("healthy").Success(); got != 1 {
		t.Errorf("success in health = %v; want 1", got)
	}
	if p := r.Phase("down"); p.Succeeded != 0 || p.Load() != 1 {
		t.Errorf("down: %+v; want no success and one attempt per request", p)
	}
	if got := r.Phase("flaky").Success(); got < 0.65 || got > 0.75 {
		t.Errorf("success with 30 %% errors and no retry = %v; want about 0.7", got)
	}
	r = faulttest.Run(t, faulttest.Options{}, naive)
	t.Logf("four attempts, no pause:\n%v", r)
	if got := r.Phase("down").Load(); got < 3.9 {
		t.Errorf("load of four attempts = %v; want about 4", got)
	}
	if got := r.Phase("after slow").Success(); got > 0.2 {
		t.Errorf("success after the slow-down = %v; want a backend that stays drowned in retries", got)
	}
}

// TestEndedContext checks that a call ends with its context, as a hedge or a
// shorter timeout of the client ends it.
func TestEndedContext(t *testing.T) {
	limit := 100 * time.Millisecond
	impatient := func(backend faulttest.Call) faulttest.Call {
		return func(ctx context.Context) error {
			ctx, cancel := context.WithTimeout(ctx, limit)
			defer cancel()
			start := time.Now()
			err := backend(ctx)
			if took := time.Since(start); took > limit || took == limit && !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("call ended after %v with %v", took, err)
			}
			return err
		}
	}
	phases := []faulttest.Phase{{Name: "slow", For: 2 * time.Second, Service: time.Second}}
	r := faulttest.Run(t, faulttest.Options{Phases: phases, Rate: 50}, impatient)
	if p := r.Phase("slow"); p.Succeeded != 0 || p.FailedP99 != limit || p.LastFailure < time.Second {
		t.Errorf("slow: %+v; want failures of %v to the end", p, limit)
	}
}

func TestReport(t *testing.T) {
	phases := []faulttest.Phase{{Name: "a", For: 2 * time.Second}, {Name: "b", For: 3 * time.Second, Down: true}, {Name: "c", For: 2 * time.Second}}
	r := faulttest.Run(t, faulttest.Options{Phases: phases, Rate: 50, Clients: 2}, bare)
	total := r.Total()
	if total.Requests < 250 || total.Requests > 450 || total.Requests != total.Attempts {
		t.Errorf("total = %+v; want about 350 requests with one attempt each", total)
	}
	if r.Phase("c").Recovery != 0 || r.Phase("b").Recovery != 0 || r.Phase("nothing") != (faulttest.PhaseReport{}) {
		t.Errorf("report = %v", r)
	}
	if a, b := r.Phase("a"), r.Phase("b"); a.WarmShare() != 1 || a.Warm >= a.Requests || b.Warm < b.WarmServed || b.WarmShare() < b.ServedShare() {
		t.Errorf("warm keys: a %+v, b %+v; want all served while up, and first requests for keys left out", a, b)
	}
	if served := r.Phase("b").ServedShare(); served <= 0 || served >= 1 {
		t.Errorf("served while down = %v; want the warm keys", served)
	}
}

// TestNeverAnswered checks that a key that was asked for in vain is not served.
func TestNeverAnswered(t *testing.T) {
	r := faulttest.Run(t, faulttest.Options{Phases: []faulttest.Phase{{Name: "down", For: 5 * time.Second, Down: true}}, Rate: 50, Keys: 10}, bare)
	if p := r.Phase("down"); p.Warm == 0 || p.WarmServed != 0 || p.Served != 0 {
		t.Errorf("down from the start: %+v; want warm keys, none of them served", p)
	}
}

func TestDayIsADay(t *testing.T) {
	var all, down time.Duration
	blips, outages := 0, 0
	for _, p := range faulttest.Day(7) {
		all += p.For
		if p.Down {
			down += p.For
			if p.For <= 2*time.Second {
				blips++
			} else if p.For == time.Minute {
				outages++
			}
		}
	}
	if all != 24*time.Hour || blips != 40 || outages != 3 || down < 220*time.Second || down > 260*time.Second {
		t.Errorf("day of %v with %d blips, %d outages, %v down", all, blips, outages, down)
	}
}
