package resilience

import (
	"context"
	"errors"
	"iter"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"
)

type outcome uint8

const (
	outcomeNone outcome = iota
	outcomeOK
	outcomeFailure
)

const (
	stateBits = 3
	stateMask = 1<<stateBits - 1
)

// Breaker stops calls to something that fails, so that it can recover and callers
// learn at once. It is safe for concurrent use and must not be copied after first
// use. It has no goroutine and nothing to close.
type Breaker struct {
	opts  BreakerOptions // defaults filled in; never changes
	start time.Time      // the zero of every time below; monotonic

	// word is generation<<stateBits | state. A result recorded under another word
	// than its permit's is late and ignored.
	word   atomic.Uint64
	window atomic.Pointer[window] // of this closed period; nil in other states

	open     atomic.Pointer[BreakerOpenError] // the rejection of this generation
	rejected atomic.Uint64
	late     atomic.Uint64
	opened   atomic.Uint64

	mu        sync.Mutex
	until     time.Duration    // end of the open period; guarded by mu
	openings  int              // open periods since the last recovery; guarded by mu
	successes int              // of probes in this half-open period; guarded by mu
	probes    map[uint64]lease // under way in this half-open period; guarded by mu
	nextProbe uint64           // guarded by mu
	cause     error            // of the last opening; guarded by mu
	events    []StateChange    // not yet delivered; guarded by mu
	firing    bool             // someone delivers events; guarded by mu
}

// lease is the time at which a probe is given up.
type lease = time.Duration

// NewBreaker returns a closed breaker, or an error matching [ErrOptions] that
// names every field that is out of range.
func NewBreaker(o BreakerOptions) (*Breaker, error) {
	if err := o.normalize(); err != nil {
		return nil, err
	}
	return makeBreaker(o), nil
}

// makeBreaker makes a breaker from normalized options.
func makeBreaker(o BreakerOptions) *Breaker {
	b := &Breaker{opts: o, start: time.Now(), probes: make(map[uint64]lease)}
	if o.Disabled {
		b.word.Store(uint64(StateDisabled))
	} else {
		b.window.Store(newWindow(0, o.Window))
	}
	return b
}

// normalize fills in the defaults and reports every field that is out of range.
func (o *BreakerOptions) normalize() error {
	var v validator
	v.rangeDuration("Window", o.Window, 10*time.Millisecond)
	v.rate("FailureRate", o.FailureRate)
	v.rate("SlowRate", o.SlowRate)
	v.check(o.MinCalls >= 0, "MinCalls %d is negative", o.MinCalls)
	v.check(o.SlowCall >= 0, "SlowCall %v is negative", o.SlowCall)
	v.check(o.OpenFor >= 0, "OpenFor %v is negative", o.OpenFor)
	v.check(o.MaxOpenFor >= 0, "MaxOpenFor %v is negative", o.MaxOpenFor)
	v.check(o.MaxOpenFor == 0 || o.MaxOpenFor >= o.OpenFor, "MaxOpenFor %v is less than OpenFor %v", o.MaxOpenFor, o.OpenFor)
	v.check(o.OpenJitter < 1, "OpenJitter %v is not below 1", o.OpenJitter)
	v.check(o.Probes >= 0, "Probes %d is negative", o.Probes)
	v.check(o.SuccessToClose >= 0, "SuccessToClose %d is negative", o.SuccessToClose)
	v.check(o.ProbeTimeout >= 0, "ProbeTimeout %v is negative", o.ProbeTimeout)
	setDefault(&o.Name, "breaker")
	setDefault(&o.Window, 10*time.Second)
	setDefault(&o.MinCalls, 20)
	setDefault(&o.FailureRate, 0.5)
	setDefault(&o.SlowRate, 0.5)
	setDefault(&o.Consecutive, 10)
	setDefault(&o.OpenJitter, 0.2)
	if o.OpenFor == 0 {
		o.OpenFor = 200 * time.Millisecond
		if o.MaxOpenFor > 0 {
			o.OpenFor = min(o.OpenFor, o.MaxOpenFor)
		}
	}
	setDefault(&o.MaxOpenFor, max(500*time.Millisecond, scale(o.OpenFor, 1+max(0, o.OpenJitter))))
	setDefault(&o.Probes, 1)
	setDefault(&o.SuccessToClose, 3)
	setDefault(&o.ProbeTimeout, 10*time.Second)
	if o.SlowCall == 0 {
		o.SlowRate = -1
	}
	return v.err("breaker " + o.Name)
}

func (b *Breaker) now() time.Duration { return max(0, time.Since(b.start)) }

// Name returns the name given in the options.
func (b *Breaker) Name() string { return b.opts.Name }

// Acquire asks for leave to make one call. It never blocks. The error, when the
// breaker refuses, is a *[BreakerOpenError] and matches [ErrOpen].
func (b *Breaker) Acquire() (Permit, error) {
	var p Permit
	err := b.acquire(&p)
	return p, err
}

// acquire is Acquire into p, which is the zero Permit or was reported.
func (b *Breaker) acquire(p *Permit) (err error) {
	if w := b.window.Load(); w != nil {
		p.b, p.word, p.window = b, w.word, w
		if b.opts.SlowCall > 0 {
			p.start = b.now()
		}
		return nil
	}
	if e := b.refusal(0); e != nil {
		b.rejected.Add(1)
		return e
	}
	*p, err = b.acquireSlow()
	return err
}

// refusal returns the error of a breaker that is certain to reject for longer than
// the given time, without a lock, or nil.
func (b *Breaker) refusal(longer time.Duration) *BreakerOpenError {
	switch State(b.word.Load() & stateMask) {
	case StateOpen, StateForcedOpen:
	default:
		return nil
	}
	e := b.open.Load() // Of this generation or of a later one.
	if e.State == StateForcedOpen || e.State == StateOpen && e.end-b.now() > longer {
		return e
	}
	return nil
}

func (b *Breaker) acquireSlow() (Permit, error) {
	b.mu.Lock()
	now := b.now()
	b.advanceLocked(now)
	p, err := b.admitLocked(now)
	fire := len(b.events) > 0
	b.mu.Unlock()
	if fire {
		b.fireFor(&p)
	}
	if err != nil {
		b.rejected.Add(1)
		return Permit{}, err
	}
	return p, nil
}

// advanceLocked makes the changes of state that only time causes.
func (b *Breaker) advanceLocked(now time.Duration) {
	switch State(b.word.Load() & stateMask) {
	case StateOpen:
		if now >= b.until {
			b.changeLocked(StateHalfOpen, "probe", nil, now)
		}
	case StateHalfOpen:
		for _, end := range b.probes {
			if now >= end {
				b.changeLocked(StateOpen, "probe_lost", errProbeLost, now)
				return
			}
		}
	default: // The other states do not change by time.
	}
}

// errProbeLost is the cause of an opening by a probe that never reported.
var errProbeLost = Mark(errors.New("resilience: probe did not report in time"), ClassTimeout)

func (b *Breaker) admitLocked(now time.Duration) (Permit, error) {
	w := b.word.Load()
	switch State(w & stateMask) {
	case StateClosed:
		return Permit{b: b, word: w, window: b.window.Load(), start: now}, nil
	case StateDisabled:
		return Permit{}, nil
	case StateHalfOpen:
		// No more probes than successes are still wanted.
		if n := len(b.probes); n < b.opts.Probes && n+b.successes < b.opts.SuccessToClose {
			b.nextProbe++
			b.probes[b.nextProbe] = later(now, b.opts.ProbeTimeout)
			return Permit{b: b, word: w, start: now, probe: b.nextProbe}, nil
		}
		return Permit{}, b.open.Load()
	default:
		return Permit{}, b.open.Load()
	}
}

// changeLocked moves to another state and generation, and queues the event.
func (b *Breaker) changeLocked(to State, reason string, cause error, now time.Duration) {
	w := b.word.Load()
	from := State(w & stateMask)
	ev := StateChange{Name: b.opts.Name, From: from, To: to, Reason: reason, Cause: cause}
	clear(b.probes)
	b.successes = 0
	switch to {
	case StateOpen:
		ev.OpenFor = b.openForLocked()
		b.until = later(now, ev.OpenFor)
		b.openings++
		b.cause = cause
		b.opened.Add(1)
		b.open.Store(&BreakerOpenError{Name: b.opts.Name, State: to, Cause: cause, until: b.start.Add(b.until), end: b.until})
	case StateHalfOpen:
		b.open.Store(&BreakerOpenError{Name: b.opts.Name, State: to, Cause: b.cause, hint: b.opts.OpenFor})
	case StateForcedOpen:
		b.open.Store(&BreakerOpenError{Name: b.opts.Name, State: to, Cause: b.cause})
	default:
		b.openings, b.cause = 0, nil
	}
	w = (w>>stateBits+1)<<stateBits | uint64(to)
	b.word.Store(w)
	if to == StateClosed {
		b.window.Store(newWindow(w, b.opts.Window))
	} else {
		b.window.Store(nil)
	}
	if b.opts.Hooks.StateChanged != nil {
		b.events = append(b.events, ev)
	}
}

// openForLocked returns the length of the open period that begins. The longest
// one is spread below MaxOpenFor, not cut off there, where many would meet.
func (b *Breaker) openForLocked() time.Duration {
	j := max(0, b.opts.OpenJitter)
	longest := scale(b.opts.MaxOpenFor, 1/(1+j))
	d := min(b.opts.OpenFor, longest)
	for range b.openings {
		if d >= longest/2 {
			d = longest
			break
		}
		d *= 2
	}
	return min(max(1, scale(d, 1+j*(2*rand.Float64()-1))), b.opts.MaxOpenFor)
}

// fireFor is fire before p is handed out; if the hook panics, nobody will have p.
func (b *Breaker) fireFor(p *Permit) {
	clean := false
	defer func() {
		if !clean {
			p.Ignore()
		}
	}()
	b.fire()
	clean = true
}

// fire delivers the queued events in order. Only one goroutine does so at a time;
// what others queue meanwhile, it delivers as well.
func (b *Breaker) fire() {
	b.mu.Lock()
	if b.firing {
		b.mu.Unlock()
		return
	}
	b.firing = true
	b.mu.Unlock()
	clean := false
	defer func() {
		if !clean { // The hook panicked: let the next change deliver the rest.
			b.mu.Lock()
			b.firing = false
			b.mu.Unlock()
		}
	}()
	for {
		b.mu.Lock()
		if len(b.events) == 0 {
			b.events, b.firing = nil, false
			clean = true
			b.mu.Unlock()
			return
		}
		ev := b.events[0]
		b.events = b.events[1:]
		b.mu.Unlock()
		b.opts.Hooks.StateChanged(ev)
	}
}

// record takes the outcome of a permit.
func (b *Breaker) record(p *Permit, o outcome, cause error) {
	if State(p.word&stateMask) == StateHalfOpen {
		b.recordProbe(p, o, cause)
		return
	}
	if o == outcomeNone {
		return
	}
	now := b.now()
	slow := b.opts.SlowCall > 0 && now-p.start >= b.opts.SlowCall
	if b.word.Load() != p.word {
		b.late.Add(1)
		return
	}
	p.at = stripe(uint64(now) * stripeMix >> 32)
	run := p.window.add(p.at, now, o == outcomeFailure, slow)
	switch {
	case o == outcomeOK && !slow:
		return
	case b.opts.Consecutive > 0 && run >= int64(b.opts.Consecutive):
		b.trip(p.word, "consecutive", cause, now)
		return
	}
	total, failures, slows := p.window.sum(now)
	switch {
	case total < uint64(b.opts.MinCalls):
	case b.opts.FailureRate > 0 && reached(failures, total, b.opts.FailureRate):
		b.trip(p.word, "failure_rate", cause, now)
	case b.opts.SlowRate > 0 && reached(slows, total, b.opts.SlowRate):
		b.trip(p.word, "slow_rate", cause, now)
	}
}

// reached compares a share with a rate. The quotient is rounded as a literal is, so
// that 7 of 100 reach 0.07; 0.07 times 100 is more than 7 in floating point.
func reached(n, total uint64, rate float64) bool { return float64(n)/float64(total) >= rate }

// trip opens the breaker if its generation is still the given one.
func (b *Breaker) trip(word uint64, reason string, cause error, now time.Duration) {
	b.mu.Lock()
	if b.word.Load() == word {
		b.changeLocked(StateOpen, reason, cause, now)
	}
	fire := len(b.events) > 0
	b.mu.Unlock()
	if fire {
		b.fire()
	}
}

func (b *Breaker) recordProbe(p *Permit, o outcome, cause error) {
	b.mu.Lock()
	now := b.now()
	b.advanceLocked(now)
	if b.word.Load() != p.word {
		b.late.Add(1)
	} else if _, ok := b.probes[p.probe]; ok {
		delete(b.probes, p.probe)
		slow := b.opts.SlowCall > 0 && now-p.start >= b.opts.SlowCall
		switch {
		case o == outcomeNone:
		case o == outcomeFailure || slow:
			b.changeLocked(StateOpen, "probe_failed", cause, now)
		default:
			b.successes++
			if b.successes >= b.opts.SuccessToClose {
				b.changeLocked(StateClosed, "recovered", nil, now)
			}
		}
	}
	fire := len(b.events) > 0
	b.mu.Unlock()
	if fire {
		b.fire()
	}
}

// State returns the state now. An open period that is over shows as half-open
// although no probe has been asked for yet.
func (b *Breaker) State() State {
	s := State(b.word.Load() & stateMask)
	if s != StateOpen && s != StateHalfOpen {
		return s
	}
	b.mu.Lock()
	b.advanceLocked(b.now())
	s = State(b.word.Load() & stateMask)
	fire := len(b.events) > 0
	b.mu.Unlock()
	if fire {
		b.fire()
	}
	return s
}

// ForceOpen rejects every call until Reset, for maintenance or in an emergency.
// Calling it again changes nothing.
func (b *Breaker) ForceOpen() { b.force(StateForcedOpen) }

// Disable admits every call and counts nothing until Reset. Calling it again
// changes nothing.
func (b *Breaker) Disable() { b.force(StateDisabled) }

// Reset closes the breaker and forgets what it counted; it ends ForceOpen and
// Disable. Results of calls begun before are ignored.
func (b *Breaker) Reset() { b.force(StateClosed) }

func (b *Breaker) force(to State) {
	b.mu.Lock()
	if to == StateClosed || State(b.word.Load()&stateMask) != to {
		b.changeLocked(to, "manual", nil, b.now())
	}
	fire := len(b.events) > 0
	b.mu.Unlock()
	if fire {
		b.fire()
	}
}

// Wait blocks while the breaker is open, until it would admit a probe, and then
// returns nil; it reserves nothing, so Acquire may still refuse. It returns a
// *[BreakerOpenError] at once when ctx would end before that or the breaker is
// forced open, and an error matching ctx.Err() when ctx ends meanwhile. While the
// breaker admits calls, an ended ctx is not looked at.
func (b *Breaker) Wait(ctx context.Context) error {
	for b.blocked() {
		e := b.open.Load()
		d := e.RetryAfter()
		if e.State == StateForcedOpen {
			return e
		}
		if end, ok := ctx.Deadline(); ok && time.Until(end) <= d {
			return e
		}
		if err := sleep(ctx, d); err != nil {
			return err
		}
	}
	return nil
}

// blocked reports whether the breaker is open now.
func (b *Breaker) blocked() bool {
	s := b.State()
	return s == StateOpen || s == StateForcedOpen
}

// Stats returns the state and the counters as they are now.
func (b *Breaker) Stats() BreakerStats {
	s := BreakerStats{
		State: b.State(), Rejected: b.rejected.Load(), Late: b.late.Load(), Opened: b.opened.Load(),
	}
	s.Results, s.Failures, s.Slow = b.window.Load().sum(b.now())
	if s.State == StateOpen {
		s.OpenFor = b.open.Load().RetryAfter()
	}
	return s
}

// Metrics yields the breaker's figures under Prometheus names with the label
// breaker, read afresh at each iteration.
func (b *Breaker) Metrics() iter.Seq2[string, float64] {
	return func(yield func(string, float64) bool) {
		s := b.Stats()
		l := labels("breaker", b.opts.Name)
		for st, name := range stateNames {
			on := 0.0
			if s.State == State(st) {
				on = 1
			}
			if !yield("resilience_breaker_state"+labels("breaker", b.opts.Name, "state", name), on) {
				return
			}
		}
		_ = yield("resilience_breaker_window_results"+l, float64(s.Results)) &&
			yield("resilience_breaker_window_failures"+l, float64(s.Failures)) &&
			yield("resilience_breaker_window_slow"+l, float64(s.Slow)) &&
			yield("resilience_breaker_rejected_total"+l, float64(s.Rejected)) &&
			yield("resilience_breaker_late_results_total"+l, float64(s.Late)) &&
			yield("resilience_breaker_opened_total"+l, float64(s.Opened)) &&
			yield("resilience_breaker_open_seconds"+l, s.OpenFor.Seconds())
	}
}
