package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os/exec"
	"path/filepath"
	"slices"
	"time"

	"github.com/perfblocks/perfblocks/examples/versus/internal/bench"
	"github.com/perfblocks/perfblocks/examples/versus/internal/oom"
)

// outcome is what the burst program prints.
type outcome struct{ Mean, Idle, Peak, CPU, Collections, Ineffective, TooEager float64 }

// bursts runs the service with bursts in several ways, in turns.
func bursts(r *bench.Report, dir string) error {
	const source = "github.com/perfblocks/perfblocks/examples/versus/internal/burst"
	program := filepath.Join(dir, "burst")
	if out, err := exec.Command("go", "build", "-o", program, source).CombinedOutput(); err != nil {
		return fmt.Errorf("building burst: %w: %s", err, out)
	}
	modes, rounds := []string{"default", "ours"}, 3
	if r.Full {
		modes, rounds = append(modes, "collect", "free", "timer"), 7
	}
	runs := map[string][]outcome{}
	for range rounds {
		for _, mode := range modes {
			out, err := exec.Command(program, "-mode", mode).Output()
			if err != nil {
				return fmt.Errorf("burst %s: %w", mode, err)
			}
			var o outcome
			if err := json.Unmarshal(out, &o); err != nil {
				return fmt.Errorf("burst %s printed %q: %w", mode, out, err)
			}
			runs[mode] = append(runs[mode], o)
		}
	}
	// against is the median over the rounds of a mode's figure to the default's.
	against := func(mode string, f func(outcome) float64) float64 {
		v := make([]float64, rounds)
		for i := range v {
			v[i] = f(runs[mode][i]) / max(f(runs["default"][i]), 1e-9)
		}
		slices.Sort(v)
		return v[rounds/2]
	}
	row := func(measure string, limit float64, f func(outcome) float64) {
		var peers []bench.Value
		for _, mode := range modes[2:] {
			peers = append(peers, bench.Value{Name: mode, Value: against(mode, f)})
		}
		r.AtMost("service with bursts: "+measure, "of the default", against("ours", f), limit, peers...)
	}
	row("mean RSS", 0.45, func(o outcome) float64 { return o.Mean })
	row("idle RSS", 0.30, func(o outcome) float64 { return o.Idle })
	row("CPU", 1.10, func(o outcome) float64 { return o.CPU })
	eager, ineffective, all := 0.0, 0.0, 0.0
	for _, o := range runs["ours"] {
		eager, ineffective, all = eager+o.TooEager, ineffective+o.Ineffective, all+o.Collections
	}
	r.AtMost("service with bursts: forced collections soon after an ineffective one", "count", eager, 0,
		bench.Value{Name: "ineffective", Value: ineffective}, bench.Value{Name: "all", Value: all})
	return nil
}

// limits runs the service of package oom in a control group of 256 MiB.
func limits(r *bench.Report, dir string) error {
	const limit, cut, title = 256 * mib, 160 * mib, "group of 256 MiB, 1000 requests/s: "
	ctx := context.Background()
	probe, err := oom.NewGroup("probe", limit)
	if err != nil {
		r.Add(bench.Row{Measure: title + "skipped", Unit: "-", OK: true, Note: err.Error()})
		return nil
	}
	if err := probe.Close(); err != nil {
		return err
	}
	program, err := oom.Build(ctx, dir)
	if err != nil {
		return err
	}
	ask := oom.Ask{Mode: "naive", Limit: limit, Load: 60 * time.Second, Patience: 90 * time.Second}
	for name, env := range map[string][]string{"golang-lru by count": nil, "the same with GOMEMLIMIT": {"GOMEMLIMIT=230MiB"}} {
		ask.Env = env
		o, err := oom.Run(ctx, program, ask)
		if err != nil {
			return err
		}
		r.Add(bench.Row{Measure: title + name + " is killed after", Unit: "s", Ours: o.Lived.Seconds(), Goal: "killed", OK: o.Killed})
	}
	ask = oom.Ask{Mode: "ours", Limit: limit, Load: 15 * time.Second, CutTo: cut, RuntimeCut: cut * 8 / 10, Rest: 5 * time.Second, Patience: 3 * time.Minute}
	if r.Full {
		ask.Load = 60 * time.Second
	}
	o, err := oom.Run(ctx, program, ask)
	if err != nil {
		return err
	}
	survival(r, title, o, ask)
	return nil
}

// survival adds the rows of our own run.
func survival(r *bench.Report, title string, o oom.Result, ask oom.Ask) {
	s := o.Last
	asked := max(float64(s.Answered+s.Late+s.Refused), 1)
	load := fmt.Sprintf("%sperfblocks for %v, ", title, ask.Load+ask.Rest)
	r.Add(bench.Row{Measure: load + "lives", Unit: "s", Ours: o.Lived.Seconds(), Goal: "to the end", OK: s.Ended && !o.Killed})
	r.AtLeast(load+"answered within 1 s", "share", float64(s.Answered)/asked, 0.9)
	r.AtMost(load+"late, or refused late", "requests", float64(s.Late+s.Slow), 0, bench.Value{Name: "refused at once", Value: float64(s.Refused - s.Slow)})
	r.AtMost(load+"peak", "of the limit", float64(o.Peak)/float64(ask.Limit), 0.9)
	r.AtMost(load+"peak after the cut to 160 MiB", "of the limit", float64(o.CutPeak)/float64(ask.CutTo), 0.9)
	r.Add(bench.Row{
		Measure: load + "limit and cache follow the cut after", Unit: "s", Ours: o.Reacted.Seconds(), Goal: "≤ 1.5",
		OK:   o.Reacted > 0 && o.Reacted <= 1500*time.Millisecond,
		Note: "the load pauses for the cut: version 1 refuses a limit below what is in use",
	})
}
