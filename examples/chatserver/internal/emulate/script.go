package emulate

import (
	"sync/atomic"
	"time"
)

// Phase is what a service does for a part of its script.
type Phase struct {
	For    time.Duration
	Down   bool    // all requests fail
	Errors float64 // share of requests that fail, 0 to 1
	Hangs  float64 // share of the failing requests that hang instead
}

// Script is a cycle of phases, counted from the start of the service. A script
// without phases is healthy for ever.
type Script []Phase

func (s Script) at(elapsed time.Duration) Phase {
	var cycle time.Duration
	for _, p := range s {
		cycle += p.For
	}
	if cycle <= 0 {
		return Phase{}
	}
	elapsed %= cycle
	for _, p := range s {
		if elapsed < p.For {
			return p
		}
		elapsed -= p.For
	}
	return Phase{}
}

// mood is a script with its start and a manual override.
type mood struct {
	script Script
	start  time.Time
	forced atomic.Pointer[Phase]
}

func (m *mood) now() Phase {
	if p := m.forced.Load(); p != nil {
		return *p
	}
	return m.script.at(time.Since(m.start))
}

// Force replaces the script by one phase until Release. It is for tests and for
// switches on a page.
func (m *mood) Force(p Phase) { m.forced.Store(&p) }

// Release returns to the script.
func (m *mood) Release() { m.forced.Store(nil) }
