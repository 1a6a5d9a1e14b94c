package resilience

import (
	"context"
	"iter"
	"log/slog"
	"slices"
	"sync/atomic"
	"time"

	"github.com/failsafe-go/failsafe-go"
	"github.com/failsafe-go/failsafe-go/bulkhead"
	"github.com/failsafe-go/failsafe-go/hedgepolicy"
)

// Options configures a [Pipeline]. The zero value makes up to four attempts
// with full jitter under its own budget; it has no breaker and no timeout. New
// keeps no reference to the slice.
type Options struct {
	// Name is the upstream's name, for errors, events and metrics. Default "pipeline".
	Name string
	// Retry says when the call is repeated.
	Retry RetryOptions
	// Timeout bounds the whole call, with all attempts and waits. 0: none.
	Timeout time.Duration
	// AttemptTimeout bounds each attempt, by the context given to the function.
	// 0: none.
	AttemptTimeout time.Duration
	// Breaker guards each attempt; it may be shared between pipelines. Nil: none.
	Breaker *Breaker
	// MaxOpenWait is how long a call waits at most, in all its attempts together,
	// for an open breaker to let it through, if its deadline allows; it does not wait
	// when that is certain to take longer. Those that wait go on at random moments
	// once the breaker closes. Default 250 ms; negative: an open breaker rejects at
	// once.
	MaxOpenWait time.Duration
	// Budget bounds the retries and may be shared. Nil: a budget of its own with
	// default options.
	Budget *Budget
	// DisableBudget lets retries go unbounded when Budget is nil.
	DisableBudget bool
	// Bulkhead is how many attempts may run at once. 0: no bound.
	Bulkhead int
	// BulkheadWait is how long an attempt waits for a place in the bulkhead.
	// 0: not at all.
	BulkheadWait time.Duration
	// Hedge starts a second attempt beside one that takes longer than this, and
	// takes the first answer. The function then runs on other goroutines, twice at
	// once, and its context ends when it returns. 0: never. Calls that are not
	// idempotent are not hedged.
	Hedge time.Duration
	// Policies are further failsafe-go policies, outermost first, run inside the
	// attempt timeout and the hedge. A policy sees each result as an any.
	Policies []failsafe.Policy[any]
	// Classifier decides what an error is. Default: [Classify].
	Classifier *Classifier
	// Logger receives one record for each call that failed for good: operation,
	// failure (class, code, source), type of the innermost error, fingerprint
	// (see [Fingerprint]), attempts, reason and breaker state, but no error's text, which
	// may hold secrets. What speaks against the other side or this one is logged at
	// level Error, answers such as not found at Warn, a caller that gave up at Debug.
	// Give it the handler of a [Guard] to withstand floods. Nil: silent; the caller has
	// the error.
	Logger *slog.Logger
	// Hooks observes the pipeline.
	Hooks Hooks
	// Disabled makes every call go straight to the function, once.
	Disabled bool
}

// Hooks is a set of optional callbacks, called on the caller's goroutine under no
// lock. Fields may be added in any release. On success nothing is called.
type Hooks struct {
	// Retry is called before each wait for a further attempt.
	Retry func(RetryEvent)
	// Failed is called once for each call that fails for good.
	Failed func(FailedEvent)
}

// RetryEvent describes a retry about to be made.
type RetryEvent struct {
	// Name is the pipeline's name.
	Name string
	// Attempt is the number of the attempt that failed, from 1.
	Attempt int
	// Delay is the wait before the next attempt.
	Delay time.Duration
	// Info describes the failure of that attempt.
	Info Info
	// Err is that failure, as the function returned it; with [ErrTimeout] if the
	// attempt's timeout was behind it.
	Err error
}

// FailedEvent describes a call that failed for good.
type FailedEvent struct {
	// Name is the pipeline's name.
	Name string
	// Attempts is how many attempts were made; 0 when none was let through.
	Attempts int
	// Reason says why there was no further attempt.
	Reason StopReason
	// Info describes the last failure.
	Info Info
	// Err is what the caller receives.
	Err error
}

// Stats is a snapshot of a pipeline's counters since New. It is a plain value.
type Stats struct {
	// Calls ended, Successes of them without an error, Failures with one. Calls
	// under way are in none.
	Calls, Successes, Failures uint64
	// Retries made; Recovered counts successes that needed one.
	Retries, Recovered uint64
	// Rejected counts failures by an open breaker or a full bulkhead,
	// BudgetStops and DeadlineStops retries given up for those reasons, and
	// Canceled the calls whose caller gave up.
	Rejected, BudgetStops, DeadlineStops, Canceled uint64
	// Fallbacks counts failed calls answered by a fallback; they are Failures too.
	Fallbacks uint64
}

// SuccessRatio returns Successes/(Successes+Failures), or 0 before the first end
// of a call.
func (s Stats) SuccessRatio() float64 {
	if n := s.Successes + s.Failures; n > 0 {
		return float64(s.Successes) / float64(n)
	}
	return 0
}

// Sub returns the counters' growth from old, an earlier snapshot of the same
// pipeline, to s.
func (s Stats) Sub(old Stats) Stats {
	return Stats{
		Calls: s.Calls - old.Calls, Successes: s.Successes - old.Successes, Failures: s.Failures - old.Failures,
		Retries: s.Retries - old.Retries, Recovered: s.Recovered - old.Recovered,
		Rejected: s.Rejected - old.Rejected, BudgetStops: s.BudgetStops - old.BudgetStops,
		DeadlineStops: s.DeadlineStops - old.DeadlineStops, Canceled: s.Canceled - old.Canceled,
		Fallbacks: s.Fallbacks - old.Fallbacks,
	}
}

// Pipeline is the way in which one upstream is called. The order, from the
// outside: fallback, total timeout, retry with budget, breaker, bulkhead, attempt
// timeout, hedge, policies, function. Use it by [Do], [DoOr], [Run] and [Wrap]. It
// is safe for concurrent use; it has nothing to close.
type Pipeline struct {
	*core
	unsafe bool // calls may not be repeated once sent
}

// core is what a pipeline shares with its NonIdempotent view.
type core struct {
	opts     Options // defaults filled in; never changes
	breaker  *Breaker
	budget   *Budget
	bulkhead bulkhead.Bulkhead[any] // nil: none
	exec     failsafe.Executor[any] // hedge and policies; nil: none
	once     failsafe.Executor[any] // policies without the hedge; nil: none

	successes                                counter
	failures, retries, recovered, rejected   atomic.Uint64
	refused                                  atomic.Uint64 // failures and rejected too
	budgetStops, deadlineStops, canceled, fb atomic.Uint64
}

// New returns a pipeline, or an error matching [ErrOptions] that names every
// field that is out of range. It starts no goroutine.
func New(o Options) (*Pipeline, error) {
	var v validator
	o.Retry.normalize(&v)
	v.check(o.Timeout >= 0, "Timeout %v is negative", o.Timeout)
	v.check(o.AttemptTimeout >= 0, "AttemptTimeout %v is negative", o.AttemptTimeout)
	v.check(o.Bulkhead >= 0, "Bulkhead %d is negative", o.Bulkhead)
	v.check(o.BulkheadWait >= 0, "BulkheadWait %v is negative", o.BulkheadWait)
	v.check(o.Hedge >= 0, "Hedge %v is negative", o.Hedge)
	for i, p := range o.Policies {
		v.check(p != nil, "Policies[%d] is nil", i)
	}
	setDefault(&o.MaxOpenWait, 250*time.Millisecond)
	setDefault(&o.Name, "pipeline")
	if err := v.err("pipeline " + o.Name); err != nil {
		return nil, err
	}
	c := &core{opts: o, breaker: o.Breaker, budget: o.Budget}
	if c.budget == nil && !o.DisableBudget {
		b, err := NewBudget(BudgetOptions{Name: o.Name})
		if err != nil {
			return nil, err
		}
		c.budget = b
	}
	if o.Bulkhead > 0 {
		c.bulkhead = bulkhead.New[any](uint(o.Bulkhead))
	}
	if len(o.Policies) > 0 {
		c.once = failsafe.With(slices.Clone(o.Policies)...)
	}
	c.exec = c.once
	if o.Hedge > 0 {
		hedge := []failsafe.Policy[any]{hedgepolicy.NewWithDelay[any](o.Hedge)}
		c.exec = failsafe.With(append(hedge, o.Policies...)...)
	}
	c.opts.Policies = nil
	return &Pipeline{core: c, unsafe: o.Retry.NotIdempotent}, nil
}

// NonIdempotent returns a view of p for calls that must not be repeated once the
// request was sent, as if Retry.NotIdempotent were set. Breaker, budget, bulkhead
// and counters are those of p.
func (p *Pipeline) NonIdempotent() *Pipeline { return &Pipeline{core: p.core, unsafe: true} }

// Idempotent returns a view of p for calls that may be repeated at any time,
// whatever Retry.NotIdempotent says. All state is shared with p.
func (p *Pipeline) Idempotent() *Pipeline { return &Pipeline{core: p.core} }

// Name returns the name given in the options.
func (p *Pipeline) Name() string { return p.opts.Name }

// Breaker returns the breaker given in the options, or nil.
func (p *Pipeline) Breaker() *Breaker { return p.breaker }

// Budget returns the retry budget in use, or nil when there is none.
func (p *Pipeline) Budget() *Budget { return p.budget }

// Stats returns the counters as they are now.
func (p *Pipeline) Stats() Stats {
	refused := p.refused.Load()
	s := Stats{Successes: p.successes.load(), Failures: p.failures.Load() + refused}
	s.Calls = s.Successes + s.Failures
	s.Retries, s.Recovered, s.Rejected = p.retries.Load(), p.recovered.Load(), p.rejected.Load()+refused
	s.BudgetStops, s.DeadlineStops = p.budgetStops.Load(), p.deadlineStops.Load()
	s.Canceled, s.Fallbacks = p.canceled.Load(), p.fb.Load()
	return s
}

// Metrics yields the pipeline's figures, and those of its breaker and budget,
// under Prometheus names, read afresh at each iteration. A breaker or budget that
// pipelines share comes with each of them: leave out names that came before.
func (p *Pipeline) Metrics() iter.Seq2[string, float64] {
	return func(yield func(string, float64) bool) {
		s, l := p.Stats(), labels("pipeline", p.opts.Name)
		ok := yield("resilience_calls_total"+l, float64(s.Calls)) &&
			yield("resilience_successes_total"+l, float64(s.Successes)) &&
			yield("resilience_failures_total"+l, float64(s.Failures)) &&
			yield("resilience_retries_total"+l, float64(s.Retries)) &&
			yield("resilience_recovered_total"+l, float64(s.Recovered)) &&
			yield("resilience_rejected_total"+l, float64(s.Rejected)) &&
			yield("resilience_budget_stops_total"+l, float64(s.BudgetStops)) &&
			yield("resilience_deadline_stops_total"+l, float64(s.DeadlineStops)) &&
			yield("resilience_canceled_total"+l, float64(s.Canceled)) &&
			yield("resilience_fallbacks_total"+l, float64(s.Fallbacks))
		if ok && p.budget != nil {
			for name, value := range p.budget.Metrics() {
				if ok = yield(name, value); !ok {
					return
				}
			}
		}
		if ok && p.breaker != nil {
			for name, value := range p.breaker.Metrics() {
				if !yield(name, value) {
					return
				}
			}
		}
	}
}

func (c *core) classify(err error, into *Info) { c.opts.Classifier.classify(err, into) }

// withTimeout returns a context that ends after d with ErrTimeout as its cause,
// or ctx itself and a nil cancel when ctx ends sooner anyway.
func withTimeout(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc) {
	if d <= 0 {
		return ctx, nil
	}
	if end, ok := ctx.Deadline(); ok && time.Until(end) <= d {
		return ctx, nil
	}
	return context.WithTimeoutCause(ctx, d, ErrTimeout)
}
