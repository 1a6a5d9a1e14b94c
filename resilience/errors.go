package resilience

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Sentinels to use with errors.Is.
var (
	// ErrOptions matches every error that a constructor of this package returns.
	ErrOptions = errors.New("resilience: invalid options")
	// ErrOpen matches the rejection by an open breaker; see [BreakerOpenError].
	ErrOpen = errors.New("resilience: breaker open")
	// ErrBudget matches an error for which no retry was made because the retry
	// budget was spent; the failure itself matches too.
	ErrBudget = errors.New("resilience: retry budget spent")
	// ErrFull matches a call that found no free place in the bulkhead in time.
	ErrFull error = &rejection{text: "resilience: bulkhead full"}
	// ErrTimeout matches a call stopped by Options.Timeout or AttemptTimeout. It
	// also matches context.DeadlineExceeded.
	ErrTimeout error = timeoutError{}
)

// rejection is an error of ours that says that nothing was sent.
type rejection struct{ text string }

func (r *rejection) Error() string        { return r.text }
func (r *rejection) ResilienceInfo() Info { return rejectedInfo("bulkhead", 0) }

type timeoutError struct{}

func (timeoutError) Error() string        { return "resilience: timeout" }
func (timeoutError) Timeout() bool        { return true }
func (timeoutError) Is(target error) bool { return target == context.DeadlineExceeded }

func rejectedInfo(code string, after time.Duration) Info {
	i := ClassRejected.defaults()
	i.Code, i.Source, i.RetryAfter = code, "resilience", after
	return i
}

// BreakerOpenError is the rejection by a breaker that is open, forced open, or
// half-open with all its probes under way. It matches [ErrOpen]. One value is
// shared by all the calls rejected in the same open period; do not modify it.
type BreakerOpenError struct {
	// Name is the breaker's name.
	Name string
	// State is the state that rejected.
	State State
	// Cause is the failure that opened the breaker last, or nil. It is for
	// diagnosis; errors.Is and errors.As do not look into it, because the
	// rejected call never met it.
	Cause error

	until time.Time     // zero: not known (forced open)
	end   time.Duration // the same since the breaker's start
	hint  time.Duration
}

// Error names the breaker and the class of the last cause, never its text, which
// belongs to another call.
func (e *BreakerOpenError) Error() string {
	var b strings.Builder
	b.WriteString("resilience: breaker ")
	b.WriteString(strconv.Quote(e.Name))
	b.WriteString(" ")
	b.WriteString(e.State.String())
	if e.Cause != nil {
		b.WriteString(": last failure ")
		b.WriteString(Classify(e.Cause).Class.String())
	}
	return b.String()
}

// Is reports whether target is [ErrOpen].
func (e *BreakerOpenError) Is(target error) bool { return target == ErrOpen }

// RetryAfter returns the time from now until the breaker will admit a probe; 0
// when that is past or unknown, as for a breaker forced open. For a rejection by a
// half-open breaker, whose probes are under way, it is OpenFor, as a guess.
func (e *BreakerOpenError) RetryAfter() time.Duration {
	if e.until.IsZero() {
		return e.hint
	}
	return max(0, time.Until(e.until))
}

// ResilienceInfo classifies the rejection: not sent, does not count, and not to be
// repeated by a retry around the breaker, which is there to stop just that. To
// ride out a short open period, use Options.MaxOpenWait or [Breaker.Wait].
func (e *BreakerOpenError) ResilienceInfo() Info {
	i := rejectedInfo("breaker_open", e.RetryAfter())
	i.Retryable = false
	return i
}

// StopReason says why a call was not tried again. The zero value is StopNotRetryable.
type StopReason uint8

// The reasons to stop.
const (
	// StopNotRetryable: the failure is of a kind that repeating cannot help.
	StopNotRetryable StopReason = iota
	// StopAttempts: MaxAttempts were made.
	StopAttempts
	// StopUnsafe: the request may have been executed and repeating is not safe.
	StopUnsafe
	// StopBudget: the retry budget is spent.
	StopBudget
	// StopDeadline: the next attempt would start after the deadline or MaxElapsed.
	StopDeadline
	// StopRetryAfter: the server asked for a longer wait than MaxRetryAfter.
	StopRetryAfter
	// StopContext: the caller's context ended, or Options.Timeout did.
	StopContext
	// StopRejected: the breaker or the bulkhead refused the attempt.
	StopRejected
)

// stopNames is immutable and indexed by StopReason.
var stopNames = [...]string{
	"not_retryable", "attempts", "unsafe", "budget", "deadline", "retry_after", "context", "rejected",
}

// String returns the lower-case name of the reason, such as "budget", as used in
// logs and labels.
func (r StopReason) String() string {
	if int(r) < len(stopNames) {
		return stopNames[r]
	}
	return fmt.Sprintf("stop(%d)", uint8(r))
}

// maxKept is how many failures an AttemptsError keeps.
const maxKept = 4

// AttemptsError is the failure of a call that was tried more than once, or that
// would have been tried again but for its Reason. errors.Is and errors.As see
// the failures of the last attempts, newest first, and what stopped the call.
type AttemptsError struct {
	// Name is the pipeline's name, or empty.
	Name string
	// Attempts is how many attempts were made, at least 1.
	Attempts int
	// Reason says why there was no further attempt.
	Reason StopReason

	n    uint8
	errs [maxKept + 1]error // newest first, then what stopped the call
	info Info
}

// Error tells attempts, reason and the text of the newest failure.
func (e *AttemptsError) Error() string {
	var b strings.Builder
	b.WriteString("resilience: call")
	if e.Name != "" {
		b.WriteString(" ")
		b.WriteString(strconv.Quote(e.Name))
	}
	plural := "s"
	if e.Attempts == 1 {
		plural = ""
	}
	fmt.Fprintf(&b, ": %d attempt%s, stopped by %s", e.Attempts, plural, e.Reason)
	if e.n > 0 {
		b.WriteString(": ")
		b.WriteString(e.errs[0].Error())
	}
	return b.String()
}

// Unwrap returns the failures of at most the last 4 attempts, newest first,
// followed by the reason's own errors, such as the context's. Do not modify it.
func (e *AttemptsError) Unwrap() []error { return e.errs[:e.n:e.n] }

// Last returns the failure of the newest attempt.
func (e *AttemptsError) Last() error { return e.errs[0] }

// Timeout reports whether the newest failure is a timeout, as net.Error asks.
func (e *AttemptsError) Timeout() bool { return e.info.Class == ClassTimeout }

// ResilienceInfo describes the newest failure, but not as retryable: the retries
// have been made here, and an outer layer repeating them would multiply them.
func (e *AttemptsError) ResilienceInfo() Info {
	i := e.info
	i.Retryable = false
	return i
}

func (e *AttemptsError) add(err error) {
	if err != nil && int(e.n) < len(e.errs) {
		e.errs[e.n] = err
		e.n++
	}
}
