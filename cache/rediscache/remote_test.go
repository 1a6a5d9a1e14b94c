package rediscache_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/perfblocks/perfblocks/cache"
	"github.com/perfblocks/perfblocks/cache/rediscache"
	"github.com/perfblocks/perfblocks/internal/realtest"
)

// TestContract runs the contract of cache.Remote against a plain Redis.
func TestContract(t *testing.T) {
	t.Parallel()
	contract(t, rediscache.Options{URL: realtest.Redis(t), Prefix: unique(t)})
}

// TestCluster runs it where two keys may not be in the same place.
func TestCluster(t *testing.T) {
	t.Parallel()
	s := cluster(t)
	for name, prefix := range map[string]string{"spread": "chat:", "hash tag": "{chat}:", "half a brace": "ch{at:"} {
		t.Run(name, func(t *testing.T) { contract(t, rediscache.Options{URL: s.url(), Prefix: prefix}) })
	}
	t.Run("garbage", func(t *testing.T) { garbage(t, rediscache.Options{URL: s.url()}) })
}

// cluster is a Redis Cluster of one node, which refuses commands over two slots as
// a larger one does.
func cluster(t *testing.T) *server {
	t.Helper()
	s := newServer(t, "cluster-enabled yes\ncluster-config-file nodes.conf")
	o := rawAt(t, s)
	o.do("CLUSTER", "ADDSLOTSRANGE", "0", "16383")
	eventually(t, 30*time.Second, "the cluster is up", func() bool {
		return strings.Contains(o.str("CLUSTER", "INFO"), "cluster_state:ok")
	})
	return s
}

func contract(t *testing.T, o rediscache.Options) {
	a, b := newRemote(t, o), newRemote(t, o)
	for name, fn := range map[string]func(*testing.T, *rediscache.Remote, *rediscache.Remote){
		"position":  testPosition,
		"records":   testRecords,
		"tags":      testTags,
		"raced":     testRaced,
		"expiry":    testExpiry,
		"model":     testModel,
		"watch":     testWatch,
		"many tags": testManyTags,
	} {
		t.Run(name, func(t *testing.T) { fn(t, a, b) })
	}
	for i, r := range []*rediscache.Remote{a, b} {
		if st := r.Stats(); st.Errors != 0 || st.Resets != 0 || st.Garbage != 0 {
			t.Errorf("node %d: Stats() = %+v; want no errors", i, st)
		}
	}
}

func position(t *testing.T, r *rediscache.Remote) uint64 {
	t.Helper()
	pos, err := r.Position(t.Context())
	if err != nil || pos == 0 {
		t.Fatalf("Position = %d, %v", pos, err)
	}
	return pos
}

func invalidate(t *testing.T, r *rediscache.Remote, tags ...string) uint64 {
	t.Helper()
	pos, err := r.Invalidate(t.Context(), tags, false)
	if err != nil || pos == 0 {
		t.Fatalf("Invalidate = %d, %v", pos, err)
	}
	return pos
}

func set(t *testing.T, r *rediscache.Remote, key string, rec *cache.Record) {
	t.Helper()
	if err := r.Set(t.Context(), key, rec); err != nil {
		t.Fatalf("Set error = %v", err)
	}
}

func wantMiss(t *testing.T, r *rediscache.Remote, key, why string) {
	t.Helper()
	rec, err := r.Get(t.Context(), key)
	if rec != nil || !errors.Is(err, cache.ErrNotFound) {
		t.Errorf("%s: Get = %+v, %v; want ErrNotFound", why, rec, err)
	}
}

func wantHit(t *testing.T, r *rediscache.Remote, key, why string, want *cache.Record) {
	t.Helper()
	rec, err := r.Get(t.Context(), key)
	if err != nil {
		t.Errorf("%s: Get error = %v", why, err)
		return
	}
	if rec.Age < 0 || rec.Age > time.Minute {
		t.Errorf("%s: Age = %v", why, rec.Age)
	}
	rec.Age = want.Age
	if !reflect.DeepEqual(rec, want) {
		t.Errorf("%s: Get = %+v; want %+v", why, rec, want)
	}
}

func testPosition(t *testing.T, a, b *rediscache.Remote) {
	pos := position(t, a)
	if got := position(t, b); got != pos {
		t.Errorf("Position of the other node = %d; want %d", got, pos)
	}
	one := invalidate(t, a, "p")
	two := invalidate(t, b, "p")
	if one <= pos || two <= one {
		t.Errorf("positions %d, %d, %d do not grow", pos, one, two)
	}
	if got := position(t, a); got != two {
		t.Errorf("Position = %d; want that of the last invalidation, %d", got, two)
	}
	got, err := a.Invalidate(t.Context(), nil, false)
	if got != two || err != nil {
		t.Errorf("Invalidate of nothing = %d, %v; want %d", got, err, two)
	}
}

func testRecords(t *testing.T, a, b *rediscache.Remote) {
	pos := position(t, a)
	for _, key := range []string{"k", "", "{x}", "\x00bin\xff\r\n", strings.Repeat("long", 1000)} {
		wantMiss(t, a, "records"+key, "before Set")
		rec := record(pos, "records"+key)
		set(t, a, "records"+key, rec)
		wantHit(t, a, "records"+key, "same node", rec)
		wantHit(t, b, "records"+key, "other node", rec)
	}
	rec := record(pos, "r")
	rec.Data = []byte{}
	set(t, a, "empty", rec)
	wantHit(t, b, "empty", "no data", rec)
	rec.Data = []byte(strings.Repeat("\r\n\x00", 1<<20))
	set(t, a, "empty", rec)
	wantHit(t, b, "empty", "3 MiB", rec)
	rec.Data[0] = 'x' // the remote kept nothing
	got, err := b.Get(t.Context(), "empty")
	if err != nil || got.Data[0] == 'x' {
		t.Errorf("Set kept the caller's slice; error %v", err)
	}
	got.Data[0] = 'y'
	if again, err := b.Get(t.Context(), "empty"); err != nil || again.Data[0] == 'y' {
		t.Errorf("Get returned a shared slice; error %v", err)
	}
}

func testTags(t *testing.T, a, b *rediscache.Remote) {
	for _, soft := range []bool{false, true} {
		for _, tag := range []string{"tag", "", "=pos", "t", "\x00\xff", "{"} {
			rec := record(position(t, a), "own", tag, "third")
			set(t, a, "tags", rec)
			if _, err := b.Invalidate(t.Context(), []string{"unrelated"}, soft); err != nil {
				t.Fatal(err)
			}
			wantHit(t, a, "tags", "unrelated tag", rec)
			if _, err := b.Invalidate(t.Context(), []string{"unrelated", tag}, soft); err != nil {
				t.Fatal(err)
			}
			wantMiss(t, a, "tags", fmt.Sprintf("after Invalidate(%q, %v)", tag, soft))
		}
	}
}

// testRaced: a record whose load began before another node's invalidation is dead
// when it arrives, and does not replace a valid one.
func testRaced(t *testing.T, a, b *rediscache.Remote) {
	old := record(position(t, a), "raced")
	invalidate(t, b, "raced")
	set(t, a, "raced", old)
	wantMiss(t, a, "raced", "dead on arrival")
	wantMiss(t, b, "raced", "dead on arrival")
	rec := record(position(t, b), "raced")
	set(t, b, "raced", rec)
	wantHit(t, a, "raced", "loaded after", rec)
	future := record(rec.Position+1000, "raced")
	set(t, a, "future", future)
	wantMiss(t, a, "future", "a position that was never handed out")
}

func testExpiry(t *testing.T, a, b *rediscache.Remote) {
	rec := record(position(t, a), "expiry")
	rec.Keep = 50*time.Millisecond + 900*time.Microsecond
	begun := time.Now() // before what the server dates
	set(t, a, "expiry", rec)
	var last time.Duration
	eventually(t, 20*time.Second, "the record has expired", func() bool {
		got, err := b.Get(t.Context(), "expiry")
		if err != nil {
			return true
		}
		if got.Age < last || got.Age > time.Since(begun)+50*time.Millisecond {
			t.Errorf("Age = %v after %v, %v before", got.Age, time.Since(begun), last)
		}
		last = got.Age
		return false
	})
	rec.Keep = 999 * time.Microsecond
	set(t, a, "expiry", rec)
	wantMiss(t, b, "expiry", "less than a millisecond to keep")
}

// testModel compares random operations with a map.
func testModel(t *testing.T, a, b *rediscache.Remote) {
	rng := rand.New(rand.NewPCG(1, 2))
	nodes := []*rediscache.Remote{a, b}
	tagPos := map[string]uint64{}
	recs := map[string]*cache.Record{}
	valid := func(rec *cache.Record) bool {
		for _, tag := range rec.Tags {
			if tagPos[tag] > rec.Position {
				return false
			}
		}
		return true
	}
	pending := make([]uint64, 4)
	for i := range pending {
		pending[i] = position(t, a)
	}
	for step := range 600 {
		r, key := nodes[rng.IntN(2)], fmt.Sprint("m", rng.IntN(6))
		switch rng.IntN(4) {
		case 0:
			tag := fmt.Sprint("mt", rng.IntN(8))
			tagPos[tag] = invalidate(t, r, tag)
		case 1:
			pending[rng.IntN(len(pending))] = position(t, r)
		case 2:
			rec := record(pending[rng.IntN(len(pending))], "m:"+key, fmt.Sprint("mt", rng.IntN(8)), fmt.Sprint("mt2", rng.IntN(8)))
			set(t, r, key, rec)
			if valid(rec) {
				recs[key] = rec
			} else if _, err := r.Get(t.Context(), key); err != nil {
				delete(recs, key) // it may replace what was there
			}
		case 3:
			if rec := recs[key]; rec != nil && valid(rec) {
				wantHit(t, r, key, fmt.Sprint("step ", step), rec)
			} else {
				wantMiss(t, r, key, fmt.Sprint("step ", step))
			}
		}
	}
}

// events collects what Watch tells.
type events struct {
	ch   chan cache.RemoteEvent
	done chan error
	stop context.CancelFunc
}

func watch(t *testing.T, r *rediscache.Remote) *events {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	e := &events{ch: make(chan cache.RemoteEvent, 10_000), done: make(chan error, 1), stop: cancel}
	go func() { e.done <- r.Watch(ctx, func(ev cache.RemoteEvent) { e.ch <- ev }) }()
	t.Cleanup(func() {
		cancel()
		<-e.done
	})
	return e
}

func (e *events) want(t *testing.T, want cache.RemoteEvent) {
	t.Helper()
	select {
	case got := <-e.ch:
		if !reflect.DeepEqual(got, want) {
			t.Errorf("event = %+v; want %+v", got, want)
		}
	case err := <-e.done:
		e.done <- err
		t.Fatalf("Watch returned %v; want %+v", err, want)
	case <-time.After(30 * time.Second):
		t.Fatalf("no event; want %+v", want)
	}
}

var (
	ready = cache.RemoteEvent{Kind: cache.RemoteReady}
	lost  = cache.RemoteEvent{Kind: cache.RemoteLost}
)

func testWatch(t *testing.T, a, b *rediscache.Remote) {
	ea, eb := watch(t, a), watch(t, b)
	ea.want(t, ready)
	eb.want(t, ready)
	if !a.Stats().Listening {
		t.Error("Stats().Listening = false")
	}
	for i := range 20 {
		tags := []string{fmt.Sprint("w", i), "", "\x00\xff"}
		pos, err := a.Invalidate(t.Context(), tags, i%2 == 1)
		if err != nil {
			t.Fatal(err)
		}
		want := cache.RemoteEvent{Kind: cache.RemoteInvalidated, Tags: tags, Soft: i%2 == 1, Position: pos}
		ea.want(t, want)
		eb.want(t, want)
	}
	ea.stop()
	if err := <-ea.done; !errors.Is(err, context.Canceled) {
		t.Errorf("Watch error = %v; want context.Canceled", err)
	}
	ea.done <- nil
	if a.Stats().Listening || a.Stats().PushLosses != 0 {
		t.Errorf("Stats() = %+v after an end that was asked for", a.Stats())
	}
}

// testManyTags: more than fit on the stack of the script.
func testManyTags(t *testing.T, a, b *rediscache.Remote) {
	e := watch(t, b)
	e.want(t, ready)
	tags := make([]string, 20_000)
	for i := range tags {
		tags[i] = fmt.Sprint("many", i)
	}
	rec := record(position(t, a), tags...)
	set(t, a, "many", rec)
	wantHit(t, b, "many", "20,000 tags", rec)
	pos := invalidate(t, a, tags[1:]...)
	e.want(t, cache.RemoteEvent{Kind: cache.RemoteInvalidated, Tags: tags[1:], Position: pos})
	wantMiss(t, b, "many", "20,000 tags invalidated")
	for _, tag := range []string{tags[1], tags[1000], tags[1001], tags[19_999]} {
		set(t, a, "many", record(pos-1, tag))
		wantMiss(t, b, "many", tag)
	}
	rec = record(pos-1, tags[0])
	set(t, a, "many", rec)
	wantHit(t, b, "many", "the tag left out", rec)
}
