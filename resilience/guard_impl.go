package resilience

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

const guardShards = 16 // power of two

// Guard thins floods of like errors without losing count. It is used around a
// slog.Handler ([Guard.Handler]) or asked directly ([Guard.Observe]); one guard had
// better serve one of the two. It is safe for concurrent use and must not be copied
// after first use. Close it to get the last summaries.
//
// # What is alike
//
// A fingerprint of 64 bits tells kinds apart. That of an error is made of the types
// in its chain (of joined errors: the first), its class and code as the Classifier
// says, and, if the innermost is one of errors.New, its text. That of a record is
// made of its source position, level and message, and of the errors and [Info]
// values among its attributes, in groups and given to With too. Other attributes
// tell nothing; a LogValuer that is neither is not asked. Of a text, 128 bytes
// matter; numbers, words with digits in them and quoted parts count as one sign, so
// that "user 17 not found" and "user 4711 not found" are alike.
//
// # Counting
//
// For each fingerprint, and for all together, the sum of 1+suppressed over the
// records that were logged is the number of records, once Flush or the end of the
// window has logged the samples. For Observe it is the sum of 1+Suppressed over the
// decisions to emit and of Suppressed over the summaries. This holds whatever runs at
// the same time; what a handler fails to write is counted as logged.
//
// No fingerprint is lost while at most MaxKeys are seen in a window: if even the
// first record must not pass because of PerSecond, it is logged when the window
// ends, though a little later than it happened. What is beyond MaxKeys is counted as
// if it were alike, 16 groups of it, and summed up together with an estimate of how
// many fingerprints it had.
//
// # Samples
//
// The record logged at the end of a window is the first that was withheld since one
// passed. It carries its own time and what it had from With, but not the context of
// the call. What it had of attributes is copied when it is withheld: numbers, texts,
// times, groups, slices of plain values, what a LogValuer gives, and the texts of
// errors and of encoding.TextMarshalers; of any other value, which might change or
// be redacted by its type, the type is logged only. If there is no room for all of
// it the record says truncated=true: a sample has up to 2 KiB, but beyond 48 bytes
// each the samples share 128 KiB. So 4096 fingerprints take less than a mebibyte
// (TestSampleHeap); handlers made by With, to which samples refer, come on top.
type Guard struct {
	opts   GuardOptions // defaults filled in; never changes
	keys   atomic.Int64 // fingerprints told apart now, in all shards
	room   sampleRoom
	shards [guardShards]guardShard

	bucketMu sync.Mutex
	tokens   float64   // guarded by bucketMu
	filled   time.Time // guarded by bucketMu

	armed  atomic.Bool // a window is running
	mu     sync.Mutex
	timer  *time.Timer    // of the window; guarded by mu
	closed bool           // guarded by mu
	firing sync.WaitGroup // windows that end now
}

// guardShard counts a part of the fingerprints. All fields are guarded by mu.
type guardShard struct {
	mu       sync.Mutex
	entries  map[uint64]*guardEntry
	last     uint64      // the fingerprint counted last, which a flood repeats
	entry    *guardEntry // of last; nil: look it up
	overflow guardEntry  // everything beyond MaxKeys
	beyond   sketch      // its fingerprints

	observed, emitted, overflowed uint64 // since NewGuard
}

// guardEntry counts one fingerprint in one window.
type guardEntry struct {
	seen     uint64
	withheld uint64 // since the last that passed
	sample   *sample
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

// Observe counts an error and says whether to log it; [GuardHooks].Summary tells what
// became of the rest. Errors are alike as the package's Guard says. Observe(nil)
// counts nothing. What is withheld allocates nothing but its sample.
func (g *Guard) Observe(err error) Decision {
	if g.opts.Disabled || err == nil {
		return Decision{Emit: err != nil, New: err != nil}
	}
	h := newHash()
	h.error(err, g.opts.Classifier)
	fingerprint := h.sum()
	d, counted := g.count(fingerprint, nil)
	if !counted {
		info := g.opts.Classifier.Classify(err)
		d, _ = g.count(fingerprint, &sample{time: time.Now(), class: info.Class, data: strings.Clone(info.Code)})
	}
	return d
}

// count counts one occurrence, unless it is withheld as the first since one passed
// and there is no sample of it: then it reports false and has done nothing, so that
// the caller may take a sample under no lock and try again.
func (g *Guard) count(fingerprint uint64, sample *sample) (d Decision, counted bool) {
	d.Fingerprint = fingerprint
	s := &g.shards[fingerprint%guardShards]
	s.mu.Lock()
	e := s.entryLocked(g, fingerprint)
	due := g.due(e.seen+1) && g.take()
	if !due && e.sample == nil && sample == nil {
		s.mu.Unlock()
		return d, false
	}
	e.seen++
	s.observed++
	if e == &s.overflow {
		s.overflowed++
		s.beyond.add(fingerprint)
	} else {
		d.New = e.seen == 1
	}
	switch {
	case due:
		s.emitted++
		d.Emit, d.Suppressed = true, e.withheld
		g.room.remove(e.sample)
		e.withheld, e.sample = 0, nil
	case e.sample == nil:
		g.room.add(sample)
		e.sample = sample
		e.withheld++
	default:
		e.withheld++
	}
	s.mu.Unlock()
	if !g.armed.Load() { // If it is, its end is yet to come and sees this count.
		g.arm()
	}
	return d, true
}

// entryLocked is the entry of a fingerprint, or that of all beyond MaxKeys.
func (s *guardShard) entryLocked(g *Guard, fingerprint uint64) *guardEntry {
	if s.entry != nil && s.last == fingerprint {
		return s.entry
	}
	e, ok := s.entries[fingerprint]
	if !ok {
		if !g.reserve() {
			return &s.overflow
		}
		e = &guardEntry{}
		s.entries[fingerprint] = e
	}
	s.last, s.entry = fingerprint, e
	return e
}

// reserve takes room for one more fingerprint.
func (g *Guard) reserve() bool {
	if g.keys.Add(1) <= int64(g.opts.MaxKeys) {
		return true
	}
	g.keys.Add(-1)
	return false
}

// due reports whether the nth occurrence of a fingerprint in a window may pass.
func (g *Guard) due(n uint64) bool {
	first := uint64(g.opts.First)
	return n <= first || g.opts.Every > 0 && (n-first)%uint64(g.opts.Every) == 0
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

// withheld is what a window kept back of one fingerprint.
type withheld struct {
	fingerprint uint64 // 0: everything beyond MaxKeys
	distinct    uint64
	guardEntry
}

// Flush ends the window now: it logs and reports what was withheld, the oldest
// first, and starts counting afresh. It may be called at any time, also by hooks
// and handlers of the guard. It returns the first errors of the handlers, joined; a
// hook or handler that panics is such an error and does not stop the others.
func (g *Guard) Flush() error {
	g.mu.Lock()
	if g.timer != nil && g.timer.Stop() {
		g.firing.Done() // It will not run.
	}
	g.timer = nil
	g.armed.Store(false)
	g.mu.Unlock()
	var errs []error
	for _, w := range g.cut() {
		g.room.remove(w.sample)
		if err := g.summarize(w); err != nil && len(errs) < maxFlushErrors {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

const maxFlushErrors = 8

// cut takes all counts of the window that ends.
func (g *Guard) cut() []withheld {
	var all []withheld
	var sketches [guardShards]sketch
	beyond := withheld{}
	for i := range g.shards {
		s := &g.shards[i]
		s.mu.Lock()
		entries, overflow := s.entries, s.overflow
		sketches[i] = s.beyond
		s.entries, s.entry = make(map[uint64]*guardEntry), nil
		s.overflow, s.beyond = guardEntry{}, sketch{}
		g.keys.Add(-int64(len(entries)))
		s.mu.Unlock()
		for fingerprint, e := range entries { // Nobody else knows them any more.
			if e.withheld > 0 {
				all = append(all, withheld{fingerprint: fingerprint, distinct: 1, guardEntry: *e})
			}
		}
		beyond.merge(overflow, &g.room)
	}
	if beyond.withheld > 0 {
		beyond.distinct = max(1, distinct(sketches[:]))
		all = append(all, beyond)
	}
	slices.SortFunc(all, func(a, b withheld) int { return a.sample.time.Compare(b.sample.time) })
	return all
}

// merge adds what one shard withheld and keeps one of the samples.
func (w *withheld) merge(e guardEntry, room *sampleRoom) {
	w.withheld += e.withheld
	if w.sample == nil {
		w.sample = e.sample
		return
	}
	room.remove(e.sample)
}

// summarize reports what was withheld of one fingerprint.
func (g *Guard) summarize(w withheld) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("resilience: flush guard %s: panic: %v", g.opts.Name, p)
		}
	}()
	if f := g.opts.Hooks.Summary; f != nil {
		sum := Summary{Fingerprint: w.fingerprint, Suppressed: w.withheld, Distinct: w.distinct}
		if w.sample.next == nil {
			sum.Class, sum.Code = w.sample.class, w.sample.data
		}
		f(sum)
	}
	if w.sample.next == nil {
		return nil
	}
	r := w.sample.record()
	if w.fingerprint == 0 {
		r.AddAttrs(slog.Uint64("distinct", w.distinct))
	}
	if w.withheld > 1 {
		r.AddAttrs(slog.Uint64("suppressed", w.withheld-1))
	}
	return w.sample.next.Handle(context.Background(), r)
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

// Stats returns the counters as they are now, each shard's at one moment: Observed
// is always the sum of Emitted and Suppressed.
func (g *Guard) Stats() GuardStats {
	st := GuardStats{Keys: int(g.keys.Load())}
	for i := range g.shards {
		s := &g.shards[i]
		s.mu.Lock()
		st.Observed += s.observed
		st.Emitted += s.emitted
		st.Overflowed += s.overflowed
		s.mu.Unlock()
	}
	st.Suppressed = st.Observed - st.Emitted
	return st
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
