package cache_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/perfblocks/perfblocks/cache"
)

// leaseRemote is a fakeRemote with leases.
type leaseRemote struct {
	*fakeRemote
	held map[string]heldLease // guarded by fakeRemote.mu
}

type heldLease struct {
	token string
	end   time.Time
}

func newLeaseRemote() *leaseRemote {
	return &leaseRemote{fakeRemote: newFakeRemote(), held: map[string]heldLease{}}
}

func (r *leaseRemote) Lease(ctx context.Context, key, token string, d time.Duration) (bool, error) {
	if err := r.enter(ctx, "lease"); err != nil {
		return false, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if l, ok := r.held[key]; ok && time.Now().Before(l.end) {
		return false, nil
	}
	r.held[key] = heldLease{token, time.Now().Add(d)}
	return true, nil
}

func (r *leaseRemote) Unlease(ctx context.Context, key, token string) error {
	if err := r.enter(ctx, "unlease"); err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.held[key].token == token {
		delete(r.held, key)
	}
	return nil
}

// leaseNodes are four nodes over one remote, and a loader that takes a second.
type leaseNodes struct {
	views []*cache.View[string]
	loads atomic.Int64
	err   error
}

func newLeaseNodes(t *testing.T, remote cache.Remote, s cache.Strategy[string]) *leaseNodes {
	t.Helper()
	n := &leaseNodes{}
	s.Name, s.TTL, s.Codec = "s", time.Hour, cache.Raw[string]()
	for range 4 {
		c, err := cache.New(cache.Options{Remote: remote})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Close() })
		v, err := cache.Add(c, s)
		if err != nil {
			t.Fatal(err)
		}
		n.views = append(n.views, v)
	}
	synctest.Wait() // all listen to the pushes
	return n
}

func (n *leaseNodes) load(ctx context.Context, _ *cache.Entry[string]) (string, error) {
	n.loads.Add(1)
	time.Sleep(time.Second)
	return "v", n.err
}

// all loads the key on all nodes at once, and returns how long the last one took.
func (n *leaseNodes) all(t *testing.T, key string) time.Duration {
	t.Helper()
	begun := time.Now()
	var wg sync.WaitGroup
	for i, v := range n.views {
		wg.Go(func() {
			if got, err := v.Load(context.Background(), key, n.load); err != n.err || n.err == nil && got != "v" {
				t.Errorf("node %d: Load = %q, %v", i, got, err)
			}
		})
	}
	wg.Wait()
	return time.Since(begun)
}

func TestLeaseOneLoad(t *testing.T) {
	for _, tt := range []struct {
		lease time.Duration
		want  int64
	}{{10 * time.Second, 1}, {0, 4}} {
		synctest.Test(t, func(t *testing.T) {
			n := newLeaseNodes(t, newLeaseRemote(), cache.Strategy[string]{Lease: tt.lease})
			if took := n.all(t, "k"); took > 1100*time.Millisecond {
				t.Errorf("took %v", took)
			}
			if got := n.loads.Load(); got != tt.want {
				t.Errorf("with a lease of %v: %d loads; want %d", tt.lease, got, tt.want)
			}
			for _, v := range n.views {
				if _, ok := v.Get(t.Context(), "k"); !ok {
					t.Error("a node does not hold the value")
				}
			}
		})
	}
}

// TestLeaseHolderDies: a lease that nobody gives back ends; then the others load once.
func TestLeaseHolderDies(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newLeaseRemote()
		n := newLeaseNodes(t, r, cache.Strategy[string]{Lease: 10 * time.Second})
		if ok, err := r.Lease(t.Context(), "s:0:k", "dead", 2*time.Second); !ok || err != nil {
			t.Fatal(ok, err)
		}
		took := n.all(t, "k")
		if got := n.loads.Load(); got != 1 || took < 2*time.Second || took > 3200*time.Millisecond {
			t.Errorf("%d loads in %v; want 1 after the 2 s of the lease", got, took)
		}
	})
}

// TestLeaseBound: whatever the second level does, a Load is delayed by the lease and
// two timeouts at most, and never fails for it.
func TestLeaseBound(t *testing.T) {
	const lease, timeout, load = 2 * time.Second, 100 * time.Millisecond, time.Second
	for name, spoil := range map[string]func(*leaseRemote){
		"fails": func(r *leaseRemote) { r.fail = errors.New("down") },
		"hangs": func(r *leaseRemote) { r.hang = true },
		"taken for ever": func(r *leaseRemote) {
			for i := range 3 {
				r.held[fmt.Sprint("s:0:", i)] = heldLease{"x", time.Now().Add(time.Hour)}
			}
		},
		"hangs later": func(r *leaseRemote) {
			r.held["s:0:0"] = heldLease{"x", time.Now().Add(time.Hour)}
			time.AfterFunc(lease-time.Millisecond, func() { r.set(func(r *fakeRemote) { r.hang = true }) })
		},
	} {
		synctest.Test(t, func(t *testing.T) {
			r := newLeaseRemote()
			n := newLeaseNodes(t, r, cache.Strategy[string]{Lease: lease})
			r.set(func(*fakeRemote) { spoil(r) })
			for i := range 3 {
				// The first look and the position cost a timeout each without leases too.
				if took := n.all(t, fmt.Sprint(i)); took > load+lease+2*timeout+2*timeout {
					t.Errorf("%s: Load took %v", name, took)
				}
			}
			r.set(func(f *fakeRemote) { f.hang = false })
		})
	}
}

// TestLeaseFailedLoad: a loader that fails gives the lease back, so that the others
// do not wait for its end.
func TestLeaseFailedLoad(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newLeaseRemote()
		n := newLeaseNodes(t, r, cache.Strategy[string]{Lease: time.Minute})
		n.err = errors.New("no luck")
		if took := n.all(t, "k"); took > 4400*time.Millisecond {
			t.Errorf("took %v", took)
		}
		if got := n.loads.Load(); got != 4 {
			t.Errorf("%d loads; want one for each node", got)
		}
		r.mu.Lock()
		defer r.mu.Unlock()
		if len(r.held) > 0 {
			t.Error("a lease was not given back")
		}
	})
}

// TestLeaseInvalidated: what was loaded under the lease before an invalidation does
// not answer a node that asked after it.
func TestLeaseInvalidated(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newLeaseNodes(t, newLeaseRemote(), cache.Strategy[string]{Lease: time.Minute})
		var val atomic.Value
		val.Store("old")
		load := func(context.Context, *cache.Entry[string]) (string, error) {
			got := val.Load()
			time.Sleep(time.Second)
			return got.(string), nil
		}
		var wg sync.WaitGroup
		wg.Go(func() { _, _ = n.views[0].Load(context.Background(), "k", load) })
		time.Sleep(500 * time.Millisecond)
		val.Store("new")
		if err := n.views[1].Delete(t.Context(), "k"); err != nil {
			t.Fatal(err)
		}
		for _, v := range n.views[1:] {
			wg.Go(func() {
				if got, err := v.Load(context.Background(), "k", load); got != "new" || err != nil {
					t.Errorf("Load = %q, %v; want the new value", got, err)
				}
			})
		}
		wg.Wait()
	})
}

// TestLeaseNobodyWaits: a loader is not run for callers that left while their node waited
// for the lease.
func TestLeaseNobodyWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newLeaseRemote()
		n := newLeaseNodes(t, r, cache.Strategy[string]{Lease: time.Minute})
		if ok, err := r.Lease(t.Context(), "s:0:k", "another", time.Minute); !ok || err != nil {
			t.Fatal(ok, err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := n.views[0].Load(ctx, "k", n.load); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Load = %v; want the end of its ctx", err)
		}
		time.Sleep(2 * time.Minute)
		if got := n.loads.Load(); got != 0 {
			t.Errorf("%d loads; want none", got)
		}
	})
}

// TestLeaseGivenButNotTold: a lease whose answer was lost is given back after the load, so
// that the other nodes do not wait for its end.
func TestLeaseGivenButNotTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := deafRemote{newLeaseRemote()}
		n := newLeaseNodes(t, r, cache.Strategy[string]{Lease: time.Minute})
		if got, err := n.views[0].Load(t.Context(), "k", n.load); got != "v" || err != nil {
			t.Fatalf("Load = %q, %v", got, err)
		}
		synctest.Wait()
		r.mu.Lock()
		defer r.mu.Unlock()
		if len(r.held) > 0 {
			t.Error("the lease was not given back")
		}
	})
}

// deafRemote gives leases and does not tell.
type deafRemote struct{ *leaseRemote }

func (r deafRemote) Lease(ctx context.Context, key, token string, d time.Duration) (bool, error) {
	_, _ = r.leaseRemote.Lease(ctx, key, token, d)
	return false, errors.New("the answer was lost")
}
