package cache

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
)

// ManyLoader computes the values of several keys at once. Keys that it leaves out of
// its result do not exist. missing is its own to keep.
type ManyLoader[V any] = func(ctx context.Context, missing []string) (map[string]V, error)

const fillWorkers = 16

// LoadMany returns the values of keys. It calls fn at most once for those that
// memory and the second level do not have, without the ones that another load is
// just computing. Keys that fn leaves out are not found: they are absent from the
// result, and remembered for NegativeTTL. An error of fn is returned together with
// what was found; stale values within StaleIfError count as found, and answer the
// calls of the next minute as in [View.Load]. StaleWhileRevalidate is not used. The result is the caller's; its values are
// shared unless the strategy has a Clone. In rare cases, when an invalidation came
// between, fn is called once more for the keys that it hit.
func (v *View[V]) LoadMany(ctx context.Context, keys []string, fn ManyLoader[V]) (map[string]V, error) {
	c := v.core.c
	if c.bypass() {
		return v.directMany(ctx, keys, fn)
	}
	m := many[V]{v: v, ctx: ctx, rec: c.recorder(ctx), fn: fn, begun: c.now(),
		found: make(map[string]V, len(keys)), epoch: c.tags.epoch.Load()}
	todo := m.fromMemory(keys)
	m.refresh()
	for len(todo) > 0 {
		if ctx.Err() != nil {
			return m.found, fmt.Errorf("cache: load many: %w", ctxError(ctx))
		}
		flights, started := m.join(todo)
		if started != nil && !c.spawn(func() { v.runMany(started, fn) }) {
			c.abort(started)
		}
		todo = m.collect(flights, started)
	}
	return m.found, m.err
}

func (v *View[V]) directMany(ctx context.Context, keys []string, fn ManyLoader[V]) (vals map[string]V, err error) {
	if len(keys) == 0 {
		return map[string]V{}, nil
	}
	err = capture(func() error {
		vals, err = fn(ctx, unique(keys))
		return err
	})
	if vals == nil {
		vals = map[string]V{}
	}
	return vals, err
}

func unique(keys []string) []string {
	seen := make(map[string]struct{}, len(keys))
	out := make([]string, 0, len(keys))
	for _, k := range keys {
		if _, ok := seen[k]; !ok {
			seen[k] = struct{}{}
			out = append(out, k)
		}
	}
	return out
}

// many is one LoadMany under way.
type many[V any] struct {
	v     *View[V]
	ctx   context.Context // of the call; many lives no longer
	rec   *recorder
	fn    ManyLoader[V]
	found map[string]V
	err   error
	begun int64
	epoch uint64
	stale []Key // served because of an earlier failure
}

// aged is an entry at some moment.
type aged struct {
	key Key
	it  *Item
}

// fromMemory takes what is fresh and returns the other keys.
func (m *many[V]) fromMemory(keys []string) (todo []string) {
	c := m.v.core.c
	for _, k := range unique(keys) {
		if m.rec != nil {
			m.rec.add(m.v.Tag(k))
		}
		begun := c.now()
		it, st := c.lookup(m.v.key(k), begun)
		switch {
		case (st == stateFresh || st == stateAhead) && m.take(k, it, begun):
		case st == stateStale && it.servable(m.v.core, begun, false) && m.take(k, it, begun):
			m.v.core.counters.stale.Add(1)
			m.stale = append(m.stale, m.v.key(k))
			if m.rec != nil {
				m.rec.taint()
			}
		default:
			todo = append(todo, k)
		}
	}
	return todo
}

// refresh starts one background load of the stale values that were served.
func (m *many[V]) refresh() {
	v := m.v
	c := v.core.c
	var cl *call
	for _, key := range m.stale {
		s := c.flights.shard(key)
		s.mu.Lock()
		stamp, now := c.tags.epoch.Load(), c.now()
		cur, st := c.lookup(key, now)
		if s.m[key] == nil && st == stateStale && !cur.resting(now) {
			if cl == nil {
				cl = c.newCall(m.ctx, v.core, true)
			}
			cl.addLocked(s, key, stamp)
		}
		s.mu.Unlock()
	}
	if cl != nil && !c.spawn(func() { v.runMany(cl, m.fn) }) {
		c.abort(cl)
	}
}

// take serves key from it, unless its bytes are damaged.
func (m *many[V]) take(key string, it *Item, begun int64) bool {
	val, err, ok := m.v.serve(key, it, m.rec, m.v.core.counters.visit(begun))
	if ok && err == nil {
		m.found[key] = val
	}
	return ok
}

// join returns the running loads of the keys, and a new call that has flights for
// those that nobody loads, or nil.
func (m *many[V]) join(keys []string) (flights []*flight, started *call) {
	c := m.v.core.c
	for _, k := range keys {
		key := m.v.key(k)
		s := c.flights.shard(key)
		s.mu.Lock()
		if f := s.m[key]; f != nil {
			if f.call == started || f.call.join() {
				flights = append(flights, f)
				s.mu.Unlock()
				continue
			}
			s.supersedeLocked(key)
		}
		stamp := c.tags.epoch.Load()
		it, st := c.lookup(key, c.now())
		if st == stateFresh || st == stateAhead {
			s.mu.Unlock()
			if m.take(k, it, m.begun) {
				continue
			}
			s.mu.Lock()
			s.supersedeLocked(key)
		}
		if started == nil {
			started = c.newCall(m.ctx, m.v.core, false)
		}
		flights = append(flights, started.addLocked(s, key, stamp))
		s.mu.Unlock()
	}
	return flights, started
}

// collect waits for the flights and returns the keys to be loaded again, because
// their load had begun before an invalidation that this call knows of. This call is
// one waiter of own, and one of each other flight.
func (m *many[V]) collect(flights []*flight, own *call) (again []string) {
	c := m.v.core.c
	for i, f := range flights {
		if err := c.await(m.ctx, m.rec, f); err != nil {
			m.err = err
			left := f.call == own
			for _, g := range flights[i+1:] {
				if g.call == own && left {
					continue
				}
				left = left || g.call == own
				g.call.leave(err)
			}
			return nil
		}
		if !f.answers(m.epoch, m.begun) {
			again = append(again, f.key.ID)
			continue
		}
		m.v.core.counters.miss(c.now() - m.begun)
		val, err := m.v.outcome(f, m.rec)
		switch {
		case err == nil:
			m.found[f.key.ID] = val
		case !errors.Is(err, ErrNotFound) && m.err == nil:
			m.err = err
		}
	}
	return again
}

// runMany is the goroutine of a load of several keys.
func (v *View[V]) runMany(cl *call, fn ManyLoader[V]) {
	c := v.core.c
	c.flights.loaders.Add(1)
	defer context.AfterFunc(c.ctx, func() { cl.cancel(ErrClosed) })()
	defer cl.end()
	v.limit(cl)
	missing := v.fillMany(cl)
	if len(missing) == 0 {
		cl.settled = true
		return
	}
	v.locate(cl)
	keys := make([]string, len(missing))
	for i, f := range missing {
		keys[i] = f.key.ID
	}
	var vals map[string]V
	err := v.measure(cl, func() (err error) {
		vals, err = fn(cl.ctx, slices.Clone(keys))
		return err
	})
	nodes, tainted := cl.rec.take(v.core)
	own := nodes[min(len(v.core.static), len(nodes)):]
	anyStored := false
	for _, f := range missing {
		val, ok := vals[f.key.ID]
		err := err
		if !ok && err == nil {
			err = fmt.Errorf("cache: load many: %w", ErrNotFound)
		}
		for _, n := range own { // each entry holds references of its own
			c.tags.retain(n)
		}
		stored, res := v.settle(cl, f, settled[V]{val: val, err: err, nodes: nodes, tainted: tainted})
		if stored {
			anyStored = true
			v.writeRemote(context.WithoutCancel(cl.ctx), f.key.ID, res.item, res.frame, cl.rpos)
		}
	}
	cl.settled = true
	c.tags.release(own...)
	v.tellLoad(cl, keys, LoadEvent{Stored: anyStored, Err: err})
}

// fillMany ends the flights that the second level has records for, some at a time,
// and returns the others.
func (v *View[V]) fillMany(cl *call) []*flight {
	if v.core.c.remote == nil || !v.core.shared {
		return cl.flights
	}
	filled := make([]bool, len(cl.flights))
	var next atomic.Int64
	var wg sync.WaitGroup
	for range min(fillWorkers, len(cl.flights)) {
		wg.Go(func() {
			for i := next.Add(1) - 1; int(i) < len(cl.flights); i = next.Add(1) - 1 {
				filled[i] = v.fill(cl, cl.flights[i])
			}
		})
	}
	wg.Wait()
	var missing []*flight
	for i, f := range cl.flights {
		if !filled[i] {
			missing = append(missing, f)
		}
	}
	return missing
}
