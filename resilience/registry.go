package resilience

import (
	"container/list"
	"context"
	"iter"
	"slices"
	"strings"
	"sync"
	"time"
)

// RegistryOptions configures a [Registry]. The zero value is a working
// configuration.
type RegistryOptions struct {
	// Max is how many breakers are kept. Beyond it the one unused for longest
	// goes, if possible one that is closed. Default 1024.
	Max int
	// IdleTTL is after how long without use a breaker is forgotten, when the next
	// new one is made. Default 10 min; negative: never.
	IdleTTL time.Duration
	// Breaker is the configuration of each new breaker; its Name is replaced.
	Breaker BreakerOptions
}

// Registry keeps one breaker for each name, such as a host, and makes it at first
// use. It is bounded, so names may come from outside. It is safe for concurrent
// use; it has no goroutine and nothing to close.
type Registry struct {
	opts RegistryOptions

	mu      sync.Mutex
	entries map[string]*list.Element // guarded by mu; values are *registered
	order   list.List                // guarded by mu; most recently used first
	evicted uint64                   // guarded by mu
}

type registered struct {
	name    string
	breaker *Breaker
	used    time.Time
}

// RegistryStats is a snapshot of a registry.
type RegistryStats struct {
	// Breakers are kept now.
	Breakers int
	// Evicted counts breakers forgotten for room or idleness, since NewRegistry.
	Evicted uint64
}

// NewRegistry returns an empty registry, or an error matching [ErrOptions] that
// names every field that is out of range, those of Breaker included.
func NewRegistry(o RegistryOptions) (*Registry, error) {
	var v validator
	v.check(o.Max >= 0, "Max %d is negative", o.Max)
	setDefault(&o.Max, 1024)
	setDefault(&o.IdleTTL, 10*time.Minute)
	if err := o.Breaker.normalize(); err != nil {
		v.errs = append(v.errs, err)
	}
	if err := v.err("registry"); err != nil {
		return nil, err
	}
	return &Registry{opts: o, entries: make(map[string]*list.Element)}, nil
}

// Breaker returns the breaker of that name and makes it if there is none. Two
// calls with the same name return the same breaker as long as it is in use: hold
// the name, not the breaker, for longer.
func (r *Registry) Breaker(name string) *Breaker {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := time.Now()
	if el, ok := r.entries[name]; ok {
		r.order.MoveToFront(el)
		e := el.Value.(*registered)
		e.used = now
		return e.breaker
	}
	r.expireLocked(now)
	for len(r.entries) >= r.opts.Max {
		r.dropLocked(r.victimLocked())
	}
	o := r.opts.Breaker
	o.Name = name
	b := makeBreaker(o)
	r.entries[name] = r.order.PushFront(&registered{name: name, breaker: b, used: now})
	return b
}

// expireLocked forgets the idle ones.
func (r *Registry) expireLocked(now time.Time) {
	if r.opts.IdleTTL < 0 {
		return
	}
	for el := r.order.Back(); el != nil && now.Sub(el.Value.(*registered).used) >= r.opts.IdleTTL; el = r.order.Back() {
		r.dropLocked(el)
	}
}

// victimLocked returns the least recently used entry of the oldest few that is
// closed, or else the oldest.
func (r *Registry) victimLocked() *list.Element {
	el := r.order.Back()
	for range 16 {
		if el == nil {
			break
		}
		if State(el.Value.(*registered).breaker.word.Load()&stateMask) == StateClosed {
			return el
		}
		el = el.Prev()
	}
	return r.order.Back()
}

func (r *Registry) dropLocked(el *list.Element) {
	delete(r.entries, el.Value.(*registered).name)
	r.order.Remove(el)
	r.evicted++
}

// Delete forgets the breaker of that name and reports whether there was one.
func (r *Registry) Delete(name string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	el, ok := r.entries[name]
	if ok {
		delete(r.entries, name)
		r.order.Remove(el)
	}
	return ok
}

// Len returns how many breakers are kept now.
func (r *Registry) Len() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.entries)
}

// All yields names and breakers in the order of names, as they were when the
// iteration began. It does not count as use.
func (r *Registry) All() iter.Seq2[string, *Breaker] {
	return func(yield func(string, *Breaker) bool) {
		r.mu.Lock()
		all := make([]registered, 0, len(r.entries))
		for el := r.order.Front(); el != nil; el = el.Next() {
			all = append(all, *el.Value.(*registered))
		}
		r.mu.Unlock()
		slices.SortFunc(all, func(a, b registered) int { return strings.Compare(a.name, b.name) })
		for _, e := range all {
			if !yield(e.name, e.breaker) {
				return
			}
		}
	}
}

// Stats returns the counters as they are now.
func (r *Registry) Stats() RegistryStats {
	r.mu.Lock()
	defer r.mu.Unlock()
	return RegistryStats{Breakers: len(r.entries), Evicted: r.evicted}
}

// Metrics yields the figures of the registry and of every breaker in it under
// Prometheus names, read afresh at each iteration.
func (r *Registry) Metrics() iter.Seq2[string, float64] {
	return func(yield func(string, float64) bool) {
		s := r.Stats()
		if !yield("resilience_registry_breakers", float64(s.Breakers)) ||
			!yield("resilience_registry_evicted_total", float64(s.Evicted)) {
			return
		}
		for _, b := range r.All() {
			for name, value := range b.Metrics() {
				if !yield(name, value) {
					return
				}
			}
		}
	}
}

// WithRetry returns fn with retries as o says, under a budget of its own and
// without a breaker. Options out of range make every call fail with an error
// matching [ErrOptions]. Use a [Pipeline] for more than retries.
func WithRetry[T any](fn func(context.Context) (T, error), o RetryOptions) func(context.Context) (T, error) {
	p, err := New(Options{Name: "retry", Retry: o})
	if err != nil {
		return func(context.Context) (v T, _ error) { return v, err }
	}
	return Wrap(p, fn)
}

// WithCircuitBreaker returns fn guarded by the registry's breaker of that name,
// looked up at each call. An open breaker answers with a *[BreakerOpenError].
// Nothing is retried.
func WithCircuitBreaker[T any](r *Registry, name string, fn func(context.Context) (T, error)) func(context.Context) (T, error) {
	return func(ctx context.Context) (v T, err error) {
		permit, err := r.Breaker(name).Acquire()
		if err != nil {
			return v, err
		}
		returned := false
		defer func() {
			if !returned {
				permit.Failure(errPanicked)
			}
		}()
		v, err = fn(ctx)
		returned = true
		if err != nil && ctx.Err() != nil && contextInfo(ctx).Class == ClassCanceled {
			permit.Ignore()
		} else {
			permit.Done(err)
		}
		return v, err
	}
}
