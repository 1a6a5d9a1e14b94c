package rediscache_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/perfblocks/perfblocks/cache"
	"github.com/perfblocks/perfblocks/cache/rediscache"
	"github.com/perfblocks/perfblocks/internal/realtest"
)

// node is one process of a service: a cache over a remote of its own.
type node struct {
	c *cache.Cache
	v *cache.View[string]
	r *rediscache.Remote
}

func newNode(t *testing.T, o rediscache.Options, co cache.Options) *node {
	t.Helper()
	n := &node{r: newRemote(t, o)}
	co.Remote = n.r
	if co.RemoteTimeout == 0 {
		co.RemoteTimeout = 20 * time.Second
	}
	var err error
	if n.c, err = cache.New(co); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = n.c.Close() })
	if n.v, err = cache.Add(n.c, cache.Strategy[string]{Name: "s", TTL: time.Hour, Codec: cache.Raw[string]()}); err != nil {
		t.Fatal(err)
	}
	return n
}

func (n *node) listening(t *testing.T) {
	t.Helper()
	eventually(t, 30*time.Second, "the push connection is ready", func() bool { return n.r.Stats().Listening })
}

// row is what the loaders read.
type row struct{ val atomic.Int64 }

func (r *row) load(_ context.Context, e *cache.Entry[string]) (string, error) {
	e.DependsOn("t")
	return fmt.Sprint(r.val.Load()), nil
}

func (n *node) load(t *testing.T, key string, db *row) string {
	t.Helper()
	got, err := n.v.Load(t.Context(), key, db.load)
	if err != nil {
		t.Fatalf("Load error = %v", err)
	}
	return got
}

// TestNodesPush: an invalidation on one node reaches the memory of the other by the
// push, long before it would look again.
func TestNodesPush(t *testing.T) {
	t.Parallel()
	o := rediscache.Options{URL: realtest.Redis(t), Prefix: unique(t)}
	co := cache.Options{TagRecheck: time.Hour}
	a, b := newNode(t, o, co), newNode(t, o, co)
	a.listening(t)
	b.listening(t)
	var db row
	for i := range 20 {
		want, sets := fmt.Sprint(i), a.r.Stats().Sets
		db.val.Store(int64(i))
		if err := a.c.DeleteTag(t.Context(), "t"); err != nil {
			t.Fatal(err)
		}
		if got := a.load(t, "k", &db); got != want {
			t.Fatalf("Load = %s; want %s", got, want)
		}
		if i%2 == 0 { // the other node loads no more than the record
			eventually(t, 30*time.Second, "the record is written", func() bool { return a.r.Stats().Sets > sets })
		}
		b.load(t, "k", &db)
		eventually(t, 30*time.Second, "the other node holds the value", func() bool {
			_, ok := b.v.Get(t.Context(), "k")
			if !ok {
				b.load(t, "k", &db)
			}
			return ok
		})
		db.val.Store(int64(i) + 1)
		if err := a.c.DeleteTag(t.Context(), "t"); err != nil {
			t.Fatalf("DeleteTag error = %v", err)
		}
		eventually(t, 30*time.Second, "the other node was told", func() bool {
			_, ok := b.v.Get(t.Context(), "k")
			return !ok
		})
		if got := b.load(t, "k", &db); got != fmt.Sprint(i+1) {
			t.Fatalf("Load on the other node = %s; want %d", got, i+1)
		}
	}
	if st := b.v.Stats(); st.RemoteHits == 0 {
		t.Errorf("Stats() = %+v; want remote hits", st)
	}
	// A node's own write survives its echo.
	if err := a.v.Set(t.Context(), "own", "1"); err != nil {
		t.Fatal(err)
	}
	pushed := a.r.Stats().Pushed
	if err := b.c.DeleteTag(t.Context(), "other"); err != nil {
		t.Fatal(err)
	}
	eventually(t, 30*time.Second, "what came after the echo", func() bool { return a.r.Stats().Pushed > pushed })
	if got, ok := a.v.Get(t.Context(), "own"); !ok || got != "1" {
		t.Errorf("Get after the echo = %q, %v", got, ok)
	}
}

// TestNodesRecheck: without any push, TagRecheck bounds what is stale.
func TestNodesRecheck(t *testing.T) {
	t.Parallel()
	const recheck = 150 * time.Millisecond
	o := rediscache.Options{URL: realtest.Redis(t), Prefix: unique(t), DisablePush: true}
	a, b := newNode(t, o, cache.Options{TagRecheck: recheck}), newNode(t, o, cache.Options{TagRecheck: recheck})
	var db row
	for i := range 3 {
		a.load(t, "k", &db)
		b.load(t, "k", &db)
		db.val.Store(int64(i) + 1)
		if err := a.c.DeleteTag(t.Context(), "t"); err != nil {
			t.Fatal(err)
		}
		told := time.Now()
		eventually(t, 30*time.Second, "the other node looked again", func() bool {
			begun := time.Now()
			fresh := b.load(t, "k", &db) == fmt.Sprint(i+1)
			if late := begun.Sub(told); !fresh && late > recheck {
				t.Errorf("stale %v after the invalidation", late)
			}
			return fresh
		})
	}
	if b.r.Stats().Listening {
		t.Error("a node without push listens")
	}
}

// judge runs loads on nodes while truth moves on, and finds what is stale: a value
// that was replaced, and its replacement announced, longer ago than the bound.
type judge struct {
	db    row
	bound time.Duration
	mu    sync.Mutex
	since map[string]time.Time // guarded by mu: when the value was known to be replaced
	loads atomic.Int64
}

// change writes a new value and announces it; only what was announced can be stale.
func (j *judge) change(a *node) error {
	old := fmt.Sprint(j.db.val.Load())
	j.db.val.Add(1)
	err := a.c.DeleteTag(context.Background(), "t")
	if err == nil {
		j.mu.Lock()
		j.since[old] = time.Now()
		j.mu.Unlock()
	}
	return err
}

func (j *judge) check(t *testing.T, n *node, key string) {
	begun := time.Now()
	got, err := n.v.Load(context.Background(), key, j.db.load)
	j.loads.Add(1)
	if err != nil {
		t.Errorf("Load error = %v", err)
	}
	j.mu.Lock()
	since, replaced := j.since[got]
	j.mu.Unlock()
	if age := begun.Sub(since); replaced && age > j.bound {
		t.Errorf("Load = %s, replaced %v before it began; the bound is %v", got, age, j.bound)
	}
}

// TestNodesUnderFaults kills Redis and starts it empty, and pauses it, while two
// nodes load: no Load fails, and nothing is stale beyond the bound.
func TestNodesUnderFaults(t *testing.T) {
	t.Parallel()
	for name, fault := range map[string]func(*testing.T, *server){
		"killed": func(_ *testing.T, s *server) { s.kill(); s.start() },
		"paused": func(t *testing.T, s *server) { newRaw(t, s.url()).do("CLIENT", "PAUSE", "300", "ALL") },
		"cut":    func(t *testing.T, s *server) { newRaw(t, s.url()).do("CLIENT", "KILL", "SKIPME", "yes") },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newServer(t, "")
			o := rediscache.Options{URL: s.url(), Timeout: time.Second, PushTimeout: 300 * time.Millisecond}
			co := cache.Options{TagRecheck: 200 * time.Millisecond, RemoteTimeout: 100 * time.Millisecond}
			a, b := newNode(t, o, co), newNode(t, o, co)
			a.listening(t)
			b.listening(t)
			// The slack is for a machine that is busy with other tests.
			j := &judge{bound: co.TagRecheck + o.PushTimeout + time.Second, since: map[string]time.Time{}}
			stop := make(chan struct{})
			var wg sync.WaitGroup
			for i, n := range []*node{a, a, b, b} {
				wg.Go(func() {
					tick := time.NewTicker(time.Millisecond)
					defer tick.Stop()
					for k := 0; ; k++ {
						select {
						case <-stop:
							return
						case <-tick.C:
							j.check(t, n, fmt.Sprint("k", (i+k)%20))
						}
					}
				})
			}
			wg.Go(func() {
				tick := time.NewTicker(10 * time.Millisecond)
				defer tick.Stop()
				for {
					select {
					case <-stop:
						return
					case <-tick.C:
						_ = j.change(a)
					}
				}
			})
			sets := func() uint64 { return a.r.Stats().Sets + b.r.Stats().Sets }
			eventually(t, 30*time.Second, "all flows", func() bool { return b.r.Stats().Pushed > 5 && sets() > 5 })
			fault(t, s)
			before := sets()
			eventually(t, 30*time.Second, "records flow again", func() bool {
				return sets() > before+5 && a.r.Stats().Listening && b.r.Stats().Listening
			})
			close(stop)
			wg.Wait()
			if j.loads.Load() == 0 {
				t.Error("no Load ran")
			}
			eventually(t, 30*time.Second, "invalidations pass again", func() bool { return j.change(a) == nil })
			eventually(t, 30*time.Second, "both nodes agree", func() bool {
				want := fmt.Sprint(j.db.val.Load())
				return a.load(t, "k0", &j.db) == want && b.load(t, "k0", &j.db) == want
			})
		})
	}
}

// TestNodesStartWithoutRedis: a service comes up while Redis is down, and takes it
// into use when it is there.
func TestNodesStartWithoutRedis(t *testing.T) {
	t.Parallel()
	s := stoppedServer(t, "")
	begun := time.Now()
	n := newNode(t, rediscache.Options{URL: s.url()}, cache.Options{RemoteTimeout: 100 * time.Millisecond})
	if took := time.Since(begun); took > 5*time.Second {
		t.Errorf("New took %v without Redis", took)
	}
	var db row
	for i := range 20 {
		n.load(t, fmt.Sprint(i), &db)
	}
	if err := n.c.DeleteTag(t.Context(), "t"); err == nil {
		t.Error("DeleteTag without Redis returned no error")
	}
	s.start()
	n.listening(t)
	other := newNode(t, rediscache.Options{URL: s.url()}, cache.Options{})
	eventually(t, 30*time.Second, "records are shared", func() bool {
		db.val.Add(1)
		_ = n.c.DeleteTag(t.Context(), "t")
		want := n.load(t, "k", &db)
		got, err := other.v.Load(t.Context(), "k", func(context.Context, *cache.Entry[string]) (string, error) {
			return "", errors.New("not shared")
		})
		return err == nil && got == want
	})
}
