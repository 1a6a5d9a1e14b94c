package resiliencehttp_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/perfblocks/perfblocks/resilience"
	"github.com/perfblocks/perfblocks/resilience/resiliencehttp"
)

const secret = "hunter2"

// lockedBuffer is a log that handlers may write to at once.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer // guarded by mu
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

type secretError struct{ URL string }

func (e secretError) Error() string { return "get " + e.URL }

// failures are the ways to fail with a secret in hand.
func failures() map[string]func(http.ResponseWriter, *http.Request) error {
	leaky := &url.Error{Op: "Get", URL: "https://user:" + secret + "@up/?token=" + secret, Err: errReset}
	many := &resilience.BreakerOpenError{Name: secret, Cause: leaky}
	return map[string]func(http.ResponseWriter, *http.Request) error{
		"plain":   func(http.ResponseWriter, *http.Request) error { return errors.New("dial " + secret) },
		"wrapped": func(http.ResponseWriter, *http.Request) error { return fmt.Errorf("%s: %w", secret, leaky) },
		"joined":  func(http.ResponseWriter, *http.Request) error { return errors.Join(leaky, errors.New(secret)) },
		"marked": func(http.ResponseWriter, *http.Request) error {
			return resilience.Mark(leaky, resilience.ClassInternal)
		},
		"public":   func(http.ResponseWriter, *http.Request) error { return resilience.Public(leaky, "try later") },
		"own type": func(http.ResponseWriter, *http.Request) error { return secretError{leaky.URL} },
		"breaker":  func(http.ResponseWriter, *http.Request) error { return many },
		"retry after": func(http.ResponseWriter, *http.Request) error {
			return &resiliencehttp.StatusError{Status: 503, RetryAfter: secret}
		},
		"started": func(w http.ResponseWriter, _ *http.Request) error {
			_, _ = io.WriteString(w, "half")
			return leaky
		},
		"panic with text":  func(http.ResponseWriter, *http.Request) error { panic("bad " + secret) },
		"panic with error": func(http.ResponseWriter, *http.Request) error { panic(leaky) },
		"panic with value": func(http.ResponseWriter, *http.Request) error { panic(secretError{secret}) },
		"too late": func(_ http.ResponseWriter, r *http.Request) error {
			<-r.Context().Done()
			return fmt.Errorf("%s: %w", secret, r.Context().Err())
		},
		"panic, too late": func(_ http.ResponseWriter, r *http.Request) error { <-r.Context().Done(); panic(secret) },
	}
}

// TestNoSecretGetsOut plants a secret in the URL's userinfo, query and path, in headers,
// in errors and panics, and looks for it in all that is logged and answered, through
// each handler there is and slog's own, with and without a guard.
func TestNoSecretGetsOut(t *testing.T) {
	g, err := resilience.NewGuard(resilience.GuardOptions{First: 1})
	if err != nil {
		t.Fatal(err)
	}
	for name, fail := range failures() {
		for _, guarded := range []bool{false, true} {
			var log lockedBuffer
			var inner slog.Handler = slog.NewMultiHandler(slog.NewTextHandler(&log, nil), slog.NewJSONHandler(&log, nil))
			if guarded {
				inner = g.Handler(inner)
			}
			l := slog.New(inner)
			m := newMiddleware(t, resiliencehttp.MiddlewareOptions{
				Timeout: 20 * time.Millisecond, Logger: l, Registry: newRegistry(t, resilience.BreakerOptions{Consecutive: 1}),
			})
			handling := resiliencehttp.ErrorHandling{Logger: l}.Handler(fail)
			bare := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _ = fail(w, r) })
			s := httptest.NewServer(wrapWriter(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				m.Wrap(map[bool]http.Handler{true: handling, false: bare}[r.Method == "POST"]).ServeHTTP(w, r)
			})))
			s.Config.ErrorLog = slog.NewLogLogger(inner, slog.LevelError)
			for _, method := range []string{"POST", "GET", "POST"} { // The last one meets an open breaker.
				r := must(http.NewRequestWithContext(t.Context(), method, strings.Replace(s.URL, "://", "://user:"+secret+"@", 1)+"/"+secret+"?token="+secret, nil))
				r.Header.Set("X-Api-Key", secret)
				r.Header.Set("Cookie", "session="+secret)
				resp, err := s.Client().Do(r)
				if err != nil {
					continue // Cut off, as it should after a started answer.
				}
				text, _ := io.ReadAll(resp.Body)
				_ = resp.Body.Close()
				if strings.Contains(string(text)+fmt.Sprint(resp.Header), secret) {
					t.Errorf("%s: the answer %q %v shows the secret", name, text, resp.Header)
				}
			}
			s.Close()
			if err := g.Flush(); err != nil { // Summaries are records too.
				t.Error(err)
			}
			if strings.Contains(log.String(), secret) {
				t.Errorf("%s, guarded %v: the log shows the secret:\n%s", name, guarded, log.String())
			}
			if !guarded && !strings.Contains(log.String(), "fingerprint") {
				t.Errorf("%s: nothing was logged: %s", name, log.String())
			}
		}
	}
}

// TestTransportErrorsHoldNoSecret checks what the client's side makes itself.
func TestTransportErrorsHoldNoSecret(t *testing.T) {
	var events strings.Builder
	tr := newTransport(t, roundTripFunc(func(r *http.Request) (*http.Response, error) {
		if r.Method == "GET" {
			return nil, errRefused
		}
		resp, _ := answer(503, secret)
		resp.Header.Set("X-Secret", secret)
		return resp, nil
	}), resiliencehttp.TransportOptions{
		Retry: resilience.RetryOptions{BaseDelay: -1},
		Hooks: resilience.Hooks{
			Retry:  func(e resilience.RetryEvent) { fmt.Fprintf(&events, "%s %v %+v\n", e.Name, e.Err, e.Info) },
			Failed: func(e resilience.FailedEvent) { fmt.Fprintf(&events, "%s %v %+v\n", e.Name, e.Err, e.Info) },
		},
	})
	for range 20 {
		for _, method := range []string{"GET", "PUT"} {
			r := must(http.NewRequest(method, "http://user:"+secret+"@up/"+secret+"?token="+secret, nil))
			r.Header.Set("Authorization", secret)
			if _, err := tr.RoundTrip(r); err != nil { //nolint:bodyclose // It is in memory.
				fmt.Fprintln(&events, err)
			}
		}
	}
	for name := range tr.Metrics() {
		fmt.Fprintln(&events, name)
	}
	for name, b := range tr.Breakers() {
		fmt.Fprintln(&events, name, b.Stats())
	}
	if strings.Contains(events.String(), secret) || !strings.Contains(events.String(), "up") {
		t.Errorf("errors, events and metrics:\n%s", events.String())
	}
}

// TestRecordFields checks what one record tells.
func TestRecordFields(t *testing.T) {
	open := newRegistry(t, resilience.BreakerOptions{}).Breaker("up")
	open.ForceOpen()
	p, err := resilience.New(resilience.Options{Breaker: open, Retry: resilience.RetryOptions{BaseDelay: -1}})
	if err != nil {
		t.Fatal(err)
	}
	retrying, err := resilience.New(resilience.Options{Retry: resilience.RetryOptions{MaxAttempts: 3, BaseDelay: -1}})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name string
		fail func(r *http.Request) error
		want map[string]any
	}{
		{"unknown", func(*http.Request) error { return errors.New("x") }, map[string]any{
			"msg": "request failed", "operation": "GET /users/{id}", "status": 500.0, "type": "*errors.errorString", "attempt": 1.0, "breaker": "",
			"failure": map[string]any{"class": "unknown"},
		}},
		{"three attempts", func(r *http.Request) error {
			return resilience.Run(r.Context(), retrying, func(context.Context) error { return errRefused })
		}, map[string]any{"status": 503.0, "attempt": 3.0, "failure": map[string]any{"class": "unavailable", "code": "ECONNREFUSED", "source": "net"}}},
		{"open breaker", func(r *http.Request) error {
			return resilience.Run(r.Context(), p, func(context.Context) error { return nil })
		}, map[string]any{"status": 503.0, "attempt": 0.0, "breaker": "forced_open"}},
		{"panic of the runtime", func(*http.Request) error { var s []int; _ = s[len(s)]; return nil }, map[string]any{
			"msg": "handler panicked", "operation": "GET /users/{id}", "panic": "runtime error: index out of range [0] with length 0",
		}},
		{"panic of ours", func(*http.Request) error { panic(secret) }, map[string]any{"msg": "handler panicked", "panic": "string"}},
	} {
		for _, timeout := range []time.Duration{0, time.Minute} {
			var log lockedBuffer
			l := slog.New(slog.NewJSONHandler(&log, nil))
			mux := http.NewServeMux()
			mux.Handle("GET /users/{id}", resiliencehttp.ErrorHandling{Logger: l}.Handler(func(_ http.ResponseWriter, r *http.Request) error { return c.fail(r) }))
			h := newMiddleware(t, resiliencehttp.MiddlewareOptions{Timeout: timeout, Logger: l}).Wrap(mux)
			serve(h, httptest.NewRequest("GET", "/users/7", nil))
			var got map[string]any
			if err := json.Unmarshal([]byte(log.String()), &got); err != nil { // Also if there are two.
				t.Fatalf("%s: %v in %s", c.name, err, log.String())
			}
			for k, want := range c.want {
				if fmt.Sprint(got[k]) != fmt.Sprint(want) {
					t.Errorf("%s: %s = %v; want %v", c.name, k, got[k], want)
				}
			}
			if f, _ := got["fingerprint"].(string); len(f) != 16 {
				t.Errorf("%s: fingerprint %v", c.name, got["fingerprint"])
			}
		}
	}
}

// TestGuardTellsFailuresApart checks that a guard behind the logger thins like failures
// and keeps unlike ones, panics included.
func TestGuardTellsFailuresApart(t *testing.T) {
	var log lockedBuffer
	g, err := resilience.NewGuard(resilience.GuardOptions{First: 1, Every: -1})
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	h := resiliencehttp.ErrorHandling{Logger: slog.New(g.Handler(slog.NewTextHandler(&log, nil)))}.Handler(
		func(http.ResponseWriter, *http.Request) error {
			switch n++; n % 5 {
			case 0:
				return errors.New("disk is full")
			case 1:
				return errors.New("cache is empty")
			case 2:
				return secretError{}
			case 3:
				panicHere()
			}
			panicThere()
			return nil
		})
	for range 100 {
		get(h)
	}
	if got := strings.Count(log.String(), "level=ERROR"); got != 5 {
		t.Errorf("%d records; want one of each of 5 kinds:\n%s", got, log.String())
	}
	if err := g.Close(); err != nil {
		t.Fatal(err)
	}
	if got := strings.Count(log.String(), "suppressed=18"); got != 5 {
		t.Errorf("%d summaries of 1+18; want 5:\n%s", got, log.String())
	}
	if !strings.Contains(log.String(), "resiliencehttp_test.panicHere") {
		t.Error("the log does not tell where the panic was")
	}
}

func panicHere()  { panic("here") }
func panicThere() { panic("there") }
