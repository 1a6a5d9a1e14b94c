package memory

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"time"
)

// Sentinels that errors of this package match by [errors.Is].
var (
	// ErrOptions matches the error of a constructor whose options are out of
	// range, and of a call whose argument could never be served. The text names
	// every bad field at once.
	ErrOptions = errors.New("memory: invalid options")

	// ErrTooLarge matches the refusal of something that is larger than the whole
	// bound, so that trying again cannot help until the bound is raised by Resize.
	ErrTooLarge = errors.New("memory: larger than the bound")

	// ErrPressure matches the refusal of something that would fit the bound, but
	// not the room that memory pressure leaves now. Trying again later can help.
	ErrPressure = errors.New("memory: refused under memory pressure")

	// ErrRateLimited matches the error of [Monitor.Collect] when a collection was
	// not run because it came too soon or would not pay; see [RateLimitError].
	ErrRateLimited = errors.New("memory: collection rate limited")

	// ErrClosed matches the error of calls on an object after its Close.
	ErrClosed = errors.New("memory: closed")
)

// RateLimitError says why [Monitor.Collect] did not run and when it may again. It
// matches [ErrRateLimited].
type RateLimitError struct {
	// Cause is a constant phrase: "too soon" or "collector busy".
	Cause string
	// Wait is the time until a collection is allowed again, above zero.
	Wait time.Duration
}

// Error returns the cause and the wait in one line.
func (e *RateLimitError) Error() string {
	return fmt.Sprintf("memory: collect: %s, allowed in %v", e.Cause, e.Wait)
}

// Is reports whether target is [ErrRateLimited].
func (e *RateLimitError) Is(target error) bool { return target == ErrRateLimited }

// RetryAfter returns Wait, in the shape that retry policies look for.
func (e *RateLimitError) RetryAfter() time.Duration { return e.Wait }

// PanicError carries a panic of a caller's function to everyone who waits for its
// result: the callers of [Cache.GetOrLoad] and the consumer of [Process]. It is
// also used when the function ended its goroutine by [runtime.Goexit].
type PanicError struct {
	// Value is what the function panicked with; nil for Goexit.
	Value any
	// Stack is the stack of the panicking goroutine as text. It may hold what the
	// program passes around, so keep it out of answers to clients.
	Stack []byte
}

// Error names the value of the panic, without the stack.
func (e *PanicError) Error() string {
	if e.Value == nil {
		return "memory: function ended its goroutine"
	}
	return fmt.Sprintf("memory: function panicked: %v", e.Value)
}

// Unwrap returns the value of the panic if it is an error, else nil.
func (e *PanicError) Unwrap() error {
	err, _ := e.Value.(error)
	return err
}

// guard runs f and returns its panic, or its Goexit as seen by done, as an error.
// A Goexit cannot be stopped: done runs in either case, on this goroutine.
func guard(f func() error, done func(error)) {
	var err error
	finished := false
	defer func() {
		if !finished {
			err = &PanicError{Value: recover(), Stack: debug.Stack()}
		}
		done(err)
	}()
	err = f()
	finished = true
}

// contextError returns an error that matches ctx.Err and carries its cause.
func contextError(ctx context.Context, what string) error {
	err, cause := ctx.Err(), context.Cause(ctx)
	if cause == nil || errors.Is(err, cause) {
		return fmt.Errorf("memory: %s: %w", what, err)
	}
	return fmt.Errorf("memory: %s: %w: %w", what, err, cause)
}

// problems collects what is wrong with a set of options.
type problems struct{ errs []error }

func (p *problems) check(ok bool, format string, args ...any) {
	if !ok {
		p.errs = append(p.errs, fmt.Errorf(format, args...))
	}
}

func (p *problems) err(what string) error {
	if len(p.errs) == 0 {
		return nil
	}
	return fmt.Errorf("%w: %s: %w", ErrOptions, what, errors.Join(p.errs...))
}
