package memory

import (
	"context"
	"log/slog"
	"runtime/debug"
	"sync"
	"time"
)

// Rules for forced collections.
const (
	effectiveShare  = 0.05 // a collection that frees less does not pay
	maxBackOff      = 16   // times CollectInterval
	busyGCCPU       = 0.25 // above this share more collections make it worse
	worthShare      = 0.25 // of what the runtime holds, for a collection that nothing presses for
	worthBytes      = 16 << 20
	reasonPressure  = "pressure"
	reasonAfterRun  = "run"
	reasonQuiet     = "optimize"
	causeTooSoon    = "too soon"
	causeBusy       = "collector busy"
	minRetryBusyGap = time.Second
)

// collector rations forced collections.
type collector struct {
	mu      sync.Mutex
	running *collection   // guarded by mu; nil if none
	next    time.Time     // guarded by mu; not before this
	gap     time.Duration // guarded by mu; to the next one, with back-off
}

type collection struct {
	done   chan struct{} // closed when the rest is set
	result CollectResult
	err    error
}

// Collect runs a full collection and gives free memory back to the system, on a
// goroutine of its own, and waits for it until ctx ends. Calls meanwhile share the
// one under way. It is refused with a [*RateLimitError] within CollectInterval of
// the last one, longer when that freed under 5 %, and while the collector takes
// over a quarter of the processor time anyway. It stops the caller for a whole
// collection: keep it off request paths. reason goes into the result.
func (m *Monitor) Collect(ctx context.Context, reason string) (CollectResult, error) {
	if m.opts.Disabled {
		return CollectResult{Reason: reason}, nil
	}
	if ctx.Err() != nil {
		return CollectResult{}, contextError(ctx, "collect")
	}
	c, err := m.startCollection(reason)
	if err != nil {
		return CollectResult{}, err
	}
	select {
	case <-c.done:
		return c.result, c.err
	case <-ctx.Done():
		return CollectResult{}, contextError(ctx, "collect")
	}
}

// startCollection joins the collection under way or starts one, if it may.
func (m *Monitor) startCollection(reason string) (*collection, error) {
	c := &m.collector
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.running != nil {
		return c.running, nil
	}
	if wait := time.Until(c.next); wait > 0 {
		return nil, m.limited(causeTooSoon, wait)
	}
	m.mu.Lock()
	if m.closed {
		m.mu.Unlock()
		return nil, ErrClosed
	}
	m.wg.Add(1) // before Close waits, because closed is not set yet
	m.mu.Unlock()
	run := &collection{done: make(chan struct{})}
	c.running = run
	go func() {
		defer m.wg.Done()
		m.collect(run, reason)
	}()
	return run, nil
}

func (m *Monitor) limited(cause string, wait time.Duration) error {
	m.mu.Lock()
	m.stats.Limited++
	m.mu.Unlock()
	return &RateLimitError{Cause: cause, Wait: wait}
}

// collect runs one collection and tells of it.
func (m *Monitor) collect(run *collection, reason string) {
	defer close(run.done)
	wait, gap := m.opts.CollectInterval, time.Duration(0)
	guard(func() (err error) {
		wait, gap, err = m.collectNow(run, reason)
		return err
	}, func(err error) { // also if the Source has ended the goroutine
		run.err = err
		m.finishCollection(wait, gap)
	})
	if run.err != nil {
		return
	}
	r := run.result
	m.log(slog.LevelInfo, "memory: collected", slog.String("reason", reason), slog.Int64("freed", r.Freed),
		slog.Int64("held", r.After.GoTotal), slog.Bool("effective", r.Effective), slog.Duration("took", r.Took))
	if f := m.opts.Hooks.Collected; f != nil {
		m.protect(func() { f(r) })
	}
}

// collectNow runs a collection between two samples, unless the first shows that the
// collector is busy. It returns what finishCollection is to be told.
func (m *Monitor) collectNow(run *collection, reason string) (wait, gap time.Duration, err error) {
	before, _ := m.sample()
	if before.GCCPU > busyGCCPU {
		wait = max(minRetryBusyGap, m.opts.CollectInterval)
		return wait, 0, m.limited(causeBusy, wait)
	}
	start := time.Now()
	debug.FreeOSMemory()
	took := time.Since(start)
	after, _ := m.sample()
	freed := max(0, before.GoTotal-after.GoTotal)
	run.result = CollectResult{
		Reason: reason, Freed: freed, Before: before, After: after, Took: took,
		Effective: float64(freed) >= effectiveShare*float64(before.GoTotal),
	}
	m.mu.Lock()
	m.stats.Collections++
	m.stats.Collected += freed
	if !run.result.Effective {
		m.stats.Ineffective++
	}
	m.mu.Unlock()
	gap = m.opts.CollectInterval
	if !run.result.Effective {
		gap = m.collector.backOff(gap)
	}
	return gap, gap, nil
}

// worth tells whether n bytes are enough of s to collect for when nothing presses.
func worth(n int64, s Stats) bool {
	return n >= worthBytes && float64(n) >= worthShare*float64(s.GoTotal)
}

// quiet notices that a program which left garbage behind has stopped allocating: no
// collection would come by itself to take it away. While collections come by
// themselves, a forced one would be work twice done.
type quiet struct {
	interval time.Duration // 0: never
	since    time.Time     // no collection has ended since then
	cycles   uint64
}

// next reports whether a collection after s pays.
func (q *quiet) next(s Stats) bool {
	if q.since.IsZero() || s.GCCycles != q.cycles {
		q.since, q.cycles = s.At, s.GCCycles
		return false
	}
	if q.interval == 0 || s.At.Sub(q.since) < q.interval {
		return false
	}
	q.since = s.At // should it be refused, not again at once
	return worth(max(0, s.HeapObjects-s.HeapLive)+s.HeapIdle, s)
}

// backOff returns twice the present gap, within bounds.
func (c *collector) backOff(base time.Duration) time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	return min(2*max(c.gap, base), maxBackOff*base)
}

// finishCollection lets the next one start after wait; gap 0 leaves the back-off.
func (m *Monitor) finishCollection(wait, gap time.Duration) {
	c := &m.collector
	c.mu.Lock()
	defer c.mu.Unlock()
	c.running = nil
	c.next = time.Now().Add(wait)
	if gap > 0 {
		c.gap = gap
	}
}
