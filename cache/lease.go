package cache

import (
	"context"
	crand "crypto/rand"
	"time"
)

const (
	leasePauseMin = 2 * time.Millisecond
	leasePauseMax = 50 * time.Millisecond
)

// leaser is what a Remote needs for Strategy.Lease; see Remote.
type leaser interface {
	Lease(ctx context.Context, key, token string, d time.Duration) (bool, error)
	Unlease(ctx context.Context, key, token string) error
}

// lead makes this node the one that loads the key of f, or waits for the record of
// the node that does. filled tells that the record came, and f has ended. Otherwise
// the caller loads, and calls release afterwards: with the lease, or without, when the
// second level fails or the time is up.
func (v *View[V]) lead(cl *call, f *flight) (filled bool, release func()) {
	release = func() {}
	rl := v.core.c.remote
	if rl == nil || v.core.lease <= 0 || cl.ahead || !rl.usable(cl.ctx) {
		return false, release
	}
	driver, ok := rl.r.(leaser)
	if !ok {
		return false, release
	}
	key, token := v.core.remoteKey+f.key.ID, crand.Text()
	deadline := time.Now().Add(v.core.lease)
	for pause := leasePauseMin; ; pause = min(2*pause, leasePauseMax) {
		got, err := rl.lease(cl.ctx, driver, key, token, v.core.lease)
		if got || err != nil { // although it failed for us, it may have been given
			release = func() { rl.unlease(context.WithoutCancel(cl.ctx), driver, key, token) }
		}
		if err != nil {
			return false, release
		}
		if got {
			// The node that had it may have written the record since we looked.
			if v.fill(cl, f) {
				release()
				return true, func() {}
			}
			return false, release
		}
		left := time.Until(deadline)
		if left <= 0 {
			return false, release
		}
		select {
		case <-time.After(min(pause, left)):
		case <-cl.ctx.Done():
			return false, release
		}
		if v.fill(cl, f) {
			return true, release
		}
		if !rl.usable(cl.ctx) {
			return false, release
		}
	}
}

func (rl *remoteLevel) lease(ctx context.Context, driver leaser, key, token string, d time.Duration) (got bool, err error) {
	err = rl.protect(ctx, func(ctx context.Context) (err error) {
		got, err = driver.Lease(ctx, key, token, d)
		return err
	})
	return got, rl.result("lease", err)
}

func (rl *remoteLevel) unlease(ctx context.Context, driver leaser, key, token string) {
	if rl.resting() {
		return // it ends by itself
	}
	_ = rl.result("lease", rl.protect(ctx, func(ctx context.Context) error {
		return driver.Unlease(ctx, key, token)
	}))
}
