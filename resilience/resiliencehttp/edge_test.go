package resiliencehttp_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"math"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/perfblocks/perfblocks/resilience"
	"github.com/perfblocks/perfblocks/resilience/resiliencehttp"
)

// TestTransportNeverRepeatsAUsedBody checks that a body which cannot be replayed is
// sent once, whatever the user's rule for retries says.
func TestTransportNeverRepeatsAUsedBody(t *testing.T) {
	for _, status := range []int{0, 503} {
		synctest.Test(t, func(t *testing.T) {
			sent := 0
			base := roundTripFunc(func(r *http.Request) (*http.Response, error) {
				sent++
				if got, _ := io.ReadAll(r.Body); string(got) != "payload" {
					t.Errorf("attempt %d sent %q", sent, got)
				}
				_ = r.Body.Close()
				if status == 0 {
					return nil, errReset
				}
				resp, _ := answer(status, "sorry")
				return resp, nil
			})
			asked := 0
			tr := newTransport(t, base, resiliencehttp.TransportOptions{Retry: resilience.RetryOptions{
				If: func(error, resilience.Info) bool { asked++; return true },
			}})
			r, _ := http.NewRequest(http.MethodPut, "http://up/", io.MultiReader(strings.NewReader("payload")))
			resp, err := tr.RoundTrip(r)
			if sent != 1 || (status == 0) != errors.Is(err, errReset) || status != 0 && resp.StatusCode != status {
				t.Errorf("RoundTrip = %v, %v after %d attempts; want one", resp, err, sent)
			}
			r, _ = http.NewRequest(http.MethodPut, "http://up/", strings.NewReader("payload"))
			if _, _ = tr.RoundTrip(r); sent != 5 || asked == 0 {
				t.Errorf("a body that can be replayed: %d attempts; want 4", sent-1)
			}
		})
	}
}

// TestTransportPoorBase checks what a base may do that does not keep its contract,
// and http.Client puts up with.
// closeCounter is a body that notes how often it was closed.
type closeCounter struct {
	io.Reader
	closed *atomic.Int32
}

func (c closeCounter) Close() error { c.closed.Add(1); return nil }

// TestTransportGetBodyFails has a body that cannot be had again although it promised
// to be: that is the caller's fault and must not open the breaker of the host.
func TestTransportGetBodyFails(t *testing.T) {
	var bodies, sent atomic.Int32
	base := roundTripFunc(func(*http.Request) (*http.Response, error) {
		sent.Add(1)
		return &http.Response{StatusCode: 503, Body: closeCounter{strings.NewReader("busy"), &bodies}}, nil
	})
	registry, err := resilience.NewRegistry(resilience.RegistryOptions{Breaker: resilience.BreakerOptions{Consecutive: 2}})
	if err != nil {
		t.Fatal(err)
	}
	tr, err := resiliencehttp.NewTransport(base, resiliencehttp.TransportOptions{
		Registry: registry, Retry: resilience.RetryOptions{BaseDelay: -1},
	})
	if err != nil {
		t.Fatal(err)
	}
	broken := errors.New("file is gone")
	r, err := http.NewRequest("PUT", "http://host.example/", strings.NewReader("x"))
	if err != nil {
		t.Fatal(err)
	}
	r.GetBody = func() (io.ReadCloser, error) { return nil, broken }
	if _, err := tr.RoundTrip(r); !errors.Is(err, broken) {
		t.Errorf("RoundTrip = %v; want the error of GetBody", err)
	}
	if s := registry.Breaker("host.example").Stats(); s.State != resilience.StateClosed || s.Failures != 1 {
		t.Errorf("Stats = %+v; want the one failure that the host is to blame for", s)
	}
	if sent.Load() != 1 || bodies.Load() != 1 {
		t.Errorf("sent %d times, response closed %d times; want 1 and 1", sent.Load(), bodies.Load())
	}
}

// TestTransportPanicsCloseTheResponse has options of the user that panic while a
// failed response is open.
func TestTransportPanicsCloseTheResponse(t *testing.T) {
	for name, o := range map[string]resiliencehttp.TransportOptions{
		"If at once": {Retry: resilience.RetryOptions{If: func(error, resilience.Info) bool { panic("if") }}},
		"If late": {Retry: resilience.RetryOptions{If: func() func(error, resilience.Info) bool {
			n := 0
			return func(error, resilience.Info) bool {
				if n++; n > 1 {
					panic("if")
				}
				return true
			}
		}()}},
		"Failed": {Retry: resilience.RetryOptions{MaxAttempts: 1}, Hooks: resilience.Hooks{Failed: func(resilience.FailedEvent) { panic("failed") }}},
	} {
		var bodies atomic.Int32
		base := roundTripFunc(func(*http.Request) (*http.Response, error) {
			return &http.Response{StatusCode: 404, Body: closeCounter{strings.NewReader("x"), &bodies}}, nil
		})
		if name == "Failed" {
			base = func(*http.Request) (*http.Response, error) {
				return &http.Response{StatusCode: 503, Body: closeCounter{strings.NewReader("x"), &bodies}}, nil
			}
		}
		tr, err := resiliencehttp.NewTransport(base, o)
		if err != nil {
			t.Fatal(err)
		}
		func() {
			defer func() { _ = recover() }()
			_, err := tr.RoundTrip(httptest.NewRequest("GET", "http://host.example/", nil))
			t.Errorf("%s: RoundTrip = %v; want a panic", name, err)
		}()
		if n := bodies.Load(); n != 1 {
			t.Errorf("%s: the response was closed %d times; want 1", name, n)
		}
	}
}

func TestTransportPoorBase(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, timeout := range []time.Duration{0, time.Second} {
			for _, status := range []int{200, 503} {
				tr := newTransport(t, roundTripFunc(func(*http.Request) (*http.Response, error) {
					return &http.Response{StatusCode: status}, nil
				}), resiliencehttp.TransportOptions{AttemptTimeout: timeout})
				resp, err := (&http.Client{Transport: tr}).Get("http://up/")
				if err != nil || resp.StatusCode != status {
					t.Fatalf("Get = %v, %v; want %d", resp, err, status)
				}
				if _, err := io.ReadAll(resp.Body); err != nil {
					t.Error(err)
				}
				_ = resp.Body.Close()
			}
			tr := newTransport(t, roundTripFunc(func(*http.Request) (*http.Response, error) {
				return nil, nil
			}), resiliencehttp.TransportOptions{AttemptTimeout: timeout})
			if resp, err := (&http.Client{Transport: tr}).Get("http://up/"); err == nil {
				t.Errorf("Get = %v, nil; want an error", resp)
			}
		}
	})
}

// TestTransportHungErrorBody checks that a failed response whose body never ends
// does not hold the retry up.
func TestTransportHungErrorBody(t *testing.T) {
	var n atomic.Int64
	gone := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if n.Add(1) > 1 {
			return
		}
		w.WriteHeader(http.StatusServiceUnavailable)
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
		close(gone)
	}))
	defer server.Close()
	base := &http.Transport{}
	defer base.CloseIdleConnections()
	for _, timeout := range []time.Duration{0, time.Minute} {
		n.Store(0)
		gone = make(chan struct{})
		tr := newTransport(t, base, resiliencehttp.TransportOptions{
			AttemptTimeout: timeout, Retry: resilience.RetryOptions{BaseDelay: -1},
		})
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		r, _ := http.NewRequestWithContext(ctx, http.MethodGet, server.URL, nil)
		resp, err := tr.RoundTrip(r)
		if err != nil || resp.StatusCode != http.StatusOK {
			t.Fatalf("RoundTrip = %v, %v; want 200", resp, err)
		}
		_ = resp.Body.Close()
		<-gone
		cancel()
	}
}

// TestTransportMetricsAreUnique checks that no series comes twice, as scrapers ask.
func TestTransportMetricsAreUnique(t *testing.T) {
	budget, err := resilience.NewBudget(resilience.BudgetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	tr := newTransport(t, roundTripFunc(func(*http.Request) (*http.Response, error) {
		resp, _ := answer(200, "")
		return resp, nil
	}), resiliencehttp.TransportOptions{Budget: budget})
	for _, u := range []string{"http://a/", "http://b/", "http://c/"} {
		r, _ := http.NewRequest(http.MethodGet, u, nil)
		if _, err := tr.RoundTrip(r); err != nil {
			t.Fatal(err)
		}
	}
	seen := map[string]bool{}
	for name := range tr.Metrics() {
		if seen[name] {
			t.Errorf("%s comes twice", name)
		}
		seen[name] = true
	}
	if !seen[`resilience_budget_tokens{budget="budget"}`] || !seen[`resilience_calls_total{pipeline="http/c"}`] {
		t.Errorf("series are missing: %v", seen)
	}
}

// TestTransportTimeoutIsATimeout checks what callers of net/http look at.
func TestTransportTimeoutIsATimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tr := newTransport(t, roundTripFunc(func(r *http.Request) (*http.Response, error) {
			<-r.Context().Done()
			return nil, r.Context().Err()
		}), resiliencehttp.TransportOptions{AttemptTimeout: time.Second})
		for _, method := range []string{http.MethodGet, http.MethodPost} {
			r, _ := http.NewRequest(method, "http://up/", nil)
			_, err := (&http.Client{Transport: tr}).Do(r)
			if e, ok := errors.AsType[*url.Error](err); !ok || !e.Timeout() || !errors.Is(err, resilience.ErrTimeout) {
				t.Errorf("%s = %v; want a timeout", method, err)
			}
		}
	})
}

// TestMiddlewareLosesNoPanic lets handlers panic just when their time is up.
func TestMiddlewareLosesNoPanic(t *testing.T) {
	const rounds = 3000
	m := newMiddleware(t, resiliencehttp.MiddlewareOptions{Timeout: time.Millisecond, Logger: slog.New(slog.DiscardHandler)})
	h := m.Wrap(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		time.Sleep(time.Millisecond)
		panic("late")
	}))
	synctest.Test(t, func(t *testing.T) {
		var wg sync.WaitGroup
		for range rounds {
			wg.Go(func() { h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/", nil)) })
		}
		wg.Wait()
		synctest.Wait()
	})
	if s := m.Stats(); s.Panics != rounds {
		t.Errorf("Panics = %d; want %d", s.Panics, rounds)
	}
}

// TestMiddlewareLateHandlerHasNoConnection checks that a handler whose answer was
// given up cannot reach the connection, which serves other requests by then.
func TestMiddlewareLateHandlerHasNoConnection(t *testing.T) {
	m := newMiddleware(t, resiliencehttp.MiddlewareOptions{Timeout: time.Millisecond})
	result := make(chan [5]error, 1)
	server := httptest.NewServer(m.Wrap(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		<-r.Context().Done()
		rc := http.NewResponseController(w)
		var errs [5]error
		_, errs[0] = w.Write([]byte("late"))
		errs[1] = rc.Flush()
		errs[2] = rc.SetReadDeadline(time.Now())
		errs[3] = rc.SetWriteDeadline(time.Now())
		_, _, errs[4] = rc.Hijack()
		result <- errs
	})))
	defer server.Close()
	resp, err := http.Get(server.URL)
	if err != nil || resp.StatusCode != http.StatusServiceUnavailable {
		t.Fatalf("Get = %v, %v; want 503", resp, err)
	}
	_ = resp.Body.Close()
	for i, err := range <-result {
		if !errors.Is(err, http.ErrHandlerTimeout) {
			t.Errorf("call %d of the late handler = %v; want ErrHandlerTimeout", i, err)
		}
	}
}

// TestMiddlewareKeepsTheWriter checks that what net/http's writer can do is there
// behind the middleware: copying by the kernel, and taking over the connection.
func TestMiddlewareKeepsTheWriter(t *testing.T) {
	m := newMiddleware(t, resiliencehttp.MiddlewareOptions{Logger: slog.New(slog.DiscardHandler)})
	server := httptest.NewServer(m.Wrap(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/copy" {
			if _, ok := w.(io.ReaderFrom); !ok {
				t.Errorf("%T is no io.ReaderFrom", w)
			}
			_, _ = io.Copy(w, strings.NewReader("whole"))
			return
		}
		conn, _, err := w.(http.Hijacker).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		_, _ = io.WriteString(conn, "HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n")
		_ = conn.Close()
		panic("after the hijack") // Nothing more may be written.
	})))
	defer server.Close()
	for path, status := range map[string]int{"/copy": 200, "/hijack": 204} {
		resp, err := http.Get(server.URL + path)
		if err != nil || resp.StatusCode != status {
			t.Fatalf("Get %s = %v, %v; want %d", path, resp, err, status)
		}
		_ = resp.Body.Close()
	}
}

// TestMiddlewareExtremes checks that the largest settings serve.
func TestMiddlewareExtremes(t *testing.T) {
	m := newMiddleware(t, resiliencehttp.MiddlewareOptions{
		Timeout:   math.MaxInt64,
		Shed:      &resiliencehttp.ShedOptions{MinLimit: 1, InitialLimit: 1, MaxLimit: math.MaxInt32, RetryAfter: math.MaxInt64},
		RateLimit: &resiliencehttp.RateLimitOptions{Requests: 1, Per: math.MaxInt64, MaxClients: 1},
	})
	h := m.Wrap(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) }))
	for i, want := range []int{204, 429, 204, 204} { // A second client makes the first one forgotten.
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.RemoteAddr = net.JoinHostPort([]string{"10.0.0.1", "10.0.0.1", "10.0.0.2", "10.0.0.1"}[i], "1")
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code != want {
			t.Errorf("request %d = %d; want %d", i, w.Code, want)
		}
	}
}

// TestTransportAnswerAtTheTimeout checks that an answer which comes as the
// attempt's time runs out is not handed on with a body that cannot be read.
func TestTransportAnswerAtTheTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var late []*body
		tr := newTransport(t, roundTripFunc(func(*http.Request) (*http.Response, error) {
			if len(late) < 1 {
				time.Sleep(2 * time.Second)
			}
			resp, b := answer(200, "text")
			late = append(late, b)
			return resp, nil
		}), resiliencehttp.TransportOptions{AttemptTimeout: time.Second})
		resp, err := (&http.Client{Transport: tr}).Get("http://up/")
		if err != nil || len(late) != 2 || !late[0].closed {
			t.Fatalf("Get = %v, %v after %d attempts; want the second one's answer, the first closed", resp, err, len(late))
		}
		_ = resp.Body.Close()
	})
}

// circular is an error that wraps itself. Package errors never comes back from it.
type circular struct{}

func (*circular) Error() string   { return "circular" }
func (c *circular) Unwrap() error { return c }

func TestProblemOfCircularError(t *testing.T) {
	if p := resiliencehttp.ProblemOf(&circular{}); p.Status != http.StatusInternalServerError {
		t.Errorf("ProblemOf = %+v; want 500", p)
	}
}
