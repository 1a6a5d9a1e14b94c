package resiliencehttp

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"runtime/debug"
	"sync/atomic"

	"github.com/perfblocks/perfblocks/resilience"
)

// ErrorHandling turns handlers that return errors into http.Handlers. The zero
// value is ready to use; it holds no state.
type ErrorHandling struct {
	// Logger receives each failure of ours once, at level Error: of errors answered
	// with 5xx the class, code, type and public text, but never the error's own text,
	// which may hold secrets (a Problem func of yours may log it where you know that
	// it does not); of panics the value and the stack. Nil: slog.Default(), since
	// nobody else receives the error.
	Logger *slog.Logger
	// Problem makes the answer to an error. Default: [ProblemOf].
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
		sw := &startedWriter{ResponseWriter: w}
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
		if p.Status >= 500 {
			h.log(r, p.Status, err)
		}
		if !sw.started.Load() {
			WriteProblem(w, p)
		}
	})
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

// log writes one record: what the error is, and its public text. The error's own
// text may hold addresses and secrets and stays out.
func (h ErrorHandling) log(r *http.Request, status int, err error) {
	text, _ := resilience.PublicText(err)
	h.logger().LogAttrs(context.WithoutCancel(r.Context()), slog.LevelError, "request failed",
		slog.String("method", r.Method), slog.String("route", r.Pattern), slog.Int("status", status),
		slog.Any("failure", resilience.Classify(err)), slog.String("type", fmt.Sprintf("%T", root(err))),
		slog.String("public", text))
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

// panicked answers for a handler that panicked with v.
func (h ErrorHandling) panicked(w *startedWriter, r *http.Request, v any) {
	if v == http.ErrAbortHandler { //nolint:errorlint // net/http compares by identity too.
		panic(v)
	}
	logPanic(h.logger(), r, v, debug.Stack())
	if w.started.Load() {
		panic(http.ErrAbortHandler) // The client must not take half an answer for a whole one.
	}
	WriteProblem(w.ResponseWriter, Problem{Status: http.StatusInternalServerError})
}

func logPanic(l *slog.Logger, r *http.Request, v any, stack []byte) {
	l.LogAttrs(context.WithoutCancel(r.Context()), slog.LevelError, "handler panicked",
		slog.String("method", r.Method), slog.String("route", r.Pattern),
		slog.String("panic", fmt.Sprint(v)), slog.String("stack", string(stack)))
}

// startedWriter notes whether the response has started.
type startedWriter struct {
	http.ResponseWriter
	started atomic.Bool
}

// Unwrap lets http.ResponseController reach the writer below.
func (w *startedWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func (w *startedWriter) WriteHeader(status int) {
	if status >= 200 || status == http.StatusSwitchingProtocols {
		w.started.Store(true)
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *startedWriter) Write(p []byte) (int, error) {
	w.started.Store(true)
	return w.ResponseWriter.Write(p)
}

// ReadFrom copies by the kernel, if the writer below can. A reader that fails
// before its first byte has not started the response.
func (w *startedWriter) ReadFrom(r io.Reader) (n int64, err error) {
	before := w.started.Swap(true)
	if rf, ok := w.ResponseWriter.(io.ReaderFrom); ok {
		n, err = rf.ReadFrom(r)
	} else {
		n, err = io.Copy(struct{ io.Writer }{w.ResponseWriter}, r)
	}
	if n == 0 && !before {
		w.started.Store(false)
	}
	return n, err
}

// FlushError sends what is buffered, if the writer below can.
func (w *startedWriter) FlushError() error {
	w.started.Store(true)
	return http.NewResponseController(w.ResponseWriter).Flush()
}

// Flush is FlushError for callers that look for an http.Flusher.
func (w *startedWriter) Flush() { _ = w.FlushError() }

// Hijack takes over the connection, if the writer below can.
func (w *startedWriter) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, rw, err := http.NewResponseController(w.ResponseWriter).Hijack()
	if err == nil {
		w.started.Store(true)
	}
	return conn, rw, err
}
