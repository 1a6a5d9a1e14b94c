package resiliencehttp

import (
	"bufio"
	"context"
	"maps"
	"net"
	"net/http"
	"runtime/debug"
	"sync"
	"time"

	"github.com/perfblocks/perfblocks/resilience"
)

// forwarded carries a handler's panic to the goroutine of its request.
type forwarded struct {
	value any
	stack []byte
}

// serveTimed runs the handler and waits for it, but no longer than the timeout if
// it has not started its response by then: it returns true when the answer is
// still to be given.
func (m *Middleware) serveTimed(w *startedWriter, r *http.Request, next http.Handler) (timedOut bool) {
	ctx, cancel := context.WithCancelCause(r.Context())
	defer cancel(nil)
	tw := &timedWriter{w: w, header: maps.Clone(w.Header())}
	if tw.header == nil {
		tw.header = make(http.Header)
	}
	done := make(chan *forwarded, 1)
	go func() {
		var p *forwarded
		defer func() {
			if v := recover(); v != nil {
				p = &forwarded{value: v, stack: debug.Stack()}
				// Starting the response makes sure that someone waits for it.
				if ok, _ := tw.start(); !ok && v != http.ErrAbortHandler { //nolint:errorlint // As below.
					m.panics.Add(1)
					logPanic(m.opts.Logger, r, v, p.stack)
				}
			}
			done <- p
		}()
		next.ServeHTTP(tw, r.WithContext(ctx))
	}()
	timer := time.NewTimer(m.opts.Timeout)
	defer timer.Stop()
	var p *forwarded
	select {
	case p = <-done:
	case <-timer.C:
		if tw.giveUp() {
			cancel(resilience.ErrTimeout)
			return true
		}
		p = <-done
	}
	if p != nil {
		if p.value == http.ErrAbortHandler { //nolint:errorlint // net/http compares by identity too.
			panic(p.value)
		}
		panic(p)
	}
	tw.finish()
	return false
}

// timedWriter is the writer of a handler that may be given up. The handler has a
// header of its own; the real one is touched only once the response starts, after
// which it cannot be given up any more.
type timedWriter struct {
	w      http.ResponseWriter
	header http.Header

	mu      sync.Mutex
	started bool // guarded by mu
	gone    bool // guarded by mu; never both
}

// start reports whether the handler may write, and whether this is the first time.
func (t *timedWriter) start() (ok, first bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.gone {
		return false, false
	}
	first = !t.started
	t.started = true
	return true, first
}

// giveUp takes the response away from the handler unless it has started.
func (t *timedWriter) giveUp() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.gone = !t.started
	return t.gone
}

func (t *timedWriter) lost() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.gone
}

// copyHeader publishes the handler's header.
func (t *timedWriter) copyHeader() {
	h := t.w.Header()
	clear(h)
	maps.Copy(h, t.header)
}

// finish publishes what a handler left that wrote nothing, and trailers.
func (t *timedWriter) finish() { t.copyHeader() }

// Header returns the handler's own header.
func (t *timedWriter) Header() http.Header { return t.header }

// WriteHeader starts the response.
func (t *timedWriter) WriteHeader(status int) {
	if status >= 100 && status < 200 && status != http.StatusSwitchingProtocols {
		return // Early hints would touch the real header before the start.
	}
	if ok, first := t.start(); ok && first {
		t.copyHeader()
		t.w.WriteHeader(status)
	}
}

// Write writes to the client, or fails with http.ErrHandlerTimeout.
func (t *timedWriter) Write(p []byte) (int, error) {
	ok, first := t.start()
	if !ok {
		return 0, http.ErrHandlerTimeout
	}
	if first {
		t.copyHeader()
	}
	return t.w.Write(p)
}

// FlushError starts the response and sends what is buffered.
func (t *timedWriter) FlushError() error {
	ok, first := t.start()
	if !ok {
		return http.ErrHandlerTimeout
	}
	if first {
		t.copyHeader()
	}
	return http.NewResponseController(t.w).Flush()
}

// Flush is FlushError for callers that look for an http.Flusher.
func (t *timedWriter) Flush() { _ = t.FlushError() }

// Hijack takes over the connection.
func (t *timedWriter) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	if ok, _ := t.start(); !ok {
		return nil, nil, http.ErrHandlerTimeout
	}
	return http.NewResponseController(t.w).Hijack()
}

// SetReadDeadline sets the connection's deadline for reading. The connection may
// serve another request once this one was given up.
func (t *timedWriter) SetReadDeadline(d time.Time) error {
	if t.lost() {
		return http.ErrHandlerTimeout
	}
	return http.NewResponseController(t.w).SetReadDeadline(d)
}

// SetWriteDeadline sets the connection's deadline for writing.
func (t *timedWriter) SetWriteDeadline(d time.Time) error {
	if t.lost() {
		return http.ErrHandlerTimeout
	}
	return http.NewResponseController(t.w).SetWriteDeadline(d)
}
