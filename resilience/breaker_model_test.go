package resilience_test

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"github.com/perfblocks/perfblocks/resilience"
)

// modelBreaker is the breaker told in the plainest words: it keeps every result
// and every permit for ever and counts anew at each question.
type modelBreaker struct {
	o       resilience.BreakerOptions
	start   time.Time
	state   resilience.State
	gen     int
	results []modelResult // of this generation, while closed
	until   time.Time
	opens   int
	good    int
	probes  map[int]time.Time // permit id to the end of its lease
}

type modelResult struct {
	at           time.Time
	failed, slow bool
}

type modelPermit struct {
	id, gen int
	state   resilience.State
	start   time.Time
	probe   bool
}

func (m *modelBreaker) move(to resilience.State, now time.Time) {
	m.state, m.good, m.results, m.probes = to, 0, nil, map[int]time.Time{}
	m.gen++
	switch to {
	case resilience.StateOpen:
		d := m.o.OpenFor
		for range m.opens {
			d = min(2*d, m.o.MaxOpenFor)
		}
		m.opens++
		m.until = now.Add(d)
	case resilience.StateHalfOpen, resilience.StateForcedOpen:
	default:
		m.opens = 0
	}
}

// tick makes the changes that only time causes.
func (m *modelBreaker) tick(now time.Time) {
	if m.state == resilience.StateOpen && !now.Before(m.until) {
		m.move(resilience.StateHalfOpen, now)
	}
	if m.state == resilience.StateHalfOpen {
		for _, end := range m.probes {
			if !now.Before(end) {
				m.move(resilience.StateOpen, now)
				return
			}
		}
	}
}

func (m *modelBreaker) acquire(id int, now time.Time) (modelPermit, bool) {
	m.tick(now)
	p := modelPermit{id: id, gen: m.gen, state: m.state, start: now}
	switch m.state {
	case resilience.StateClosed, resilience.StateDisabled:
		return p, true
	case resilience.StateHalfOpen:
		if len(m.probes) < m.o.Probes && len(m.probes)+m.good < m.o.SuccessToClose {
			m.probes[id] = now.Add(m.o.ProbeTimeout)
			p.probe = true
			return p, true
		}
	}
	return p, false
}

// report takes an outcome: 0 success, 1 failure, 2 ignored.
func (m *modelBreaker) report(p modelPermit, outcome int, now time.Time) {
	if p.state == resilience.StateDisabled {
		return
	}
	if p.probe {
		m.tick(now)
	}
	if p.gen != m.gen {
		return
	}
	slow := m.o.SlowCall > 0 && now.Sub(p.start) >= m.o.SlowCall
	if p.probe {
		delete(m.probes, p.id)
		switch {
		case outcome == 2:
		case outcome == 1 || slow:
			m.move(resilience.StateOpen, now)
		default:
			if m.good++; m.good >= m.o.SuccessToClose {
				m.move(resilience.StateClosed, now)
			}
		}
		return
	}
	if outcome == 2 {
		return
	}
	m.results = append(m.results, modelResult{at: now, failed: outcome == 1, slow: slow})
	if (outcome == 1 || slow) && m.tripped(now) {
		m.move(resilience.StateOpen, now)
	}
}

func (m *modelBreaker) tripped(now time.Time) bool {
	run := 0
	for i := len(m.results) - 1; i >= 0 && m.results[i].failed; i-- {
		run++
	}
	if m.o.Consecutive > 0 && run >= m.o.Consecutive {
		return true
	}
	total, failed, slow := m.counts(now)
	return total >= m.o.MinCalls &&
		(failed >= m.o.FailureRate*float64(total) || m.o.SlowCall > 0 && slow >= m.o.SlowRate*float64(total))
}

// counts adds up the results of the last ten steps of a tenth of the window.
func (m *modelBreaker) counts(now time.Time) (total int, failed, slow float64) {
	step := m.o.Window / 10
	last := now.Sub(m.start) / step
	for _, r := range m.results {
		if last-r.at.Sub(m.start)/step < 10 {
			total++
			if r.failed {
				failed++
			}
			if r.slow {
				slow++
			}
		}
	}
	return total, failed, slow
}

// runHistory plays one random history on a breaker and on the model.
func runHistory(seed uint64, steps int) error {
	r := rand.New(rand.NewPCG(seed, 7))
	o := resilience.BreakerOptions{
		Window: time.Second, MinCalls: 1 + r.IntN(8), FailureRate: []float64{0.25, 0.5, 1}[r.IntN(3)],
		Consecutive: []int{-1, 2, 5}[r.IntN(3)], SlowCall: []time.Duration{0, 250 * time.Millisecond}[r.IntN(2)], SlowRate: 0.75,
		OpenFor: 200 * time.Millisecond, MaxOpenFor: time.Second, OpenJitter: -1,
		Probes: 1 + r.IntN(3), SuccessToClose: 1 + r.IntN(3), ProbeTimeout: time.Second,
	}
	b, err := resilience.NewBreaker(o)
	if err != nil {
		return err
	}
	m := &modelBreaker{o: o, start: time.Now(), probes: map[int]time.Time{}}
	type held struct {
		real  resilience.Permit
		model modelPermit
	}
	var open []*held
	for step := range steps {
		now := time.Now()
		switch k := r.IntN(100); {
		case k < 40:
			p, rejected := b.Acquire()
			mp, admitted := m.acquire(step, now)
			if (rejected == nil) != admitted {
				return fmt.Errorf("step %d: Acquire = %v; model admits: %v in %v", step, rejected, admitted, m.state)
			}
			if admitted {
				open = append(open, &held{p, mp})
			}
		case k < 80 && len(open) > 0:
			i := r.IntN(len(open))
			h := open[i]
			open = append(open[:i], open[i+1:]...)
			outcome := []int{0, 0, 1, 1, 2}[r.IntN(5)]
			switch outcome {
			case 0:
				h.real.Success()
			case 1:
				func() { // A panic in the call is a failure too.
					defer func() { _ = recover() }()
					defer h.real.Failure(errBoom)
					panic("user code")
				}()
			default:
				h.real.Ignore()
			}
			m.report(h.model, outcome, now)
		case k < 98:
			time.Sleep(time.Duration(r.IntN(300)) * time.Millisecond)
		default:
			to := []resilience.State{resilience.StateClosed, resilience.StateForcedOpen, resilience.StateDisabled}[r.IntN(3)]
			switch to {
			case resilience.StateForcedOpen:
				b.ForceOpen()
			case resilience.StateDisabled:
				b.Disable()
			default:
				b.Reset()
			}
			if to == resilience.StateClosed || m.state != to {
				m.move(to, now)
			}
		}
		m.tick(time.Now())
		if got := b.State(); got != m.state {
			return fmt.Errorf("step %d: State = %v; model %v", step, got, m.state)
		}
		total, failed, slow := m.counts(time.Now())
		if s := b.Stats(); s.Results != uint64(total) || s.Failures != uint64(failed) || s.Slow != uint64(slow) {
			return fmt.Errorf("step %d: window %d/%d/%d; model %d/%v/%v", step, s.Failures, s.Slow, s.Results, total, failed, slow)
		}
	}
	return nil
}

func TestBreakerModel(t *testing.T) {
	histories := 2000
	if testing.Short() {
		histories = 200
	}
	synctest.Test(t, func(t *testing.T) {
		for seed := range uint64(histories) {
			if err := runHistory(seed, 150); err != nil {
				t.Fatalf("seed %d: %v", seed, err)
			}
		}
	})
}
