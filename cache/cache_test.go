package cache_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/perfblocks/perfblocks/cache"
)

// newCache returns a cache that the test closes.
func newCache(t testing.TB, o cache.Options) *cache.Cache {
	t.Helper()
	c, err := cache.New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Errorf("Close() = %v; want nil", err)
		}
	})
	return c
}

func add[V any](t testing.TB, c *cache.Cache, s cache.Strategy[V]) *cache.View[V] {
	t.Helper()
	if s.Jitter == 0 {
		s.Jitter = -1
	}
	v, err := cache.Add(c, s)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// constant returns a loader of val that counts its runs.
func constant[V any](val V, runs *int) cache.Loader[V] {
	return func(context.Context, *cache.Entry[V]) (V, error) {
		*runs++
		return val, nil
	}
}

func mustLoad[V comparable](t testing.TB, v *cache.View[V], key string, fn cache.Loader[V], want V) {
	t.Helper()
	if got, err := v.Load(t.Context(), key, fn); err != nil || got != want {
		t.Errorf("Load(%q) = %v, %v; want %v, nil", key, got, err, want)
	}
}

func TestOptionsReportsAllFields(t *testing.T) {
	_, err := cache.New(cache.Options{MaxBytes: -1, MaxEntries: -2, RemoteTimeout: -1, TagRecheck: -1})
	if !errors.Is(err, cache.ErrOptions) {
		t.Fatalf("New error = %v; want ErrOptions", err)
	}
	for _, field := range []string{"MaxBytes", "MaxEntries", "RemoteTimeout", "TagRecheck"} {
		if !contains(err.Error(), field) {
			t.Errorf("New error %q does not name %s", err, field)
		}
	}
}

func contains(s, sub string) bool {
	for i := 0; i+len(sub) <= len(s); i++ {
		if s[i:i+len(sub)] == sub {
			return true
		}
	}
	return false
}

func TestAddRejects(t *testing.T) {
	c := newCache(t, cache.Options{})
	add(t, c, cache.Strategy[int]{Name: "taken"})
	for _, tc := range []struct {
		name string
		s    cache.Strategy[int]
	}{
		{"no name", cache.Strategy[int]{}},
		{"colon", cache.Strategy[int]{Name: "a:b"}},
		{"control", cache.Strategy[int]{Name: "a\n"}},
		{"taken", cache.Strategy[int]{Name: "taken"}},
		{"swr", cache.Strategy[int]{Name: "x", StaleWhileRevalidate: -1}},
		{"jitter", cache.Strategy[int]{Name: "x", Jitter: 1.5}},
		{"ahead", cache.Strategy[int]{Name: "x", RefreshAhead: 1}},
		{"version", cache.Strategy[int]{Name: "x", Version: -1}},
		{"empty tag", cache.Strategy[int]{Name: "x", Tags: []string{""}}},
		{"compression without codec", cache.Strategy[int]{Name: "x", Compression: cache.Auto}},
		{"unknown compression", cache.Strategy[int]{Name: "x", Compression: 9, Codec: cache.JSON[int]()}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if _, err := cache.Add(c, tc.s); !errors.Is(err, cache.ErrOptions) {
				t.Errorf("Add(%+v) error = %v; want ErrOptions", tc.s, err)
			}
		})
	}
}

func TestViewSetGetDelete(t *testing.T) {
	c := newCache(t, cache.Options{})
	v := add(t, c, cache.Strategy[string]{Name: "s"})
	ctx := t.Context()
	if _, ok := v.Get(ctx, "a"); ok {
		t.Error("Get of an empty cache hit")
	}
	for _, val := range []string{"1", "2"} {
		if err := v.Set(ctx, "a", val); err != nil {
			t.Fatal(err)
		}
		if got, ok := v.Get(ctx, "a"); !ok || got != val {
			t.Errorf("Get after Set(%q) = %q, %v", val, got, ok)
		}
	}
	if err := v.Delete(ctx, "a", "unknown"); err != nil {
		t.Fatal(err)
	}
	if _, ok := v.Get(ctx, "a"); ok {
		t.Error("Get after Delete hit")
	}
	if st := v.Stats(); st.Hits != 2 || st.Misses != 2 || st.Entries != 0 || st.Bytes != 0 {
		t.Errorf("Stats() = %+v; want 2 hits, 2 misses, nothing held", st)
	}
}

func TestViewsDoNotShareKeys(t *testing.T) {
	c := newCache(t, cache.Options{})
	a := add(t, c, cache.Strategy[int]{Name: "a"})
	b := add(t, c, cache.Strategy[string]{Name: "b"})
	_ = a.Set(t.Context(), "k", 1)
	if v, ok := b.Get(t.Context(), "k"); ok {
		t.Errorf("Get of another view's key = %q, true", v)
	}
}

func TestLoadTTL(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCache(t, cache.Options{})
		v := add(t, c, cache.Strategy[int]{Name: "s", TTL: time.Minute})
		runs := 0
		for range 3 {
			mustLoad(t, v, "k", constant(7, &runs), 7)
		}
		time.Sleep(time.Minute - time.Nanosecond)
		mustLoad(t, v, "k", constant(8, &runs), 7)
		time.Sleep(time.Nanosecond)
		mustLoad(t, v, "k", constant(8, &runs), 8)
		if runs != 2 {
			t.Errorf("loader ran %d times; want 2", runs)
		}
		_ = c.Close()
	})
}

func TestLoadStaleWhileRevalidate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCache(t, cache.Options{})
		v := add(t, c, cache.Strategy[int]{Name: "s", TTL: time.Minute, StaleWhileRevalidate: time.Minute})
		runs := 0
		mustLoad(t, v, "k", constant(1, &runs), 1)
		time.Sleep(time.Minute)
		mustLoad(t, v, "k", constant(2, &runs), 1) // old value at once
		synctest.Wait()
		mustLoad(t, v, "k", constant(3, &runs), 2)
		if _, ok := v.Get(t.Context(), "k"); !ok {
			t.Error("Get after the refresh missed")
		}
		time.Sleep(2 * time.Minute)
		mustLoad(t, v, "k", constant(4, &runs), 4) // beyond the window
		if st := v.Stats(); st.StaleHits != 1 || st.Refreshes != 1 || st.Loads != 3 {
			t.Errorf("Stats() = %+v; want 1 stale hit, 1 refresh, 3 loads", st)
		}
		_ = c.Close()
	})
}

func TestLoadStaleIfError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCache(t, cache.Options{})
		v := add(t, c, cache.Strategy[int]{Name: "s", TTL: time.Minute, StaleIfError: time.Minute})
		runs := 0
		down := errors.New("down")
		fail := func(context.Context, *cache.Entry[int]) (int, error) { return 0, down }
		mustLoad(t, v, "k", constant(1, &runs), 1)
		time.Sleep(90 * time.Second)
		mustLoad(t, v, "k", fail, 1)
		if _, ok := v.Get(t.Context(), "k"); ok {
			t.Error("Get served a stale value")
		}
		time.Sleep(30 * time.Second)
		if _, err := v.Load(t.Context(), "k", fail); err != down {
			t.Errorf("Load beyond StaleIfError: error = %v; want %v", err, down)
		}
		_ = c.Close()
	})
}

func TestLoadNegative(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCache(t, cache.Options{})
		v := add(t, c, cache.Strategy[any]{Name: "s", NegativeTTL: time.Second, StaleIfError: time.Hour})
		runs := 0
		gone := errors.Join(errors.New("no row"), cache.ErrNotFound)
		absent := func(context.Context, *cache.Entry[any]) (any, error) { runs++; return nil, gone }
		for range 3 {
			if _, err := v.Load(t.Context(), "k", absent); !errors.Is(err, cache.ErrNotFound) {
				t.Errorf("Load error = %v; want ErrNotFound", err)
			}
		}
		if _, ok := v.Get(t.Context(), "k"); ok {
			t.Error("Get of a cached absence hit")
		}
		if runs != 1 {
			t.Errorf("loader ran %d times; want 1", runs)
		}
		time.Sleep(time.Second)
		_, _ = v.Load(t.Context(), "k", absent)
		if runs != 2 {
			t.Errorf("loader ran %d times after NegativeTTL; want 2", runs)
		}
		_ = c.Close()
	})
}

func TestNotFoundEndsStaleValue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCache(t, cache.Options{})
		v := add(t, c, cache.Strategy[int]{Name: "s", TTL: time.Minute, StaleIfError: time.Hour})
		runs := 0
		mustLoad(t, v, "k", constant(1, &runs), 1)
		time.Sleep(2 * time.Minute)
		for _, err := range []error{cache.ErrNotFound, errors.New("down")} {
			_, got := v.Load(t.Context(), "k", func(context.Context, *cache.Entry[int]) (int, error) { return 0, err })
			if got != err {
				t.Errorf("Load error = %v; want %v", got, err)
			}
		}
		_ = c.Close()
	})
}

func TestNilInterfaceIsAValue(t *testing.T) {
	c := newCache(t, cache.Options{})
	v := add(t, c, cache.Strategy[any]{Name: "s"})
	runs := 0
	mustLoad(t, v, "k", constant[any](nil, &runs), nil)
	mustLoad(t, v, "k", constant[any](nil, &runs), nil)
	if runs != 1 {
		t.Errorf("loader ran %d times; want 1", runs)
	}
}

func TestIdle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCache(t, cache.Options{})
		v := add(t, c, cache.Strategy[int]{Name: "s", TTL: time.Hour, Idle: time.Minute})
		_ = v.Set(t.Context(), "k", 1)
		for range 5 {
			time.Sleep(50 * time.Second)
			if _, ok := v.Get(t.Context(), "k"); !ok {
				t.Fatal("Get of a value in use missed")
			}
		}
		time.Sleep(time.Minute)
		if _, ok := v.Get(t.Context(), "k"); ok {
			t.Error("Get after Idle hit")
		}
		_ = c.Close()
	})
}

func TestRefreshAhead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCache(t, cache.Options{})
		v := add(t, c, cache.Strategy[int]{Name: "s", TTL: time.Minute, RefreshAhead: 0.5})
		runs := 0
		mustLoad(t, v, "k", constant(1, &runs), 1)
		time.Sleep(30 * time.Second)
		mustLoad(t, v, "k", constant(2, &runs), 1)
		synctest.Wait()
		mustLoad(t, v, "k", constant(3, &runs), 2)
		if runs != 2 {
			t.Errorf("loader ran %d times; want 2", runs)
		}
		_ = c.Close()
	})
}

func TestEntrySetTTLAndNotModified(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCache(t, cache.Options{})
		v := add(t, c, cache.Strategy[int]{Name: "s", TTL: time.Minute, StaleIfError: time.Hour})
		mustLoad(t, v, "k", func(_ context.Context, e *cache.Entry[int]) (int, error) {
			e.SetTTL(time.Second)
			e.DependsOn("t")
			if e.Key() != "k" {
				t.Errorf("Key() = %q; want k", e.Key())
			}
			if _, ok := e.Stale(); ok {
				t.Error("Stale() of a first load = true")
			}
			return 1, nil
		}, 1)
		time.Sleep(time.Second)
		mustLoad(t, v, "k", func(_ context.Context, e *cache.Entry[int]) (int, error) { return e.NotModified() }, 1)
		time.Sleep(59 * time.Second)
		if _, ok := v.Get(t.Context(), "k"); !ok {
			t.Error("Get after NotModified missed")
		}
		_ = c.DeleteTag(t.Context(), "t") // kept by NotModified
		_, err := v.Load(t.Context(), "k", func(_ context.Context, e *cache.Entry[int]) (int, error) { return e.NotModified() })
		if !errors.Is(err, cache.ErrNotFound) {
			t.Errorf("NotModified after DeleteTag: error = %v; want ErrNotFound", err)
		}
		_ = c.Close()
	})
}

func TestHardTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCache(t, cache.Options{})
		v := add(t, c, cache.Strategy[int]{Name: "s", HardTimeout: time.Second})
		release := make(chan struct{})
		deaf := func(context.Context, *cache.Entry[int]) (int, error) { <-release; return 1, nil }
		begun := time.Now()
		if _, err := v.Load(t.Context(), "k", deaf); !errors.Is(err, cache.ErrTimeout) {
			t.Errorf("Load error = %v; want ErrTimeout", err)
		}
		if d := time.Since(begun); d != time.Second {
			t.Errorf("Load took %v; want 1s", d)
		}
		close(release)
		synctest.Wait()
		if _, ok := v.Get(t.Context(), "k"); ok {
			t.Error("a load that timed out was stored")
		}
		_ = c.Close()
	})
}

func TestDisabledPassesThrough(t *testing.T) {
	c := newCache(t, cache.Options{Disabled: true})
	v := add(t, c, cache.Strategy[int]{Name: "s"})
	ctx := t.Context()
	runs := 0
	for range 2 {
		mustLoad(t, v, "k", func(_ context.Context, e *cache.Entry[int]) (int, error) {
			runs++
			e.DependsOn("t")
			e.SetTTL(time.Second)
			return 5, nil
		}, 5)
	}
	if runs != 2 {
		t.Errorf("loader ran %d times; want 2", runs)
	}
	if err := errors.Join(v.Set(ctx, "k", 1), v.Delete(ctx, "k"), c.DeleteTag(ctx, "t"), c.Depend("a", "b")); err != nil {
		t.Errorf("writes: %v; want nil", err)
	}
	if _, ok := v.Get(ctx, "k"); ok {
		t.Error("Get hit")
	}
	got, err := v.LoadMany(ctx, []string{"a", "a", "b"}, func(_ context.Context, missing []string) (map[string]int, error) {
		return map[string]int{"a": len(missing)}, nil
	})
	if err != nil || got["a"] != 2 {
		t.Errorf("LoadMany = %v, %v; want a: 2", got, err)
	}
}

func TestClosed(t *testing.T) {
	c := newCache(t, cache.Options{})
	v := add(t, c, cache.Strategy[int]{Name: "s"})
	_ = v.Set(t.Context(), "k", 1)
	if err := errors.Join(c.Close(), c.Close()); err != nil {
		t.Fatal(err)
	}
	runs := 0
	mustLoad(t, v, "k", constant(2, &runs), 2)
	if err := v.Set(t.Context(), "k", 3); !errors.Is(err, cache.ErrClosed) {
		t.Errorf("Set after Close: error = %v; want ErrClosed", err)
	}
	if err := c.DeleteTag(t.Context(), "t"); !errors.Is(err, cache.ErrClosed) {
		t.Errorf("DeleteTag after Close: error = %v; want ErrClosed", err)
	}
	if _, err := cache.Add(c, cache.Strategy[int]{Name: "x"}); !errors.Is(err, cache.ErrClosed) {
		t.Errorf("Add after Close: error = %v; want ErrClosed", err)
	}
}

func TestCloseEndsLoads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCache(t, cache.Options{})
		v := add(t, c, cache.Strategy[int]{Name: "s"})
		errs := make(chan error, 1)
		go func() {
			_, err := v.Load(context.Background(), "k", func(ctx context.Context, _ *cache.Entry[int]) (int, error) {
				<-ctx.Done()
				return 0, ctx.Err()
			})
			errs <- err
		}()
		synctest.Wait()
		_ = c.Close()
		if err := <-errs; !errors.Is(err, cache.ErrClosed) {
			t.Errorf("Load during Close: error = %v; want ErrClosed", err)
		}
	})
}
