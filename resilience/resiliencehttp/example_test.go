package resiliencehttp_test

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"time"

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
