// Package resiliencehttp brings package resilience to HTTP: a client transport that
// repeats and stops, a server middleware that limits and survives, and error bodies
// that leak nothing.
//
// # Getting started
//
//	t, err := resiliencehttp.NewTransport(nil, resiliencehttp.TransportOptions{AttemptTimeout: 2 * time.Second})
//	client := &http.Client{Transport: t, Timeout: 10 * time.Second}
//
//	m, err := resiliencehttp.NewMiddleware(resiliencehttp.MiddlewareOptions{Timeout: 5 * time.Second})
//	mux.Handle("GET /users/{id}", resiliencehttp.WithErrorHandling(getUser))
//	server := &http.Server{Handler: m.Wrap(mux)}
//
// where getUser is a func(http.ResponseWriter, *http.Request) error.
//
// # Units
//
// Durations are [time.Duration]; Retry-After is sent in whole seconds, rounded up.
//
// # Concurrency
//
// Everything is safe for concurrent use. Only MiddlewareOptions.Timeout uses a
// goroutine, one for each request, which ends when the handler does; a handler that
// ignores its context outlives its request. Hooks run on the request's goroutine.
//
// # Errors
//
// Constructors return errors matching [ErrOptions]. RoundTrip returns the errors of
// package resilience, or the response itself for any status. Which status an error
// gets from [WithErrorHandling] is told at [ProblemOf]; a panic becomes a 500 and is
// logged once with its stack; http.ErrAbortHandler passes.
//
// # Cost
//
// RoundTrip looks up a breaker and a pipeline by host, under one lock each. It
// copies a request only to send it again or under an AttemptTimeout. The body of a
// failed response is read, up to 64 KiB and for at most 100 ms, before the next
// attempt, so that the connection serves again.
//
// # Limits
//
// A request whose body cannot be replayed (no GetBody) is sent once. HTTP/2's
// REFUSED_STREAM and GOAWAY are not told apart from other failures beyond what
// net/http repeats by itself. With a Timeout, informational responses (1xx) of the
// handler are dropped. The rate limit is per process and counts in fixed periods.
//
// # Background
//
// RFC 9110 (methods, Retry-After), RFC 9457 (problem details), the Idempotency-Key
// header draft of the IETF HTTPAPI group, and the limiters of failsafe-go.
package resiliencehttp
