package imageopt

import (
	"container/list"
	"context"
	"sync"
	"time"
)

// admission is a queue of jobs by the memory they need, first come first served:
// a small job never overtakes a large one, so a large one is not starved.
type admission struct {
	total    int64
	maxQueue int
	maxWait  time.Duration // negative: no end but ctx

	mu      sync.Mutex
	used    int64     // guarded by mu
	running int       // guarded by mu
	held    int64     // see hold; guarded by mu
	waiting list.List // of *waiter; guarded by mu
}

type waiter struct {
	need  int64
	ready chan struct{} // closed once admitted
}

func newAdmission(total int64, maxQueue int, maxWait time.Duration) *admission {
	return &admission{total: total, maxQueue: maxQueue, maxWait: maxWait}
}

// acquire books need bytes or returns why not. The caller calls release once.
func (a *admission) acquire(ctx context.Context, need int64) (err error) {
	if ctx.Err() != nil {
		return ctxError(ctx)
	}
	if need > a.total {
		return &LimitError{Limit: "memory", Got: need, Max: a.total}
	}
	w, e, err := a.enter(need)
	if w == nil {
		return err
	}
	var timeout <-chan time.Time
	if a.maxWait > 0 {
		t := time.NewTimer(a.maxWait)
		defer t.Stop()
		timeout = t.C
	}
	select {
	case <-w.ready:
		return nil
	case <-ctx.Done():
		if a.leave(w, e) {
			return ctxError(ctx)
		}
		a.release(need) // admitted in the same moment
		return ctxError(ctx)
	case <-timeout:
		if !a.leave(w, e) {
			return nil // admitted in the same moment
		}
		_, _, waiting := a.state()
		return &BusyError{Waiting: waiting, Need: need, After: a.maxWait / 2}
	}
}

// enter admits at once (nil, nil, nil), queues, or refuses.
func (a *admission) enter(need int64) (*waiter, *list.Element, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.waiting.Len() == 0 && a.used+need <= a.total {
		a.used += need
		a.running++
		return nil, nil, nil
	}
	if a.waiting.Len() >= a.maxQueue {
		return nil, nil, &BusyError{Waiting: a.waiting.Len(), Need: need, After: time.Second}
	}
	w := &waiter{need: need, ready: make(chan struct{})}
	return w, a.waiting.PushBack(w), nil
}

// leave takes w out of the queue; false means that it was admitted already.
func (a *admission) leave(w *waiter, e *list.Element) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	select {
	case <-w.ready:
		return false
	default:
	}
	a.waiting.Remove(e)
	a.admitLocked() // w may have been what the others waited for
	return true
}

func (a *admission) release(need int64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.used -= need
	a.running--
	a.admitLocked()
}

func (a *admission) admitLocked() {
	for e := a.waiting.Front(); e != nil; e = a.waiting.Front() {
		w := e.Value.(*waiter)
		if a.used+w.need > a.total {
			return
		}
		a.used += w.need
		a.running++
		a.waiting.Remove(e)
		close(w.ready)
	}
}

// hold counts n bytes of sources that are read before their job is admitted. They have
// a bound of their own, so that a slow reader keeps no admitted job waiting.
func (a *admission) hold(n int64) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.held+n > a.total {
		return &BusyError{Waiting: a.waiting.Len(), Need: n, After: time.Second}
	}
	a.held += n
	return nil
}

func (a *admission) drop(n int64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.held -= n
}

func (a *admission) state() (used int64, running, waiting int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.used, a.running, a.waiting.Len()
}
