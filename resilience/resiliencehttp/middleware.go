package resiliencehttp

import (
	"cmp"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"github.com/perfblocks/perfblocks/resilience"
)

// MiddlewareOptions configures a [Middleware]. The zero value only turns panics
// into logged 500s.
type MiddlewareOptions struct {
	// Name labels metrics. Default "server".
	Name string
	// Timeout is how long a handler may take to start its response. Then the
	// client gets a 503, the request's context ends with a cause that matches
	// resilience.ErrTimeout, and what the handler still writes is refused. A response
	// that has started may go on. 0: none. With a timeout the handler runs on a
	// goroutine of its own, which keeps its place in the limiter until it ends: with
	// Shed, hung handlers make the server shed instead of piling up.
	Timeout time.Duration
	// Shed rejects requests beyond what the service can take, as found by
	// failsafe-go's adaptive limiter, with 503 and Retry-After. Nil: never.
	Shed *ShedOptions
	// RateLimit bounds the requests of each client, with 429 and Retry-After.
	// Nil: no bound.
	RateLimit *RateLimitOptions
	// Registry keeps breakers that watch the statuses of the handlers: a 5xx other
	// than 501, a panic and a timeout count as failures, what a client ends by going
	// away as nothing, and so does what a Middleware, this one or one further in,
	// answers in the handler's place. A request that an open breaker refuses gets 503
	// and Retry-After. The registry may be shared. Nil: no breakers.
	Registry *resilience.Registry
	// BreakerName names the breaker for a request. Default: its pattern, which is
	// there when Wrap is used on the handlers given to a mux, so that each route has
	// one; without a pattern, Name, which all share.
	BreakerName func(*http.Request) string
	// Exempt names requests that are neither limited, shed, watched by a breaker nor
	// timed out, such as health checks, and what lasts, such as event streams and
	// websockets. Nil: none.
	Exempt func(*http.Request) bool
	// Logger receives panics and timeouts, once each, as told at ErrorHandling.Logger.
	// Nil: slog.Default(), since nobody else receives them.
	Logger *slog.Logger
	// Hooks observes the middleware.
	Hooks MiddlewareHooks
	// Disabled passes every request straight to the handler.
	Disabled bool
}

// MiddlewareHooks is a set of optional callbacks, called on the goroutine of the
// request under no lock. Fields may be added in any release.
type MiddlewareHooks struct {
	// Rejected is called for each request answered without, or instead of, the
	// handler; reason is "shed", "rate_limit", "breaker" or "timeout".
	Rejected func(r *http.Request, reason string)
}

// MiddlewareStats is a snapshot of counters since NewMiddleware.
type MiddlewareStats struct {
	// Requests came in; of these Shed, RateLimited and Refused, by a breaker, never
	// reached the handler, TimedOut were answered before it was ready, Panics ended in
	// a panic.
	Requests, Shed, RateLimited, Refused, TimedOut, Panics uint64
	// InFlight are being answered now; Abandoned are handlers that still run although
	// their request timed out; Limit is the adaptive limit, or 0.
	InFlight, Abandoned, Limit int
}

// Middleware protects a server's handlers. It is safe for concurrent use and has
// nothing to close.
type Middleware struct {
	opts    MiddlewareOptions
	shedder *shedder // nil: none
	clients *clients // nil: none

	requests, shed, limited, refused, timedOut, panics atomic.Uint64
	inFlight, abandoned                                atomic.Int64
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
	if o.BreakerName == nil {
		name := o.Name
		o.BreakerName = func(r *http.Request) string { return cmp.Or(r.Pattern, name) }
	}
	if o.Shed != nil {
		o.Shed = new(*o.Shed)
		o.Shed.normalize(check)
	}
	if o.RateLimit != nil {
		o.RateLimit = new(*o.RateLimit)
		o.RateLimit.normalize(check)
	}
	if err := errors.Join(errs...); err != nil {
		return nil, fmt.Errorf("%w: middleware: %w", ErrOptions, err)
	}
	m := &Middleware{opts: o}
	if o.Shed != nil {
		m.shedder = newShedder(*o.Shed)
	}
	if o.RateLimit != nil {
		m.clients = newClients(*o.RateLimit)
	}
	return m, nil
}

// Wrap returns next behind the middleware: panic handling outside, then rate limit,
// shedding, breaker and timeout. It may wrap several handlers, which share all
// limits.
func (m *Middleware) Wrap(next http.Handler) http.Handler {
	if m.opts.Disabled {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		m.requests.Add(1)
		m.inFlight.Add(1)
		v := &visit{m: m, r: r}
		v.w.ResponseWriter = w
		defer v.end()
		if m.opts.Exempt != nil && m.opts.Exempt(r) {
			next.ServeHTTP(&v.w, r)
			return
		}
		v.serve(next)
	})
}

// visit is one request on its way through the middleware.
type visit struct {
	m      *Middleware
	w      statusWriter
	r      *http.Request
	place  place             // in the limiter, until the handler has it; nil: none
	permit resilience.Permit // of the breaker; the zero one reports nowhere
}

// serve answers a request that is subject to the limits.
func (v *visit) serve(next http.Handler) {
	m := v.m
	if m.clients != nil {
		if wait := m.clients.take(m.opts.RateLimit.Key(v.r), time.Now()); wait > 0 {
			m.limited.Add(1)
			v.reject("rate_limit", Problem{Status: http.StatusTooManyRequests, Code: "rate_limit", RetryAfter: wait})
			return
		}
	}
	if m.shedder != nil {
		if v.place = m.shedder.enter(v.r); v.place == nil {
			m.shed.Add(1)
			v.reject("shed", m.shedder.problem())
			return
		}
	}
	if m.opts.Registry != nil {
		var err error
		if v.permit, err = m.opts.Registry.Breaker(m.opts.BreakerName(v.r)).Acquire(); err != nil {
			m.refused.Add(1)
			v.reject("breaker", openProblem(err))
			return
		}
	}
	if m.opts.Timeout > 0 && v.timed(next) {
		m.timedOut.Add(1)
		v.permit.Failure(resilience.ErrTimeout)
		v.hook("timeout")
		record(m.opts.Logger, "request timed out", v.r, operationOf(v.r), http.StatusServiceUnavailable, resilience.ErrTimeout)
		WriteProblem(&v.w, Problem{Status: http.StatusServiceUnavailable, Code: "timeout", RetryAfter: time.Second})
		return
	}
	if m.opts.Timeout <= 0 {
		handle(next, &v.w, v.r, v.takePlace())
	}
	v.report(false)
}

// takePlace hands the place over to the handler's goroutine.
func (v *visit) takePlace() place {
	p := v.place
	v.place = nil
	return p
}

// handle calls the handler and gives its place back when it has ended, however late.
func handle(next http.Handler, w http.ResponseWriter, r *http.Request, p place) {
	ended := false
	if p != nil {
		defer func() {
			if ended {
				p.Record()
			} else {
				p.Drop() // The duration of a panic says nothing about load.
			}
		}()
	}
	next.ServeHTTP(w, r)
	ended = true
}

// reject answers in the handler's place.
func (v *visit) reject(reason string, p Problem) {
	refuse(&v.w)
	v.hook(reason)
	WriteProblem(&v.w, p)
}

func (v *visit) hook(reason string) {
	if f := v.m.opts.Hooks.Rejected; f != nil {
		f(v.r, reason)
	}
}

// end is what every request ends with; after a panic it answers.
func (v *visit) end() {
	v.m.inFlight.Add(-1)
	if v.place != nil {
		v.place.Drop() // It was not used, which says nothing about load.
	}
	x := recover()
	if x == nil {
		return
	}
	if x == http.ErrAbortHandler { //nolint:errorlint // net/http compares by identity too.
		v.report(true)
		panic(x)
	}
	p, ok := x.(*panicError)
	if !ok { // Not from the goroutine of a timed handler.
		p = caught(x, v.r)
	}
	v.m.panics.Add(1)
	v.permit.Failure(p)
	p.log(v.m.opts.Logger, v.r)
	if v.w.started() {
		panic(http.ErrAbortHandler) // The client must not take half an answer for a whole one.
	}
	WriteProblem(&v.w, Problem{Status: http.StatusInternalServerError})
}

// Stats returns the counters as they are now.
func (m *Middleware) Stats() MiddlewareStats {
	s := MiddlewareStats{
		Shed: m.shed.Load(), RateLimited: m.limited.Load(), Refused: m.refused.Load(), TimedOut: m.timedOut.Load(),
		Panics: m.panics.Load(), InFlight: int(m.inFlight.Load()), Abandoned: int(m.abandoned.Load()), Requests: m.requests.Load(),
	}
	if m.shedder != nil {
		s.Limit = m.shedder.limit()
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
			yield("resilience_http_refused_total"+l, float64(s.Refused)) &&
			yield("resilience_http_timeouts_total"+l, float64(s.TimedOut)) &&
			yield("resilience_http_panics_total"+l, float64(s.Panics)) &&
			yield("resilience_http_in_flight"+l, float64(s.InFlight)) &&
			yield("resilience_http_abandoned"+l, float64(s.Abandoned)) &&
			yield("resilience_http_limit"+l, float64(s.Limit))
	}
}
