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

func TestOneLoadPerKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCache(t, cache.Options{})
		v := add(t, c, cache.Strategy[int]{Name: "s"})
		var runs atomic.Int32
		var wg sync.WaitGroup
		for range 10_000 {
			wg.Go(func() {
				got, err := v.Load(t.Context(), "k", func(context.Context, *cache.Entry[int]) (int, error) {
					time.Sleep(time.Second)
					return int(runs.Add(1)), nil
				})
				if got != 1 || err != nil {
					t.Errorf("Load = %d, %v; want 1, nil", got, err)
				}
			})
		}
		wg.Wait()
		if n := runs.Load(); n != 1 {
			t.Errorf("loader ran %d times; want 1", n)
		}
		_ = c.Close()
	})
}

func TestWaitersFollowTheirOwnContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCache(t, cache.Options{})
		v := add(t, c, cache.Strategy[int]{Name: "s"})
		load := func(ctx context.Context, _ *cache.Entry[int]) (int, error) {
			select {
			case <-time.After(time.Minute):
				return 1, nil
			case <-ctx.Done():
				return 0, ctx.Err()
			}
		}
		cause := errors.New("leader gave up")
		leader, cancel := context.WithCancelCause(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() {
			if _, err := v.Load(leader, "k", load); !errors.Is(err, context.Canceled) || !errors.Is(err, cause) {
				t.Errorf("leader's Load error = %v; want Canceled and its cause", err)
			}
		})
		synctest.Wait()
		wg.Go(func() { mustLoad(t, v, "k", load, 1) })
		wg.Go(func() {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			if _, err := v.Load(ctx, "k", load); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("waiter's Load error = %v; want DeadlineExceeded", err)
			}
		})
		synctest.Wait()
		cancel(cause)
		wg.Wait()
		wantHit(t, v, "k")
		_ = c.Close()
	})
}

// TestAbandonedLoad: when all callers have gone the loader is cancelled, and the
// next caller does not inherit its fate.
func TestAbandonedLoad(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCache(t, cache.Options{})
		v := add(t, c, cache.Strategy[int]{Name: "s"})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		release := make(chan struct{})
		_, err := v.Load(ctx, "k", func(ctx context.Context, _ *cache.Entry[int]) (int, error) {
			<-ctx.Done()
			<-release
			return 0, ctx.Err()
		})
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Load error = %v; want DeadlineExceeded", err)
		}
		mustLoad(t, v, "k", tagged(2), 2)
		close(release)
		synctest.Wait()
		wantHit(t, v, "k")
		_ = c.Close()
	})
}

func TestLoaderPanics(t *testing.T) {
	cause := errors.New("boom")
	for name, tc := range map[string]struct {
		fn   func()
		want string
	}{
		"error":  {func() { panic(cause) }, "boom"},
		"string": {func() { panic("secret") }, "cache: load: loader panicked with a string"},
		"Goexit": {func() { runtime.Goexit() }, "cache: load: loader called runtime.Goexit"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := newCache(t, cache.Options{})
				v := add(t, c, cache.Strategy[int]{Name: "s"})
				var wg sync.WaitGroup
				for range 3 {
					wg.Go(func() {
						_, err := v.Load(t.Context(), "k", func(context.Context, *cache.Entry[int]) (int, error) {
							time.Sleep(time.Second)
							tc.fn()
							return 0, nil
						})
						pe, ok := errors.AsType[*cache.PanicError](err)
						if !ok || !contains(pe.Error(), tc.want) {
							t.Errorf("Load error = %v; want a PanicError with %q", err, tc.want)
						}
						if name == "error" && !errors.Is(err, cause) {
							t.Errorf("errors.Is(%v, cause) = false", err)
						}
					})
				}
				wg.Wait()
				mustLoad(t, v, "k", tagged(2), 2)
				_, err := v.LoadMany(t.Context(), []string{"a", "b"}, func(context.Context, []string) (map[string]int, error) {
					tc.fn()
					return nil, nil
				})
				if _, ok := errors.AsType[*cache.PanicError](err); !ok {
					t.Errorf("LoadMany error = %v; want a PanicError", err)
				}
				mustLoad(t, v, "a", tagged(3), 3)
				_ = c.Close()
			})
		})
	}
}

func TestPanicOfStrategyFuncs(t *testing.T) {
	c := newCache(t, cache.Options{})
	v := add(t, c, cache.Strategy[int]{Name: "s", SizeOf: func(int) int64 { panic("size") }})
	_, err := v.Load(t.Context(), "k", tagged(1))
	if _, ok := errors.AsType[*cache.PanicError](err); !ok {
		t.Errorf("Load error = %v; want a PanicError", err)
	}
}

func TestLoadOfItself(t *testing.T) {
	c := newCache(t, cache.Options{})
	v := add(t, c, cache.Strategy[int]{Name: "s"})
	var a, b cache.Loader[int]
	a = func(ctx context.Context, _ *cache.Entry[int]) (int, error) { return v.Load(ctx, "b", b) }
	b = func(ctx context.Context, _ *cache.Entry[int]) (int, error) { return v.Load(ctx, "a", a) }
	if _, err := v.Load(t.Context(), "a", a); !errors.Is(err, cache.ErrCycle) {
		t.Errorf("Load of a loop: error = %v; want ErrCycle", err)
	}
	self := func(ctx context.Context, _ *cache.Entry[int]) (int, error) {
		m, err := v.LoadMany(ctx, []string{"x", "y"}, func(context.Context, []string) (map[string]int, error) {
			return map[string]int{"y": 1}, nil
		})
		return m["x"], err
	}
	if _, err := v.Load(t.Context(), "x", self); !errors.Is(err, cache.ErrCycle) {
		t.Errorf("Load of itself: error = %v; want ErrCycle", err)
	}
}

// TestCrossedLoads: two loaders that want each other's key, started apart.
func TestCrossedLoads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCache(t, cache.Options{})
		v := add(t, c, cache.Strategy[int]{Name: "s"})
		want := func(key string) cache.Loader[int] {
			return func(ctx context.Context, _ *cache.Entry[int]) (int, error) {
				time.Sleep(time.Second)
				return v.Load(ctx, key, tagged(1))
			}
		}
		var cycles atomic.Int32
		var wg sync.WaitGroup
		for _, k := range [][2]string{{"a", "b"}, {"b", "a"}} {
			wg.Go(func() {
				if _, err := v.Load(t.Context(), k[0], want(k[1])); errors.Is(err, cache.ErrCycle) {
					cycles.Add(1)
				}
			})
		}
		wg.Wait()
		if cycles.Load() == 0 {
			t.Error("no load returned ErrCycle")
		}
		_ = c.Close()
	})
}

func TestLoadMany(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCache(t, cache.Options{})
		v := add(t, c, cache.Strategy[int]{Name: "s", NegativeTTL: time.Hour})
		_ = v.Set(t.Context(), "a", 1)
		var wg sync.WaitGroup
		wg.Go(func() {
			mustLoad(t, v, "b", func(context.Context, *cache.Entry[int]) (int, error) { time.Sleep(time.Minute); return 2, nil }, 2)
		})
		synctest.Wait()
		var asked []string
		runs := 0
		load := func(_ context.Context, missing []string) (map[string]int, error) {
			runs++
			asked = missing
			return map[string]int{"c": 3, "unasked": 9}, nil
		}
		got, err := v.LoadMany(t.Context(), []string{"a", "b", "c", "none", "c"}, load)
		if err != nil || fmt.Sprint(got) != "map[a:1 b:2 c:3]" || fmt.Sprint(asked) != "[c none]" {
			t.Errorf("LoadMany = %v, %v, asked for %v", got, err, asked)
		}
		got, err = v.LoadMany(t.Context(), []string{"c", "none"}, load)
		if err != nil || len(got) != 1 || runs != 1 {
			t.Errorf("second LoadMany = %v, %v, %d runs; want c alone, 1 run", got, err, runs)
		}
		wantMiss(t, v, "unasked")
		wg.Wait()
		if got, err := v.LoadMany(t.Context(), nil, load); err != nil || got == nil || len(got) != 0 {
			t.Errorf("LoadMany of no keys = %v, %v; want an empty map", got, err)
		}
		down := errors.New("down")
		got, err = v.LoadMany(t.Context(), []string{"a", "x"}, func(context.Context, []string) (map[string]int, error) { return nil, down })
		if err != down || got["a"] != 1 {
			t.Errorf("LoadMany with a failing loader = %v, %v; want a: 1 and the error", got, err)
		}
		_ = c.Close()
	})
}

func TestLoadManyLeaves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCache(t, cache.Options{})
		v := add(t, c, cache.Strategy[int]{Name: "s"})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		cancelled := false
		_, err := v.LoadMany(ctx, []string{"a", "b", "c"}, func(ctx context.Context, _ []string) (map[string]int, error) {
			<-ctx.Done()
			cancelled = true
			return nil, ctx.Err()
		})
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("LoadMany error = %v; want DeadlineExceeded", err)
		}
		synctest.Wait()
		if !cancelled {
			t.Error("the loader was not cancelled")
		}
		mustLoad(t, v, "a", tagged(1), 1)
		_ = c.Close()
	})
}

// TestCloseBesideAll: calls that run while the cache is closed answer or say that
// it is closed.
func TestCloseBesideAll(t *testing.T) {
	for range 20 {
		synctest.Test(t, func(t *testing.T) {
			c := newCache(t, cache.Options{Remote: newFakeRemote(), MaxEntries: 10})
			v := add(t, c, cache.Strategy[string]{Name: "s", Codec: cache.Raw[string](), StaleWhileRevalidate: time.Hour})
			load := func(_ context.Context, e *cache.Entry[string]) (string, error) {
				e.DependsOn("t")
				return e.Key(), nil
			}
			ctx := t.Context()
			ok := func(err error) {
				if err != nil && !errors.Is(err, cache.ErrClosed) && !errors.Is(err, context.Canceled) {
					t.Errorf("error beside Close: %v", err)
				}
			}
			var wg sync.WaitGroup
			for g := range 4 {
				wg.Go(func() {
					for i := range 50 {
						k := fmt.Sprint((i + g) % 20)
						if got, err := v.Load(ctx, k, load); err == nil && got != k && got != "set" {
							t.Errorf("Load(%s) = %q", k, got)
						} else {
							ok(err)
						}
						ok(v.Set(ctx, k, "set"))
						ok(c.ExpireTag(ctx, "t"))
						_, err := v.LoadMany(ctx, []string{k, "x"}, func(_ context.Context, ids []string) (map[string]string, error) {
							return map[string]string{}, nil
						})
						ok(err)
						c.Shrink(ctx, 0.5)
						c.Stats()
					}
				})
			}
			wg.Go(func() { ok(c.Close()) })
			wg.Wait()
		})
	}
}
