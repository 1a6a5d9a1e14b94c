package resilience

import (
	"context"
	"errors"
	"iter"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"
)

const guardShards = 16

// Guard thins floods of like errors without losing count. It needs bounded memory
// whatever it sees. It is safe for concurrent use and must not be copied after
// first use. Close it to get the last summaries.
type Guard struct {
	opts   GuardOptions // defaults filled in; never changes
	keys   atomic.Int64 // fingerprints told apart now, in all shards
	shards [guardShards]guardShard

	observed, emitted, overflowed counter

	bucketMu sync.Mutex
	tokens   float64   // guarded by bucketMu
	filled   time.Time // guarded by bucketMu

	armed  atomic.Bool // a window is running
	mu     sync.Mutex
	timer  *time.Timer    // of the window; guarded by mu
	closed bool           // guarded by mu
	firing sync.WaitGroup // windows that end now
}

type guardShard struct {
	mu       sync.Mutex
	entries  map[uint64]*guardEntry // guarded by mu
	overflow guardEntry             // guarded by mu; everything beyond MaxKeys
}

// guardEntry counts one fingerprint in one window.
type guardEntry struct {
	seen     uint64
	withheld uint64 // since the last that passed
	sample   *sample
}

// sample is the first withheld occurrence since one passed: a record without the
// room for attributes that a slog.Record holds ready, or what Observe saw.
type sample struct {
	time    time.Time
	message string // the code if seen by Observe
	attrs   []slog.Attr
	next    slog.Handler // nil: seen by Observe
	pc      uintptr
	level   slog.Level
	class   Class
}

// keep takes over a record for next.
func (s *sample) keep(r slog.Record, next slog.Handler) {
	s.time, s.message, s.pc, s.level, s.next = r.Time, r.Message, r.PC, r.Level, next
	if n := r.NumAttrs(); n > 0 {
		s.attrs = make([]slog.Attr, 0, n)
		r.Attrs(func(a slog.Attr) bool {
			s.attrs = append(s.attrs, a)
			return true
		})
	}
}

// record is the record that was kept.
func (s *sample) record() slog.Record {
	r := slog.NewRecord(s.time, s.level, s.message, s.pc)
	r.AddAttrs(s.attrs...)
	return r
}

// NewGuard returns a guard, or an error matching [ErrOptions] that names every
// field that is out of range. It starts no goroutine; the end of a window runs on
// a timer, which exists only while something was seen.
func NewGuard(o GuardOptions) (*Guard, error) {
	var v validator
	v.rangeDuration("Window", o.Window, time.Millisecond)
	v.check(o.First >= 0, "First %d is negative", o.First)
	v.check(o.MaxKeys >= 0, "MaxKeys %d is negative", o.MaxKeys)
	v.check(o.Burst >= 0, "Burst %d is negative", o.Burst)
	setDefault(&o.Name, "guard")
	if err := v.err("guard " + o.Name); err != nil {
		return nil, err
	}
	setDefault(&o.Window, 10*time.Second)
	setDefault(&o.First, 5)
	setDefault(&o.Every, 100)
	setDefault(&o.MaxKeys, 4096)
	setDefault(&o.PerSecond, 100)
	setDefault(&o.Burst, max(200, o.PerSecond))
	if o.MinLevel == nil {
		o.MinLevel = slog.LevelWarn
	}
	g := &Guard{opts: o, tokens: float64(o.Burst), filled: time.Now()}
	for i := range g.shards {
		g.shards[i].entries = make(map[uint64]*guardEntry)
	}
	return g, nil
}

// Observe counts an error and says whether to log it. Errors are alike if their
// types, codes and, for plain errors, texts agree, numbers and quoted parts aside.
func (g *Guard) Observe(err error) Decision {
	if g.opts.Disabled || err == nil {
		return Decision{Emit: err != nil, New: err != nil}
	}
	info := g.opts.Classifier.Classify(err)
	h := newHash()
	h.error(err, info)
	return g.observe(h.sum(), func(s *sample) { s.class, s.message = info.Class, info.Code })
}

// observe counts one occurrence; keep fills in the sample if it is withheld first.
func (g *Guard) observe(fingerprint uint64, keep func(*sample)) Decision {
	if !g.armed.Load() {
		g.arm()
	}
	g.observed.inc()
	d := Decision{Fingerprint: fingerprint}
	s := &g.shards[fingerprint%guardShards]
	s.mu.Lock()
	e, ok := s.entries[fingerprint]
	switch {
	case ok:
	case g.reserve():
		e = &guardEntry{}
		s.entries[fingerprint] = e
		d.New = true
	default:
		e = &s.overflow
		g.overflowed.inc()
	}
	e.seen++
	if g.dueLocked(e) && g.take() {
		d.Emit, d.Suppressed = true, e.withheld
		e.withheld, e.sample = 0, nil
		s.mu.Unlock()
		g.emitted.inc()
		return d
	}
	e.withheld++
	if e.sample == nil {
		e.sample = &sample{}
		keep(e.sample)
	}
	s.mu.Unlock()
	if !g.armed.Load() { // The window ended between the first look and the count.
		g.arm()
	}
	return d
}

// reserve takes room for one more fingerprint.
func (g *Guard) reserve() bool {
	if g.keys.Add(1) <= int64(g.opts.MaxKeys) {
		return true
	}
	g.keys.Add(-1)
	return false
}

// dueLocked reports whether the occurrence just counted may pass.
func (g *Guard) dueLocked(e *guardEntry) bool {
	first := uint64(g.opts.First)
	return e.seen <= first || g.opts.Every > 0 && (e.seen-first)%uint64(g.opts.Every) == 0
}

// take takes a token of the bound for all fingerprints.
func (g *Guard) take() bool {
	if g.opts.PerSecond < 0 {
		return true
	}
	g.bucketMu.Lock()
	defer g.bucketMu.Unlock()
	now := time.Now()
	g.tokens = min(float64(g.opts.Burst), g.tokens+now.Sub(g.filled).Seconds()*float64(g.opts.PerSecond))
	g.filled = now
	if g.tokens < 1 {
		return false
	}
	g.tokens--
	return true
}

// arm starts a window unless one is running.
func (g *Guard) arm() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed || g.armed.Load() {
		return
	}
	g.armed.Store(true)
	g.firing.Add(1)
	g.timer = time.AfterFunc(g.opts.Window, func() {
		defer g.firing.Done()
		_ = g.Flush() // A handler's error has no one to go to.
	})
}

// Flush ends the window now: it logs and reports what was withheld and starts
// counting afresh. It returns the errors of the handlers, joined.
func (g *Guard) Flush() error {
	g.mu.Lock()
	if g.timer != nil && g.timer.Stop() {
		g.firing.Done() // It will not run.
	}
	g.timer = nil
	g.armed.Store(false)
	g.mu.Unlock()
	var errs []error
	for i := range g.shards {
		s := &g.shards[i]
		s.mu.Lock()
		entries, overflow := s.entries, s.overflow
		s.entries, s.overflow = make(map[uint64]*guardEntry), guardEntry{}
		s.mu.Unlock()
		g.keys.Add(-int64(len(entries)))
		for fingerprint, e := range entries {
			errs = append(errs, g.summarize(fingerprint, e))
		}
		errs = append(errs, g.summarize(0, &overflow))
	}
	return errors.Join(errs...)
}

// summarize reports what was withheld of one fingerprint.
func (g *Guard) summarize(fingerprint uint64, e *guardEntry) error {
	if e.withheld == 0 {
		return nil
	}
	if f := g.opts.Hooks.Summary; f != nil {
		sum := Summary{Fingerprint: fingerprint, Suppressed: e.withheld}
		if e.sample.next == nil {
			sum.Class, sum.Code = e.sample.class, e.sample.message
		}
		f(sum)
	}
	if e.sample.next == nil {
		return nil
	}
	r := e.sample.record()
	if e.withheld > 1 {
		r.AddAttrs(slog.Uint64("suppressed", e.withheld-1))
	}
	return e.sample.next.Handle(context.Background(), r)
}

// Close flushes and waits for a window that ends meanwhile. What is observed after
// it still counts and passes or not, but is summed up only by Flush. It may be
// called more than once, but not by a hook or a handler of the guard, for which it
// would wait.
func (g *Guard) Close() error {
	g.mu.Lock()
	g.closed = true
	g.mu.Unlock()
	err := g.Flush()
	g.firing.Wait()
	return err
}

// Stats returns the counters as they are now.
func (g *Guard) Stats() GuardStats {
	s := GuardStats{Emitted: g.emitted.load(), Overflowed: g.overflowed.load(), Keys: int(g.keys.Load())}
	s.Observed = max(g.observed.load(), s.Emitted)
	s.Suppressed = s.Observed - s.Emitted
	return s
}

// Metrics yields the guard's figures under Prometheus names with the label guard,
// read afresh at each iteration.
func (g *Guard) Metrics() iter.Seq2[string, float64] {
	return func(yield func(string, float64) bool) {
		s, l := g.Stats(), labels("guard", g.opts.Name)
		_ = yield("resilience_guard_observed_total"+l, float64(s.Observed)) &&
			yield("resilience_guard_emitted_total"+l, float64(s.Emitted)) &&
			yield("resilience_guard_suppressed_total"+l, float64(s.Suppressed)) &&
			yield("resilience_guard_overflowed_total"+l, float64(s.Overflowed)) &&
			yield("resilience_guard_keys"+l, float64(s.Keys))
	}
}
