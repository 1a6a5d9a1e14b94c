package cache

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"time"
)

// Loader computes the value of a key. Its ctx carries the values of the first
// caller's, is cancelled when all callers have gone, and records what nested loads
// depend on.
type Loader[V any] = func(ctx context.Context, e *Entry[V]) (V, error)

// Load returns the value of key: from memory, from the second level, or by fn. One
// fn per key runs at a time; all callers share its result, and each one leaves when
// its own ctx ends. A stale value within StaleWhileRevalidate is returned at once
// while fn runs in the background; a failure of fn is answered with the old value
// within StaleIfError. Errors: those of fn unchanged (a panic is a *PanicError),
// ErrTimeout, ErrCycle, ErrClosed, or the ctx's.
//
// Inside a loader, the entry being loaded comes to depend on key and on all that
// key depends on; stale values are then waited for rather than served.
func (v *View[V]) Load(ctx context.Context, key string, fn Loader[V]) (V, error) {
	c := v.core.c
	if c.bypass() {
		return v.direct(ctx, key, fn)
	}
	now := c.now()
	rec := recorderOf(ctx, c)
	if rec != nil {
		rec.add(v.Tag(key))
	}
	it, st := c.lookup(v.key(key), now)
	switch st {
	case stateFresh, stateAhead:
		if val, err, ok := v.serve(it, rec, now); ok {
			if st == stateAhead {
				v.refresh(ctx, it, fn)
			}
			return val, err
		}
	case stateStale:
		if rec == nil && now < addMoment(it.staleSince(), v.core.swr) {
			if val, err, ok := v.serve(it, nil, now); ok {
				v.core.counters.stale.Add(1)
				v.refresh(ctx, it, fn)
				return val, err
			}
		}
	}
	return v.wait(ctx, rec, key, fn, now)
}

// direct runs fn without the cache.
func (v *View[V]) direct(ctx context.Context, key string, fn Loader[V]) (val V, err error) {
	err = capture(func() error {
		val, err = fn(ctx, &Entry[V]{view: v, key: key, ttl: new(int64)})
		return err
	})
	return val, err
}

// capture turns a panic of fn into an error.
func capture(fn func() error) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = &PanicError{Value: r, Stack: debug.Stack()}
		}
	}()
	return fn()
}

// wait joins the load of key, or starts one, and returns its result.
func (v *View[V]) wait(ctx context.Context, rec *recorder, key string, fn Loader[V], begun int64) (V, error) {
	var zero V
	c := v.core.c
	epoch := c.tags.epoch.Load()
	if ctx.Err() != nil {
		v.core.counters.miss(c.now() - begun)
		return zero, fmt.Errorf("cache: load: %w", ctxError(ctx))
	}
	for {
		f, it, err := v.join(ctx, rec, v.key(key), fn)
		if err != nil {
			return v.closedMeanwhile(ctx, key, fn, err)
		}
		if it != nil {
			if val, err, ok := v.serve(it, rec, begun); ok {
				return val, err
			}
			continue
		}
		if err := c.await(ctx, rec, f); err != nil {
			v.core.counters.miss(c.now() - begun)
			return zero, err
		}
		if f.stamp < epoch && !f.unmoved {
			continue // it had begun before an invalidation that this caller knows of
		}
		v.core.counters.miss(c.now() - begun)
		return v.outcome(f, rec)
	}
}

// closedMeanwhile answers a caller that the cache was closed under.
func (v *View[V]) closedMeanwhile(ctx context.Context, key string, fn Loader[V], err error) (V, error) {
	if errors.Is(err, ErrClosed) {
		return v.direct(ctx, key, fn)
	}
	var zero V
	return zero, err
}

// outcome hands the result of f to a caller.
func (v *View[V]) outcome(f *flight, rec *recorder) (V, error) {
	if rec != nil {
		rec.inherit(f.nodes)
		if f.stale {
			rec.taint()
		}
	}
	val, _ := f.value.(V)
	if f.err == nil && v.s.Clone != nil {
		val = v.s.Clone(val)
	}
	return val, f.err
}

// await waits for f, as a waiter that has joined.
func (c *Cache) await(ctx context.Context, rec *recorder, f *flight) error {
	if err := c.flights.enterWait(rec.caller(), f.call); err != nil {
		f.call.leave(err)
		return err
	}
	defer c.flights.leaveWait(rec.caller(), f.call)
	select {
	case <-f.done:
		return nil
	case <-ctx.Done():
		err := fmt.Errorf("cache: load: %w", ctxError(ctx))
		f.call.leave(err)
		return err
	}
}

// ctxError returns the error of ctx together with its cause.
func ctxError(ctx context.Context) error {
	err, cause := ctx.Err(), context.Cause(ctx)
	if errors.Is(cause, err) {
		return cause
	}
	return fmt.Errorf("%w: %w", err, cause)
}

// join returns the running load of key with this caller as a waiter, starting one
// if there is none, or an item that has become fresh meanwhile.
func (v *View[V]) join(ctx context.Context, rec *recorder, key Key, fn Loader[V]) (*flight, *Item, error) {
	c := v.core.c
	s := c.flights.shard(key)
	s.mu.Lock()
	if f := s.m[key]; f != nil {
		if f.call.join() {
			s.mu.Unlock()
			return f, nil, nil
		}
		s.supersedeLocked(key)
	}
	it, st := c.lookup(key, c.now())
	if st == stateFresh || st == stateAhead {
		s.mu.Unlock()
		return nil, it, nil
	}
	cl := c.newCall(ctx, v.core, false)
	f := cl.addLocked(s, key)
	s.mu.Unlock()
	if st != stateStale {
		it = nil
	}
	if !c.spawn(func() { v.run(cl, it, fn) }) {
		c.abort(cl)
		return nil, nil, ErrClosed
	}
	return f, nil, nil
}

// refresh starts a background load of the key of it, unless one is running.
func (v *View[V]) refresh(ctx context.Context, it *Item, fn Loader[V]) {
	c := v.core.c
	s := c.flights.shard(it.key)
	s.mu.Lock()
	if s.m[it.key] != nil {
		s.mu.Unlock()
		return
	}
	if cur, ok := c.engine.Get(it.key); !ok || cur != it {
		s.mu.Unlock()
		return // refreshed or deleted meanwhile
	}
	cl := c.newCall(ctx, v.core, true)
	cl.ahead = it.soft.Load() == 0 && c.now() < it.fresh
	cl.addLocked(s, it.key)
	s.mu.Unlock()
	if !c.spawn(func() { v.run(cl, it, fn) }) {
		c.abort(cl)
	}
}

// newCall prepares a run of a loader for the caller of ctx.
func (c *Cache) newCall(ctx context.Context, co *core, background bool) *call {
	cl := &call{core: co, background: background, begun: c.now()}
	cl.waiters.Store(1)
	cl.rec = &recorder{c: c, call: cl}
	ctx = context.WithValue(context.WithoutCancel(ctx), recorderKey{}, cl.rec)
	cl.ctx, cl.cancel = context.WithCancelCause(ctx)
	if c.remote != nil {
		cl.rgen = c.remote.gen.Load()
	}
	return cl
}

// addLocked registers a flight of cl for key. The shard is locked.
func (cl *call) addLocked(s *flightShard, key Key) *flight {
	f := &flight{key: key, call: cl, stamp: cl.core.c.tags.epoch.Load(), done: make(chan struct{})}
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
	defer context.AfterFunc(c.ctx, func() { cl.cancel(ErrClosed) })()
	defer cl.end()
	v.limit(cl)
	if !cl.ahead && v.fill(cl, f) {
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
	v.tellLoad(cl, []string{f.key.ID}, LoadEvent{Stored: stored, Err: err})
	if stored {
		v.writeRemote(context.WithoutCancel(cl.ctx), res.item, res.frame, cl.rpos)
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

// end frees what the call holds.
func (cl *call) end() {
	if cl.timer != nil {
		cl.timer.Stop()
	}
	cl.cancel(nil)
	nodes, _ := cl.rec.close()
	cl.core.c.tags.release(nodes...)
}

// measure runs a loader, counts it, and turns panics and Goexit into errors. After
// Goexit it finishes the flights itself, since nothing after it runs.
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
		if exited {
			err = &PanicError{}
		}
		if err != nil && !errors.Is(err, ErrNotFound) {
			s.loadErrors.Add(1)
		}
		if exited {
			c.failAll(cl, err)
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
		fallback = c.fallback(f)
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
		c.stored(res.item)
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
		stored = c.store(res.item) == nil
		if stored {
			c.armSweep()
		}
		return true, stored
	case res.err != nil: // not found, and not to be remembered
		if it, ok := c.engine.Get(f.key); ok && c.engine.DeleteIf(f.key, it) {
			c.removed(it, false)
		}
	}
	return false, false
}

// fallback returns what memory holds for a load that failed: a value written
// meanwhile, or an old one within StaleIfError.
func (c *Cache) fallback(f *flight) *Item {
	now := c.now()
	it, st := c.lookup(f.key, now)
	switch st {
	case stateFresh, stateAhead:
		return it
	case stateStale:
		if now < addMoment(it.staleSince(), f.call.core.sie) {
			f.stale = true
			return it
		}
	}
	return nil
}

// answerWith makes f answer with the value of it. No lock is held.
func (c *Cache) answerWith(f *flight, it *Item) {
	val, err := it.core.open(it)
	if err != nil {
		f.stale = false
		return
	}
	f.value, f.err, f.nodes = val, nil, it.nodes
	if f.stale {
		it.core.counters.stale.Add(1)
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
		if containsNode(co.static, n) {
			co.c.tags.release(n)
			continue
		}
		nodes = append(nodes, n)
	}
	return nodes, tainted
}

func containsNode(nodes []*node, n *node) bool {
	for _, m := range nodes {
		if m == n {
			return true
		}
	}
	return false
}

// locate notes the position of the remote before the loader runs.
func (v *View[V]) locate(cl *call) {
	rl := v.core.c.remote
	if rl != nil && v.core.codec != "" && rl.usable(cl.ctx) {
		cl.rpos = rl.position(cl.ctx)
	}
}

// tellLoad calls the Load hook; ev has what is not known from the call.
func (v *View[V]) tellLoad(cl *call, keys []string, ev LoadEvent) {
	c := v.core.c
	h := c.opts.Hooks.Load
	if h == nil {
		return
	}
	ev.Strategy, ev.Keys, ev.Background = v.core.name, keys, cl.background
	ev.Duration = time.Duration(c.now() - cl.begun)
	c.guard(func() { h(ev) })
}
