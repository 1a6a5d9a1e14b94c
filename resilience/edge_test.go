package resilience_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math"
	"net"
	"net/url"
	"os"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"

	"github.com/perfblocks/perfblocks/resilience"
)

// TestBreakerOpenPeriodBounds checks the length of open periods at the ends of
// what the options allow.
func TestBreakerOpenPeriodBounds(t *testing.T) {
	forever := time.Duration(math.MaxInt64)
	for _, c := range []struct {
		name        string
		o           resilience.BreakerOptions
		least, most time.Duration // of any of the first ten periods
	}{
		{"default", resilience.BreakerOptions{}, 160 * time.Millisecond, 500 * time.Millisecond},
		{"only MaxOpenFor", resilience.BreakerOptions{MaxOpenFor: 50 * time.Millisecond}, 30 * time.Millisecond, 50 * time.Millisecond},
		{"only OpenFor", resilience.BreakerOptions{OpenFor: time.Minute}, 48 * time.Second, 72 * time.Second},
		{"equal", resilience.BreakerOptions{OpenFor: time.Minute, MaxOpenFor: time.Minute}, 40 * time.Second, time.Minute},
		{"for ever", resilience.BreakerOptions{OpenFor: forever}, forever / 2, forever},
		{"wide", resilience.BreakerOptions{OpenJitter: 0.99, MaxOpenFor: time.Second}, 1, time.Second},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.o.Consecutive, c.o.Probes = 1, 1
			var got []time.Duration
			c.o.Hooks.StateChanged = func(s resilience.StateChange) {
				if s.To == resilience.StateOpen {
					got = append(got, s.OpenFor)
				}
			}
			synctest.Test(t, func(t *testing.T) {
				b := newBreaker(t, c.o)
				for range 10 {
					p, err := b.Acquire()
					if err != nil {
						t.Fatalf("Acquire = %v in %v", err, b.State())
					}
					p.Failure(errBoom)
					if b.State() != resilience.StateOpen {
						t.Fatalf("State = %v after a failure; want open", b.State())
					}
					if c.o.OpenFor == forever {
						break
					}
					time.Sleep(got[len(got)-1])
				}
			})
			slices.Sort(got)
			if n := len(got); n > 1 && got[n-1] == got[n-2] {
				t.Errorf("two periods of %v; want them spread", got[n-1])
			}
			for _, d := range got {
				if d < c.least || d > c.most {
					t.Errorf("open for %v; want %v to %v", d, c.least, c.most)
				}
			}
		})
	}
}

// TestBreakerHalfOpenHint checks what a rejection beside the probes tells.
func TestBreakerHalfOpenHint(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBreaker(t, resilience.BreakerOptions{Consecutive: 1, Probes: 1, MaxOpenFor: 50 * time.Millisecond})
		p, _ := b.Acquire()
		p.Failure(errBoom)
		time.Sleep(time.Second)
		p, _ = b.Acquire()
		defer p.Success()
		_, err := b.Acquire()
		e, ok := errors.AsType[*resilience.BreakerOpenError](err)
		if !ok || e.State != resilience.StateHalfOpen || e.RetryAfter() != 50*time.Millisecond {
			t.Errorf("Acquire beside the probe = %v; want a half-open rejection with 50ms", err)
		}
	})
}

// TestBreakerLongProbeTimeout checks that the longest lease does not wrap round.
func TestBreakerLongProbeTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBreaker(t, resilience.BreakerOptions{Consecutive: 1, SuccessToClose: 1, ProbeTimeout: math.MaxInt64})
		p, _ := b.Acquire()
		p.Failure(errBoom)
		time.Sleep(time.Second)
		p, err := b.Acquire()
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Hour)
		p.Success()
		if s := b.State(); s != resilience.StateClosed {
			t.Errorf("State = %v after the probe; want closed", s)
		}
	})
}

// TestBreakerManyProbes checks that no room is taken for probes in advance.
func TestBreakerManyProbes(t *testing.T) {
	o := resilience.BreakerOptions{Probes: math.MaxInt32}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	_ = newBreaker(t, o)
	runtime.ReadMemStats(&after)
	if n := after.TotalAlloc - before.TotalAlloc; n > 1<<20 {
		t.Errorf("NewBreaker took %d bytes", n)
	}
}

// TestBreakerHookPanicInAcquire checks that a probe whose admission a hook spoilt
// does not hold its place.
func TestBreakerHookPanicInAcquire(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBreaker(t, resilience.BreakerOptions{
			Consecutive: 1, Probes: 1, SuccessToClose: 1,
			Hooks: resilience.BreakerHooks{StateChanged: func(c resilience.StateChange) {
				if c.To == resilience.StateHalfOpen {
					panic("hook")
				}
			}},
		})
		p, _ := b.Acquire()
		p.Failure(errBoom)
		time.Sleep(time.Second)
		func() {
			defer func() {
				if recover() == nil {
					t.Error("the hook's panic was lost")
				}
			}()
			_, _ = b.Acquire()
		}()
		p, err := b.Acquire()
		if err != nil {
			t.Fatalf("Acquire after the panic = %v; want the probe's place", err)
		}
		p.Success()
		if s := b.State(); s != resilience.StateClosed {
			t.Errorf("State = %v; want closed", s)
		}
	})
}

// TestBudgetExtremes checks that no credit, however large, harms the budget.
func TestBudgetExtremes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, capacity := range []int{100, math.MaxInt} {
			b, err := resilience.NewBudget(resilience.BudgetOptions{Capacity: capacity, Earn: math.MaxInt, MinPerSecond: 1e6})
			if err != nil {
				t.Fatal(err)
			}
			for range 3 {
				if _, ok := b.Spend(resilience.ClassTimeout); !ok {
					t.Fatalf("Spend of a budget of %d refused", capacity)
				}
				b.Refund(math.MaxInt)
				b.Refund(math.MinInt)
				b.Earn()
				if s := b.Stats(); s.Tokens != capacity {
					t.Fatalf("Tokens = %d; want %d", s.Tokens, capacity)
				}
				time.Sleep(1000 * time.Hour)
			}
		}
	})
}

// TestBudgetStatsShowTheTrickle checks that a scrape sees what time has earned.
func TestBudgetStatsShowTheTrickle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, err := resilience.NewBudget(resilience.BudgetOptions{MinPerSecond: 1})
		if err != nil {
			t.Fatal(err)
		}
		for ok := true; ok; _, ok = b.Spend(resilience.ClassUnknown) {
		}
		time.Sleep(2 * time.Second)
		if s := b.Stats(); s.Tokens != 10 {
			t.Errorf("Tokens after 2 s = %d; want 10", s.Tokens)
		}
	})
}

// TestRetryLongestDelays checks that the longest delays do not wrap round into
// immediate retries.
func TestRetryLongestDelays(t *testing.T) {
	forever := time.Duration(math.MaxInt64)
	for name, c := range map[string]struct {
		o   resilience.RetryOptions
		err error
	}{
		"asked":   {resilience.RetryOptions{MaxRetryAfter: forever}, resilience.WithRetryAfter(errBoom, forever)},
		"elapsed": {resilience.RetryOptions{BaseDelay: forever, Jitter: resilience.JitterNone, MaxElapsed: forever}, errBoom},
		"base":    {resilience.RetryOptions{BaseDelay: forever, Jitter: resilience.JitterEqual}, errBoom},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := newPipeline(t, resilience.Options{Retry: c.o})
				ctx, cancel := context.WithCancel(t.Context())
				time.AfterFunc(time.Hour, cancel)
				calls, start := 0, time.Now()
				err := resilience.Run(ctx, p, func(context.Context) error {
					calls++
					time.Sleep(time.Millisecond)
					return c.err
				})
				if d := time.Since(start); name == "elapsed" && d != time.Millisecond {
					t.Errorf("Run took %v; want no wait past MaxElapsed", d)
				}
				if calls != 1 || !errors.Is(err, errBoom) {
					t.Errorf("Run = %v after %d calls; want 1 call in an hour", err, calls)
				}
			})
		})
	}
}

// TestTimeoutMatches checks that the error of a call stopped by a timeout of the
// options matches ErrTimeout, whichever it was and whatever fn returned for it.
func TestTimeoutMatches(t *testing.T) {
	for name, o := range map[string]resilience.Options{
		"attempt": {AttemptTimeout: time.Second, Retry: resilience.RetryOptions{MaxAttempts: 1}},
		"retried": {AttemptTimeout: time.Second},
		"total":   {Timeout: time.Second},
		"both":    {Timeout: 5 * time.Second, AttemptTimeout: time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				err := resilience.Run(t.Context(), newPipeline(t, o), func(ctx context.Context) error {
					<-ctx.Done()
					return fmt.Errorf("query: %w", ctx.Err())
				})
				if !errors.Is(err, resilience.ErrTimeout) || !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("Run = %v; want it to match ErrTimeout and DeadlineExceeded", err)
				}
				if c := resilience.Classify(err).Class; c != resilience.ClassTimeout {
					t.Errorf("class = %v; want timeout", c)
				}
			})
		})
	}
	synctest.Test(t, func(t *testing.T) { // Its own answer, given late, stands; so does a timeout of its own.
		p := newPipeline(t, resilience.Options{AttemptTimeout: time.Second})
		err := resilience.Run(t.Context(), p, func(ctx context.Context) error {
			<-ctx.Done()
			return sql.ErrNoRows
		})
		if errors.Is(err, resilience.ErrTimeout) || !errors.Is(err, sql.ErrNoRows) {
			t.Errorf("Run = %v; want sql.ErrNoRows alone", err)
		}
		err = resilience.Run(t.Context(), p, func(context.Context) error { return os.ErrDeadlineExceeded })
		if errors.Is(err, resilience.ErrTimeout) || !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("Run = %v; want os.ErrDeadlineExceeded alone", err)
		}
	})
}

type panickingTimeout struct{}

func (panickingTimeout) Error() string { return "evil" }
func (panickingTimeout) Timeout() bool { panic("timeout") }

type panickingUnwrap struct{}

func (panickingUnwrap) Error() string { return "evil" }
func (panickingUnwrap) Unwrap() error { panic("unwrap") }

// TestClassifySurvives gives errors that break their contract.
func TestClassifySurvives(t *testing.T) {
	g, err := resilience.NewGuard(resilience.GuardOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer g.Close()
	for name, err := range map[string]error{
		"url timeout": &url.Error{Op: "Get", Err: panickingTimeout{}},
		"op timeout":  &net.OpError{Op: "read", Err: panickingTimeout{}},
		"unwrap":      fmt.Errorf("x: %w", panickingUnwrap{}),
		"nil op":      (*net.OpError)(nil),
		"nil url":     (*url.Error)(nil),
		"nil dns":     fmt.Errorf("x: %w", (*net.DNSError)(nil)),
		"nil open":    (*resilience.BreakerOpenError)(nil),
		"nil tries":   (*resilience.AttemptsError)(nil),
		"joined nil":  errors.Join(errBoom, (*net.OpError)(nil)),
	} {
		t.Run(name, func(t *testing.T) {
			_ = resilience.Classify(err)
			if name != "nil dns" && name != "nil open" && name != "nil tries" { // Their Error panics by itself.
				_ = g.Observe(err)
			}
		})
	}
}

type codeOnly string

func (c codeOnly) Error() string    { return "sql: code " + string(c) }
func (c codeOnly) SQLState() string { return string(c) }

// TestClassifySQLStateAnswers checks that what a healthy server answers about one
// statement speaks neither against the server nor for repeating the statement.
// Classes are those of PostgreSQL 17, appendix A.
func TestClassifySQLStateAnswers(t *testing.T) {
	for code, want := range map[string]resilience.Class{
		"P0001": resilience.ClassInvalid, "P0002": resilience.ClassNotFound, "P0004": resilience.ClassInvalid,
		"21000": resilience.ClassInvalid, "24000": resilience.ClassInvalid, "2F005": resilience.ClassInvalid,
		"38001": resilience.ClassInvalid, "39004": resilience.ClassInvalid, "3B001": resilience.ClassInvalid,
		"55000": resilience.ClassInvalid, "55006": resilience.ClassConflict, "0B000": resilience.ClassInvalid,
		"HV00N": resilience.ClassUnavailable, "HV000": resilience.ClassInternal,
	} {
		i := resilience.Classify(fmt.Errorf("exec: %w", codeOnly(code)))
		if i.Class != want || i.Code != code {
			t.Errorf("Classify(%s) = %v %q; want %v", code, i.Class, i.Code, want)
		}
		healthy := want == resilience.ClassInvalid || want == resilience.ClassNotFound
		if healthy && (i.Counts || i.Retryable) {
			t.Errorf("Classify(%s) = %+v; want it neither to count nor to be repeated", code, i)
		}
	}
	// A driver's error without a code says nothing; what it wraps does.
	if i := resilience.Classify(errors.Join(codeOnly(""), sql.ErrNoRows)); i.Class != resilience.ClassNotFound {
		t.Errorf("Classify(no code and no rows) = %v; want not_found", i.Class)
	}
}

// circular is an error that wraps itself. Package errors never comes back from it.
type circular struct{}

func (*circular) Error() string   { return "circular" }
func (c *circular) Unwrap() error { return c }

func TestCircularErrors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &circular{}
		if text, ok := resilience.PublicText(resilience.Public(c, "try later")); text != "try later" || !ok {
			t.Errorf("PublicText = %q, %v", text, ok)
		}
		if text, ok := resilience.PublicText(c); ok {
			t.Errorf("PublicText = %q of an error without one", text)
		}
		if t2, ok := resilience.Permanent(c).(interface{ Timeout() bool }); !ok || t2.Timeout() {
			t.Error("a circular error is a timeout")
		}
		p := newPipeline(t, resilience.Options{AttemptTimeout: time.Second, Timeout: 3 * time.Second})
		err := resilience.Run(t.Context(), p, func(ctx context.Context) error { <-ctx.Done(); return c })
		if a, ok := err.(*resilience.AttemptsError); !ok || !a.Timeout() { //nolint:errorlint // errors.As would hang.
			t.Errorf("Run = %T; want a timeout", err)
		}
	})
}

func TestMetricsAreUTF8(t *testing.T) {
	r := newRegistry(t, resilience.RegistryOptions{})
	r.Breaker("a\xffb") // As a Host header may have it.
	r.Breaker("a\xfeb")
	r.Breaker("\"\\\n\r\x00é")
	seen := map[string]bool{}
	for name := range r.Metrics() {
		if !utf8.ValidString(name) || strings.Contains(name, "\n") {
			t.Errorf("%q would spoil a page of metrics", name)
		}
		if seen[name] {
			t.Errorf("%q comes twice", name)
		}
		seen[name] = true
	}
	if len(seen) != 2+3*12 {
		t.Errorf("%d figures; want those of three breakers", len(seen))
	}
}

func TestBudgetSmallCapacity(t *testing.T) {
	for _, capacity := range []int{1, 3, 7, 10} {
		b, err := resilience.NewBudget(resilience.BudgetOptions{Capacity: capacity, MinPerSecond: -1})
		if err != nil {
			t.Errorf("Capacity %d with the other defaults: %v", capacity, err)
			continue
		}
		if cost, ok := b.Spend(resilience.ClassTimeout); !ok || cost != capacity {
			t.Errorf("Capacity %d: Spend = %d, %v; want all of it", capacity, cost, ok)
		}
		if _, ok := b.Spend(resilience.ClassUnknown); ok {
			t.Errorf("Capacity %d: a second retry was allowed", capacity)
		}
	}
	_, err := resilience.NewBudget(resilience.BudgetOptions{Capacity: -1})
	if err == nil || strings.Contains(err.Error(), "RetryCost") {
		t.Errorf("Capacity -1 = %v; want that field and no other", err)
	}
}

func TestClassifyHugeJoin(t *testing.T) {
	refused := &net.OpError{Op: "dial", Net: "tcp", Err: syscall.ECONNREFUSED}
	many := slices.Repeat([]error{refused}, 20)
	if i := resilience.Classify(errors.Join(many...)); !i.NotSent || !i.Retryable {
		t.Errorf("Classify of 20 refusals = %+v; want not sent", i)
	}
	many = slices.Repeat([]error{refused}, 1000)
	many = append(many, syscall.ECONNRESET)
	i := resilience.Classify(errors.Join(many...))
	if i.Class != resilience.ClassUnavailable || i.NotSent || i.Retryable {
		t.Errorf("Classify of a join beyond the bound = %+v; want no promise for what was not seen", i)
	}
}

// TestBreakerOpenForEver has an open period whose end is beyond the end of time.
func TestBreakerOpenForEver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBreaker(t, resilience.BreakerOptions{Consecutive: 1, OpenFor: math.MaxInt64, OpenJitter: -1})
		time.Sleep(time.Hour)
		p, err := b.Acquire()
		if err != nil {
			t.Fatal(err)
		}
		p.Failure(errBoom)
		if s := b.State(); s != resilience.StateOpen {
			t.Errorf("State = %v; want open", s)
		}
	})
}
