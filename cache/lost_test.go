package cache_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/perfblocks/perfblocks/cache"
)

// TestDependsOnAfterWrite: an entry that was written while a loader ran hits what
// that loader names it for afterwards, although nobody had named it before.
func TestDependsOnAfterWrite(t *testing.T) {
	for name, write := range map[string]func(ctx context.Context, v *cache.View[int]) error{
		"Set":    func(ctx context.Context, v *cache.View[int]) error { return v.Set(ctx, "in", 2) },
		"Delete": func(ctx context.Context, v *cache.View[int]) error { return v.Delete(ctx, "in") },
		"Expire": func(ctx context.Context, v *cache.View[int]) error { return v.Expire(ctx, "in") },
	} {
		t.Run(name, func(t *testing.T) {
			c := newCache(t, cache.Options{})
			v := add(t, c, cache.Strategy[int]{Name: "s"})
			db := 1
			load := func(after func()) cache.Loader[int] {
				return func(ctx context.Context, e *cache.Entry[int]) (int, error) {
					read := db
					after()
					e.DependsOn(v.Tag("in"))
					return read, nil
				}
			}
			mustLoad(t, v, "out", load(func() {
				db = 2
				if err := write(t.Context(), v); err != nil {
					t.Error(err)
				}
			}), 1)
			mustLoad(t, v, "out", load(func() {}), 2)
			mustLoad(t, v, "out", load(func() { t.Error("loaded again without need") }), 2)
		})
	}
}

// TestJoinAfterUnnamedWrite: who comes after the write does not get what the loader
// read before it, although it joins that loader's flight.
func TestJoinAfterUnnamedWrite(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCache(t, cache.Options{})
		v := add(t, c, cache.Strategy[int]{Name: "s"})
		db, hold := 1, make(chan struct{})
		load := func(ctx context.Context, e *cache.Entry[int]) (int, error) {
			read := db
			<-hold
			e.DependsOn(v.Tag("in"))
			return read, nil
		}
		first, second := make(chan int, 1), make(chan int, 1)
		call := func(to chan int) {
			got, err := v.Load(context.Background(), "out", load)
			if err != nil {
				t.Error(err)
			}
			to <- got
		}
		go call(first)
		synctest.Wait()
		time.Sleep(time.Second)
		db = 2
		_ = v.Delete(t.Context(), "in")
		go call(second)
		synctest.Wait()
		close(hold)
		if got := <-first; got != 1 {
			t.Errorf("Load before the write = %d; want 1", got)
		}
		if got := <-second; got != 2 {
			t.Errorf("Load after the write = %d; want 2", got)
		}
		_ = c.Close()
	})
}
