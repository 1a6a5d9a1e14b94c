package main

import (
	"context"
	"errors"
	"os"
	"time"

	"github.com/perfblocks/perfblocks/examples/versus/internal/bench"
	"github.com/perfblocks/perfblocks/memory"
)

const mib = 1 << 20

// memorySystem measures what the monitor costs, how well sizes are known, what a
// bounded stream holds, and how whole programs fare at their limit.
func memorySystem(r *bench.Report) error {
	for _, part := range []func(*bench.Report) error{monitorCosts, sizesOf, sizeOfSpeed, boundedStream} {
		if err := part(r); err != nil {
			return err
		}
	}
	dir, err := os.MkdirTemp("", "versus")
	if err != nil {
		return err
	}
	return errors.Join(bursts(r, dir), limits(r, dir), os.RemoveAll(dir))
}

type valueKey struct{}

// monitorCosts measures a sample, the level, and a checkpoint beside the look-ups that
// it cannot do without.
func monitorCosts(r *bench.Report) error {
	m, err := memory.NewMonitor(memory.MonitorOptions{Limit: 1 << 50, DisableCollect: true})
	if err != nil {
		return err
	}
	defer m.Close()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	sample := func(n int) {
		for range n {
			_, _ = m.Check(ctx)
		}
	}
	var level memory.Level
	look := func(n int) {
		var seen memory.Level
		for range n {
			seen |= m.Level()
		}
		level |= seen
	}
	compare := func(measure string, op func(int), goals ...bench.Goal) error {
		return r.Compare(bench.Comparison{Measure: measure, Sides: []bench.Side{{Name: ours, Op: op}}}, goals...)
	}
	if err := compare("a sample of the monitor", sample, bench.Goal{MaxCPU: float64(25 * time.Microsecond), MaxAllocs: -1}); err != nil {
		return err
	}
	if err := compare("Monitor.Level", look, bench.Goal{MaxCPU: 2, MaxAllocs: -1}); err != nil {
		return err
	}
	if level != memory.LevelNormal {
		return errors.New("the level was not normal")
	}
	return m.Run(context.WithValue(ctx, valueKey{}, 1), func(ctx context.Context) error { return checkpoints(r, ctx) })
}

func checkpoints(r *bench.Report, ctx context.Context) error {
	const peer = "Value and Err"
	side := func(name string, f func() bool) bench.Side {
		return bench.Side{Name: name, Op: func(n int) {
			for range n {
				if !f() {
					panic("the context had ended")
				}
			}
		}}
	}
	return r.Compare(bench.Comparison{Measure: "Checkpoint below critical", Sides: []bench.Side{
		side(ours, func() bool { return memory.Checkpoint(ctx) == nil }),
		side(peer, func() bool { return ctx.Value(valueKey{}) != nil && ctx.Err() == nil }),
	}}, bench.Goal{Peer: peer, MaxRatio: 1.5, MaxAllocs: -1})
}
