package memory

import (
	"context"
	"math"
	"os"
	"runtime/debug"
	"sync"
	"time"
)

// Defaults of SetLimit.
const (
	defaultRatio   = 0.9
	defaultRefresh = 100 * time.Millisecond
)

// Rules for a collector that spends the program's time because the limit is too near
// to what is live.
const (
	spiralUsed  = 0.7 // share of the limit from which it can be the reason
	spiralSteps = 4   // parts of the room above the limit, of which all but one are given
	spiralCalm  = 30 * time.Second
)

// LimitOptions configures [SetLimit]. The zero value sets 90 % of the control
// group's limit and looks again ten times a second.
type LimitOptions struct {
	// Ratio is the share of the control group's limit that the Go runtime may use,
	// in (0, 1]. The rest is for memory that it does not count: cgo, mapped files,
	// other processes of the group. Default 0.9.
	Ratio float64
	// Reserve is how many bytes to leave at least, whatever Ratio says, but no more
	// than half of the control group's limit. Default 0.
	Reserve int64
	// Refresh is the time between looks at the control group, whose limit can be
	// changed under a running process; one costs some 20 µs. At least 1 ms. Default
	// 100 ms; negative means never again.
	Refresh time.Duration
	// Source gives Stats.CgroupLimit and what tells of a spiral: GCLimited, GCCPU,
	// HeapLive and Stacks. It is called by one goroutine at a time. Default: the
	// process itself, with files kept open.
	Source func() (Stats, error)
	// Override sets the limit even if the environment has GOMEMLIMIT, which is
	// otherwise left as it is.
	Override bool
	// Disabled leaves the runtime alone whatever the control group says.
	Disabled bool
}

// Limit is a memory limit of the Go runtime that [SetLimit] keeps. It is safe for
// concurrent use. The runtime has one limit: make one Limit in a process.
type Limit struct {
	opts   LimitOptions
	reader *reader // nil if the source is the caller's, or nothing is followed
	cancel context.CancelFunc
	wg     sync.WaitGroup

	mu     sync.Mutex
	set    int64     // guarded by mu; what we set, 0 if nothing
	former int64     // guarded by mu; what was there before we first did
	raised int       // guarded by mu; steps above Ratio, because of a spiral
	since  time.Time // guarded by mu; of the last step, or sight of the spiral
	closed bool      // guarded by mu
}

// SetLimit sets the Go runtime's soft memory limit from the limit of the process's
// control group and follows its changes until ctx ends or Close. Where there is no
// such limit, or GOMEMLIMIT is in the environment, it leaves the runtime alone. While
// the collector takes over a quarter of the processor time because the limit is too
// near to what is live, it raises the limit step by step, at most by three quarters
// of what it leaves to others (never into Reserve), and goes back after 30 s each
// without that. An error matches [ErrOptions] or is the Source's; then nothing was set.
func SetLimit(ctx context.Context, o LimitOptions) (*Limit, error) {
	var p problems
	setDefault(&o.Ratio, defaultRatio)
	setDefault(&o.Refresh, defaultRefresh)
	p.check(o.Ratio > 0 && o.Ratio <= 1, "Ratio %v is not in (0, 1]", o.Ratio)
	p.check(o.Reserve >= 0, "Reserve %d is negative", o.Reserve)
	p.check(o.Refresh < 0 || o.Refresh >= time.Millisecond, "Refresh %v is below 1ms", o.Refresh)
	if err := p.err("limit"); err != nil {
		return nil, err
	}
	l := &Limit{opts: o, cancel: func() {}}
	if o.Disabled || os.Getenv("GOMEMLIMIT") != "" && !o.Override {
		return l, nil
	}
	if o.Source == nil {
		l.reader = newReader(o.Refresh > 0)
		l.opts.Source = func() (Stats, error) { return l.reader.read(time.Now()) }
	}
	if err := l.refresh(); err != nil {
		l.closeFiles()
		return nil, err
	}
	if o.Refresh > 0 {
		ctx, l.cancel = context.WithCancel(ctx)
		l.wg.Go(func() {
			defer l.closeFiles()
			l.follow(ctx)
		})
	}
	return l, nil
}

// Bytes returns the runtime's limit now, in bytes; 0 means none.
func (l *Limit) Bytes() int64 {
	if now := debug.SetMemoryLimit(-1); now < math.MaxInt64 {
		return now
	}
	return 0
}

// Close stops following the control group and puts back the limit of before,
// unless somebody else has changed it since. It waits for a Source under way, which
// must not call it. It always returns nil and may be called again. The end of SetLimit's ctx only stops following.
func (l *Limit) Close() error {
	l.cancel()
	l.wg.Wait()
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.closed && l.set > 0 && debug.SetMemoryLimit(-1) == l.set {
		debug.SetMemoryLimit(l.former)
	}
	l.closed = true
	return nil
}

func (l *Limit) closeFiles() {
	if l.reader != nil {
		l.reader.close()
	}
}

func (l *Limit) follow(ctx context.Context) {
	tick := time.NewTicker(l.opts.Refresh)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			_ = l.refresh() // the limit stays as it was; the next tick tries again
		}
	}
}

// refresh reads the control group's limit and applies what follows from it.
func (l *Limit) refresh() error {
	var s Stats
	var err error
	guard(func() (e error) { s, e = l.opts.Source(); return e }, func(e error) { err = e })
	if err != nil && s.CgroupLimit == 0 {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.backOffLocked(s)
	want := l.wantedLocked(s.CgroupLimit)
	switch {
	case want == l.set:
	case want == 0:
		debug.SetMemoryLimit(l.former)
		l.set = 0
	default:
		former := debug.SetMemoryLimit(want)
		if l.set == 0 {
			l.former = former
		}
		l.set = want
	}
	return nil
}

// backOffLocked counts a step up for each look that shows a spiral, and one down for
// each stretch of calm.
func (l *Limit) backOffLocked(s Stats) {
	now := time.Now()
	near := float64(s.HeapLive+s.Stacks) >= spiralUsed*float64(l.set)
	switch {
	case l.set > 0 && (s.GCLimited || near && s.GCCPU > busyGCCPU):
		l.raised = min(l.raised+1, spiralSteps-1)
		l.since = now
	case l.raised > 0 && now.Sub(l.since) >= spiralCalm:
		l.raised--
		l.since = now
	}
}

// wantedLocked returns the runtime's limit for one of the control group; 0 for none.
func (l *Limit) wantedLocked(group int64) int64 {
	if group <= 0 {
		return 0
	}
	// With a reserve larger than the group the runtime would do nothing but collect.
	most := group - min(l.opts.Reserve, group/2)
	want := min(int64(l.opts.Ratio*float64(group)), most)
	return max(1, want+(most-want)/spiralSteps*int64(l.raised))
}
