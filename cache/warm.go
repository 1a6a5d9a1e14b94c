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
	// Progress is called after each key, from one goroutine at a time. Nil: not.
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
// The error is that of the ctx or of bad options (matching ErrOptions); failures of
// loaders are in the report.
func (v *View[V]) Warm(ctx context.Context, keys iter.Seq[string], fn Loader[V], o WarmOptions) (WarmReport, error) {
	o, err := o.withDefaults()
	if err != nil || v.core.c.bypass() {
		return WarmReport{}, err
	}
	w := warmer[V]{v: v, o: o, fn: fn}
	todo := make(chan string)
	var wg sync.WaitGroup
	for range o.Concurrency {
		wg.Go(func() {
			for key := range todo {
				w.one(ctx, key)
			}
		})
	}
	err = func() error {
		defer wg.Wait()
		defer close(todo)
		return w.feed(ctx, keys, todo)
	}()
	w.mu.Lock()
	defer w.mu.Unlock()
	w.report.Full = w.full.Load()
	return w.report, err
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

	mu     sync.Mutex
	report WarmReport // guarded by mu

	tellMu sync.Mutex // one Progress at a time
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
		_, err = w.v.wait(ctx, recorderOf(ctx, c), key, w.fn, c.now())
	}
	w.mu.Lock()
	switch {
	case present:
		w.report.Present++
	case err == nil || errors.Is(err, ErrNotFound):
		w.report.Loaded++
	default:
		w.report.Failed++
		if w.report.Err == nil {
			w.report.Err = err
		}
	}
	w.mu.Unlock()
	if w.o.Progress == nil {
		return
	}
	w.tellMu.Lock()
	defer w.tellMu.Unlock()
	w.mu.Lock()
	now := w.report
	w.mu.Unlock()
	w.o.Progress(now)
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
