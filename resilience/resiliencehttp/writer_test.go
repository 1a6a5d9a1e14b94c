package resiliencehttp_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/perfblocks/perfblocks/resilience"
	"github.com/perfblocks/perfblocks/resilience/resiliencehttp"
)

// stacks are the ways in which a handler may stand behind this package.
func stacks(t *testing.T) map[string]func(http.Handler) http.Handler {
	options := func(timeout time.Duration) resiliencehttp.MiddlewareOptions {
		return resiliencehttp.MiddlewareOptions{
			Timeout: timeout, Shed: &resiliencehttp.ShedOptions{}, Registry: newRegistry(t, resilience.BreakerOptions{}),
			RateLimit: &resiliencehttp.RateLimitOptions{Requests: 1000},
		}
	}
	handling := func(h http.Handler) http.Handler {
		return resiliencehttp.ErrorHandling{Logger: slog.New(slog.DiscardHandler)}.Handler(
			func(w http.ResponseWriter, r *http.Request) error { h.ServeHTTP(w, r); return nil })
	}
	plain, timed := newMiddleware(t, options(0)), newMiddleware(t, options(time.Minute))
	return map[string]func(http.Handler) http.Handler{
		"middleware": plain.Wrap, "with a timeout": timed.Wrap, "error handling": handling,
		"all": func(h http.Handler) http.Handler { return plain.Wrap(timed.Wrap(handling(h))) },
	}
}

// TestStackKeepsEventStreams checks that each event arrives as it is sent.
func TestStackKeepsEventStreams(t *testing.T) {
	for name, wrap := range stacks(t) {
		next := make(chan struct{})
		s := httptest.NewServer(wrap(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			f, ok := w.(http.Flusher)
			if !ok {
				t.Errorf("%s: %T is no http.Flusher", name, w)
				return
			}
			w.Header().Set("Content-Type", "text/event-stream")
			for i := range 3 {
				fmt.Fprintf(w, "data: %d\n", i)
				f.Flush()
				<-next // The client has it.
			}
		})))
		resp, err := http.Get(s.URL)
		if err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewReader(resp.Body)
		for i := range 3 {
			if line, err := lines.ReadString('\n'); line != fmt.Sprintf("data: %d\n", i) {
				t.Errorf("%s: %q, %v", name, line, err)
			}
			next <- struct{}{}
		}
		_ = resp.Body.Close()
		s.Close()
	}
}

// TestStackKeepsTakeovers checks that a websocket's handshake and lines get through.
func TestStackKeepsTakeovers(t *testing.T) {
	for _, wrap := range stacks(t) {
		s := httptest.NewServer(wrap(echo()))
		base := &http.Transport{}
		checkEcho(t, base, s.URL)
		base.CloseIdleConnections()
		s.Close()
	}
}

// TestStackKeepsCopies checks that files go to the writer of net/http by ReadFrom,
// which can leave the copying to the kernel, and arrive whole.
func TestStackKeepsCopies(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	want := strings.Repeat("0123456789abcdef", 64<<10)
	if err := os.WriteFile(path, []byte(want), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, wrap := range stacks(t) {
		var copied int64
		count := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			wrap(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				_ = http.NewResponseController(w).EnableFullDuplex()
				http.ServeFile(w, r, path)
			})).ServeHTTP(&countingWriter{w, &copied}, r)
		})
		s := httptest.NewServer(count)
		resp, err := http.Get(s.URL)
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		s.Close()
		if string(got) != want || err != nil || copied < int64(len(want)-512) {
			t.Errorf("%s: %d bytes, %v, of which %d by ReadFrom; want %d", name, len(got), err, copied, len(want))
		}
	}
}

// countingWriter counts what net/http's writer gets by ReadFrom.
type countingWriter struct {
	http.ResponseWriter
	n *int64
}

func (w *countingWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func (w *countingWriter) ReadFrom(r io.Reader) (int64, error) {
	n, err := w.ResponseWriter.(io.ReaderFrom).ReadFrom(r)
	*w.n += n
	return n, err
}

// TestMiddlewareTimeoutDuringReadFrom checks that a source which gives nothing does not
// start the response, and that its end is passed on.
func TestMiddlewareTimeoutDuringReadFrom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMiddleware(t, resiliencehttp.MiddlewareOptions{Timeout: time.Second})
		errs := make(chan error, 1)
		w := get(m.Wrap(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_, err := io.Copy(w, readerFunc(func(p []byte) (int, error) {
				<-r.Context().Done()
				return copy(p, "late"), nil
			}))
			errs <- err
		})))
		if err := <-errs; w.Code != 503 || !errors.Is(err, http.ErrHandlerTimeout) || strings.Contains(w.Body.String(), "late") {
			t.Errorf("%d %q, %v; want 503", w.Code, w.Body, err)
		}
		w = get(m.Wrap(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			_, err := io.Copy(w, io.MultiReader(strings.NewReader("half"), readerFunc(func([]byte) (int, error) { return 0, errReset })))
			errs <- err
		})))
		if err := <-errs; !errors.Is(err, errReset) || w.Body.String() != "half" {
			t.Errorf("%q, %v; want half and the reader's error", w.Body, err)
		}
	})
}

// TestMiddlewareTimeoutHasACause checks what a handler that was given up is told, and
// that its own complaint about it is not a second failure.
func TestMiddlewareTimeoutHasACause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log strings.Builder
		l := slog.New(slog.NewTextHandler(&log, nil))
		m := newMiddleware(t, resiliencehttp.MiddlewareOptions{Timeout: time.Second, Logger: l})
		var other error
		h := m.Wrap(resiliencehttp.ErrorHandling{Logger: l}.Handler(func(_ http.ResponseWriter, r *http.Request) error {
			<-r.Context().Done()
			if cause := context.Cause(r.Context()); !errors.Is(cause, resilience.ErrTimeout) {
				t.Errorf("the context ended by %v; want ErrTimeout", cause)
			}
			if other != nil {
				return other
			}
			return fmt.Errorf("query: %w", context.Cause(r.Context()))
		}))
		get(h)
		synctest.Wait()
		if n := strings.Count(log.String(), "level=ERROR"); n != 1 || !strings.Contains(log.String(), "request timed out") {
			t.Errorf("%d records:\n%s\nwant the timeout once", n, log.String())
		}
		log.Reset()
		other = errors.New("disk is full")
		get(h)
		synctest.Wait()
		if n := strings.Count(log.String(), "level=ERROR"); n != 2 {
			t.Errorf("%d records:\n%s\nwant the timeout and the handler's own failure", n, log.String())
		}
	})
}
