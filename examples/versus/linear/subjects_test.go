package linear

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/dgraph-io/ristretto/v2"
	"github.com/perfblocks/perfblocks/cache"
	"github.com/viccon/sturdyc"
)

// subject is a cache under test. A loader calls look once, for the value to return.
type subject interface {
	load(id string, look func() value) value
	get(id string) (value, bool)
	set(id string, v value)
	del(id string)
}

// tagger is a subject with all that ours can do, in two views: with and without time.
type tagger interface {
	subject
	many(view int, ids []string, look func(id string) value) map[string]value
	warm(view int, id, dyn string, look func() value)
	loadIn(view int, id, dyn string, look func() value) value
	getIn(view int, id string) (value, bool)
	setIn(view int, id string, v value)
	delIn(view int, id string, hard bool)
	tag(name string, hard bool)
	nested(id, dyn string, look func() value) value // an entry made of that of view 0
	// named is an entry that names that of view 0, which it also loads, and has a tag.
	named(id, dyn string, inner, look func() value) value
}

// The views, and how long things live in the one with time.
const (
	plain = iota
	timed
	views

	ttl    = 5 * time.Millisecond
	window = 2 * time.Millisecond
)

func static(view int) string { return fmt.Sprint("view", view) }

type perfblocks struct {
	t     *testing.T
	c     *cache.Cache
	views [views]*cache.View[value]
	out   *cache.View[value]

	// What a mutant does wrong.
	noTags, noCtx bool
}

// newOurs makes a cache with an engine. With few entries, it evicts most of the time.
func newOurs(t *testing.T, engine func(cache.EngineOptions) (cache.Engine, error), entries int, swr time.Duration) *perfblocks {
	c, err := cache.New(cache.Options{Engine: engine, MaxEntries: entries, MaxBytes: 256 << 20})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	p := &perfblocks{t: t, c: c}
	for i, s := range []cache.Strategy[value]{
		{Name: "plain", TTL: -1, Tags: []string{static(plain)}},
		{Name: "timed", TTL: ttl, RefreshAhead: 0.25, StaleWhileRevalidate: swr, Tags: []string{static(timed)}},
		{Name: "out", TTL: -1},
	} {
		s.Jitter = -1
		v, err := cache.Add(c, s)
		if err != nil {
			t.Fatal(err)
		}
		if i == views {
			p.out = v
		} else {
			p.views[i] = v
		}
	}
	return p
}

func (p *perfblocks) must(err error) {
	if err != nil {
		p.t.Error(err)
	}
}

func (p *perfblocks) loader(dyn string, look func() value) cache.Loader[value] {
	return func(_ context.Context, e *cache.Entry[value]) (value, error) {
		v := look()
		if !p.noTags {
			e.DependsOn(dyn)
		}
		return v, nil
	}
}

func (p *perfblocks) loadIn(view int, id, dyn string, look func() value) value {
	v, err := p.views[view].Load(context.Background(), id, p.loader(dyn, look))
	p.must(err)
	return v
}

func (p *perfblocks) nested(id, dyn string, look func() value) value {
	v, err := p.out.Load(context.Background(), id, func(ctx context.Context, _ *cache.Entry[value]) (value, error) {
		if p.noCtx {
			ctx = context.Background()
		}
		return p.views[plain].Load(ctx, id, p.loader(dyn, look))
	})
	p.must(err)
	return v
}

func (p *perfblocks) named(id, dyn string, inner, look func() value) value {
	v, err := p.out.Load(context.Background(), "named"+id, func(_ context.Context, e *cache.Entry[value]) (value, error) {
		p.loadIn(plain, id, dyn, inner) // with another ctx, so that nothing of it is recorded
		v := look()
		if !p.noTags {
			e.DependsOn(p.views[plain].Tag(id), dyn)
		}
		return v, nil
	})
	p.must(err)
	return v
}

func (p *perfblocks) many(view int, ids []string, look func(string) value) map[string]value {
	vals, err := p.views[view].LoadMany(context.Background(), ids, func(_ context.Context, missing []string) (map[string]value, error) {
		found := map[string]value{}
		for _, id := range missing {
			found[id] = look(id)
		}
		return found, nil
	})
	p.must(err)
	return vals
}

func (p *perfblocks) warm(view int, id, dyn string, look func() value) {
	_, err := p.views[view].Warm(context.Background(), slices.Values([]string{id}), p.loader(dyn, look), cache.WarmOptions{Concurrency: 1, FillTo: 1})
	p.must(err)
}

func (p *perfblocks) getIn(view int, id string) (value, bool) {
	return p.views[view].Get(context.Background(), id)
}

func (p *perfblocks) setIn(view int, id string, v value) {
	p.must(p.views[view].Set(context.Background(), id, v))
}

func (p *perfblocks) delIn(view int, id string, hard bool) {
	if hard {
		p.must(p.views[view].Delete(context.Background(), id))
	} else {
		p.must(p.views[view].Expire(context.Background(), id))
	}
}

func (p *perfblocks) tag(name string, hard bool) {
	if hard {
		p.must(p.c.DeleteTag(context.Background(), name))
	} else {
		p.must(p.c.ExpireTag(context.Background(), name))
	}
}

func (p *perfblocks) load(id string, look func() value) value { return p.loadIn(plain, id, "", look) }
func (p *perfblocks) get(id string) (value, bool)             { return p.getIn(plain, id) }
func (p *perfblocks) set(id string, v value)                  { p.setIn(plain, id, v) }
func (p *perfblocks) del(id string)                           { p.delIn(plain, id, true) }

// sturdy is sturdyc as its documentation shows it.
type sturdy struct{ c *sturdyc.Client[value] }

func newSturdy(*testing.T) subject { return sturdy{sturdyc.New[value](1<<20, 16, time.Hour, 10)} }

func (s sturdy) load(id string, look func() value) value {
	v, _ := s.c.GetOrFetch(context.Background(), id, func(context.Context) (value, error) { return look(), nil })
	return v
}
func (s sturdy) get(id string) (value, bool) { return s.c.Get(id) }
func (s sturdy) set(id string, v value)      { s.c.Set(id, v) }
func (s sturdy) del(id string)               { s.c.Delete(id) }

// raw is ristretto alone. It loads nothing, so that what is wrong is its own.
type raw struct {
	c *ristretto.Cache[string, value]
}

func newRaw(t *testing.T) subject {
	c, err := ristretto.NewCache(&ristretto.Config[string, value]{NumCounters: 1 << 20, MaxCost: 1 << 20, BufferItems: 64, IgnoreInternalCost: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return raw{c}
}

func (r raw) load(string, func() value) value { return 0 }
func (r raw) get(id string) (value, bool)     { return r.c.Get(id) }
func (r raw) set(id string, v value)          { r.c.Set(id, v, 1) }
func (r raw) del(id string)                   { r.c.Del(id) }

// The mutants are ours with one thing done wrong.

// aside loads as is often done by hand: the value is set when it is there.
type aside struct{ *perfblocks }

func (m aside) loadIn(view int, id, _ string, look func() value) value {
	if v, ok := m.getIn(view, id); ok {
		return v
	}
	v := look()
	m.setIn(view, id, v)
	return v
}

// late deletes a tag after it said so.
type late struct{ *perfblocks }

func (m late) tag(name string, hard bool) {
	go m.perfblocks.tag(name, hard)
}

// lax expires what is to be deleted.
type lax struct{ *perfblocks }

func (m lax) tag(name string, _ bool) { m.perfblocks.tag(name, false) }

// first keeps the first of two Sets.
type first struct{ *perfblocks }

func (m first) setIn(view int, id string, v value) {
	if _, ok := m.getIn(view, id); !ok {
		m.perfblocks.setIn(view, id, v)
	}
}

// lossy drops some Sets of new keys, as a full queue would.
type lossy struct{ *perfblocks }

func (m lossy) setIn(view int, id string, v value) {
	if v/ways%16 == 0 {
		m.delIn(view, id, true)
		return
	}
	m.perfblocks.setIn(view, id, v)
}

// forgetful does not delete one key.
type forgetful struct{ *perfblocks }

func (m forgetful) delIn(int, string, bool) {}
