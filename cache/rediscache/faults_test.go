package rediscache_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/perfblocks/perfblocks/cache"
	"github.com/perfblocks/perfblocks/cache/rediscache"
	"github.com/perfblocks/perfblocks/internal/realtest"
)

const (
	tagsKey = "cache:tags:{cache:}" // of the default prefix
	oldKey  = tagsKey + ":old"
	pushKey = tagsKey + ":push"
)

// TestGarbage: whatever stands in a record's place is a miss and no error.
func TestGarbage(t *testing.T) {
	t.Parallel()
	garbage(t, rediscache.Options{URL: newServer(t, "").url()})
}

func garbage(t *testing.T, o rediscache.Options) {
	o.MaxRecordBytes = 1000
	r, c := newRemote(t, o), newRaw(t, o.URL)
	rec := record(position(t, r), "t", "u")
	const key = "cache:r:k"
	set(t, r, "k", rec)
	good := c.str("GET", key)
	put := func(text string) func() { return func() { c.do("SET", key, text, "PX", "3600000") } }
	cases := map[string]func(){
		"empty":        put(""),
		"text":         put("hello"),
		"longer":       put(good + "x"),
		"huge":         put(strings.Repeat("x", 2000)),
		"many tags":    put(good[:16] + "\xff\xff\xff\xff" + good[20:]),
		"long tag":     put(good[:20] + "\xff\xff\xff\xff" + good[24:]),
		"not expiring": func() { c.do("SET", key, good) },
		"long expiry":  func() { c.do("SET", key, good, "PX", "7200000") },
		"hash":         func() { c.do("DEL", key); c.do("HSET", key, "a", "b") },
		"list":         func() { c.do("DEL", key); c.do("RPUSH", key, "a") },
		"other key":    func() { c.do("DEL", key); c.do("SET", "cache:r:l", good, "PX", "3600000") },
	}
	for i := range len(good) {
		cases[fmt.Sprint("truncated ", i)] = put(good[:i])
		cases[fmt.Sprint("flipped ", i)] = put(good[:i] + string(good[i]^1<<(i%8)) + good[i+1:])
	}
	for what, damage := range cases {
		damage()
		wantMiss(t, r, "k", what)
		wantMiss(t, r, "l", what)
		c.do("DEL", key)
		c.do("DEL", "cache:r:l")
	}
	put(good)()
	wantHit(t, r, "k", "repaired", rec)
	big := record(rec.Position, "t", "u")
	big.Data = make([]byte, 1000)
	set(t, r, "k", big)
	wantHit(t, r, "k", "a record over the bound is not stored", rec)
	o.MaxRecordBytes = 2000
	big.Data = make([]byte, 1001-(len(good)-len(rec.Data)))
	set(t, newRemote(t, o), "k", big)
	wantMiss(t, r, "k", "one byte over the bound, from a node with a higher one")
	if st := r.Stats(); st.Errors != 0 || st.Garbage < 50 || st.Refused != 1 {
		t.Errorf("Stats() = %+v; want garbage, one refused, no errors", st)
	}
}

// TestPositionsLost: however the positions are damaged, old records stay dead, and
// positions grow.
func TestPositionsLost(t *testing.T) {
	t.Parallel()
	s := newServer(t, "")
	c := newRaw(t, s.url())
	o := rediscache.Options{URL: s.url(), MaxTags: 5}
	for name, damage := range map[string]func(){
		"deleted":          func() { c.do("DEL", tagsKey) },
		"both deleted":     func() { c.do("DEL", tagsKey, oldKey) },
		"older deleted":    func() { c.do("DEL", oldKey) },
		"older of others":  func() { c.do("HSET", oldKey, "=rot", "99") },
		"flushed":          func() { c.do("FLUSHALL") },
		"string":           func() { c.do("SET", tagsKey, "x") },
		"older is string":  func() { c.do("SET", oldKey, "x") },
		"no count":         func() { c.do("HDEL", tagsKey, "=pos") },
		"no incarnation":   func() { c.do("HDEL", tagsKey, "=inc") },
		"count is text":    func() { c.do("HSET", tagsKey, "=pos", "nan") },
		"count is broken":  func() { c.do("HSET", tagsKey, "=pos", "1.5") },
		"count is huge":    func() { c.do("HSET", tagsKey, "=pos", "1e300") },
		"count is behind":  func() { c.do("HINCRBY", tagsKey, "=pos", "-1") },
		"incarnation fell": func() { c.do("HINCRBY", tagsKey, "=inc", "-1") },
	} {
		a, b := newRemote(t, o), newRemote(t, o)
		rec := record(position(t, a), "t")
		set(t, a, "k", rec)
		wantHit(t, a, "k", name, rec)
		var high uint64
		for i := range 20 { // rotates
			high = invalidate(t, a, "t", fmt.Sprint("fill", i))
		}
		live := record(high, "t")
		set(t, a, "live", live)
		wantHit(t, b, "live", name, live)
		damage()
		wantMiss(t, b, "k", name)
		wantMiss(t, a, "k", name)
		pos := position(t, a)
		if pos <= high {
			t.Errorf("%s: Position = %d; want above %d", name, pos, high)
		}
		set(t, a, "k", rec)
		wantMiss(t, b, "k", name+": an old record that arrives late")
		fresh := record(pos, "t")
		set(t, b, "k", fresh)
		wantHit(t, a, "k", name+": a new record", fresh)
		if st := a.Stats(); st.Resets != 1 || st.Errors != 0 {
			t.Errorf("%s: Stats() = %+v; want one reset", name, st)
		}
	}
	r := newRemote(t, o)
	rec := record(position(t, r), "t")
	set(t, r, "k", rec)
	invalidate(t, r, "t")
	c.do("HSET", tagsKey, "tt", "text")
	wantMiss(t, r, "k", "the number of the tag is text")
}

// TestIncarnation: the count alone, should it come by the same way again, does not
// make a record of an earlier incarnation valid.
func TestIncarnation(t *testing.T) {
	t.Parallel()
	s := newServer(t, "")
	r, c := newRemote(t, rediscache.Options{URL: s.url()}), newRaw(t, s.url())
	rec := record(position(t, r), "t")
	set(t, r, "k", rec)
	c.do("DEL", tagsKey)
	position(t, r)
	c.do("HSET", tagsKey, "=pos", "4294967290", "=floor", "0", "=mark", "0")
	wantMiss(t, r, "k", "another incarnation")
	live := record(position(t, r)-5, "t")
	set(t, r, "k", live)
	wantHit(t, r, "k", "the same incarnation", live)
	// The count is used up: the next incarnation begins, and still positions grow.
	last := position(t, r)
	for i := range 10 {
		pos := invalidate(t, r, "u")
		if pos <= last {
			t.Fatalf("position %d after %d", pos, last)
		}
		if last = pos; i == 9 && pos>>32 == live.Position>>32 {
			t.Error("the incarnation is the same after 2^32 invalidations")
		}
	}
	wantMiss(t, r, "k", "the next incarnation")
}

// TestRefused: a record that is dead on arrival does not take a valid one's place.
func TestRefused(t *testing.T) {
	t.Parallel()
	r := newRemote(t, rediscache.Options{URL: realtest.Redis(t), Prefix: unique(t)})
	dead := record(position(t, r), "t")
	live := record(invalidate(t, r, "t"), "t")
	set(t, r, "k", live)
	set(t, r, "k", dead)
	wantHit(t, r, "k", "after a dead record arrived", live)
	if st := r.Stats(); st.Refused != 1 || st.Sets != 1 {
		t.Errorf("Stats() = %+v; want one set, one refused", st)
	}
}

// TestUnseenIncarnation: a node that knows nothing starts low in an empty Redis;
// one that has seen more lifts it, and what came meanwhile is not compared.
func TestUnseenIncarnation(t *testing.T) {
	t.Parallel()
	s := newServer(t, "")
	c := newRaw(t, s.url())
	old := newRemote(t, rediscache.Options{URL: s.url()})
	position(t, old)
	c.do("HINCRBY", tagsKey, "=inc", "1000000000")
	high := position(t, old)
	e := watch(t, old)
	e.want(t, ready)
	c.do("FLUSHALL")
	fresh := newRemote(t, rediscache.Options{URL: s.url()})
	low := invalidate(t, fresh, "t")
	if low >= high {
		t.Fatalf("positions %d, %d: the case is not the one meant", high, low)
	}
	e.want(t, lost)
	e.want(t, ready)
	e.want(t, cache.RemoteEvent{Kind: cache.RemoteInvalidated, Tags: []string{"t"}})
	if pos := position(t, old); pos <= high {
		t.Errorf("Position = %d; want above %d", pos, high)
	}
}

// TestRotation: the table of tags is bounded, and forgetting never revives.
func TestRotation(t *testing.T) {
	t.Parallel()
	s := newServer(t, "")
	r, c := newRemote(t, rediscache.Options{URL: s.url(), MaxTags: 50}), newRaw(t, s.url())
	first := position(t, r)
	var last uint64
	for i := range 500 {
		last = invalidate(t, r, fmt.Sprint("x", i))
		if i == 250 {
			invalidate(t, r, "victim")
		}
	}
	fields := 0
	for _, key := range []string{tagsKey, oldKey} {
		n, err := c.do("HLEN", key).AsInt64()
		if err != nil {
			t.Fatal(err)
		}
		fields += int(n)
	}
	if fields < 50 || fields > 2*(50+6+1) {
		t.Errorf("%d fields; want 50 to 114", fields)
	}
	set(t, r, "k", record(first, "victim"))
	wantMiss(t, r, "k", "older than what is remembered")
	set(t, r, "k", record(first, "never"))
	wantMiss(t, r, "k", "older than what is remembered, never invalidated")
	for i := range 500 {
		pos := last - uint64(499-i) - 1 // just before x<i> was invalidated, but for the victim's
		set(t, r, "k", record(pos, fmt.Sprint("x", i)))
		wantMiss(t, r, "k", fmt.Sprint("x", i))
	}
	rec := record(last-20, "never")
	set(t, r, "k", rec)
	wantHit(t, r, "k", "as new as what is remembered", rec)
}

// TestRestart: neither an empty nor an older Redis brings back what was invalidated.
func TestRestart(t *testing.T) {
	t.Parallel()
	for _, kept := range []bool{false, true} {
		s := newServer(t, "")
		o := rediscache.Options{URL: s.url()}
		a, b := newRemote(t, o), newRemote(t, o)
		rec := record(position(t, a), "t")
		set(t, a, "k", rec)
		c := newRaw(t, s.url())
		if kept {
			c.do("SAVE")
		}
		high := invalidate(t, a, "t")
		wantMiss(t, b, "k", "invalidated")
		s.kill()
		s.start()
		// Another prefix gets its script cached, which must not vouch for ours.
		position(t, newRemote(t, rediscache.Options{URL: s.url(), Prefix: "other:"}))
		// A node that knows only what was kept would find it all in order.
		young := newRemote(t, o)
		wantMiss(t, young, "k", fmt.Sprint("restarted, kept=", kept))
		if n, err := newRaw(t, s.url()).do("EXISTS", "cache:r:k").AsInt64(); err != nil || n == 1 != kept {
			t.Errorf("the record exists: %d, %v; kept %v", n, err, kept)
		}
		eventually(t, 30*time.Second, "the old node is connected again", func() bool {
			pos, err := a.Position(context.Background())
			if err == nil && pos <= high {
				t.Errorf("Position = %d; want above %d", pos, high)
			}
			return err == nil
		})
		// A client has several connections, of which some may still be found dead.
		eventually(t, 30*time.Second, "the old node gets an answer", func() bool {
			r, err := a.Get(context.Background(), "k")
			if r != nil || err == nil {
				t.Fatalf("restarted: Get = %v, %v; want ErrNotFound", r, err)
			}
			return errors.Is(err, cache.ErrNotFound)
		})
	}
}

// TestScriptFlush: losing the script is not losing the positions.
func TestScriptFlush(t *testing.T) {
	t.Parallel()
	s := newServer(t, "")
	r, c := newRemote(t, rediscache.Options{URL: s.url()}), newRaw(t, s.url())
	rec := record(position(t, r), "t")
	set(t, r, "k", rec)
	c.do("SCRIPT", "FLUSH")
	wantHit(t, r, "k", "after SCRIPT FLUSH", rec)
	if st := r.Stats(); st.Resets != 0 || st.Errors != 0 {
		t.Errorf("Stats() = %+v", st)
	}
}

// TestPrefixesAreApart: another prefix in the same Redis sees nothing of ours, and
// its script does not vouch for our positions.
func TestPrefixesAreApart(t *testing.T) {
	t.Parallel()
	url := realtest.Redis(t)
	a := newRemote(t, rediscache.Options{URL: url, Prefix: unique(t) + "a:"})
	b := newRemote(t, rediscache.Options{URL: url, Prefix: unique(t) + "b:"})
	rec := record(position(t, a), "t")
	set(t, a, "k", rec)
	wantMiss(t, b, "k", "other prefix")
	invalidate(t, b, "t")
	wantHit(t, a, "k", "other prefix invalidated", rec)
}

// TestFull: a Redis without room refuses records, and takes invalidations.
func TestFull(t *testing.T) {
	t.Parallel()
	s := newServer(t, "maxmemory-policy noeviction")
	r, c := newRemote(t, rediscache.Options{URL: s.url()}), newRaw(t, s.url())
	rec := record(position(t, r), "t")
	set(t, r, "k", rec)
	e := watch(t, r)
	e.want(t, ready)
	c.do("CONFIG", "SET", "maxmemory", "1")
	err := r.Set(t.Context(), "l", rec)
	if err == nil || !strings.Contains(err.Error(), "OOM") {
		t.Errorf("Set error = %v; want OOM", err)
	}
	wantHit(t, r, "k", "full", rec)
	pos := invalidate(t, r, "t")
	e.want(t, cache.RemoteEvent{Kind: cache.RemoteInvalidated, Tags: []string{"t"}, Position: pos})
	wantMiss(t, r, "k", "invalidated while full")
	c.do("DEL", tagsKey)
	if got := position(t, r); got <= pos {
		t.Errorf("Position = %d; want above %d", got, pos)
	}
	c.do("CONFIG", "SET", "maxmemory", "0")
	rec = record(position(t, r), "t")
	set(t, r, "k", rec)
	wantHit(t, r, "k", "room again", rec)
}

// TestChannelGarbage: what is published by others, or missing, is told as a gap.
func TestChannelGarbage(t *testing.T) {
	t.Parallel()
	s := newServer(t, "")
	r, c := newRemote(t, rediscache.Options{URL: s.url()}), newRaw(t, s.url())
	e := watch(t, r)
	e.want(t, ready)
	c.do("PUBLISH", pushKey, "hello")
	e.want(t, lost)
	e.want(t, ready)
	pos := invalidate(t, r, "t")
	e.want(t, cache.RemoteEvent{Kind: cache.RemoteInvalidated, Tags: []string{"t"}, Position: pos})
	c.do("HINCRBY", tagsKey, "=pos", "1") // an invalidation that nobody heard of
	pos = invalidate(t, r, "t")
	e.want(t, lost)
	e.want(t, ready)
	e.want(t, cache.RemoteEvent{Kind: cache.RemoteInvalidated, Tags: []string{"t"}, Position: pos})
	if st := r.Stats(); st.PushLosses != 2 || st.Pushed != 2 {
		t.Errorf("Stats() = %+v; want 2 losses, 2 tags", st)
	}
	for _, kind := range []string{"pubsub", "normal"} {
		c.do("CLIENT", "KILL", "TYPE", kind, "SKIPME", "yes")
		if kind == "pubsub" {
			if err := <-e.done; err == nil {
				t.Error("Watch returned nil after its connection was lost")
			}
			e.done <- nil
		}
	}
	eventually(t, 30*time.Second, "connected again", func() bool {
		_, err := r.Position(context.Background())
		return err == nil
	})
}

// TestReadyIsFirst: however many invalidations are under way, Watch tells of none
// before it is ready.
func TestReadyIsFirst(t *testing.T) {
	t.Parallel()
	r := newRemote(t, rediscache.Options{URL: realtest.Redis(t), Prefix: unique(t)})
	ctx, stop := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for ctx.Err() == nil {
				_, _ = r.Invalidate(ctx, []string{"t"}, false)
			}
		})
	}
	for range 10 {
		e := watch(t, r)
		e.want(t, ready)
		e.stop()
	}
	stop()
	wg.Wait()
}

// TestACL: the commands that the documentation names are enough, and a denied one
// is an error that does not name the password.
func TestACL(t *testing.T) {
	t.Parallel()
	const pw = "correct horse"
	s := newServer(t, "requirepass admin")
	c := newRaw(t, "redis://default:admin@"+s.addr)
	c.do("ACL", "SETUSER", "app", "on", ">"+pw, "resetkeys", "~chat:*", "resetchannels", "&chat:*", "-@all",
		"+evalsha", "+eval", "+info", "+hmget", "+hset", "+hlen", "+persist", "+rename", "+unlink", "+strlen", "+get",
		"+set", "+pttl", "+getrange", "+publish", "+subscribe", "+unsubscribe", "+ping", "+hello", "+select")
	url := "redis://app:correct%20horse@" + s.addr + "/0"
	contract(t, rediscache.Options{URL: url, Prefix: "chat:", MaxTags: 100})
	for what, u := range map[string]string{
		"wrong password": "redis://app:wrong-horse@" + s.addr,
		"no password":    s.url(),
		"other prefix":   url,
	} {
		r := newRemote(t, rediscache.Options{URL: u, Prefix: "other:"})
		_, err := r.Position(t.Context())
		if err == nil || strings.Contains(err.Error(), "horse") {
			t.Errorf("%s: Position error = %v", what, err)
		}
		if err := r.Watch(t.Context(), func(cache.RemoteEvent) {}); err == nil || strings.Contains(err.Error(), "horse") {
			t.Errorf("%s: Watch error = %v", what, err)
		}
		if _, err := r.Get(t.Context(), "k"); err == nil || errors.Is(err, cache.ErrNotFound) {
			t.Errorf("%s: Get error = %v; want one that is not ErrNotFound", what, err)
		}
	}
}
