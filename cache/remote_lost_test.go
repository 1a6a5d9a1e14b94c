package cache_test

import (
	"context"
	"testing"
	"testing/synctest"

	"github.com/perfblocks/perfblocks/cache"
)

// TestRemoteSetOvertakenByPush: a Set whose position is older than that of another
// node's write, of which the push has come already, does not bring its value back.
func TestRemoteSetOvertakenByPush(t *testing.T) {
	nodes(t, cache.Strategy[string]{}, func(t *testing.T, r *fakeRemote, a, b *cache.View[string], _, _ *cache.Cache) {
		r.set(func(r *fakeRemote) {
			r.after = func() {
				r.set(func(r *fakeRemote) { r.after = nil })
				if err := b.Set(t.Context(), "k", "later"); err != nil {
					t.Error(err)
				}
				synctest.Wait()
			}
		})
		if err := a.Set(t.Context(), "k", "earlier"); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if got, ok := a.Get(t.Context(), "k"); ok && got != "later" {
			t.Errorf("Get = %q on the node that was overtaken; want a miss or %q", got, "later")
		}
		if got, ok := b.Get(t.Context(), "k"); !ok || got != "later" {
			t.Errorf("Get = %q, %v on the node that wrote last", got, ok)
		}
	})
}

// TestRemoteRecordOfDerived: what depends on an entry by DependsOn alone is hit, on
// all nodes and in the second level, by what invalidates that entry.
func TestRemoteRecordOfDerived(t *testing.T) {
	nodes(t, cache.Strategy[string]{}, func(t *testing.T, _ *fakeRemote, a, b *cache.View[string], _, cb *cache.Cache) {
		db := &row{val: "1"}
		outer := func(_ context.Context, e *cache.Entry[string]) (string, error) {
			db.mu.Lock()
			defer db.mu.Unlock()
			e.DependsOn(a.Tag("in"))
			return "out" + db.val, nil
		}
		mustLoad(t, a, "in", db.load, "1")
		mustLoad(t, a, "out", outer, "out1")
		synctest.Wait()
		mustLoad(t, b, "in", db.load, "1")
		mustLoad(t, b, "out", outer, "out1")
		db.set("2")
		if err := cb.DeleteTag(t.Context(), "t"); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		mustLoad(t, b, "out", outer, "out2")
		mustLoad(t, a, "out", outer, "out2")
	})
}
