package memory_test

import (
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/perfblocks/perfblocks/memory"
)

func newSemaphore(t testing.TB, o memory.SemaphoreOptions) *memory.Semaphore {
	t.Helper()
	s, err := memory.NewSemaphore(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func TestNewSemaphoreRejects(t *testing.T) {
	if _, err := memory.NewSemaphore(memory.SemaphoreOptions{MaxBytes: -1}); !errors.Is(err, memory.ErrOptions) {
		t.Errorf("NewSemaphore error = %v; want ErrOptions", err)
	}
	s := newSemaphore(t, memory.SemaphoreOptions{})
	if s.Stats().MaxBytes != 64<<20 {
		t.Errorf("MaxBytes = %d; want the default of 64 MiB", s.Stats().MaxBytes)
	}
	for _, n := range []int64{0, -1} {
		if err := s.Resize(n); !errors.Is(err, memory.ErrOptions) {
			t.Errorf("Resize(%d) = %v; want ErrOptions", n, err)
		}
	}
}

// TestSemaphoreFIFO: a large request that waits is not overtaken by small ones that
// would fit.
func TestSemaphoreFIFO(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSemaphore(t, memory.SemaphoreOptions{MaxBytes: 10})
		release, err := s.Acquire(t.Context(), 6)
		if err != nil {
			t.Fatal(err)
		}
		var order []int64
		var wg sync.WaitGroup
		for _, n := range []int64{8, 3, 9} {
			wg.Go(func() {
				r, err := s.Acquire(t.Context(), n)
				if err != nil {
					t.Error(err)
					return
				}
				order = append(order, n)
				time.Sleep(time.Second)
				r()
			})
			synctest.Wait()
		}
		if _, ok := s.TryAcquire(1); ok {
			t.Error("TryAcquire overtook waiting requests")
		}
		if got := s.Stats(); got.Waiting != 3 || got.InUse != 6 {
			t.Errorf("Stats() = %+v; want 3 waiting, 6 in use", got)
		}
		release()
		release() // does nothing
		wg.Wait()
		if !slices.Equal(order, []int64{8, 3, 9}) {
			t.Errorf("served %v; want the order of arrival", order)
		}
		if got := s.Stats(); got.InUse != 0 || got.Peak != 9 || got.Granted != 4 || got.Waited != 3 {
			t.Errorf("Stats() = %+v", got)
		}
	})
}

func TestSemaphoreRefuses(t *testing.T) {
	s := newSemaphore(t, memory.SemaphoreOptions{MaxBytes: 10})
	ended, cancel := context.WithCancelCause(t.Context())
	cause := errors.New("cause")
	cancel(cause)
	for _, tc := range []struct {
		name string
		ctx  context.Context
		n    int64
		want error
	}{
		{"too large", t.Context(), 11, memory.ErrTooLarge},
		{"negative", t.Context(), -1, memory.ErrOptions},
		{"ended", ended, 1, context.Canceled},
		{"its cause", ended, 1, cause},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if release, err := s.Acquire(tc.ctx, tc.n); !errors.Is(err, tc.want) || release != nil {
				t.Errorf("Acquire = %v; want %v and no release", err, tc.want)
			}
		})
	}
	if r, err := s.Acquire(t.Context(), 0); err != nil {
		t.Errorf("Acquire(0) = %v", err)
	} else {
		r()
	}
	s.Close()
	if _, err := s.Acquire(t.Context(), 1); !errors.Is(err, memory.ErrClosed) {
		t.Errorf("Acquire after Close = %v; want ErrClosed", err)
	}
}

// TestSemaphoreCancel: a request that gives up lets those behind it through.
func TestSemaphoreCancel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSemaphore(t, memory.SemaphoreOptions{MaxBytes: 10})
		hold, _ := s.Acquire(t.Context(), 5)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		var wg sync.WaitGroup
		wg.Go(func() {
			if _, err := s.Acquire(ctx, 10); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("Acquire = %v; want DeadlineExceeded", err)
			}
		})
		synctest.Wait()
		start := time.Now()
		r, err := s.Acquire(t.Context(), 5)
		if err != nil || time.Since(start) != time.Second {
			t.Errorf("Acquire behind it = %v after %v; want nil after 1s", err, time.Since(start))
		}
		wg.Wait()
		r()
		hold()
		if got := s.Stats(); got.InUse != 0 || got.Refused != 1 {
			t.Errorf("Stats() = %+v", got)
		}
	})
}

func TestSemaphoreRunAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSemaphore(t, memory.SemaphoreOptions{MaxBytes: 10, RunAlone: true})
		small, _ := s.Acquire(t.Context(), 1)
		var wg sync.WaitGroup
		wg.Go(func() {
			r, err := s.Acquire(t.Context(), 1000)
			if err != nil {
				t.Error(err)
				return
			}
			if n := s.Stats().InUse; n != 1000 {
				t.Errorf("InUse = %d; want the oversize request alone", n)
			}
			time.Sleep(time.Second)
			r()
		})
		synctest.Wait()
		if s.Stats().Waiting != 1 {
			t.Error("the oversize request did not wait")
		}
		small()
		synctest.Wait()
		start := time.Now()
		r, err := s.Acquire(t.Context(), 1)
		if err != nil || time.Since(start) != time.Second {
			t.Errorf("Acquire beside it = %v after %v; want nil after 1s", err, time.Since(start))
		}
		r()
		wg.Wait()
	})
}

func TestSemaphoreResize(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSemaphore(t, memory.SemaphoreOptions{MaxBytes: 10})
		hold, _ := s.Acquire(t.Context(), 10)
		var wg sync.WaitGroup
		wg.Go(func() {
			if _, err := s.Acquire(t.Context(), 8); !errors.Is(err, memory.ErrTooLarge) {
				t.Errorf("Acquire(8) after Resize(5) = %v; want ErrTooLarge", err)
			}
		})
		synctest.Wait()
		wg.Go(func() {
			r, err := s.Acquire(t.Context(), 4)
			if err != nil {
				t.Errorf("Acquire(4) = %v", err)
				return
			}
			r()
		})
		synctest.Wait()
		s.Resize(5)
		synctest.Wait()
		if got := s.Stats(); got.InUse != 10 || got.Waiting != 1 {
			t.Errorf("after Resize(5): %+v; want what is held kept, 1 waiting", got)
		}
		s.Resize(14)
		wg.Wait()
		hold()
	})
}

// TestSemaphoreFollowsMonitor narrows with the level, always lets one request run,
// and serves the queue when the level falls.
func TestSemaphoreFollowsMonitor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGauge(90, 100)
		m := newMonitor(t, memory.MonitorOptions{Source: g.read, DisableCollect: true})
		s := newSemaphore(t, memory.SemaphoreOptions{MaxBytes: 100, Monitor: m})
		m.Check(t.Context())
		one, err := s.Acquire(t.Context(), 80)
		if err != nil {
			t.Fatalf("Acquire(80) of 25 available, alone = %v; want it to run", err)
		}
		if _, ok := s.TryAcquire(10); ok || s.Stats().Available != 25 {
			t.Errorf("TryAcquire at critical = %t, available %d; want false, 25", ok, s.Stats().Available)
		}
		got := make(chan func(), 1)
		go func() {
			r, err := s.Acquire(t.Context(), 20)
			if err != nil {
				t.Error(err)
			}
			got <- r
		}()
		synctest.Wait()
		g.use(10)
		for m.Level() > memory.LevelNormal {
			m.Check(t.Context())
			time.Sleep(time.Second)
		}
		(<-got)()
		one()
		for name := range s.Metrics() {
			if name != `memory_semaphore_max_bytes{semaphore="semaphore"}` {
				t.Errorf("first metric = %s", name)
			}
			break
		}
	})
}

func TestSemaphoreDisabled(t *testing.T) {
	s := newSemaphore(t, memory.SemaphoreOptions{MaxBytes: 1, Disabled: true})
	for range 3 {
		if _, err := s.Acquire(t.Context(), 1000); err != nil {
			t.Errorf("Acquire = %v", err)
		}
	}
}

// TestSemaphoreBoundHolds counts what is really held by goroutines that come, wait,
// give up and go, while the bound moves.
func TestSemaphoreBoundHolds(t *testing.T) {
	s := newSemaphore(t, memory.SemaphoreOptions{MaxBytes: 1000})
	var held atomic.Int64
	var wg sync.WaitGroup
	for id := range uint64(8) {
		wg.Go(func() {
			rng := rand.New(rand.NewPCG(id, 1))
			for range 1000 {
				ctx, cancel := context.WithCancel(t.Context())
				if rng.IntN(4) == 0 {
					go cancel()
				}
				n := 1 + rng.Int64N(400)
				if release, err := s.Acquire(ctx, n); err == nil {
					if now := held.Add(n); now > 1000 {
						t.Errorf("%d bytes held of 1000", now)
					}
					held.Add(-n)
					release()
				}
				cancel()
				if rng.IntN(50) == 0 {
					s.Resize(500 + rng.Int64N(500))
				}
			}
		})
	}
	wg.Wait()
	if got := s.Stats(); got.InUse != 0 || got.Waiting != 0 {
		t.Errorf("Stats() at the end = %+v", got)
	}
}

// TestSemaphoreLargestNumbers: sums of requests never run over.
func TestSemaphoreLargestNumbers(t *testing.T) {
	for _, alone := range []bool{false, true} {
		s := newSemaphore(t, memory.SemaphoreOptions{MaxBytes: math.MaxInt64, RunAlone: alone})
		release, err := s.Acquire(t.Context(), math.MaxInt64)
		if err != nil {
			t.Fatal(err)
		}
		if _, ok := s.TryAcquire(1); ok {
			t.Error("a byte more than the largest number was granted")
		}
		if err := s.Resize(1); err != nil {
			t.Fatal(err)
		}
		if _, ok := s.TryAcquire(1); ok {
			t.Error("granted while more than the bound is held")
		}
		release()
		release()
		if got := s.Stats(); got.InUse != 0 || got.Refused != 2 {
			t.Errorf("Stats() = %+v; want nothing in use, 2 refused", got)
		}
	}
}
