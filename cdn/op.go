package cdn

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"
)

// lifecycle is the state of an Uploader.
type lifecycle int

const (
	open     lifecycle = iota
	draining           // no new uploads; promotion goes on
	closed
)

// call is a public call under way; Close cancels it.
type call struct {
	cancel context.CancelCauseFunc
	upload bool // Shutdown waits for it
}

// enter begins a call. The context it returns ends with ctx or when the Uploader is
// closed.
func (u *Uploader) enter(ctx context.Context, upload bool) (context.Context, func(), error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.state == closed || upload && u.state == draining {
		return nil, nil, ErrClosed
	}
	c := &call{upload: upload}
	ctx, c.cancel = context.WithCancelCause(ctx)
	u.calls[c] = struct{}{}
	u.wg.Add(1)
	return ctx, func() { u.leave(c) }, nil
}

func (u *Uploader) leave(c *call) {
	c.cancel(nil)
	u.mu.Lock()
	delete(u.calls, c)
	u.checkIdleLocked()
	u.mu.Unlock()
	u.wg.Done()
}

// checkIdleLocked tells Shutdown when the last upload has ended.
func (u *Uploader) checkIdleLocked() {
	if u.state != draining || u.idle == nil {
		return
	}
	for c := range u.calls {
		if c.upload {
			return
		}
	}
	close(u.idle)
	u.idle = nil
}

// lanes order the provider's writes of one key: a turn at a time. Waiting for a turn
// follows the context.
type lanes struct {
	mu sync.Mutex
	m  map[string]*lane // guarded by mu
}

type lane struct {
	turn chan struct{} // capacity 1: held when full
	refs int           // holders and waiters; guarded by lanes.mu
}

func (ls *lanes) acquire(ctx context.Context, key string) (release func(), err error) {
	ls.mu.Lock()
	l := ls.m[key]
	if l == nil {
		l = &lane{turn: make(chan struct{}, 1)}
		ls.m[key] = l
	}
	l.refs++
	ls.mu.Unlock()
	forget := func() {
		ls.mu.Lock()
		if l.refs--; l.refs == 0 {
			delete(ls.m, key)
		}
		ls.mu.Unlock()
	}
	select {
	case l.turn <- struct{}{}:
		return func() { <-l.turn; forget() }, nil
	case <-ctx.Done():
		forget()
		return nil, context.Cause(ctx)
	}
}

// hold runs f when the last of its holders has let go. An attempt that its caller
// gave up is a holder until the provider returns.
type hold struct {
	n atomic.Int32
	f func()
}

func newHold(f func()) *hold {
	h := &hold{f: f}
	h.n.Store(1)
	return h
}

func (h *hold) add() { h.n.Add(1) }

func (h *hold) done() {
	if h.n.Add(-1) == 0 && h.f != nil {
		h.f()
	}
}

const (
	freeBytes = 1 << 20   // of an upload that earn no extra time
	minRate   = 512 << 10 // bytes per second that a provider must take beyond them
)

// wait bounds how long one call waits for the provider. Progress of the body moves
// the bound, see Options.MaxWait.
type wait struct {
	start    time.Time
	bound    time.Duration
	progress atomic.Int64 // furthest byte that the provider has read
	last     atomic.Int64 // when it did, in nanoseconds since start
	timer    *time.Timer
	cancel   context.CancelCauseFunc
	err      *OpError
}

// bounded returns a context that ends with ctx or when the provider has been waited
// for long enough; then its cause is an error matching ErrUnavailable.
func (u *Uploader) bounded(ctx context.Context, op, key string) (context.Context, *wait) {
	w := &wait{start: time.Now(), bound: u.opts.MaxWait}
	if deadline, ok := ctx.Deadline(); ok && u.local != nil {
		// What is left of the caller's time must suffice for the local copy.
		if left := time.Until(deadline) * 3 / 4; w.bound < 0 || left < w.bound {
			w.bound = max(left, 0)
		}
	}
	w.err = &OpError{
		Provider: u.name, Op: op, Key: key, Kind: ErrUnavailable,
		Err: fmt.Errorf("no answer within %v", w.bound.Round(time.Millisecond)),
	}
	ctx, w.cancel = context.WithCancelCause(ctx)
	if w.bound >= 0 {
		w.timer = time.AfterFunc(w.bound, w.expire)
	}
	return ctx, w
}

// left is how long the provider may still take now.
func (w *wait) left() time.Duration {
	if w.bound < 0 {
		return 1<<63 - 1
	}
	extra := time.Duration(max(w.progress.Load()-freeBytes, 0)/(minRate/1000)) * time.Millisecond
	return time.Until(w.start.Add(w.bound).Add(min(extra, time.Duration(w.last.Load()))))
}

func (w *wait) expire() {
	if left := w.left(); left > 0 {
		w.timer.Reset(left)
		return
	}
	w.cancel(w.err)
}

// pause stops the clock for good; what is under way may go on.
func (w *wait) pause() {
	if w.timer != nil {
		w.timer.Stop()
	}
}

// end lets go of the context.
func (w *wait) end() {
	w.pause()
	w.cancel(nil)
}

// try runs f on a goroutine of its own, so that the caller's wait ends with ctx even
// if f does not. h is held until f returns; drop receives a result that came too
// late for anyone.
func try[T any](ctx context.Context, u *Uploader, h *hold, f func(context.Context) (T, error), drop func(T)) (T, error) {
	type result struct {
		v   T
		err error
	}
	done, gone := make(chan result), make(chan struct{})
	h.add()
	u.wg.Go(func() {
		defer h.done()
		var r result
		r.v, r.err = recovered(ctx, f)
		select {
		case done <- r:
		case <-gone:
			if r.err == nil && drop != nil {
				drop(r.v)
			}
		}
	})
	select {
	case r := <-done:
		return r.v, r.err
	case <-ctx.Done():
	}
	close(gone)
	var zero T
	return zero, context.Cause(ctx)
}

// recovered makes a panic of a provider its error.
func recovered[T any](ctx context.Context, f func(context.Context) (T, error)) (v T, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("cdn: provider panicked: %v", p)
		}
	}()
	return f(ctx)
}

// request is one kind of call to the provider.
type request struct {
	op, key string
	bytes   int64
	tries   int // at most
	w       *wait
	h       *hold
}

// retry calls f until it succeeds, fails for good, or the attempts or the time are
// used up. It returns how many attempts it made.
func retry[T any](ctx context.Context, u *Uploader, q request, f func(context.Context) (T, error), drop func(T)) (v T, n int, err error) {
	for n = 1; ; n++ {
		start := time.Now()
		v, err = try(ctx, u, q.h, f, drop)
		if hook := u.opts.Hooks.Attempt; hook != nil {
			hook(AttemptEvent{
				Provider: u.name, Op: q.op, Key: q.key, Attempt: n, Bytes: q.bytes, Elapsed: time.Since(start), Err: err,
			})
		}
		if err == nil {
			return v, n, nil
		}
		if ctx.Err() != nil {
			return v, n, ended(ctx, err)
		}
		if n >= q.tries || !IsUnavailable(err) {
			return v, n, err
		}
		pause := u.backoff(n, err)
		if pause >= q.w.left() || refused(err) && u.local != nil {
			return v, n, err
		}
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return v, n, ended(ctx, err)
		}
		u.count.retries.Add(1)
	}
}

// ended is the error of a call whose context ended while the last attempt failed
// with err: why the context ended, and what the provider said before.
func ended(ctx context.Context, err error) error {
	cause := context.Cause(ctx)
	if late, ok := errors.AsType[*OpError](cause); ok && err != cause && !errors.Is(err, context.Canceled) {
		c := *late
		c.Err = fmt.Errorf("%w; last: %w", late.Err, err)
		return &c
	}
	if !errors.Is(cause, ctx.Err()) && !errors.Is(cause, ErrUnavailable) {
		return fmt.Errorf("%w: %w", ctx.Err(), cause)
	}
	return cause
}

// backoff is the wait after attempt n failed with err.
func (u *Uploader) backoff(n int, err error) time.Duration {
	o := u.opts.Retry
	bound := o.MaxDelay
	if n <= 30 && o.BaseDelay < o.MaxDelay>>(n-1) {
		bound = o.BaseDelay << (n - 1)
	}
	pause := rand.N(min(bound, math.MaxInt64-1) + 1)
	if after, ok := errors.AsType[interface {
		error
		RetryAfter() time.Duration
	}](err); ok {
		pause = max(pause, after.RetryAfter())
	}
	return pause
}
