package breakermodel

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/failsafe-go/failsafe-go"
	"github.com/failsafe-go/failsafe-go/circuitbreaker"
	"github.com/perfblocks/perfblocks/examples/versus/internal/bench"
	"github.com/perfblocks/perfblocks/resilience"
	"github.com/sony/gobreaker/v2"
)

// All breakers open after three failures in a row, for 100 ms, then admit one
// probe at a time, and close after one success.
const (
	trips   = 3
	openFor = 100 * time.Millisecond
	lease   = 300 * time.Millisecond // of a probe, where the breaker has one
)

type state string

const (
	closed     state = "closed"
	open       state = "open"
	halfOpen   state = "half-open"
	forcedOpen state = "forced-open"
	disabled   state = "disabled"
)

type outcome int

const (
	success outcome = iota
	failure
	panicked
	canceled
	outcomes
)

var errDown = errors.New("down")

// breaker is a contender. acquire returns the function that ends the call.
type breaker struct {
	acquire func() (end func(outcome), ok bool)
	state   func() state
	force   map[state]func()
	promises
}

// promises is what a breaker's documentation says of the less usual outcomes.
type promises struct {
	leases  bool // a probe that does not end is given up
	neutral bool // a call given up by its caller is neither success nor failure
	panics  bool // a panic is a failure; otherwise it may leave no trace at all
}

// model does what the documentation of a breaker says.
type model struct {
	promises
	state    state
	gen, run int
	until    time.Time
	probe    *call // under way
}

type call struct {
	end   func(outcome)
	gen   int
	probe bool
	lease time.Time
}

func (m *model) move(to state) {
	m.state, m.run, m.probe = to, 0, nil
	m.gen++
	m.until = time.Now().Add(openFor)
}

func (m *model) tick() {
	now := time.Now()
	if m.state == open && !now.Before(m.until) {
		m.move(halfOpen)
	}
	if m.leases && m.probe != nil && !now.Before(m.probe.lease) {
		m.move(open)
	}
}

func (m *model) acquire() (*call, bool) {
	m.tick()
	c := &call{gen: m.gen, lease: time.Now().Add(lease)}
	switch m.state {
	case closed, disabled:
		return c, true
	case halfOpen:
		if m.probe == nil {
			c.probe, m.probe = true, c
			return c, true
		}
	}
	return nil, false
}

func (m *model) finish(c *call, o outcome) {
	m.tick()
	if o == canceled && !m.neutral {
		o = failure
	}
	if o == panicked && !m.panics {
		o = canceled
	}
	switch {
	case c.gen != m.gen || m.state == disabled:
	case o == canceled:
		m.probe = nil
	case c.probe && o == success:
		m.move(closed)
	case c.probe:
		m.move(open)
	case o == success:
		m.run = 0
	default:
		if m.run++; m.run == trips {
			m.move(open)
		}
	}
}

func ours() breaker {
	b, err := resilience.NewBreaker(resilience.BreakerOptions{
		Consecutive: trips, FailureRate: -1, OpenFor: openFor, MaxOpenFor: openFor, OpenJitter: -1,
		Probes: 1, SuccessToClose: 1, ProbeTimeout: lease,
	})
	if err != nil {
		panic(err)
	}
	names := map[resilience.State]state{
		resilience.StateClosed: closed, resilience.StateOpen: open, resilience.StateHalfOpen: halfOpen,
		resilience.StateForcedOpen: forcedOpen, resilience.StateDisabled: disabled,
	}
	return breaker{
		promises: promises{leases: true, neutral: true, panics: true},
		acquire: func() (func(outcome), bool) {
			p, err := b.Acquire()
			return func(o outcome) {
				switch o {
				case success:
					p.Done(nil)
				case canceled:
					p.Done(context.Canceled)
				default:
					p.Failure(errDown)
				}
			}, err == nil
		},
		state: func() state { return names[b.State()] },
		force: map[state]func(){closed: b.Reset, forcedOpen: b.ForceOpen, disabled: b.Disable},
	}
}

// gobreakerV2 reports a panic as its Execute does: as an error.
func gobreakerV2() breaker {
	b := gobreaker.NewTwoStepCircuitBreaker[int](gobreaker.Settings{
		MaxRequests: 1, Timeout: openFor - 1, // it opens after, not at, the time
		ReadyToTrip: func(c gobreaker.Counts) bool { return c.ConsecutiveFailures >= trips },
		IsExcluded:  func(err error) bool { return errors.Is(err, context.Canceled) },
	})
	names := map[gobreaker.State]state{gobreaker.StateClosed: closed, gobreaker.StateOpen: open, gobreaker.StateHalfOpen: halfOpen}
	return breaker{
		promises: promises{neutral: true, panics: true},
		acquire: func() (func(outcome), bool) {
			done, err := b.Allow()
			return func(o outcome) {
				done(map[outcome]error{failure: errDown, panicked: errDown, canceled: context.Canceled}[o])
			}, err == nil
		},
		state: func() state { return names[b.State()] },
	}
}

// failsafeGo ends a call as its executor does: nothing is recorded for a panic,
// which TestFailsafePanic shows.
func failsafeGo() breaker {
	b := newFailsafe()
	names := map[circuitbreaker.State]state{circuitbreaker.ClosedState: closed, circuitbreaker.OpenState: open, circuitbreaker.HalfOpenState: halfOpen}
	return breaker{
		acquire: func() (func(outcome), bool) {
			return func(o outcome) {
				switch o {
				case success:
					b.RecordSuccess()
				case failure:
					b.RecordError(errDown)
				case canceled:
					b.RecordError(context.Canceled)
				}
			}, b.TryAcquirePermit()
		},
		state: func() state { // It changes to half-open at the next call only.
			if b.IsOpen() && b.RemainingDelay() == 0 {
				return halfOpen
			}
			return names[b.State()]
		},
		force: map[state]func(){closed: b.Close},
	}
}

func newFailsafe() circuitbreaker.CircuitBreaker[int] {
	return circuitbreaker.NewBuilder[int]().WithFailureThreshold(trips).WithSuccessThreshold(1).WithDelay(openFor).Build()
}

// hung is stuck, but not wrong: no limit is promised.
const hung = "a probe that never ended holds it half-open for ever"

// play runs one history and says what went wrong first, or nothing.
func play(b breaker, seed uint64, steps int) string {
	r := rand.New(rand.NewPCG(seed, 11))
	m := &model{state: closed, promises: b.promises}
	var calls []*call
	var sawPanic, sawLate, sawCancel bool
	for range steps {
		k, i, o := r.IntN(100), r.IntN(1<<20), outcome(r.IntN(int(outcomes)))
		late := false
		switch {
		case k < 40:
			end, got := b.acquire()
			c, want := m.acquire()
			if got != want {
				return blame(got, sawPanic, sawLate, sawCancel)
			}
			if got {
				c.end = end
				calls = append(calls, c)
			}
		case k < 78 && len(calls) > 0:
			i %= len(calls)
			c := calls[i]
			calls = slices.Delete(calls, i, i+1)
			m.tick()
			late = c.gen != m.gen
			sawPanic, sawLate, sawCancel = sawPanic || o == panicked, sawLate || late, sawCancel || o == canceled && m.neutral
			c.end(o)
			m.finish(c, o)
		case k < 82 && len(calls) > 0: // a call that never ends
			i %= len(calls)
			calls = slices.Delete(calls, i, i+1)
		case k < 97:
			time.Sleep(time.Duration(i%150) * time.Millisecond)
		default:
			to := []state{closed, forcedOpen, disabled}[i%3]
			if force := b.force[to]; force != nil {
				force()
				// Closing a breaker that is closed forgets nothing in failsafe-go.
				if m.tick(); m.state != to || to == closed && b.leases {
					m.move(to)
				}
			}
		}
		m.tick()
		if got := b.state(); got != m.state {
			if late {
				return "late result of an earlier state counted"
			}
			if o == canceled && m.neutral && k >= 40 && k < 78 {
				return "call given up by its caller counted"
			}
			return blame(got != halfOpen && got != open, sawPanic, sawLate, sawCancel)
		}
	}
	if m.probe != nil && !slices.Contains(calls, m.probe) && !m.leases {
		return hung
	}
	return ""
}

// blame names the likeliest cause of a difference that shows later.
func blame(admits, sawPanic, sawLate, sawCancel bool) string {
	where := "too strict"
	if admits {
		where = "too lax"
	}
	switch {
	case sawPanic && !admits:
		return where + ", after a panic"
	case sawLate:
		return where + ", after a late result"
	case sawCancel:
		return where + ", after a call given up"
	case sawPanic:
		return where + ", after a panic"
	}
	return where
}

// TestHistories plays VERSUS_HISTORIES histories, or 100,000; a fifth with -short.
func TestHistories(t *testing.T) {
	n := 100_000
	if testing.Short() {
		n /= 5
	}
	if v, err := strconv.Atoi(os.Getenv("VERSUS_HISTORIES")); err == nil {
		n = v
	}
	row := bench.Row{Measure: fmt.Sprintf("%d random histories of a breaker against a model", n), Unit: "wrong or stuck", Goal: "= 0"}
	for i, side := range []struct {
		name string
		make func() breaker
	}{{"perfblocks", ours}, {"failsafe-go", failsafeGo}, {"gobreaker", gobreakerV2}} {
		wrong := map[string]int{}
		synctest.Test(t, func(*testing.T) {
			for seed := range uint64(n) {
				if what := play(side.make(), seed, 40); what != "" {
					wrong[what]++
				}
			}
		})
		total := 0
		for _, what := range slices.SortedFunc(maps.Keys(wrong), func(a, b string) int { return cmp.Compare(wrong[b], wrong[a]) }) {
			total += wrong[what]
			t.Logf("%s: %d histories: %s", side.name, wrong[what], what)
		}
		t.Logf("%s: %d of %d histories stuck or wrong", side.name, total, n)
		if i > 0 {
			row.Peers = append(row.Peers, bench.Value{Name: side.name, Value: float64(total)})
			continue
		}
		row.Ours, row.OK = float64(total), total == 0
		if total > 0 {
			t.Errorf("%d histories with a stuck or wrong state; want 0", total)
		}
	}
	bench.Emit(t, row)
}

// TestFailsafePanic shows what the executor leaves behind after a panic in a probe.
func TestFailsafePanic(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newFailsafe()
		b.Open()
		time.Sleep(openFor)
		func() {
			defer func() { _ = recover() }()
			_, _ = failsafe.With[int](b).Get(func() (int, error) { panic("user code") })
		}()
		time.Sleep(time.Hour)
		t.Logf("failsafe-go, an hour after a panic in a probe: %v, admits a call: %v", b.State(), b.TryAcquirePermit())
	})
}
