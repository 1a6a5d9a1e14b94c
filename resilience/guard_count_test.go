package resilience_test

import (
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/perfblocks/perfblocks/resilience"
)

// kindOf returns an error unlike those of other numbers.
func kindOf(n int) error {
	text := []byte("call failed ")
	for range 6 {
		text = append(text, 'a'+byte(n%26))
		n /= 26
	}
	return errors.New(string(text))
}

// TestGuardCountsExactly lets 64 goroutines observe errors and log records while
// windows end, Flush is called at random and Close in the middle: whatever the
// options, nothing may be lost or counted twice.
func TestGuardCountsExactly(t *testing.T) {
	for seed := range uint64(6) {
		r := rand.New(rand.NewPCG(seed, 7))
		o := resilience.GuardOptions{
			Window: time.Duration(1+r.IntN(50)) * time.Millisecond, First: 1 + r.IntN(3), Every: []int{-1, 1, 7}[r.IntN(3)],
			MaxKeys: []int{1, 20, 4096}[r.IntN(3)], PerSecond: []int{-1, 1, 1000}[r.IntN(3)],
		}
		t.Run(fmt.Sprintf("first=%d every=%d keys=%d rate=%d", o.First, o.Every, o.MaxKeys, o.PerSecond), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { countExactly(t, o, seed) })
		})
	}
}

func countExactly(t *testing.T, o resilience.GuardOptions, seed uint64) {
	const workers, each, kinds = 64, 300, 60
	out := &logged{}
	handled := newGuard(t, o)
	log := slog.New(handled.Handler(out))
	var told, emitted atomic.Uint64
	o.Hooks.Summary = func(s resilience.Summary) { told.Add(s.Suppressed) }
	observed := newGuard(t, o)
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			r := rand.New(rand.NewPCG(seed, uint64(w)))
			for i := range each {
				err := kindOf(r.IntN(kinds))
				log.Error("failed", "error", err)
				if d := observed.Observe(err); d.Emit {
					emitted.Add(1)
					told.Add(1 + d.Suppressed)
				}
				switch r.IntN(100) {
				case 0:
					_, _ = handled.Flush(), observed.Flush()
				case 1, 2, 3:
					time.Sleep(time.Duration(r.IntN(20)) * time.Millisecond)
				}
				if w == 0 && i == each/2 {
					_, _ = handled.Close(), observed.Close()
				}
			}
		})
	}
	wg.Wait()
	for range 2 { // The second must change nothing.
		if err := errors.Join(handled.Flush(), observed.Flush(), handled.Close(), observed.Close()); err != nil {
			t.Error(err)
		}
	}
	if out.total != workers*each || told.Load() != workers*each {
		t.Errorf("counted %d records and %d errors; want %d of each", out.total, told.Load(), workers*each)
	}
	s := observed.Stats()
	if s.Observed != workers*each || s.Emitted != emitted.Load() || s.Suppressed != s.Observed-s.Emitted || s.Keys != 0 {
		t.Errorf("Stats = %+v; want %d observed, %d emitted, no keys left", s, workers*each, emitted.Load())
	}
}

// TestGuardOneIsNew checks that of many at once one is told that it is the first.
func TestGuardOneIsNew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGuard(t, resilience.GuardOptions{PerSecond: 1, Burst: 1})
		for range 20 {
			var news, emits atomic.Int64
			var wg sync.WaitGroup
			for range 64 {
				wg.Go(func() {
					d := g.Observe(errBoom)
					if d.New {
						news.Add(1)
					}
					if d.Emit {
						emits.Add(1)
					}
				})
			}
			wg.Wait()
			if news.Load() != 1 {
				t.Fatalf("%d of 64 were new; want 1", news.Load())
			}
			if emits.Load() > 1 {
				t.Fatalf("%d passed; the bucket holds 1", emits.Load())
			}
			time.Sleep(10 * time.Second) // Until the next window.
			synctest.Wait()
		}
		_ = g.Close()
	})
}

// TestGuardWindowStartsAfresh checks that a window ends by itself, also when nothing
// was withheld in it and nothing comes after.
func TestGuardWindowStartsAfresh(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGuard(t, resilience.GuardOptions{Window: time.Second})
		for range 3 {
			if d := g.Observe(errBoom); !d.New || !d.Emit {
				t.Errorf("first of a window: %+v", d)
			}
			time.Sleep(time.Second)
			synctest.Wait()
			if k := g.Stats().Keys; k != 0 {
				t.Errorf("%d keys after the window", k)
			}
		}
		_ = g.Close()
	})
}

// TestGuardPerSecond floods with ever new kinds, which only the global bound stops.
func TestGuardPerSecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGuard(t, resilience.GuardOptions{PerSecond: 10, Burst: 20, Window: time.Hour})
		passed := 0
		for i := range 3000 {
			if g.Observe(kindOf(i)).Emit {
				passed++
			}
			time.Sleep(time.Millisecond)
		}
		if passed < 45 || passed > 50 { // 20 at once, and 10 in each of 3 s.
			t.Errorf("%d passed in 3 s; want about 50", passed)
		}
		_ = g.Close()
	})
}

// TestGuardDistinct checks the summary of what MaxKeys left untold.
func TestGuardDistinct(t *testing.T) {
	for _, n := range []int{1, 30, 2000, 200_000} {
		var got []resilience.Summary
		g := newGuard(t, resilience.GuardOptions{MaxKeys: 1, First: 1, Every: -1, Hooks: resilience.GuardHooks{
			Summary: func(s resilience.Summary) {
				if s.Fingerprint == 0 {
					got = append(got, s)
				}
			},
		}})
		_ = g.Observe(errBoom) // Takes the one key.
		for range 3 {
			for i := range n {
				_ = g.Observe(kindOf(i))
			}
		}
		_ = g.Flush()
		_ = g.Observe(errBoom) // The next window knows nothing of this one.
		for range 40 {
			_ = g.Observe(kindOf(0))
		}
		if err := g.Close(); err != nil {
			t.Error(err)
		}
		if len(got) != 2 || got[1].Distinct != 1 {
			t.Fatalf("one kind after %d: summaries %+v", n, got)
		}
		if off := float64(got[0].Distinct)/float64(n) - 1; off < -0.1 || off > 0.1 {
			t.Errorf("%d kinds estimated as %d", n, got[0].Distinct)
		}
		if passed := 3*n - int(got[0].Suppressed); passed < 1 || passed > 16 {
			t.Errorf("%d kinds: %d passed; want at most one of each shard", n, passed)
		}
	}
}

func TestGuardDisabled(t *testing.T) {
	g := newGuard(t, resilience.GuardOptions{Disabled: true, First: 1, Every: -1, PerSecond: 1, Burst: 1})
	for range 20 {
		if d := g.Observe(errBoom); !d.Emit || d.Suppressed != 0 {
			t.Fatalf("a disabled guard decides %+v", d)
		}
	}
	if s := g.Stats(); s != (resilience.GuardStats{}) {
		t.Errorf("Stats = %+v; want none", s)
	}
	if err := errors.Join(g.Flush(), g.Close()); err != nil {
		t.Error(err)
	}
}
