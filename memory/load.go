package memory

import (
	"context"
	"time"
)

// call is one load in flight.
type call[V any] struct {
	done    chan struct{} // closed when value and err are set
	value   V
	err     error
	cancel  context.CancelFunc
	waiters int // guarded by the shard's mu
}

// GetOrLoad returns the value of key, calling load if it is absent and storing what
// that returns. Callers that miss the same key meanwhile share one run. The run has
// its own ctx, which carries the values of the first caller's and is cancelled when
// no caller waits any more; each caller leaves when its own ctx ends, with an error
// that matches ctx.Err. An error of load goes to all of them and is not stored; a
// panic, also one of SizeOf or OnEvict, reaches them as a [*PanicError]. A value that Set would refuse is returned
// all the same. A Set or Delete of the key during the run wins over its result. load
// must not ask for the same key: it would wait for itself.
func (c *Cache[K, V]) GetOrLoad(ctx context.Context, key K, load func(context.Context) (V, error)) (V, error) {
	if v, ok := c.Get(key); ok {
		return v, nil
	}
	var zero V
	if ctx.Err() != nil {
		return zero, contextError(ctx, "load")
	}
	if c.opts.Disabled {
		return load(ctx)
	}
	s, hash := c.shardOf(key)
	s.mu.Lock()
	if c.closed.Load() {
		s.mu.Unlock()
		return zero, ErrClosed
	}
	if idx := s.find(hash, key); idx != 0 && !c.expired(s.at(idx)) {
		v := s.at(idx).value // stored since the miss
		s.mu.Unlock()
		return v, nil
	}
	f := s.calls[key]
	if f == nil {
		f = c.startLoad(ctx, s, hash, key, load)
	}
	f.waiters++
	s.mu.Unlock()

	select {
	case <-f.done:
		return f.value, f.err
	case <-ctx.Done():
	}
	s.mu.Lock()
	f.waiters--
	last := f.waiters == 0
	if last && s.calls[key] == f {
		delete(s.calls, key) // who comes next starts anew instead of inheriting the cancel
	}
	s.mu.Unlock()
	if last {
		f.cancel()
	}
	return zero, contextError(ctx, "load")
}

// startLoad enters a load into s, which is locked, and starts it.
func (c *Cache[K, V]) startLoad(ctx context.Context, s *shard[K, V], hash uint32, key K, load func(context.Context) (V, error)) *call[V] {
	runCtx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	f := &call[V]{done: make(chan struct{}), cancel: cancel}
	if s.calls == nil {
		s.calls = make(map[K]*call[V])
	}
	if same := key; key == same { // a NaN could never be found again, nor taken out
		s.calls[key] = f
	}
	c.loads.Go(func() {
		defer cancel()
		start := time.Now()
		guard(func() (err error) {
			f.value, err = load(runCtx)
			return err
		}, func(err error) {
			c.finishLoad(s, hash, key, f, err, time.Since(start))
		})
	})
	return f
}

// finishLoad stores the result of a load if nothing was written meanwhile, then
// lets the waiters have it.
func (c *Cache[K, V]) finishLoad(s *shard[K, V], hash uint32, key K, f *call[V], err error, took time.Duration) {
	defer close(f.done)
	var out leavers[K, V]
	var size int64
	if err == nil {
		// The size function is the caller's too: its panic is the load's.
		guard(func() error { size = c.charge(key, f.value); return nil }, func(e error) { err = e })
	}
	if err != nil {
		var zero V
		f.value, f.err = zero, err
	}
	s.mu.Lock()
	s.counts.loads++
	s.counts.loadTime += took
	if err != nil {
		s.counts.loadErrors++
	} else {
		// A refusal is counted; the value is right all the same.
		_ = c.store(s, hash, key, f.value, size, f, &out)
	}
	if s.calls[key] == f {
		delete(s.calls, key)
	}
	s.unlock()
	// No caller could recover a panic on this goroutine: it becomes their error.
	guard(func() error { c.notify(out); return nil }, func(e error) {
		if e != nil && err == nil {
			var zero V
			f.value, f.err = zero, e
		}
	})
}
