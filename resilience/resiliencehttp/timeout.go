package resiliencehttp

import (
	"bufio"
	"context"
	"io"
	"maps"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/perfblocks/perfblocks/resilience"
)

// errGaveUp is the cause with which the context of a request ends that took too long.
var errGaveUp error = gaveUpError{}

type gaveUpError struct{}

func (gaveUpError) Error() string   { return "resiliencehttp: request timed out" }
func (gaveUpError) Unwrap() error   { return resilience.ErrTimeout }
func (gaveUpError) Timeout() bool   { return true }
func (gaveUpError) Temporary() bool { return true }

// timed runs the handler and waits for it, but no longer than the timeout if it has
// not started its response by then: it returns true when the answer is still to be
// given. The handler's goroutine keeps the place until the handler ends.
func (v *visit) timed(next http.Handler) (timedOut bool) {
	ctx, cancel := context.WithCancelCause(v.r.Context())
	defer cancel(nil)
	tw := &timedWriter{w: &v.w, header: maps.Clone(v.w.Header()), abandoned: &v.m.abandoned}
	if tw.header == nil {
		tw.header = make(http.Header)
	}
	inner := v.r.WithContext(ctx)
	done := make(chan any, 1)
	go v.background(next, tw, inner, v.takePlace(), done)
	timer := time.NewTimer(v.m.opts.Timeout)
	defer timer.Stop()
	var x any
	select {
	case x = <-done:
	case <-timer.C:
		if tw.giveUp() {
			cancel(errGaveUp)
			return true
		}
		x = <-done
	}
	if x != nil {
		panic(x)
	}
	tw.finish()
	return false
}

// background runs the handler on its goroutine and sends what it panicked with, or
// nil.
func (v *visit) background(next http.Handler, tw *timedWriter, r *http.Request, p place, done chan<- any) {
	defer func() {
		x := recover()
		if x != nil && x != http.ErrAbortHandler { //nolint:errorlint // net/http compares by identity too.
			x = caught(x, r)
		}
		if ok, _ := tw.start(); ok { // From now on it cannot be given up: someone waits.
			done <- x
			return
		}
		v.m.abandoned.Add(-1)
		if e, ok := x.(*panicError); ok {
			v.m.panics.Add(1)
			e.log(v.m.opts.Logger, v.r)
		}
	}()
	handle(next, tw, r, p)
}

// timedWriter is the writer of a handler that may be given up. The handler has a
// header of its own; the real one is touched only once the response starts, after
// which it cannot be given up any more.
type timedWriter struct {
	w         http.ResponseWriter
	header    http.Header
	abandoned *atomic.Int64 // counts the handlers given up that still run

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
	if !t.started {
		t.gone = true
		t.abandoned.Add(1)
	}
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

// sniff is how much net/http reads of a body to find its type, as we do to see
// whether there is any.
const sniff = 512

// ReadFrom copies by the kernel, if the writer below can. The response starts with
// the first piece that is read.
func (t *timedWriter) ReadFrom(r io.Reader) (n int64, err error) {
	piece := make([]byte, sniff)
	for n < sniff {
		k, err := r.Read(piece)
		if k > 0 {
			w, werr := t.Write(piece[:k])
			n += int64(w)
			if werr != nil {
				return n, werr
			}
		}
		if err == io.EOF { //nolint:errorlint // As io.Copy does.
			return n, nil
		}
		if err != nil {
			return n, err
		}
	}
	k, err := io.Copy(t.w, r) // By the ReadFrom of t.w.
	return n + k, err
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

// EnableFullDuplex lets the handler read on while it writes.
func (t *timedWriter) EnableFullDuplex() error {
	if t.lost() {
		return http.ErrHandlerTimeout
	}
	return http.NewResponseController(t.w).EnableFullDuplex()
}

// refuse notes that the answer is not that of the handler.
func (t *timedWriter) refuse() {
	if !t.lost() {
		refuse(t.w)
	}
}
