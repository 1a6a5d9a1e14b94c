package schedule

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/perfblocks/perfblocks/resilience"
	"github.com/perfblocks/perfblocks/resilience/faulttest"
)

// settings are what a default is compared with: the defaults with one change.
type settings struct {
	name     string
	pipeline resilience.Options
	breaker  *resilience.BreakerOptions // nil: none
}

func changes() []settings {
	b := func(o resilience.BreakerOptions) *resilience.BreakerOptions { return &o }
	retry := func(o resilience.RetryOptions) resilience.Options { return resilience.Options{Retry: o} }
	return []settings{
		{"the defaults, with a breaker", resilience.Options{}, b(resilience.BreakerOptions{})},
		{"no breaker", resilience.Options{}, nil},
		{"no breaker, no budget", resilience.Options{DisableBudget: true}, nil},
		{"no breaker, no retry", retry(resilience.RetryOptions{MaxAttempts: 1}), nil},
		{"no budget", resilience.Options{DisableBudget: true}, b(resilience.BreakerOptions{})},
		{"MaxAttempts 1: no retry", retry(resilience.RetryOptions{MaxAttempts: 1}), b(resilience.BreakerOptions{})},
		{"MaxAttempts 3", retry(resilience.RetryOptions{MaxAttempts: 3}), b(resilience.BreakerOptions{})},
		{"BaseDelay negative: no pause", retry(resilience.RetryOptions{BaseDelay: -1}), b(resilience.BreakerOptions{})},
		{"JitterNone", retry(resilience.RetryOptions{Jitter: resilience.JitterNone}), b(resilience.BreakerOptions{})},
		{"MaxOpenWait negative: no wait", resilience.Options{MaxOpenWait: -1}, b(resilience.BreakerOptions{})},
		{"Consecutive off", resilience.Options{}, b(resilience.BreakerOptions{Consecutive: -1})},
		{"FailureRate off", resilience.Options{}, b(resilience.BreakerOptions{FailureRate: -1})},
		{"MaxOpenFor 10s", resilience.Options{}, b(resilience.BreakerOptions{MaxOpenFor: 10 * time.Second})},
		{"OpenFor 1s, MaxOpenFor 1s", resilience.Options{}, b(resilience.BreakerOptions{OpenFor: time.Second, MaxOpenFor: time.Second})},
		{"OpenJitter off", resilience.Options{}, b(resilience.BreakerOptions{OpenJitter: -1})},
		{"Probes 3", resilience.Options{}, b(resilience.BreakerOptions{Probes: 3})},
		{"SuccessToClose 1", resilience.Options{}, b(resilience.BreakerOptions{SuccessToClose: 1})},
	}
}

// TestDefaults prints what each default does in the schedule: the table of the page
// resilience/README.md. It judges only that the defaults hold the load down.
func TestDefaults(t *testing.T) {
	if testing.Short() {
		t.Skip("not in short mode: it runs the schedule for each change of a default")
	}
	var table strings.Builder
	table.WriteString("\n| change | load while down | failed within | after down | after slow | recovery | 30 % errors | p99 |\n|---|---|---|---|---|---|---|---|\n")
	for i, s := range changes() {
		r := faulttest.Run(t, faulttest.Options{}, func(backend faulttest.Call) faulttest.Call {
			o := s.pipeline
			if s.breaker != nil {
				b, err := resilience.NewBreaker(*s.breaker)
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
		})
		down, after, slow, flaky := r.Phase("down"), r.Phase("after down"), r.Phase("after slow"), r.Phase("flaky")
		fmt.Fprintf(&table, "| %s | %.3f× | %v | %.1f %% | %.1f %% | %v/%v | %.1f %% | %v |\n", s.name, down.Load(), down.FailedP99.Round(time.Millisecond),
			100*after.Success(), 100*slow.Success(), after.Recovery, slow.Recovery, 100*flaky.Success(), r.P99.Round(time.Millisecond))
		if i == 0 && down.Load() > 0.06 {
			t.Errorf("the defaults load a backend that is down with %.3f attempts for each call", down.Load())
		}
	}
	t.Log(table.String())
}
