package memory

import (
	"context"
	"log/slog"
	"time"
)

// Defaults of a LeakDetector.
const (
	defaultLeakWindow        = time.Hour
	defaultLeakMinShare      = 0.03
	defaultLeakMinBytes      = 256 << 10
	defaultLeakMinGoroutines = 8
	defaultMaxGoroutines     = 50_000
	leakObservations         = 12   // readings of the heap in a window of Start
	maxLeakGroups            = 1000 // series of goroutine groups that are kept
)

// LeakOptions configures a [LeakDetector]. The zero value watches the process's heap
// and goroutines in windows of an hour.
type LeakOptions struct {
	// Name labels the detector in metrics. Default "process".
	Name string
	// Window is the time between samples after Start, at least 1 ms. A leak is
	// growth that goes on for ten of them, so ten windows must be longer than any
	// warm-up, cycle or batch of the program. Default 1 h, which suits a daily cycle.
	Window time.Duration
	// MinShare is the least growth over ten windows, as a share of what was there
	// before. Default 0.03; negative means any.
	MinShare float64
	// MinBytes and MinGoroutines are the same as a number. Default 256 KiB and 8;
	// negative means any.
	MinBytes, MinGoroutines int64
	// MaxGoroutines is the number above which goroutines are counted but not
	// grouped, which costs 256 bytes each for the moment. Default 50,000; negative
	// means never grouped.
	MaxGoroutines int
	// Bounded reports bytes that are known to have a bound, such as the sum of
	// [Cache.Bytes]; they are subtracted from the heap, so that a cache that takes
	// days to fill is not a suspect. It must be fast and safe to call from any
	// goroutine. nil means 0.
	Bounded func() int64
	// DisableCollect keeps Sample from running a collection first: the heap is
	// then as of the last collection that ran by itself. Without collections in a
	// window the heap seems not to grow.
	DisableCollect bool
	// Source takes a sample; it is called by one goroutine at a time. Default: the
	// process itself. Bounded is not subtracted from a Source's figures.
	Source func(context.Context) (LeakSample, error)
	// Hooks observes the detector. A nil func costs one branch.
	Hooks LeakHooks
	// Logger receives suspects, and after Start failures that nobody else sees.
	// nil means silence.
	Logger *slog.Logger
}

func (o LeakOptions) withDefaults() (LeakOptions, error) {
	var p problems
	setDefault(&o.Window, defaultLeakWindow)
	p.check(o.Window >= time.Millisecond, "Window %v is below 1ms", o.Window)
	if o.MinShare == 0 {
		o.MinShare = defaultLeakMinShare
	}
	p.check(o.MinShare == o.MinShare && o.MinShare < 100, "MinShare %v is not below 100", o.MinShare)
	setDefault(&o.MinBytes, defaultLeakMinBytes)
	setDefault(&o.MinGoroutines, defaultLeakMinGoroutines)
	setDefault(&o.MaxGoroutines, defaultMaxGoroutines)
	if o.Name == "" {
		o.Name = "process"
	}
	return o, p.err("leak detector")
}

// LeakHooks observes a [LeakDetector]. The funcs run on the goroutine that samples,
// outside all locks; their panics are recovered and counted. Fields may be added in
// any release.
type LeakHooks struct {
	// Suspected is called once for each new suspect.
	Suspected func(Suspect)
	// Cleared is called when a suspect has given back half of what it had grown by,
	// or has not grown over ten windows.
	Cleared func(Suspect)
}

// LeakSample is the state of a process at the end of a window.
type LeakSample struct {
	// At is when it was taken. Zero means now.
	At time.Time
	// HeapLive is what a collection found reachable, in bytes.
	HeapLive int64
	// Goroutines is their number.
	Goroutines int
	// Groups are the goroutines by what they do; nil if they were not grouped, and
	// then only their number is judged. The detector does not keep the slice.
	Groups []GoroutineGroup
	// Leaked are goroutines of which the runtime has proved that they can never go
	// on (its profile "goroutineleak", where it has one).
	Leaked []GoroutineGroup
}

// GoroutineGroup is goroutines that were started with the same function and are in
// the same function now.
type GoroutineGroup struct {
	// Entry is the function that they were started with, without wrappers of the
	// standard library: "example.com/app.(*Server).serve".
	Entry string
	// At is the innermost function outside the runtime and package sync.
	At string
	// Count is how many there are.
	Count int
}

// LeakStats is a snapshot of a [LeakDetector]. Counters are since NewLeakDetector.
type LeakStats struct {
	// Samples counts windows, SampleErrors those without a usable sample.
	Samples, SampleErrors uint64
	// Suspected counts suspects that came, Cleared those that went.
	Suspected, Cleared uint64
	// HeapLive and Goroutines are of the last sample, Bounded subtracted.
	HeapLive, Goroutines int64
	// Groups is the number of goroutine groups watched now.
	Groups int
	// Dropped counts groups that were left out because a thousand are the most.
	Dropped uint64
	// Took is how long the last sample took, its collection included.
	Took time.Duration
	// Panics counts panics of hooks, of the Logger and, between samples, of Bounded,
	// which were recovered. In a sample those of Bounded and the Source are its error.
	Panics uint64
}
