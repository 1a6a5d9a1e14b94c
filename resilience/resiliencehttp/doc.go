// Package resiliencehttp brings package resilience to HTTP: a client transport that
// repeats and stops, a server middleware that limits and survives, and error bodies
// that leak nothing.
//
// # Getting started
//
// A client repeats what may be repeated and stops calling a host that is down:
//
//	t, err := resiliencehttp.NewTransport(nil, resiliencehttp.TransportOptions{AttemptTimeout: 2 * time.Second})
//	client := &http.Client{Transport: t, Timeout: 10 * time.Second}
//
// A server sheds what it cannot take, stops asking a route that fails, gives up
// handlers that hang, and answers errors and panics by RFC 9457:
//
//	breakers, err := resilience.NewRegistry(resilience.RegistryOptions{})
//	m, err := resiliencehttp.NewMiddleware(resiliencehttp.MiddlewareOptions{
//		Timeout: 5 * time.Second, Shed: &resiliencehttp.ShedOptions{}, Registry: breakers,
//	})
//	mux.Handle("GET /users/{id}", m.Wrap(resiliencehttp.WithErrorHandling(getUser)))
//
// where getUser is a func(http.ResponseWriter, *http.Request) error. Give it the
// status by [WithStatus] or resilience.Mark, the text for the client by
// resilience.Public, and a code by resilience.WithCode. [ReadProblem] reads the
// problems of other services.
//
// What the client repeats:
//
//	                                     GET HEAD PUT DELETE   POST PATCH   POST with
//	                                     OPTIONS TRACE                      Idempotency-Key
//	not sent (refused, no route, DNS)    yes                   yes          yes
//	425 Too Early                        yes                   yes          yes
//	sent, no answer (reset, timeout)     yes                   no           yes
//	408 429 500 502 503 504 507          yes                   no           yes
//	501 505 506 508 510 511, other 4xx   no                    no           no
//
// and only while the body can be had again by GetBody, which http.NewRequest sets for
// bytes and strings. A Retry-After in seconds or as a date is obeyed, spread by up to
// a tenth, later only; one beyond RetryOptions.MaxRetryAfter ends the call with the
// answer that holds it. The last answer is returned with its body. Nothing is hedged:
// two requests are never under way for one.
//
// # Units
//
// Durations are [time.Duration]; Retry-After is sent in whole seconds, rounded up.
//
// # Concurrency
//
// Everything is safe for concurrent use. Only MiddlewareOptions.Timeout uses a
// goroutine, one for each request, which ends when the handler does. A handler that
// ignores its context outlives its request; it keeps its place in the limiter, so
// with Shed no more of them hang than the limit allows, and further requests are
// shed. Stats tells how many. Hooks run on the request's goroutine.
//
// A handler behind the middleware can flush, copy by io.ReaderFrom, hijack, and use
// http.ResponseController, with a timeout too. Exempt what lasts, such as event
// streams and websockets: it would hold a place of the limiter, and as a probe of a
// breaker it would be taken for hung.
//
// # Errors
//
// Constructors return errors matching [ErrOptions], ReadProblem errors matching
// [ErrProblem]. RoundTrip returns the errors of package resilience, or the response
// itself for any status; when an open breaker stops a retry, the last response or, if
// there is none to be had any more, a *resilience.BreakerOpenError. Which status an
// error gets from [WithErrorHandling] is told at [ProblemOf].
//
// A failure is logged once, as told at ErrorHandling.Logger: errors answered with 5xx
// and panics by ErrorHandling, panics and timeouts that come further out by the
// Middleware, each with its fingerprint and none with its text. What is shed, limited
// or refused is counted and told to the hook, but not logged: an overload is no time
// to write. A panic becomes a 500, or cuts the connection once the response has
// started; http.ErrAbortHandler passes.
//
// # Cost
//
// RoundTrip looks up a breaker and a pipeline by host, under one lock each, and
// allocates nothing when it succeeds (BenchmarkTransportRoundTrip); AttemptTimeout
// costs a context and a copy of the request. Before a wait the body of the failed
// response is read into memory, up to 64 KiB and for at most 100 ms, so that its
// connection serves others meanwhile; a longer or slower one costs the connection.
// TestTransportReusesConnections sends 20 requests of four attempts each into a storm
// of 503s: one connection for each worker, no goroutine left.
//
// Middleware adds one allocation of some 100 bytes to a request (BenchmarkMiddleware), RateLimit one lock, Shed those
// of failsafe-go, Registry one lock and a breaker's cost, Timeout a goroutine and a
// context. The clients told apart take about 300 bytes each.
//
// # Limits
//
// A body that cannot be replayed is sent once. HTTP/2 requests that a server refuses
// (REFUSED_STREAM), or that came after its GOAWAY, net/http repeats by itself. A base
// other than net/http whose bodies do not end a Read when they are closed can hold a
// retry up. With a Timeout, informational responses (1xx) of the handler are dropped.
// http.Pusher is not passed on. The rate limit is per process and counts in fixed
// periods, so at the edge of two twice as many may pass. The counters, and the budget,
// of a host are forgotten when more than 1024 are in use.
//
// # Background
//
// RFC 9110 (methods, Retry-After), RFC 6585 (429), RFC 8470 (425), RFC 9457 (problem
// details), the Idempotency-Key header draft of the IETF HTTPAPI group, and the
// limiters of failsafe-go.
package resiliencehttp
