package resiliencehttp_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"time"

	"github.com/failsafe-go/failsafe-go/priority"

	"github.com/perfblocks/perfblocks/resilience"
	"github.com/perfblocks/perfblocks/resilience/resiliencehttp"
)

func ExampleNewTransport() {
	requests := 0
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if requests++; requests < 3 {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		fmt.Fprint(w, "hello")
	}))
	defer s.Close()
	t, err := resiliencehttp.NewTransport(nil, resiliencehttp.TransportOptions{
		AttemptTimeout: 2 * time.Second,
		Retry:          resilience.RetryOptions{BaseDelay: time.Millisecond},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	client := &http.Client{Transport: t, Timeout: 10 * time.Second}
	resp, err := client.Get(s.URL)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	fmt.Println(string(text), err, t.Stats().Retries)
	// Output: hello <nil> 2
}

func ExampleMiddleware_Wrap() {
	m, err := resiliencehttp.NewMiddleware(resiliencehttp.MiddlewareOptions{
		Timeout: 5 * time.Second,
		Shed:    &resiliencehttp.ShedOptions{},
		Logger:  slog.New(slog.DiscardHandler),
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	h := m.Wrap(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic("out of range") }))
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest("GET", "/", nil))
	fmt.Print(w.Body)
	// Output: {"title":"Internal Server Error","status":500}
}

func ExampleWithErrorHandling() {
	h := resiliencehttp.WithErrorHandling(func(http.ResponseWriter, *http.Request) error {
		err := errors.New("users: row 7: name column is empty")
		err = resilience.Public(resilience.Mark(err, resilience.ClassInvalid), "A name is needed.")
		return resilience.WithCode(err, "name_missing")
	})
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest("GET", "/", nil))
	fmt.Print(w.Code, " ", w.Body)
	// Output: 400 {"title":"Bad Request","status":400,"detail":"A name is needed.","code":"name_missing"}
}

func ExampleNewMiddleware() {
	breakers, err := resilience.NewRegistry(resilience.RegistryOptions{
		Breaker: resilience.BreakerOptions{Consecutive: 3, OpenFor: 5 * time.Second, MaxOpenFor: 5 * time.Second, OpenJitter: -1},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	m, err := resiliencehttp.NewMiddleware(resiliencehttp.MiddlewareOptions{Registry: breakers})
	if err != nil {
		fmt.Println(err)
		return
	}
	mux := http.NewServeMux() // Each route has a breaker, named by its pattern.
	mux.Handle("GET /report", m.Wrap(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(500) })))
	mux.Handle("GET /users", m.Wrap(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "all well") })))
	for _, path := range []string{"/report", "/report", "/report", "/report", "/users"} {
		w := httptest.NewRecorder()
		mux.ServeHTTP(w, httptest.NewRequest("GET", path, nil))
		fmt.Printf("%s %d %q\n", path, w.Code, w.Header().Get("Retry-After"))
	}
	// Output:
	// /report 500 ""
	// /report 500 ""
	// /report 500 ""
	// /report 503 "5"
	// /users 200 ""
}

// Clients come through a proxy of ours. What a client writes into X-Forwarded-For
// itself stands before what the proxy appends, and is not believed.
func ExampleClientAddress() {
	m, err := resiliencehttp.NewMiddleware(resiliencehttp.MiddlewareOptions{
		RateLimit: &resiliencehttp.RateLimitOptions{
			Requests: 2, Per: time.Minute, Key: resiliencehttp.ClientAddress(netip.MustParsePrefix("10.0.0.0/8")),
		},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	h := m.Wrap(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	for _, forwarded := range []string{"192.0.2.1", "made up, 192.0.2.1", "198.51.100.9, 192.0.2.1", "192.0.2.2"} {
		r := httptest.NewRequest("GET", "/", nil)
		r.RemoteAddr = "10.0.0.1:4711"
		r.Header.Set("X-Forwarded-For", forwarded)
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		fmt.Println(strings.TrimSpace(fmt.Sprintf("%d %q %s", w.Code, w.Header().Get("Retry-After"), w.Body)))
	}
	// Output:
	// 200 ""
	// 200 ""
	// 429 "60" {"title":"Too Many Requests","status":429,"code":"rate_limit"}
	// 200 ""
}

// Users that are known are limited by who they are, the others by their address. The
// name must come from what was verified, not from what the request says.
func ExampleRateLimitOptions() {
	byAddress := resiliencehttp.ClientAddress()
	o := resiliencehttp.RateLimitOptions{
		Requests: 100, Per: time.Minute,
		Key: func(r *http.Request) string {
			if user, ok := r.Context().Value(userKey{}).(string); ok { // Put there by the login check.
				return "user " + user
			}
			return "address " + byAddress(r)
		},
	}
	r := httptest.NewRequest("GET", "/", nil)
	fmt.Println(o.Key(r))
	fmt.Println(o.Key(r.WithContext(context.WithValue(r.Context(), userKey{}, "ann"))))
	// Output:
	// address 192.0.2.1
	// user ann
}

type userKey struct{}

func ExampleProblemOf() {
	err := fmt.Errorf("charge card 4711: %w", &resiliencehttp.StatusError{Status: 429, RetryAfter: "7"})
	err = resilience.Public(err, "The bank is busy.")
	p := resiliencehttp.ProblemOf(err)
	fmt.Println(p.Status, p.Title, p.Detail, p.RetryAfter)
	// Output: 503 Service Unavailable The bank is busy. 7s
}

func ExampleReadProblem() {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		resiliencehttp.WriteProblem(w, resiliencehttp.Problem{Status: 403, Detail: "Your balance is 30.", Code: "out_of_credit"})
	}))
	defer s.Close()
	resp, err := http.Get(s.URL)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer resp.Body.Close()
	p, err := resiliencehttp.ReadProblem(resp)
	if errors.Is(err, resiliencehttp.ErrProblem) {
		fmt.Println("not a problem document:", resp.Status)
		return
	}
	fmt.Println(p.Status, p.Code, p.Detail, err)
	// Output: 403 out_of_credit Your balance is 30. <nil>
}

// Payments go before everything else when there is too much to do.
func ExampleShedOptions() {
	o := resiliencehttp.ShedOptions{
		Priority: func(r *http.Request) priority.Priority {
			if r.URL.Path == "/pay" {
				return priority.VeryHigh
			}
			return priority.Low
		},
	}
	m, err := resiliencehttp.NewMiddleware(resiliencehttp.MiddlewareOptions{Shed: &o})
	fmt.Println(m.Stats().Limit, err)
	// Output: 64 <nil>
}

// An error says how it is to be answered; what goes wrong inside stays inside.
func ExampleWithStatus() {
	h := resiliencehttp.WithErrorHandling(func(http.ResponseWriter, *http.Request) error {
		return resiliencehttp.WithStatus(errors.New("the seat is taken"), http.StatusConflict)
	})
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/seats/7", nil))
	fmt.Println(w.Code, w.Header().Get("Content-Type"))
	// Output: 409 application/problem+json
}
