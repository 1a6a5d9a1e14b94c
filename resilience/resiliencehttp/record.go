package resiliencehttp

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"runtime"
	"runtime/debug"
	"strings"

	"github.com/perfblocks/perfblocks/resilience"
	"github.com/perfblocks/perfblocks/resilience/internal/errtree"
)

// record writes the one log record of a failure: what it is, and none of its text,
// which may hold addresses and secrets.
func record(l *slog.Logger, message string, r *http.Request, operation string, status int, err error, more ...slog.Attr) {
	text, _ := resilience.PublicText(err)
	attrs := []slog.Attr{
		slog.String("operation", operation), slog.String("method", r.Method), slog.Int("status", status),
		slog.Any("failure", resilience.Classify(err)), slog.Any("type", redacted{err}),
		slog.String("fingerprint", fmt.Sprintf("%016x", resilience.Fingerprint(err))),
		slog.Int("attempt", attempts(err)), slog.String("breaker", breakerState(err)), slog.String("public", text),
	}
	l.LogAttrs(context.WithoutCancel(r.Context()), slog.LevelError, message, append(attrs, more...)...)
}

// operationOf names what a request asks for, without its values.
func operationOf(r *http.Request) string {
	if r.Pattern != "" {
		return r.Pattern
	}
	return r.Method
}

// redacted shows the type of an error. A resilience.Guard tells such errors apart by
// the error inside.
type redacted struct{ err error }

func (e redacted) Error() string        { return fmt.Sprintf("%T", root(e.err)) }
func (e redacted) Unwrap() error        { return e.err }
func (e redacted) LogValue() slog.Value { return slog.StringValue(e.Error()) }

// attempts tells how many times the upstream behind err was called.
func attempts(err error) int {
	if e, ok := errtree.As[*resilience.AttemptsError](err); ok {
		return e.Attempts
	}
	if _, ok := errtree.As[*resilience.BreakerOpenError](err); ok {
		return 0
	}
	return 1
}

// breakerState names the state of the breaker behind err, if one refused.
func breakerState(err error) string {
	if e, ok := errtree.As[*resilience.BreakerOpenError](err); ok {
		return e.State.String()
	}
	return ""
}

// root returns the innermost error of the chain.
func root(err error) error {
	for range 32 {
		u, ok := err.(interface{ Unwrap() error }) //nolint:errorlint // The chain is walked by hand.
		if !ok || u.Unwrap() == nil {
			break
		}
		err = u.Unwrap()
	}
	return err
}

// panicError is a panic of a handler, as it is handed to another goroutine, logged,
// and kept by a breaker.
type panicError struct {
	value     any
	stack     []byte
	site      string // the function that panicked
	operation string // of its request
}

// caught describes a panic; it is called by the function that recovered it.
func caught(v any, r *http.Request) *panicError {
	return &panicError{value: v, stack: debug.Stack(), site: panicSite(), operation: operationOf(r)}
}

// panicSite returns the name of the function whose panic is being recovered.
func panicSite() string {
	pcs := make([]uintptr, 64)
	frames := runtime.CallersFrames(pcs[:runtime.Callers(2, pcs)])
	for panicking := false; ; {
		f, more := frames.Next()
		inside := strings.HasPrefix(f.Function, "runtime.")
		if panicking && !inside {
			return f.Function
		}
		panicking = panicking || f.Function == "runtime.gopanic"
		if !more {
			return ""
		}
	}
}

// Error tells where the panic was, and its text if it is the runtime's own. Any other
// text may hold what the handler had in hand.
func (e *panicError) Error() string {
	return "resiliencehttp: panic in " + e.site + ": " + e.text()
}

func (e *panicError) text() string {
	if err, ok := e.value.(runtime.Error); ok { //nolint:errorlint // The value itself.
		return err.Error()
	}
	return fmt.Sprintf("%T", e.value)
}

// Unwrap returns the value, if it is an error.
func (e *panicError) Unwrap() error {
	err, _ := e.value.(error)
	return err
}

// ResilienceInfo says that the fault is ours. The code is the place, so that a guard
// tells panics apart.
func (e *panicError) ResilienceInfo() resilience.Info {
	return resilience.Info{Class: resilience.ClassInternal, Code: "panic:" + e.site, Source: "http", Counts: true}
}

func (e *panicError) log(l *slog.Logger, r *http.Request) {
	record(l, "handler panicked", r, e.operation, http.StatusInternalServerError, e,
		slog.String("panic", e.text()), slog.String("stack", string(e.stack)))
}
