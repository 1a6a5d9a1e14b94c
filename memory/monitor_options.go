package memory

import (
	"context"
	"io"
	"log/slog"
	"time"
)

// Shrinker is what can give memory back when asked: a cache, a pool, a buffer. The
// caches of this package are, and so is anything with the same method.
type Shrinker interface {
	// Shrink drops memory until about target, from 0 to 1, of what is held now
	// remains, and returns its estimate of the bytes that became free. 0 asks for
	// everything that can be spared. It returns early when ctx ends, and must be
	// safe to call from any goroutine.
	Shrink(ctx context.Context, target float64) (freed int64)
}

// Prioritizer is an optional part of a [Shrinker]: the lowest priority is asked
// first, the next only if that did not free enough. Without it the priority is 0.
type Prioritizer interface {
	// ShrinkPriority returns the priority; it is read once, by Register.
	ShrinkPriority() int
}

// WithPriority returns s with the given priority, for shrinkers that do not
// implement [Prioritizer] or to overrule them. Lower numbers shrink first.
func WithPriority(s Shrinker, priority int) Shrinker {
	return prioritized{Shrinker: s, priority: priority}
}

type prioritized struct {
	Shrinker
	priority int
}

func (p prioritized) ShrinkPriority() int { return p.priority }

// Defaults of a Monitor.
const (
	defaultInterval        = time.Second
	defaultDwell           = 3 * time.Second
	defaultCollectInterval = 10 * time.Second
	defaultMaxPause        = 5 * time.Second
)

// MonitorOptions configures a [Monitor]. The zero value samples the process once a
// second against the lowest limit that the environment sets.
type MonitorOptions struct {
	// Name labels the monitor in metrics. Default "process".
	Name string
	// Limit is an explicit limit in bytes for Stats.Used; the limits of the
	// environment still count, whichever leaves the least room. 0 means none.
	Limit int64
	// High and Critical are the shares of the limit at which the levels begin, in
	// (0, 1], High below Critical. Default 0.70 and 0.85.
	High, Critical float64
	// Hysteresis is how far below a threshold usage must fall before the level
	// does, as a share of the limit. Default 0.05; negative means 0.
	Hysteresis float64
	// Dwell is how long usage must stay that low. Default 3 s; negative means 0.
	Dwell time.Duration
	// Interval is the longest time between samples. They come up to ten times as often
	// above LevelNormal, and whenever 256 MiB a second would reach the next threshold
	// sooner, and up to fifty times as often while usage is seen to run towards it. At
	// least 1 ms. Default 1 s.
	Interval time.Duration
	// CollectInterval is the least time between two forced collections; it doubles,
	// up to 16 times, while they free less than 5 %. Default 10 s; negative means 0.
	CollectInterval time.Duration
	// OptimizeInterval lets the monitor force a collection, at any level, when the
	// program has gone quiet: when no collection has ended for that long, and garbage
	// and free memory are 16 MiB and a quarter of what the Go runtime holds. Hooks, Stats and the
	// Logger tell what was freed. Default 0: never; negative is an error.
	OptimizeInterval time.Duration
	// MaxPause is the longest that one [Checkpoint] waits at LevelCritical. Default
	// 5 s; negative means not at all.
	MaxPause time.Duration
	// Source takes a sample; it is called by one goroutine at a time. It must return
	// soon, because Start, Check and Close wait for it, and must not use the monitor but
	// for Level and Stats. Default: the process itself, with files kept open between samples.
	Source func() (Stats, error)
	// DisablePSI leaves the kernel's stall information out of the levels.
	DisablePSI bool
	// DisableCollect keeps the monitor from forcing collections by itself, after
	// shrinking, after Run and for OptimizeInterval. Collect still works when called.
	DisableCollect bool
	// HeapProfile opens the place for one heap profile (see runtime/pprof), which is
	// written at the first LevelCritical and never again, on a goroutine of its own, at
	// most 16 MiB of it. What it returns is closed after that; its failures are logged.
	// nil means no profile. For a file: func() (io.WriteCloser, error) { return
	// os.Create(name) }.
	HeapProfile func() (io.WriteCloser, error)
	// Hooks observes the monitor. A nil func costs one branch.
	Hooks MonitorHooks
	// Logger receives changes of level, forced collections, and failures that nobody else sees. nil
	// means silence.
	Logger *slog.Logger
	// Disabled keeps the level at LevelNormal for ever: nothing is sampled, shrunk
	// or collected.
	Disabled bool
}

func (o MonitorOptions) withDefaults() (MonitorOptions, error) {
	var p problems
	p.check(o.Limit >= 0, "Limit %d is negative", o.Limit)
	setDefault(&o.High, defaultHigh)
	setDefault(&o.Critical, defaultCritical)
	p.check(o.High > 0 && o.High < o.Critical && o.Critical <= 1,
		"High %v and Critical %v are not 0 < High < Critical <= 1", o.High, o.Critical)
	setDefault(&o.Hysteresis, defaultHysteresis)
	p.check(o.Hysteresis < o.High, "Hysteresis %v is not below High %v", o.Hysteresis, o.High)
	setDefault(&o.Dwell, defaultDwell)
	setDefault(&o.Interval, defaultInterval)
	p.check(o.Interval >= time.Millisecond, "Interval %v is below 1ms", o.Interval)
	setDefault(&o.CollectInterval, defaultCollectInterval)
	p.check(o.OptimizeInterval >= 0, "OptimizeInterval %v is negative", o.OptimizeInterval)
	setDefault(&o.MaxPause, defaultMaxPause)
	o.Hysteresis, o.Dwell = max(0, o.Hysteresis), max(0, o.Dwell)
	o.CollectInterval, o.MaxPause = max(0, o.CollectInterval), max(0, o.MaxPause)
	if o.Name == "" {
		o.Name = "process"
	}
	return o, p.err("monitor")
}

// setDefault replaces zero by the default.
func setDefault[T int | int64 | float64 | time.Duration](field *T, value T) {
	if *field == 0 {
		*field = value
	}
}

// MonitorHooks observes a [Monitor]. The funcs run outside all locks; their panics
// are recovered and counted. Fields may be added in any release.
type MonitorHooks struct {
	// Shrunk is called after a registered shrinker was asked to give memory back, on
	// the goroutine that runs OnChange's callbacks.
	Shrunk func(ShrinkEvent)
	// Collected is called after each forced collection, on the goroutine that ran
	// it, before Collect returns.
	Collected func(CollectResult)
}

// ChangeEvent describes a change of level.
type ChangeEvent struct {
	// From and To are the levels before and after.
	From, To Level
	// Reason is a constant word: "usage", "committed" or "stalls" for a rise,
	// "recovered" or, at the end of Start's ctx or Close, "stopped" for a fall.
	Reason string
	// Stats is the sample that changed the level.
	Stats Stats
}

// ShrinkEvent describes one request to a shrinker.
type ShrinkEvent struct {
	// Name is the name given to Register.
	Name string
	// Level is the level that caused it.
	Level Level
	// Target is the share that was to remain, from 0 to 1.
	Target float64
	// Freed is what the shrinker said that it freed, in bytes.
	Freed int64
	// Took is how long it took.
	Took time.Duration
}

// CollectResult describes one forced collection.
type CollectResult struct {
	// Reason is the caller's text, or of the monitor's own "pressure", "run" or
	// "optimize".
	Reason string
	// Freed is how much less memory the Go runtime held afterwards, in bytes; 0 if
	// it grew meanwhile.
	Freed int64
	// Before and After are the samples around it.
	Before, After Stats
	// Took is how long the collection took.
	Took time.Duration
	// Effective tells whether at least 5 % was freed; if not, the time until the
	// next collection doubles.
	Effective bool
}

// MonitorStats is a snapshot of a [Monitor]. Counters are since NewMonitor.
type MonitorStats struct {
	// Memory is the last sample; its At is zero before the first.
	Memory Stats
	// Level is the level now.
	Level Level
	// Since is when that level began.
	Since time.Time
	// Samples counts samples, SampleErrors those that failed at least in part.
	Samples, SampleErrors uint64
	// Changes counts changes of level.
	Changes uint64
	// Shrinks counts requests to shrinkers.
	Shrinks uint64
	// Freed is the sum of the bytes that they said they freed.
	Freed int64
	// Collections counts forced collections, Ineffective those that freed less
	// than 5 %, Limited requests that were refused.
	Collections, Ineffective, Limited uint64
	// Collected is what the collections freed, in bytes.
	Collected int64
	// Panics counts panics of callbacks and shrinkers, which were recovered.
	Panics uint64
	// Shrinkers is the number registered now.
	Shrinkers int
}
