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
	// the same key (a stale fallback), within Options.Deadline.
	Requests, Succeeded, Served int
	// Warm counts the requests for keys that the same client process had asked for
	// before, and WarmServed how many of those were served.
	Warm, WarmServed int
	// Attempts that reached the backend.
	Attempts int
	// Recovery is, for a healthy phase, the time from its start to the first second
	// that, like the one after it, answered at least 99 % of its requests. It is the
	// length of the phase if there was none, and 0 for a phase with a fault.
	Recovery time.Duration
	// LastFailure is the time from the start of the phase to the last request that
	// failed; 0 if none did.
	LastFailure time.Duration
	// FailedP99 is the 99th percentile of the time that failed requests took: how
	// long a fallback has to wait for its turn. 0 if none failed.
	FailedP99 time.Duration
}

// Success is Succeeded/Requests, or 1 without requests.
func (p PhaseReport) Success() float64 { return ratio(p.Succeeded, p.Requests, 1) }

// Load is Attempts/Requests: 1 is what callers asked for, more is what retries added.
func (p PhaseReport) Load() float64 { return ratio(p.Attempts, p.Requests, 0) }

// ServedShare is Served/Requests, or 1 without requests.
func (p PhaseReport) ServedShare() float64 { return ratio(p.Served, p.Requests, 1) }

// WarmShare is WarmServed/Warm, or 1 without requests for warm keys.
func (p PhaseReport) WarmShare() float64 { return ratio(p.WarmServed, p.Warm, 1) }

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

// Total sums the phases. Of the durations it has the longest of all phases.
func (r Report) Total() PhaseReport {
	t := PhaseReport{Name: "total"}
	for _, p := range r.Phases {
		t.Requests += p.Requests
		t.Succeeded += p.Succeeded
		t.Served += p.Served
		t.Warm += p.Warm
		t.WarmServed += p.WarmServed
		t.Attempts += p.Attempts
		t.Recovery = max(t.Recovery, p.Recovery)
		t.LastFailure = max(t.LastFailure, p.LastFailure)
		t.FailedP99 = max(t.FailedP99, p.FailedP99)
	}
	return t
}

// String is a table: a line for each phase, and one for the total.
func (r Report) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%-12s %8s %8s %8s %8s %7s %8s %12s %10s\n", "phase", "requests", "success", "served", "warm", "load", "recovery", "last failure", "failed p99")
	for _, p := range append(slices.Clone(r.Phases), r.Total()) {
		fmt.Fprintf(&b, "%-12s %8d %7.2f%% %7.2f%% %7.2f%% %6.3f× %8v %12v %10v\n", p.Name, p.Requests, 100*p.Success(), 100*p.ServedShare(), 100*p.WarmShare(), p.Load(),
			p.Recovery, p.LastFailure.Round(10*time.Millisecond), p.FailedP99.Round(time.Millisecond))
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
		r.Phases = append(r.Phases, phase.report(seconds))
		from += len(seconds)
	}
	r.P99 = percentile99(s.latency)
	return r
}

// report sums up the seconds of the phase.
func (p Phase) report(seconds []second) PhaseReport {
	r := PhaseReport{Name: p.Name}
	var failed []time.Duration
	for i, c := range seconds {
		r.Requests += c.requests
		r.Succeeded += c.ok
		r.Served += c.served
		r.Warm += c.warm
		r.WarmServed += c.warmServed
		r.Attempts += c.attempts
		if len(c.failed) > 0 {
			failed = append(failed, c.failed...)
			r.LastFailure = time.Duration(i)*time.Second + c.lastFailure
		}
	}
	r.FailedP99 = percentile99(failed)
	if p.healthy() {
		r.Recovery = recovery(seconds)
	}
	return r
}

// percentile99 sorts d.
func percentile99(d []time.Duration) time.Duration {
	if len(d) == 0 {
		return 0
	}
	slices.Sort(d)
	return d[len(d)*99/100]
}

func recovery(seconds []second) time.Duration {
	if len(seconds) == 1 && len(seconds[0].failed) == 0 {
		return 0
	}
	good := func(c second) bool { return float64(c.ok) >= 0.99*float64(c.requests) }
	for i := 0; i+1 < len(seconds); i++ {
		if good(seconds[i]) && good(seconds[i+1]) {
			return time.Duration(i) * time.Second
		}
	}
	return time.Duration(len(seconds)) * time.Second
}
