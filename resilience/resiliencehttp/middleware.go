package resiliencehttp

import (
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"runtime/debug"
	"strings"
	"sync/atomic"
	"time"

	"github.com/failsafe-go/failsafe-go/adaptivelimiter"
)

// MiddlewareOptions configures a [Middleware]. The zero value only turns panics
// into logged 500s.
type MiddlewareOptions struct {
	// Name labels metrics. Default "server".
	Name string
	// Timeout is how long a handler may take to start its response. Then the
	// client gets a 503, the request's context ends, and what the handler still
	// writes is refused. A response that has started may go on. 0: none. With a
	// timeout the handler runs on a goroutine of its own.
	Timeout time.Duration
	// Shed rejects requests beyond what the service can take, as found by
	// failsafe-go's adaptive limiter, with 503 and Retry-After. Nil: never.
	Shed *ShedOptions
	// RateLimit bounds the requests of each client, with 429 and Retry-After.
	// Nil: no bound.
	RateLimit *RateLimitOptions
	// Exempt names requests that are neither limited, shed nor timed out, such as
	// health checks and event streams. Nil: none.
	Exempt func(*http.Request) bool
	// Logger receives panics, once each. Nil: slog.Default(), since nobody else
	// receives them.
	Logger *slog.Logger
	// Hooks observes the middleware.
	Hooks MiddlewareHooks
	// Disabled passes every request straight to the handler.
	Disabled bool
}

// ShedOptions bounds how the adaptive limiter may set its limit of concurrent
// requests.
type ShedOptions struct {
	// MinLimit, InitialLimit and MaxLimit of requests at once. Defaults 16, 64, 1024.
	MinLimit, InitialLimit, MaxLimit int
	// RetryAfter is what rejected clients are told. Default 1 s.
	RetryAfter time.Duration
}

// RateLimitOptions bounds the requests of each client.
type RateLimitOptions struct {
	// Requests are allowed in each Per, also all at once. 1 to 1e6; required.
	Requests int
	// Per is the period. Default 1 s; at least 1 ms.
	Per time.Duration
	// Key names the client of a request. Default: the address the connection
	// comes from, an IPv6 address by its /64. Behind a proxy, give a function that
	// knows which header to trust.
	Key func(*http.Request) string
	// MaxClients is how many clients are told apart; the one unseen for longest is
	// forgotten. Default 16384.
	MaxClients int
}

// MiddlewareHooks is a set of optional callbacks, called on the goroutine of the
// request under no lock. Fields may be added in any release.
type MiddlewareHooks struct {
	// Rejected is called for each request answered without, or instead of, the
	// handler; reason is "shed", "rate_limit" or "timeout".
	Rejected func(r *http.Request, reason string)
}

// MiddlewareStats is a snapshot of counters since NewMiddleware.
type MiddlewareStats struct {
	// Requests came in; of these Shed and RateLimited never reached the handler,
	// TimedOut were answered before it was ready, Panics ended in a panic.
	Requests, Shed, RateLimited, TimedOut, Panics uint64
	// InFlight are being handled now; Limit is the adaptive limit, or 0.
	InFlight, Limit int
}

// Middleware protects a server's handlers. It is safe for concurrent use and has
// nothing to close.
type Middleware struct {
	opts    MiddlewareOptions
	limiter adaptivelimiter.AdaptiveLimiter[any] // nil: none
	clients *clients                             // nil: none

	requests, shed, limited, timedOut, panics atomic.Uint64
	inFlight                                  atomic.Int64
}

// NewMiddleware returns a middleware, or an error matching [ErrOptions] that names
// every field that is out of range. It keeps no reference to the options.
func NewMiddleware(o MiddlewareOptions) (*Middleware, error) {
	var errs []error
	check := func(ok bool, format string, args ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	check(o.Timeout >= 0, "Timeout %v is negative", o.Timeout)
	if o.Name == "" {
		o.Name = "server"
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	m := &Middleware{}
	if o.Shed != nil {
		s := *o.Shed
		s.normalize()
		o.Shed = &s
		ok := 0 < s.MinLimit && s.MinLimit <= s.InitialLimit && s.InitialLimit <= s.MaxLimit
		check(ok, "Shed limits %d, %d, %d are not positive and in order", s.MinLimit, s.InitialLimit, s.MaxLimit)
		check(s.RetryAfter >= 0, "Shed.RetryAfter %v is negative", s.RetryAfter)
		if ok {
			m.limiter = adaptivelimiter.NewBuilder[any]().
				WithLimits(uint(s.MinLimit), uint(s.MaxLimit), uint(s.InitialLimit)).Build()
		}
	}
	if o.RateLimit != nil {
		l := *o.RateLimit
		if l.Per == 0 {
			l.Per = time.Second
		}
		if l.MaxClients == 0 {
			l.MaxClients = 16384
		}
		if l.Key == nil {
			l.Key = clientAddress
		}
		check(l.Requests >= 1 && l.Requests <= 1e6, "RateLimit.Requests %d is not in 1 to 1e6", l.Requests)
		check(l.Per >= time.Millisecond, "RateLimit.Per %v is less than 1ms", l.Per)
		check(l.MaxClients > 0, "RateLimit.MaxClients %d is negative", l.MaxClients)
		o.RateLimit = &l
		m.clients = newClients(l)
	}
	if err := errors.Join(errs...); err != nil {
		return nil, fmt.Errorf("%w: middleware: %w", ErrOptions, err)
	}
	m.opts = o
	return m, nil
}

func (s *ShedOptions) normalize() {
	if s.MinLimit == 0 {
		s.MinLimit = 16
	}
	if s.InitialLimit == 0 {
		s.InitialLimit = max(64, s.MinLimit)
	}
	if s.MaxLimit == 0 {
		s.MaxLimit = max(1024, s.InitialLimit)
	}
	if s.RetryAfter == 0 {
		s.RetryAfter = time.Second
	}
}

// clientAddress names a client by its address.
func clientAddress(r *http.Request) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return r.RemoteAddr
	}
	addr, err := netip.ParseAddr(host)
	if err != nil || addr.Unmap().Is4() {
		return host
	}
	prefix, err := addr.WithZone("").Prefix(64)
	if err != nil {
		return host
	}
	return prefix.String()
}

// Wrap returns next behind the middleware: panic handling outside, then rate limit,
// shedding and timeout. It may wrap several handlers, which share all limits.
func (m *Middleware) Wrap(next http.Handler) http.Handler {
	if m.opts.Disabled {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		m.requests.Add(1)
		m.inFlight.Add(1)
		defer m.inFlight.Add(-1)
		sw := &startedWriter{ResponseWriter: w}
		defer func() {
			if v := recover(); v != nil {
				m.panicked(sw, r, v)
			}
		}()
		if m.opts.Exempt != nil && m.opts.Exempt(r) {
			next.ServeHTTP(sw, r)
			return
		}
		m.guarded(sw, r, next)
	})
}

// guarded serves a request that is subject to the limits.
func (m *Middleware) guarded(w *startedWriter, r *http.Request, next http.Handler) {
	if m.clients != nil && !m.clients.allow(m.opts.RateLimit.Key(r)) {
		m.limited.Add(1)
		m.reject(w, r, "rate_limit", Problem{
			Status: http.StatusTooManyRequests, Code: "rate_limit", RetryAfter: m.opts.RateLimit.Per,
		})
		return
	}
	if m.limiter != nil {
		permit, ok := m.limiter.TryAcquirePermit()
		if !ok {
			m.shed.Add(1)
			m.reject(w, r, "shed", Problem{
				Status: http.StatusServiceUnavailable, Code: "overloaded", RetryAfter: m.opts.Shed.RetryAfter,
			})
			return
		}
		served := false
		defer func() {
			if served {
				permit.Record()
			} else {
				permit.Drop() // A panic's or a timeout's duration says nothing about load.
			}
		}()
		served = m.serve(w, r, next)
		return
	}
	m.serve(w, r, next)
}

// serve calls the handler and reports whether it was in time.
func (m *Middleware) serve(w *startedWriter, r *http.Request, next http.Handler) bool {
	if m.opts.Timeout <= 0 {
		next.ServeHTTP(w, r)
		return true
	}
	if !m.serveTimed(w, r, next) {
		return true
	}
	m.timedOut.Add(1)
	m.reject(w, r, "timeout", Problem{Status: http.StatusServiceUnavailable, Code: "timeout", RetryAfter: time.Second})
	return false
}

func (m *Middleware) reject(w http.ResponseWriter, r *http.Request, reason string, p Problem) {
	if f := m.opts.Hooks.Rejected; f != nil {
		f(r, reason)
	}
	WriteProblem(w, p)
}

// panicked answers for a handler that panicked with v.
func (m *Middleware) panicked(w *startedWriter, r *http.Request, v any) {
	if v == http.ErrAbortHandler { //nolint:errorlint // net/http compares by identity too.
		panic(v)
	}
	m.panics.Add(1)
	stack := debug.Stack()
	if p, ok := v.(*forwarded); ok { // From the goroutine of a timed handler.
		v, stack = p.value, p.stack
	}
	logPanic(m.opts.Logger, r, v, stack)
	if w.started.Load() {
		panic(http.ErrAbortHandler)
	}
	WriteProblem(w, Problem{Status: http.StatusInternalServerError})
}

// Stats returns the counters as they are now.
func (m *Middleware) Stats() MiddlewareStats {
	s := MiddlewareStats{
		Shed: m.shed.Load(), RateLimited: m.limited.Load(), TimedOut: m.timedOut.Load(),
		Panics: m.panics.Load(), InFlight: int(m.inFlight.Load()), Requests: m.requests.Load(),
	}
	if m.limiter != nil {
		s.Limit = m.limiter.Limit()
	}
	return s
}

// Metrics yields the figures under Prometheus names with the label server, read
// afresh at each iteration.
func (m *Middleware) Metrics() iter.Seq2[string, float64] {
	return func(yield func(string, float64) bool) {
		s := m.Stats()
		l := `{server="` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`).Replace(m.opts.Name) + `"}`
		_ = yield("resilience_http_requests_total"+l, float64(s.Requests)) &&
			yield("resilience_http_shed_total"+l, float64(s.Shed)) &&
			yield("resilience_http_rate_limited_total"+l, float64(s.RateLimited)) &&
			yield("resilience_http_timeouts_total"+l, float64(s.TimedOut)) &&
			yield("resilience_http_panics_total"+l, float64(s.Panics)) &&
			yield("resilience_http_in_flight"+l, float64(s.InFlight)) &&
			yield("resilience_http_limit"+l, float64(s.Limit))
	}
}
