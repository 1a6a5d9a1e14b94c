package faulttest

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"
)

// simulation is one run.
type simulation struct {
	o       Options
	start   time.Time
	seconds int

	mu       sync.Mutex
	rnd      *rand.Rand      // guarded by mu; the backend's errors
	free     []time.Duration // guarded by mu; when each worker is free
	second   []second        // guarded by mu
	latency  []time.Duration // guarded by mu; of each request
	overflow second          // guarded by mu; attempts after the schedule
}

// second counts what began in one second.
type second struct {
	requests, ok, served, attempts int
	warm, warmServed               int

	failed      []time.Duration // how long each failed request took
	lastFailure time.Duration   // when the last of them began, from the second's start
}

func newSimulation(o Options) *simulation {
	s := &simulation{o: o, start: time.Now(), rnd: rand.New(rand.NewPCG(o.Seed, 1)), free: make([]time.Duration, o.Workers)}
	for _, p := range o.Phases {
		s.seconds += int(p.For / time.Second)
	}
	s.second = make([]second, s.seconds)
	return s
}

// at is the phase at a moment, the last one afterwards.
func (s *simulation) at(now time.Duration) Phase {
	for _, p := range s.o.Phases {
		if now < p.For {
			return p
		}
		now -= p.For
	}
	return Phase{}
}

func (s *simulation) secondLocked(now time.Duration) *second {
	if i := int(now / time.Second); i < len(s.second) {
		return &s.second[i]
	}
	return &s.overflow
}

// backend is one call of the backend.
func (s *simulation) backend(ctx context.Context) error {
	now := time.Since(s.start)
	phase := s.at(now)
	s.mu.Lock()
	s.secondLocked(now).attempts++
	failed := phase.Down || phase.Errors > 0 && s.rnd.Float64() < phase.Errors
	var done time.Duration
	if !failed {
		done, failed = s.enqueueLocked(now, phase)
	}
	s.mu.Unlock()
	switch wait := done - now; {
	case failed:
		return pause(ctx, time.Millisecond, ErrDown)
	case wait > s.o.Attempt:
		return pause(ctx, s.o.Attempt, ErrTimeout)
	default:
		return pause(ctx, wait, nil)
	}
}

// pause gives the answer err after d, or the end of ctx when that comes first.
func pause(ctx context.Context, d time.Duration, err error) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// enqueueLocked gives the call to the worker that is free first, unless the queue
// is full. The backend does the work whether the caller waits for it or not.
func (s *simulation) enqueueLocked(now time.Duration, phase Phase) (done time.Duration, full bool) {
	service := s.o.Service
	if phase.Service > 0 {
		service = phase.Service
	}
	first := 0
	for i := range s.free {
		if s.free[i] < s.free[first] {
			first = i
		}
	}
	begin := max(now, s.free[first])
	if begin-now > s.o.Queue {
		return 0, true
	}
	s.free[first] = begin + service
	return begin + service, false
}

// run lets all clients send their requests and waits for the last answer.
func (s *simulation) run(client func(backend Call) Call) {
	var wg sync.WaitGroup
	for i := range s.o.Clients {
		call := client(s.backend)
		wg.Go(func() { s.client(&wg, uint64(i), call) })
	}
	wg.Wait()
}

// client sends requests at random intervals, each on a goroutine of its own.
func (s *simulation) client(wg *sync.WaitGroup, id uint64, call Call) {
	rnd := rand.New(rand.NewPCG(s.o.Seed, 2+id))
	zipf := rand.NewZipf(rnd, 1.2, 1, uint64(s.o.Keys-1))
	warm := &warmKeys{answered: map[uint64]bool{}}
	mean := float64(time.Second) * float64(s.o.Clients) / s.o.Rate
	for {
		time.Sleep(time.Duration(rnd.ExpFloat64() * mean))
		now := time.Since(s.start)
		if now >= time.Duration(s.seconds)*time.Second {
			return
		}
		key := zipf.Uint64()
		wg.Go(func() { s.request(now, key, warm, call) })
	}
}

func (s *simulation) request(now time.Duration, key uint64, warm *warmKeys, call Call) {
	known := warm.ask(key)
	ctx, cancel := context.WithTimeout(context.Background(), s.o.Deadline)
	defer cancel()
	err := call(ctx)
	took := time.Since(s.start) - now
	served := warm.served(key, err == nil) && took <= s.o.Deadline
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.secondLocked(now)
	c.requests++
	if err == nil {
		c.ok++
	} else {
		c.failed = append(c.failed, took)
		c.lastFailure = max(c.lastFailure, now%time.Second)
	}
	if served {
		c.served++
	}
	if known {
		c.warm++
		if served {
			c.warmServed++
		}
	}
	s.latency = append(s.latency, took)
}

// warmKeys is the stale cache of one client process: the keys that it asked for, and
// whether one was answered yet.
type warmKeys struct {
	mu       sync.Mutex
	answered map[uint64]bool // guarded by mu
}

// ask reports whether the key was asked for before.
func (w *warmKeys) ask(key uint64) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	_, known := w.answered[key]
	if !known {
		w.answered[key] = false
	}
	return known
}

// served reports whether there is an answer now, of this call or an earlier one.
func (w *warmKeys) served(key uint64, ok bool) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if ok {
		w.answered[key] = true
	}
	return w.answered[key]
}
