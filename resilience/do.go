package resilience

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"time"

	"github.com/failsafe-go/failsafe-go"
	"github.com/failsafe-go/failsafe-go/bulkhead"

	"github.com/perfblocks/perfblocks/resilience/internal/errtree"
)

// Do calls fn through p and returns its value. The error, if any, matches by
// errors.Is and errors.As the failure of the last attempt, and is an
// *[AttemptsError] when there was more than one attempt or when a retry was given
// up for budget, deadline or the context. A panic in fn releases everything,
// counts as a failure and continues. fn must not keep its context.
func Do[T any](ctx context.Context, p *Pipeline, fn func(context.Context) (T, error)) (T, error) {
	return do[T](ctx, p, valueFunc[T](fn))
}

// callable is what a pipeline calls. It is a type parameter, not an interface
// value, so that neither Do nor Run makes a closure.
type callable[T any] interface {
	call(ctx context.Context) (T, error)
}

type valueFunc[T any] func(context.Context) (T, error)

func (f valueFunc[T]) call(ctx context.Context) (T, error) { return f(ctx) }

type errorFunc func(context.Context) error

func (f errorFunc) call(ctx context.Context) (struct{}, error) { return struct{}{}, f(ctx) }

func do[T any, F callable[T]](ctx context.Context, p *Pipeline, fn F) (T, error) {
	if p.opts.Disabled {
		return fn.call(ctx)
	}
	if b := p.breaker; b != nil && b.window.Load() == nil { // Not closed.
		if e := p.refuse(ctx); e != nil {
			var none T
			return none, e
		}
	}
	outer := ctx
	if p.opts.Timeout > 0 {
		inner, cancel := withTimeout(ctx, p.opts.Timeout)
		if cancel != nil {
			defer cancel()
		}
		ctx = inner
	}
	var c call
	c.begin(p)
	for {
		v, err := attempt[T](ctx, p, &c, fn)
		if err == nil {
			p.succeeded(&c)
			return v, nil
		}
		reason, again := p.decide(ctx, &c, err)
		if !again {
			return v, p.failed(outer, ctx, &c, err, reason)
		}
	}
}

// refuse returns the rejection by a breaker that is open for longer than the call
// would wait, or nil. It comes before all that a call costs, and does what the long
// way would.
func (p *core) refuse(ctx context.Context) *BreakerOpenError {
	e := p.breaker.refusal(max(0, p.opts.MaxOpenWait))
	if e == nil || p.opts.Hooks.Failed != nil || p.opts.Logger != nil || ctx.Err() != nil {
		return nil
	}
	p.breaker.rejected.Add(1)
	p.refused.Add(1)
	return e
}

// DoOr is [Do] with a fallback, called with the error when the call failed for
// good, unless the caller gave up. If the fallback fails as well, the error matches
// both failures. The fallback runs outside timeout, breaker and bulkhead, with ctx
// itself: if its deadline has passed, a fallback that asks anyone needs a context of
// its own.
func DoOr[T any](ctx context.Context, p *Pipeline, fn func(context.Context) (T, error),
	fallback func(ctx context.Context, err error) (T, error),
) (T, error) {
	v, err := Do(ctx, p, fn)
	if err == nil || errors.Is(ctx.Err(), context.Canceled) {
		return v, err
	}
	v, ferr := fallback(ctx, err)
	if ferr != nil {
		return v, errors.Join(err, ferr)
	}
	p.fb.Add(1)
	return v, nil
}

// Run is [Do] for a function without a value.
func Run(ctx context.Context, p *Pipeline, fn func(context.Context) error) error {
	_, err := do[struct{}](ctx, p, errorFunc(fn))
	return err
}

// Wrap returns fn as a function that goes through p each time, as [Do] does. It
// may be called concurrently if fn may.
func Wrap[T any](p *Pipeline, fn func(context.Context) (T, error)) func(context.Context) (T, error) {
	return func(ctx context.Context) (T, error) { return Do(ctx, p, fn) }
}

// call is the state of one Do. It lives on the caller's stack.
type call struct {
	attempts int
	unsafe   bool
	rejected bool // the last attempt was refused before it began
	place    bool // a place in the bulkhead is held
	cost     int  // tokens paid for the current retry
	started  time.Time
	waited   time.Duration // for an open breaker
	permit   Permit
	info     Info           // of the last failure
	errs     [maxKept]error // the last failures, in a ring
	failures int            // how many there were
	delay    time.Duration  // before the next attempt
}

func (c *call) begin(p *Pipeline) {
	c.unsafe = p.unsafe
	if p.opts.Retry.MaxElapsed > 0 {
		c.started = time.Now()
	}
}

func (c *call) keep(err error) {
	c.errs[c.failures%maxKept] = err
	c.failures++
}

// attempt makes one attempt, if breaker and bulkhead let it through.
func attempt[T any, F callable[T]](ctx context.Context, p *Pipeline, c *call, fn F) (v T, err error) {
	if err = p.enter(ctx, c); err != nil {
		return v, err
	}
	inner := ctx
	if p.opts.AttemptTimeout > 0 {
		limited, cancel := withTimeout(ctx, p.opts.AttemptTimeout)
		if cancel != nil {
			defer cancel()
		}
		inner = limited
	}
	returned := false
	defer func() {
		if !returned {
			p.abandon(c)
		}
	}()
	exec := p.exec
	if p.unsafe {
		exec = p.once
	}
	if exec == nil {
		v, err = fn.call(inner)
	} else {
		v, err = throughPolicies[T](inner, exec, fn)
	}
	returned = true
	return v, p.leave(ctx, inner, c, err)
}

// enter takes what an attempt needs, or says why it may not begin.
func (p *core) enter(ctx context.Context, c *call) error {
	c.rejected = false
	if ctx.Err() != nil {
		c.info = contextInfo(ctx)
		return contextError(ctx)
	}
	if p.breaker != nil {
		err := p.breaker.acquire(&c.permit)
		if err != nil && p.opts.MaxOpenWait > 0 {
			err = p.rideOut(ctx, c, err)
		}
		if err != nil {
			return p.refusedBy(ctx, c, err)
		}
	}
	if p.bulkhead != nil {
		if err := p.enterBulkhead(ctx); err != nil {
			c.permit.Ignore()
			return p.refusedBy(ctx, c, err)
		}
		c.place = true
	}
	c.attempts++
	return nil
}

func (p *core) refusedBy(ctx context.Context, c *call, err error) error {
	if ctx.Err() != nil {
		c.info = contextInfo(ctx)
		return err
	}
	c.rejected = true
	p.classify(err, &c.info)
	return err
}

func (p *core) enterBulkhead(ctx context.Context) error {
	if p.bulkhead.TryAcquirePermit() {
		return nil
	}
	if p.opts.BulkheadWait > 0 {
		err := p.bulkhead.AcquirePermitWithMaxWait(ctx, p.opts.BulkheadWait)
		if err == nil {
			return nil
		}
		if ended := contextError(ctx); ended != nil {
			return ended
		}
	}
	return ErrFull
}

// openPoll is the mean time after which a call that rides out asks again whether a
// half-open breaker has closed.
const openPoll = 20 * time.Millisecond

// rideOut waits for the breaker within MaxOpenWait and the deadline. The waits are
// spread, so that those who waited for the same moment do not go on together.
func (p *core) rideOut(ctx context.Context, c *call, err error) error {
	start, had := time.Now(), c.waited
	for {
		e, ok := errors.AsType[*BreakerOpenError](err)
		if !ok || e.State == StateForcedOpen {
			return err
		}
		wait := openPoll/2 + rand.N(openPoll)
		if e.State == StateOpen {
			wait += e.RetryAfter()
		}
		if c.waited = had + time.Since(start); c.waited+wait > p.opts.MaxOpenWait {
			return err
		}
		if deadline, ok := ctx.Deadline(); ok && time.Until(deadline) <= wait {
			return err
		}
		if ended := sleep(ctx, wait); ended != nil {
			return ended
		}
		if err = p.breaker.acquire(&c.permit); err == nil {
			c.waited = had + time.Since(start)
			return nil
		}
	}
}

// leave gives back what enter took and reports the outcome. It returns err, with
// ErrTimeout when the attempt's own timeout is behind it.
func (p *core) leave(ctx, inner context.Context, c *call, err error) error {
	if c.place {
		c.place = false
		p.bulkhead.ReleasePermit()
	}
	if err == nil {
		c.permit.Success()
		return nil
	}
	if !p.known(c, err) {
		p.classify(err, &c.info)
	}
	if inner.Err() != nil {
		err = p.ended(ctx, c, err)
	}
	if c.permit.b != nil {
		c.permit.done(err, &c.info)
	}
	return err
}

// known reports that err is the failure of the attempt before once more, and of
// errors.New, so that it is what c.info says of it.
func (p *core) known(c *call, err error) bool {
	return c.failures > 0 && p.opts.Classifier == nil && reflect.TypeOf(err) == textType &&
		err == c.errs[(c.failures-1)%maxKept] //nolint:errorlint // Identity is meant.
}

// ended corrects what is known of a failure whose context has ended.
func (p *core) ended(ctx context.Context, c *call, err error) error {
	vague := c.info.Class == ClassCanceled || c.info.Class == ClassUnknown || c.info.Class == ClassUnavailable
	switch {
	case errors.Is(ctx.Err(), context.Canceled):
		c.info = contextInfo(ctx)
	case vague: // The error is how fn saw the end of its time.
		c.info = timeoutInfo()
	}
	if c.info.Class == ClassTimeout && ctx.Err() == nil && !errtree.Is(err, ErrTimeout) {
		return &endedError{err: ErrTimeout, cause: err}
	}
	return err
}

// abandon gives back what enter took when fn did not return.
func (p *core) abandon(c *call) {
	if c.place {
		c.place = false
		p.bulkhead.ReleasePermit()
	}
	p.failures.Add(1)
	p.retries.Add(uint64(c.attempts - 1))
	c.permit.Failure(errPanicked)
}

// errPanicked is the cause that a breaker keeps of a function that panicked.
var errPanicked = Mark(errors.New("resilience: function panicked"), ClassInternal)

// timedOut is what is known of a time that is over. It is copied from here because
// an Info that was just put together is slow to copy.
var timedOut = Info{Class: ClassTimeout, Code: "deadline_exceeded", Source: "ctx", Retryable: true, Counts: true}

func timeoutInfo() Info { return timedOut }

// contextInfo describes the end of ctx: a cancel is neutral, a deadline is not.
func contextInfo(ctx context.Context) Info {
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return timeoutInfo()
	}
	return Info{Class: ClassCanceled, Code: "canceled", Source: "ctx"}
}

func (p *core) succeeded(c *call) {
	if p.breaker != nil {
		p.successes.add(c.permit.at)
	} else {
		p.successes.inc()
	}
	if c.attempts > 1 {
		p.recovered.Add(1)
		p.retries.Add(uint64(c.attempts - 1))
		if p.budget != nil {
			p.budget.Refund(c.cost)
		}
	} else if p.budget != nil {
		p.budget.Earn()
	}
}

// decide says whether to try again, and if so waits until it is time to.
func (p *core) decide(ctx context.Context, c *call, err error) (reason StopReason, again bool) {
	c.keep(err)
	o := &p.opts.Retry
	switch {
	case c.rejected:
		return StopRejected, false
	case ctx.Err() != nil:
		return StopContext, false
	case o.If != nil && !o.If(err, c.info) || o.If == nil && !c.info.Retryable:
		return StopNotRetryable, false
	case c.attempts >= o.MaxAttempts:
		return StopAttempts, false
	case c.unsafe && !c.info.NotSent:
		return StopUnsafe, false
	case c.info.RetryAfter > 0 && c.info.RetryAfter > o.MaxRetryAfter:
		return StopRetryAfter, false
	}
	c.delay = o.delay(c.attempts, c.info.RetryAfter)
	if (c.delay > 0 || o.MaxElapsed > 0) && !p.inTime(ctx, c) {
		return StopDeadline, false
	}
	if p.budget != nil {
		var ok bool
		if c.cost, ok = p.budget.Spend(c.info.Class); !ok {
			return StopBudget, false
		}
	}
	if f := p.opts.Hooks.Retry; f != nil {
		f(RetryEvent{Name: p.opts.Name, Attempt: c.attempts, Delay: c.delay, Info: c.info, Err: err})
	}
	if c.delay > 0 && sleep(ctx, c.delay) != nil {
		return StopContext, false
	}
	return 0, true
}

// inTime reports whether the next attempt would start before the deadline.
func (p *core) inTime(ctx context.Context, c *call) bool {
	end, ok := ctx.Deadline()
	if ok && time.Until(end) <= c.delay {
		return false
	}
	limit := p.opts.Retry.MaxElapsed
	return limit <= 0 || c.delay < limit-time.Since(c.started)
}

// failed counts the failure and returns the error for the caller.
func (p *core) failed(outer, ctx context.Context, c *call, err error, reason StopReason) error {
	p.failures.Add(1)
	if c.attempts > 1 {
		p.retries.Add(uint64(c.attempts - 1))
	}
	switch reason {
	case StopRejected:
		p.rejected.Add(1)
	case StopBudget:
		p.budgetStops.Add(1)
	case StopDeadline:
		p.deadlineStops.Add(1)
	case StopContext:
		if errors.Is(outer.Err(), context.Canceled) {
			p.canceled.Add(1)
		}
	default: // Not counted apart.
	}
	out := p.describe(ctx, c, err, reason)
	if p.opts.Logger != nil {
		p.log(outer, c, err, reason)
	}
	if f := p.opts.Hooks.Failed; f != nil {
		f(FailedEvent{Name: p.opts.Name, Attempts: c.attempts, Reason: reason, Info: c.info, Err: out})
	}
	return out
}

// describe returns err itself when it tells all, or an AttemptsError.
func (p *core) describe(ctx context.Context, c *call, err error, reason StopReason) error {
	var extra error
	switch reason {
	case StopBudget:
		extra = ErrBudget
	case StopContext:
		extra = contextError(ctx)
		if errtree.Is(err, ctx.Err()) && errtree.Is(err, context.Cause(ctx)) {
			extra = nil
		}
	default: // The failures say it.
	}
	wanted := reason == StopDeadline || reason == StopRetryAfter // A retry would have been made.
	if c.attempts == 0 || c.attempts == 1 && extra == nil && !wanted && c.failures == 1 {
		return err
	}
	e := &AttemptsError{Name: p.opts.Name, Attempts: c.attempts, Reason: reason, info: c.info}
	for i := 1; i <= min(c.failures, maxKept); i++ {
		e.add(c.errs[(c.failures-i)%maxKept])
	}
	e.add(extra)
	return e
}

// panicked carries a panic of fn through the policies, which lose permits if they
// see one.
type panicked struct{ value any }

func (*panicked) Error() string { return "resilience: function panicked" }

// throughPolicies calls fn through failsafe-go.
func throughPolicies[T any, F callable[T]](ctx context.Context, exec failsafe.Executor[any], fn F) (v T, err error) {
	result, err := exec.WithContext(ctx).GetWithExecution(func(e failsafe.Execution[any]) (r any, err error) {
		defer func() {
			if x := recover(); x != nil {
				r, err = nil, &panicked{value: x}
			}
		}()
		return fn.call(e.Context())
	})
	if p, ok := errtree.As[*panicked](err); ok {
		panic(p.value)
	}
	if errtree.Is(err, bulkhead.ErrFull) {
		err = fmt.Errorf("%w: %w", ErrFull, err)
	}
	if result == nil {
		return v, err
	}
	v, ok := result.(T)
	if !ok && err == nil {
		err = Permanent(fmt.Errorf("resilience: policy returned %T; want %T", result, v))
	}
	return v, err
}
