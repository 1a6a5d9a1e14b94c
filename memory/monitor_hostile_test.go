package memory_test

import (
	"context"
	"runtime"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/perfblocks/perfblocks/memory"
)

// TestMonitorShrinksForStalls: a level above normal asks shrinkers whatever raised
// it, once for each time that something can be seen of the effect, and no more once
// the evidence is gone although the level stays for the dwell.
func TestMonitorShrinksForStalls(t *testing.T) {
	for _, tc := range []struct {
		name  string
		stats memory.Stats
	}{
		{"stalls", memory.Stats{Used: 55, Limit: 100, PSI: memory.PSI{Some: 0.5}}},
		{"committed", memory.Stats{Used: 10, Limit: 100, CgroupLimit: 100, Committed: 98}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g := &gauge{s: tc.stats}
				m := newMonitor(t, memory.MonitorOptions{Source: g.read, DisableCollect: true})
				asked := 0
				m.Register("first", shrinkFunc(func(context.Context, float64) int64 { asked++; return 1 << 20 }))
				m.Register("second", memory.WithPriority(shrinkFunc(func(context.Context, float64) int64 {
					t.Error("asked although the first one freed something")
					return 0
				}), 1))
				m.Check(t.Context())
				if asked != 1 {
					t.Fatalf("shrinker asked %d times at %v; want once", asked, m.Level())
				}
				m.Check(t.Context())
				if asked != 1 {
					t.Errorf("asked again before a collection showed the effect")
				}
				g.change(func(s *memory.Stats) { s.GCCycles++ })
				m.Check(t.Context())
				if asked != 2 {
					t.Errorf("asked %d times after a collection that changed nothing; want 2", asked)
				}
				g.change(func(s *memory.Stats) { s.PSI, s.Committed, s.GCCycles = memory.PSI{}, 0, s.GCCycles+1 })
				m.Check(t.Context())
				if asked != 2 || m.Level() == memory.LevelNormal {
					t.Errorf("asked %d times at %v with the evidence gone; want 2, during the dwell", asked, m.Level())
				}
			})
		})
	}
}

// TestMonitorCancelMeansNoMoreCalls: what one callback has taken out is not called
// any more, even for the event or relief under way.
func TestMonitorCancelMeansNoMoreCalls(t *testing.T) {
	g := newGauge(90, 100)
	m := newMonitor(t, memory.MonitorOptions{Source: g.read, DisableCollect: true})
	var cancel, unregister func()
	m.OnChange(func(memory.ChangeEvent) { cancel() })
	cancel = m.OnChange(func(memory.ChangeEvent) { t.Error("callback called after its cancel") })
	m.Register("first", shrinkFunc(func(context.Context, float64) int64 { unregister(); return 0 }))
	unregister = m.Register("second", shrinkFunc(func(context.Context, float64) int64 { t.Error("asked after unregister"); return 0 }))
	m.Check(t.Context())
}

// TestMonitorClockJumps: a source whose clock jumps neither keeps the level up for
// ever nor makes the calm that caches grow by run over.
func TestMonitorClockJumps(t *testing.T) {
	g := newGauge(90, 100)
	now := time.Now()
	at := func(d time.Duration) { g.change(func(s *memory.Stats) { s.At = now.Add(d) }) }
	m := newMonitor(t, memory.MonitorOptions{Source: g.read, DisableCollect: true, Dwell: time.Second})
	at(0)
	m.Check(t.Context())
	g.use(10)
	at(1000 * time.Hour)
	m.Check(t.Context())
	for i := range 5 {
		at(time.Duration(i) * time.Second)
		m.Check(t.Context())
	}
	if got := m.Level(); got != memory.LevelNormal {
		t.Errorf("level = %v after 4 s of calm on a clock that was set back; want normal", got)
	}
}

// TestMonitorCalmNeverOverflows: time that passes while a callback is slow adds up.
func TestMonitorCalmNeverOverflows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGauge(90, 100)
		m := newMonitor(t, memory.MonitorOptions{Source: g.read, DisableCollect: true, Dwell: -1})
		c := newCache(t, memory.CacheOptions[int, int]{MaxItems: 1000, Monitor: m})
		for i := range 1000 {
			mustSet(t, c, i, i)
		}
		m.Check(t.Context())
		if c.Len() == 1000 {
			t.Fatal("the cache was not held down")
		}
		g.use(10)
		hold := make(chan struct{})
		m.OnChange(func(e memory.ChangeEvent) {
			if e.To == memory.LevelNormal {
				<-hold
			}
		})
		done := make(chan struct{})
		go func() {
			defer close(done)
			for m.Level() > memory.LevelNormal {
				m.Check(t.Context())
			}
		}()
		synctest.Wait()
		for i := range 2 { // 200 years each: more than a Duration holds together
			g.change(func(s *memory.Stats) { s.At = time.Now().AddDate(200*(i+1), 0, 0) })
			m.Check(t.Context())
		}
		close(hold)
		<-done
		m.Check(t.Context())
		for i := range 1000 {
			mustSet(t, c, i, i)
		}
		if n := c.Len(); n != 1000 {
			t.Errorf("room for %d items after centuries of calm; want 1000", n)
		}
	})
}

// TestMonitorWideHysteresis: without a control group nothing is committed.
func TestMonitorWideHysteresis(t *testing.T) {
	g := newGauge(100, 100)
	m := newMonitor(t, memory.MonitorOptions{Source: g.read, DisableCollect: true, Dwell: -1, High: 0.98, Critical: 0.99, Hysteresis: 0.97})
	m.Check(t.Context())
	g.use(0)
	for range 4 {
		m.Check(t.Context())
	}
	if got := m.Level(); got != memory.LevelNormal {
		t.Errorf("level = %v at no usage; want normal", got)
	}
}

// TestMonitorSourceExits: a source that ends its goroutine, as a failing test does,
// leaves nothing behind that Close would wait for.
func TestMonitorSourceExits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var exit atomic.Bool
		g := newGauge(90, 100)
		m := newMonitor(t, memory.MonitorOptions{DisableCollect: true, Source: func() (memory.Stats, error) {
			if exit.Load() {
				runtime.Goexit()
			}
			return g.read()
		}})
		exit.Store(true)
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			m.Start(t.Context())
		}()
		<-ended
		if _, err := m.Collect(t.Context(), "test"); err != nil {
			t.Logf("Collect = %v", err)
		}
		exit.Store(false)
		if err := m.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := m.Level(); got != memory.LevelCritical {
			t.Errorf("level after the source works again = %v; want critical", got)
		}
		m.Close() // the test would deadlock here
	})
}

// TestMonitorCallbackExits: a callback that ends its goroutine does not end the
// others' calls.
func TestMonitorCallbackExits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGauge(10, 100)
		m := newMonitor(t, memory.MonitorOptions{Source: g.read, DisableCollect: true})
		var calls atomic.Int32
		m.OnChange(func(memory.ChangeEvent) {
			if calls.Add(1) == 1 {
				runtime.Goexit()
			}
		})
		if err := m.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		for _, used := range []int64{75, 90} {
			g.use(used)
			time.Sleep(2 * time.Second)
		}
		if got := calls.Load(); got != 2 {
			t.Errorf("%d calls for two changes; want 2", got)
		}
	})
}

// TestMonitorRunFollowsContext: Run does not wait for a source that hangs.
func TestMonitorRunFollowsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hang := make(chan struct{})
		m := newMonitor(t, memory.MonitorOptions{Source: func() (memory.Stats, error) { <-hang; return memory.Stats{}, nil }})
		go m.Check(t.Context())
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		ran := make(chan error)
		go func() { ran <- m.Run(ctx, func(ctx context.Context) error { return ctx.Err() }) }()
		select {
		case err := <-ran:
			if err == nil {
				t.Error("Run = nil; want the error of a ctx that ended")
			}
		case <-time.After(time.Minute):
			t.Error("Run still waits a minute after its ctx ended")
			go func() { <-ran }()
		}
		close(hang)
	})
}
