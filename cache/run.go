package cache

import (
	"context"
	"errors"
	"slices"
	"time"
)

// newCall prepares a run of a loader for the caller of ctx.
func (c *Cache) newCall(ctx context.Context, co *core, background bool) *call {
	cl := &call{core: co, background: background, begun: c.now()}
	cl.waiters.Store(1)
	cl.rec = &recorder{c: c, call: cl}
	ctx = context.WithValue(context.WithoutCancel(ctx), recorderKey{c}, cl.rec)
	cl.ctx, cl.cancel = context.WithCancelCause(ctx)
	if c.remote != nil {
		cl.rgen = c.remote.gen.Load()
	}
	return cl
}

// addLocked registers a flight of cl for key. stamp is the epoch read before the old
// entry was judged, so that an old value handed to the loader is judged by it too.
// The shard is locked.
func (cl *call) addLocked(s *flightShard, key Key, stamp uint64) *flight {
	f := &flight{key: key, call: cl, stamp: stamp, done: make(chan struct{})}
	cl.flights = append(cl.flights, f)
	s.m[key] = f
	return f
}

// abort ends a call whose goroutine could not start.
func (c *Cache) abort(cl *call) {
	c.failAll(cl, ErrClosed)
	cl.cancel(ErrClosed)
}

// result is what a loader said about one key.
type result struct {
	value any
	err   error
	item  *Item  // to be stored, or nil
	frame []byte // of item for the second level, or nil
}

// loaded is a value with the circumstances of its load.
type loaded struct {
	value any // a V or a negative
	nodes []*node
	stamp uint64
	ttl   int64 // 0: the strategy's
	keep  int64 // of a record: the stale windows' end, in nanoseconds from now
	begun int64 // moment before the load
	rpos  uint64
	rgen  uint64
}

// run is the goroutine of a single load.
func (v *View[V]) run(cl *call, old *Item, fn Loader[V]) {
	c := v.core.c
	f := cl.flights[0]
	c.flights.loaders.Add(1)
	defer context.AfterFunc(c.ctx, func() { cl.cancel(ErrClosed) })()
	defer cl.end()
	v.limit(cl)
	if !cl.ahead && v.fill(cl, f) {
		cl.settled = true
		return
	}
	filled, release := v.lead(cl, f)
	defer release()
	if filled {
		cl.settled = true
		return
	}
	if cause := context.Cause(cl.ctx); cause != nil { // while it waited for the lease
		c.failAll(cl, cause)
		cl.settled = true
		return
	}
	v.locate(cl)
	var val V
	ttl := int64(0)
	err := v.measure(cl, func() (err error) {
		val, err = fn(cl.ctx, &Entry[V]{view: v, key: f.key.ID, rec: cl.rec, ttl: &ttl, stale: old})
		return err
	})
	nodes, tainted := cl.rec.take(v.core)
	stored, res := v.settle(cl, f, settled[V]{val: val, ttl: ttl, err: err, nodes: nodes, tainted: tainted})
	cl.settled = true
	v.tellLoad(cl, []string{f.key.ID}, LoadEvent{Stored: stored, Err: err})
	if stored {
		v.writeRemote(context.WithoutCancel(cl.ctx), f.key.ID, res.item, res.frame, cl.rpos)
	}
}

// limit arms HardTimeout: the waiters are released even if the loader does not
// listen to its ctx.
func (v *View[V]) limit(cl *call) {
	if v.core.hard <= 0 {
		return
	}
	cl.timer = time.AfterFunc(v.core.hard, func() {
		cl.cancel(ErrTimeout)
		v.core.c.failAll(cl, ErrTimeout)
	})
}

// end frees what the call holds. If user code ended the goroutine, nobody is left to
// wait for ever.
func (cl *call) end() {
	cl.core.c.flights.loaders.Add(-1)
	if !cl.settled {
		cl.core.c.failAll(cl, &PanicError{})
	}
	if cl.timer != nil {
		cl.timer.Stop()
	}
	cl.cancel(nil)
	nodes, _ := cl.rec.close()
	cl.core.c.tags.release(nodes...)
}

// measure runs a loader, counts it, and turns panics into errors. After a Goexit
// nothing behind it runs, and call.end finishes the flights.
func (v *View[V]) measure(cl *call, fn func() error) (err error) {
	s := &v.core.counters
	c := v.core.c
	begun := c.now()
	exited := true
	defer func() {
		s.loaded(c.now() - begun)
		if cl.background {
			s.refreshes.Add(1)
		}
		if exited || err != nil && !errors.Is(err, ErrNotFound) {
			s.loadErrors.Add(1)
		}
	}()
	err = capture(fn)
	if cause := context.Cause(cl.ctx); err != nil && (cause == ErrClosed || cause == ErrTimeout) {
		err = cause // the loader tells of a cancellation that its callers did not ask for
	}
	exited = false
	return err
}

// failAll ends all flights of a call with err.
func (c *Cache) failAll(cl *call, err error) {
	for _, f := range cl.flights {
		c.finish(f, result{err: err}, nil)
	}
}

// settled is what a loader returned for one key, and what it depends on.
type settled[V any] struct {
	val     V
	ttl     int64
	err     error
	nodes   []*node // owned, but for the strategy's own
	tainted bool
}

// settle ends f with what the loader returned, and tells whether it was stored. A
// panic of Clone, SizeOf or the codec is an error like one of the loader.
func (v *View[V]) settle(cl *call, f *flight, o settled[V]) (bool, result) {
	res := result{value: o.val, err: o.err}
	ld := loaded{nodes: o.nodes, stamp: f.stamp, begun: cl.begun, ttl: o.ttl, rpos: cl.rpos, rgen: cl.rgen}
	if err := capture(func() error {
		switch {
		case o.tainted:
		case o.err == nil:
			val := o.val
			if v.s.Clone != nil {
				val = v.s.Clone(val)
			}
			ld.value = val
			res.item, res.frame = v.newItem(f.key.ID, ld)
		case errors.Is(o.err, ErrNotFound) && v.core.neg > 0:
			ld.value, ld.ttl = negative{err: o.err}, v.core.neg
			res.item, _ = v.newItem(f.key.ID, ld)
		}
		return nil
	}); err != nil {
		res = result{err: err}
	}
	return v.core.c.finish(f, res, o.nodes), res
}

// finish ends a flight: it stores the item of res unless something was written or
// invalidated since the load began, and releases the waiters. References of nodes
// go to the item or back. Repeats do nothing.
func (c *Cache) finish(f *flight, res result, nodes []*node) (stored bool) {
	co := f.call.core
	own := nodes[min(len(co.static), len(nodes)):]
	s := c.flights.shard(f.key)
	s.mu.Lock()
	if f.ended {
		s.mu.Unlock()
		c.tags.release(own...)
		return false
	}
	f.ended = true
	if s.m[f.key] == f {
		delete(s.m, f.key)
	}
	f.value, f.err, f.nodes = res.value, res.err, nodes
	if nodes == nil {
		f.nodes = co.static
	}
	f.unmoved = unmoved(f.nodes, f.stamp)
	var kept bool
	var fallback *Item
	if res.err != nil && !errors.Is(res.err, ErrNotFound) {
		fallback = c.fallbackLocked(f)
	} else {
		kept, stored = c.keepLocked(f, res)
	}
	s.mu.Unlock()
	if fallback != nil {
		c.answerWith(f, fallback)
	}
	if !kept {
		c.tags.release(own...)
	}
	if stored {
		c.stored(co, f.key.ID)
	}
	close(f.done)
	c.tellEvictions()
	return stored
}

// keepLocked stores the result of f, if it may. kept tells that the references of
// its nodes went to the item. The shard is locked.
func (c *Cache) keepLocked(f *flight, res result) (kept, stored bool) {
	switch {
	case f.superseded || !f.unmoved:
		f.call.core.counters.discarded.Add(1)
	case res.item != nil:
		stored = c.store(f.key, res.item) == nil
		if stored {
			c.armSweep()
		} else {
			c.dropLocked(f.key) // the caller got something newer
		}
		return true, stored
	case res.err != nil: // not found, and not to be remembered
		c.dropLocked(f.key)
	}
	return false, false
}

// dropLocked removes what the engine holds for key. The shard is locked.
func (c *Cache) dropLocked(key Key) {
	if it, ok := c.get(key); ok && c.engine.DeleteIf(key, it) {
		c.removed(it, uncounted)
	}
}

// fallbackLocked returns what memory holds for a load that failed: a value written
// meanwhile, or an old one within StaleIfError. The shard is locked.
func (c *Cache) fallbackLocked(f *flight) *Item {
	now := c.now()
	it, st := c.lookup(f.key, now)
	if cause := context.Cause(f.call.ctx); st != stateMiss && !f.superseded && (cause == nil || cause == ErrTimeout) {
		it.failed(now)
	}
	switch st {
	case stateFresh, stateAhead:
		return it
	case stateStale:
		if it.within(f.call.core.sie, now) {
			f.stale = true
			return it
		}
	}
	return nil
}

// answerWith makes f answer with the value of it. No lock is held.
func (c *Cache) answerWith(f *flight, it *Item) {
	var val any
	if err := capture(func() (err error) { val, err = f.call.core.open(it); return err }); err != nil {
		f.stale = false
		return
	}
	f.value, f.err, f.nodes = val, nil, it.tags()
	if f.stale {
		f.call.core.counters.stale.Add(1)
	}
}

// unmoved tells whether no tag was invalidated after the epoch stamp.
func unmoved(nodes []*node, stamp uint64) bool {
	for _, n := range nodes {
		if n.hard.Load() > stamp || n.soft.Load() > stamp {
			return false
		}
	}
	return true
}

// take ends the recording and returns the tags of the entry: the strategy's own,
// then the recorded ones, whose references go to the caller.
func (r *recorder) take(co *core) (nodes []*node, tainted bool) {
	own, tainted := r.close()
	if len(own) == 0 {
		return co.static, tainted
	}
	nodes = append(nodes, co.static...)
	for _, n := range own {
		if slices.Contains(co.static, n) {
			co.c.tags.release(n)
			continue
		}
		nodes = append(nodes, n)
	}
	return nodes, tainted
}

// locate notes the position of the remote before the loader runs.
func (v *View[V]) locate(cl *call) {
	rl := v.core.c.remote
	if rl != nil && v.core.shared && rl.usable(cl.ctx) {
		cl.rpos = rl.position(cl.ctx)
	}
}

// tellLoad calls the Load hook; ev has what is not known from the call.
func (v *View[V]) tellLoad(cl *call, keys []string, ev LoadEvent) {
	if v.core.c.opts.Hooks.Load != nil {
		v.tell(cl, keys, ev)
	}
}

func (v *View[V]) tell(cl *call, keys []string, ev LoadEvent) {
	c := v.core.c
	h := c.opts.Hooks.Load
	ev.Strategy, ev.Keys, ev.Background = v.core.name, keys, cl.background
	ev.Duration = time.Duration(c.now() - cl.begun)
	c.guard(func() { h(ev) })
}
