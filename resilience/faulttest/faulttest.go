package faulttest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"
)

// Call is one call: of the backend, or of a client that protects the backend.
type Call func(ctx context.Context) error

// Errors of the backend.
var (
	// ErrDown is an answer that the backend could not give: it is down, one of its
	// random errors, or its queue is full.
	ErrDown error = backendError{text: "faulttest: backend is down", temporary: true}
	// ErrTimeout is an answer that did not come in time; the backend still works on it.
	ErrTimeout error = backendError{text: "faulttest: no answer in time", timeout: true}
)

// backendError says what it is in the way of package net, so that any classifier
// knows it.
type backendError struct {
	text      string
	timeout   bool
	temporary bool
}

func (e backendError) Error() string   { return e.text }
func (e backendError) Timeout() bool   { return e.timeout }
func (e backendError) Temporary() bool { return e.temporary || e.timeout }

// HTTPStatusCode is 503 for ErrDown and 504 for ErrTimeout.
func (e backendError) HTTPStatusCode() int {
	if e.timeout {
		return 504
	}
	return 503
}

// Phase is a part of the schedule. The zero values of the faults are health.
type Phase struct {
	// Name for the report. Required, unique.
	Name string
	// For is how long the phase lasts, whole seconds, at least one.
	For time.Duration
	// Down makes every call fail after a millisecond.
	Down bool
	// Errors is the share of calls that fail after a millisecond, 0 to 1.
	Errors float64
	// Service is the service time of the backend in this phase. Default Options.Service.
	Service time.Duration
}

func (p Phase) healthy() bool { return !p.Down && p.Errors == 0 && p.Service == 0 }

// Schedule returns the default phases: 30 s of health, 30 s down, 30 s of health,
// 10 s slowed down twenty times, 60 s of health, 30 s with 30 % errors, 30 s of
// health; 220 s in all. Each call returns a new slice.
func Schedule() []Phase {
	return []Phase{
		{Name: "healthy", For: 30 * time.Second},
		{Name: "down", For: 30 * time.Second, Down: true},
		{Name: "after down", For: 30 * time.Second},
		{Name: "slow", For: 10 * time.Second, Service: 400 * time.Millisecond},
		{Name: "after slow", For: 60 * time.Second},
		{Name: "flaky", For: 30 * time.Second, Errors: 0.3},
		{Name: "after flaky", For: 30 * time.Second},
	}
}

// Day returns a day with many small faults and a few large ones, for
// Options.Phases: 40 blips of one or two seconds and 3 outages of 60 s, in which
// every call fails, 3 hours with 2 to 10 % errors, and health between them; 24 h in
// all, the same for the same seed. At a Rate of 20 it runs in about half a minute.
func Day(seed uint64) []Phase {
	rnd := rand.New(rand.NewPCG(seed, 3))
	var faults []Phase
	for range 40 {
		faults = append(faults, Phase{Name: "blip", For: time.Duration(1+rnd.IntN(2)) * time.Second, Down: true})
	}
	for range 3 {
		faults = append(faults, Phase{Name: "outage", For: time.Minute, Down: true})
	}
	for range 6 {
		faults = append(faults, Phase{Name: "flaky", For: 30 * time.Minute, Errors: 0.02 + 0.08*rnd.Float64()})
	}
	rnd.Shuffle(len(faults), func(i, j int) { faults[i], faults[j] = faults[j], faults[i] })
	health := 24 * time.Hour
	for _, f := range faults {
		health -= f.For
	}
	between := health / time.Duration(len(faults)+1) / time.Second * time.Second
	var day []Phase
	for i, f := range faults {
		f.Name = fmt.Sprintf("%s %d", f.Name, i+1)
		day = append(day, Phase{Name: fmt.Sprintf("healthy %d", i+1), For: between}, f)
		health -= between
	}
	return append(day, Phase{Name: "healthy", For: health})
}

// Options configures [Run]. The zero value is the schedule of the documentation:
// ten client processes that send 600 requests a second to a backend that can
// answer 1,000.
type Options struct {
	// Phases in order. Default [Schedule].
	Phases []Phase
	// Clients is the number of client processes, each with settings of its own.
	// Default 10.
	Clients int
	// Rate is the requests a second of all clients together, at exponential
	// intervals. Default 600.
	Rate float64
	// Deadline is how long a request's context lasts. Default 2 s.
	Deadline time.Duration
	// Attempt is how long one call waits for its answer, like the timeout of a
	// driver, unless its context ends sooner. Default 250 ms.
	Attempt time.Duration
	// Workers is how many calls the backend works on at once. Default 20.
	Workers int
	// Service is how long a worker takes for a call. Default 20 ms.
	Service time.Duration
	// Queue is the longest wait for a worker; a call that would wait longer fails.
	// Default 3 s.
	Queue time.Duration
	// Keys is the number of different things asked for, with a Zipf popularity of
	// exponent 1.2, for [PhaseReport.Served] and Warm. Default 2000.
	Keys int
	// Seed makes arrivals and errors the same from run to run. Default 1.
	Seed uint64
}

func (o Options) withDefaults() (Options, error) {
	var errs []error
	bad := func(is bool, text string) {
		if is {
			errs = append(errs, errors.New(text))
		}
	}
	bad(o.Clients < 0, "Clients is negative")
	bad(!(o.Rate >= 0 && o.Rate <= 1e6), "Rate is not in 0 to 1e6")
	bad(o.Deadline < 0 || o.Attempt < 0 || o.Service < 0 || o.Queue < 0, "a duration is negative")
	bad(o.Workers < 0 || o.Keys < 0, "Workers or Keys is negative")
	names := map[string]bool{}
	for _, p := range o.Phases {
		bad(p.Name == "" || names[p.Name], "a phase has no name of its own")
		bad(p.For < time.Second || p.For%time.Second != 0, "phase "+p.Name+" does not last whole seconds, at least one")
		bad(!(p.Errors >= 0 && p.Errors <= 1), "Errors of phase "+p.Name+" is not in 0 to 1")
		bad(p.Service < 0, "Service of phase "+p.Name+" is negative")
		names[p.Name] = true
	}
	if len(o.Phases) == 0 {
		o.Phases = Schedule()
	}
	setDefault(&o.Clients, 10)
	setDefault(&o.Rate, 600)
	setDefault(&o.Deadline, 2*time.Second)
	setDefault(&o.Attempt, 250*time.Millisecond)
	setDefault(&o.Workers, 20)
	setDefault(&o.Service, 20*time.Millisecond)
	setDefault(&o.Queue, 3*time.Second)
	setDefault(&o.Keys, 2000)
	setDefault(&o.Seed, 1)
	return o, errors.Join(errs...)
}

func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// Run sends requests through the schedule and reports what became of them. client is
// called once for each client process, inside the bubble, with the backend's call,
// and returns the call to protect. Run ends the test if an option is out of range;
// it judges nothing else.
func Run(t *testing.T, o Options, client func(backend Call) Call) Report {
	t.Helper()
	o, err := o.withDefaults()
	if err != nil {
		t.Fatalf("faulttest: invalid options: %v", err)
	}
	var report Report
	synctest.Test(t, func(t *testing.T) {
		s := newSimulation(o)
		s.run(client)
		report = s.report()
	})
	return report
}
