package resilience

import (
	"fmt"
	"time"
)

// State is the state of a [Breaker]. The zero value is StateClosed.
type State uint8

// The states of a breaker.
const (
	// StateClosed admits every call and watches the failures.
	StateClosed State = iota
	// StateOpen rejects every call until the open time is over.
	StateOpen
	// StateHalfOpen admits a few probes to see whether the other side recovered.
	StateHalfOpen
	// StateForcedOpen rejects every call until Reset.
	StateForcedOpen
	// StateDisabled admits every call and watches nothing until Reset.
	StateDisabled
)

// stateNames is immutable and indexed by State.
var stateNames = [...]string{"closed", "open", "half_open", "forced_open", "disabled"}

// String returns the lower-case name of the state, such as "half_open", as used
// in logs and labels.
func (s State) String() string {
	if int(s) < len(stateNames) {
		return stateNames[s]
	}
	return fmt.Sprintf("state(%d)", uint8(s))
}

// MarshalText returns the name that String gives. An undefined value is an error.
func (s State) MarshalText() ([]byte, error) {
	if int(s) >= len(stateNames) {
		return nil, fmt.Errorf("resilience: marshal state %d: undefined", uint8(s))
	}
	return []byte(stateNames[s]), nil
}

// UnmarshalText accepts exactly the names that String gives. Anything else is an
// error matching [ErrOptions] and leaves s as it was.
func (s *State) UnmarshalText(text []byte) error {
	for i, name := range stateNames {
		if name == string(text) {
			*s = State(i)
			return nil
		}
	}
	return fmt.Errorf("%w: state %q is unknown", ErrOptions, text)
}

// BreakerOptions configures a [Breaker]. The zero value is a working
// configuration. It is copied; New keeps no reference to it.
type BreakerOptions struct {
	// Name labels errors, events and metrics. Default "breaker".
	Name string
	// Window is the span over which the rates are taken; it moves in steps of a
	// tenth. Default 10 s; at least 10 ms.
	Window time.Duration
	// MinCalls is how many results the window must hold before a rate may open
	// the breaker. Default 20.
	MinCalls int
	// FailureRate opens the breaker when failures/results in the window reach it.
	// It is compared exactly. Range (0, 1]; default 0.5; negative: off.
	FailureRate float64
	// Consecutive opens the breaker after so many failures with no success
	// between them, whatever MinCalls says. Default 10; negative: off.
	Consecutive int
	// SlowCall is the duration from which a call counts as slow. 0: never.
	SlowCall time.Duration
	// SlowRate opens the breaker when slow calls/results in the window reach it.
	// Range (0, 1]; default 0.5 when SlowCall is set.
	SlowRate float64
	// OpenFor is how long the first open period lasts. Each probe that fails
	// doubles the next period, up to MaxOpenFor; closing starts afresh.
	// Default 200 ms, or MaxOpenFor if that is shorter.
	OpenFor time.Duration
	// MaxOpenFor bounds the open period, jitter included, and with it the time
	// from a recovery to the probe that finds it. Default 500 ms, or OpenFor with
	// its jitter if that is longer. A longer one spares an upstream that is often
	// down for minutes, and callers that are few; see Cost in the package comment for figures.
	MaxOpenFor time.Duration
	// OpenJitter spreads each open period by up to that share both ways, so that
	// many processes do not probe together. Range (0, 1); default 0.2; negative: none.
	OpenJitter float64
	// Probes is how many calls may be under way while half-open. Default 1: what is
	// still slow or overloaded is not met by more, and SuccessToClose of them in a row
	// take little time when it is well.
	Probes int
	// SuccessToClose is how many probes must succeed to close. Default 3.
	SuccessToClose int
	// ProbeTimeout is how long a probe may be under way before it is taken for
	// failed, so that a hung one cannot hold the breaker half-open. Default 10 s.
	ProbeTimeout time.Duration
	// Classifier decides in Done which errors count. Default: [Classify].
	Classifier *Classifier
	// Hooks observes the breaker.
	Hooks BreakerHooks
	// Disabled starts the breaker in StateDisabled: every call is admitted.
	Disabled bool
}

// BreakerHooks is a set of optional callbacks. Fields may be added in any release.
type BreakerHooks struct {
	// StateChanged is called for each change of state, in the order in which they
	// happened, never two at a time for one breaker and under no lock, on the
	// goroutine of a call that met the change. It may use the breaker. If it panics,
	// that call does; the changes that follow are told by the next one.
	StateChanged func(StateChange)
}

// StateChange describes one change of a breaker's state.
type StateChange struct {
	// Name is the breaker's name.
	Name string
	// From and To are the states before and after.
	From, To State
	// Reason is what caused the change: "failure_rate", "slow_rate",
	// "consecutive", "probe_failed", "probe_lost", "probe", "recovered" or "manual".
	Reason string
	// OpenFor is how long the open period will last; 0 unless To is StateOpen.
	OpenFor time.Duration
	// Cause is the failure that opened the breaker, or nil.
	Cause error
}

// BreakerStats is a snapshot of a breaker. Counters are since NewBreaker; a read
// during traffic may miss results recorded meanwhile.
type BreakerStats struct {
	// State is the state now.
	State State
	// Results, Failures and Slow count what is in the window now.
	Results, Failures, Slow uint64
	// Rejected counts calls refused, Late results of an earlier state that were
	// ignored, and Opened the changes to open, since NewBreaker.
	Rejected, Late, Opened uint64
	// OpenFor is the time left until a probe is admitted; 0 unless open.
	OpenFor time.Duration
}

// FailureRate returns Failures/Results of the window, or 0 while it is empty.
func (s BreakerStats) FailureRate() float64 {
	if s.Results == 0 {
		return 0
	}
	return float64(s.Failures) / float64(s.Results)
}

// Permit is the leave to make one call. Report its outcome exactly once by Done,
// Success, Failure or Ignore; a second report through the same variable does
// nothing. The zero Permit is valid and reports nowhere. Do not copy it.
type Permit struct {
	b     *Breaker
	word  uint64
	start time.Duration
	probe uint64

	window *window // of a permit given while closed
	at     stripe  // where a result was counted
}

// Done reports the outcome of the call: nil is a success, an error that counts
// by the breaker's classifier is a failure, any other success of the transport
// (such as a not-found) is a success too, and a cancel is ignored.
func (p *Permit) Done(err error) {
	b := p.b
	if b == nil {
		return
	}
	if err == nil {
		p.Success()
		return
	}
	info := b.opts.Classifier.Classify(err)
	p.done(err, &info)
}

// done reports err, which has been classified already.
func (p *Permit) done(err error, info *Info) {
	switch {
	case info.Counts:
		p.Failure(err)
	case neutral(info):
		p.Ignore()
	default: // The other side is well and said no.
		p.Success()
	}
}

// neutral reports that an outcome says nothing about the other side's health.
func neutral(i *Info) bool {
	return i.Class == ClassCanceled || i.Class == ClassRejected || i.Class == ClassOverloaded || i.NotSent
}

// Success reports that the call went well; a call longer than SlowCall counts as slow.
func (p *Permit) Success() {
	if b := p.b; b != nil {
		p.b = nil
		b.record(p, outcomeOK, nil)
	}
}

// Failure reports that the call failed, whatever the classifier would say. The
// cause is kept for the rejection error and may be nil.
func (p *Permit) Failure(cause error) {
	if b := p.b; b != nil {
		p.b = nil
		b.record(p, outcomeFailure, cause)
	}
}

// Ignore gives the permit back without an outcome: a probe's place becomes free
// and nothing is counted. Use it when the caller gave up.
func (p *Permit) Ignore() {
	if b := p.b; b != nil {
		p.b = nil
		b.record(p, outcomeNone, nil)
	}
}
