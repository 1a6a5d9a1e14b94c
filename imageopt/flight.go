package imageopt

import (
	"context"
	"fmt"
	"net/http"
	"sync"
)

// flightGroup runs one job for each key at a time. A job runs on its own goroutine
// and is cancelled when the last of its waiters has gone.
type flightGroup struct {
	mu      sync.Mutex
	flights map[string]*flight // guarded by mu
	closed  bool               // guarded by mu
	running sync.WaitGroup
}

type makeFunc = func(context.Context) ([]byte, error)

type flight struct {
	waiters int // guarded by flightGroup.mu
	cancel  context.CancelFunc
	done    chan struct{}
	data    []byte // set before done is closed
	err     error
}

func (g *flightGroup) init() { g.flights = make(map[string]*flight) }

// do returns what the job for key returns; shared tells that another call's job made
// it. lead returns the job; it is called before do returns, under the lock, and only
// when there is none in flight; it returns nil when ctx is done. The values of ctx
// reach the job, its end does not.
func (g *flightGroup) do(ctx context.Context, key string, lead func() makeFunc) (data []byte, shared bool, err error) {
	g.mu.Lock()
	if g.closed {
		g.mu.Unlock()
		return nil, false, &httpError{http.StatusServiceUnavailable, "closed"}
	}
	f, shared := g.flights[key]
	if shared {
		f.waiters++
	} else {
		fn := lead()
		if fn == nil {
			g.mu.Unlock()
			return nil, false, ctxError(ctx)
		}
		fctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
		f = &flight{waiters: 1, cancel: cancel, done: make(chan struct{})}
		g.flights[key] = f
		g.running.Go(func() { g.run(fctx, key, f, fn) })
	}
	g.mu.Unlock()
	select {
	case <-f.done:
	case <-ctx.Done():
		g.leave(key, f)
		return nil, shared, ctxError(ctx)
	}
	return f.data, shared, f.err
}

func (g *flightGroup) run(ctx context.Context, key string, f *flight, fn makeFunc) {
	defer func() {
		if p := recover(); p != nil {
			f.data, f.err = nil, fmt.Errorf("imageopt: source, cache or hook panicked: %v", p)
		}
		g.forget(key, f)
		f.cancel()
		close(f.done)
	}()
	f.data, f.err = fn(ctx)
}

// leave takes a waiter away. A job without any is cancelled, and forgotten at once,
// so that the next request does not join what is about to fail.
func (g *flightGroup) leave(key string, f *flight) {
	g.mu.Lock()
	f.waiters--
	last := f.waiters == 0
	if last && g.flights[key] == f {
		delete(g.flights, key)
	}
	g.mu.Unlock()
	if last {
		f.cancel()
	}
}

func (g *flightGroup) forget(key string, f *flight) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.flights[key] == f {
		delete(g.flights, key)
	}
}

func (g *flightGroup) close() {
	g.mu.Lock()
	g.closed = true
	g.mu.Unlock()
	g.running.Wait()
}
