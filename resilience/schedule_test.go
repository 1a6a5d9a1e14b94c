package resilience_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/perfblocks/perfblocks/resilience"
)

// The schedule of faults: ten processes send calls at random times, together 600
// a second, to a server with 20 workers of 20 ms each and a queue of up to 3 s,
// which works on when its caller has gone.
const (
	scheduleEnd     = 220 * time.Second
	scheduleWorkers = 20
	scheduleQueue   = 3 * time.Second
)

var errDown = errors.New("server is down")

// schedulePhase is a part of the schedule.
type schedulePhase struct {
	name     string
	from, to time.Duration
	calm     bool // no fault
}

func schedulePhases() []schedulePhase {
	s := time.Second
	return []schedulePhase{
		{"healthy", 0, 30 * s, true}, {"down", 30 * s, 60 * s, false}, {"after down", 60 * s, 90 * s, true},
		{"slow x20", 90 * s, 100 * s, false}, {"after slow", 100 * s, 160 * s, true},
		{"flaky 30 %", 160 * s, 190 * s, false}, {"after flaky", 190 * s, scheduleEnd, true},
	}
}

// scheduleServer is the server. Its faults depend on the time since start only.
type scheduleServer struct {
	start time.Time

	mu       sync.Mutex
	rnd      *rand.Rand
	free     [scheduleWorkers]time.Duration // when each worker will be free
	attempts []time.Duration                // when each attempt came in
}

// admit decides on an attempt that comes in now: after d it is answered by err.
func (s *scheduleServer) admit() (d time.Duration, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Since(s.start)
	s.attempts = append(s.attempts, now)
	work := 20 * time.Millisecond
	switch sec := now / time.Second; {
	case sec >= 30 && sec < 60, sec >= 160 && sec < 190 && s.rnd.Float64() < 0.3:
		return time.Millisecond, errDown
	case sec >= 90 && sec < 100:
		work *= 20
	}
	w := 0
	for i := range s.free {
		if s.free[i] < s.free[w] {
			w = i
		}
	}
	begin := max(now, s.free[w])
	if begin-now > scheduleQueue {
		return time.Millisecond, errDown
	}
	s.free[w] = begin + work
	return begin + work - now, nil
}

func (s *scheduleServer) call(ctx context.Context) error {
	d, err := s.admit()
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// scheduleCall is one call as its caller saw it.
type scheduleCall struct {
	begun time.Duration
	ok    bool
}

// runSchedule plays the schedule with one pipeline for each process.
func runSchedule(t *testing.T, seed uint64, mk func() *resilience.Pipeline) (calls []scheduleCall, attempts []time.Duration) {
	t.Helper()
	const processes, rate = 10, 600
	s := &scheduleServer{start: time.Now(), rnd: rand.New(rand.NewPCG(seed, 1))}
	var mu sync.Mutex
	var wg sync.WaitGroup
	for id := range uint64(processes) {
		p, r := mk(), rand.New(rand.NewPCG(seed, 2+id))
		wg.Go(func() {
			for {
				time.Sleep(time.Duration(r.ExpFloat64() / rate * processes * float64(time.Second)))
				begun := time.Since(s.start)
				if begun >= scheduleEnd {
					return
				}
				wg.Go(func() {
					ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
					defer cancel()
					err := resilience.Run(ctx, p, s.call)
					mu.Lock()
					defer mu.Unlock()
					calls = append(calls, scheduleCall{begun, err == nil})
				})
			}
		})
	}
	wg.Wait()
	return calls, s.attempts
}

// phaseFigures is what one phase of the schedule came to.
type phaseFigures struct {
	success float64       // share of the calls
	load    float64       // attempts for each call
	last    time.Duration // from the phase's begin to its last failed call
}

func (ph schedulePhase) figures(calls []scheduleCall, attempts []time.Duration) (f phaseFigures) {
	in := func(at time.Duration) bool { return at >= ph.from && at < ph.to }
	n, ok, tried := 0.0, 0.0, 0.0
	for _, c := range calls {
		switch {
		case !in(c.begun):
			continue
		case c.ok:
			ok++
		default:
			f.last = max(f.last, c.begun-ph.from)
		}
		n++
	}
	for _, at := range attempts {
		if in(at) {
			tried++
		}
	}
	f.success, f.load = ok/n, tried/n
	return f
}

// TestFaultSchedule prints what the default options do in each phase, and checks
// that an outage is met by little load and a recovery is soon found.
func TestFaultSchedule(t *testing.T) {
	for _, c := range []struct {
		name     string
		breaker  *resilience.BreakerOptions
		load     float64       // at most, while the server is down
		recovery time.Duration // from a fault's end to the last failed call; 0: not checked
	}{
		{"no breaker", nil, 1.05, 0},
		{"default breaker", &resilience.BreakerOptions{}, 0.05, 2 * time.Second},
		{"MaxOpenFor 10s", &resilience.BreakerOptions{MaxOpenFor: 10 * time.Second}, 0.02, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			if testing.Short() && c.recovery == 0 {
				t.Skip("only the default in short mode")
			}
			synctest.Test(t, func(t *testing.T) {
				calls, attempts := runSchedule(t, 1, func() *resilience.Pipeline {
					o := resilience.Options{AttemptTimeout: 250 * time.Millisecond}
					if c.breaker != nil {
						o.Breaker = newBreaker(t, *c.breaker)
					}
					return newPipeline(t, o)
				})
				for _, ph := range schedulePhases() {
					f := ph.figures(calls, attempts)
					t.Logf("%-12s success %6.2f %%  load %.3f  last failure after %.2f s", ph.name, 100*f.success, f.load, f.last.Seconds())
					if ph.name == "down" && f.load > c.load {
						t.Errorf("%s: %.3f attempts for each call; want at most %v", ph.name, f.load, c.load)
					}
					if ph.calm && c.recovery > 0 && f.last > c.recovery {
						t.Errorf("%s: a call failed %v after the fault; want at most %v", ph.name, f.last, c.recovery)
					}
				}
			})
		})
	}
}
