package memory

import (
	"context"
	"iter"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Shares that shrinkers are asked to keep.
const (
	keepAtHigh     = 0.75
	keepAtCritical = 0.40
)

// Monitor watches the process's memory: it turns samples into a [Level], tells of
// its changes, asks registered shrinkers for memory and forces collections when
// that pays. It is safe for concurrent use and must not be copied. It does nothing
// by itself until Start; Check does the same once, on the caller's goroutine.
type Monitor struct {
	opts     MonitorOptions
	source   func() (Stats, error)
	reader   *reader // nil if the source is the caller's
	level    atomic.Uint32
	working  atomic.Bool   // somebody runs callbacks
	sampling chan struct{} // holds the token of who samples
	kick     chan struct{} // wakes the worker

	collector collector

	wg   sync.WaitGroup
	stop context.CancelFunc // guarded by mu; nil before Start

	mu        sync.Mutex
	closed    bool            // guarded by mu
	profiled  bool            // guarded by mu; the heap profile was begun
	judge     judge           // guarded by mu
	pace      pace            // guarded by mu
	stats     MonitorStats    // guarded by mu
	changed   chan struct{}   // guarded by mu; closed at the next change of level
	events    []ChangeEvent   // guarded by mu; not yet told
	relieve   bool            // guarded by mu; shrinkers are to be asked
	optimize  bool            // guarded by mu; a collection pays although nothing presses
	quiet     quiet           // guarded by mu
	calm      time.Duration   // guarded by mu; time at LevelNormal not yet told
	observers []*observer     // guarded by mu; replaced, never modified
	shrinkers []*registration // guarded by mu; replaced, never modified
	credit    int64           // guarded by mu; freed, but not seen by a collection yet
	creditGC  uint64          // guarded by mu; GCCycles when credit was given
	creditAt  time.Time       // guarded by mu
}

type observer struct {
	f    func(ChangeEvent)
	gone atomic.Bool // cancelled: not to be called any more
}

type registration struct {
	name     string
	priority int
	shrinker Shrinker
	holder   holder      // nil if the shrinker fills again by itself
	gone     atomic.Bool // unregistered: must not be held down any more
}

// holder is a shrinker that stays small until it is told to grow.
type holder interface {
	shrinkAndHold(ctx context.Context, target float64) (freed int64)
	growBack(calm time.Duration)
}

// NewMonitor returns a monitor at LevelNormal that has not sampled yet. It starts
// no goroutine and opens no file. An error matches [ErrOptions].
func NewMonitor(o MonitorOptions) (*Monitor, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	m := &Monitor{
		opts:     o,
		source:   o.Source,
		sampling: make(chan struct{}, 1),
		kick:     make(chan struct{}, 1),
		changed:  make(chan struct{}),
		judge: judge{
			high: o.High, critical: o.Critical, hysteresis: o.Hysteresis,
			dwell: o.Dwell, usePSI: !o.DisablePSI,
		},
		pace:  pace{interval: o.Interval, high: o.High, critical: o.Critical},
		quiet: quiet{interval: o.OptimizeInterval},
	}
	m.stats.Since = time.Now()
	if m.source == nil {
		m.reader = newReader(true)
		m.reader.limit = o.Limit
		m.source = func() (Stats, error) { return m.reader.read(time.Now()) }
	}
	return m, nil
}

// Start samples once and then goes on in the background until ctx ends or Close.
// After that the level is LevelNormal again, because nobody would see it fall. A
// second Start while one runs does nothing. It returns [ErrClosed] after Close.
func (m *Monitor) Start(ctx context.Context) error {
	if m.opts.Disabled {
		return nil
	}
	m.mu.Lock()
	if m.closed || m.stop != nil {
		closed := m.closed
		m.mu.Unlock()
		if closed {
			return ErrClosed
		}
		return nil
	}
	ctx, cancel := context.WithCancel(ctx)
	m.stop = cancel
	m.wg.Add(1)
	m.mu.Unlock()
	sampled := false
	defer func() {
		if !sampled { // the Source ended this goroutine
			m.stopped(cancel, &sync.WaitGroup{})
		}
	}()
	if _, err := m.tick(); err != nil {
		m.log(slog.LevelWarn, "memory: sample", slog.String("error", err.Error()))
	}
	sampled = true
	go func() {
		var worker sync.WaitGroup
		defer m.stopped(cancel, &worker)
		worker.Go(func() { m.workLoop(ctx, &worker) })
		m.sampleLoop(ctx)
	}()
	return nil
}

// stopped cleans up after the last sample, also when a Source ended the goroutine.
func (m *Monitor) stopped(cancel func(), worker *sync.WaitGroup) {
	defer m.wg.Done()
	cancel()
	worker.Wait()
	m.rest()
}

// Close stops sampling, waits for the sample, callbacks and collections under way, and
// closes the files. The level is LevelNormal after it, for good. It always returns nil
// and may be called again. Do not call it from a callback, a hook, a shrinker or the
// Source: it would wait for itself.
func (m *Monitor) Close() error {
	m.mu.Lock()
	m.closed = true
	stop := m.stop
	m.mu.Unlock()
	if stop != nil {
		stop()
	}
	m.wg.Wait()
	m.rest() // Check may have raised the level without Start
	if m.reader != nil {
		m.sampling <- struct{}{}
		m.reader.close()
		<-m.sampling
	}
	return nil
}

// Level returns the level as of the last sample. It is one atomic load.
func (m *Monitor) Level() Level { return Level(m.level.Load()) }

// Check samples now and does, on this goroutine, what follows from it: telling of
// a change, asking shrinkers, collecting. If another goroutine is at that already,
// Check leaves it to that one. An error is the Source's or [ErrClosed].
func (m *Monitor) Check(ctx context.Context) (Level, error) {
	if m.opts.Disabled {
		return LevelNormal, nil
	}
	m.mu.Lock()
	closed := m.closed
	m.mu.Unlock()
	if closed {
		return m.Level(), ErrClosed
	}
	_, err := m.tick()
	m.drain(ctx)
	return m.Level(), err
}

// OnChange calls f for each change of level, one at a time and in order, from a
// goroutine of the monitor (or of Check). f may use the monitor, except Close. A
// slow f delays later callbacks and shrinking, never sampling. cancel ends it, also
// from a callback, and may be called again; a call under way may still finish.
func (m *Monitor) OnChange(f func(ChangeEvent)) (cancel func()) {
	o := &observer{f: f}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.observers = append(slices.Clip(m.observers), o)
	return func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		m.observers = without(m.observers, o)
		o.gone.Store(true)
	}
}

// Register lets the monitor ask s for memory above LevelNormal: the lowest
// priority first (see [Prioritizer]), in order of registration within one, until
// enough was freed. name appears in hooks and logs. unregister may be called again.
// Caches with CacheOptions.Monitor are registered already.
func (m *Monitor) Register(name string, s Shrinker) (unregister func()) {
	r := &registration{name: name, shrinker: s}
	if p, ok := s.(Prioritizer); ok {
		r.priority = p.ShrinkPriority()
	}
	inner := s
	for p, ok := inner.(prioritized); ok; p, ok = inner.(prioritized) {
		inner = p.Shrinker
	}
	r.holder, _ = inner.(holder)
	m.mu.Lock()
	defer m.mu.Unlock()
	m.shrinkers = append(slices.Clip(m.shrinkers), r)
	slices.SortStableFunc(m.shrinkers, func(a, b *registration) int { return compare(a.priority, b.priority) })
	return func() {
		m.mu.Lock()
		m.shrinkers = without(m.shrinkers, r)
		m.mu.Unlock()
		r.gone.Store(true) // before growBack, see ask
		if r.holder != nil {
			r.holder.growBack(forever)
		}
	}
}

const forever = time.Duration(1<<63 - 1)

// addCapped returns the sum of two durations, at most forever; a negative b counts as 0.
func addCapped(a, b time.Duration) time.Duration { return a + min(max(0, b), forever-a) }

func compare(a, b int) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

// without returns a copy of list without x.
func without[T comparable](list []T, x T) []T {
	return slices.DeleteFunc(slices.Clone(list), func(y T) bool { return y == x })
}

// Stats returns the last sample, the level and the counters as they are now.
func (m *Monitor) Stats() MonitorStats {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := m.stats
	s.Level = m.Level()
	s.Shrinkers = len(m.shrinkers)
	return s
}

// tick takes one sample and asks for relief if its level calls for that.
func (m *Monitor) tick() (Stats, error) {
	s, err := m.sample()
	m.mu.Lock()
	defer m.mu.Unlock()
	m.relieve = m.judge.level > LevelNormal
	m.optimize = m.quiet.next(s) && !m.opts.DisableCollect
	return s, err
}

// sample takes one sample and judges it. Callbacks are left to drain.
func (m *Monitor) sample() (Stats, error) {
	m.sampling <- struct{}{}
	defer func() { <-m.sampling }()
	s, err := m.readSource()
	now := time.Now()
	if s.At.IsZero() {
		s.At = now
	}
	if m.reader == nil {
		s.withLimit(m.opts.Limit, s.Used, LimitSourceExplicit)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.stats.Samples++
	if err != nil {
		m.stats.SampleErrors++
		if s.Limit == 0 {
			return s, err // nothing to judge by: the level stays
		}
	}
	last := m.stats.Memory.At
	m.stats.Memory = s
	if !last.IsZero() {
		m.calm = addCapped(m.calm, s.At.Sub(last))
	}
	from := m.judge.level
	if m.closed {
		return s, nil // a Check or a collection of before Close
	}
	if to, why := m.judge.next(s); why != "" {
		m.changeLocked(ChangeEvent{From: from, To: to, Reason: why, Stats: s})
	}
	if m.judge.level > LevelNormal || s.At.Sub(m.stats.Since) < m.opts.Dwell {
		m.calm = 0
	}
	return s, err
}

// readSource calls the source; its panic is an error like any other.
func (m *Monitor) readSource() (s Stats, err error) {
	guard(func() (e error) { s, e = m.source(); return e }, func(e error) { err = e })
	return s, err
}

// changeLocked makes a new level visible and leaves the event to drain.
func (m *Monitor) changeLocked(e ChangeEvent) {
	m.judge.level = e.To
	m.level.Store(uint32(e.To))
	m.stats.Changes++
	m.stats.Since = e.Stats.At
	m.events = append(m.events, e)
	close(m.changed)
	m.changed = make(chan struct{})
}

func (m *Monitor) sampleLoop(ctx context.Context) {
	timer := time.NewTimer(m.opts.Interval)
	defer timer.Stop()
	for {
		select {
		case m.kick <- struct{}{}:
		default: // the worker is busy and will look again
		}
		m.mu.Lock()
		wait := m.pace.next(m.stats.Memory, m.judge.level)
		m.mu.Unlock()
		timer.Reset(wait)
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		if _, err := m.tick(); err != nil {
			m.log(slog.LevelWarn, "memory: sample", slog.String("error", err.Error()))
		}
	}
}

// workLoop runs what is due. A callback that ends its goroutine, as a failing test
// does, ends this one only: another takes its place.
func (m *Monitor) workLoop(ctx context.Context, worker *sync.WaitGroup) {
	defer func() {
		if ctx.Err() == nil {
			worker.Go(func() { m.workLoop(ctx, worker) })
		}
	}()
	for {
		select {
		case <-ctx.Done():
			return
		case <-m.kick:
			m.drain(ctx)
		}
	}
}

// rest brings the level back to normal once nobody samples any more.
func (m *Monitor) rest() {
	m.mu.Lock()
	m.stop = nil
	m.relieve, m.optimize = false, false
	m.judge.calmSince = time.Time{}
	if from := m.judge.level; from != LevelNormal {
		m.changeLocked(ChangeEvent{From: from, To: LevelNormal, Reason: "stopped", Stats: m.stats.Memory})
	}
	m.calm = forever
	m.mu.Unlock()
	m.drain(context.Background())
}

func (m *Monitor) log(level slog.Level, msg string, attrs ...slog.Attr) {
	if m.opts.Logger == nil {
		return
	}
	guard(func() error {
		m.opts.Logger.LogAttrs(context.Background(), level, msg, attrs...)
		return nil
	}, func(err error) {
		if err != nil { // the handler's panic; there is nowhere to log it
			m.countPanic()
		}
	})
}

// Metrics yields the last sample and the counters under Prometheus names, in bytes
// and ratios, with the label monitor. Each iteration reads afresh.
func (m *Monitor) Metrics() iter.Seq2[string, float64] {
	return func(yield func(string, float64) bool) {
		s := m.Stats()
		set := metricSet{yield: yield, labels: labels("monitor", m.opts.Name)}
		set.add("memory_level", float64(s.Level))
		set.add("memory_used_bytes", float64(s.Memory.Used))
		set.add("memory_limit_bytes", float64(s.Memory.Limit))
		set.add("memory_heap_live_bytes", float64(s.Memory.HeapLive))
		set.add("memory_heap_objects_bytes", float64(s.Memory.HeapObjects))
		set.add("memory_heap_idle_bytes", float64(s.Memory.HeapIdle))
		set.add("memory_stacks_bytes", float64(s.Memory.Stacks))
		set.add("memory_go_total_bytes", float64(s.Memory.GoTotal))
		set.add("memory_rss_bytes", float64(s.Memory.RSS))
		set.add("memory_working_set_bytes", float64(s.Memory.WorkingSet))
		set.add("memory_psi_some_ratio", s.Memory.PSI.Some)
		set.add("memory_psi_full_ratio", s.Memory.PSI.Full)
		set.add("memory_gc_cpu_ratio", s.Memory.GCCPU)
		set.add("memory_goroutines", float64(s.Memory.Goroutines))
		set.add("memory_samples_total", float64(s.Samples))
		set.add("memory_sample_errors_total", float64(s.SampleErrors))
		set.add("memory_level_changes_total", float64(s.Changes))
		set.add("memory_shrinks_total", float64(s.Shrinks))
		set.add("memory_shrunk_bytes_total", float64(s.Freed))
		set.add("memory_collections_total", float64(s.Collections))
		set.add("memory_collections_ineffective_total", float64(s.Ineffective))
		set.add("memory_collections_limited_total", float64(s.Limited))
		set.add("memory_collected_bytes_total", float64(s.Collected))
		set.add("memory_callback_panics_total", float64(s.Panics))
	}
}
