package cache_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/perfblocks/perfblocks/cache"
)

// fakeRemote is a Remote in memory that follows the contract, and can be made to
// fail, hang, garble its answers and lose its connections.
type fakeRemote struct {
	mu       sync.Mutex
	pos      uint64
	hard     map[string]uint64 // position of the last invalidation of a tag
	recs     map[string]fakeRecord
	watchers map[int]chan cache.RemoteEvent
	nextID   int
	fail     error
	hang     bool
	garble   func(*cache.Record)
	silent   bool   // no push
	after    func() // runs after an invalidation was taken, before its caller hears
	calls    map[string]int
}

type fakeRecord struct {
	rec cache.Record
	at  time.Time
}

func newFakeRemote() *fakeRemote {
	return &fakeRemote{pos: 100, hard: map[string]uint64{}, recs: map[string]fakeRecord{},
		watchers: map[int]chan cache.RemoteEvent{}, calls: map[string]int{}}
}

// enter counts a call and applies the faults.
func (r *fakeRemote) enter(ctx context.Context, op string) error {
	r.mu.Lock()
	r.calls[op]++
	fail, hang := r.fail, r.hang
	r.mu.Unlock()
	if hang {
		<-ctx.Done()
		return ctx.Err()
	}
	return fail
}

func (r *fakeRemote) set(change func(*fakeRemote)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	change(r)
}

func (r *fakeRemote) Position(ctx context.Context) (uint64, error) {
	if err := r.enter(ctx, "position"); err != nil {
		return 0, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.pos, nil
}

func (r *fakeRemote) Get(ctx context.Context, key string) (*cache.Record, error) {
	if err := r.enter(ctx, "get"); err != nil {
		return nil, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	fr, ok := r.recs[key]
	age := time.Since(fr.at)
	if !ok || age >= fr.rec.Keep {
		return nil, cache.ErrNotFound
	}
	for _, tag := range fr.rec.Tags {
		if r.hard[tag] > fr.rec.Position {
			return nil, cache.ErrNotFound
		}
	}
	rec := fr.rec
	rec.Age = age
	rec.Data, rec.Tags = slices.Clone(rec.Data), slices.Clone(rec.Tags)
	if r.garble != nil {
		r.garble(&rec)
	}
	return &rec, nil
}

func (r *fakeRemote) Set(ctx context.Context, key string, rec *cache.Record) error {
	if err := r.enter(ctx, "set"); err != nil {
		return err
	}
	if rec.Keep <= 0 || rec.Fresh <= 0 || rec.Position == 0 || len(rec.Tags) == 0 {
		return fmt.Errorf("bad record %+v", rec)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	cp := *rec
	cp.Data, cp.Tags = slices.Clone(rec.Data), slices.Clone(rec.Tags)
	r.recs[key] = fakeRecord{cp, time.Now()}
	return nil
}

func (r *fakeRemote) Invalidate(ctx context.Context, tags []string, soft bool) (uint64, error) {
	if err := r.enter(ctx, "invalidate"); err != nil {
		return 0, err
	}
	r.mu.Lock()
	r.pos++
	for _, tag := range tags {
		r.hard[tag] = r.pos
	}
	ev := cache.RemoteEvent{Kind: cache.RemoteInvalidated, Tags: slices.Clone(tags), Soft: soft, Position: r.pos}
	pos, after, chans := r.pos, r.after, slices.Collect(maps.Values(r.watchers))
	r.mu.Unlock()
	for _, ch := range chans {
		ch <- ev
	}
	if after != nil {
		after()
	}
	return pos, nil
}

func (r *fakeRemote) Watch(ctx context.Context, fn func(cache.RemoteEvent)) error {
	if err := r.enter(ctx, "watch"); err != nil {
		return err
	}
	r.mu.Lock()
	if r.silent {
		r.mu.Unlock()
		<-ctx.Done()
		return ctx.Err()
	}
	id := r.nextID
	r.nextID++
	ch := make(chan cache.RemoteEvent, 1024)
	r.watchers[id] = ch
	r.mu.Unlock()
	defer r.set(func(r *fakeRemote) { delete(r.watchers, id) })
	fn(cache.RemoteEvent{Kind: cache.RemoteReady})
	for {
		select {
		case ev, ok := <-ch:
			if !ok {
				return errors.New("connection lost")
			}
			fn(ev)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// drop ends all push connections.
func (r *fakeRemote) drop() {
	r.set(func(r *fakeRemote) {
		for id, ch := range r.watchers {
			close(ch)
			delete(r.watchers, id)
		}
	})
}

func (r *fakeRemote) count(op string) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.calls[op]
}

// nodes runs fn in a bubble with two caches over one remote.
func nodes(t *testing.T, s cache.Strategy[string], fn func(t *testing.T, r *fakeRemote, a, b *cache.View[string], ca, cb *cache.Cache)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		r := newFakeRemote()
		var cs [2]*cache.Cache
		var vs [2]*cache.View[string]
		for i := range cs {
			cs[i] = newCache(t, cache.Options{Remote: r})
			if s.Name == "" {
				s.Name = "s"
				s.Codec = cache.Raw[string]()
			}
			vs[i] = add(t, cs[i], s)
		}
		synctest.Wait()
		fn(t, r, vs[0], vs[1], cs[0], cs[1])
		_ = cs[0].Close()
		_ = cs[1].Close()
	})
}

// row is a database row that both nodes read.
type row struct {
	mu  sync.Mutex
	val string
}

func (r *row) set(v string) { r.mu.Lock(); r.val = v; r.mu.Unlock() }

func (r *row) load(_ context.Context, e *cache.Entry[string]) (string, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	e.DependsOn("t")
	return r.val, nil
}

func TestRemoteSharesRecords(t *testing.T) {
	nodes(t, cache.Strategy[string]{}, func(t *testing.T, r *fakeRemote, a, b *cache.View[string], _, cb *cache.Cache) {
		db := &row{val: "1"}
		mustLoad(t, a, "k", db.load, "1")
		synctest.Wait()
		mustLoad(t, b, "k", func(context.Context, *cache.Entry[string]) (string, error) { return "", errors.New("loader ran") }, "1")
		if st := b.Stats(); st.RemoteHits != 1 || st.Loads != 0 {
			t.Errorf("Stats() = %+v; want 1 remote hit, 0 loads", st)
		}
		// The record brought its tags along.
		_ = cb.DeleteTag(t.Context(), "t")
		db.set("2")
		mustLoad(t, b, "k", db.load, "2")
		got, err := b.LoadMany(t.Context(), []string{"k", "l"}, func(_ context.Context, m []string) (map[string]string, error) {
			return map[string]string{"l": fmt.Sprint(m)}, nil
		})
		if err != nil || got["l"] != "[l]" {
			t.Errorf("LoadMany = %v, %v", got, err)
		}
		synctest.Wait()
		got, err = a.LoadMany(t.Context(), []string{"k", "l"}, func(context.Context, []string) (map[string]string, error) {
			return nil, errors.New("loader ran")
		})
		if err != nil || got["k"] != "2" || got["l"] != "[l]" {
			t.Errorf("LoadMany on the other node = %v, %v", got, err)
		}
	})
}

func TestRemoteCarriesInvalidations(t *testing.T) {
	ctx := context.Background()
	for name, kill := range map[string]func(c *cache.Cache, v *cache.View[string]) error{
		"DeleteTag": func(c *cache.Cache, _ *cache.View[string]) error { return c.DeleteTag(ctx, "t") },
		"ExpireTag": func(c *cache.Cache, _ *cache.View[string]) error { return c.ExpireTag(ctx, "t") },
		"Delete":    func(_ *cache.Cache, v *cache.View[string]) error { return v.Delete(ctx, "k") },
		"Expire":    func(_ *cache.Cache, v *cache.View[string]) error { return v.Expire(ctx, "k") },
		"Set":       func(_ *cache.Cache, v *cache.View[string]) error { return v.Set(ctx, "k", "2") },
	} {
		for _, push := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s/push=%v", name, push), func(t *testing.T) {
				nodes(t, cache.Strategy[string]{}, func(t *testing.T, r *fakeRemote, a, b *cache.View[string], ca, _ *cache.Cache) {
					if !push {
						r.set(func(r *fakeRemote) { r.silent = true })
						r.drop()
						time.Sleep(time.Minute)
					}
					db := &row{val: "1"}
					mustLoad(t, a, "k", db.load, "1")
					mustLoad(t, b, "k", db.load, "1")
					db.set("2")
					if err := kill(ca, a); err != nil {
						t.Fatal(err)
					}
					if push {
						synctest.Wait()
					} else {
						time.Sleep(time.Second) // TagRecheck
					}
					mustLoad(t, b, "k", db.load, "2")
					mustLoad(t, a, "k", db.load, "2")
				})
			})
		}
	}
}

// TestRemoteSetSurvivesItsEcho: the push of a node's own Set does not take away
// what it has just set.
func TestRemoteSetSurvivesItsEcho(t *testing.T) {
	nodes(t, cache.Strategy[string]{}, func(t *testing.T, _ *fakeRemote, a, b *cache.View[string], _, _ *cache.Cache) {
		_ = a.Set(t.Context(), "k", "1")
		synctest.Wait()
		if got, ok := a.Get(t.Context(), "k"); !ok || got != "1" {
			t.Errorf("Get after the echo = %q, %v", got, ok)
		}
		_ = b.Set(t.Context(), "k", "2")
		synctest.Wait()
		if got, ok := a.Get(t.Context(), "k"); ok {
			t.Errorf("Get after another node's Set = %q; want a miss", got)
		}
	})
}

// TestRemoteLoadRacingOtherNode: a record that was loaded before another node's
// invalidation is dead on arrival.
func TestRemoteLoadRacingOtherNode(t *testing.T) {
	nodes(t, cache.Strategy[string]{}, func(t *testing.T, r *fakeRemote, a, b *cache.View[string], _, cb *cache.Cache) {
		r.set(func(r *fakeRemote) { r.silent = true })
		r.drop()
		time.Sleep(time.Minute)
		db := &row{val: "1"}
		race(t, func(inside func()) {
			_, _ = a.Load(context.Background(), "k", func(ctx context.Context, e *cache.Entry[string]) (string, error) {
				val, err := db.load(ctx, e)
				inside()
				return val, err
			})
		}, func() {
			db.set("2")
			_ = cb.DeleteTag(context.Background(), "t")
		})
		synctest.Wait()
		mustLoad(t, b, "k", db.load, "2")
	})
}

func TestRemoteLostConnection(t *testing.T) {
	nodes(t, cache.Strategy[string]{}, func(t *testing.T, r *fakeRemote, a, b *cache.View[string], ca, _ *cache.Cache) {
		db := &row{val: "1"}
		mustLoad(t, a, "k", db.load, "1")
		mustLoad(t, b, "k", db.load, "1")
		time.Sleep(time.Minute) // held by the push connection
		if _, ok := b.Get(t.Context(), "k"); !ok {
			t.Error("Get with a push connection missed")
		}
		r.drop()
		db.set("2")
		_ = ca.DeleteTag(t.Context(), "t") // nobody hears it
		time.Sleep(time.Minute)            // connected again
		mustLoad(t, b, "k", db.load, "2")
	})
}

func TestRemoteFaults(t *testing.T) {
	for name, fault := range map[string]func(*fakeRemote){
		"fail":     func(r *fakeRemote) { r.fail = errors.New("redis: down") },
		"hang":     func(r *fakeRemote) { r.hang = true },
		"flip":     func(r *fakeRemote) { r.garble = func(rec *cache.Record) { rec.Data[len(rec.Data)/2] ^= 4 } },
		"empty":    func(r *fakeRemote) { r.garble = func(rec *cache.Record) { *rec = cache.Record{} } },
		"no data":  func(r *fakeRemote) { r.garble = func(rec *cache.Record) { rec.Data = nil } },
		"version":  func(r *fakeRemote) { r.garble = func(rec *cache.Record) { rec.Version++ } },
		"codec":    func(r *fakeRemote) { r.garble = func(rec *cache.Record) { rec.Codec = "gob" } },
		"no tags":  func(r *fakeRemote) { r.garble = func(rec *cache.Record) { rec.Tags = nil } },
		"old":      func(r *fakeRemote) { r.garble = func(rec *cache.Record) { rec.Age = time.Hour } },
		"from far": func(r *fakeRemote) { r.garble = func(rec *cache.Record) { rec.Age = -time.Hour } },
		"panic":    func(r *fakeRemote) { r.garble = func(*cache.Record) { panic("driver") } },
	} {
		t.Run(name, func(t *testing.T) {
			nodes(t, cache.Strategy[string]{}, func(t *testing.T, r *fakeRemote, a, b *cache.View[string], _, cb *cache.Cache) {
				db := &row{val: "1"}
				mustLoad(t, a, "k", db.load, "1")
				synctest.Wait()
				db.set("2")
				r.set(fault)
				r.drop()
				for range 20 {
					mustLoad(t, b, "k", db.load, "2") // never the record
				}
				for i := range 20 {
					mustLoad(t, b, fmt.Sprint(i), db.load, "2")
				}
				_, isDecode := map[string]bool{"flip": true, "no data": true}[name]
				if st := b.Stats(); isDecode && st.DecodeErrors == 0 {
					t.Errorf("Stats() = %+v; want decode errors", st)
				}
				if st := cb.Stats(); (name == "fail" || name == "hang" || name == "panic" || isDecode) && st.RemoteErrors == 0 {
					t.Error("RemoteErrors = 0")
				}
			})
		})
	}
}

// TestRemoteOwedInvalidation: an invalidation that the remote did not take is made
// up for before its records are used again.
func TestRemoteOwedInvalidation(t *testing.T) {
	nodes(t, cache.Strategy[string]{}, func(t *testing.T, r *fakeRemote, a, b *cache.View[string], ca, _ *cache.Cache) {
		db := &row{val: "1"}
		mustLoad(t, a, "k", db.load, "1")
		synctest.Wait()
		db.set("2")
		down := errors.New("down")
		r.set(func(r *fakeRemote) { r.fail = down })
		if err := ca.DeleteTag(t.Context(), "t"); !errors.Is(err, down) {
			t.Errorf("DeleteTag error = %v; want %v", err, down)
		}
		mustLoad(t, a, "k", db.load, "2")
		_ = a.Delete(t.Context(), "k")
		r.set(func(r *fakeRemote) { r.fail = nil })
		time.Sleep(time.Minute)
		mustLoad(t, a, "k", db.load, "2") // the old record is still there; not to be used
		synctest.Wait()
		time.Sleep(time.Minute)
		mustLoad(t, b, "k", db.load, "2")
	})
}

func TestRemoteNewStaticTag(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newFakeRemote()
		old := newCache(t, cache.Options{Remote: r})
		a := add(t, old, cache.Strategy[string]{Name: "s", Codec: cache.Raw[string]()})
		db := &row{val: "1"}
		mustLoad(t, a, "k", db.load, "1")
		synctest.Wait()
		c := newCache(t, cache.Options{Remote: r})
		b := add(t, c, cache.Strategy[string]{Name: "s", Codec: cache.Raw[string](), Tags: []string{"new"}})
		db.set("2")
		mustLoad(t, b, "k", db.load, "2") // a record without the tag would miss its invalidation
		_ = old.Close()
		_ = c.Close()
	})
}

func TestRemoteMemoryOnlyStrategy(t *testing.T) {
	for name, s := range map[string]cache.Strategy[string]{
		"no codec":    {Name: "s"},
		"memory only": {Name: "s", Codec: cache.Raw[string](), Compression: cache.Zstd, Levels: cache.MemoryOnly},
	} {
		nodes(t, s, func(t *testing.T, r *fakeRemote, a, b *cache.View[string], ca, _ *cache.Cache) {
			one := strings.Repeat("1", 1000)
			db := &row{val: one}
			mustLoad(t, a, "k", db.load, one)
			mustLoad(t, b, "k", db.load, one)
			if _, err := a.LoadMany(t.Context(), []string{"l"}, func(context.Context, []string) (map[string]string, error) {
				return map[string]string{"l": "1"}, nil
			}); err != nil {
				t.Fatal(err)
			}
			if err := a.Set(t.Context(), "m", "1"); err != nil {
				t.Fatal(err)
			}
			if n := r.count("get") + r.count("set") + r.count("position"); n != 0 {
				t.Errorf("%s: %d calls", name, n)
			}
			db.set("2")
			_ = ca.DeleteTag(t.Context(), "t")
			synctest.Wait()
			mustLoad(t, b, "k", db.load, "2")
		})
	}
}

// TestLevels: names are read back, and what makes no sense is refused.
func TestLevels(t *testing.T) {
	for _, l := range []cache.Levels{cache.Both, cache.MemoryOnly} {
		text, err := l.MarshalText()
		var back cache.Levels
		if err != nil || back.UnmarshalText(bytes.ToUpper(text)) != nil || back != l {
			t.Errorf("%v: %q, %v, read back as %v", l, text, err, back)
		}
	}
	l := cache.MemoryOnly
	if _, err := cache.Levels(7).MarshalText(); !errors.Is(err, cache.ErrOptions) || !errors.Is(l.UnmarshalText([]byte("x")), cache.ErrOptions) || l != cache.MemoryOnly {
		t.Errorf("an unknown level: %v, %v", err, l)
	}
	for name, s := range map[string]cache.Strategy[string]{
		"unknown": {Name: "s", Levels: 7},
		"lease":   {Name: "s", Levels: cache.MemoryOnly, Lease: time.Second, Codec: cache.Raw[string]()},
	} {
		if _, err := cache.Add(newCache(t, cache.Options{}), s); !errors.Is(err, cache.ErrOptions) {
			t.Errorf("%s: Add error = %v; want ErrOptions", name, err)
		}
	}
}
