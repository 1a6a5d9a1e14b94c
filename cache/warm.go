package cache

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"sync"
	"sync/atomic"
	"time"
)

// WarmOptions paces [View.Warm]. The zero value loads four keys at a time.
type WarmOptions struct {
	// Concurrency is the number of loaders that run at a time. Default 4.
	Concurrency int
	// Interval is the least time between the starts of two loads. Default 0: none.
	Interval time.Duration
	// FillTo stops warming once the entries of all views together count for this
	// share of Options.MaxBytes (or MaxEntries), so that warming does not evict what
	// it loaded before. Range 0 to 1. Default 0.95.
	FillTo float64
	// Progress is called after each key with the counts so far, on one goroutine of
	// this Warm and without locks; the loads wait for it. A panic in it is logged and
	// ignored. Nil: not.
	Progress func(WarmReport)
}

// WarmReport tells what a [View.Warm] did so far, in keys.
type WarmReport struct {
	Loaded  int   // loaded now
	Present int   // fresh in memory already
	Failed  int   // the loader failed; a not found counts as loaded
	Full    bool  // stopped at FillTo
	Err     error // the first failure
}

// Warm loads the keys that memory does not have fresh, as Load would: one load per
// key, and nothing that was invalidated meanwhile is stored. It reads keys on the
// calling goroutine until they, ctx or the room end. A failed key does not stop it.
// The error is that of the ctx, ErrClosed, or of bad options (matching ErrOptions);
// failures of loaders are in the report. With Options.Disabled it does nothing.
func (v *View[V]) Warm(ctx context.Context, keys iter.Seq[string], fn Loader[V], o WarmOptions) (WarmReport, error) {
	o, err := o.withDefaults()
	if err != nil || v.core.c.opts.Disabled {
		return WarmReport{}, err
	}
	w := warmer[V]{v: v, o: o, fn: fn, told: make(chan WarmReport)}
	todo := make(chan string)
	var workers, teller sync.WaitGroup
	for range o.Concurrency {
		workers.Go(func() {
			for key := range todo {
				w.one(ctx, key)
			}
		})
	}
	if o.Progress != nil {
		teller.Go(w.tell)
	}
	err = func() error {
		defer teller.Wait()
		defer close(w.told)
		defer workers.Wait()
		defer close(todo)
		return w.feed(ctx, keys, todo)
	}()
	w.mu.Lock()
	defer w.mu.Unlock()
	w.report.Full = w.full.Load()
	return w.report, err
}

// tell calls Progress for each key that is done.
func (w *warmer[V]) tell() {
	var so WarmReport
	for one := range w.told {
		so.add(one)
		w.v.core.c.guard(func() { w.o.Progress(so) })
	}
}

// add counts the keys of one.
func (r *WarmReport) add(one WarmReport) {
	r.Loaded += one.Loaded
	r.Present += one.Present
	r.Failed += one.Failed
	if r.Err == nil {
		r.Err = one.Err
	}
}

func (o WarmOptions) withDefaults() (WarmOptions, error) {
	var errs []error
	if o.Concurrency < 0 {
		errs = append(errs, fmt.Errorf("field Concurrency: %d is negative", o.Concurrency))
	}
	if o.Interval < 0 {
		errs = append(errs, fmt.Errorf("field Interval: %v is negative", o.Interval))
	}
	if !(o.FillTo >= 0 && o.FillTo <= 1) {
		errs = append(errs, fmt.Errorf("field FillTo: %v is not in [0, 1]", o.FillTo))
	}
	if len(errs) > 0 {
		return o, fmt.Errorf("%w: %w", ErrOptions, errors.Join(errs...))
	}
	if o.Concurrency == 0 {
		o.Concurrency = 4
	}
	if o.FillTo == 0 {
		o.FillTo = 0.95
	}
	return o, nil
}

type warmer[V any] struct {
	v    *View[V]
	o    WarmOptions
	fn   Loader[V]
	full atomic.Bool

	told chan WarmReport // one key each, for Progress

	mu     sync.Mutex
	report WarmReport // guarded by mu
}

// feed gives the keys to the workers at the pace asked for.
func (w *warmer[V]) feed(ctx context.Context, keys iter.Seq[string], todo chan<- string) error {
	var tick *time.Ticker
	if w.o.Interval > 0 {
		tick = time.NewTicker(w.o.Interval)
		defer tick.Stop()
	}
	first := true
	for key := range keys {
		if w.v.core.c.closed.Load() {
			return ErrClosed
		}
		if w.full.Load() || w.v.core.c.filled() >= w.o.FillTo {
			w.full.Store(true)
			return nil
		}
		if tick != nil && !first {
			select {
			case <-tick.C:
			case <-ctx.Done():
			}
		}
		first = false
		select {
		case todo <- key:
		case <-ctx.Done():
		}
		if ctx.Err() != nil {
			return fmt.Errorf("cache: warm: %w", ctxError(ctx))
		}
	}
	return nil
}

// one warms one key.
func (w *warmer[V]) one(ctx context.Context, key string) {
	c := w.v.core.c
	_, st := c.lookup(w.v.key(key), c.now())
	present := st == stateFresh || st == stateAhead
	var err error
	if !present {
		_, err = w.v.wait(ctx, c.recorder(ctx), key, w.fn, c.now())
	}
	var done WarmReport
	switch {
	case present:
		done.Present = 1
	case err == nil || errors.Is(err, ErrNotFound):
		done.Loaded = 1
	default:
		done.Failed, done.Err = 1, err
	}
	w.mu.Lock()
	w.report.add(done)
	w.mu.Unlock()
	if w.o.Progress != nil {
		w.told <- done
	}
}

// filled returns the share of the bound that is used.
func (c *Cache) filled() float64 {
	bytes, entries := int64(0), int64(0)
	for _, co := range c.strategies() {
		bytes += co.counters.bytes.Load()
		entries += co.counters.entries.Load()
	}
	share := 0.0
	if c.opts.MaxBytes > 0 {
		share = float64(bytes) / float64(c.opts.MaxBytes)
	}
	if c.opts.MaxEntries > 0 {
		share = max(share, float64(entries)/float64(c.opts.MaxEntries))
	}
	return share
}
