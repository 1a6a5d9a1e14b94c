package resilience_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/failsafe-go/failsafe-go"
	"github.com/failsafe-go/failsafe-go/retrypolicy"

	"github.com/perfblocks/perfblocks/resilience"
)

func newPipeline(t *testing.T, o resilience.Options) *resilience.Pipeline {
	t.Helper()
	p, err := resilience.New(o)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// failing returns a function that fails n times with err and then gives 42.
func failing(n int, err error) (fn func(context.Context) (int, error), calls *int) {
	calls = new(int)
	return func(context.Context) (int, error) {
		if *calls++; *calls <= n {
			return 0, err
		}
		return 42, nil
	}, calls
}

func TestNewReportsEveryField(t *testing.T) {
	_, err := resilience.New(resilience.Options{
		Timeout: -1, AttemptTimeout: -1, Bulkhead: -1, Hedge: -1,
		Retry:    resilience.RetryOptions{MaxAttempts: -1, Factor: 0.5, Jitter: 9},
		Policies: []failsafe.Policy[any]{nil},
	})
	if !errors.Is(err, resilience.ErrOptions) {
		t.Fatalf("New = %v; want ErrOptions", err)
	}
	for _, f := range []string{"Timeout", "AttemptTimeout", "Bulkhead", "Hedge", "MaxAttempts", "Factor", "Jitter", "Policies[0]"} {
		if !strings.Contains(err.Error(), f) {
			t.Errorf("error %q does not name %s", err, f)
		}
	}
}

func TestDoRetries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPipeline(t, resilience.Options{})
		fn, calls := failing(2, errBoom)
		v, err := resilience.Do(t.Context(), p, fn)
		if v != 42 || err != nil || *calls != 3 {
			t.Errorf("Do = %d, %v after %d calls; want 42, nil, 3", v, err, *calls)
		}
		if s := p.Stats(); s.Calls != 1 || s.Successes != 1 || s.Retries != 2 || s.Recovered != 1 {
			t.Errorf("Stats = %+v", s)
		}
	})
}

// TestDoExits checks on each way out that the cause can still be found, and
// what the caller is told besides.
func TestDoExits(t *testing.T) {
	cause := fmt.Errorf("wrapped: %w", errBoom)
	empty := func(t *testing.T) *resilience.Budget {
		b, err := resilience.NewBudget(resilience.BudgetOptions{MinPerSecond: -1})
		if err != nil {
			t.Fatal(err)
		}
		for ok := true; ok; _, ok = b.Spend(resilience.ClassUnknown) {
		}
		return b
	}
	none := func(t *testing.T) *resilience.Budget { return nil }
	for _, c := range []struct {
		name     string
		retry    resilience.RetryOptions
		budget   func(*testing.T) *resilience.Budget
		deadline time.Duration
		err      error
		attempts int // 0: the bare error is expected
		reason   resilience.StopReason
		also     error
		elapsed  time.Duration // exact when there is no jitter
	}{
		{name: "permanent", budget: none, err: resilience.Permanent(cause)},
		{name: "one attempt", retry: resilience.RetryOptions{MaxAttempts: 1}, budget: none, err: cause},
		{name: "unsafe", retry: resilience.RetryOptions{NotIdempotent: true}, budget: none, err: cause},
		{name: "attempts", retry: resilience.RetryOptions{Jitter: resilience.JitterNone}, budget: none, err: cause,
			attempts: 4, reason: resilience.StopAttempts, elapsed: 700 * time.Millisecond},
		{name: "budget", budget: empty, err: cause, attempts: 1, reason: resilience.StopBudget, also: resilience.ErrBudget},
		{name: "deadline", retry: resilience.RetryOptions{BaseDelay: 10 * time.Second, MaxDelay: 10 * time.Second, Jitter: resilience.JitterNone},
			budget: none, deadline: 300 * time.Millisecond, err: cause, attempts: 1, reason: resilience.StopDeadline},
		{name: "elapsed", retry: resilience.RetryOptions{BaseDelay: time.Second, Jitter: resilience.JitterNone, MaxElapsed: 2 * time.Second},
			budget: none, err: cause, attempts: 2, reason: resilience.StopDeadline, elapsed: time.Second},
		{name: "retry after", budget: none, err: resilience.WithRetryAfter(cause, time.Hour), attempts: 1, reason: resilience.StopRetryAfter},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := newPipeline(t, resilience.Options{Name: "up", Retry: c.retry, Budget: c.budget(t)})
				ctx := t.Context()
				if c.deadline > 0 {
					var cancel context.CancelFunc
					ctx, cancel = context.WithTimeout(ctx, c.deadline)
					defer cancel()
				}
				start := time.Now()
				_, err := resilience.Do(ctx, p, func(context.Context) (int, error) { return 0, c.err })
				if !errors.Is(err, errBoom) {
					t.Errorf("Do = %v; want the cause in it", err)
				}
				if d := time.Since(start); d != c.elapsed {
					t.Errorf("took %v; want %v", d, c.elapsed)
				}
				a, ok := errors.AsType[*resilience.AttemptsError](err)
				if ok != (c.attempts > 0) {
					t.Fatalf("Do = %T; want AttemptsError: %v", err, c.attempts > 0)
				}
				if ok && (a.Attempts != c.attempts || a.Reason != c.reason) {
					t.Errorf("Attempts, Reason = %d, %v; want %d, %v", a.Attempts, a.Reason, c.attempts, c.reason)
				}
				if c.also != nil && !errors.Is(err, c.also) {
					t.Errorf("Do = %v; want it to match %v", err, c.also)
				}
			})
		})
	}
}

func TestDoCancelIsNeutral(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBreaker(t, resilience.BreakerOptions{Consecutive: 1})
		p := newPipeline(t, resilience.Options{Breaker: b})
		why := errors.New("shutting down")
		ctx, cancel := context.WithCancelCause(t.Context())
		_, err := resilience.Do(ctx, p, func(ctx context.Context) (int, error) {
			cancel(why)
			return 0, errBoom
		})
		if !errors.Is(err, context.Canceled) || !errors.Is(err, why) || !errors.Is(err, errBoom) {
			t.Errorf("Do = %v; want Canceled, its cause and the failure", err)
		}
		if s := b.Stats(); s.Results != 0 || s.State != resilience.StateClosed {
			t.Errorf("breaker %+v; want nothing counted", s)
		}
		if s := p.Stats(); s.Canceled != 1 {
			t.Errorf("Canceled = %d; want 1", s.Canceled)
		}
		called := false
		_, err = resilience.Do(ctx, p, func(context.Context) (int, error) { called = true; return 0, nil })
		if called || !errors.Is(err, context.Canceled) {
			t.Errorf("with an ended context: called %v, %v; want no call, Canceled", called, err)
		}
	})
}

func TestDoCancelDuringWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPipeline(t, resilience.Options{Retry: resilience.RetryOptions{BaseDelay: time.Second, Jitter: resilience.JitterNone}})
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(100*time.Millisecond, cancel)
		start := time.Now()
		_, err := resilience.Do(ctx, p, func(context.Context) (int, error) { return 0, errBoom })
		if !errors.Is(err, context.Canceled) || !errors.Is(err, errBoom) || time.Since(start) != 100*time.Millisecond {
			t.Errorf("Do = %v after %v; want Canceled and boom after 100ms", err, time.Since(start))
		}
	})
}

func TestDoTimeouts(t *testing.T) {
	hang := func(ctx context.Context) (int, error) { <-ctx.Done(); return 0, ctx.Err() }
	synctest.Test(t, func(t *testing.T) {
		b := newBreaker(t, resilience.BreakerOptions{Consecutive: 5})
		p := newPipeline(t, resilience.Options{
			Breaker: b, AttemptTimeout: time.Second, Timeout: time.Minute,
			Retry: resilience.RetryOptions{Jitter: resilience.JitterNone},
		})
		start := time.Now()
		_, err := resilience.Do(t.Context(), p, hang)
		if !errors.Is(err, context.DeadlineExceeded) || time.Since(start) != 4700*time.Millisecond {
			t.Errorf("Do = %v after %v; want DeadlineExceeded after 4.7s", err, time.Since(start))
		}
		if s := b.Stats(); s.Failures != 4 {
			t.Errorf("failures = %d; want 4: timeouts count", s.Failures)
		}
		if i := resilience.Classify(err); i.Class != resilience.ClassTimeout || i.Retryable {
			t.Errorf("Classify = %+v; want a timeout that an outer layer does not retry", i)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		p := newPipeline(t, resilience.Options{Timeout: time.Second})
		start := time.Now()
		_, err := resilience.Do(t.Context(), p, hang)
		if !errors.Is(err, resilience.ErrTimeout) || !errors.Is(err, context.DeadlineExceeded) || time.Since(start) != time.Second {
			t.Errorf("Do = %v after %v; want ErrTimeout after 1s", err, time.Since(start))
		}
	})
}

func TestDoBreakerOpens(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBreaker(t, resilience.BreakerOptions{Name: "up", Consecutive: 2, OpenJitter: -1})
		p := newPipeline(t, resilience.Options{Breaker: b, MaxOpenWait: -1, Retry: resilience.RetryOptions{BaseDelay: -1}})
		calls := 0
		fail := func(context.Context) (int, error) { calls++; return 0, errBoom }
		_, err := resilience.Do(t.Context(), p, fail)
		if !errors.Is(err, resilience.ErrOpen) || !errors.Is(err, errBoom) || calls != 2 {
			t.Errorf("Do = %v after %d calls; want ErrOpen and the failure before it, 2 calls", err, calls)
		}
		_, err = resilience.Do(t.Context(), p, fail)
		if e, ok := err.(*resilience.BreakerOpenError); !ok || calls != 2 { //nolint:errorlint // Bare.
			t.Errorf("Do = %T after %d calls; want a bare rejection", err, calls)
		} else if i := resilience.Classify(e); !i.NotSent || i.Class != resilience.ClassRejected || i.RetryAfter != 200*time.Millisecond {
			t.Errorf("Classify = %+v", i)
		}
		if s := p.Stats(); s.Rejected != 2 {
			t.Errorf("Rejected = %d; want 2", s.Rejected)
		}
	})
}

func TestDoRidesOutOpenBreaker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBreaker(t, resilience.BreakerOptions{Consecutive: 1, OpenJitter: -1, SuccessToClose: 1})
		p := newPipeline(t, resilience.Options{Breaker: b})
		call(b, errBoom)
		start := time.Now()
		v, err := resilience.Do(t.Context(), p, func(context.Context) (int, error) { return 7, nil })
		if d := time.Since(start); v != 7 || err != nil || d < 200*time.Millisecond || d > 250*time.Millisecond {
			t.Errorf("Do = %d, %v after %v; want 7 soon after 200ms", v, err, d)
		}
		call(b, errBoom)
		short, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		start = time.Now()
		_, err = resilience.Do(short, p, func(context.Context) (int, error) { return 7, nil })
		if !errors.Is(err, resilience.ErrOpen) || time.Since(start) != 0 {
			t.Errorf("with 50ms left: %v after %v; want ErrOpen at once", err, time.Since(start))
		}
		call(b, errBoom)
		time.Sleep(200 * time.Millisecond)
		if _, err := b.Acquire(); err != nil { // The only probe; it stays under way.
			t.Fatal(err)
		}
		start = time.Now()
		_, err = resilience.Do(t.Context(), p, func(context.Context) (int, error) { return 7, nil })
		if d := time.Since(start); !errors.Is(err, resilience.ErrOpen) || d < 200*time.Millisecond || d > 250*time.Millisecond {
			t.Errorf("with a hung probe: %v after %v; want ErrOpen within MaxOpenWait", err, d)
		}
	})
}

func TestDoPanicReleasesEverything(t *testing.T) {
	for _, o := range []resilience.Options{
		{Bulkhead: 1},
		{Bulkhead: 1, Hedge: time.Hour},
		{Bulkhead: 1, Policies: []failsafe.Policy[any]{retrypolicy.NewBuilder[any]().WithMaxRetries(0).ReturnLastFailure().Build()}},
	} {
		b := newBreaker(t, resilience.BreakerOptions{Consecutive: 5})
		o.Breaker = b
		p := newPipeline(t, o)
		for range 2 {
			func() {
				defer func() {
					if v := recover(); v != "ouch" {
						t.Errorf("recovered %v; want the function's own value", v)
					}
				}()
				_, _ = resilience.Do(t.Context(), p, func(context.Context) (int, error) { panic("ouch") })
			}()
		}
		if s := b.Stats(); s.Failures != 2 {
			t.Errorf("failures = %d; want 2", s.Failures)
		}
		if _, err := resilience.Do(t.Context(), p, func(context.Context) (int, error) { return 0, nil }); err != nil {
			t.Errorf("after panics: %v; want the place in the bulkhead back", err)
		}
		if s := p.Stats(); s.Failures != 2 || s.Successes != 1 {
			t.Errorf("Stats = %+v", s)
		}
	}
}

func TestDoPanicInProbe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBreaker(t, resilience.BreakerOptions{Consecutive: 1, Probes: 1, SuccessToClose: 1, OpenJitter: -1})
		p := newPipeline(t, resilience.Options{Breaker: b})
		call(b, errBoom)
		time.Sleep(200 * time.Millisecond)
		func() {
			defer func() { _ = recover() }()
			_, _ = resilience.Do(t.Context(), p, func(context.Context) (int, error) { panic("ouch") })
		}()
		time.Sleep(400 * time.Millisecond)
		if _, err := resilience.Do(t.Context(), p, func(context.Context) (int, error) { return 0, nil }); err != nil {
			t.Errorf("after a probe panicked: %v; want a new probe", err)
		}
	})
}

func TestDoBulkhead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBreaker(t, resilience.BreakerOptions{})
		p := newPipeline(t, resilience.Options{Bulkhead: 1, BulkheadWait: time.Second, Breaker: b})
		var wg sync.WaitGroup
		hold := make(chan struct{})
		wg.Go(func() {
			_ = resilience.Run(t.Context(), p, func(context.Context) error { <-hold; return nil })
		})
		synctest.Wait()
		start := time.Now()
		err := resilience.Run(t.Context(), p, func(context.Context) error { return nil })
		if !errors.Is(err, resilience.ErrFull) || time.Since(start) != time.Second {
			t.Errorf("Run = %v after %v; want ErrFull after 1s", err, time.Since(start))
		}
		close(hold)
		wg.Wait()
		if s := b.Stats(); s.Failures != 0 || s.Results != 1 {
			t.Errorf("breaker %+v; want the refused call to count for nothing", s)
		}
	})
}

func TestDoHedge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPipeline(t, resilience.Options{Hedge: 100 * time.Millisecond})
		var calls atomic.Int32
		start := time.Now()
		v, err := resilience.Do(t.Context(), p, func(ctx context.Context) (string, error) {
			if calls.Add(1) == 1 {
				<-ctx.Done() // The first is slow until the second has won.
				return "", ctx.Err()
			}
			return "second", nil
		})
		if v != "second" || err != nil || time.Since(start) != 100*time.Millisecond {
			t.Errorf("Do = %q, %v after %v; want the hedge's answer after 100ms", v, err, time.Since(start))
		}
		calls.Store(0)
		_, err = resilience.Do(t.Context(), p.NonIdempotent(), func(context.Context) (string, error) {
			calls.Add(1)
			time.Sleep(time.Second)
			return "", nil
		})
		if err != nil || calls.Load() != 1 {
			t.Errorf("not idempotent: %v, called %d times; want no hedge", err, calls.Load())
		}
	})
}

func TestDoPolicies(t *testing.T) {
	twice := retrypolicy.NewBuilder[any]().WithMaxRetries(1).ReturnLastFailure().Build()
	p := newPipeline(t, resilience.Options{Policies: []failsafe.Policy[any]{twice}, Retry: resilience.RetryOptions{MaxAttempts: 1}})
	fn, calls := failing(1, errBoom)
	if v, err := resilience.Do(t.Context(), p, fn); v != 42 || err != nil || *calls != 2 {
		t.Errorf("Do = %d, %v after %d calls; want 42 after 2", v, err, *calls)
	}
	if v, err := resilience.Do(t.Context(), p, func(context.Context) (error, error) { return nil, nil }); v != nil || err != nil { //nolint:revive // A nil interface as value.
		t.Errorf("a nil interface came back as %v, %v", v, err)
	}
}

func TestBreakerAndBudgetAsPolicies(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBreaker(t, resilience.BreakerOptions{Consecutive: 3})
		budget, err := resilience.NewBudget(resilience.BudgetOptions{Capacity: 10, RetryCost: 5, MinPerSecond: -1})
		if err != nil {
			t.Fatal(err)
		}
		retry := retrypolicy.NewBuilder[int]().WithMaxRetries(10).ReturnLastFailure().AbortOnErrors(resilience.ErrBudget).Build()
		calls := 0
		_, err = failsafe.With(retry, resilience.BudgetPolicy[int](budget), resilience.BreakerPolicy[int](b)).
			Get(func() (int, error) { calls++; return 0, errBoom })
		if !errors.Is(err, resilience.ErrBudget) || !errors.Is(err, errBoom) || calls != 3 {
			t.Errorf("Get = %v after %d calls; want ErrBudget with its cause after 3", err, calls)
		}
		if s := b.State(); s != resilience.StateOpen {
			t.Errorf("State = %v; want open", s)
		}
		if _, err := failsafe.With(resilience.BreakerPolicy[int](b)).Get(func() (int, error) { return 1, nil }); !errors.Is(err, resilience.ErrOpen) {
			t.Errorf("Get = %v; want ErrOpen", err)
		}
	})
}

func TestDoOr(t *testing.T) {
	p := newPipeline(t, resilience.Options{Retry: resilience.RetryOptions{MaxAttempts: 1}})
	fail := func(context.Context) (string, error) { return "", errBoom }
	v, err := resilience.DoOr(t.Context(), p, fail, func(_ context.Context, err error) (string, error) {
		return "cached after " + err.Error(), nil
	})
	if v != "cached after boom" || err != nil {
		t.Errorf("DoOr = %q, %v", v, err)
	}
	worse := errors.New("cache empty")
	_, err = resilience.DoOr(t.Context(), p, fail, func(context.Context, error) (string, error) { return "", worse })
	if !errors.Is(err, errBoom) || !errors.Is(err, worse) {
		t.Errorf("DoOr = %v; want both failures", err)
	}
	if s := p.Stats(); s.Fallbacks != 1 || s.Failures != 2 {
		t.Errorf("Stats = %+v", s)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = resilience.DoOr(ctx, p, fail, func(context.Context, error) (string, error) { return "late", nil })
	if !errors.Is(err, context.Canceled) {
		t.Errorf("DoOr after a cancel = %v; want no fallback", err)
	}
}

func TestNonIdempotent(t *testing.T) {
	p := newPipeline(t, resilience.Options{Retry: resilience.RetryOptions{BaseDelay: -1}})
	once := p.NonIdempotent()
	fn, calls := failing(1, errBoom)
	if _, err := resilience.Do(t.Context(), once, fn); !errors.Is(err, errBoom) || *calls != 1 {
		t.Errorf("sent: %v after %d calls; want one call", err, *calls)
	}
	fn, calls = failing(1, resilience.ErrFull)
	if v, err := resilience.Do(t.Context(), once, fn); v != 42 || *calls != 2 {
		t.Errorf("not sent: %v after %d calls; want a retry", err, *calls)
	}
	fn, _ = failing(1, errBoom)
	if v, err := resilience.Do(t.Context(), once.Idempotent(), fn); v != 42 {
		t.Errorf("idempotent view: %v; want a retry", err)
	}
	if s := p.Stats(); s.Calls != 3 {
		t.Errorf("Calls = %d; want 3: views share counters", s.Calls)
	}
}

func TestDoAllocs(t *testing.T) {
	p := newPipeline(t, resilience.Options{
		Breaker: newBreaker(t, resilience.BreakerOptions{}), Bulkhead: 4, AttemptTimeout: time.Hour, Timeout: time.Hour,
	})
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute) // Nearer than ours.
	defer cancel()
	ok := func(context.Context) (int, error) { return 1, nil }
	if n := testing.AllocsPerRun(200, func() { _, _ = resilience.Do(ctx, p, ok) }); n != 0 {
		t.Errorf("Do allocates %v times on success; want 0", n)
	}
	done := func(context.Context) error { return nil }
	if n := testing.AllocsPerRun(200, func() { _ = resilience.Run(ctx, p, done) }); n != 0 {
		t.Errorf("Run allocates %v times on success; want 0", n)
	}
	state := 0
	captures := func() {
		_, _ = resilience.Do(ctx, p, func(context.Context) (int, error) { state++; return state, nil })
	}
	if n := testing.AllocsPerRun(200, captures); n > 1 {
		t.Errorf("Do with a closure allocates %v times; want at most 1, the closure", n)
	}
	fail := func(context.Context) (int, error) { return 0, errBoom }
	q := newPipeline(t, resilience.Options{DisableBudget: true, Retry: resilience.RetryOptions{MaxAttempts: 4, BaseDelay: -1}})
	if n := testing.AllocsPerRun(200, func() { _, _ = resilience.Do(ctx, q, fail) }); n > 2 {
		t.Errorf("four failing attempts allocate %v times; want at most 2", n)
	}
	timed := newPipeline(t, resilience.Options{AttemptTimeout: time.Minute})
	bg := context.Background()
	if n := testing.AllocsPerRun(200, func() { _, _ = resilience.Do(bg, timed, ok) }); n > 4 {
		t.Errorf("Do with a timeout allocates %v times; want at most 4", n)
	}
}

func TestPipelineMetrics(t *testing.T) {
	p := newPipeline(t, resilience.Options{Name: "up", Breaker: newBreaker(t, resilience.BreakerOptions{Name: "up"})})
	_ = resilience.Run(t.Context(), p, func(context.Context) error { return nil })
	before := p.Stats()
	_ = resilience.Run(t.Context(), p, func(context.Context) error { return nil })
	if d := p.Stats().Sub(before); d.Calls != 1 || d.SuccessRatio() != 1 {
		t.Errorf("Sub = %+v", d)
	}
	got := maps.Collect(p.Metrics())
	for name, want := range map[string]float64{
		`resilience_calls_total{pipeline="up"}`: 2, `resilience_budget_tokens{budget="up"}`: 100,
		`resilience_breaker_state{breaker="up",state="closed"}`: 1,
	} {
		if got[name] != want {
			t.Errorf("%s = %v; want %v", name, got[name], want)
		}
	}
	for n := range 20 { // Stopping early must be possible anywhere.
		i := 0
		for range p.Metrics() {
			if i++; i > n {
				break
			}
		}
	}
}
