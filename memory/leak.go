package memory

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"slices"
	"sync"
	"time"
)

// LeakDetector finds memory and goroutines that grow without end. It looks at the
// live heap after a collection and at groups of goroutines, one value a window, and
// reports what grew over ten windows as a leak does: in most of them, not in steps,
// not ever more slowly, and not to where it has been before. Either call Sample
// once a window or let Start do it. It is safe for concurrent use and must not be
// copied.
//
// Growth that goes on evenly for ten windows is a leak to it, whatever it is: a
// cache that fills for longer (see LeakOptions.Bounded), or the middle of a cycle
// longer than about 24 windows. It misses leaks whose noise from window to window
// passes a third of their rate, those that come in a few large steps, those below
// MinShare, and for up to 47 windows those below an earlier peak.
type LeakDetector struct {
	opts     LeakOptions
	source   func(context.Context) (LeakSample, error)
	process  *leakProcess  // nil if the source is the caller's
	sampling chan struct{} // holds the token of who samples
	state    leakState     // touched by the holder of the token
	wg       sync.WaitGroup

	mu      sync.Mutex
	closed  bool               // guarded by mu
	stop    context.CancelFunc // guarded by mu; nil before Start
	at      time.Time          // guarded by mu
	windows int                // guarded by mu
	found   []Suspect          // guarded by mu; replaced, never modified
	stats   LeakStats          // guarded by mu
}

// NewLeakDetector returns a detector that has not sampled yet. It starts no
// goroutine. An error matches [ErrOptions].
func NewLeakDetector(o LeakOptions) (*LeakDetector, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	d := &LeakDetector{
		opts: o, source: o.Source, sampling: make(chan struct{}, 1),
		state: leakState{opts: o, groups: map[groupKey]*series{}},
	}
	if d.source == nil {
		d.process = newLeakProcess(o)
		d.source = d.process.sample
	}
	return d, nil
}

// Sample ends a window: it runs a collection unless DisableCollect, looks at heap
// and goroutines and returns what is suspected now. It blocks for the collection, so
// keep it off request paths. An error is the Source's, matches [ErrClosed] after
// Close, or ctx.Err when ctx has ended; that window is then left out.
func (d *LeakDetector) Sample(ctx context.Context) (LeakReport, error) {
	if err := d.lock(ctx); err != nil {
		return d.Report(), err
	}
	events, err := d.window(ctx)
	d.tell(events)
	return d.Report(), err
}

// window takes in one sample and gives the token back, also when the Source ends the
// goroutine. The events have no ties to the state.
func (d *LeakDetector) window(ctx context.Context) (events leakEvents, err error) {
	defer func() { <-d.sampling }()
	start := time.Now()
	var s LeakSample
	guard(func() (e error) { s, e = d.source(ctx); return e }, func(e error) { err = e })
	if err == nil {
		err = s.check()
	}
	if err == nil {
		if s.At.IsZero() {
			s.At = time.Now()
		}
		events = d.state.next(s)
		if d.process != nil {
			d.process.sites(&d.state, events.suspected)
		}
	}
	d.publish(s, events, time.Since(start), err)
	return events.detached(), err
}

// observe reads the heap between two samples.
func (d *LeakDetector) observe() {
	defer func() { <-d.sampling }()
	d.protect(d.process.observe) // Bounded is the caller's
}

// lock takes the token, unless ctx has ended or the detector is closed.
func (d *LeakDetector) lock(ctx context.Context) error {
	if ctx.Err() != nil {
		return contextError(ctx, "leak sample")
	}
	select {
	case d.sampling <- struct{}{}:
	case <-ctx.Done():
		return contextError(ctx, "leak sample")
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		<-d.sampling // never blocks: the token is ours
		return ErrClosed
	}
	return nil
}

func (s LeakSample) check() error {
	if s.HeapLive < 0 || s.Goroutines < 0 {
		return errors.New("memory: leak sample: negative amount")
	}
	for _, groups := range [][]GoroutineGroup{s.Groups, s.Leaked} {
		for _, g := range groups {
			if g.Count < 0 {
				return fmt.Errorf("memory: leak sample: negative amount of %.64q", g.Entry)
			}
		}
	}
	return nil
}

// publish makes the result of a sample visible.
func (d *LeakDetector) publish(s LeakSample, e leakEvents, took time.Duration, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.stats.Took = took
	if err != nil {
		d.stats.SampleErrors++
		return
	}
	d.stats.Samples++
	d.stats.Suspected += uint64(len(e.suspected))
	d.stats.Cleared += uint64(len(e.cleared))
	d.stats.HeapLive, d.stats.Goroutines = s.HeapLive, int64(s.Goroutines)
	d.stats.Groups, d.stats.Dropped = len(d.state.groups), d.state.dropped
	d.at, d.windows = s.At, max(0, len(d.state.heap.values)-1)
	d.found = d.state.suspects()
}

// tell runs the hooks and writes the log.
func (d *LeakDetector) tell(e leakEvents) {
	for _, s := range e.suspected {
		if f := d.opts.Hooks.Suspected; f != nil {
			d.protect(func() { f(*s) })
		}
		d.log(slog.LevelWarn, "memory: leak suspected", slog.Any("suspect", *s))
	}
	for _, s := range e.cleared {
		if f := d.opts.Hooks.Cleared; f != nil {
			d.protect(func() { f(s) })
		}
		d.log(slog.LevelInfo, "memory: leak suspicion cleared", slog.Any("suspect", s))
	}
}

func (d *LeakDetector) log(level slog.Level, msg string, attr slog.Attr) {
	if d.opts.Logger != nil {
		d.protect(func() { d.opts.Logger.LogAttrs(context.Background(), level, msg, attr) })
	}
}

func (d *LeakDetector) protect(f func()) {
	guard(func() error { f(); return nil }, func(err error) {
		if err != nil {
			d.mu.Lock()
			d.stats.Panics++
			d.mu.Unlock()
		}
	})
}

// Start samples at once and then every Window, in the background, until ctx ends or
// Close. In between it reads the heap a dozen times, which costs microseconds, so
// that a window counts with its lowest point. A second Start while one runs does
// nothing. It returns [ErrClosed] after Close.
func (d *LeakDetector) Start(ctx context.Context) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return ErrClosed
	}
	if d.stop != nil {
		return nil
	}
	ctx, d.stop = context.WithCancel(ctx)
	d.wg.Go(func() {
		defer d.stopped()
		d.run(ctx)
	})
	return nil
}

// stopped makes room for another Start.
func (d *LeakDetector) stopped() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.stop()
	d.stop = nil
}

func (d *LeakDetector) run(ctx context.Context) {
	ticker := time.NewTicker(max(1, d.opts.Window/leakObservations))
	defer ticker.Stop()
	for n := 0; ; n++ {
		if n%leakObservations == 0 {
			if _, err := d.Sample(ctx); err != nil && ctx.Err() == nil {
				d.log(slog.LevelWarn, "memory: leak sample", slog.String("error", err.Error()))
			}
		} else if d.process != nil && d.lock(ctx) == nil {
			d.observe()
		}
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

// Close ends what Start began and waits for a sample under way. Report and Stats
// still answer. It always returns nil and may be called again. Do not call it from
// the Source or a hook: it would wait for itself.
func (d *LeakDetector) Close() error {
	d.mu.Lock()
	d.closed = true
	if d.stop != nil {
		d.stop()
	}
	d.mu.Unlock()
	d.wg.Wait()
	d.sampling <- struct{}{}
	<-d.sampling
	return nil
}

// Report returns what was suspected after the last sample.
func (d *LeakDetector) Report() LeakReport {
	d.mu.Lock()
	defer d.mu.Unlock()
	return LeakReport{At: d.at, Windows: d.windows, Suspects: slices.Clone(d.found)}
}

// Stats returns the counters as they are now.
func (d *LeakDetector) Stats() LeakStats {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.stats
}

// Metrics yields the counters and the suspects' number and rates under Prometheus
// names, in bytes and numbers a window, with the label detector. Each iteration
// reads afresh.
func (d *LeakDetector) Metrics() iter.Seq2[string, float64] {
	return func(yield func(string, float64) bool) {
		s, r := d.Stats(), d.Report()
		count, rate := [LeakProven + 1]float64{}, [LeakProven + 1]float64{}
		for _, suspect := range r.Suspects {
			count[suspect.Kind]++
			rate[suspect.Kind] += suspect.Rate
		}
		set := metricSet{yield: yield, labels: labels("detector", d.opts.Name)}
		for k := LeakHeap; k <= LeakProven; k++ {
			set.with("memory_leak_suspects", "kind", k.String(), count[k])
		}
		set.add("memory_leak_heap_bytes_per_window", rate[LeakHeap])
		set.add("memory_leak_goroutines_per_window", rate[LeakGoroutines])
		set.add("memory_leak_samples_total", float64(s.Samples))
		set.add("memory_leak_sample_errors_total", float64(s.SampleErrors))
		set.add("memory_leak_suspected_total", float64(s.Suspected))
		set.add("memory_leak_cleared_total", float64(s.Cleared))
		set.add("memory_leak_groups", float64(s.Groups))
		set.add("memory_leak_groups_dropped_total", float64(s.Dropped))
		set.add("memory_leak_sample_seconds", s.Took.Seconds())
		set.add("memory_leak_callback_panics_total", float64(s.Panics))
	}
}
