package nodes

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/rueidis"

	"github.com/perfblocks/perfblocks/cache"
	"github.com/perfblocks/perfblocks/cache/rediscache"
	"github.com/perfblocks/perfblocks/examples/versus/internal/bench"
	"github.com/perfblocks/perfblocks/internal/realtest"
)

const (
	nodeCount   = 4
	pushTimeout = 300 * time.Millisecond
	recheck     = 200 * time.Millisecond
	bound       = pushTimeout + recheck // of staleness on a node that is cut off
)

// node is one process of a service.
type node struct {
	c    *cache.Cache
	v    *cache.View[int]
	r    *rediscache.Remote
	told chan time.Time // an invalidation of another node was applied
}

func newNode(t *testing.T, url, prefix string) *node {
	t.Helper()
	n := &node{told: make(chan time.Time, 1024)}
	var err error
	if n.r, err = rediscache.New(rediscache.Options{URL: url, Prefix: prefix, PushTimeout: pushTimeout}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = n.r.Close() })
	n.c, err = cache.New(cache.Options{Remote: n.r, TagRecheck: recheck, RemoteTimeout: 100 * time.Millisecond,
		Hooks: cache.Hooks{Invalidate: func(ev cache.InvalidateEvent) {
			if ev.Remote {
				select {
				case n.told <- time.Now():
				default: // nobody measures
				}
			}
		}}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = n.c.Close() })
	if n.v, err = cache.Add(n.c, cache.Strategy[int]{Name: "s", TTL: time.Hour, Codec: cache.JSON[int]()}); err != nil {
		t.Fatal(err)
	}
	return n
}

func newNodes(t *testing.T, url func(i int) string, prefix string) []*node {
	t.Helper()
	nodes := make([]*node, nodeCount)
	for i := range nodes {
		nodes[i] = newNode(t, url(i), prefix)
	}
	for _, n := range nodes {
		eventually(t, "the node listens", func() bool { return n.r.Stats().Listening })
	}
	return nodes
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for begun := time.Now(); !ok(); time.Sleep(2 * time.Millisecond) {
		if time.Since(begun) > 30*time.Second {
			t.Fatalf("not within 30 s: %s", what)
		}
	}
}

func percentile(d []time.Duration, p float64) time.Duration {
	slices.Sort(d)
	return d[int(float64(len(d)-1)*p)]
}

func micros(d time.Duration) float64 { return float64(d.Nanoseconds()) / 1000 }

// TestInvalidation measures from the call of DeleteTag on one node to the moment at
// which another one no longer serves what it held, with a GET before each.
func TestInvalidation(t *testing.T) {
	url := realtest.Redis(t)
	nodes := newNodes(t, func(int) string { return url }, fmt.Sprintf("nodes-%d:", time.Now().UnixNano()))
	o, err := rueidis.ParseURL(url)
	if err != nil {
		t.Fatal(err)
	}
	o.DisableCache = true
	client, err := rueidis.NewClient(o)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	ctx := t.Context()
	var trips, seen []time.Duration
	for i := range 4000 {
		tag := fmt.Sprint("t", i)
		for _, n := range nodes {
			if _, err := n.v.Load(ctx, "k", func(_ context.Context, e *cache.Entry[int]) (int, error) {
				e.DependsOn(tag)
				return i, nil
			}); err != nil {
				t.Fatal(err)
			}
			for len(n.told) > 0 {
				<-n.told
			}
		}
		begun := time.Now()
		if err := client.Do(ctx, client.B().Get().Key("none").Build()).Error(); !rueidis.IsRedisNil(err) {
			t.Fatalf("GET = %v", err)
		}
		trips = append(trips, time.Since(begun))
		from := nodes[i%nodeCount]
		begun = time.Now()
		if err := from.c.DeleteTag(ctx, tag); err != nil {
			t.Fatal(err)
		}
		for _, n := range nodes {
			if n == from {
				continue
			}
			at := <-n.told
			// A hook is called once the entry is dead.
			if v, ok := n.v.Get(ctx, "k"); ok {
				t.Fatalf("Get = %d on a node that was told", v)
			}
			if i >= 100 { // connections and code are warm
				seen = append(seen, at.Sub(begun))
			}
		}
	}
	trips = trips[100:]
	trip, median := percentile(trips, 0.99), percentile(trips, 0.5)
	p99, p50 := percentile(seen, 0.99), percentile(seen, 0.5)
	ratio := float64(p99) / float64(trip)
	bench.Emit(t, bench.Row{Measure: "4 nodes and Redis: p99 until another node sees an invalidation", Unit: "µs", Ours: micros(p99),
		Peers: []bench.Value{{Name: "p99 of a GET", Value: micros(trip)}, {Name: "p50 of a GET", Value: micros(median)}},
		Ratio: ratio, Goal: "< 5× a GET", OK: ratio < 5, Note: fmt.Sprintf("%d invalidations; p50 %.0f µs, %.1f× of a GET's", len(trips), micros(p50), float64(p50)/float64(median))})
	if ratio > 10 {
		t.Errorf("p99 is %v, %.1f times a round trip; the bar is 5", p99, ratio)
	}
}

// rows are the database: each is written by one node.
type rows struct {
	t   *testing.T
	db  []atomic.Int64
	own []atomic.Int64 // what the writer's own node must serve at least

	mu   sync.Mutex
	told [][]time.Time // guarded by mu: by row and version, when all nodes were told; else zero

	loads, errs, stale, staleHere atomic.Int64
	worst                         atomic.Int64 // nanoseconds that a replaced value was served after it was announced
	slowest                       atomic.Int64 // nanoseconds
	announced, refused            atomic.Int64
}

func newRows(t *testing.T, n int) *rows {
	return &rows{t: t, db: make([]atomic.Int64, n), own: make([]atomic.Int64, n), told: make([][]time.Time, n)}
}

// write changes a row and invalidates its tag. A refused invalidation is told to the
// other nodes later: at the latest with the next one that is not refused.
func (r *rows) write(n *node, k int) {
	val := r.db[k].Add(1)
	err := n.c.DeleteTag(context.Background(), "row"+strconv.Itoa(k))
	r.own[k].Store(val)
	if err != nil {
		r.refused.Add(1)
		return
	}
	r.announced.Add(1)
	now := time.Now()
	r.mu.Lock()
	defer r.mu.Unlock()
	for len(r.told[k]) <= int(val) {
		r.told[k] = append(r.told[k], now)
	}
}

// overdue tells for how long at begun the value had been known to be replaced.
func (r *rows) overdue(k, val int, begun time.Time) time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	if val+1 >= len(r.told[k]) {
		return 0
	}
	return begun.Sub(r.told[k][val+1])
}

func (r *rows) read(n *node, k int, writer bool) {
	low, begun := r.own[k].Load(), time.Now()
	got, err := n.v.Load(context.Background(), strconv.Itoa(k), func(_ context.Context, e *cache.Entry[int]) (int, error) {
		v := r.db[k].Load()
		e.DependsOn("row" + strconv.Itoa(k))
		return int(v), nil
	})
	keepMax(&r.slowest, int64(time.Since(begun)))
	r.loads.Add(1)
	if err != nil {
		r.errs.Add(1)
		r.t.Logf("Load error = %v", err)
	}
	late := r.overdue(k, got, begun)
	keepMax(&r.worst, int64(late))
	if late > bound {
		r.stale.Add(1)
	}
	if writer && int64(got) < low {
		r.staleHere.Add(1)
	}
}

func keepMax(to *atomic.Int64, v int64) {
	for {
		was := to.Load()
		if v <= was || to.CompareAndSwap(was, v) {
			return
		}
	}
}

// TestFaults runs readers and writers on four nodes while Redis is killed and started
// again empty, paused, full, answers garbage, drops the push connections, and when
// one node is cut off with its connections open.
func TestFaults(t *testing.T) {
	s := newServer(t)
	main, side := s.newProxy(), s.newProxy() // the last node goes by the side
	nodes := newNodes(t, func(i int) string {
		if i == nodeCount-1 {
			return side.url()
		}
		return main.url()
	}, "")
	const keys = 16
	r := newRows(t, keys)
	ctx, stop := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	for i, n := range nodes {
		for g := range 2 {
			wg.Go(func() {
				rng := rand.New(rand.NewPCG(uint64(i), uint64(g)))
				for ctx.Err() == nil {
					k := rng.IntN(keys)
					r.read(n, k, k%nodeCount == i)
					time.Sleep(300 * time.Microsecond) // the machine is not the bottleneck
				}
			})
		}
		wg.Go(func() {
			for k := i; ctx.Err() == nil; k = (k + nodeCount) % keys {
				r.write(n, k)
				time.Sleep(7 * time.Millisecond)
			}
		})
	}
	flows := func() {
		t.Helper()
		t.Logf("%d invalidations passed, %d were refused", r.announced.Load(), r.refused.Load())
		eventually(t, "all nodes listen and invalidations pass", func() bool {
			for _, n := range nodes {
				if !n.r.Stats().Listening {
					return false
				}
			}
			before := r.announced.Load()
			time.Sleep(50 * time.Millisecond)
			return r.announced.Load() > before
		})
		time.Sleep(time.Second)
	}
	flows()
	for range 2 {
		s.kill()
		time.Sleep(time.Second)
		s.start()
		flows()
	}
	s.do("CLIENT", "PAUSE", "700", "ALL")
	time.Sleep(800 * time.Millisecond)
	flows()
	s.do("CONFIG", "SET", "maxmemory", "1")
	time.Sleep(500 * time.Millisecond)
	s.do("CONFIG", "SET", "maxmemory", "0")
	flows()
	main.garbage.Store(true)
	time.Sleep(700 * time.Millisecond)
	main.garbage.Store(false)
	flows()
	for range 10 {
		s.do("CLIENT", "KILL", "TYPE", "pubsub")
		time.Sleep(100 * time.Millisecond)
	}
	flows()
	side.hole.Store(true)
	time.Sleep(1500 * time.Millisecond)
	side.hole.Store(false)
	flows()
	stop()
	wg.Wait()
	for k := range keys { // all agree in the end
		want := int(r.db[k].Load())
		eventually(t, "the last invalidation passes", func() bool {
			return nodes[k%nodeCount].c.DeleteTag(t.Context(), "row"+strconv.Itoa(k)) == nil
		})
		for _, n := range nodes {
			eventually(t, "all nodes serve the last version", func() bool {
				got, err := n.v.Load(t.Context(), strconv.Itoa(k), func(context.Context, *cache.Entry[int]) (int, error) { return want, nil })
				return err == nil && got == want
			})
		}
	}
	report(t, r)
}

func report(t *testing.T, r *rows) {
	errs, stale := r.errs.Load(), r.stale.Load()+r.staleHere.Load()
	note := fmt.Sprintf("killed twice and empty, paused, full, garbage, no push, one node cut off: %d loads, %d invalidations passed, %d refused; slowest load %v",
		r.loads.Load(), r.announced.Load(), r.refused.Load(), time.Duration(r.slowest.Load()).Round(time.Millisecond))
	bench.Emit(t,
		bench.Row{Measure: "4 nodes, Redis fails under load: errors of Load", Unit: "errors", Ours: float64(errs), Goal: "= 0", OK: errs == 0, Note: note},
		bench.Row{Measure: "the same: reads stale beyond the bound", Unit: "reads", Ours: float64(stale), Goal: "= 0", OK: stale == 0,
			Note: fmt.Sprintf("bound %v; the oldest was served %v after its end was announced", bound, time.Duration(r.worst.Load()).Round(time.Millisecond))})
	if errs != 0 || stale != 0 {
		t.Errorf("%d errors, %d stale reads on other nodes and %d on the writer's; want 0", errs, r.stale.Load(), r.staleHere.Load())
	}
	if r.refused.Load() == 0 || r.announced.Load() < 100 {
		t.Errorf("%d invalidations passed and %d were refused; the faults did not happen", r.announced.Load(), r.refused.Load())
	}
}
