package memory_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/perfblocks/perfblocks/memory"
)

// gauge is a source of samples that tests set.
type gauge struct {
	mu sync.Mutex
	s  memory.Stats
	e  error
}

func newGauge(used, limit int64) *gauge {
	return &gauge{s: memory.Stats{Used: used, Limit: limit, LimitSource: memory.LimitSourceCgroupV2, GoTotal: 1000}}
}

func (g *gauge) read() (memory.Stats, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.s, g.e
}

func (g *gauge) change(f func(s *memory.Stats)) {
	g.mu.Lock()
	defer g.mu.Unlock()
	f(&g.s)
}

func (g *gauge) use(used int64) { g.change(func(s *memory.Stats) { s.Used = used }) }

func newMonitor(t testing.TB, o memory.MonitorOptions) *memory.Monitor {
	t.Helper()
	m, err := memory.NewMonitor(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	return m
}

func TestNewMonitorRejects(t *testing.T) {
	type opts = memory.MonitorOptions
	for _, tc := range []struct {
		name string
		opts opts
		want []string
	}{
		{"order", opts{High: 0.9, Critical: 0.8}, []string{"High 0.9"}},
		{"above one", opts{Critical: 1.1}, []string{"Critical 1.1"}},
		{"negative", opts{High: -1}, []string{"High -1"}},
		{"hysteresis", opts{Hysteresis: 0.7}, []string{"Hysteresis 0.7"}},
		{"all at once", opts{Limit: -1, Interval: 1, OptimizeInterval: -1}, []string{"Limit -1", "Interval 1ns", "OptimizeInterval -1ns"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, err := memory.NewMonitor(tc.opts)
			if !errors.Is(err, memory.ErrOptions) {
				t.Fatalf("NewMonitor error = %v; want ErrOptions", err)
			}
			for _, w := range tc.want {
				if !strings.Contains(err.Error(), w) {
					t.Errorf("error %q does not tell of %s", err, w)
				}
			}
		})
	}
}

// TestMonitorLevels walks through samples one second apart: rising at once, falling
// after hysteresis and dwell, one level at a time.
func TestMonitorLevels(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGauge(0, 100)
		m := newMonitor(t, memory.MonitorOptions{Source: g.read, DisableCollect: true})
		var changes []memory.Level
		m.OnChange(func(e memory.ChangeEvent) { changes = append(changes, e.To) })
		const n, h, c = memory.LevelNormal, memory.LevelHigh, memory.LevelCritical
		for i, step := range []struct {
			used int64
			want memory.Level
		}{
			{69, n}, {70, h}, {66, h}, {66, h}, {66, h}, {66, h}, // inside the hysteresis
			{64, h}, {64, h}, {64, h}, {64, n}, // three seconds below it
			{85, c}, {64, c}, {81, c}, {64, c}, {64, c}, {64, c}, {64, h}, // the dwell starts anew after 81
			{64, h}, {64, h}, {64, n}, {100, c}, {200, c},
		} {
			g.use(step.used)
			got, err := m.Check(t.Context())
			if got != step.want || err != nil || m.Level() != got {
				t.Fatalf("step %d: Check with %d used = %v, %v; want %v", i, step.used, got, err, step.want)
			}
			time.Sleep(time.Second)
		}
		if want := []memory.Level{h, n, c, h, n, c}; !slices.Equal(changes, want) {
			t.Errorf("changes = %v; want %v", changes, want)
		}
	})
}

func TestMonitorEvidence(t *testing.T) {
	for _, tc := range []struct {
		name  string
		stats memory.Stats
		opts  memory.MonitorOptions
		want  memory.Level
	}{
		{"no limit", memory.Stats{Used: 1 << 40}, memory.MonitorOptions{}, memory.LevelNormal},
		{"explicit limit", memory.Stats{Used: 80}, memory.MonitorOptions{Limit: 100}, memory.LevelHigh},
		{"explicit limit above", memory.Stats{Used: 80, Limit: 90}, memory.MonitorOptions{Limit: 100}, memory.LevelCritical},
		{"committed", memory.Stats{Used: 10, Limit: 100, CgroupLimit: 100, Committed: 97}, memory.MonitorOptions{}, memory.LevelCritical},
		{"stalls", memory.Stats{Used: 50, Limit: 100, PSI: memory.PSI{Some: 0.1}}, memory.MonitorOptions{}, memory.LevelHigh},
		{"stalls of others", memory.Stats{Used: 49, Limit: 100, PSI: memory.PSI{Some: 0.9, Full: 0.9}}, memory.MonitorOptions{}, memory.LevelNormal},
		{"stalls of the host", memory.Stats{Used: 60, Limit: 100, PSI: memory.PSI{Some: 0.9, Host: true}}, memory.MonitorOptions{}, memory.LevelNormal},
		{"stalls disabled", memory.Stats{Used: 60, Limit: 100, PSI: memory.PSI{Some: 0.9}}, memory.MonitorOptions{DisablePSI: true}, memory.LevelNormal},
		{"full stalls", memory.Stats{Used: 70, Limit: 100, PSI: memory.PSI{Full: 0.05}}, memory.MonitorOptions{}, memory.LevelCritical},
		{"disabled", memory.Stats{Used: 100, Limit: 100}, memory.MonitorOptions{Disabled: true}, memory.LevelNormal},
	} {
		t.Run(tc.name, func(t *testing.T) {
			tc.opts.Source = func() (memory.Stats, error) { return tc.stats, nil }
			tc.opts.DisableCollect = true
			m := newMonitor(t, tc.opts)
			if got, err := m.Check(t.Context()); got != tc.want || err != nil {
				t.Errorf("Check = %v, %v; want %v", got, err, tc.want)
			}
		})
	}
}

// TestMonitorSourceFails: without anything to judge by, the level stays.
func TestMonitorSourceFails(t *testing.T) {
	g := newGauge(90, 100)
	m := newMonitor(t, memory.MonitorOptions{Source: g.read, DisableCollect: true, Dwell: -1})
	m.Check(t.Context())
	boom := errors.New("boom")
	g.mu.Lock()
	g.s, g.e = memory.Stats{}, boom
	g.mu.Unlock()
	if got, err := m.Check(t.Context()); got != memory.LevelCritical || !errors.Is(err, boom) {
		t.Errorf("Check with a failing source = %v, %v; want critical, boom", got, err)
	}
	p := newMonitor(t, memory.MonitorOptions{Source: func() (memory.Stats, error) { panic(boom) }})
	if _, err := p.Check(t.Context()); !errors.Is(err, boom) {
		t.Errorf("Check with a panicking source = %v; want a PanicError of boom", err)
	}
	if s := p.Stats(); s.SampleErrors != 1 {
		t.Errorf("SampleErrors = %d; want 1", s.SampleErrors)
	}
}

// TestMonitorRuns lets the monitor sample by itself: slowly when all is well, ten
// times as often when not, and not at all after Close.
func TestMonitorRuns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGauge(10<<30, 100<<30)
		var log bytes.Buffer
		m := newMonitor(t, memory.MonitorOptions{Source: g.read, DisableCollect: true, Logger: slog.New(slog.NewTextHandler(&log, nil))})
		var events []memory.ChangeEvent
		m.OnChange(func(e memory.ChangeEvent) { events = append(events, e) })
		if err := m.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		m.Start(t.Context()) // does nothing
		time.Sleep(10*time.Second + time.Millisecond)
		if n := m.Stats().Samples; n != 11 {
			t.Errorf("%d samples in 10 s at normal; want 11", n)
		}
		g.use(75 << 30)
		time.Sleep(3 * time.Second)
		before := m.Stats().Samples
		time.Sleep(time.Second)
		if n := m.Stats().Samples - before; n != 10 || m.Level() != memory.LevelHigh {
			t.Errorf("%d samples in 1 s at %v; want 10 at high", n, m.Level())
		}
		m.Close()
		m.Close()
		synctest.Wait()
		if m.Level() != memory.LevelNormal || len(events) != 2 || events[1].Reason != "stopped" {
			t.Errorf("after Close: level %v, events %v; want normal and two events", m.Level(), events)
		}
		if err := m.Start(t.Context()); !errors.Is(err, memory.ErrClosed) {
			t.Errorf("Start after Close = %v; want ErrClosed", err)
		}
		if _, err := m.Check(t.Context()); !errors.Is(err, memory.ErrClosed) {
			t.Errorf("Check after Close = %v; want ErrClosed", err)
		}
		if !strings.Contains(log.String(), "from=normal to=high") {
			t.Errorf("the log lacks the change of level: %s", log.String())
		}
	})
}

func TestMonitorStopsWithContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGauge(90, 100)
		m := newMonitor(t, memory.MonitorOptions{Source: g.read, DisableCollect: true})
		ctx, cancel := context.WithCancel(t.Context())
		m.Start(ctx)
		synctest.Wait()
		if m.Level() != memory.LevelCritical {
			t.Errorf("Level() after Start = %v; want critical from the first sample", m.Level())
		}
		cancel()
		synctest.Wait()
		if m.Level() != memory.LevelNormal {
			t.Errorf("Level() after the end of ctx = %v; want normal", m.Level())
		}
		if err := m.Start(t.Context()); err != nil {
			t.Errorf("Start after the end of the first ctx = %v", err)
		}
		synctest.Wait()
		if m.Level() != memory.LevelCritical {
			t.Errorf("Level() after a second Start = %v; want critical", m.Level())
		}
	})
}

type shrinkFunc func(ctx context.Context, target float64) int64

func (f shrinkFunc) Shrink(ctx context.Context, target float64) int64 { return f(ctx, target) }

// TestMonitorAsksByPriority: the lowest priority first, and no more than needed.
func TestMonitorAsksByPriority(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGauge(80, 100)
		var hooks []memory.ShrinkEvent
		m := newMonitor(t, memory.MonitorOptions{Source: g.read, DisableCollect: true, Hooks: memory.MonitorHooks{
			Shrunk: func(e memory.ShrinkEvent) { hooks = append(hooks, e) },
		}})
		give := func(n int64) memory.Shrinker {
			return shrinkFunc(func(context.Context, float64) int64 { return n })
		}
		m.Register("last", memory.WithPriority(give(100), 9))
		m.Register("first", memory.WithPriority(give(5), -1))
		unregister := m.Register("gone", memory.WithPriority(give(50), -5))
		unregister()
		unregister()
		m.Register("second", give(12)) // 80 used, 65 wanted: enough with the 5 of first
		m.Check(t.Context())
		var names []string
		for _, e := range hooks {
			names = append(names, e.Name)
			if e.Target != 0.75 || e.Level != memory.LevelHigh {
				t.Errorf("event %+v; want target 0.75 at high", e)
			}
		}
		if !slices.Equal(names, []string{"first", "second"}) {
			t.Errorf("asked %v; want first and second", names)
		}
		if s := m.Stats(); s.Shrinks != 2 || s.Freed != 17 || s.Shrinkers != 3 {
			t.Errorf("Stats() = %+v", s)
		}
		// What was freed is not in the samples before the next collection: do not
		// ask again for the same bytes.
		time.Sleep(100 * time.Millisecond)
		m.Check(t.Context())
		if len(hooks) != 2 {
			t.Errorf("asked again before a collection: %v", hooks[2:])
		}
		g.change(func(s *memory.Stats) { s.GCCycles++ })
		m.Check(t.Context())
		if len(hooks) != 4 {
			t.Errorf("asked %d times after a collection that freed nothing; want 4", len(hooks))
		}
	})
}

func TestMonitorSurvivesPanics(t *testing.T) {
	g := newGauge(80, 100)
	m := newMonitor(t, memory.MonitorOptions{Source: g.read, DisableCollect: true})
	m.OnChange(func(memory.ChangeEvent) { panic("observer") })
	m.Register("bad", shrinkFunc(func(context.Context, float64) int64 { panic("shrinker") }))
	asked := false
	m.Register("good", shrinkFunc(func(context.Context, float64) int64 { asked = true; return 1 }))
	m.Check(t.Context())
	if s := m.Stats(); s.Panics != 2 || !asked {
		t.Errorf("%d panics, good asked %t; want 2, true", s.Panics, asked)
	}
}

// TestMonitorCallbacksMayUseMonitor: no lock is held, and a Check inside a callback
// leaves the work to the outer one.
func TestMonitorCallbacksMayUseMonitor(t *testing.T) {
	g := newGauge(80, 100)
	m := newMonitor(t, memory.MonitorOptions{Source: g.read, DisableCollect: true})
	calls := 0
	var cancel func()
	cancel = m.OnChange(func(memory.ChangeEvent) {
		calls++
		cancel()
		m.OnChange(func(memory.ChangeEvent) { calls += 10 })
		g.use(90)
		m.Check(t.Context())
		m.Stats()
	})
	m.Check(t.Context())
	if calls != 11 || m.Level() != memory.LevelCritical {
		t.Errorf("calls = %d, level %v; want 11, critical", calls, m.Level())
	}
}

// TestCacheUnderMonitor shrinks two caches by priority, holds them down, and lets
// them grow back once memory is there again.
func TestCacheUnderMonitor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const k = 1000
		g := newGauge(10*k, 400*k)
		m := newMonitor(t, memory.MonitorOptions{Source: g.read, DisableCollect: true})
		one := func(int, int) int64 { return k }
		cheap := newCache(t, memory.CacheOptions[int, int]{Name: "cheap", MaxBytes: 100 * k, SizeOf: one, Monitor: m})
		dear := newCache(t, memory.CacheOptions[int, int]{Name: "dear", MaxBytes: 100 * k, SizeOf: one, Monitor: m, Priority: 1, Floor: 60 * k})
		for i := range 100 {
			mustSet(t, cheap, i, i)
			mustSet(t, dear, i, i)
		}
		m.Start(t.Context())
		time.Sleep(500 * time.Millisecond) // between two samples
		g.use(265 * k)                     // 10 above the goal, but not yet high
		time.Sleep(time.Second)
		if cheap.Bytes() != 100*k {
			t.Errorf("cheap shrank to %d at normal", cheap.Bytes())
		}
		g.use(341 * k) // critical: 81 above the goal
		time.Sleep(time.Second)
		if cheap.Bytes() != 40*k || dear.Bytes() != 60*k {
			t.Errorf("at critical: cheap %d, dear %d; want 40000 and the floor of 60000", cheap.Bytes(), dear.Bytes())
		}
		for i := range 100 {
			mustSet(t, dear, 1000+i, i)
		}
		if dear.Bytes() > 60*k || dear.Stats().Ceiling != 60*k {
			t.Errorf("dear grew to %d under pressure, ceiling %d", dear.Bytes(), dear.Stats().Ceiling)
		}
		g.use(100 * k)
		time.Sleep(8 * time.Second) // two dwells to normal, one more before growing
		low := dear.Stats().Ceiling
		time.Sleep(4 * time.Second)
		if up := dear.Stats().Ceiling; up-low < 15*k || up-low > 25*k {
			t.Errorf("the ceiling grew from %d to %d in 4 s; want 5 %% of 100000 a second", low, up)
		}
		time.Sleep(30 * time.Second)
		if s := cheap.Stats(); s.Ceiling != 100*k {
			t.Errorf("cheap's ceiling is %d after half a minute of calm; want 100000", s.Ceiling)
		}
		cheap.Close()
		if n := m.Stats().Shrinkers; n != 1 {
			t.Errorf("%d shrinkers after a cache's Close; want 1", n)
		}
	})
}

// TestCacheHeldRefuses: an entry that fits the bound but not the ceiling is refused
// with ErrPressure, and fits again after the monitor has gone.
func TestCacheHeldRefuses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGauge(900, 1000)
		m := newMonitor(t, memory.MonitorOptions{Source: g.read, DisableCollect: true})
		c := newCache(t, memory.CacheOptions[int, int64]{MaxBytes: 100, SizeOf: func(_ int, v int64) int64 { return v }, Monitor: m})
		mustSet(t, c, 1, 100)
		m.Start(t.Context())
		synctest.Wait()
		if err := c.Set(2, 90); !errors.Is(err, memory.ErrPressure) || errors.Is(err, memory.ErrTooLarge) {
			t.Errorf("Set(90) under pressure = %v; want ErrPressure", err)
		}
		if c.Stats().Pressure != 1 {
			t.Errorf("Pressure = %d; want 1", c.Stats().Pressure)
		}
		m.Close()
		if err := c.Set(2, 90); err != nil {
			t.Errorf("Set(90) after the monitor's Close = %v", err)
		}
	})
}

func TestMonitorMetrics(t *testing.T) {
	m := newMonitor(t, memory.MonitorOptions{Name: "app", Limit: 1 << 40})
	if _, err := m.Check(t.Context()); err != nil {
		t.Fatal(err)
	}
	got := maps.Collect(m.Metrics())
	checkMetricNames(t, got)
	for _, name := range []string{"memory_used_bytes", "memory_limit_bytes", "memory_heap_live_bytes", "memory_goroutines"} {
		if got[name+`{monitor="app"}`] <= 0 {
			t.Errorf("%s = %v; want above 0", name, got[name+`{monitor="app"}`])
		}
	}
}

func TestLevelText(t *testing.T) {
	for _, want := range []memory.Level{memory.LevelNormal, memory.LevelHigh, memory.LevelCritical} {
		text, err := want.MarshalText()
		if err != nil {
			t.Fatal(err)
		}
		var got memory.Level
		if err := got.UnmarshalText(text); err != nil || got != want {
			t.Errorf("UnmarshalText(%s) = %v, %v; want %v", text, got, err, want)
		}
	}
	l := memory.LevelHigh
	if err := l.UnmarshalText([]byte("HIGH")); err == nil || l != memory.LevelHigh {
		t.Errorf("UnmarshalText(HIGH) = %v, level %v; want an error and no change", err, l)
	}
	if _, err := memory.Level(9).MarshalText(); err == nil {
		t.Error("MarshalText of an unknown level succeeded")
	}
}

func TestMonitorAllocations(t *testing.T) {
	m := newMonitor(t, memory.MonitorOptions{})
	if n := testing.AllocsPerRun(100, func() { _ = m.Level() }); n != 0 {
		t.Errorf("Level allocates %v; want 0", n)
	}
	if n := testing.AllocsPerRun(100, func() { m.Check(t.Context()) }); n != 0 {
		t.Errorf("Check allocates %v; want 0", n)
	}
	ctx := t.Context()
	err := m.Run(ctx, func(ctx context.Context) error {
		if n := testing.AllocsPerRun(100, func() { memory.Checkpoint(ctx) }); n != 0 {
			t.Errorf("Checkpoint allocates %v; want 0", n)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

// TestMonitorCloseWithoutStart: what Check has raised, Close takes back.
func TestMonitorCloseWithoutStart(t *testing.T) {
	g := newGauge(900, 1000)
	m := newMonitor(t, memory.MonitorOptions{Source: g.read, DisableCollect: true})
	c := newCache(t, memory.CacheOptions[int, int64]{MaxBytes: 100, SizeOf: func(_ int, v int64) int64 { return v }, Monitor: m})
	mustSet(t, c, 1, 100)
	m.Check(t.Context())
	if got := c.Stats().Ceiling; got >= 100 {
		t.Errorf("ceiling %d at critical; want less than 100", got)
	}
	m.Close()
	if got := c.Stats().Ceiling; m.Level() != memory.LevelNormal || got != 100 {
		t.Errorf("after Close: level %v, ceiling %d; want normal, 100", m.Level(), got)
	}
}

type badHandler struct{ slog.Handler }

func (badHandler) Enabled(context.Context, slog.Level) bool  { return true }
func (badHandler) Handle(context.Context, slog.Record) error { panic("handler") }

func TestMonitorSurvivesLogger(t *testing.T) {
	g := newGauge(900, 1000)
	m := newMonitor(t, memory.MonitorOptions{Source: g.read, DisableCollect: true, Logger: slog.New(badHandler{})})
	if l, err := m.Check(t.Context()); l != memory.LevelCritical || err != nil || m.Stats().Panics != 1 {
		t.Errorf("Check = %v, %v, %d panics; want critical, 1", l, err, m.Stats().Panics)
	}
}

// TestMonitorCloseDuringCheck: a sample that ends after Close raises nothing.
func TestMonitorCloseDuringCheck(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMonitor(t, memory.MonitorOptions{DisableCollect: true, Source: func() (memory.Stats, error) {
			time.Sleep(time.Second)
			return memory.Stats{Used: 90, Limit: 100}, nil
		}})
		go m.Check(t.Context())
		synctest.Wait()
		m.Close()
		time.Sleep(2 * time.Second)
		if m.Level() != memory.LevelNormal || m.Stats().Samples != 1 {
			t.Errorf("level %v after %d samples; want normal after 1", m.Level(), m.Stats().Samples)
		}
	})
}

// TestMonitorUnregisterMeanwhile: a cache that is unregistered just before it is
// asked, or while it evicts, does not stay held down.
func TestMonitorUnregisterMeanwhile(t *testing.T) {
	for _, tc := range []struct {
		name  string
		early bool
		asked uint64
	}{{"before", true, 1}, {"while it evicts", false, 2}} {
		t.Run(tc.name, func(t *testing.T) {
			g := newGauge(900, 1000)
			m := newMonitor(t, memory.MonitorOptions{Source: g.read, DisableCollect: true})
			var unregister func()
			c := newCache(t, memory.CacheOptions[int, int]{
				MaxBytes: 100, SizeOf: func(int, int) int64 { return 10 },
				OnEvict: func(memory.Eviction[int, int]) { unregister() },
			})
			mustSet(t, c, 1, 1)
			unregister = m.Register("cache", c)
			m.Register("first", memory.WithPriority(shrinkFunc(func(context.Context, float64) int64 {
				if tc.early {
					unregister()
				}
				return 0
			}), -1))
			m.Check(t.Context())
			if got := c.Stats().Ceiling; m.Stats().Shrinks != tc.asked || got != 100 {
				t.Errorf("%d shrinkers asked, ceiling %d; want %d and the whole bound", m.Stats().Shrinks, got, tc.asked)
			}
		})
	}
}

// TestMonitorKeepsPace: usage that starts to rise between two samples is seen to pass
// each threshold within a twentieth of a second, and calm is sampled slowly.
func TestMonitorKeepsPace(t *testing.T) {
	const mib = 1 << 20
	for _, tc := range []struct {
		name          string
		limit, perSec int64
		garbage       bool // all of it is garbage until a collection says that it is live
	}{
		{"small container", 256 * mib, 150 * mib, false},
		{"large container", 8192 * mib, 3000 * mib, false},
		{"between collections", 256 * mib, 150 * mib, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				rises := time.Now().Add(5300 * time.Millisecond)
				source := func() (memory.Stats, error) {
					live := tc.limit / 10
					grown := max(0, int64(time.Since(rises).Seconds()*float64(tc.perSec)))
					s := memory.Stats{Used: live + grown, HeapLive: live + grown, HeapObjects: live + grown, Limit: tc.limit}
					if tc.garbage && live+grown < tc.limit*7/10 { // the collection that ends at the threshold
						s.Used, s.HeapLive = live, live
					}
					return s, nil
				}
				m := newMonitor(t, memory.MonitorOptions{Source: source, DisableCollect: true})
				seen := map[memory.Level]time.Time{}
				m.OnChange(func(e memory.ChangeEvent) { seen[e.To] = time.Now() })
				m.Start(t.Context())
				time.Sleep(5 * time.Second)
				if n := m.Stats().Samples; n > 51 {
					t.Errorf("%d samples in 5 s of calm; want at most ten a second", n)
				}
				time.Sleep(5 * time.Second)
				m.Close()
				for level, share := range map[memory.Level]float64{memory.LevelHigh: 0.7, memory.LevelCritical: 0.85} {
					passed := rises.Add(time.Duration((share - 0.1) * float64(tc.limit) / float64(tc.perSec) * float64(time.Second)))
					if late := seen[level].Sub(passed); late < 0 || late > 50*time.Millisecond {
						t.Errorf("%v was seen %v after the threshold was passed; want within 50ms", level, late)
					}
				}
			})
		})
	}
}
