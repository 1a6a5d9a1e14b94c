package cache

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

const (
	remotePauseMin = 50 * time.Millisecond
	remotePauseMax = 5 * time.Second
	remoteTrips    = 5 // failures in a row that open the circuit
	remoteRest     = time.Second
	ownPositions   = 256
	owedMax        = 1 << 14 // debts kept one by one
	owedPortion    = 512     // tags of one call
)

// allTag is on every entry and record of a cache with a second level. Invalidating it
// stands for more invalidations than a node can remember while the remote fails.
const allTag = "\x00all"

// remoteLevel wraps Options.Remote: time limits, a circuit, the push connection,
// and the invalidations that the remote has not taken yet.
type remoteLevel struct {
	c       *Cache
	r       Remote
	recheck int64

	gen     atomic.Uint64 // generation of the push connection; 0: none
	lastGen atomic.Uint64

	errors  atomic.Int64
	fails   atomic.Int64 // in a row
	restEnd atomic.Int64 // moment until which the remote is left alone

	mu   sync.Mutex
	owed map[string]debt      // guarded by mu: tags to invalidate there
	seq  uint64               // guarded by mu: of the last debt
	own  [ownPositions]uint64 // guarded by mu: positions of our own invalidations
	next int                  // guarded by mu
	owes atomic.Bool          // owed is not empty

	flushMu  chan struct{} // one flush at a time
	settling atomic.Bool   // settle runs
}

// debt is one invalidation that the remote has not confirmed.
type debt struct {
	seq  uint64
	soft bool
	pos  *uint64 // guarded by mu: gets the position, or nil
}

func newRemoteLevel(c *Cache, r Remote) *remoteLevel {
	return &remoteLevel{c: c, r: r, recheck: int64(c.opts.TagRecheck),
		owed: make(map[string]debt), flushMu: make(chan struct{}, 1)}
}

// trusts tells whether it may be served without asking the remote: the push
// connection has missed nothing since it was loaded, or that was just now.
func (rl *remoteLevel) trusts(it *Item, now int64) bool {
	f := it.full() // as all items of a cache with a remote are
	return f.rgen != 0 && f.rgen == rl.gen.Load() || now-f.verified < rl.recheck
}

// resting tells whether the circuit is open.
func (rl *remoteLevel) resting() bool { return rl.c.now() < rl.restEnd.Load() }

// result counts the outcome of an operation and returns err.
func (rl *remoteLevel) result(op string, err error) error {
	if err == nil || errors.Is(err, ErrNotFound) {
		rl.fails.Store(0)
		return err
	}
	if errors.Is(err, errResting) || errors.Is(err, errCallerLeft) {
		return err // says nothing about the remote
	}
	rl.errors.Add(1)
	if n := rl.fails.Add(1); n >= remoteTrips {
		rl.restEnd.Store(rl.c.now() + int64(remoteRest))
		if n == remoteTrips && rl.c.opts.Logger != nil {
			rl.c.opts.Logger.Warn("cache: second level fails", slog.String("cache", rl.c.opts.Name),
				slog.String("op", op), slog.Any("error", err))
		}
	}
	if h := rl.c.opts.Hooks.Remote; h != nil {
		rl.c.guard(func() { h(RemoteErrorEvent{Op: op, Err: err}) })
	}
	return err
}

// protect runs one call of the driver within RemoteTimeout; a panic is an error.
func (rl *remoteLevel) protect(caller context.Context, fn func(ctx context.Context) error) (err error) {
	ctx, cancel := context.WithTimeout(caller, rl.c.opts.RemoteTimeout)
	defer cancel()
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("cache: remote panicked with a %T", r)
		} else if err != nil && caller.Err() != nil {
			err = fmt.Errorf("%w: %w", errCallerLeft, err)
		}
	}()
	return fn(ctx)
}

// usable tells whether records may be read and written: the circuit is closed and
// the remote has taken all invalidations.
func (rl *remoteLevel) usable(ctx context.Context) bool {
	return !rl.resting() && (!rl.owes.Load() || rl.flush(ctx) == nil)
}

// position returns the remote's position, or 0.
func (rl *remoteLevel) position(ctx context.Context) (pos uint64) {
	err := rl.protect(ctx, func(ctx context.Context) (err error) {
		pos, err = rl.r.Position(ctx)
		return err
	})
	if rl.result("position", err) != nil {
		return 0
	}
	return pos
}

// get returns the record of key if it fits co.
func (rl *remoteLevel) get(ctx context.Context, co *core, id string) *Record {
	var rec *Record
	err := rl.protect(ctx, func(ctx context.Context) (err error) {
		rec, err = rl.r.Get(ctx, co.remoteKey+id)
		return err
	})
	if rl.result("get", err) != nil || rec == nil {
		return nil
	}
	if rec.Version != co.version || rec.Codec != co.codec || rec.Age < 0 ||
		rec.Position == 0 || rec.Fresh <= rec.Age || rec.Keep < rec.Fresh {
		return nil
	}
	if !slices.Contains(rec.Tags, co.tagPrefix+id) {
		return nil // another key's record
	}
	return rec
}

func (rl *remoteLevel) set(ctx context.Context, co *core, id string, rec *Record) {
	err := rl.protect(ctx, func(ctx context.Context) error {
		return rl.r.Set(ctx, co.remoteKey+id, rec)
	})
	_ = rl.result("set", err)
}

// invalidate gives tags to the remote together with all that it is owed. What it
// does not take stays owed, and records are not used until it has. It returns the
// position of the first tag, or 0 if a later invalidation of that tag took its place.
func (rl *remoteLevel) invalidate(ctx context.Context, tags []string, soft bool) (uint64, error) {
	first := new(uint64)
	rl.mu.Lock()
	for i, tag := range tags {
		was, owed := rl.owed[tag]
		rl.seq++
		d := debt{seq: rl.seq, soft: soft && (!owed || was.soft)}
		if i == 0 {
			d.pos = first
		}
		rl.owed[tag] = d
	}
	rl.owes.Store(true)
	rl.mu.Unlock()
	if err := rl.flush(ctx); err != nil {
		rl.settleLater()
		return 0, err
	}
	rl.mu.Lock()
	defer rl.mu.Unlock()
	return *first, nil
}

// flush sends what is owed. The hook is called after the next one may go.
func (rl *remoteLevel) flush(ctx context.Context) error {
	select {
	case rl.flushMu <- struct{}{}:
	case <-ctx.Done():
		return ctxError(ctx)
	}
	err := rl.pay(ctx)
	<-rl.flushMu
	return rl.result("invalidate", err)
}

var (
	errResting    = errors.New("second level is left alone after failures")
	errCallerLeft = errors.New("caller left")
	errNoPosition = errors.New("remote returned position 0")
)

// pay sends the debts of this moment in portions, hard ones first.
func (rl *remoteLevel) pay(ctx context.Context) error {
	rl.mu.Lock()
	upTo := rl.seq
	rl.mu.Unlock()
	for _, soft := range []bool{false, true} {
		for {
			tags := rl.owedTags(soft, upTo)
			if len(tags) == 0 {
				break
			}
			if rl.resting() {
				rl.limitDebts()
				return errResting
			}
			var pos uint64
			if err := rl.protect(ctx, func(ctx context.Context) (err error) {
				if pos, err = rl.r.Invalidate(ctx, tags, soft); err == nil && pos == 0 {
					err = errNoPosition
				}
				return err
			}); err != nil {
				rl.limitDebts()
				return err
			}
			rl.paid(tags, upTo, pos)
		}
	}
	return nil
}

// limitDebts replaces too many debts by one that covers them: the tag of all records.
func (rl *remoteLevel) limitDebts() {
	rl.mu.Lock()
	defer rl.mu.Unlock()
	if len(rl.owed) > owedMax {
		clear(rl.owed)
		rl.seq++
		rl.owed[allTag] = debt{seq: rl.seq}
	}
}

// owedTags returns a portion of what is owed of a kind since no later than upTo.
func (rl *remoteLevel) owedTags(soft bool, upTo uint64) (tags []string) {
	rl.mu.Lock()
	defer rl.mu.Unlock()
	for tag, d := range rl.owed {
		if d.soft == soft && d.seq <= upTo {
			if tags = append(tags, tag); len(tags) == owedPortion {
				break
			}
		}
	}
	return tags
}

// paid notes that the remote took the tags at position pos. A tag that was
// invalidated again meanwhile stays owed.
func (rl *remoteLevel) paid(tags []string, upTo, pos uint64) {
	rl.mu.Lock()
	defer rl.mu.Unlock()
	for _, tag := range tags {
		if d, ok := rl.owed[tag]; ok && d.seq <= upTo {
			if d.pos != nil {
				*d.pos = pos
			}
			delete(rl.owed, tag)
		}
	}
	rl.owes.Store(len(rl.owed) > 0)
	rl.own[rl.next] = pos
	rl.next = (rl.next + 1) % ownPositions
}

// settleLater tries again in the background until nothing is owed: the other nodes
// serve what they have until they are told.
func (rl *remoteLevel) settleLater() {
	if rl.settling.Swap(true) {
		return
	}
	if !rl.c.spawn(rl.settle) {
		rl.settling.Store(false)
	}
}

func (rl *remoteLevel) settle() {
	for rl.owes.Load() && rl.c.ctx.Err() == nil {
		select {
		case <-rl.c.ctx.Done():
		case <-time.After(remoteRest):
			_ = rl.flush(rl.c.ctx)
		}
	}
	rl.settling.Store(false)
	if rl.owes.Load() && rl.c.ctx.Err() == nil { // it came just now
		rl.settleLater()
	}
}

func (rl *remoteLevel) isOwn(pos uint64) bool {
	rl.mu.Lock()
	defer rl.mu.Unlock()
	return pos != 0 && slices.Contains(rl.own[:], pos)
}

// watch keeps the push connection until the cache is closed.
func (rl *remoteLevel) watch() {
	pause := remotePauseMin
	for rl.c.ctx.Err() == nil {
		err := rl.watchOnce(&pause)
		rl.gen.Store(0)
		if rl.c.ctx.Err() != nil {
			return
		}
		_ = rl.result("watch", err)
		select {
		case <-rl.c.ctx.Done():
		case <-time.After(pause):
		}
		pause = min(2*pause, remotePauseMax)
	}
}

var errWatchEnded = errors.New("cache: remote ended its watch")

func (rl *remoteLevel) watchOnce(pause *time.Duration) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("cache: remote panicked with a %T", r)
		}
	}()
	err = rl.r.Watch(rl.c.ctx, func(ev RemoteEvent) {
		switch ev.Kind {
		case RemoteReady:
			*pause = remotePauseMin
			rl.gen.Store(rl.lastGen.Add(1))
		case RemoteLost:
			rl.gen.Store(0)
		case RemoteInvalidated:
			if !rl.isOwn(ev.Position) {
				rl.c.pushed(ev.Tags, ev.Soft, ev.Position)
			}
		}
	})
	if err == nil {
		err = errWatchEnded
	}
	return err
}
