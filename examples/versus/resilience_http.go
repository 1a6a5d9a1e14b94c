package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/failsafe-go/failsafe-go/circuitbreaker"
	"github.com/failsafe-go/failsafe-go/failsafehttp"
	"github.com/failsafe-go/failsafe-go/retrypolicy"
	"github.com/hashicorp/go-retryablehttp"

	"github.com/perfblocks/perfblocks/examples/versus/internal/bench"
	"github.com/perfblocks/perfblocks/resilience"
	"github.com/perfblocks/perfblocks/resilience/resiliencehttp"
)

const (
	failsafeHTTP = "failsafehttp"
	retryable    = "go-retryablehttp"
)

// httpClients makes a round tripper of each kind over base: up to four attempts, a
// millisecond apart. With a breaker, ours and that of failsafe-go have one;
// go-retryablehttp has none.
type httpClient struct {
	name string
	over func(base http.RoundTripper, breaker bool) (http.RoundTripper, error)
}

func httpClients() []httpClient {
	return []httpClient{
		{ours, func(base http.RoundTripper, breaker bool) (http.RoundTripper, error) {
			return resiliencehttp.NewTransport(base, resiliencehttp.TransportOptions{
				DisableBreaker: !breaker, DisableBudget: !breaker,
				Retry: resilience.RetryOptions{MaxAttempts: 4, BaseDelay: time.Millisecond, Jitter: resilience.JitterNone},
			})
		}},
		{failsafeHTTP, func(base http.RoundTripper, breaker bool) (http.RoundTripper, error) {
			retry := failsafehttp.NewRetryPolicyBuilder().WithMaxRetries(3).WithBackoff(time.Millisecond, 8*time.Millisecond).Build()
			if !breaker {
				return failsafehttp.NewRoundTripper(base, retry), nil
			}
			b := circuitbreaker.NewBuilder[*http.Response]().WithFailureRateThreshold(0.5, 20, 10*time.Second).WithSuccessThreshold(3).Build()
			return failsafehttp.NewRoundTripper(base, retry, b), nil
		}},
		{retryable, func(base http.RoundTripper, _ bool) (http.RoundTripper, error) {
			c := retryablehttp.NewClient()
			c.HTTPClient = &http.Client{Transport: base}
			c.Logger, c.RetryMax, c.RetryWaitMin, c.RetryWaitMax = nil, 3, time.Millisecond, 8*time.Millisecond
			c.ErrorHandler = retryablehttp.PassthroughErrorHandler
			return &retryablehttp.RoundTripper{Client: c}, nil
		}},
	}
}

// httpStorm counts what 20 requests of four attempts each open into a server that
// answers 503, and measures what a round trip costs that succeeds.
func httpStorm(r *bench.Report) error {
	for _, c := range []struct{ workers, size int }{{1, 100}, {1, 10_000}, {4, 100}, {4, 10_000}} {
		measure := fmt.Sprintf("20 requests × 4 attempts into 503s of %d bytes, workers: %d", c.size, c.workers)
		opened := bench.Row{Measure: measure, Unit: "connections", Goal: fmt.Sprintf("≤ %d", c.workers)}
		growth := bench.Row{Measure: measure, Unit: "more goroutines", Goal: "≤ 0"}
		for _, client := range httpClients() {
			o, g, err := storm(client, c.workers, c.size)
			if err != nil {
				return fmt.Errorf("%s: %w", client.name, err)
			}
			if client.name == ours {
				opened.Ours, opened.OK = o, o <= float64(c.workers)
				growth.Ours, growth.OK = g, g <= 0
				continue
			}
			opened.Peers = append(opened.Peers, bench.Value{Name: client.name, Value: o})
			growth.Peers = append(growth.Peers, bench.Value{Name: client.name, Value: g})
		}
		r.Add(opened)
		r.Add(growth)
	}
	return httpCost(r)
}

// storm returns how many connections the client's requests opened, and by how many
// goroutines the process grew once each worker had a connection.
func storm(c httpClient, workers, size int) (opened, growth float64, err error) {
	var conns, attempts atomic.Int64
	var warm sync.WaitGroup
	warm.Add(workers)
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/warm" { // Everyone waits for everyone, so each has a connection.
			warm.Done()
			warm.Wait()
			return
		}
		attempts.Add(1)
		w.WriteHeader(http.StatusServiceUnavailable)
		_, _ = w.Write(bytes.Repeat([]byte("x"), size))
	}))
	s.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			conns.Add(1)
		}
	}
	s.Start()
	defer s.Close()
	base := &http.Transport{MaxIdleConnsPerHost: workers}
	defer base.CloseIdleConnections()
	rt, err := c.over(base, false)
	if err != nil {
		return 0, 0, err
	}
	failures := make(chan error, workers)
	run := func(path string, n int) {
		var wg sync.WaitGroup
		for range workers {
			wg.Go(func() {
				for range n {
					if err := put(rt, s.URL+path); err != nil {
						failures <- err
						return
					}
				}
			})
		}
		wg.Wait()
	}
	run("/warm", 1)
	before := runtime.NumGoroutine()
	run("/storm", 20/workers)
	time.Sleep(50 * time.Millisecond) // What is about to end may do so.
	growth = float64(runtime.NumGoroutine() - before)
	select {
	case err := <-failures:
		return 0, 0, err
	default:
	}
	if n := attempts.Load(); n != 80 {
		return 0, 0, fmt.Errorf("%d attempts; want 80", n)
	}
	return float64(conns.Load()), growth, nil
}

// put sends a request and reads the answer to its end, as callers should.
func put(rt http.RoundTripper, url string) error {
	r, err := http.NewRequest(http.MethodPut, url, bytes.NewReader([]byte("x")))
	if err != nil {
		return err
	}
	resp, err := rt.RoundTrip(r)
	if resp != nil {
		_, _ = io.Copy(io.Discard, resp.Body)
		_ = resp.Body.Close()
	}
	if errors.Is(err, retrypolicy.ErrExceeded) {
		return nil // failsafehttp keeps the last answer to itself.
	}
	return err
}

// inMemory answers at once and reads what it is sent.
type inMemory struct{}

func (inMemory) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Body != nil {
		if _, err := io.Copy(io.Discard, r.Body); err != nil {
			return nil, err
		}
		if err := r.Body.Close(); err != nil {
			return nil, err
		}
	}
	return &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, Body: http.NoBody, Request: r}, nil
}

// httpCost compares a round trip that succeeds with the bare one.
func httpCost(r *bench.Report) error {
	payload := bytes.Repeat([]byte("x"), 1<<10)
	for _, method := range []string{http.MethodGet, http.MethodPut} {
		ask := func(rt http.RoundTripper) (int, error) {
			var body io.Reader
			if method == http.MethodPut {
				body = bytes.NewReader(payload)
			}
			req, err := http.NewRequest(method, "http://up/", body)
			if err != nil {
				return 0, err
			}
			resp, err := rt.RoundTrip(req)
			if err != nil {
				return 0, err
			}
			return resp.StatusCode, resp.Body.Close()
		}
		var sides []bench.Side
		for _, c := range httpClients() {
			rt, err := c.over(inMemory{}, true)
			if err != nil {
				return err
			}
			sides = append(sides, side(c.name, func() (int, error) { return ask(rt) }))
		}
		sides = append(sides, side("bare", func() (int, error) { return ask(inMemory{}) }))
		measure := "HTTP round trip in memory, request made afresh: " + method + " with retry and breaker (go-retryablehttp: retry only)"
		if err := r.Compare(bench.Comparison{Measure: measure, Sides: sides}, bench.Goal{Peer: failsafeHTTP, MaxRatio: 1}); err != nil {
			return err
		}
	}
	return nil
}
