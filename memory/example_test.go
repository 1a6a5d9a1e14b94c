package memory_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/perfblocks/perfblocks/memory"
)

func ExampleNewCache() {
	c, err := memory.NewCache(memory.CacheOptions[string, []byte]{
		MaxItems: 2,
		MaxBytes: 1 << 20,
		OnEvict: func(e memory.Eviction[string, []byte]) {
			fmt.Printf("%s left: %s\n", e.Key, e.Reason)
		},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, key := range []string{"a", "b", "c"} {
		if err := c.Set(key, []byte("xin chào")); err != nil {
			fmt.Println(err)
		}
	}
	v, ok := c.Get("c")
	fmt.Printf("%s %t, %d items\n", v, ok, c.Len())
	err = c.Set("film", make([]byte, 2<<20))
	fmt.Println(errors.Is(err, memory.ErrTooLarge))
	// Output:
	// a left: capacity
	// xin chào true, 2 items
	// true
}

func ExampleCache_GetOrLoad() {
	c, err := memory.NewCache(memory.CacheOptions[int, string]{TTL: time.Minute})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer c.Close()
	load := func(ctx context.Context) (string, error) {
		fmt.Println("asking the database")
		return "Lan", nil
	}
	for range 2 {
		name, err := c.GetOrLoad(context.Background(), 7, load)
		fmt.Println(name, err)
	}
	// Output:
	// asking the database
	// Lan <nil>
	// Lan <nil>
}

func ExampleNewMonitor() {
	// A source of one's own makes pressure on demand, here for the example.
	used := int64(300 << 20)
	m, err := memory.NewMonitor(memory.MonitorOptions{
		Source: func() (memory.Stats, error) {
			return memory.Stats{Used: used, Limit: 1 << 30, LimitSource: memory.LimitSourceCgroupV2}, nil
		},
		DisableCollect: true,
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer m.Close() // and back to normal
	cache, err := memory.NewCache(memory.CacheOptions[int, int]{
		MaxBytes: 1000, SizeOf: func(int, int) int64 { return 10 }, Monitor: m,
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	m.OnChange(func(e memory.ChangeEvent) { fmt.Println(e.From, "→", e.To) })
	for i := range 100 {
		cache.Set(i, i)
	}
	used = 900 << 20
	m.Check(context.Background()) // Start does this once a second
	fmt.Println(m.Level(), cache.Bytes())
	// Output:
	// normal → critical
	// critical 400
	// critical → normal
}

func ExampleMonitor_Run() {
	m, err := memory.NewMonitor(memory.MonitorOptions{})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer m.Close()
	err = m.Run(context.Background(), func(ctx context.Context) error {
		for row := range 3 {
			if err := memory.Checkpoint(ctx); err != nil {
				return err
			}
			fmt.Println("row", row)
		}
		return nil
	})
	fmt.Println(err)
	// Output:
	// row 0
	// row 1
	// row 2
	// <nil>
}

func ExampleMonitor_Collect() {
	m, err := memory.NewMonitor(memory.MonitorOptions{CollectInterval: time.Hour})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer m.Close()
	r, err := m.Collect(context.Background(), "after import")
	fmt.Println(r.Reason, r.After.GCForced > r.Before.GCForced, err)
	_, err = m.Collect(context.Background(), "again")
	if limit, ok := errors.AsType[*memory.RateLimitError](err); ok {
		fmt.Println(limit.Cause, limit.RetryAfter() > time.Minute)
	}
	// Output:
	// after import true <nil>
	// too soon true
}

func ExampleMonitor_Register() {
	used := int64(800 << 20)
	m, err := memory.NewMonitor(memory.MonitorOptions{
		Source:         func() (memory.Stats, error) { return memory.Stats{Used: used, Limit: 1 << 30}, nil },
		DisableCollect: true,
		Hooks: memory.MonitorHooks{Shrunk: func(e memory.ShrinkEvent) {
			fmt.Printf("%s gave %d MiB at %v\n", e.Name, e.Freed>>20, e.Level)
		}},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer m.Close()
	unregister := m.Register("thumbnails", pool{size: 100 << 20})
	defer unregister()
	m.Register("sessions", memory.WithPriority(pool{size: 300 << 20}, 1)) // only if that was not enough
	m.Check(context.Background())
	used = 900 << 20
	m.Check(context.Background())
	// Output:
	// thumbnails gave 25 MiB at high
	// sessions gave 75 MiB at high
	// thumbnails gave 60 MiB at critical
	// sessions gave 180 MiB at critical
}

// pool stands for anything that can drop memory.
type pool struct{ size float64 }

func (p pool) Shrink(_ context.Context, target float64) int64 { return int64(p.size * (1 - target)) }

func ExampleMonitorOptions_optimizeInterval() {
	// A program that has gone quiet over garbage, as the source tells it.
	now := time.Now()
	m, err := memory.NewMonitor(memory.MonitorOptions{
		Source: func() (memory.Stats, error) {
			now = now.Add(time.Second)
			return memory.Stats{At: now, HeapLive: 64 << 20, HeapObjects: 264 << 20, GoTotal: 300 << 20}, nil
		},
		OptimizeInterval: 2 * time.Second,
		Hooks: memory.MonitorHooks{Collected: func(r memory.CollectResult) {
			fmt.Println("collected to", r.Reason, "- effective:", r.Effective)
		}},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer m.Close()
	for range 3 { // Start does this by itself
		m.Check(context.Background())
	}
	// Output: collected to optimize - effective: false
}

func ExampleNewSemaphore() {
	s, err := memory.NewSemaphore(memory.SemaphoreOptions{MaxBytes: 64 << 20})
	if err != nil {
		fmt.Println(err)
		return
	}
	release, err := s.Acquire(context.Background(), 50<<20)
	if err != nil {
		fmt.Println(err)
		return
	}
	_, ok := s.TryAcquire(20 << 20)
	fmt.Println(ok, s.Stats().InUse>>20, "MiB in use")
	release()
	_, err = s.Acquire(context.Background(), 65<<20)
	fmt.Println(errors.Is(err, memory.ErrTooLarge))
	// Output:
	// false 50 MiB in use
	// true
}

func lines(text string) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		for line := range strings.Lines(text) {
			if !yield(strings.TrimSpace(line), nil) {
				return
			}
		}
	}
}

func ExampleBatches() {
	src := lines("a\nb\nc\nd\ne\n")
	for batch, err := range memory.Batches(context.Background(), src, memory.BatchOptions[string]{MaxItems: 2}) {
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println(batch)
	}
	// Output:
	// [a b]
	// [c d]
	// [e]
}

func ExampleProcess() {
	upper := func(_ context.Context, s string) (string, error) { return strings.ToUpper(s), nil }
	var out []string
	for s, err := range memory.Process(context.Background(), lines("a\nb\nc\n"), upper, memory.ProcessOptions[string]{Workers: 2}) {
		if err != nil {
			fmt.Println(err)
			return
		}
		out = append(out, s)
	}
	fmt.Println(out, slices.IsSorted(out))
	// Output: [A B C] true
}

func ExampleSizeOf() {
	type point struct{ X, Y float64 }
	fmt.Println(memory.SizeOf(point{}), memory.SizeOf([]point{{}, {}, {}}) > 3*16)
	// Output: 16 true
}

func ExampleReadStats() {
	s, err := memory.ReadStats()
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(s.HeapLive > 0, s.Goroutines > 0)
	// Output: true true
}

func ExampleSetLimit() {
	l, err := memory.SetLimit(context.Background(), memory.LimitOptions{
		Ratio: 0.8,
		// A group of 64 GiB, for the example. Default: that of the process.
		Source:   func() (memory.Stats, error) { return memory.Stats{CgroupLimit: 64 << 30}, nil },
		Override: true, // even if GOMEMLIMIT is in the environment
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer l.Close() // puts back what was there before
	fmt.Printf("%.1f GiB\n", float64(l.Bytes())/(1<<30))
	// Output: 51.2 GiB
}

func ExampleLog() {
	l := slog.New(slog.NewTextHandler(os.Stdout, &slog.HandlerOptions{
		// Only what is the same on every machine, for the example.
		ReplaceAttr: func(groups []string, a slog.Attr) slog.Attr {
			if a.Key == slog.TimeKey || len(groups) > 0 {
				return slog.Attr{}
			}
			return a
		},
	}))
	memory.Log(l, "import finished") // and memory.used=… memory.limit=… memory.heap_live=…
	// Output: level=INFO msg="import finished"
}

func ExampleCheckpoint() {
	ctx, cancel := context.WithCancel(context.Background())
	fmt.Println(memory.Checkpoint(ctx)) // no monitor, nothing to wait for
	cancel()
	fmt.Println(errors.Is(memory.Checkpoint(ctx), context.Canceled))
	// Output:
	// <nil>
	// true
}

func ExampleIsHigh() {
	if memory.IsHigh() {
		fmt.Println("not now")
		return
	}
	fmt.Println("room for a report")
	// Output: room for a report
}
