package resiliencehttp

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"sync/atomic"
)

// statusWriter notes the status of the response, once it has started.
type statusWriter struct {
	http.ResponseWriter
	status  atomic.Int32 // 0: not started
	refused atomic.Bool  // a middleware further in answered in the handler's place
}

func (w *statusWriter) started() bool { return w.status.Load() != 0 }

// start notes the status unless there is one already.
func (w *statusWriter) start(status int) { w.status.CompareAndSwap(0, int32(status)) }

// refuse notes that the answer is not that of the handler.
func (w *statusWriter) refuse() {
	w.refused.Store(true)
	refuse(w.ResponseWriter)
}

// refuse tells every middleware of ours around w that the handler is not asked.
func refuse(w http.ResponseWriter) {
	for w != nil {
		if r, ok := w.(interface{ refuse() }); ok {
			r.refuse()
			return
		}
		u, ok := w.(interface{ Unwrap() http.ResponseWriter })
		if !ok {
			return
		}
		w = u.Unwrap()
	}
}

// Unwrap lets http.ResponseController reach the writer below.
func (w *statusWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// WriteHeader starts the response, unless the status is informational.
func (w *statusWriter) WriteHeader(status int) {
	if status >= 200 || status == http.StatusSwitchingProtocols {
		w.start(status)
	}
	w.ResponseWriter.WriteHeader(status)
}

// Write starts the response.
func (w *statusWriter) Write(p []byte) (int, error) {
	w.start(http.StatusOK)
	return w.ResponseWriter.Write(p)
}

// ReadFrom copies by the kernel, if the writer below can. A reader that fails
// before its first byte has not started the response.
func (w *statusWriter) ReadFrom(r io.Reader) (n int64, err error) {
	first := w.status.CompareAndSwap(0, http.StatusOK)
	if rf, ok := w.ResponseWriter.(io.ReaderFrom); ok {
		n, err = rf.ReadFrom(r)
	} else {
		n, err = io.Copy(struct{ io.Writer }{w.ResponseWriter}, r)
	}
	if n == 0 && first {
		w.status.Store(0)
	}
	return n, err
}

// FlushError sends what is buffered, if the writer below can.
func (w *statusWriter) FlushError() error {
	w.start(http.StatusOK)
	return http.NewResponseController(w.ResponseWriter).Flush()
}

// Flush is FlushError for callers that look for an http.Flusher.
func (w *statusWriter) Flush() { _ = w.FlushError() }

// Hijack takes over the connection, if the writer below can.
func (w *statusWriter) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, rw, err := http.NewResponseController(w.ResponseWriter).Hijack()
	if err == nil {
		w.start(http.StatusSwitchingProtocols)
	}
	return conn, rw, err
}
