package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net"
	"net/url"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/failsafe-go/failsafe-go"
	"github.com/failsafe-go/failsafe-go/circuitbreaker"
	"github.com/failsafe-go/failsafe-go/retrypolicy"
	"github.com/failsafe-go/failsafe-go/timeout"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/sony/gobreaker/v2"

	"github.com/perfblocks/perfblocks/examples/versus/internal/bench"
	"github.com/perfblocks/perfblocks/resilience"
)

const ours = "perfblocks"

var errDown = errors.New("upstream is down")

func works(context.Context) (int, error) { return 42, nil }

// resilienceSuite compares the cost of a call that succeeds, is rejected, or fails,
// through the same policies on all sides.
func resilienceSuite(r *bench.Report) error {
	for _, compare := range []func(*bench.Report) error{
		successPath, breakerAlone, withTimeout, openRejection, failingAttempts, classify, withheld, floods, neverLogged, httpStorm, inVirtualTime,
	} {
		if err := compare(r); err != nil {
			return err
		}
	}
	return nil
}

// inVirtualTime runs the schedules of faults and the breaker's histories.
func inVirtualTime(r *bench.Report) error {
	histories, rate := "50000", "4"
	if r.Full {
		histories, rate = "1000000", "20"
	}
	return errors.Join(
		r.FromTests("./schedule", "^(TestSchedule|TestDay)$", "VERSUS_DAY_RATE="+rate),
		r.FromTests("./breakermodel", "^TestHistories$", "VERSUS_HISTORIES="+histories))
}

// pipeline is ours with retry, breaker, budget and classifier.
func pipeline(o resilience.Options) (*resilience.Pipeline, error) {
	b, err := resilience.NewBreaker(resilience.BreakerOptions{})
	if err != nil {
		return nil, err
	}
	o.Breaker = b
	return resilience.New(o)
}

func failsafeRetry(delay time.Duration) retrypolicy.RetryPolicy[int] {
	return retrypolicy.NewBuilder[int]().WithMaxRetries(3).WithBackoff(max(delay, 1), 5*max(delay, 1)).Build()
}

func failsafeBreaker() circuitbreaker.CircuitBreaker[int] {
	return circuitbreaker.NewBuilder[int]().WithFailureRateThreshold(0.5, 20, 10*time.Second).WithSuccessThreshold(3).Build()
}

func rollingGobreaker() *gobreaker.CircuitBreaker[int] {
	return gobreaker.NewCircuitBreaker[int](gobreaker.Settings{
		Interval: 10 * time.Second, BucketPeriod: time.Second,
		ReadyToTrip: func(c gobreaker.Counts) bool { return c.Requests >= 20 && c.TotalFailures*2 >= c.Requests },
	})
}

// value makes a Check of an operation that returns a value.
func value(op func() (int, error)) func() (any, error) {
	return func() (any, error) { v, err := op(); return v, err }
}

// side is a side whose operation must succeed each time.
func side(name string, op func() (int, error)) bench.Side {
	return bench.Side{Name: name, Check: value(op), Op: func(n int) {
		for range n {
			op()
		}
	}}
}

func successPath(r *bench.Report) error {
	ctx := context.Background()
	p, err := pipeline(resilience.Options{})
	if err != nil {
		return err
	}
	exec := failsafe.With[int](failsafeRetry(time.Millisecond), failsafeBreaker()).WithContext(ctx)
	sides := []bench.Side{
		side(ours, func() (int, error) { return resilience.Do(ctx, p, works) }),
		side("failsafe-go", func() (int, error) {
			return exec.GetWithExecution(func(e failsafe.Execution[int]) (int, error) { return works(e.Context()) })
		}),
		side("backoff", func() (int, error) {
			return backoff.Retry(ctx, func() (int, error) { return works(ctx) }, backoff.WithMaxTries(4))
		}),
	}
	if err := r.Compare(bench.Comparison{Measure: "success: retry+breaker+budget (failsafe-go: no budget; backoff: retry only), sequential", Sides: sides},
		bench.Goal{Peer: "failsafe-go", MaxRatio: 1.0 / 8, MaxAllocs: -1}); err != nil {
		return err
	}
	return r.Compare(bench.Comparison{Measure: "the same, 2 goroutines", Goroutines: 2, Sides: sides[:2]}, bench.Goal{Peer: "failsafe-go", MaxRatio: 1.0 / 12})
}

func breakerAlone(r *bench.Report) error {
	ctx := context.Background()
	b, err := resilience.NewBreaker(resilience.BreakerOptions{})
	if err != nil {
		return err
	}
	gb := rollingGobreaker()
	fb := failsafeBreaker()
	return r.Compare(bench.Comparison{Measure: "success: breaker alone, rolling window", Sides: []bench.Side{
		side(ours, func() (int, error) {
			permit, err := b.Acquire()
			if err != nil {
				return 0, err
			}
			v, err := works(ctx)
			permit.Done(err)
			return v, err
		}),
		side("gobreaker", func() (int, error) { return gb.Execute(func() (int, error) { return works(ctx) }) }),
		side("failsafe-go", func() (int, error) {
			if !fb.TryAcquirePermit() {
				return 0, circuitbreaker.ErrOpen
			}
			v, err := works(ctx)
			fb.RecordResult(v)
			return v, err
		}),
	}}, bench.Goal{Peer: "gobreaker", MaxRatio: 0.5, MaxAllocs: -1})
}

func withTimeout(r *bench.Report) error {
	ctx := context.Background()
	p, err := pipeline(resilience.Options{AttemptTimeout: time.Second})
	if err != nil {
		return err
	}
	near, cancel := context.WithTimeout(ctx, 10*time.Minute)
	defer cancel()
	tight, err := pipeline(resilience.Options{AttemptTimeout: time.Hour})
	if err != nil {
		return err
	}
	exec := failsafe.With[int](failsafeRetry(time.Millisecond), failsafeBreaker(), timeout.New[int](time.Second)).WithContext(ctx)
	fs := side("failsafe-go", func() (int, error) {
		return exec.GetWithExecution(func(e failsafe.Execution[int]) (int, error) { return works(e.Context()) })
	})
	limited := failsafe.With[int](failsafeRetry(time.Millisecond), failsafeBreaker(), timeout.New[int](time.Hour)).WithContext(near)
	if err := r.Compare(bench.Comparison{Measure: "success: retry+breaker+budget+timeout", Sides: []bench.Side{
		side(ours, func() (int, error) { return resilience.Do(ctx, p, works) }), fs,
	}}, bench.Goal{Peer: "failsafe-go", MaxRatio: 0.5, MaxAllocs: 4}); err != nil {
		return err
	}
	return r.Compare(bench.Comparison{Measure: "the same, the caller's deadline is nearer", Sides: []bench.Side{
		side(ours, func() (int, error) { return resilience.Do(near, tight, works) }),
		side("failsafe-go", func() (int, error) {
			return limited.GetWithExecution(func(e failsafe.Execution[int]) (int, error) { return works(e.Context()) })
		}),
	}}, bench.Goal{MaxAllocs: -1})
}

func openRejection(r *bench.Report) error {
	ctx := context.Background()
	// Opened by a failure, as the others: one that is forced open need not ask the time.
	b, err := resilience.NewBreaker(resilience.BreakerOptions{Consecutive: 1, OpenFor: time.Hour})
	if err != nil {
		return err
	}
	p, err := resilience.New(resilience.Options{Breaker: b, Retry: resilience.RetryOptions{MaxAttempts: 1}})
	if err != nil {
		return err
	}
	resilience.Do(ctx, p, func(context.Context) (int, error) { return 0, errDown })
	gb := gobreaker.NewCircuitBreaker[int](gobreaker.Settings{Timeout: time.Hour, ReadyToTrip: func(gobreaker.Counts) bool { return true }})
	gb.Execute(func() (int, error) { return 0, errDown })
	fb := circuitbreaker.NewBuilder[int]().WithFailureRateThreshold(0.5, 20, 10*time.Second).WithSuccessThreshold(3).WithDelay(time.Hour).Build()
	fb.Open()
	exec := failsafe.With[int](fb).WithContext(ctx)
	rejected := func(op func() (int, error), want error) func() (any, error) {
		return func() (any, error) {
			_, err := op()
			if !errors.Is(err, want) {
				return nil, fmt.Errorf("%w instead of a rejection", err)
			}
			return true, nil
		}
	}
	us := func() (int, error) { return resilience.Do(ctx, p, works) }
	gob := func() (int, error) { return gb.Execute(func() (int, error) { return works(ctx) }) }
	fs := func() (int, error) {
		return exec.GetWithExecution(func(e failsafe.Execution[int]) (int, error) { return works(e.Context()) })
	}
	sides := []bench.Side{side(ours, us), side("gobreaker", gob), side("failsafe-go", fs)}
	sides[0].Check, sides[1].Check, sides[2].Check = rejected(us, resilience.ErrOpen), rejected(gob, gobreaker.ErrOpenState), rejected(fs, circuitbreaker.ErrOpen)
	return r.Compare(bench.Comparison{Measure: "rejection by an open breaker (ours: whole pipeline)", Sides: sides}, bench.Goal{Peer: "gobreaker", MaxRatio: 0.6, MaxAllocs: -1})
}

// failingAttempts lets four attempts fail, with a sentinel and with an error that says
// nothing but its text.
func failingAttempts(r *bench.Report) error {
	ctx := context.Background()
	p, err := resilience.New(resilience.Options{Retry: resilience.RetryOptions{MaxAttempts: 4, BaseDelay: -1}, DisableBudget: true})
	if err != nil {
		return err
	}
	exec := failsafe.With[int](retrypolicy.NewBuilder[int]().WithMaxRetries(3).Build()).WithContext(ctx)
	compare := func(name string, failure error, peers int, goals ...bench.Goal) error {
		calls := 0
		count := func(context.Context) (int, error) { calls++; return 0, failure }
		side := func(name string, op func() (int, error)) bench.Side {
			s := side(name, op)
			s.Check = func() (any, error) { calls = 0; op(); return calls, nil }
			return s
		}
		sides := []bench.Side{
			side(ours, func() (int, error) { return resilience.Do(ctx, p, count) }),
			side("failsafe-go", func() (int, error) {
				return exec.GetWithExecution(func(e failsafe.Execution[int]) (int, error) { return count(e.Context()) })
			}),
			side("backoff", func() (int, error) {
				return backoff.Retry(ctx, func() (int, error) { return count(ctx) }, backoff.WithMaxTries(4), backoff.WithBackOff(&backoff.ZeroBackOff{}))
			}),
		}
		return r.Compare(bench.Comparison{Measure: "four failing attempts without delay, " + name + " (ours classifies each)", Sides: sides[:peers]}, goals...)
	}
	return errors.Join(
		compare("a timeout", resilience.ErrTimeout, 3, bench.Goal{Peer: "failsafe-go", MaxRatio: 1.0 / 20, MaxAllocs: 2}),
		compare("errors.New", errDown, 2, bench.Goal{Peer: "failsafe-go", MaxRatio: 1.0 / 20, MaxAllocs: 2}),
		compare("a refused dial", refusedDial(), 2, bench.Goal{Peer: "failsafe-go", MaxRatio: 1.0 / 20, MaxAllocs: 2}))
}

// refusedDial is how net/http tells that nobody listens.
func refusedDial() error {
	_, err := net.DialTimeout("tcp", "127.0.0.1:1", time.Second)
	return &url.Error{Op: "Get", URL: "http://127.0.0.1:1", Err: err}
}

// classify measures what it costs to know an error: of a context, of a dial that was
// refused, and of a PostgreSQL driver, each wrapped as clients do.
func classify(r *bench.Report) error {
	var joined []error
	for _, c := range []struct {
		name string
		err  error
		want resilience.Class
	}{
		{"a deadline, wrapped twice", fmt.Errorf("call: %w", fmt.Errorf("read: %w", context.DeadlineExceeded)), resilience.ClassTimeout},
		{"a refused dial", refusedDial(), resilience.ClassUnavailable},
		{"sql.ErrNoRows, wrapped twice", fmt.Errorf("call: %w", fmt.Errorf("scan: %w", sql.ErrNoRows)), resilience.ClassNotFound},
		{"a serialization failure of pgx", fmt.Errorf("transfer: %w", &pgconn.PgError{Code: "40001"}), resilience.ClassConflict},
	} {
		joined = append(joined, r.Compare(bench.Comparison{Measure: "classify " + c.name, Sides: []bench.Side{{
			Name: ours,
			Op: func(n int) {
				for range n {
					if got := resilience.Classify(c.err).Class; got != c.want {
						panic(fmt.Sprintf("%s is %v", c.name, got))
					}
				}
			},
		}}}, bench.Goal{MaxCPU: 200, MaxAllocs: -1}))
	}
	return errors.Join(joined...)
}
