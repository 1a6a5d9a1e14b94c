package schedule

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/failsafe-go/failsafe-go"
	"github.com/failsafe-go/failsafe-go/budget"
	"github.com/failsafe-go/failsafe-go/circuitbreaker"
	"github.com/failsafe-go/failsafe-go/retrypolicy"
	"github.com/perfblocks/perfblocks/resilience"
	"github.com/perfblocks/perfblocks/resilience/faulttest"
	"github.com/sony/gobreaker/v2"
)

type client = func(faulttest.Call) faulttest.Call

func ours(t *testing.T, breaker bool) client {
	return func(backend faulttest.Call) faulttest.Call {
		var o resilience.Options
		if breaker {
			b, err := resilience.NewBreaker(resilience.BreakerOptions{})
			if err != nil {
				t.Fatal(err)
			}
			o.Breaker = b
		}
		p, err := resilience.New(o)
		if err != nil {
			t.Fatal(err)
		}
		return func(ctx context.Context) error { return resilience.Run(ctx, p, backend) }
	}
}

// failsafeGo makes as many attempts as ours, with a pause, jitter, budget and breaker.
func failsafeGo(backend faulttest.Call) faulttest.Call {
	retry := retrypolicy.NewBuilder[any]().WithMaxRetries(3).WithBackoff(100*time.Millisecond, 5*time.Second).WithJitterFactor(0.5).
		AbortOnErrors(circuitbreaker.ErrOpen).WithBudget(budget.New()).Build()
	cb := circuitbreaker.NewBuilder[any]().WithFailureRateThreshold(0.5, 20, 10*time.Second).WithSuccessThreshold(3).WithDelay(time.Second).Build()
	exec := failsafe.With[any](retry, cb)
	return func(ctx context.Context) error {
		return exec.WithContext(ctx).RunWithExecution(func(e failsafe.Execution[any]) error { return backend(e.Context()) })
	}
}

func backoffGobreaker(backend faulttest.Call) faulttest.Call {
	cb := gobreaker.NewCircuitBreaker[int](gobreaker.Settings{
		Interval: 10 * time.Second, BucketPeriod: time.Second, Timeout: time.Second, MaxRequests: 3,
		ReadyToTrip: func(c gobreaker.Counts) bool { return c.Requests >= 20 && c.TotalFailures*2 >= c.Requests },
	})
	return func(ctx context.Context) error {
		b := backoff.NewExponentialBackOff()
		b.InitialInterval = 100 * time.Millisecond
		_, err := backoff.Retry(ctx, func() (int, error) {
			return cb.Execute(func() (int, error) { return 0, backend(ctx) })
		}, backoff.WithMaxTries(4), backoff.WithBackOff(b))
		return err
	}
}

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

// TestSchedule prints one table and judges our rows.
func TestSchedule(t *testing.T) {
	var table, bars strings.Builder
	table.WriteString("\n| client | load down | recovery down/slow/flaky | after down | after slow | flaky 30 % | after flaky | p99 |\n|---|---|---|---|---|---|---|---|\n")
	for _, c := range []struct {
		name    string
		client  client
		maxLoad float64 // 0: not ours
	}{
		{"perfblocks, breaker", ours(t, true), 0.05},
		{"perfblocks, no breaker", ours(t, false), 1.05},
		{"failsafe-go retry+budget+breaker", failsafeGo, 0},
		{"backoff+gobreaker", backoffGobreaker, 0},
		{"no retry", func(b faulttest.Call) faulttest.Call { return b }, 0},
		{"four attempts at once", naive, 0},
	} {
		r := faulttest.Run(t, faulttest.Options{}, c.client)
		down, flaky := r.Phase("down"), r.Phase("flaky")
		after := []faulttest.PhaseReport{r.Phase("after down"), r.Phase("after slow"), r.Phase("after flaky")}
		fmt.Fprintf(&table, "| %s | %.3f× | %v/%v/%v | %.2f %% | %.2f %% | %.2f %% | %.2f %% | %v |\n", c.name, down.Load(),
			after[0].Recovery, after[1].Recovery, after[2].Recovery,
			100*after[0].Success(), 100*after[1].Success(), 100*flaky.Success(), 100*after[2].Success(), r.P99.Round(time.Millisecond))
		if c.maxLoad == 0 {
			continue
		}
		// Runs differ a little, since goroutines that wake at one moment run in any
		// order: the bars are printed as met or missed, and only what is clearly
		// worse fails the test.
		bar := func(what string, ok, clearlyWorse bool) {
			verdict := "met"
			if !ok {
				verdict = "MISSED"
			}
			fmt.Fprintf(&bars, "%s: %s: %s\n", c.name, what, verdict)
			if clearlyWorse {
				t.Errorf("%s: %s is clearly missed", c.name, what)
			}
		}
		bar(fmt.Sprintf("load while down %.3f ≤ %v", down.Load(), c.maxLoad), down.Load() <= c.maxLoad, down.Load() > 1.2*c.maxLoad)
		bar(fmt.Sprintf("flaky %.4f ≥ 0.985", flaky.Success()), flaky.Success() >= 0.985, flaky.Success() < 0.975)
		for _, p := range after {
			bar(fmt.Sprintf("recovery %s %v ≤ 2s", p.Name, p.Recovery), p.Recovery <= 2*time.Second, p.Recovery > 3*time.Second && c.maxLoad < 1)
			bar(fmt.Sprintf("success %s %.4f ≥ 0.995", p.Name, p.Success()), p.Success() >= 0.995, p.Success() < 0.98 && c.maxLoad < 1)
		}
	}
	t.Log(table.String() + "\n" + bars.String())
}
