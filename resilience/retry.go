package resilience

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"
)

// Jitter says how a retry delay is spread. The zero value is JitterFull.
type Jitter uint8

// The kinds of jitter, for a computed delay d.
const (
	// JitterFull waits a random time in [0, d): the least load after an outage.
	JitterFull Jitter = iota
	// JitterEqual waits d/2 plus a random time in [0, d/2).
	JitterEqual
	// JitterNone waits d exactly; callers that failed together retry together.
	JitterNone
)

// jitterNames is immutable and indexed by Jitter.
var jitterNames = [...]string{"full", "equal", "none"}

// String returns the lower-case name of the jitter: "full", "equal" or "none".
func (j Jitter) String() string {
	if int(j) < len(jitterNames) {
		return jitterNames[j]
	}
	return fmt.Sprintf("jitter(%d)", uint8(j))
}

// MarshalText returns the name that String gives. An undefined value is an error.
func (j Jitter) MarshalText() ([]byte, error) {
	if int(j) >= len(jitterNames) {
		return nil, fmt.Errorf("resilience: marshal jitter %d: undefined", uint8(j))
	}
	return []byte(jitterNames[j]), nil
}

// UnmarshalText accepts exactly the names that String gives. Anything else is an
// error matching [ErrOptions] and leaves j as it was.
func (j *Jitter) UnmarshalText(text []byte) error {
	for i, name := range jitterNames {
		if name == string(text) {
			*j = Jitter(i)
			return nil
		}
	}
	return fmt.Errorf("%w: jitter %q is unknown", ErrOptions, text)
}

// RetryOptions says when and how a call is repeated. The zero value makes up to
// four attempts with full jitter.
type RetryOptions struct {
	// MaxAttempts is how many times the call is made at most, the first one
	// included. Default 4; 1 turns retry off.
	MaxAttempts int
	// BaseDelay is the delay before the first retry, before jitter. Default 100 ms;
	// negative: no delay at all.
	BaseDelay time.Duration
	// MaxDelay bounds the delay. Default 5 s, or BaseDelay if that is longer.
	MaxDelay time.Duration
	// Factor multiplies the delay from one retry to the next. At least 1; default 2.
	Factor float64
	// Jitter spreads the delay. Default JitterFull.
	Jitter Jitter
	// MaxElapsed bounds the time from the first attempt's start to the last
	// attempt's start. 0: no bound but the context's.
	MaxElapsed time.Duration
	// MaxRetryAfter is the longest wait asked for by a server that is obeyed; a
	// longer one ends the call, since an earlier retry would be unwelcome.
	// Default 30 s; negative: obey none, and end the call on any.
	MaxRetryAfter time.Duration
	// NotIdempotent says that making the call twice could do the work twice. Then
	// only failures that certainly happened before sending are retried, so the
	// function should send one request and no more.
	NotIdempotent bool
	// If, when set, has the last word on which failures may be retried, in place
	// of info.Retryable. NotIdempotent, budget and deadline still apply.
	If func(err error, info Info) bool
}

func (o *RetryOptions) normalize(v *validator) {
	v.check(o.MaxAttempts >= 0, "Retry.MaxAttempts %d is negative", o.MaxAttempts)
	v.check(o.MaxDelay >= 0, "Retry.MaxDelay %v is negative", o.MaxDelay)
	v.check(o.MaxDelay == 0 || o.MaxDelay >= o.BaseDelay, "Retry.MaxDelay %v is less than BaseDelay %v", o.MaxDelay, o.BaseDelay)
	v.check(o.Factor == 0 || o.Factor >= 1 && o.Factor <= 1e6, "Retry.Factor %v is not in [1, 1e6]", o.Factor)
	v.check(int(o.Jitter) < len(jitterNames), "Retry.Jitter %d is undefined", o.Jitter)
	v.check(o.MaxElapsed >= 0, "Retry.MaxElapsed %v is negative", o.MaxElapsed)
	setDefault(&o.MaxAttempts, 4)
	setDefault(&o.BaseDelay, 100*time.Millisecond)
	setDefault(&o.MaxDelay, max(5*time.Second, o.BaseDelay))
	setDefault(&o.Factor, 2)
	setDefault(&o.MaxRetryAfter, 30*time.Second)
}

// delay returns the wait before the retry that follows the given attempt
// (1 = the first). A wait asked for by the server is never shortened.
func (o *RetryOptions) delay(attempt int, asked time.Duration) time.Duration {
	var d time.Duration
	if o.BaseDelay > 0 {
		f := float64(o.BaseDelay)
		for i := 1; i < attempt && f < float64(o.MaxDelay); i++ {
			f *= o.Factor
		}
		d = o.MaxDelay
		if f < float64(o.MaxDelay) {
			d = time.Duration(f)
		}
		switch o.Jitter {
		case JitterFull:
			d = rand.N(d)
		case JitterEqual:
			d = d/2 + rand.N(d-d/2)
		default: // JitterNone: as it is.
		}
	}
	if asked > 0 {
		// Spread what the server told to everyone, later only.
		return later(asked, min(d, asked/10))
	}
	return d
}

// sleep waits for d or for the end of ctx, whose error and cause it returns.
func sleep(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return contextError(ctx)
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return contextError(ctx)
	}
}

// contextError returns nil, or an error that matches both ctx.Err() and the cause.
func contextError(ctx context.Context) error {
	err := ctx.Err()
	if err == nil {
		return nil
	}
	if cause := context.Cause(ctx); cause != err { //nolint:errorlint // Identity is meant.
		return &endedError{err: err, cause: cause}
	}
	return err
}

// endedError is the end of a context that has a cause of its own.
type endedError struct{ err, cause error }

func (e *endedError) Error() string   { return e.err.Error() + ": " + e.cause.Error() }
func (e *endedError) Unwrap() []error { return []error{e.err, e.cause} }

// Timeout is for callers that look for it without unwrapping, as url.Error does.
func (e *endedError) Timeout() bool { return errors.Is(e.err, context.DeadlineExceeded) }
