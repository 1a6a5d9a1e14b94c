package memory_test

import (
	"context"
	"errors"
	"math"
	"runtime"
	"runtime/debug"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/perfblocks/perfblocks/memory"
)

// collecting returns a source in which each collection frees freed of 1000 bytes:
// Collect samples once before and once after.
func collecting(freed *int64) func() (memory.Stats, error) {
	before := false
	return func() (memory.Stats, error) {
		before = !before
		s := memory.Stats{GoTotal: 1000, Used: 10, Limit: 100}
		if !before {
			s.GoTotal -= *freed
		}
		return s, nil
	}
}

// TestCollectRation follows the times at which collections are allowed: the minimum
// interval, doubled while they do not pay, back to it when one does.
func TestCollectRation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		freed := int64(500)
		hooks := 0
		m := newMonitor(t, memory.MonitorOptions{Source: collecting(&freed), Hooks: memory.MonitorHooks{
			Collected: func(r memory.CollectResult) { hooks++ },
		}})
		run := func(want int64, effective bool) {
			t.Helper()
			r, err := m.Collect(t.Context(), "test")
			if err != nil || r.Freed != want || r.Effective != effective || r.Reason != "test" {
				t.Fatalf("Collect = %+v, %v; want %d freed", r, err, want)
			}
		}
		refused := func(wait time.Duration) {
			t.Helper()
			_, err := m.Collect(t.Context(), "test")
			limit, ok := errors.AsType[*memory.RateLimitError](err)
			if !ok || !errors.Is(err, memory.ErrRateLimited) || limit.RetryAfter() != wait {
				t.Fatalf("Collect = %v; want refused for %v", err, wait)
			}
		}
		run(500, true)
		time.Sleep(9 * time.Second)
		refused(time.Second)
		time.Sleep(time.Second)
		freed = 49 // under 5 %
		for _, gap := range []time.Duration{20, 40, 80, 160, 160} {
			run(49, false)
			time.Sleep(gap*time.Second - time.Second)
			refused(time.Second)
			time.Sleep(time.Second)
		}
		freed = 50
		run(50, true)
		refused(10 * time.Second)
		if s := m.Stats(); s.Collections != 7 || s.Ineffective != 5 || s.Limited != 7 || s.Collected != 500+5*49+50 || hooks != 7 {
			t.Errorf("Stats() = %+v, %d hooks", s, hooks)
		}
	})
}

func TestCollectBusy(t *testing.T) {
	g := newGauge(10, 100)
	g.change(func(s *memory.Stats) { s.GCCPU = 0.26 })
	m := newMonitor(t, memory.MonitorOptions{Source: g.read})
	_, err := m.Collect(t.Context(), "test")
	if limit, ok := errors.AsType[*memory.RateLimitError](err); !ok || limit.Cause != "collector busy" {
		t.Errorf("Collect while the collector is busy = %v", err)
	}
}

func TestCollectShared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGauge(10, 100)
		m := newMonitor(t, memory.MonitorOptions{Source: func() (memory.Stats, error) {
			time.Sleep(time.Second)
			return g.read()
		}})
		var wg sync.WaitGroup
		for range 5 {
			wg.Go(func() {
				if _, err := m.Collect(t.Context(), "test"); err != nil {
					t.Errorf("Collect = %v", err)
				}
			})
		}
		ctx, cancel := context.WithCancel(t.Context())
		wg.Go(func() {
			if _, err := m.Collect(ctx, "test"); !errors.Is(err, context.Canceled) {
				t.Errorf("Collect whose ctx ended = %v; want Canceled", err)
			}
		})
		synctest.Wait()
		cancel()
		wg.Wait()
		if s := m.Stats(); s.Collections != 1 {
			t.Errorf("%d collections; want 1 for all", s.Collections)
		}
		m.Close()
		if _, err := m.Collect(t.Context(), "test"); !errors.Is(err, memory.ErrClosed) && !errors.Is(err, memory.ErrRateLimited) {
			t.Errorf("Collect after Close = %v", err)
		}
	})
}

// TestCollectFrees drops a large allocation and sees it gone.
func TestCollectFrees(t *testing.T) {
	m := newMonitor(t, memory.MonitorOptions{Source: func() (memory.Stats, error) {
		s, err := memory.ReadStats()
		s.GCCPU = 0 // whatever the tests before did
		return s, err
	}})
	ballast := make([][]byte, 64)
	for i := range ballast {
		ballast[i] = make([]byte, 1<<20)
	}
	runtime.KeepAlive(ballast)
	ballast = nil
	r, err := m.Collect(t.Context(), "test")
	if err != nil || r.Freed < 32<<20 || r.After.GCForced <= r.Before.GCForced {
		t.Errorf("Collect freed %d, %v; want most of 64 MiB", r.Freed, err)
	}
	runtime.KeepAlive(ballast)
}

// TestMonitorCollectsAfterShrinking: pressure leads to one collection, not to one
// for each sample.
func TestMonitorCollectsAfterShrinking(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGauge(80, 100)
		m := newMonitor(t, memory.MonitorOptions{Source: g.read})
		m.Register("pool", shrinkFunc(func(context.Context, float64) int64 { return 1 }))
		m.Start(t.Context())
		time.Sleep(9 * time.Second)
		if s := m.Stats(); s.Collections != 1 || s.Shrinks < 2 {
			t.Errorf("%d collections, %d shrinks in 9 s of pressure; want 1 and several", s.Collections, s.Shrinks)
		}
	})
}

func TestRunPassesErrorsAndPanics(t *testing.T) {
	g := newGauge(80, 100)
	m := newMonitor(t, memory.MonitorOptions{Source: g.read, DisableCollect: true})
	boom := errors.New("boom")
	if err := m.Run(t.Context(), func(context.Context) error { return boom }); err != boom {
		t.Errorf("Run = %v; want boom", err)
	}
	func() {
		defer func() {
			if recover() != boom {
				t.Error("the panic did not pass through Run")
			}
		}()
		m.Run(t.Context(), func(context.Context) error { panic(boom) })
	}()
}

// TestRunCollectsWhenShort: garbage of a long operation is collected after it if
// memory is short, in the background.
func TestRunCollectsWhenShort(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGauge(10, 100)
		m := newMonitor(t, memory.MonitorOptions{Source: g.read})
		ok := func(context.Context) error { return nil }
		m.Run(t.Context(), ok)
		synctest.Wait()
		if n := m.Stats().Collections; n != 0 {
			t.Errorf("%d collections after Run at normal; want 0", n)
		}
		g.use(75)
		m.Check(t.Context())
		m.Run(t.Context(), ok)
		synctest.Wait()
		if n := m.Stats().Collections; n != 1 {
			t.Errorf("%d collections after Run at high; want 1", n)
		}
	})
}

// TestCheckpointPauses: at critical it waits for the level to fall, for MaxPause at
// most, and for its ctx.
func TestCheckpointPauses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGauge(10, 100)
		m := newMonitor(t, memory.MonitorOptions{Source: g.read, DisableCollect: true, MaxPause: 10 * time.Second})
		m.Start(t.Context())
		pause := func(ctx context.Context) (time.Duration, error) {
			start := time.Now()
			err := memory.Checkpoint(ctx)
			return time.Since(start), err
		}
		if took, err := pause(t.Context()); took != 0 || err != nil {
			t.Errorf("Checkpoint without a monitor took %v, %v", took, err)
		}
		m.Run(t.Context(), func(ctx context.Context) error {
			if took, err := pause(ctx); took != 0 || err != nil {
				t.Errorf("Checkpoint at normal took %v, %v", took, err)
			}
			g.use(90)
			time.Sleep(1100 * time.Millisecond)
			if took, err := pause(ctx); took != 10*time.Second || err != nil {
				t.Errorf("Checkpoint at critical took %v, %v; want MaxPause", took, err)
			}
			g.use(10)
			if took, err := pause(ctx); took < 3*time.Second || took > 4*time.Second || err != nil {
				t.Errorf("Checkpoint took %v, %v; want until the level fell", took, err)
			}
			g.use(90)
			time.Sleep(1100 * time.Millisecond)
			short, cancel := context.WithTimeout(ctx, time.Second)
			defer cancel()
			if took, err := pause(short); took != time.Second || !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("Checkpoint with a deadline took %v, %v", took, err)
			}
			if _, err := pause(short); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("Checkpoint after the deadline = %v", err)
			}
			if err := m.Run(short, func(context.Context) error { t.Error("ran"); return nil }); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("Run after the deadline at critical = %v", err)
			}
			return nil
		})
	})
}

// TestSetLimit follows a control group whose limit changes. It changes the limit of
// the test process for a moment, to values that cannot be felt.
func TestSetLimit(t *testing.T) {
	t.Setenv("GOMEMLIMIT", "")
	former := debug.SetMemoryLimit(math.MaxInt64)
	defer debug.SetMemoryLimit(former)
	synctest.Test(t, func(t *testing.T) {
		g := newGauge(0, 0)
		g.change(func(s *memory.Stats) { s.CgroupLimit = 100 << 30 })
		l, err := memory.SetLimit(t.Context(), memory.LimitOptions{Source: g.read, Reserve: 20 << 30})
		if err != nil {
			t.Fatal(err)
		}
		if got, want := l.Bytes(), int64(80<<30); got != want {
			t.Errorf("Bytes() = %d; want the reserve left: %d", got, want)
		}
		g.change(func(s *memory.Stats) { s.CgroupLimit = 1000 << 30 })
		time.Sleep(30 * time.Second)
		synctest.Wait()
		if got, want := l.Bytes(), int64(900<<30); got != want {
			t.Errorf("Bytes() after a change = %d; want 90 %%: %d", got, want)
		}
		g.change(func(s *memory.Stats) { s.CgroupLimit = 0 })
		time.Sleep(30 * time.Second)
		synctest.Wait()
		if got := l.Bytes(); got != 0 {
			t.Errorf("Bytes() without a limit = %d; want 0", got)
		}
		g.change(func(s *memory.Stats) { s.CgroupLimit = 1000 << 30 })
		time.Sleep(30 * time.Second)
		l.Close()
		l.Close()
		if got := debug.SetMemoryLimit(-1); got != math.MaxInt64 {
			t.Errorf("the runtime's limit after Close = %d; want what it was", got)
		}
	})
}

// TestSetLimitLeavesAlone: the environment's limit and Disabled are respected,
// Override is not held back by the former.
func TestSetLimitLeavesAlone(t *testing.T) {
	before := debug.SetMemoryLimit(-1)
	for _, tc := range []struct {
		name, env string
		opts      memory.LimitOptions
		set       bool
	}{
		{"environment", "5GiB", memory.LimitOptions{}, false},
		{"override", "5GiB", memory.LimitOptions{Override: true}, true},
		{"disabled", "", memory.LimitOptions{Disabled: true}, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Setenv("GOMEMLIMIT", tc.env)
			tc.opts.Source = func() (memory.Stats, error) { return memory.Stats{CgroupLimit: 1 << 40}, nil }
			l, err := memory.SetLimit(t.Context(), tc.opts)
			if err != nil {
				t.Fatal(err)
			}
			if now := debug.SetMemoryLimit(-1); (now != before) != tc.set {
				t.Errorf("the runtime's limit went from %d to %d; want it changed: %t", before, now, tc.set)
			}
			l.Close()
			if now := debug.SetMemoryLimit(-1); now != before {
				t.Errorf("the runtime's limit after Close = %d; want %d", now, before)
			}
		})
	}
}

func TestSetLimitErrors(t *testing.T) {
	t.Setenv("GOMEMLIMIT", "")
	for _, o := range []memory.LimitOptions{{Ratio: 1.1}, {Ratio: -1}, {Ratio: math.NaN()}, {Reserve: -1}, {Refresh: 1}} {
		if _, err := memory.SetLimit(t.Context(), o); !errors.Is(err, memory.ErrOptions) {
			t.Errorf("SetLimit(%+v) = %v; want ErrOptions", o, err)
		}
	}
	boom := errors.New("boom")
	_, err := memory.SetLimit(t.Context(), memory.LimitOptions{Source: func() (memory.Stats, error) { return memory.Stats{}, boom }})
	if !errors.Is(err, boom) {
		t.Errorf("SetLimit with a failing source = %v; want boom", err)
	}
	_, err = memory.SetLimit(t.Context(), memory.LimitOptions{Source: func() (memory.Stats, error) { panic(boom) }})
	if !errors.Is(err, boom) {
		t.Errorf("SetLimit with a panicking source = %v; want boom", err)
	}
}

// TestSetLimitReserve: a reserve beyond the group must not leave the runtime nothing.
func TestSetLimitReserve(t *testing.T) {
	t.Setenv("GOMEMLIMIT", "")
	l, err := memory.SetLimit(t.Context(), memory.LimitOptions{Reserve: 512 << 30, Source: func() (memory.Stats, error) {
		return memory.Stats{CgroupLimit: 256 << 30}, nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if got, want := l.Bytes(), int64(128<<30); got != want {
		t.Errorf("Bytes() = %d; want half of the group's limit, %d", got, want)
	}
}

// TestSetLimitBacksOff: a collector that takes too much time because of the limit
// gets room in steps, and loses it again in calm; a busy one far from it does not.
func TestSetLimitBacksOff(t *testing.T) {
	t.Setenv("GOMEMLIMIT", "")
	former := debug.SetMemoryLimit(math.MaxInt64)
	defer debug.SetMemoryLimit(former)
	synctest.Test(t, func(t *testing.T) {
		const gib = 1 << 30
		g := newGauge(0, 0)
		g.change(func(s *memory.Stats) { s.CgroupLimit = 1000 * gib })
		l, err := memory.SetLimit(t.Context(), memory.LimitOptions{Source: g.read, Reserve: 20 * gib, Refresh: time.Second})
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		step := func(wait time.Duration, want int64) {
			t.Helper()
			time.Sleep(wait)
			synctest.Wait()
			if got := l.Bytes(); got != want*gib {
				t.Errorf("Bytes() = %d GiB; want %d", got/gib, want)
			}
		}
		step(time.Second, 900)
		g.change(func(s *memory.Stats) { s.GCCPU = 0.9; s.HeapLive = 500 * gib })
		step(time.Second, 900) // busy, but not for the limit
		g.change(func(s *memory.Stats) { s.GCCPU = 0.3; s.HeapLive = 700 * gib })
		for _, want := range []int64{920, 940, 960, 960} {
			step(time.Second, want)
		}
		g.change(func(s *memory.Stats) { s.GCCPU = 0 })
		step(29*time.Second, 960)
		step(time.Second, 940)
		g.change(func(s *memory.Stats) { s.GCLimited = true })
		step(time.Second, 960)
		g.change(func(s *memory.Stats) { s.GCLimited = false; s.CgroupLimit = 520 * gib }) // a cut counts at once
		step(time.Second, 468+24)
		step(90*time.Second, 468)
	})
}

// TestRunCollectsWhatItLeft: an operation after which the runtime holds much more is
// followed by a collection, with a report; a small one and a disabled one are not.
func TestRunCollectsWhatItLeft(t *testing.T) {
	const mib = 1 << 20
	for _, tc := range []struct {
		name          string
		before, after int64
		opts          memory.MonitorOptions
		want          int
	}{
		{"a burst", 100 * mib, 140 * mib, memory.MonitorOptions{}, 1},
		{"under a quarter", 100 * mib, 130 * mib, memory.MonitorOptions{}, 0},
		{"under 16 MiB", 4 * mib, 19 * mib, memory.MonitorOptions{}, 0},
		{"goal unknown", 0, 140 * mib, memory.MonitorOptions{}, 0},
		{"less than before", 300 * mib, 100 * mib, memory.MonitorOptions{}, 0},
		{"no collecting", 100 * mib, 140 * mib, memory.MonitorOptions{DisableCollect: true}, 0},
		{"disabled", 100 * mib, 140 * mib, memory.MonitorOptions{Disabled: true}, 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g := newGauge(1, 1<<40)
				var got []string
				tc.opts.Source = g.read
				tc.opts.Hooks.Collected = func(r memory.CollectResult) { got = append(got, r.Reason) }
				m := newMonitor(t, tc.opts)
				g.change(func(s *memory.Stats) { s.HeapGoal, s.GoTotal = tc.before, 30*mib })
				if err := m.Run(t.Context(), func(context.Context) error {
					g.change(func(s *memory.Stats) { s.HeapGoal, s.GoTotal = 2*tc.after, tc.after })
					return nil
				}); err != nil {
					t.Fatal(err)
				}
				synctest.Wait()
				if len(got) != tc.want || len(got) > 0 && got[0] != "run" {
					t.Errorf("collections %v; want %d for run", got, tc.want)
				}
			})
		})
	}
}

// TestMonitorOptimizes: a program that has gone quiet over garbage is collected once
// in a while, ever more rarely if that does not help; one that collects by itself, or
// has little to give, is left alone.
func TestMonitorOptimizes(t *testing.T) {
	const mib = 1 << 20
	synctest.Test(t, func(t *testing.T) {
		g := newGauge(50*mib, 1<<40)
		g.change(func(s *memory.Stats) { s.HeapLive, s.HeapObjects, s.GoTotal = 50*mib, 150*mib, 400*mib })
		start := time.Now()
		var mu sync.Mutex
		var times []time.Duration
		m := newMonitor(t, memory.MonitorOptions{
			Source: g.read, OptimizeInterval: 2 * time.Second, CollectInterval: 5 * time.Second,
			Hooks: memory.MonitorHooks{Collected: func(r memory.CollectResult) {
				mu.Lock()
				defer mu.Unlock()
				times = append(times, time.Since(start))
				if r.Reason != "optimize" || r.Freed != 0 {
					t.Errorf("result %+v; want the reason optimize, nothing freed", r)
				}
			}},
		})
		m.Start(t.Context())
		for range 20 { // collections of its own
			time.Sleep(time.Second)
			g.change(func(s *memory.Stats) { s.GCCycles++ })
		}
		wait := func(d time.Duration) []time.Duration {
			time.Sleep(d)
			synctest.Wait()
			mu.Lock()
			defer mu.Unlock()
			return slices.Clone(times)
		}
		if at := wait(0); len(at) != 0 {
			t.Errorf("collected at %v while collections came by themselves", at)
		}
		at := wait(10 * time.Second)
		g.change(func(s *memory.Stats) { s.HeapObjects, s.HeapIdle = 60*mib, 89*mib }) // 99 MiB of 400: under a quarter
		if len(at) != 1 || at[0] < 22*time.Second || at[0] > 24*time.Second {
			t.Errorf("collected at %v; want once, some 2 s after the last collection at 20 s", at)
		}
		if at = wait(time.Minute); len(at) != 1 {
			t.Errorf("collected at %v although there was little to free", at)
		}
		g.change(func(s *memory.Stats) { s.HeapIdle = 91 * mib })
		at = wait(time.Minute)
		for i := 2; i < len(at); i++ {
			if gap := at[i] - at[i-1]; gap < time.Duration(5<<i)*time.Second {
				t.Errorf("collected at %v: gap %v after %d that did not help", at, gap, i)
			}
		}
		if len(at) < 3 {
			t.Errorf("collected at %v; want again and again", at)
		}
	})
}

// TestSetLimitCloseLeavesOthers: a limit that somebody else set meanwhile stays.
func TestSetLimitCloseLeavesOthers(t *testing.T) {
	defer debug.SetMemoryLimit(debug.SetMemoryLimit(-1))
	l, err := memory.SetLimit(t.Context(), memory.LimitOptions{Override: true, Refresh: -1, Source: func() (memory.Stats, error) {
		return memory.Stats{CgroupLimit: 1 << 40}, nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	const others = 1 << 41
	debug.SetMemoryLimit(others)
	l.Close()
	if got := debug.SetMemoryLimit(-1); got != others {
		t.Errorf("the runtime's limit is %d after Close; want %d as somebody else set it", got, int64(others))
	}
}

// TestCollectBusyWithoutInterval: a busy collector is left alone for a second even if
// collections are not rationed otherwise.
func TestCollectBusyWithoutInterval(t *testing.T) {
	m := newMonitor(t, memory.MonitorOptions{CollectInterval: -1, Source: func() (memory.Stats, error) {
		return memory.Stats{GCCPU: 0.9}, nil
	}})
	_, err := m.Collect(t.Context(), "test")
	if e, ok := errors.AsType[*memory.RateLimitError](err); !ok || e.Wait != time.Second {
		t.Errorf("Collect = %v; want a RateLimitError of 1s", err)
	}
}
