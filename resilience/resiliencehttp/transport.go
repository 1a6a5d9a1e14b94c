package resiliencehttp

import (
	"errors"
	"fmt"
	"iter"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/perfblocks/perfblocks/resilience"
	"github.com/perfblocks/perfblocks/resilience/internal/errtree"
)

// ErrOptions matches every error that a constructor of this package returns.
var ErrOptions = errors.New("resiliencehttp: invalid options")

// TransportOptions configures a [Transport]. The zero value is a working
// configuration: retries of what may be repeated, under a budget and behind a
// breaker for each host.
type TransportOptions struct {
	// Name and the breaker's name, with a slash between them, label events, errors
	// and metrics, but for those of the breakers, which have their own name alone:
	// let transports to the same hosts share a Registry. Default "http".
	Name string
	// Retry says when a request is repeated. NotIdempotent is ignored: the method
	// and the Idempotency-Key header decide. A request whose body cannot be replayed
	// is never repeated, whatever If says.
	Retry resilience.RetryOptions
	// AttemptTimeout bounds each attempt up to the response's header; reading the
	// body is not bounded by it. 0: none. http.Client.Timeout bounds the whole.
	AttemptTimeout time.Duration
	// Registry keeps the breakers and may be shared. Nil: one of its own with
	// default options, unless DisableBreaker is set.
	Registry *resilience.Registry
	// DisableBreaker does without breakers.
	DisableBreaker bool
	// BreakerName names the breaker for a request. Default: the URL's host and
	// port. Requests with the same name share a breaker and a budget.
	BreakerName func(*http.Request) string
	// MaxOpenWait is how long a request waits at most for an open breaker to let it
	// through, if its deadline allows. Default 250 ms; negative: not at all.
	MaxOpenWait time.Duration
	// Budget bounds the retries of all hosts together. Nil: one for each host,
	// unless DisableBudget is set.
	Budget *resilience.Budget
	// DisableBudget lets retries go unbounded when Budget is nil.
	DisableBudget bool
	// Classifier decides what an error is; a failed status comes to it as a
	// *[StatusError]. Default: resilience.Classify.
	Classifier *resilience.Classifier
	// Hooks observes the requests; an event's name is Name, a slash and the
	// breaker's name.
	Hooks resilience.Hooks
	// Disabled sends every request straight to the base, once.
	Disabled bool
}

// StatusError stands for a response whose status is a failure worth a retry or
// counted by the breaker. It appears in hooks, classifiers and breaker causes; the
// caller of RoundTrip gets the response instead.
type StatusError struct {
	// Status is the response's HTTP status, 400 to 599.
	Status int
	// RetryAfter is the raw value of the Retry-After header.
	RetryAfter string
}

// Error tells the status and nothing of the request.
func (e *StatusError) Error() string { return "resiliencehttp: status " + strconv.Itoa(e.Status) }

// ResilienceInfo says what the status means.
func (e *StatusError) ResilienceInfo() resilience.Info {
	return resilience.ClassifyHTTP(e.Status, e.RetryAfter)
}

// Transport is an http.RoundTripper that repeats requests which may be repeated
// and stops calling hosts that are down. Safe for concurrent use, as its base is.
type Transport struct {
	base http.RoundTripper
	opts TransportOptions

	mu    sync.Mutex
	hosts map[string]*host // guarded by mu

	exchanges sync.Pool // of *exchange
}

// host is what the requests under one breaker name share.
type host struct{ safe, unsafe *resilience.Pipeline }

// maxHosts bounds the hosts whose counters and budgets are kept.
const maxHosts = 1024

// NewTransport returns a transport over base, or over http.DefaultTransport if base
// is nil, or an error matching [ErrOptions]. The request given to RoundTrip is not
// modified; its body is replayed by GetBody, and a request whose body cannot be
// replayed is sent once.
func NewTransport(base http.RoundTripper, o TransportOptions) (*Transport, error) {
	if base == nil {
		base = http.DefaultTransport
	}
	if o.Name == "" {
		o.Name = "http"
	}
	if o.BreakerName == nil {
		o.BreakerName = func(r *http.Request) string { return r.URL.Host }
	}
	var errs []error
	if o.AttemptTimeout < 0 {
		errs = append(errs, fmt.Errorf("AttemptTimeout %v is negative", o.AttemptTimeout))
	}
	o.Retry.NotIdempotent = false
	if user := o.Retry.If; user != nil {
		o.Retry.If = func(err error, info resilience.Info) bool {
			_, final := errtree.As[*finalError](err)
			return !final && user(err, info)
		}
	}
	if o.Registry == nil && !o.DisableBreaker {
		r, err := resilience.NewRegistry(resilience.RegistryOptions{})
		errs = append(errs, err)
		o.Registry = r
	}
	o.Hooks.Retry = beforeRetry(o.Hooks.Retry)
	t := &Transport{base: base, opts: o, hosts: make(map[string]*host)}
	_, err := t.newHost("", nil)
	errs = append(errs, err)
	if err := errors.Join(errs...); err != nil {
		return nil, fmt.Errorf("%w: transport: %w", ErrOptions, err)
	}
	return t, nil
}

func (t *Transport) newHost(name string, b *resilience.Breaker) (*host, error) {
	o := &t.opts
	p, err := resilience.New(resilience.Options{
		Name: o.Name + "/" + name, Retry: o.Retry, Breaker: b, MaxOpenWait: o.MaxOpenWait, Budget: o.Budget,
		DisableBudget: o.DisableBudget, Classifier: o.Classifier, Hooks: o.Hooks,
	})
	if err != nil {
		return nil, err
	}
	return &host{safe: p.Idempotent(), unsafe: p.NonIdempotent()}, nil
}

// fails reports whether the status is a failure: whether it counts, or is to be
// repeated if the method allows.
func (t *Transport) fails(e *StatusError) bool {
	info := t.opts.Classifier.Classify(e)
	return info.Counts || info.Retryable || t.opts.Retry.If != nil && t.opts.Retry.If(e, info)
}

// hostOf returns what the request shares with others of its breaker name.
func (t *Transport) hostOf(r *http.Request) (*host, error) {
	name := t.opts.BreakerName(r)
	var b *resilience.Breaker
	if !t.opts.DisableBreaker {
		b = t.opts.Registry.Breaker(name)
	}
	t.mu.Lock()
	h := t.hosts[name]
	t.mu.Unlock()
	if h != nil && h.safe.Breaker() == b {
		return h, nil
	}
	made, err := t.newHost(name, b)
	if err != nil {
		return nil, err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if h := t.hosts[name]; h != nil && h.safe.Breaker() == b { // Another request was first.
		return h, nil
	}
	if t.hosts[name] == nil && len(t.hosts) >= maxHosts {
		for other := range t.hosts { // Any one: its breaker lives in the registry.
			delete(t.hosts, other)
			break
		}
	}
	t.hosts[name] = made
	return made, nil
}

// RoundTrip sends the request, again if it may be repeated and failed in a way that
// passes. A response, of whatever status, is returned as such: the last one, if
// retries did not help. An error matches its cause; an open breaker gives a
// *resilience.BreakerOpenError.
func (t *Transport) RoundTrip(r *http.Request) (*http.Response, error) {
	if t.opts.Disabled || r.URL == nil {
		return t.base.RoundTrip(r)
	}
	h, err := t.hostOf(r)
	if err != nil {
		closeBody(r)
		return nil, err
	}
	p := h.unsafe
	if idempotent(r) {
		p = h.safe
	}
	x, _ := t.exchanges.Get().(*exchange)
	if x == nil {
		x = &exchange{t: t}
		x.fn = x.attempt
	}
	x.req = r
	returned := false
	defer func() {
		if !returned {
			x.abandon()
		}
	}()
	resp, err := resilience.Do(r.Context(), p, x.fn)
	returned = true
	if !x.sent {
		closeBody(r)
	}
	if err != nil && x.last != nil && r.Context().Err() == nil {
		resp, err, x.last = x.last, nil, nil
	}
	x.reset()
	t.exchanges.Put(x) // Not after a panic, when somebody may still hold it.
	return resp, err
}

// CloseIdleConnections closes those of the base, if it can.
func (t *Transport) CloseIdleConnections() {
	if c, ok := t.base.(interface{ CloseIdleConnections() }); ok {
		c.CloseIdleConnections()
	}
}

// Breakers yields the breakers in use by name; nothing when they are disabled.
func (t *Transport) Breakers() iter.Seq2[string, *resilience.Breaker] {
	if t.opts.DisableBreaker {
		return func(func(string, *resilience.Breaker) bool) {}
	}
	return t.opts.Registry.All()
}

// Stats returns the sum of the counters over the hosts that are kept.
func (t *Transport) Stats() resilience.Stats {
	var sum resilience.Stats
	for _, h := range t.snapshot() {
		s := h.safe.Stats()
		sum.Calls += s.Calls
		sum.Successes += s.Successes
		sum.Failures += s.Failures
		sum.Retries += s.Retries
		sum.Recovered += s.Recovered
		sum.Rejected += s.Rejected
		sum.BudgetStops += s.BudgetStops
		sum.DeadlineStops += s.DeadlineStops
		sum.Canceled += s.Canceled
	}
	return sum
}

// Metrics yields the figures of every host's pipeline, budget and breaker under
// Prometheus names, read afresh at each iteration. What hosts share comes once.
func (t *Transport) Metrics() iter.Seq2[string, float64] {
	return func(yield func(string, float64) bool) {
		seen := make(map[string]bool)
		for _, h := range t.snapshot() {
			for name, value := range h.safe.Metrics() {
				if seen[name] {
					continue
				}
				seen[name] = true
				if !yield(name, value) {
					return
				}
			}
		}
	}
}

func (t *Transport) snapshot() []*host {
	t.mu.Lock()
	defer t.mu.Unlock()
	all := make([]*host, 0, len(t.hosts))
	for _, h := range t.hosts {
		all = append(all, h)
	}
	return all
}

// idempotent reports whether the request may be executed twice (RFC 9110, 9.2.2).
func idempotent(r *http.Request) bool {
	switch r.Method {
	case "", http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodTrace, http.MethodPut, http.MethodDelete:
		return true
	}
	return r.Header.Get("Idempotency-Key") != "" || r.Header.Get("X-Idempotency-Key") != ""
}

func closeBody(r *http.Request) {
	if r.Body != nil {
		_ = r.Body.Close() // Nothing was sent, so nothing is lost.
	}
}
