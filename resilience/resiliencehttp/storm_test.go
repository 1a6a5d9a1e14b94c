package resiliencehttp_test

import (
	"bytes"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/perfblocks/perfblocks/resilience"
	"github.com/perfblocks/perfblocks/resilience/resiliencehttp"
)

// stormServer answers 503 with a body, but holds what goes to /warm until so many are
// there as it has workers, so that each of them has a connection.
type stormServer struct {
	*httptest.Server
	opened, requests atomic.Int32
}

func newStormServer(workers int, h2 bool) *stormServer {
	s := &stormServer{}
	var warm sync.WaitGroup
	warm.Add(workers)
	s.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/warm" {
			warm.Done()
			warm.Wait()
			return
		}
		s.requests.Add(1)
		w.WriteHeader(http.StatusServiceUnavailable)
		_, _ = w.Write(bytes.Repeat([]byte("x"), 10_000))
	}))
	s.Config.ConnState = func(_ net.Conn, st http.ConnState) {
		if st == http.StateNew {
			s.opened.Add(1)
		}
	}
	if h2 {
		s.EnableHTTP2 = true
		s.StartTLS()
	} else {
		s.Start()
	}
	return s
}

// TestTransportReusesConnections sends 20 requests of up to four attempts each into a
// storm of 503s. One connection for each worker serves them all, and nothing is left
// running.
func TestTransportReusesConnections(t *testing.T) {
	for _, c := range []struct {
		workers int
		h2      bool
		most    int32
	}{{1, false, 1}, {4, false, 4}, {20, false, 20}, {4, true, 4}} {
		s := newStormServer(c.workers, c.h2)
		base := s.Client().Transport.(*http.Transport)
		base.MaxIdleConnsPerHost = c.workers
		tr := newTransport(t, base, resiliencehttp.TransportOptions{
			DisableBreaker: true, DisableBudget: true, AttemptTimeout: time.Minute,
			Retry: resilience.RetryOptions{MaxAttempts: 4, BaseDelay: time.Millisecond},
		})
		client := &http.Client{Transport: tr}
		put := func(path string) {
			resp, err := client.Do(must(http.NewRequestWithContext(t.Context(), http.MethodPut, s.URL+path, strings.NewReader("x"))))
			if err != nil {
				t.Error(err)
				return
			}
			if text, err := io.ReadAll(resp.Body); err != nil || resp.StatusCode == 503 && len(text) != 10_000 {
				t.Errorf("the last answer has %d bytes, %v; want 10,000", len(text), err)
			}
			_ = resp.Body.Close()
		}
		each := func(f func()) {
			var wg sync.WaitGroup
			for range c.workers {
				wg.Go(f)
			}
			wg.Wait()
		}
		each(func() { put("/warm") })
		before := runtime.NumGoroutine()
		each(func() {
			for range 20 / c.workers {
				put("/storm")
			}
		})
		growth := goroutines(before) - before
		if n := s.opened.Load(); n > c.most || growth > 0 || s.requests.Load() != 80 {
			t.Errorf("%d workers, HTTP/2 %v: %d connections, %d more goroutines, %d attempts; want at most %d, 0, 80",
				c.workers, c.h2, n, growth, s.requests.Load(), c.most)
		}
		tr.CloseIdleConnections()
		s.Close()
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// goroutines counts them, and gives those that are about to end a moment if there are
// more than wanted.
func goroutines(wanted int) (n int) {
	for range 200 {
		if n = runtime.NumGoroutine(); n <= wanted {
			break
		}
		time.Sleep(5 * time.Millisecond)
	}
	return n
}

// TestTransportFreesTheConnectionWhileItWaits checks that the only connection serves
// another request while the first one waits for its second attempt.
func TestTransportFreesTheConnectionWhileItWaits(t *testing.T) {
	var n atomic.Int32
	other := make(chan struct{})
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.Path == "/other":
			close(other)
		case n.Add(1) == 1:
			http.Error(w, "not yet", http.StatusServiceUnavailable)
		}
	}))
	defer s.Close()
	base := &http.Transport{MaxConnsPerHost: 1}
	defer base.CloseIdleConnections()
	client := &http.Client{Transport: newTransport(t, base, resiliencehttp.TransportOptions{
		Retry: resilience.RetryOptions{BaseDelay: time.Millisecond},
		Hooks: resilience.Hooks{Retry: func(resilience.RetryEvent) { // The wait begins.
			resp, err := (&http.Client{Transport: base, Timeout: 10 * time.Second}).Get(s.URL + "/other")
			if err != nil {
				t.Errorf("the other request: %v", err)
				return
			}
			_ = resp.Body.Close()
		}},
	})}
	resp, err := client.Get(s.URL + "/first")
	if err != nil || resp.StatusCode != 200 || n.Load() != 2 {
		t.Fatalf("Get = %v, %v after %d attempts", resp, err, n.Load())
	}
	_ = resp.Body.Close()
	<-other
}
