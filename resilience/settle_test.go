package resilience_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/failsafe-go/failsafe-go"
	"github.com/failsafe-go/failsafe-go/adaptivelimiter"
	"github.com/failsafe-go/failsafe-go/adaptivethrottler"
	"github.com/failsafe-go/failsafe-go/budget"
	"github.com/failsafe-go/failsafe-go/circuitbreaker"
	"github.com/failsafe-go/failsafe-go/hedgepolicy"
	"github.com/failsafe-go/failsafe-go/ratelimiter"
	"github.com/failsafe-go/failsafe-go/timeout"

	"github.com/perfblocks/perfblocks/resilience"
)

// hang waits for the end of the execution, as a driver does.
func hang(e failsafe.Execution[int]) (int, error) {
	<-e.Context().Done()
	return 0, e.Context().Err()
}

func TestBreakerPolicySeesTimeouts(t *testing.T) {
	for name, with := range map[string]func(*resilience.Breaker) failsafe.Executor[int]{
		"outside": func(b *resilience.Breaker) failsafe.Executor[int] {
			return failsafe.With(timeout.New[int](time.Second), resilience.BreakerPolicy[int](b))
		},
		"inside": func(b *resilience.Breaker) failsafe.Executor[int] {
			return failsafe.With(resilience.BreakerPolicy[int](b), timeout.New[int](time.Second))
		},
	} {
		synctest.Test(t, func(t *testing.T) {
			b := newBreaker(t, resilience.BreakerOptions{Consecutive: 3})
			for range 3 {
				if _, err := with(b).GetWithExecution(hang); !errors.Is(err, timeout.ErrExceeded) {
					t.Errorf("%s: Get = %v", name, err)
				}
			}
			if s := b.State(); s != resilience.StateOpen {
				t.Errorf("with the timeout %s: State = %v after three timeouts; want open", name, s)
			}
		})
	}
}

func TestBreakerPolicyCancelIsNeutral(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBreaker(t, resilience.BreakerOptions{Consecutive: 1})
		ctx, cancel := context.WithCancel(t.Context())
		_, err := failsafe.With(resilience.BreakerPolicy[int](b)).WithContext(ctx).GetWithExecution(
			func(failsafe.Execution[int]) (int, error) {
				cancel()
				return 0, errors.New("gave up") // As many a driver says.
			})
		if s := b.Stats(); err == nil || s.State != resilience.StateClosed || s.Results != 0 {
			t.Errorf("after a cancel: error %v, %+v; want nothing counted", err, s)
		}
		hedged := failsafe.With(hedgepolicy.NewWithDelay[int](time.Second), resilience.BreakerPolicy[int](b))
		v, err := hedged.GetWithExecution(func(e failsafe.Execution[int]) (int, error) {
			if e.IsHedge() {
				return 7, nil
			}
			<-e.Context().Done()
			return 0, errors.New("gave up")
		})
		synctest.Wait()
		if s := b.Stats(); v != 7 || err != nil || s.Failures != 0 || s.State != resilience.StateClosed {
			t.Errorf("after a hedge: %d, %v, %+v; want no failure of the one that lost", v, err, s)
		}
	})
}

func TestPoliciesOfOursOpenNoBreaker(t *testing.T) {
	for _, c := range []struct {
		err    error
		class  resilience.Class
		retry  bool
		counts bool
	}{
		{ratelimiter.ErrExceeded, resilience.ClassRejected, true, false},
		{adaptivelimiter.ErrExceeded, resilience.ClassRejected, true, false},
		{adaptivethrottler.ErrExceeded, resilience.ClassRejected, true, false},
		{circuitbreaker.ErrOpen, resilience.ClassRejected, false, false},
		{budget.ErrExceeded, resilience.ClassRejected, false, false},
		{failsafe.ErrExecutionCanceled, resilience.ClassCanceled, false, false},
		{timeout.ErrExceeded, resilience.ClassTimeout, true, true},
	} {
		if i := resilience.Classify(c.err); i.Class != c.class || i.Retryable != c.retry || i.Counts != c.counts {
			t.Errorf("Classify(%v) = %+v; want %v", c.err, i, c.class)
		}
	}
	if i := resilience.Classify(errors.New(adaptivelimiter.ErrExceeded.Error())); i.Class != resilience.ClassUnknown {
		t.Errorf("the text alone is %v; want unknown", i.Class)
	}
	synctest.Test(t, func(t *testing.T) {
		b := newBreaker(t, resilience.BreakerOptions{Consecutive: 3})
		shut := circuitbreaker.NewWithDefaults[any]()
		shut.Open()
		p := newPipeline(t, resilience.Options{Breaker: b, Policies: []failsafe.Policy[any]{shut}})
		for range 5 {
			_, err := resilience.Do(t.Context(), p, func(context.Context) (int, error) { return 1, nil })
			if !errors.Is(err, circuitbreaker.ErrOpen) {
				t.Errorf("Do = %v", err)
			}
		}
		if s := b.Stats(); s.State != resilience.StateClosed || s.Results != 0 {
			t.Errorf("after rejections of another breaker: %+v; want nothing counted", s)
		}
	})
}

// TestDoFullBulkheadFreesTheProbe has a probe that finds no place in the bulkhead.
func TestDoFullBulkheadFreesTheProbe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBreaker(t, resilience.BreakerOptions{Consecutive: 1})
		p := newPipeline(t, resilience.Options{Breaker: b, Bulkhead: 1, MaxOpenWait: -1})
		release, done := make(chan struct{}), make(chan error)
		go func() {
			done <- resilience.Run(t.Context(), p, func(context.Context) error { <-release; return nil })
		}()
		synctest.Wait()
		permit, err := b.Acquire()
		if err != nil {
			t.Fatal(err)
		}
		permit.Failure(errBoom)
		time.Sleep(time.Second)
		if err := resilience.Run(t.Context(), p, func(context.Context) error { return nil }); !errors.Is(err, resilience.ErrFull) {
			t.Errorf("Run = %v; want ErrFull", err)
		}
		if _, err := b.Acquire(); err != nil {
			t.Errorf("Acquire = %v; want the probe's place free again", err)
		}
		close(release)
		if err := <-done; err != nil {
			t.Errorf("the call that held the place: %v", err)
		}
	})
}

// TestDoOpenWaitIsOneForAllAttempts has a breaker that opens at each attempt.
func TestDoOpenWaitIsOneForAllAttempts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBreaker(t, resilience.BreakerOptions{
			Consecutive: 1, OpenFor: 100 * time.Millisecond, MaxOpenFor: 100 * time.Millisecond, OpenJitter: -1,
		})
		p := newPipeline(t, resilience.Options{
			Breaker: b, MaxOpenWait: 300 * time.Millisecond, Retry: resilience.RetryOptions{MaxAttempts: 20, BaseDelay: -1},
		})
		start := time.Now()
		err := resilience.Run(t.Context(), p, func(context.Context) error { return errBoom })
		if took := time.Since(start); !errors.Is(err, resilience.ErrOpen) || took > 300*time.Millisecond || took < 200*time.Millisecond {
			t.Errorf("Run = %v after %v; want ErrOpen within MaxOpenWait", err, took)
		}
	})
}

// TestDoCountsWhoGaveUp tells a caller that canceled from a timeout of our own.
func TestDoCountsWhoGaveUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBreaker(t, resilience.BreakerOptions{Consecutive: 1, OpenFor: time.Hour})
		p := newPipeline(t, resilience.Options{Timeout: time.Second, Breaker: b})
		wait := func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }
		if err := resilience.Run(t.Context(), p, wait); !errors.Is(err, resilience.ErrTimeout) || p.Stats().Canceled != 0 {
			t.Errorf("Run = %v, %+v; want a timeout and nobody who canceled", err, p.Stats())
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel() // The breaker is open now, but that is not why this call fails.
		if err := resilience.Run(ctx, p, wait); !errors.Is(err, context.Canceled) || p.Stats().Canceled != 1 || p.Stats().Rejected != 0 {
			t.Errorf("Run = %v, %+v; want one that canceled and none rejected", err, p.Stats())
		}
	})
}
