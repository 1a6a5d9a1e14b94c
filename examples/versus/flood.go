package main

import (
	"errors"
	"runtime"
	"time"

	"github.com/perfblocks/perfblocks/examples/versus/internal/bench"
	"github.com/perfblocks/perfblocks/resilience"
)

// distinct is an error unlike those of other numbers; digits would not tell them apart.
func distinct(n int) error {
	text := []byte("call failed ")
	for range 6 {
		text = append(text, 'a'+byte(n%26))
		n /= 26
	}
	return errors.New(string(text))
}

// floods counts what the flood guard passes and keeps.
func floods(r *bench.Report) error {
	const identical, unique, keys = 1_000_000, 2_000_000, 4096
	var summed uint64
	o := resilience.GuardOptions{
		Window: time.Hour, PerSecond: -1,
		Hooks: resilience.GuardHooks{Summary: func(s resilience.Summary) { summed += s.Suppressed }},
	}
	flood := func(n int, err func(int) error) (emitted, counted uint64, heap float64, e error) {
		summed = 0
		g, e := resilience.NewGuard(o)
		if e != nil {
			return 0, 0, 0, e
		}
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		for i := range n {
			if d := g.Observe(err(i)); d.Emit {
				emitted++
				counted += 1 + d.Suppressed
			}
		}
		runtime.GC()
		runtime.ReadMemStats(&after)
		e = g.Close()
		return emitted, counted + summed, float64(int64(after.HeapAlloc)-int64(before.HeapAlloc)) / 1024, e
	}
	row := func(measure, unit string, got float64, goal string, ok bool) {
		r.Add(bench.Row{Measure: measure, Unit: unit, Ours: got, Goal: goal, OK: ok})
	}
	emitted, counted, _, err := flood(identical, func(int) error { return errDown })
	if err != nil {
		return err
	}
	row("1,000,000 identical errors in a window", "passed", float64(emitted), "≤ First + N/Every = 10,005", emitted <= 5+identical/100)
	row("the same", "counted", float64(counted), "= 1,000,000", counted == identical)
	emitted, _, _, err = flood(keys, distinct)
	if err != nil {
		return err
	}
	row("4,096 distinct errors, once each", "lost", float64(keys-emitted), "= 0", emitted == keys)
	_, counted, heap, err := flood(unique, distinct)
	if err != nil {
		return err
	}
	row("2,000,000 distinct errors", "KiB of heap", heap, "≤ 1,024", heap <= 1024)
	row("the same", "counted", float64(counted), "= 2,000,000", counted == unique)
	return nil
}
