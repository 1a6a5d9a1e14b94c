package faulttest

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Report is the outcome of a [Run]. It is a plain value.
type Report struct {
	// Phases in the order of the schedule.
	Phases []PhaseReport
	// P99 is the 99th percentile of the time that a request took, failures included.
	P99 time.Duration
}

// PhaseReport counts the requests that began in one phase.
type PhaseReport struct {
	// Name of the phase.
	Name string
	// Requests of the callers, how many Succeeded, and how many were Served: answered
	// by the call, or by what the same client process had been answered before for
	// the same key (a stale fallback).
	Requests, Succeeded, Served int
	// Attempts that reached the backend.
	Attempts int
	// Recovery is, for a healthy phase, the time from its start to the first second
	// that, like the one after it, answered at least 99 % of its requests. It is the
	// length of the phase if there was none.
	Recovery time.Duration
}

// Success is Succeeded/Requests, or 1 without requests.
func (p PhaseReport) Success() float64 { return ratio(p.Succeeded, p.Requests, 1) }

// Load is Attempts/Requests: 1 is what callers asked for, more is what retries added.
func (p PhaseReport) Load() float64 { return ratio(p.Attempts, p.Requests, 0) }

// ServedShare is Served/Requests, or 1 without requests.
func (p PhaseReport) ServedShare() float64 { return ratio(p.Served, p.Requests, 1) }

func ratio(a, b int, empty float64) float64 {
	if b == 0 {
		return empty
	}
	return float64(a) / float64(b)
}

// Phase returns the phase of that name, or the zero PhaseReport.
func (r Report) Phase(name string) PhaseReport {
	for _, p := range r.Phases {
		if p.Name == name {
			return p
		}
	}
	return PhaseReport{}
}

// Total sums the phases. Its Recovery is the longest of all.
func (r Report) Total() PhaseReport {
	t := PhaseReport{Name: "total"}
	for _, p := range r.Phases {
		t.Requests += p.Requests
		t.Succeeded += p.Succeeded
		t.Served += p.Served
		t.Attempts += p.Attempts
		t.Recovery = max(t.Recovery, p.Recovery)
	}
	return t
}

// String is a table: a line for each phase, and one for the total.
func (r Report) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%-12s %9s %9s %9s %9s %9s\n", "phase", "requests", "success", "served", "load", "recovery")
	for _, p := range append(slices.Clone(r.Phases), r.Total()) {
		fmt.Fprintf(&b, "%-12s %9d %8.2f%% %8.2f%% %8.3f× %9s\n", p.Name, p.Requests, 100*p.Success(), 100*p.ServedShare(), p.Load(), p.Recovery)
	}
	fmt.Fprintf(&b, "p99 %v\n", r.P99.Round(time.Millisecond))
	return b.String()
}

func (s *simulation) report() Report {
	s.mu.Lock()
	defer s.mu.Unlock()
	var r Report
	from := 0
	for _, phase := range s.o.Phases {
		seconds := s.second[from : from+int(phase.For/time.Second)]
		p := PhaseReport{Name: phase.Name}
		for _, c := range seconds {
			p.Requests += c.requests
			p.Succeeded += c.ok
			p.Served += c.served
			p.Attempts += c.attempts
		}
		if phase.healthy() {
			p.Recovery = recovery(seconds)
		}
		r.Phases = append(r.Phases, p)
		from += len(seconds)
	}
	slices.Sort(s.latency)
	if n := len(s.latency); n > 0 {
		r.P99 = s.latency[n*99/100]
	}
	return r
}

func recovery(seconds []second) time.Duration {
	good := func(c second) bool { return float64(c.ok) >= 0.99*float64(c.requests) }
	for i := 0; i+1 < len(seconds); i++ {
		if good(seconds[i]) && good(seconds[i+1]) {
			return time.Duration(i) * time.Second
		}
	}
	return time.Duration(len(seconds)) * time.Second
}
