package cache_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/perfblocks/perfblocks/cache"
)

// TestRemoteDownDoesNotQueue: while the remote hangs, invalidations are remembered
// and do not wait for each other.
func TestRemoteDownDoesNotQueue(t *testing.T) {
	nodes(t, cache.Strategy[string]{}, func(t *testing.T, r *fakeRemote, a, b *cache.View[string], ca, _ *cache.Cache) {
		db := &row{val: "1"}
		mustLoad(t, b, "k", db.load, "1")
		r.set(func(r *fakeRemote) { r.hang = true })
		begun := time.Now()
		var wg sync.WaitGroup
		for i := range 500 {
			wg.Go(func() {
				if err := ca.DeleteTag(t.Context(), fmt.Sprint(i)); err == nil {
					t.Error("DeleteTag with a remote that hangs: no error")
				}
			})
		}
		wg.Wait()
		if d := time.Since(begun); d > 2*time.Second {
			t.Errorf("500 invalidations took %v", d)
		}
		db.set("2")
		_ = a.Delete(t.Context(), "k")
		r.set(func(r *fakeRemote) { r.hang = false })
		time.Sleep(3 * time.Second) // and no call comes to node a
		synctest.Wait()
		mustLoad(t, b, "k", db.load, "2")
	})
}

// TestRemoteDebtsAreBounded: more invalidations than a node remembers, while the
// remote fails, become one of everything.
func TestRemoteDebtsAreBounded(t *testing.T) {
	nodes(t, cache.Strategy[string]{}, func(t *testing.T, r *fakeRemote, a, b *cache.View[string], ca, _ *cache.Cache) {
		db := &row{val: "1"}
		mustLoad(t, a, "k", db.load, "1")
		mustLoad(t, b, "k", db.load, "1")
		db.set("2")
		r.set(func(r *fakeRemote) { r.fail = errors.New("down") })
		_ = a.Delete(t.Context(), "k")
		for i := range 200 {
			var tags []string
			for j := range 100 {
				tags = append(tags, fmt.Sprint(i, " ", j))
			}
			_ = ca.DeleteTag(t.Context(), tags...)
		}
		r.set(func(r *fakeRemote) { r.fail = nil })
		before := r.count("invalidate")
		time.Sleep(5 * time.Second)
		synctest.Wait()
		if n := r.count("invalidate") - before; n > 20 {
			t.Errorf("%d calls for 20,000 tags; want a few", n)
		}
		mustLoad(t, b, "k", db.load, "2")
		mustLoad(t, a, "k", db.load, "2")
	})
}

// TestRemoteHookMayLoad: the hook of a failure runs while others may go on.
func TestRemoteHookMayLoad(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newFakeRemote()
		var c *cache.Cache
		var v *cache.View[string]
		depth := 0
		c = newCache(t, cache.Options{Remote: r, Hooks: cache.Hooks{Remote: func(ev cache.RemoteErrorEvent) {
			if ev.Op == "invalidate" && depth < 3 {
				depth++
				_ = c.DeleteTag(t.Context(), "again")
			}
		}}})
		v = add(t, c, cache.Strategy[string]{Name: "s", Codec: cache.Raw[string]()})
		r.set(func(r *fakeRemote) { r.fail = errors.New("down") })
		_ = v.Delete(t.Context(), "k")
		if depth == 0 {
			t.Error("the hook was not called")
		}
		_ = c.Close()
	})
}

// TestRemoteIgnoresImpatientCallers: a caller that leaves does not open the circuit.
func TestRemoteIgnoresImpatientCallers(t *testing.T) {
	nodes(t, cache.Strategy[string]{}, func(t *testing.T, r *fakeRemote, a, _ *cache.View[string], ca, _ *cache.Cache) {
		r.set(func(r *fakeRemote) { r.hang = true })
		for range 20 {
			ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
			if err := ca.DeleteTag(ctx, "t"); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("DeleteTag error = %v; want DeadlineExceeded", err)
			}
			cancel()
		}
		if st := ca.Stats(); st.RemoteErrors != 0 {
			t.Errorf("RemoteErrors = %d; want 0", st.RemoteErrors)
		}
		r.set(func(r *fakeRemote) { r.hang = false })
		if err := ca.DeleteTag(t.Context(), "t"); err != nil {
			t.Errorf("DeleteTag error = %v", err)
		}
	})
}

// TestRemoteOvertakenSet: of two Sets of a key at the same time, both nodes keep the
// one that the remote took last.
func TestRemoteOvertakenSet(t *testing.T) {
	slow := cache.Strategy[string]{Name: "s", Codec: cache.Raw[string](), SizeOf: func(val string) int64 {
		if val == "slow" {
			time.Sleep(time.Second) // between the remote and memory
		}
		return 1
	}}
	nodes(t, slow, func(t *testing.T, _ *fakeRemote, a, b *cache.View[string], _, _ *cache.Cache) {
		var wg sync.WaitGroup
		wg.Go(func() { _ = a.Set(t.Context(), "k", "slow") })
		synctest.Wait()
		_ = a.Set(t.Context(), "k", "last")
		wg.Wait()
		synctest.Wait()
		mustLoad(t, b, "k", constant("none", new(int)), "last")
		mustLoad(t, a, "k", constant("none", new(int)), "last")
	})
}
