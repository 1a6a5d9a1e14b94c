package cache_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/perfblocks/perfblocks/cache"
)

// TestEvictHookMayShrink: hooks run without locks, those of Shrink too.
func TestEvictHookMayShrink(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var c *cache.Cache
		var again sync.Once
		c = newCache(t, cache.Options{Hooks: cache.Hooks{Evict: func(cache.EvictEvent) {
			again.Do(func() { c.Shrink(t.Context(), 0.5) })
		}}})
		v := add(t, c, cache.Strategy[int]{Name: "s"})
		for i := range 10 {
			_ = v.Set(t.Context(), fmt.Sprint(i), i)
		}
		c.Shrink(t.Context(), 0)
		_ = c.Close()
	})
}

func TestCloseFrees(t *testing.T) {
	c := newCache(t, cache.Options{})
	v := add(t, c, cache.Strategy[int]{Name: "s"})
	_ = v.Set(t.Context(), "k", 1)
	_ = c.Close()
	if st := c.Stats(); st.Entries != 0 || st.Bytes != 0 {
		t.Errorf("Stats() after Close = %+v; want no entries", st)
	}
}

func TestWarmEndsWithTheCache(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCache(t, cache.Options{})
		v := add(t, c, cache.Strategy[int]{Name: "s"})
		var runs atomic.Int32
		var told int
		keys := func(yield func(string) bool) {
			for i := 0; yield(fmt.Sprint(i)); i++ {
				if i == 100 {
					go c.Close()
				}
			}
		}
		_, err := v.Warm(t.Context(), keys, func(context.Context, *cache.Entry[int]) (int, error) {
			runs.Add(1)
			time.Sleep(time.Second)
			return 1, nil
		}, cache.WarmOptions{Progress: func(cache.WarmReport) {
			told++
			panic("hook")
		}})
		if !errors.Is(err, cache.ErrClosed) || told < 100 || runs.Load() > 120 {
			t.Errorf("Warm error = %v, Progress ran %d times, the loader %d times", err, told, runs.Load())
		}
		if _, err := v.Warm(t.Context(), keys, nil, cache.WarmOptions{}); !errors.Is(err, cache.ErrClosed) {
			t.Errorf("Warm after Close: error = %v; want ErrClosed", err)
		}
	})
}

// TestUserFuncsEndLoads: a panic or Goexit of what a strategy was given, at any step
// of a load, reaches the waiters.
func TestUserFuncsEndLoads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCache(t, cache.Options{})
		clones := 0
		v := add(t, c, cache.Strategy[int]{Name: "s", TTL: time.Minute, Jitter: -1, StaleIfError: time.Hour, Clone: func(n int) int {
			if clones++; clones > 2 {
				panic("clone")
			}
			return n
		}})
		mustLoad(t, v, "k", tagged(1), 1)
		time.Sleep(2 * time.Minute)
		down := errors.New("down")
		if _, err := v.Load(t.Context(), "k", func(context.Context, *cache.Entry[int]) (int, error) { return 0, down }); err != down {
			t.Errorf("Load with an old value that cannot be cloned: error = %v; want %v", err, down)
		}
		exit := add(t, c, cache.Strategy[int]{Name: "exit", SizeOf: func(int) int64 { runtime.Goexit(); return 1 }})
		if _, err := exit.Load(t.Context(), "k", tagged(1)); err == nil {
			t.Error("Load whose SizeOf called Goexit: no error")
		}
		_ = c.Close()
	})
}

// TestTooLargeRefreshEndsOldValue: what a caller got is not followed by an older value.
func TestTooLargeRefreshEndsOldValue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCache(t, cache.Options{MaxBytes: 10_000})
		v := add(t, c, cache.Strategy[int]{Name: "s", TTL: time.Minute, Jitter: -1, StaleWhileRevalidate: time.Hour,
			SizeOf: func(n int) int64 { return int64(n) }})
		mustLoad(t, v, "k", tagged(1), 1)
		time.Sleep(2 * time.Minute)
		mustLoad(t, v, "k", tagged(20_000), 1)
		synctest.Wait()
		mustLoad(t, v, "k", tagged(3), 3)
		_ = c.Close()
	})
}

// TestFailingUpstreamDelaysNobody: once a load has failed, stale answers do not wait
// for the attempts, which are a second apart.
func TestFailingUpstreamDelaysNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCache(t, cache.Options{})
		v := add(t, c, cache.Strategy[int]{Name: "s", TTL: time.Minute, Jitter: -1, StaleIfError: time.Hour})
		var down atomic.Bool
		var up, attempts atomic.Int64
		up.Store(2)
		fn := func(context.Context, *cache.Entry[int]) (int, error) {
			attempts.Add(1)
			if time.Sleep(10 * time.Second); down.Load() {
				return 0, errors.New("down")
			}
			return int(up.Load()), nil
		}
		many := func(ctx context.Context, keys []string) (map[string]int, error) {
			val, err := fn(ctx, nil)
			return map[string]int{keys[0]: val}, err
		}
		read := map[string]func() int{
			"Load":     func() int { val, _ := v.Load(t.Context(), "k", fn); return val },
			"LoadMany": func() int { m, _ := v.LoadMany(t.Context(), []string{"k"}, many); return m["k"] },
		}
		for name, read := range read {
			down.Store(true)
			attempts.Store(0)
			_ = v.Set(t.Context(), "k", 1)
			time.Sleep(2 * time.Minute)
			if got := read(); got != 1 {
				t.Errorf("first %s = %d; want the old 1", name, got)
			}
			begun := time.Now()
			for range 600 {
				if got := read(); got != 1 {
					t.Errorf("%s = %d; want the old 1", name, got)
				}
				time.Sleep(100 * time.Millisecond)
			}
			if d := time.Since(begun); d > 61*time.Second || attempts.Load() < 5 || attempts.Load() > 7 {
				t.Errorf("600 times %s took %v and %d attempts", name, d, attempts.Load())
			}
			down.Store(false)
			time.Sleep(11 * time.Second)
			_ = read()
			time.Sleep(11 * time.Second)
			if got := read(); got != int(up.Load()) {
				t.Errorf("%s after recovery = %d; want %d", name, got, up.Load())
			}
			// Expire asks for an attempt that is waited for.
			down.Store(true)
			_ = v.Expire(t.Context(), "k")
			_ = read()
			_ = v.Expire(t.Context(), "k")
			down.Store(false)
			up.Add(1)
			if got := read(); got != int(up.Load()) {
				t.Errorf("%s after Expire = %d; want %d", name, got, up.Load())
			}
		}
		_ = c.Close()
	})
}

// TestFailingRefreshRests: a refresh ahead that fails is not repeated by each hit, and
// a caller that leaves is no failure.
func TestFailingRefreshRests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCache(t, cache.Options{})
		v := add(t, c, cache.Strategy[int]{Name: "s", TTL: time.Hour, Jitter: -1, RefreshAhead: 0.5, StaleIfError: time.Hour})
		mustLoad(t, v, "k", tagged(1), 1)
		time.Sleep(40 * time.Minute)
		attempts := 0
		for range 100 {
			mustLoad(t, v, "k", func(context.Context, *cache.Entry[int]) (int, error) {
				attempts++
				return 0, errors.New("down")
			}, 1)
			time.Sleep(100 * time.Millisecond)
		}
		if attempts < 9 || attempts > 11 {
			t.Errorf("%d attempts in 10 s; want one a second", attempts)
		}
		time.Sleep(time.Hour)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, _ = v.Load(ctx, "k", func(ctx context.Context, _ *cache.Entry[int]) (int, error) {
			<-ctx.Done()
			return 0, ctx.Err()
		})
		synctest.Wait()
		mustLoad(t, v, "k", tagged(2), 2)
		_ = c.Close()
	})
}

// TestOldValueOfDeletedTag: an entry that is deleted between the moment when it
// answered as stale and the start of its refresh is not handed to the loader.
func TestOldValueOfDeletedTag(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCache(t, cache.Options{})
		armed := false
		v := add(t, c, cache.Strategy[int]{Name: "s", TTL: time.Minute, Jitter: -1, StaleWhileRevalidate: time.Hour,
			Clone: func(n int) int {
				if armed {
					armed = false
					_ = c.DeleteTag(context.Background(), "t")
				}
				return n
			}})
		mustLoad(t, v, "k", tagged(1, "t"), 1)
		time.Sleep(2 * time.Minute)
		armed = true
		_, _ = v.Load(t.Context(), "k", func(_ context.Context, e *cache.Entry[int]) (int, error) { return e.NotModified() })
		synctest.Wait()
		wantMiss(t, v, "k")
		_ = c.Close()
	})
}

// TestLoadersOfTwoCachesNest: dependencies and cycles are seen through a loader of
// another cache.
func TestLoadersOfTwoCachesNest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c1, c2 := newCache(t, cache.Options{}), newCache(t, cache.Options{})
		v1, v2 := add(t, c1, cache.Strategy[int]{Name: "s"}), add(t, c2, cache.Strategy[int]{Name: "s"})
		through := func(key string, fn cache.Loader[int]) cache.Loader[int] {
			return func(ctx context.Context, _ *cache.Entry[int]) (int, error) {
				return v2.Load(ctx, "via "+key, func(ctx context.Context, _ *cache.Entry[int]) (int, error) { return v1.Load(ctx, key, fn) })
			}
		}
		mustLoad(t, v1, "out", through("in", tagged(1, "t")), 1)
		_ = c1.DeleteTag(t.Context(), "t")
		wantMiss(t, v1, "in", "out")
		if _, err := v1.Load(t.Context(), "loop", through("loop", nil)); !errors.Is(err, cache.ErrCycle) {
			t.Errorf("Load of a loop through another cache: error = %v; want ErrCycle", err)
		}
		_ = errors.Join(c1.Close(), c2.Close())
	})
}

// TestDependOnLaterView: a tag may name an entry of a view that comes later.
func TestDependOnLaterView(t *testing.T) {
	c := newCache(t, cache.Options{})
	v := add(t, c, cache.Strategy[int]{Name: "s"})
	if err := c.Depend("page", "@users:1"); err != nil {
		t.Fatal(err)
	}
	users := add(t, c, cache.Strategy[int]{Name: "users"})
	mustLoad(t, users, "1", tagged(1, "team"), 1)
	mustLoad(t, v, "k", tagged(1, "page"), 1)
	_ = c.DeleteTag(t.Context(), "team")
	wantMiss(t, v, "k")
}

// slowEngine runs a func in its next Get.
type slowEngine struct {
	cache.Engine
	inside func()
}

func (e *slowEngine) Get(key cache.Key) (*cache.Item, bool) {
	if fn := e.inside; fn != nil {
		e.inside = nil
		fn()
	}
	return e.Engine.Get(key)
}

// TestExpiredWithoutWindows: a reader whose clock reading is older than the one with
// which another reader noticed an ExpireTag does not take that for a window.
func TestExpiredWithoutWindows(t *testing.T) {
	for name, fn := range map[string]cache.Loader[int]{
		"served": tagged(2),
		"failed": func(context.Context, *cache.Entry[int]) (int, error) { return 0, errors.New("down") },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var e *slowEngine
				c := newCache(t, cache.Options{Engine: func(o cache.EngineOptions) (cache.Engine, error) {
					inner, err := cache.NewOtter(o)
					e = &slowEngine{Engine: inner}
					return e, err
				}})
				v := add(t, c, cache.Strategy[int]{Name: "s"})
				mustLoad(t, v, "k", tagged(1, "t"), 1)
				e.inside = func() {
					_ = c.ExpireTag(t.Context(), "t")
					time.Sleep(time.Second)
					wantMiss(t, v, "k")
				}
				if got, _ := v.Load(t.Context(), "k", fn); got == 1 {
					t.Error("Load served an expired value without a stale window")
				}
				_ = c.Close()
			})
		})
	}
}
