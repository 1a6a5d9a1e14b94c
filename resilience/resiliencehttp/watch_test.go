package resiliencehttp_test

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/perfblocks/perfblocks/resilience"
	"github.com/perfblocks/perfblocks/resilience/resiliencehttp"
)

func newRegistry(t *testing.T, o resilience.BreakerOptions) *resilience.Registry {
	t.Helper()
	r, err := resilience.NewRegistry(resilience.RegistryOptions{Breaker: o})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// TestMiddlewareBreakerSeesStatuses tells for each way to answer whether five of them
// open the breaker.
func TestMiddlewareBreakerSeesStatuses(t *testing.T) {
	status := func(code int) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(code) }
	}
	inner := newMiddleware(t, resiliencehttp.MiddlewareOptions{RateLimit: &resiliencehttp.RateLimitOptions{Requests: 1, Per: time.Hour}})
	closed := newRegistry(t, resilience.BreakerOptions{})
	closed.Breaker("server").ForceOpen()
	refusing := newMiddleware(t, resiliencehttp.MiddlewareOptions{Registry: closed})
	refusingTimed := newMiddleware(t, resiliencehttp.MiddlewareOptions{Registry: closed, Timeout: time.Second})
	for _, c := range []struct {
		name    string
		handler http.Handler
		opens   bool
	}{
		{"500", status(500), true},
		{"503 of the handler", status(503), true},
		{"504", status(504), true},
		{"599", status(599), true},
		{"501", status(501), false},
		{"404", status(404), false},
		{"429", status(429), false},
		{"nothing written", http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}), false},
		{"200, then 500", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, "ok")
			w.WriteHeader(500)
		}), false},
		{"early hints, then 500", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusEarlyHints)
			w.WriteHeader(500)
		}), true},
		{"an error", resiliencehttp.ErrorHandling{Logger: slog.New(slog.DiscardHandler)}.Handler(
			func(http.ResponseWriter, *http.Request) error { return errReset }), true},
		{"a panic", http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic("boom") }), true},
		{"an abort", http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }), false},
		{"an abort of a 502", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(502)
			panic(http.ErrAbortHandler)
		}), true},
		{"too late", http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }), true},
		{"limited further in", inner.Wrap(status(200)), false},
		{"refused further in", refusing.Wrap(status(200)), false},
		{"refused further in, behind other writers", wrapWriter(refusingTimed.Wrap(status(200))), false},
	} {
		for _, timeout := range []time.Duration{0, time.Second} {
			if c.name == "too late" && timeout == 0 {
				continue
			}
			synctest.Test(t, func(t *testing.T) {
				reg := newRegistry(t, resilience.BreakerOptions{Consecutive: 5})
				var reasons []string
				m := newMiddleware(t, resiliencehttp.MiddlewareOptions{
					Registry: reg, Timeout: timeout,
					Hooks: resiliencehttp.MiddlewareHooks{Rejected: func(_ *http.Request, reason string) { reasons = append(reasons, reason) }},
				})
				h := m.Wrap(c.handler)
				for range 5 {
					getRecovered(h)
				}
				synctest.Wait()
				b := reg.Breaker("server")
				if open := b.State() == resilience.StateOpen; open != c.opens {
					t.Errorf("%s, timeout %v: state %v; want open: %v", c.name, timeout, b.State(), c.opens)
				}
				if !c.opens {
					return
				}
				reasons = nil
				w := get(h)
				p := problem(t, w)
				if w.Code != 503 || p.Code != "unavailable" || w.Header().Get("Retry-After") != "1" {
					t.Errorf("%s: an open breaker gives %d %+v %v", c.name, w.Code, p, w.Header())
				}
				if s := m.Stats(); s.Refused != 1 || len(reasons) != 1 || reasons[0] != "breaker" {
					t.Errorf("%s: Stats = %+v, reasons %v", c.name, s, reasons)
				}
			})
		}
	}
}

// wrapWriter puts a writer of somebody else's around h.
func wrapWriter(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { h.ServeHTTP(&otherWriter{w}, r) })
}

type otherWriter struct{ http.ResponseWriter }

func (w *otherWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// getRecovered serves a request as net/http does, which ends an abort.
func getRecovered(h http.Handler) {
	defer func() { _ = recover() }()
	get(h)
}

// TestMiddlewareBreakerIgnoresClientsThatLeave checks that a 500 after the client
// went away says nothing.
func TestMiddlewareBreakerIgnoresClientsThatLeave(t *testing.T) {
	reg := newRegistry(t, resilience.BreakerOptions{Consecutive: 1})
	h := newMiddleware(t, resiliencehttp.MiddlewareOptions{Registry: reg}).Wrap(
		http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(500) }))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	serve(h, httptest.NewRequest("GET", "/", nil).WithContext(ctx))
	if s := reg.Breaker("server").Stats(); s.State != resilience.StateClosed || s.Results != 0 {
		t.Errorf("after the client went away: %+v; want nothing counted", s)
	}
	get(h)
	if s := reg.Breaker("server").State(); s != resilience.StateOpen {
		t.Errorf("state %v; want open", s)
	}
}

// TestMiddlewareBreakerPerRoute checks the names, and that a route recovers.
func TestMiddlewareBreakerPerRoute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		reg := newRegistry(t, resilience.BreakerOptions{Consecutive: 3, OpenFor: 3 * time.Second, MaxOpenFor: 3 * time.Second, OpenJitter: -1, SuccessToClose: 1})
		m := newMiddleware(t, resiliencehttp.MiddlewareOptions{Registry: reg, Timeout: time.Minute})
		down := true
		mux := http.NewServeMux()
		mux.Handle("GET /bad/{id}", m.Wrap(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			if down {
				w.WriteHeader(500)
			}
		})))
		mux.Handle("GET /good", m.Wrap(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})))
		ask := func(path string) *httptest.ResponseRecorder { return serve(mux, httptest.NewRequest("GET", path, nil)) }
		for range 3 {
			ask("/bad/1")
		}
		if w := ask("/bad/2"); w.Code != 503 || w.Header().Get("Retry-After") != "3" {
			t.Errorf("the bad route: %d %v; want 503, Retry-After 3", w.Code, w.Header())
		}
		if w := ask("/good"); w.Code != 200 {
			t.Errorf("the good route: %d; want 200", w.Code)
		}
		down = false
		time.Sleep(4 * time.Second)
		if w := ask("/bad/3"); w.Code != 200 || reg.Breaker("GET /bad/{id}").State() != resilience.StateClosed {
			t.Errorf("after recovery: %d, %v", w.Code, reg.Breaker("GET /bad/{id}").State())
		}
	})
}

// TestMiddlewareShedsHungHandlers checks that handlers which go on after their
// timeout keep their places, so that their number is bounded.
func TestMiddlewareShedsHungHandlers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const limit = 4
		m := newMiddleware(t, resiliencehttp.MiddlewareOptions{
			Timeout: time.Second, Shed: &resiliencehttp.ShedOptions{MinLimit: limit, InitialLimit: limit, MaxLimit: limit},
		})
		hang := make(chan struct{})
		var running atomic.Int64
		h := m.Wrap(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
			running.Add(1)
			<-hang
		}))
		codes := map[string]int{}
		for range 3 * limit {
			codes[problem(t, get(h)).Code]++
		}
		if codes["timeout"] != limit || codes["overloaded"] != 2*limit || running.Load() != limit {
			t.Errorf("answers %v, %d handlers run; want %d timeouts and the rest shed", codes, running.Load(), limit)
		}
		if s := m.Stats(); s.Abandoned != limit || s.InFlight != 0 || s.TimedOut != limit {
			t.Errorf("Stats = %+v", s)
		}
		close(hang)
		synctest.Wait()
		if s := m.Stats(); s.Abandoned != 0 {
			t.Errorf("Stats = %+v; want nothing abandoned", s)
		}
		if w := get(h); w.Code != 200 {
			t.Errorf("afterwards: %d; want 200", w.Code)
		}
	})
}

// TestMiddlewarePanicsOfOptions checks that a function of the options that panics costs
// no place.
func TestMiddlewarePanicsOfOptions(t *testing.T) {
	bad := true
	m := newMiddleware(t, resiliencehttp.MiddlewareOptions{
		Shed: &resiliencehttp.ShedOptions{MinLimit: 1, InitialLimit: 1, MaxLimit: 1}, Registry: newRegistry(t, resilience.BreakerOptions{}),
		BreakerName: func(*http.Request) string {
			if bad {
				panic("no name")
			}
			return "name"
		},
	})
	h := m.Wrap(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	if w := get(h); w.Code != 500 {
		t.Errorf("%d; want 500", w.Code)
	}
	bad = false
	if w := get(h); w.Code != 200 {
		t.Errorf("afterwards %d; want 200", w.Code)
	}
}
