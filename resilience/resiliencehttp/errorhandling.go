package resiliencehttp

import (
	"context"
	"log/slog"
	"net/http"

	"github.com/perfblocks/perfblocks/resilience"
)

// ErrorHandling turns handlers that return errors into http.Handlers. The zero
// value is ready to use; it holds no state.
type ErrorHandling struct {
	// Logger receives each failure of ours once, at level Error: errors answered with
	// 5xx, any error after the response has started, unless the client went away, and
	// panics with their stack. A record tells operation, method, status,
	// class and code, the error's type, its fingerprint, how many attempts were made,
	// the state of the breaker that refused, if one did, and the public text; never
	// the text of the error or the panic, which may hold secrets, but for the
	// runtime's own panics. Wrap its handler by resilience.Guard.Handler to thin
	// floods; then the record says how many were suppressed. Nil: slog.Default(),
	// since nobody else receives the error.
	Logger *slog.Logger
	// Problem makes the answer to an error; a Status outside 400 to 599 is answered and
	// logged as 500. Default: [ProblemOf].
	Problem func(error) Problem
}

// WithErrorHandling returns fn as an http.Handler with the zero [ErrorHandling]:
// an error becomes an RFC 9457 problem that leaks nothing, a panic a 500, and
// each failure of ours is logged once.
func WithErrorHandling(fn func(http.ResponseWriter, *http.Request) error) http.Handler {
	return ErrorHandling{}.Handler(fn)
}

// Handler returns fn as an http.Handler. An error, or a panic other than
// http.ErrAbortHandler, is answered with a problem unless the response has
// started; then it is only logged, and after a panic the connection is cut.
func (h ErrorHandling) Handler(fn func(http.ResponseWriter, *http.Request) error) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		sw := &statusWriter{ResponseWriter: w}
		defer func() {
			if v := recover(); v != nil {
				h.panicked(sw, r, v)
			}
		}()
		err := fn(sw, r)
		if err == nil {
			return
		}
		p := h.problem(err)
		if p.Status < 400 || p.Status > 599 {
			p.Status = http.StatusInternalServerError // As WriteProblem sends it.
		}
		unseen := sw.started() && p.Status != statusClientClosed // The client takes it for well.
		if (p.Status >= 500 || unseen) && !answered(r, err) {
			record(h.logger(), "request failed", r, operationOf(r), p.Status, err)
		}
		if !sw.started() {
			WriteProblem(w, p)
		}
	})
}

// answered reports whether err is but the end of a request that a [Middleware] gave
// up, answered and logged.
func answered(r *http.Request, err error) bool {
	if context.Cause(r.Context()) != errGaveUp { //nolint:errorlint // Ours by identity.
		return false
	}
	c := resilience.Classify(err).Class
	return c == resilience.ClassCanceled || c == resilience.ClassTimeout
}

func (h ErrorHandling) problem(err error) Problem {
	if h.Problem != nil {
		return h.Problem(err)
	}
	return ProblemOf(err)
}

func (h ErrorHandling) logger() *slog.Logger {
	if h.Logger != nil {
		return h.Logger
	}
	return slog.Default()
}

// panicked answers for a handler that panicked with v.
func (h ErrorHandling) panicked(w *statusWriter, r *http.Request, v any) {
	if v == http.ErrAbortHandler { //nolint:errorlint // net/http compares by identity too.
		panic(v)
	}
	caught(v, r).log(h.logger(), r)
	if w.started() {
		panic(http.ErrAbortHandler) // The client must not take half an answer for a whole one.
	}
	WriteProblem(w.ResponseWriter, Problem{Status: http.StatusInternalServerError})
}
