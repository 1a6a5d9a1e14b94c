package main

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"runtime"
	"runtime/debug"
	"strings"
	"time"

	"github.com/perfblocks/perfblocks/examples/versus/internal/bench"
	"github.com/perfblocks/perfblocks/examples/versus/internal/leakprograms"
	"github.com/perfblocks/perfblocks/memory"
)

const leakWindows = 10

// memoryLeaks runs the leak detector, with its zero options, on programs that leak
// and programs that do not, and on simulated series.
func memoryLeaks(r *bench.Report) error {
	for _, part := range []func(*bench.Report) error{leakPrograms, leakSeries, leakSample} {
		if err := part(r); err != nil {
			return err
		}
	}
	return nil
}

// leakPrograms counts leaks found within ten windows of their beginning, and
// healthy programs accused at any time.
func leakPrograms(r *bench.Report) error {
	var found, leaking, accused, healthy, slowest int
	var missed, wrong []string
	for _, p := range leakprograms.All() {
		first, err := firstSuspicion(p, 40)
		if err != nil {
			return err
		}
		switch {
		case p.Leaks == leakprograms.Nothing:
			healthy++
			if first > 0 {
				accused++
				wrong = append(wrong, fmt.Sprintf("%s at %d", p.Name, first))
			}
		case first > 0 && first <= p.From:
			accused++
			wrong = append(wrong, fmt.Sprintf("%s at %d, before it leaks", p.Name, first))
			leaking++
		default:
			leaking++
			if first > 0 && first-p.From <= leakWindows {
				found++
				slowest = max(slowest, first-p.From)
			} else {
				missed = append(missed, fmt.Sprintf("%s (%d)", p.Name, first))
			}
		}
	}
	r.Add(bench.Row{
		Measure: fmt.Sprintf("leaking programs found within %d windows", leakWindows), Unit: fmt.Sprintf("of %d", leaking),
		Ours: float64(found), Goal: fmt.Sprintf("= %d", leaking), OK: found == leaking,
		Note: strings.Join(append(missed, fmt.Sprintf("the last after %d windows", slowest)), ", "),
	})
	r.Add(bench.Row{
		Measure: "healthy programs accused in 40 windows", Unit: fmt.Sprintf("of %d", healthy),
		Ours: float64(accused), Goal: "= 0", OK: accused == 0, Note: strings.Join(wrong, ", "),
	})
	return nil
}

// firstSuspicion runs p with a sample after each window and returns the window with
// the first suspect of the kind that p leaks, or of any kind if it leaks nothing;
// 0 for none. A program that leaks is stopped ten windows later.
func firstSuspicion(p leakprograms.Program, windows int) (first int, err error) {
	d, err := memory.NewLeakDetector(memory.LeakOptions{})
	if err != nil {
		return 0, err
	}
	defer d.Close()
	debug.FreeOSMemory() // what the program before has left
	time.Sleep(time.Millisecond)
	runtime.GC()
	// The first window's end is where the detector begins to look.
	if p.Leaks != leakprograms.Nothing {
		windows = p.From + leakWindows + 1
	}
	p.Run(windows+1, func(w int) bool {
		report, e := d.Sample(context.Background())
		if e != nil {
			err = e
			return false
		}
		for _, s := range report.Suspects {
			if first == 0 && (p.Leaks == leakprograms.Nothing || (p.Leaks == leakprograms.Heap) == (s.Kind == memory.LeakHeap)) {
				first = w - 1
			}
		}
		return first == 0
	})
	return first, err
}

// leakSeries counts accusations of random healthy series over 60 windows. Half of
// them carry noise of up to 5 % besides.
func leakSeries(r *bench.Report) error {
	runs := 200
	if r.Full {
		runs = 2000
	}
	accused, all := 0, 0
	var wrong []string
	for k, series := range leakprograms.AllSeries() {
		rng, n := rand.New(rand.NewPCG(uint64(k), 1)), 0
		for i := range runs {
			noise := 0.0
			if i%2 == 0 {
				noise = 0.0005 * math.Pow(100, rng.Float64())
			}
			suspected, err := accuses(series.Make(rng), rng, noise)
			if err != nil {
				return err
			}
			if suspected {
				n++
			}
		}
		accused, all = accused+n, all+runs
		if n > 0 {
			wrong = append(wrong, fmt.Sprintf("%s: %d of %d", series.Name, n, runs))
		}
	}
	r.Add(bench.Row{
		Measure: "simulated healthy heaps accused in 60 windows", Unit: "per 10,000",
		Ours: 10_000 * float64(accused) / float64(all), OK: true, Note: strings.Join(wrong, ", "),
	})
	return nil
}

// accuses runs a detector over a series.
func accuses(level func(int) float64, rng *rand.Rand, noise float64) (bool, error) {
	w := -1
	d, err := memory.NewLeakDetector(memory.LeakOptions{Source: func(context.Context) (memory.LeakSample, error) {
		w++
		live := level(w) * max(0, 1+noise*rng.NormFloat64())
		return memory.LeakSample{HeapLive: int64(live * (100 << 20)), Groups: []memory.GoroutineGroup{}}, nil
	}})
	if err != nil {
		return false, err
	}
	defer d.Close()
	for range 61 {
		if _, err := d.Sample(context.Background()); err != nil {
			return false, err
		}
	}
	return d.Stats().Suspected > 0, nil
}

// leakSample measures what a sample costs beside the collection that it runs.
func leakSample(r *bench.Report) error {
	end := make(chan struct{})
	defer close(end)
	for range 1000 {
		go func() { <-end }()
	}
	ballast := make([]byte, 64<<20)
	d, err := memory.NewLeakDetector(memory.LeakOptions{})
	if err != nil {
		return err
	}
	defer d.Close()
	sample := func(n int) {
		for range n {
			_, _ = d.Sample(context.Background()) // its Source is ours and has no errors
		}
	}
	sample(50) // a full history
	err = r.Compare(bench.Comparison{Measure: "leak sample, 1000 goroutines, 50 windows", Sides: []bench.Side{
		{Name: ours, Op: sample},
		{Name: "runtime.GC alone", Op: func(n int) {
			for range n {
				runtime.GC()
			}
		}},
	}})
	runtime.KeepAlive(ballast)
	return err
}
