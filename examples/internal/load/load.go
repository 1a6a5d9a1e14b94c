package load

import (
	"context"
	"math"
	"math/rand/v2"
	"sync"
	"time"
)

// Options describe a run.
type Options struct {
	// Users is how many are there at once, on average over a day.
	Users int
	// Think is the mean time between two actions of a user. Default 3 s.
	Think time.Duration
	// Actions is the mean number of actions of a visit. Default 20.
	Actions float64
	// Warmup is how long users come before anything counts.
	Warmup time.Duration
	// Measure is how long the actions that count begin.
	Measure time.Duration
	// Swing is how far the arrivals rise and fall around their mean in the measured
	// time, which is one compressed day: 0 to 1.
	Swing float64
	// Grace is how long the last answers are waited for. Default 12 s.
	Grace time.Duration
	// Seed makes arrivals, thinking and whatever the visits draw the same again.
	Seed uint64
}

// Visit is what one user does until it returns. The n of a user counts arrivals.
type Visit func(ctx context.Context, u *User)

// Outcome is how an action ended.
type Outcome struct {
	Class    string // such as "page" or "upload"
	Status   int    // of HTTP, 0 without an answer
	Right    bool   // the answer is what it has to be
	Stale    bool   // it is not, but was before a write that was acknowledged
	Degraded bool   // it is an answer, but a lesser one on purpose
}

// Sample is one action of a run.
type Sample struct {
	Outcome
	At      time.Duration // when it was to begin, from the start of the measured time; negative while warming up
	Latency time.Duration // from then to its end
	Service time.Duration // from when it did begin to its end
}

// day is the share of the mean arrivals at a moment of the measured time.
func (o Options) day(at time.Duration) float64 {
	if at < 0 || o.Measure <= 0 {
		return 1
	}
	return 1 - o.Swing*math.Cos(2*math.Pi*float64(at)/float64(o.Measure))
}

func (o *Options) defaults() {
	if o.Think == 0 {
		o.Think = 3 * time.Second
	}
	if o.Actions == 0 {
		o.Actions = 20
	}
	if o.Grace == 0 {
		o.Grace = 12 * time.Second
	}
}

// Run lets users visit until the measured time is over, and returns what they did. The
// order of the samples is that of their ends. It returns early if ctx ends.
func Run(ctx context.Context, o Options, visit Visit) []Sample {
	o.defaults()
	start := time.Now()
	r := &run{o: o, zero: start.Add(o.Warmup), end: start.Add(o.Warmup + o.Measure)}
	grace, cancel := context.WithDeadline(ctx, r.end.Add(o.Grace))
	defer cancel()
	var wg sync.WaitGroup
	n := 0
	come := func(at time.Time, first time.Duration) {
		u := &User{N: n, Rand: rand.New(rand.NewPCG(o.Seed, uint64(n))), run: r, next: at.Add(first)}
		n++
		wg.Go(func() { visit(grace, u) })
	}
	rnd := rand.New(rand.NewPCG(o.Seed, math.MaxUint64))
	for range o.Users { // as if the service had run before: visits have no memory of their age
		come(start, time.Duration(rnd.Float64()*float64(o.Think)))
	}
	mean := float64(o.Think) * o.Actions / float64(max(o.Users, 1)) // between two arrivals
	for at := start; ; {
		at = at.Add(time.Duration(rnd.ExpFloat64() * mean / max(o.day(at.Sub(r.zero)), 0.01)))
		if !at.Before(r.end) || !sleepUntil(ctx, at) {
			break
		}
		come(at, 0)
	}
	wg.Wait()
	return r.samples
}

type run struct {
	o         Options
	zero, end time.Time

	mu      sync.Mutex
	samples []Sample // guarded by mu
}

// User is one visit. It is for one goroutine.
type User struct {
	// N counts the visits from 0.
	N int
	// Rand is the visit's own source, the same in each run of the same seed.
	Rand *rand.Rand

	run  *run
	next time.Time // when the next action is to begin
}

// Now is how long the measured time has run at the user's next action.
func (u *User) Now() time.Duration { return u.next.Sub(u.run.zero) }

// Do waits for the moment of the user's next action, does it, and draws the moment of
// the one after it. It tells whether the user stays: visits end by chance, with the run,
// and when the user is a minute behind what they wanted to do.
func (u *User) Do(ctx context.Context, act func(ctx context.Context) Outcome) bool {
	at := u.next
	u.next = at.Add(u.think())
	stay := u.Rand.Float64() >= 1/u.run.o.Actions
	if !at.Before(u.run.end) {
		return false
	}
	late := !sleepUntil(ctx, at)
	begin := time.Now()
	out := Outcome{Class: "not begun"} // counts: the user wanted it in time
	if !late {
		out = act(ctx)
	}
	done := time.Now()
	u.run.mu.Lock()
	u.run.samples = append(u.run.samples, Sample{Outcome: out, At: at.Sub(u.run.zero), Latency: done.Sub(at), Service: done.Sub(begin)})
	u.run.mu.Unlock()
	return stay && !late && done.Sub(at) < time.Minute
}

// think draws a lognormal time with the mean of Options.Think. Its sigma of 1 makes
// the median 0.6 of the mean.
func (u *User) think() time.Duration {
	return time.Duration(float64(u.run.o.Think) * math.Exp(u.Rand.NormFloat64()-0.5))
}

// sleepUntil tells whether it came to that.
func sleepUntil(ctx context.Context, at time.Time) bool {
	d := time.Until(at)
	if d <= 0 {
		return ctx.Err() == nil
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
