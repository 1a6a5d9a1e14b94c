package bench

import (
	"fmt"
	"math"
	"runtime"
	"runtime/debug"
	"slices"
	"sync"
	"time"
)

// Side is one contender of a comparison. All sides of a comparison do the same work.
type Side struct {
	// Name as printed; ours is "perfblocks".
	Name string
	// Op does the work n times on each of the comparison's goroutines. Setup is
	// done before, outside the measured time.
	Op func(n int)
	// Check runs the work once and returns its result, which must be equal on all
	// sides before anything is timed. Nil: there is no result to compare.
	Check func() (any, error)
}

// Comparison is a piece of work and those who do it.
type Comparison struct {
	Measure    string
	Goroutines int // at once; 0 means 1, and then GOMAXPROCS is 1 as well
	// NoGC keeps the collector off: for sides that hold so much that it would mark
	// the others' heaps in each round. What they cost it has to be measured apart.
	NoGC bool
	// Batch is the least time that a side works in a round, where it needs some to
	// have its data at hand again after the others. 0: as the report says.
	Batch time.Duration
	// Rounds bounds the rounds, where an operation takes seconds. 0: as the report says.
	Rounds int
	Sides  []Side
}

// Sample is what one side cost in one round, for one operation.
type Sample struct {
	CPU    float64 // nanoseconds of processor time, garbage collection included
	Wall   float64 // nanoseconds
	Allocs float64
	Bytes  float64
}

// Result is what one side cost: medians over the rounds, with the quartiles of CPU.
type Result struct {
	Name     string     `json:"name"`
	Median   Sample     `json:"median"`
	Quartile [2]float64 `json:"cpuQuartiles"`
	rounds   []Sample
}

// Run measures c in interleaved rounds and returns a result for each side, in order.
func (c Comparison) Run(rounds int, batch time.Duration) ([]Result, error) {
	if err := c.check(); err != nil {
		return nil, err
	}
	batch = max(batch, c.Batch)
	if c.Rounds > 0 {
		rounds = min(rounds, c.Rounds)
	}
	if c.Goroutines <= 1 {
		defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	}
	if c.NoGC {
		runtime.GC()
		defer debug.SetGCPercent(debug.SetGCPercent(-1))
	}
	n := make([]int, len(c.Sides))
	for i, s := range c.Sides {
		n[i] = c.calibrate(s, batch)
	}
	results := make([]Result, len(c.Sides))
	for i, s := range c.Sides {
		results[i].Name = s.Name
	}
	for r := range rounds {
		for i := range c.Sides {
			i = (i + r) % len(c.Sides) // nobody always comes first
			results[i].rounds = append(results[i].rounds, c.measure(c.Sides[i], n[i]))
		}
	}
	for i := range results {
		results[i].summarize()
	}
	return results, nil
}

func (c Comparison) check() error {
	var first any
	for i, s := range c.Sides {
		if s.Check == nil {
			continue
		}
		got, err := s.Check()
		if err != nil {
			return fmt.Errorf("%s: %s: %w", c.Measure, s.Name, err)
		}
		if i == 0 {
			first = got
		} else if got != first {
			return fmt.Errorf("%s: %s gives %v, %s gives %v", c.Measure, c.Sides[0].Name, first, s.Name, got)
		}
	}
	return nil
}

// calibrate finds how many operations take about the time of a batch.
func (c Comparison) calibrate(s Side, batch time.Duration) int {
	n := 1
	for {
		d := time.Duration(math.MaxInt64)
		for range 3 { // on a busy machine one try may be nothing but waiting
			start := time.Now()
			c.do(s, n)
			if d = min(d, time.Since(start)); d < batch/4 || d > 10*batch {
				break
			}
		}
		if d >= batch/4 || n >= 1<<30 {
			return max(int(float64(n)*float64(batch)/float64(max(d, 1))), 1)
		}
		n *= 2
	}
}

func (c Comparison) do(s Side, n int) {
	if c.Goroutines <= 1 {
		s.Op(n)
		return
	}
	var wg sync.WaitGroup
	for range c.Goroutines {
		wg.Go(func() { s.Op(n) })
	}
	wg.Wait()
}

func (c Comparison) measure(s Side, n int) Sample {
	if !c.NoGC {
		debug.FreeOSMemory() // the garbage of the side before is not ours to pay for
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	cpu, start := cpuTime(), time.Now()
	c.do(s, n)
	wall, used := time.Since(start), cpuTime()-cpu
	runtime.ReadMemStats(&after)
	ops := float64(n * max(c.Goroutines, 1))
	return Sample{
		CPU: float64(used) / ops, Wall: float64(wall) / float64(n),
		Allocs: float64(after.Mallocs-before.Mallocs) / ops, Bytes: float64(after.TotalAlloc-before.TotalAlloc) / ops,
	}
}

func (r *Result) summarize() {
	at := func(q float64, f func(Sample) float64) float64 {
		v := make([]float64, len(r.rounds))
		for i, s := range r.rounds {
			v[i] = f(s)
		}
		slices.Sort(v)
		return v[int(q*float64(len(v)-1)+0.5)]
	}
	cpu := func(s Sample) float64 { return s.CPU }
	r.Median = Sample{
		CPU: at(0.5, cpu), Wall: at(0.5, func(s Sample) float64 { return s.Wall }),
		Allocs: at(0.5, func(s Sample) float64 { return s.Allocs }), Bytes: at(0.5, func(s Sample) float64 { return s.Bytes }),
	}
	r.Quartile = [2]float64{at(0.25, cpu), at(0.75, cpu)}
}

// Ratio is the median over the rounds of a's CPU time to b's, round by round, so
// that a machine that changes its speed changes both.
func Ratio(a, b Result) float64 {
	v := make([]float64, min(len(a.rounds), len(b.rounds)))
	for i := range v {
		v[i] = a.rounds[i].CPU / max(b.rounds[i].CPU, 0.01)
	}
	slices.Sort(v)
	if len(v) == 0 {
		return 0
	}
	return v[len(v)/2]
}
