package resiliencehttp_test

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"

	"github.com/perfblocks/perfblocks/resilience"
	"github.com/perfblocks/perfblocks/resilience/resiliencehttp"
)

func newMiddleware(t *testing.T, o resiliencehttp.MiddlewareOptions) *resiliencehttp.Middleware {
	t.Helper()
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	m, err := resiliencehttp.NewMiddleware(o)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func serve(h http.Handler, r *http.Request) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func get(h http.Handler) *httptest.ResponseRecorder {
	return serve(h, httptest.NewRequest("GET", "/", nil))
}

func problem(t *testing.T, w *httptest.ResponseRecorder) resiliencehttp.Problem {
	t.Helper()
	if ct := w.Header().Get("Content-Type"); ct != "application/problem+json" {
		t.Errorf("Content-Type = %q", ct)
	}
	var p resiliencehttp.Problem
	if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil {
		t.Errorf("body %q: %v", w.Body, err)
	}
	if p.Status != w.Code {
		t.Errorf("problem status %d in an answer of %d", p.Status, w.Code)
	}
	return p
}

func TestMiddlewareOptions(t *testing.T) {
	_, err := resiliencehttp.NewMiddleware(resiliencehttp.MiddlewareOptions{
		Timeout:   -1,
		Shed:      &resiliencehttp.ShedOptions{MinLimit: 10, InitialLimit: 5},
		RateLimit: &resiliencehttp.RateLimitOptions{Per: 1, MaxClients: -1},
	})
	if !errors.Is(err, resiliencehttp.ErrOptions) {
		t.Fatalf("NewMiddleware = %v; want ErrOptions", err)
	}
	for _, f := range []string{"Timeout", "Shed limits", "Requests", "Per", "MaxClients"} {
		if !strings.Contains(err.Error(), f) {
			t.Errorf("error %q does not name %s", err, f)
		}
	}
}

func TestMiddlewarePanic(t *testing.T) {
	for _, timeout := range []time.Duration{0, time.Minute} {
		var log bytes.Buffer
		m := newMiddleware(t, resiliencehttp.MiddlewareOptions{
			Timeout: timeout, Shed: &resiliencehttp.ShedOptions{MinLimit: 1, InitialLimit: 1, MaxLimit: 1},
			Logger: slog.New(slog.NewTextHandler(&log, nil)),
		})
		h := m.Wrap(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic("secret ouch") }))
		for range 3 { // A leaked permit would make the second one a 503.
			w := get(h)
			if p := problem(t, w); w.Code != 500 || strings.Contains(w.Body.String(), "ouch") || p.Title != "Internal Server Error" {
				t.Errorf("timeout %v: answer %d %s; want a bare 500", timeout, w.Code, w.Body)
			}
		}
		if n := strings.Count(log.String(), "handler panicked"); n != 3 || !strings.Contains(log.String(), "TestMiddlewarePanic") {
			t.Errorf("timeout %v: logged %d times: %s; want 3 with the stack", timeout, n, log.String())
		}
		if s := m.Stats(); s.Panics != 3 || s.Requests != 3 || s.InFlight != 0 {
			t.Errorf("Stats = %+v", s)
		}
	}
}

func TestMiddlewareAbort(t *testing.T) {
	for _, timeout := range []time.Duration{0, time.Minute} {
		h := newMiddleware(t, resiliencehttp.MiddlewareOptions{Timeout: timeout}).Wrap(
			http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }))
		func() {
			defer func() {
				if v := recover(); v != http.ErrAbortHandler { //nolint:errorlint // By identity.
					t.Errorf("recovered %v; want http.ErrAbortHandler", v)
				}
			}()
			get(h)
		}()
	}
}

// TestMiddlewarePanicAfterStart checks over a real connection that half an answer
// is not taken for a whole one.
func TestMiddlewarePanicAfterStart(t *testing.T) {
	m := newMiddleware(t, resiliencehttp.MiddlewareOptions{})
	s := httptest.NewServer(m.Wrap(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "half")
		_ = http.NewResponseController(w).Flush()
		panic("ouch")
	})))
	defer s.Close()
	resp, err := s.Client().Get(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(resp.Body)
	_ = resp.Body.Close()
	if err == nil || strings.Contains(string(text), "title") {
		t.Errorf("read %q, %v; want half and an error", text, err)
	}
}

func TestMiddlewareTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var rejected []string
		m := newMiddleware(t, resiliencehttp.MiddlewareOptions{
			Timeout: time.Second,
			Hooks:   resiliencehttp.MiddlewareHooks{Rejected: func(_ *http.Request, reason string) { rejected = append(rejected, reason) }},
		})
		var late error
		ended := make(chan struct{})
		start := time.Now()
		w := get(m.Wrap(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			defer close(ended)
			w.Header().Set("X-Half", "1")
			<-r.Context().Done()
			_, late = io.WriteString(w, "late")
		})))
		p := problem(t, w)
		if w.Code != 503 || p.Code != "timeout" || w.Header().Get("Retry-After") != "1" || time.Since(start) != time.Second {
			t.Errorf("answer %d %+v after %v; want 503 timeout after 1s", w.Code, p, time.Since(start))
		}
		<-ended
		if !errors.Is(late, http.ErrHandlerTimeout) || w.Header().Get("X-Half") != "" || strings.Contains(w.Body.String(), "late") {
			t.Errorf("late write: %v, header %v, body %q; want it refused", late, w.Header(), w.Body)
		}
		if len(rejected) != 1 || rejected[0] != "timeout" || m.Stats().TimedOut != 1 {
			t.Errorf("rejected %v, %+v", rejected, m.Stats())
		}
	})
}

func TestMiddlewareTimeoutSparesStartedAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMiddleware(t, resiliencehttp.MiddlewareOptions{Timeout: time.Second})
		w := get(m.Wrap(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("X-A", "1")
			w.WriteHeader(http.StatusAccepted)
			_ = http.NewResponseController(w).Flush()
			time.Sleep(time.Minute)
			if r.Context().Err() != nil {
				t.Error("the context of a started answer ended")
			}
			_, _ = io.WriteString(w, "done")
		})))
		if w.Code != 202 || w.Body.String() != "done" || w.Header().Get("X-A") != "1" || !w.Flushed {
			t.Errorf("answer %d %q %v; want 202 done", w.Code, w.Body, w.Header())
		}
		w = get(m.Wrap(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("X-B", "2") })))
		if w.Code != 200 || w.Header().Get("X-B") != "2" {
			t.Errorf("an empty answer: %d %v; want 200 with its header", w.Code, w.Header())
		}
	})
}

func TestMiddlewareSheds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMiddleware(t, resiliencehttp.MiddlewareOptions{
			Shed:   &resiliencehttp.ShedOptions{MinLimit: 2, InitialLimit: 2, MaxLimit: 2, RetryAfter: 1500 * time.Millisecond},
			Exempt: func(r *http.Request) bool { return r.URL.Path == "/healthz" },
		})
		hold := make(chan struct{})
		h := m.Wrap(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			if r.URL.Path != "/healthz" {
				<-hold
			}
		}))
		done := make(chan struct{}, 2)
		for range 2 {
			go func() { get(h); done <- struct{}{} }()
		}
		synctest.Wait()
		w := get(h)
		if p := problem(t, w); w.Code != 503 || p.Code != "overloaded" || w.Header().Get("Retry-After") != "2" {
			t.Errorf("the third: %d %+v %v; want 503 overloaded, Retry-After 2", w.Code, p, w.Header())
		}
		if w := serve(h, httptest.NewRequest("GET", "/healthz", nil)); w.Code != 200 {
			t.Errorf("exempt: %d; want 200", w.Code)
		}
		if s := m.Stats(); s.Shed != 1 || s.InFlight != 2 || s.Limit != 2 {
			t.Errorf("Stats = %+v", s)
		}
		close(hold)
		<-done
		<-done
		if w := get(h); w.Code != 200 {
			t.Errorf("afterwards: %d; want 200", w.Code)
		}
	})
}

func TestMiddlewareRateLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMiddleware(t, resiliencehttp.MiddlewareOptions{
			RateLimit: &resiliencehttp.RateLimitOptions{Requests: 3, Per: 2 * time.Second, MaxClients: 10},
		})
		h := m.Wrap(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
		from := func(addr string) *httptest.ResponseRecorder {
			r := httptest.NewRequest("GET", "/", nil)
			r.RemoteAddr = addr
			return serve(h, r)
		}
		for i, c := range []struct {
			addr string
			want int
		}{
			{"1.2.3.4:1", 200}, {"1.2.3.4:2", 200}, {"1.2.3.4:3", 200}, {"1.2.3.4:4", 429}, {"1.2.3.5:1", 200},
			{"[2001:db8::1]:1", 200}, {"[2001:db8::2]:1", 200}, {"[2001:db8::3]:1", 200}, {"[2001:db8::4]:1", 429}, {"[2001:db8:0:1::1]:1", 200},
		} {
			w := from(c.addr)
			if w.Code != c.want {
				t.Errorf("request %d from %s: %d; want %d", i, c.addr, w.Code, c.want)
			}
			if w.Code == 429 && w.Header().Get("Retry-After") != "2" {
				t.Errorf("Retry-After = %q; want 2", w.Header().Get("Retry-After"))
			}
		}
		time.Sleep(2 * time.Second)
		if w := from("1.2.3.4:9"); w.Code != 200 {
			t.Errorf("after the period: %d; want 200", w.Code)
		}
		for i := range 100 { // More clients than are kept.
			if w := from(fmt.Sprintf("10.0.0.%d:1", i)); w.Code != 200 {
				t.Errorf("client %d: %d; want 200", i, w.Code)
			}
		}
	})
}

func TestMiddlewareDisabled(t *testing.T) {
	m := newMiddleware(t, resiliencehttp.MiddlewareOptions{Disabled: true, RateLimit: &resiliencehttp.RateLimitOptions{Requests: 1}})
	h := m.Wrap(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	for range 3 {
		if w := get(h); w.Code != 200 {
			t.Errorf("answer %d; want 200", w.Code)
		}
	}
	n := 0
	for range m.Metrics() {
		n++
	}
	if n != 9 {
		t.Errorf("%d metrics; want 9", n)
	}
}

func TestErrorHandling(t *testing.T) {
	const secret = "postgres://user:hunter2@db/x"
	cause := errors.New(secret)
	for _, c := range []struct {
		name   string
		err    error
		status int
		detail string
		code   string
		logged bool
	}{
		{"unknown", cause, 500, "", "", true},
		{"public", resilience.Public(cause, "try later"), 500, "try later", "", true},
		{"not found", fmt.Errorf("user 7: %w", sql.ErrNoRows), 404, "", "", false},
		{"invalid", resilience.WithCode(resilience.Public(resilience.Mark(cause, resilience.ClassInvalid), "name is empty"), "bad_name"),
			400, "name is empty", "bad_name", false},
		{"forbidden", resilience.Mark(cause, resilience.ClassUnauthorized), 403, "", "", false},
		{"conflict", resilience.Mark(cause, resilience.ClassConflict), 409, "", "", false},
		{"status", resiliencehttp.WithStatus(cause, 418), 418, "", "", false},
		{"status out of range", resiliencehttp.WithStatus(cause, 200), 500, "", "", true},
		{"breaker", &resilience.BreakerOpenError{Name: secret}, 503, "", "", true},
		{"timeout", context.DeadlineExceeded, 504, "", "", true},
		{"upstream said 404", &resiliencehttp.StatusError{Status: 404}, 502, "", "", true},
		{"upstream said 401", &resiliencehttp.StatusError{Status: 401}, 502, "", "", true},
		{"upstream said 429", &resiliencehttp.StatusError{Status: 429, RetryAfter: "7"}, 503, "", "", true},
		{"too large", &http.MaxBytesError{Limit: 1}, 413, "", "", false},
		{"client gone", context.Canceled, 499, "", "", false},
	} {
		var log bytes.Buffer
		h := resiliencehttp.ErrorHandling{Logger: slog.New(slog.NewJSONHandler(&log, nil))}.Handler(
			func(w http.ResponseWriter, _ *http.Request) error {
				w.Header().Set("Content-Length", "999")
				return c.err
			})
		w := get(h)
		p := problem(t, w)
		if w.Code != c.status || p.Detail != c.detail || p.Code != c.code || w.Header().Get("Content-Length") != "" {
			t.Errorf("%s: %d %+v; want %d %q %q", c.name, w.Code, p, c.status, c.detail, c.code)
		}
		if n := strings.Count(log.String(), "request failed"); (n == 1) != c.logged || n > 1 {
			t.Errorf("%s: logged %d times; want once: %v", c.name, n, c.logged)
		}
		if strings.Contains(log.String(), "hunter2") || strings.Contains(w.Body.String(), "hunter2") {
			t.Errorf("%s: leaked: %s %s", c.name, log.String(), w.Body)
		}
		if retry := w.Header().Get("Retry-After"); (retry != "") != (c.status == 503) {
			t.Errorf("%s: Retry-After %q with %d", c.name, retry, c.status)
		}
	}
	if err := resiliencehttp.WithStatus(nil, 400); err != nil {
		t.Errorf("WithStatus(nil) = %v", err)
	}
}

func TestErrorHandlingStarted(t *testing.T) {
	h := resiliencehttp.ErrorHandling{Logger: slog.New(slog.DiscardHandler)}.Handler(func(w http.ResponseWriter, _ *http.Request) error {
		_, _ = io.WriteString(w, "half")
		return errors.New("boom")
	})
	if w := get(h); w.Code != 200 || w.Body.String() != "half" {
		t.Errorf("answer %d %q; want what was written and no more", w.Code, w.Body)
	}
}

// TestErrorHandlingLogsWhatNobodySees has failures that would otherwise go unseen: a
// Problem without a status, and an error of any kind after the response has started.
func TestErrorHandlingLogsWhatNobodySees(t *testing.T) {
	for _, c := range []struct {
		name   string
		make   func(error) resiliencehttp.Problem
		write  string
		err    error
		status int
		logged bool
	}{
		{"no status", func(error) resiliencehttp.Problem { return resiliencehttp.Problem{} }, "", errors.New("x"), 500, true},
		{"no error's status", func(error) resiliencehttp.Problem { return resiliencehttp.Problem{Status: 200} }, "", errors.New("x"), 500, true},
		{"not found", nil, "", sql.ErrNoRows, 404, false},
		{"not found, started", nil, "half", sql.ErrNoRows, 200, true},
		{"client gone, started", nil, "half", context.Canceled, 200, false},
	} {
		var log bytes.Buffer
		h := resiliencehttp.ErrorHandling{Logger: slog.New(slog.NewJSONHandler(&log, nil)), Problem: c.make}.Handler(
			func(w http.ResponseWriter, _ *http.Request) error {
				if c.write != "" {
					_, _ = io.WriteString(w, c.write)
				}
				return c.err
			})
		if w := get(h); w.Code != c.status || strings.Count(log.String(), "\n") != map[bool]int{true: 1}[c.logged] {
			t.Errorf("%s: status %d, log %q; want %d, logged %v", c.name, w.Code, log.String(), c.status, c.logged)
		}
	}
}

func TestErrorHandlingPanic(t *testing.T) {
	var log bytes.Buffer
	h := resiliencehttp.ErrorHandling{Logger: slog.New(slog.NewTextHandler(&log, nil))}.Handler(
		func(http.ResponseWriter, *http.Request) error { panic("ouch") })
	m := newMiddleware(t, resiliencehttp.MiddlewareOptions{Logger: slog.New(slog.NewTextHandler(&log, nil))})
	w := get(m.Wrap(h))
	if p := problem(t, w); p.Status != 500 || strings.Count(log.String(), "handler panicked") != 1 {
		t.Errorf("answer %+v, log %s; want 500, logged once by two layers", p, log.String())
	}
}

func TestWriteProblem(t *testing.T) {
	w := httptest.NewRecorder()
	resiliencehttp.WriteProblem(w, resiliencehttp.Problem{Status: 200})
	if p := problem(t, w); p.Status != 500 || p.Title != "Internal Server Error" {
		t.Errorf("status 200: %+v; want 500", p)
	}
	w = httptest.NewRecorder()
	resiliencehttp.WriteProblem(w, resiliencehttp.Problem{Status: 429, Title: "<b>", Type: "https://x/y", RetryAfter: time.Millisecond})
	if p := problem(t, w); p.Title != "<b>" || w.Header().Get("Retry-After") != "1" || strings.Contains(w.Body.String(), "<b>") {
		t.Errorf("answer %+v %s", p, w.Body)
	}
}

func FuzzProblemRoundTrip(f *testing.F) {
	f.Add(404, "Not Found", "no such user", "missing")
	f.Add(-1, "\xff", "<script>", "")
	f.Fuzz(func(t *testing.T, status int, title, detail, code string) {
		w := httptest.NewRecorder()
		resiliencehttp.WriteProblem(w, resiliencehttp.Problem{Status: status, Title: title, Detail: detail, Code: code})
		p := problem(t, w)
		if w.Code < 400 || w.Code > 599 || bytes.ContainsAny(w.Body.Bytes(), "<>") {
			t.Fatalf("answer %d %s", w.Code, w.Body)
		}
		if utf8.ValidString(detail) && p.Detail != detail {
			t.Fatalf("detail %q came back as %q", detail, p.Detail)
		}
	})
}
