package rediscache_test

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/perfblocks/perfblocks/cache"
	"github.com/perfblocks/perfblocks/cache/rediscache"
	"github.com/perfblocks/perfblocks/internal/realtest"
)

// leaseViews are four nodes, each with a remote of its own.
func leaseViews(t *testing.T, o rediscache.Options, lease time.Duration) []*cache.View[string] {
	t.Helper()
	var views []*cache.View[string]
	for range 4 {
		n := newNode(t, o, cache.Options{TagRecheck: time.Hour})
		v, err := cache.Add(n.c, cache.Strategy[string]{Name: "led", TTL: time.Hour, Codec: cache.Raw[string](), Lease: lease})
		if err != nil {
			t.Fatal(err)
		}
		n.listening(t)
		views = append(views, v)
	}
	return views
}

// loadAll loads key on all nodes from several goroutines at once.
func loadAll(t *testing.T, views []*cache.View[string], key string, load cache.Loader[string]) {
	t.Helper()
	var wg sync.WaitGroup
	for _, v := range views {
		for range 4 {
			wg.Go(func() {
				if got, err := v.Load(context.Background(), key, load); got != "v" || err != nil {
					t.Errorf("Load = %q, %v", got, err)
				}
			})
		}
	}
	wg.Wait()
}

// TestNodesLoadOnce: a cold key is loaded once on four nodes together.
func TestNodesLoadOnce(t *testing.T) {
	t.Parallel()
	views := leaseViews(t, rediscache.Options{URL: realtest.Redis(t), Prefix: unique(t)}, 30*time.Second)
	for i := range 20 {
		var loads atomic.Int64
		loadAll(t, views, fmt.Sprint("k", i), func(context.Context, *cache.Entry[string]) (string, error) {
			loads.Add(1)
			time.Sleep(20 * time.Millisecond) // a database at work
			return "v", nil
		})
		if got := loads.Load(); got != 1 {
			t.Errorf("key %d: %d loads; want 1", i, got)
		}
	}
}

// TestNodesLeaseHolderDies: a node that took the lease and died holds up the others
// for as long as the lease lasts.
func TestNodesLeaseHolderDies(t *testing.T) {
	t.Parallel()
	o := rediscache.Options{URL: realtest.Redis(t), Prefix: unique(t)}
	views := leaseViews(t, o, 30*time.Second)
	dead := newRemote(t, o)
	const held = 300 * time.Millisecond
	begun := time.Now()
	if ok, err := dead.Lease(t.Context(), "led:0:k", "dead", held); !ok || err != nil {
		t.Fatalf("Lease = %v, %v", ok, err)
	}
	var loads atomic.Int64
	loadAll(t, views, "k", func(context.Context, *cache.Entry[string]) (string, error) {
		loads.Add(1)
		return "v", nil
	})
	if took := time.Since(begun); loads.Load() != 1 || took < held || took > 20*time.Second {
		t.Errorf("%d loads after %v; want 1 after %v", loads.Load(), took, held)
	}
}

// TestRemoteLease: a lease has one holder, who alone gives it back, and an end.
func TestRemoteLease(t *testing.T) {
	t.Parallel()
	url := realtest.Redis(t)
	o := rediscache.Options{URL: url, Prefix: unique(t)}
	a, b, see := newRemote(t, o), newRemote(t, o), newRaw(t, url)
	lease := func(r *rediscache.Remote, token string, d time.Duration, want bool) {
		t.Helper()
		if got, err := r.Lease(t.Context(), "k", token, d); got != want || err != nil {
			t.Errorf("Lease(%s) = %v, %v; want %v", token, got, err, want)
		}
	}
	unlease := func(r *rediscache.Remote, token string) {
		t.Helper()
		if err := r.Unlease(t.Context(), "k", token); err != nil {
			t.Errorf("Unlease(%s) error = %v", token, err)
		}
	}
	lease(a, "a", time.Minute, true)
	lease(b, "b", time.Minute, false)
	lease(a, "a", time.Minute, false)
	unlease(b, "b") // not its own
	lease(b, "b", time.Minute, false)
	if ms, err := see.do("PTTL", o.Prefix+"l:k").AsInt64(); ms <= 0 || ms > 60_000 || err != nil {
		t.Errorf("the lease ends in %d ms, %v", ms, err)
	}
	unlease(a, "a")
	unlease(a, "a")
	lease(b, "b", time.Nanosecond, true)
	if st := b.Stats(); st.Leases != 1 || st.LeasesHeld != 2 {
		t.Errorf("%d leases taken, %d refused; want 1 and 2", st.Leases, st.LeasesHeld)
	}
	eventually(t, 10*time.Second, "the lease ends", func() bool {
		got, err := a.Lease(t.Context(), "k", "a", time.Minute)
		return got && err == nil
	})
}

// TestNodesLeaseRedisGone: without Redis each node loads for itself.
func TestNodesLeaseRedisGone(t *testing.T) {
	t.Parallel()
	s := newServer(t, "")
	views := leaseViews(t, rediscache.Options{URL: s.url(), Prefix: unique(t), Timeout: time.Second}, time.Minute)
	s.kill()
	var loads atomic.Int64
	begun := time.Now()
	loadAll(t, views, "k", func(context.Context, *cache.Entry[string]) (string, error) {
		loads.Add(1)
		return "v", nil
	})
	if got := loads.Load(); got != 4 || time.Since(begun) > 30*time.Second {
		t.Errorf("%d loads in %v; want one for each node", got, time.Since(begun))
	}
}
