package resilience_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/perfblocks/perfblocks/resilience"
)

func TestBudgetStopsAnOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		budget, err := resilience.NewBudget(resilience.BudgetOptions{MinPerSecond: -1})
		if err != nil {
			t.Fatal(err)
		}
		p := newPipeline(t, resilience.Options{Budget: budget, Retry: resilience.RetryOptions{MaxAttempts: 4, BaseDelay: -1}})
		calls := 0
		for range 500 {
			_ = resilience.Run(t.Context(), p, func(context.Context) error { calls++; return errBoom })
		}
		if calls != 520 {
			t.Errorf("%d calls for 500 requests; want 520: Capacity/RetryCost retries", calls)
		}
		for range 100 {
			_ = resilience.Run(t.Context(), p, func(context.Context) error { return nil })
		}
		if s := budget.Stats(); s.Tokens != 100 {
			t.Errorf("Tokens = %d after 100 successes; want 100", s.Tokens)
		}
	})
}

func TestBudgetRefund(t *testing.T) {
	budget, err := resilience.NewBudget(resilience.BudgetOptions{MinPerSecond: -1})
	if err != nil {
		t.Fatal(err)
	}
	p := newPipeline(t, resilience.Options{Budget: budget, Retry: resilience.RetryOptions{BaseDelay: -1}})
	for range 200 { // Every first attempt fails, every retry succeeds.
		fn, _ := failing(1, errBoom)
		if _, err := resilience.Do(t.Context(), p, fn); err != nil {
			t.Fatal(err)
		}
	}
	if s := budget.Stats(); s.Tokens != 100 || s.Spent != 200 || s.Denied != 0 {
		t.Errorf("Stats = %+v; want every retry paid back", s)
	}
	if _, ok := budget.Spend(resilience.ClassTimeout); !ok || budget.Stats().Tokens != 90 {
		t.Errorf("Tokens = %d after a timeout's retry; want 90", budget.Stats().Tokens)
	}
}

func TestBudgetTrickle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, err := resilience.NewBudget(resilience.BudgetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		for ok := true; ok; _, ok = b.Spend(resilience.ClassUnknown) {
		}
		time.Sleep(10 * time.Second)
		if _, ok := b.Spend(resilience.ClassUnknown); !ok {
			t.Error("no retry after 10s at 0.1/s")
		}
		if _, ok := b.Spend(resilience.ClassUnknown); ok {
			t.Error("a second retry after 10s at 0.1/s")
		}
	})
}

func TestRetryAfterIsObeyed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPipeline(t, resilience.Options{})
		start := time.Now()
		fn, _ := failing(1, resilience.WithRetryAfter(errBoom, 10*time.Second))
		if _, err := resilience.Do(t.Context(), p, fn); err != nil {
			t.Fatal(err)
		}
		if d := time.Since(start); d < 10*time.Second || d > 11*time.Second {
			t.Errorf("waited %v; want 10s to 11s: never less than asked", d)
		}
	})
}

func TestWithRetryAndCircuitBreaker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, err := resilience.NewRegistry(resilience.RegistryOptions{Breaker: resilience.BreakerOptions{Consecutive: 3}})
		if err != nil {
			t.Fatal(err)
		}
		fn, calls := failing(100, errBoom)
		f := resilience.WithRetry(resilience.WithCircuitBreaker(r, "openai", fn), resilience.RetryOptions{MaxAttempts: 3, BaseDelay: -1})
		_, err = f(t.Context())
		if !errors.Is(err, errBoom) || *calls != 3 {
			t.Errorf("first: %v after %d calls; want boom after 3", err, *calls)
		}
		_, err = f(t.Context())
		if !errors.Is(err, resilience.ErrOpen) || *calls != 3 {
			t.Errorf("second: %v after %d calls; want ErrOpen without a call", err, *calls)
		}
		bad := resilience.WithRetry(fn, resilience.RetryOptions{MaxAttempts: -1})
		if _, err := bad(t.Context()); !errors.Is(err, resilience.ErrOptions) {
			t.Errorf("bad options: %v; want ErrOptions", err)
		}
	})
}

func TestDisabledPipeline(t *testing.T) {
	p := newPipeline(t, resilience.Options{Disabled: true})
	fn, calls := failing(1, errBoom)
	if _, err := resilience.Do(t.Context(), p, fn); err != errBoom || *calls != 1 { //nolint:errorlint // Untouched.
		t.Errorf("Do = %v after %d calls; want the bare error after one", err, *calls)
	}
}

func TestHooks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log []string
		p := newPipeline(t, resilience.Options{
			Name: "up", Retry: resilience.RetryOptions{MaxAttempts: 2, Jitter: resilience.JitterNone},
			Hooks: resilience.Hooks{
				Retry:  func(e resilience.RetryEvent) { log = append(log, fmt.Sprint(e.Name, e.Attempt, e.Delay, e.Err)) },
				Failed: func(e resilience.FailedEvent) { log = append(log, fmt.Sprint(e.Name, e.Attempts, e.Reason)) },
			},
		})
		_ = resilience.Run(t.Context(), p, func(context.Context) error { return errBoom })
		if got := strings.Join(log, "; "); got != "up1 100ms boom; up2 attempts" {
			t.Errorf("hooks saw %q", got)
		}
	})
}
