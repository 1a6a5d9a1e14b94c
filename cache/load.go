package cache

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
)

// Loader computes the value of a key. Its ctx carries the values of the first
// caller's, is cancelled when all callers have gone, and records what nested loads
// depend on.
type Loader[V any] = func(ctx context.Context, e *Entry[V]) (V, error)

// Load returns the value of key: from memory, from the second level, or by fn. One
// fn per key runs at a time; all callers share its result, and each one leaves when
// its own ctx ends. A stale value within StaleWhileRevalidate is returned at once
// while fn runs in the background. A failure of fn is answered with the old value
// within StaleIfError, and so are, at once, the calls of the next minute: fn then runs
// in the background, a second after the last failure at the earliest. Errors: those of fn unchanged (a panic is a *PanicError),
// ErrTimeout, ErrCycle, ErrClosed, or the ctx's.
//
// Inside a loader, the entry being loaded comes to depend on key and on all that
// key depends on. A stale value is then waited for rather than served; after a
// failure it is served, and what is made of it is not stored.
func (v *View[V]) Load(ctx context.Context, key string, fn Loader[V]) (V, error) {
	c := v.core.c
	if c.bypass() {
		return v.direct(ctx, key, fn)
	}
	rec := c.recorder(ctx)
	if rec != nil {
		rec.add(v.Tag(key))
	}
	it, st, vis := v.find(key)
	if st == stateFresh && rec == nil && v.bare(it, vis) {
		return *held[V](it), nil
	}
	switch st {
	case stateFresh, stateAhead:
		if val, err, ok := v.serve(key, it, rec, vis); ok {
			if st == stateAhead {
				v.refresh(ctx, key, it, fn)
			}
			return val, err
		}
	case stateStale:
		if it.servable(v.core, vis.now, rec == nil) {
			if val, err, ok := v.serve(key, it, rec, vis); ok {
				v.core.counters.stale.Add(1)
				if rec != nil {
					rec.taint()
				}
				v.refresh(ctx, key, it, fn)
				return val, err
			}
		}
	}
	return v.wait(ctx, rec, key, fn, vis.begun(c))
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
			if val, err, ok := v.serve(key, it, rec, v.core.counters.visit(begun)); ok {
				return val, err
			}
			continue
		}
		if err := c.await(ctx, rec, f); err != nil {
			v.core.counters.miss(c.now() - begun)
			return zero, err
		}
		if !f.answers(epoch, begun) {
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
	stamp := c.tags.epoch.Load()
	it, st := c.lookup(key, c.now())
	if st == stateFresh || st == stateAhead {
		s.mu.Unlock()
		return nil, it, nil
	}
	cl := c.newCall(ctx, v.core, false)
	f := cl.addLocked(s, key, stamp)
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

// refresh starts a background load of the key id, whose entry it has just answered,
// unless one is running or the entry became fresh or was deleted meanwhile.
func (v *View[V]) refresh(ctx context.Context, id string, it *Item, fn Loader[V]) {
	c, key := v.core.c, v.key(id)
	if it.resting(c.now()) {
		return
	}
	s := c.flights.shard(key)
	s.mu.Lock()
	if s.m[key] != nil {
		s.mu.Unlock()
		return
	}
	stamp, now := c.tags.epoch.Load(), c.now()
	// It is another item than the one that answered if that was restored and decoded now.
	it, st := c.lookup(key, now)
	if st == stateMiss || st == stateFresh {
		s.mu.Unlock()
		return
	}
	cl := c.newCall(ctx, v.core, true)
	cl.ahead = !it.marked(markSoft) && now < it.fresh
	cl.addLocked(s, key, stamp)
	s.mu.Unlock()
	if !c.spawn(func() { v.run(cl, it, fn) }) {
		c.abort(cl)
	}
}
