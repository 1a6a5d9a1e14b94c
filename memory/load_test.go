package memory_test

import (
	"context"
	"errors"
	"math"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/perfblocks/perfblocks/memory"
)

func TestGetOrLoadSharesOneRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCache(t, memory.CacheOptions[string, int]{})
		var runs atomic.Int32
		load := func(context.Context) (int, error) {
			time.Sleep(time.Second)
			return int(runs.Add(1)), nil
		}
		var wg sync.WaitGroup
		for range 20 {
			wg.Go(func() {
				if v, err := c.GetOrLoad(t.Context(), "k", load); v != 1 || err != nil {
					t.Errorf("GetOrLoad = %d, %v; want 1", v, err)
				}
			})
		}
		wg.Wait()
		if v, ok := c.Get("k"); !ok || v != 1 || runs.Load() != 1 {
			t.Errorf("after the load: %d, %t, %d runs", v, ok, runs.Load())
		}
		if s := c.Stats(); s.Loads != 1 || s.LoadTime != time.Second || s.Misses != 20 {
			t.Errorf("Stats() = %+v", s)
		}
	})
}

func TestGetOrLoadLeaderLeaves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCache(t, memory.CacheOptions[string, int]{})
		cause := errors.New("client went away")
		leader, leave := context.WithCancelCause(t.Context())
		var loadErr error
		load := func(ctx context.Context) (int, error) {
			select {
			case <-time.After(time.Second):
				return 5, nil
			case <-ctx.Done():
				loadErr = ctx.Err()
				return 0, ctx.Err()
			}
		}
		var wg sync.WaitGroup
		wg.Go(func() {
			_, err := c.GetOrLoad(leader, "k", load)
			if !errors.Is(err, context.Canceled) || !errors.Is(err, cause) {
				t.Errorf("the leader got %v; want Canceled and its cause", err)
			}
		})
		synctest.Wait()
		wg.Go(func() {
			if v, err := c.GetOrLoad(t.Context(), "k", load); v != 5 || err != nil {
				t.Errorf("the follower got %d, %v; want 5", v, err)
			}
		})
		synctest.Wait()
		leave(cause)
		wg.Wait()
		if loadErr != nil {
			t.Errorf("the load was cancelled: %v", loadErr)
		}
		// With nobody left the run is cancelled, and the next caller starts anew.
		alone, leaveAlone := context.WithCancel(t.Context())
		wg.Go(func() { c.GetOrLoad(alone, "other", load) })
		synctest.Wait()
		leaveAlone()
		wg.Wait()
		synctest.Wait()
		if !errors.Is(loadErr, context.Canceled) {
			t.Errorf("the abandoned load saw %v; want Canceled", loadErr)
		}
		if v, err := c.GetOrLoad(t.Context(), "other", load); v != 5 || err != nil {
			t.Errorf("GetOrLoad after an abandoned one = %d, %v", v, err)
		}
	})
}

// TestGetOrLoadAfterAbandoned: who comes after everybody left a run that does not
// end does not inherit it.
func TestGetOrLoadAfterAbandoned(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCache(t, memory.CacheOptions[string, int]{})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		deaf := func(context.Context) (int, error) { time.Sleep(time.Hour); return 1, nil }
		if _, err := c.GetOrLoad(ctx, "k", deaf); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("GetOrLoad = %v; want DeadlineExceeded", err)
		}
		start := time.Now()
		v, err := c.GetOrLoad(t.Context(), "k", func(context.Context) (int, error) { return 2, nil })
		if v != 2 || err != nil || time.Since(start) != 0 {
			t.Errorf("GetOrLoad = %d, %v after %v; want 2 at once", v, err, time.Since(start))
		}
		time.Sleep(2 * time.Hour)
		if v, _ := c.Get("k"); v != 2 {
			t.Errorf("Get = %d; want the abandoned run not stored", v)
		}
	})
}

func TestGetOrLoadFailures(t *testing.T) {
	boom := errors.New("boom")
	for _, tc := range []struct {
		name  string
		load  func(context.Context) (int, error)
		check func(error) bool
	}{
		{"error", func(context.Context) (int, error) { return 9, boom }, func(err error) bool { return err == boom }},
		{"panic", func(context.Context) (int, error) { panic(boom) }, func(err error) bool {
			p, ok := errors.AsType[*memory.PanicError](err)
			return ok && errors.Is(err, boom) && len(p.Stack) > 0
		}},
		{"goexit", func(context.Context) (int, error) { runtime.Goexit(); return 0, nil }, func(err error) bool {
			p, ok := errors.AsType[*memory.PanicError](err)
			return ok && p.Value == nil
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := newCache(t, memory.CacheOptions[string, int]{})
			v, err := c.GetOrLoad(t.Context(), "k", tc.load)
			if v != 0 || !tc.check(err) {
				t.Errorf("GetOrLoad = %d, %v", v, err)
			}
			if c.Len() != 0 || c.Stats().LoadErrors != 1 {
				t.Errorf("Len %d, LoadErrors %d", c.Len(), c.Stats().LoadErrors)
			}
			if v, err := c.GetOrLoad(t.Context(), "k", func(context.Context) (int, error) { return 3, nil }); v != 3 || err != nil {
				t.Errorf("GetOrLoad after a failure = %d, %v", v, err)
			}
		})
	}
}

func TestGetOrLoadOvertaken(t *testing.T) {
	for _, tc := range []struct {
		name  string
		write func(c *memory.Cache[string, int])
		want  int // 0: absent
	}{
		{"Set", func(c *memory.Cache[string, int]) { c.Set("k", 2) }, 2},
		{"Delete", func(c *memory.Cache[string, int]) { c.Delete("k") }, 0},
		{"Purge", func(c *memory.Cache[string, int]) { c.Purge() }, 0},
		{"other key", func(c *memory.Cache[string, int]) { c.Set("x", 2) }, 1},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := newCache(t, memory.CacheOptions[string, int]{})
			v, err := c.GetOrLoad(t.Context(), "k", func(context.Context) (int, error) {
				tc.write(c)
				return 1, nil
			})
			if v != 1 || err != nil {
				t.Errorf("GetOrLoad = %d, %v; want 1", v, err)
			}
			if v, _ := c.Get("k"); v != tc.want {
				t.Errorf("Get after the load = %d; want %d", v, tc.want)
			}
		})
	}
}

func TestGetOrLoadTooLargeIsReturned(t *testing.T) {
	c := newCache(t, memory.CacheOptions[string, int]{MaxBytes: 10, SizeOf: func(string, int) int64 { return 11 }})
	if v, err := c.GetOrLoad(t.Context(), "k", func(context.Context) (int, error) { return 1, nil }); v != 1 || err != nil {
		t.Errorf("GetOrLoad = %d, %v; want the value", v, err)
	}
	if s := c.Stats(); s.TooLarge != 1 || s.Items != 0 {
		t.Errorf("Stats() = %+v; want one refusal", s)
	}
}

func TestCacheCloseJoinsLoads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCache(t, memory.CacheOptions[string, int]{})
		ended := false
		go c.GetOrLoad(t.Context(), "k", func(ctx context.Context) (int, error) {
			<-ctx.Done()
			time.Sleep(time.Second)
			ended = true
			return 0, ctx.Err()
		})
		synctest.Wait()
		c.Close()
		if !ended {
			t.Error("Close returned before the load")
		}
		if _, err := c.GetOrLoad(t.Context(), "k", nil); !errors.Is(err, memory.ErrClosed) {
			t.Errorf("GetOrLoad after Close = %v; want ErrClosed", err)
		}
		c.Close()
	})
}

// TestGetOrLoadOnEvictPanics: nobody could recover that panic on the load's
// goroutine, so its callers get it.
func TestGetOrLoadOnEvictPanics(t *testing.T) {
	boom := errors.New("boom")
	calm := true
	c := newCache(t, memory.CacheOptions[int, int]{MaxItems: 1, OnEvict: func(memory.Eviction[int, int]) {
		if !calm {
			panic(boom)
		}
	}})
	mustSet(t, c, 1, 1)
	calm = false
	v, err := c.GetOrLoad(t.Context(), 2, func(context.Context) (int, error) { return 2, nil })
	if _, ok := errors.AsType[*memory.PanicError](err); v != 0 || !ok || !errors.Is(err, boom) {
		t.Errorf("GetOrLoad = %d, %v; want the panic of OnEvict", v, err)
	}
	calm = true
	if v, ok := c.Get(2); v != 2 || !ok || c.Len() != 1 {
		t.Errorf("Get = %d, %t, Len %d; want the loaded value stored", v, ok, c.Len())
	}
}

// TestGetOrLoadNaN: a key that is not equal to itself leaves no trace.
func TestGetOrLoadNaN(t *testing.T) {
	c := newCache(t, memory.CacheOptions[float64, int]{MaxItems: 10})
	before := liveHeap()
	for range 20_000 {
		if v, err := c.GetOrLoad(t.Context(), math.NaN(), func(context.Context) (int, error) { return 1, nil }); v != 1 || err != nil {
			t.Fatalf("GetOrLoad(NaN) = %d, %v", v, err)
		}
	}
	if grown := liveHeap() - before; grown > 1<<20 {
		t.Errorf("20000 loads of NaN left %d bytes, %d items", grown, c.Len())
	}
	runtime.KeepAlive(c)
}
