package cdn

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"math/rand/v2"
	"slices"
	"sync"
	"time"
)

// attempts is the history of promoting one generation of a key. It is not kept over
// a restart: a new process tries everything at once.
type attempts struct {
	gen  uint64
	n    int
	next time.Time
	err  string
}

const (
	giveUpAfter = 10 // failures that are neither outages nor refusals
	stopAfter   = 3  // outages in a row that end a pass
)

// Pending yields what waits for the provider, dead objects included, by age.
func (u *Uploader) Pending() iter.Seq[Pending] {
	return func(yield func(Pending) bool) {
		if u.local == nil {
			return
		}
		for _, it := range u.local.waiting() {
			p := Pending{
				Key: it.key, Size: it.size, Since: time.UnixMicro(it.time).UTC(),
				Delete: it.state == stateDelete, Dead: it.state == stateDead,
			}
			if it.after != nil {
				p.Err = it.after.err
			}
			u.mu.Lock()
			if t := u.tried[it.key]; t != nil && t.gen == it.gen && !p.Dead {
				p.Attempts, p.NextTry, p.Err = t.n, t.next, t.err
			}
			u.mu.Unlock()
			if !yield(p) {
				return
			}
		}
	}
}

// waiting is what the provider does not have or does not know yet, oldest first.
func (l *Local) waiting() []*item {
	l.mu.Lock()
	its := make([]*item, 0, len(l.active))
	for it := range l.active {
		if it.waits() {
			its = append(its, it)
		}
	}
	l.mu.Unlock()
	slices.SortFunc(its, func(a, b *item) int { return cmp.Compare(a.gen, b.gen) })
	return its
}

// Promote makes one pass over all that is pending, whatever its back-off, and
// returns how many objects and deletes were carried out. It stops early when the
// provider turns out to be unavailable. The error joins what failed; nothing
// pending is ever dropped.
func (u *Uploader) Promote(ctx context.Context) (int, error) {
	ctx, leave, err := u.enter(ctx, false)
	if err != nil {
		return 0, err
	}
	defer leave()
	n, _, err := u.pass(ctx, true)
	return n, err
}

// Run promotes as things become pending, with back-off while the provider is
// unavailable, until ctx ends or the Uploader is closed; then it returns nil. Without
// a Fallback it only waits. Calling it more than once is harmless but useless.
func (u *Uploader) Run(ctx context.Context) error {
	ctx, leave, err := u.enter(ctx, false)
	if err != nil {
		return nil
	}
	defer leave()
	for down := 0; ; {
		n, outage, err := u.pass(ctx, false)
		if err != nil && ctx.Err() == nil && u.opts.Logger != nil {
			u.opts.Logger.Warn("cdn: promotion failed", "name", u.opts.Name, "promoted", n, "error", err)
		}
		wakeup, pause := u.wakeup, u.untilDue()
		if down++; !outage || n > 0 {
			down = 0
		}
		if down > 0 { // new uploads do not make the provider come back
			wakeup, pause = nil, jitter(time.Second, time.Minute, down)
		}
		timer := time.NewTimer(pause)
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil
		case <-wakeup:
			timer.Stop()
		case <-timer.C:
		}
	}
}

// wake tells Run that something is pending.
func (u *Uploader) wake() {
	select {
	case u.wakeup <- struct{}{}:
	default:
	}
}

// jitter is a wait after n failures: between half and all of base·2ⁿ⁻¹, at most most.
func jitter(base, most time.Duration, n int) time.Duration {
	d := most
	if n < 30 && base < most>>(n-1) {
		d = base << (n - 1)
	}
	return d/2 + rand.N(d/2+1)
}

// untilDue is the time until the next pass has something to do.
func (u *Uploader) untilDue() time.Duration {
	due := time.Now().Add(time.Hour)
	if u.local == nil {
		return time.Until(due)
	}
	for _, it := range u.local.waiting() {
		if it.state == stateDead {
			continue
		}
		at := time.Now()
		u.mu.Lock()
		if t := u.tried[it.key]; t != nil && t.gen == it.gen {
			at = t.next
		}
		u.mu.Unlock()
		if at.Before(due) {
			due = at
		}
	}
	for _, it := range u.local.retained() {
		if until := it.until(); until.Before(due) {
			due = until
		}
	}
	return max(time.Until(due), 0)
}

// retained is the promoted objects whose local copies are still there.
func (l *Local) retained() []*item {
	l.mu.Lock()
	defer l.mu.Unlock()
	var its []*item
	for it := range l.active {
		if !it.waits() {
			its = append(its, it)
		}
	}
	return its
}

// pass promotes what is due, or everything, once. It reports how many objects and
// deletes were carried out, and whether an outage ended it.
func (u *Uploader) pass(ctx context.Context, all bool) (n int, outage bool, err error) {
	if u.local == nil {
		return 0, false, nil
	}
	u.dropRetained()
	u.sweepParts(ctx)
	var (
		mu   sync.Mutex
		errs []error
		row  int // outages in a row
		wg   sync.WaitGroup
	)
	todo := u.due(all)
	next := func() *item {
		mu.Lock()
		defer mu.Unlock()
		if len(todo) == 0 || row >= stopAfter || ctx.Err() != nil {
			return nil
		}
		it := todo[0]
		todo[0], todo = nil, todo[1:] // the item is let go of as soon as it is done
		return it
	}
	for range min(u.opts.Concurrency, len(todo)) {
		wg.Go(func() {
			for it := next(); it != nil; it = next() {
				did, err := u.promote(ctx, it.entry())
				mu.Lock()
				switch {
				case err == nil:
					row = 0
				case IsUnavailable(err):
					row++
					outage = true
				}
				if did {
					n++
				}
				if err != nil && len(errs) < 8 {
					errs = append(errs, err)
				}
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	if err := ctx.Err(); err != nil {
		errs = append(errs, ended(ctx, err))
	}
	return n, outage, errors.Join(errs...)
}

// due is what to promote now. It forgets the history of what is no longer waiting.
func (u *Uploader) due(all bool) []*item {
	now := time.Now()
	waiting := u.local.waiting()
	its := make([]*item, 0, len(waiting))
	u.mu.Lock()
	defer u.mu.Unlock()
	old := u.tried
	u.tried = make(map[string]*attempts, len(old))
	tries := func(it *item) int {
		if t := u.tried[it.key]; t != nil {
			return t.n
		}
		return 0
	}
	for _, it := range waiting {
		t := old[it.key]
		if t != nil && t.gen == it.gen {
			u.tried[it.key] = t
		} else {
			t = nil
		}
		if it.state != stateDead && (all || t == nil || !t.next.After(now)) {
			its = append(its, it)
		}
	}
	// What has failed least goes first, so that a few objects which the provider
	// cannot take do not keep all others waiting.
	slices.SortStableFunc(its, func(a, b *item) int { return cmp.Compare(tries(a), tries(b)) })
	return its
}

// dropRetained removes the local copies whose grace time is over.
func (u *Uploader) dropRetained() {
	now := time.Now()
	var drop []*entry
	for _, it := range u.local.retained() {
		// A clock that was set back must not keep copies for longer than Retain.
		if left := it.until().Sub(now); left <= 0 || left > u.opts.Retain {
			c := it.entry().withoutBlob()
			c.If = c.Gen
			drop = append(drop, &c)
		}
	}
	done, err := u.local.use()
	if err != nil {
		return
	}
	defer done()
	for chunk := range slices.Chunk(drop, 256) {
		if _, err := u.local.commit(false, chunk...); err != nil {
			return // the copies stay, and the next pass tries again
		}
	}
}

// promote carries out one pending object or delete; did tells whether it took
// effect.
func (u *Uploader) promote(ctx context.Context, e *entry) (did bool, err error) {
	done, err := u.local.begin("promote", e.Key)
	if err != nil {
		return false, err
	}
	defer done()
	if e.State == stateDelete {
		err = u.deleteRemote(ctx, e.Key, e.Gen)
		did = err == nil
	} else {
		did, err = u.promoteObject(ctx, e)
	}
	switch {
	case err == nil:
		if did {
			u.count.promoted.Add(1)
			u.purgePromoted(ctx, e)
		}
		if hook := u.opts.Hooks.Promoted; hook != nil && did && e.State != stateDelete {
			hook(PromoteEvent{Key: e.Key, Size: e.Size, Age: time.Since(e.Time)})
		}
	case ctx.Err() == nil:
		err = u.failed(e, err)
	}
	return did, err
}

// promoteObject sends a pending object and, once the provider has proved that it has
// it, marks it done. A write or delete of the key in the meantime wins.
func (u *Uploader) promoteObject(ctx context.Context, e *entry) (did bool, err error) {
	release, err := u.turn(ctx, e.Key)
	if err != nil {
		return false, err
	}
	lane := newHold(release)
	defer lane.done()
	f, now, err := u.local.openKey(e.Key)
	if errors.Is(err, ErrNotFound) || err == nil && (now.Gen != e.Gen || now.State != statePending) {
		if f != nil {
			f.Close()
		}
		return false, nil // overwritten, deleted or promoted since
	}
	if err != nil {
		return false, err
	}
	b := &body{size: e.Size, at: io.NewSectionReader(f, 0, e.Size)}
	defer func() { b.detach(); f.Close() }()
	if err := u.checkContent(b, e); err != nil {
		return false, err
	}
	wctx, w := u.bounded(ctx, "promote", e.Key) // from here on: the disk has its own time
	defer w.end()
	obj := e.object()
	put := u.putter(ctx, wctx, w, "promote", obj, b, lane, nil)
	info, _, err := put(obj)
	if errors.Is(err, ErrExists) {
		info, _, err = u.resolveExists(wctx, lane, obj, b, put, e.Derived, err)
	}
	if err != nil {
		return false, err
	}
	c := *e
	c.State, c.If, c.Handle, c.Until = stateDone, e.Gen, info.Ref.Handle, moment(time.Now().Add(u.opts.Retain))
	c.URL, _ = u.p.URL(Ref{Key: e.Key, Handle: c.Handle})
	if u.opts.Retain <= 0 {
		c = c.withoutBlob()
		c.If = e.Gen
	}
	return u.local.commit(false, &c)
}

// Revive makes a dead object pending again, once what made the provider refuse it has
// been put right, such as a missing bucket; Key "" revives all. It returns how many it
// revived. Content that is damaged or missing on local disk dies again.
func (u *Uploader) Revive(key string) (n int, err error) {
	if u.local == nil {
		return 0, nil
	}
	done, err := u.local.use()
	if err != nil {
		return 0, err
	}
	defer done()
	for _, it := range u.local.waiting() {
		if it.state != stateDead || key != "" && it.key != key || !it.blob {
			continue
		}
		e := it.entry()
		e.State, e.If, e.Err = statePending, e.Gen, ""
		applied, err := u.local.commit(false, e)
		if err != nil {
			return n, u.local.opError("revive", e.Key, err)
		}
		if applied {
			n++
		}
		u.mu.Lock()
		delete(u.tried, e.Key)
		u.mu.Unlock()
	}
	u.wake()
	return n, nil
}

// turn waits for the key's turn at the provider, at most MaxWait.
func (u *Uploader) turn(ctx context.Context, key string) (release func(), err error) {
	wctx, w := u.bounded(ctx, "promote", key)
	defer w.end()
	if release, err = u.lanes.acquire(wctx, key); err != nil {
		err = ended(wctx, err)
	}
	return release, err
}

// errLocalDamage is a local copy that is not what was acknowledged.
var errLocalDamage = errors.New("cdn: local copy is damaged")

// checkContent reads the local copy once more before it is sent.
func (u *Uploader) checkContent(b *body, e *entry) error {
	h := newHasher()
	chunk := u.memory.block(minBuffer)
	defer u.memory.recycle(chunk)
	if _, err := io.CopyBuffer(h, io.NewSectionReader(b, 0, b.size), chunk[:minBuffer]); err != nil {
		return localError("read file", err)
	}
	if sum, _ := h.sums(); sum != e.Sum {
		return fmt.Errorf("%w: %q", errLocalDamage, e.Key)
	}
	return nil
}

// failed notes a failed promotion. A refusal, or the tenth failure that is no outage,
// makes the object dead: listed and readable, but not tried again.
func (u *Uploader) failed(e *entry, err error) error {
	u.count.promoteFailures.Add(1)
	u.mu.Lock()
	t := u.tried[e.Key]
	if t == nil || t.gen != e.Gen {
		t = &attempts{gen: e.Gen}
		u.tried[e.Key] = t
	}
	t.n++
	t.err = err.Error()
	t.next = time.Now().Add(jitter(time.Second, 5*time.Minute, t.n))
	n := t.n
	u.mu.Unlock()
	refused := isFinal(err) && !errors.Is(err, ErrAuth) && !errors.Is(err, ErrClosed)
	other := !isFinal(err) && !IsUnavailable(err)
	if e.State != statePending || !refused && !(other && (n >= giveUpAfter || errors.Is(err, errLocalDamage))) {
		return err
	}
	c := *e
	c.State, c.If, c.Err = stateDead, e.Gen, err.Error()
	applied, cerr := u.local.commit(false, &c)
	if cerr != nil || !applied {
		return errors.Join(err, cerr)
	}
	if log := u.opts.Logger; log != nil {
		log.Error("cdn: promotion given up, kept on local disk", "name", u.opts.Name, "key", e.Key, "error", err)
	}
	if hook := u.opts.Hooks.Dead; hook != nil {
		hook(PromoteEvent{Key: e.Key, Size: e.Size, Age: time.Since(e.Time), Err: err})
	}
	return err
}

// drain promotes until nothing is left or ctx ends.
func (u *Uploader) drain(ctx context.Context) error {
	ctx, leave, err := u.enter(ctx, false)
	if err != nil {
		return nil // closed meanwhile
	}
	defer leave()
	for n := 1; ; n++ {
		_, _, err := u.pass(ctx, true)
		if u.local == nil {
			return nil
		}
		s := u.local.Stats()
		if s.Pending+s.Deletes == 0 {
			return nil
		}
		timer := time.NewTimer(jitter(100*time.Millisecond, 10*time.Second, n))
		select {
		case <-ctx.Done():
			timer.Stop()
			return fmt.Errorf("cdn: shutdown: %d objects and %d deletes stay pending on local disk: %w",
				s.Pending, s.Deletes, errors.Join(ctx.Err(), err))
		case <-timer.C:
		}
	}
}
