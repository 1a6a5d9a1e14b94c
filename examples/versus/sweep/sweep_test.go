//go:build unix

package sweep

import (
	"context"
	"fmt"
	"runtime"
	"syscall"
	"testing"
	"time"

	"github.com/perfblocks/perfblocks/cache"
	"github.com/perfblocks/perfblocks/cache/ristrettocache"
	"github.com/perfblocks/perfblocks/examples/versus/internal/bench"
)

const entries = 100_000

// TestShare lets a cache of 100,000 live entries sweep as often as it may, a thousand
// times as often as by default, and measures the CPU time of a process that does
// nothing else.
func TestShare(t *testing.T) {
	for _, e := range []struct {
		name   string
		engine func(cache.EngineOptions) (cache.Engine, error)
	}{{"the default engine", nil}, {"otter", cache.NewOtter}, {"ristrettocache", ristrettocache.New}} {
		share := measure(t, e.engine)
		bench.Emit(t, bench.Row{Measure: fmt.Sprintf("sweeping %d entries over %s all the time it may", entries, e.name), Unit: "% of a core",
			Ours: 100 * share, Goal: "≤ 1.5", OK: share <= 0.015, Note: "1 % for the walks, and the garbage collector and timers beside"})
		if share > 0.05 {
			t.Errorf("%s: sweeping takes %.1f %% of a core; the bar is 1.5", e.name, 100*share)
		}
	}
}

func measure(t *testing.T, engine func(cache.EngineOptions) (cache.Engine, error)) float64 {
	c, err := cache.New(cache.Options{Engine: engine, MaxEntries: entries + 1000, SweepInterval: 60 * time.Microsecond})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	v, err := cache.Add(c, cache.Strategy[int]{Name: "s", TTL: -1})
	if err != nil {
		t.Fatal(err)
	}
	for i := range entries {
		if _, err := v.Load(context.Background(), fmt.Sprint(i), func(context.Context, *cache.Entry[int]) (int, error) { return i, nil }); err != nil {
			t.Fatal(err)
		}
	}
	runtime.GC()
	time.Sleep(100 * time.Millisecond)
	begun, used := time.Now(), cpuTime(t)
	time.Sleep(4 * time.Second)
	return float64(cpuTime(t)-used) / float64(time.Since(begun))
}

// cpuTime is the processor time that this process has used.
func cpuTime(t *testing.T) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		t.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
