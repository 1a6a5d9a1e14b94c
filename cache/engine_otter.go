package cache

import (
	"context"
	"sync"
	"sync/atomic"

	"github.com/maypok86/otter/v2"
)

// NewOtter makes an engine over otter: give it as [Options].Engine. Beside the default
// engine an entry takes some 30 bytes more, and a write costs more, since otter's upkeep
// runs on those who write. The error is otter's.
func NewOtter(o EngineOptions) (Engine, error) {
	e := &otterEngine{onRemove: o.OnRemove}
	e.max.Store(o.MaxWeight)
	c, err := otter.New(&otter.Options[Key, *Item]{
		MaximumWeight: uint64(o.MaxWeight),
		Weigher:       func(_ Key, it *Item) uint32 { return uint32(it.Weight()) },
		OnDeletion:    e.deleted,
		Executor:      e.execute,
		Logger:        otterSilence{},
	})
	if err != nil {
		return nil, err
	}
	e.c = c
	return e, nil
}

// otterEngine is an Engine over otter. Otter's maintenance runs on the goroutines that
// write, so that an eviction is done when Set returns. What only reads have to tell the
// policy is told by them too while something is evicted now and then; otherwise ranking,
// which costs as much as a hit, is left to a goroutine of its own, and reads beside it are
// not told, as otter itself does it.
type otterEngine struct {
	c        *otter.Cache[Key, *Item]
	max      atomic.Int64 // the bound now
	weight   atomic.Int64 // the sum of weights now, ahead of otter's own view
	onRemove func(it *Item, evicted bool)

	inside atomic.Int32 // writers, and the maintenance itself: what they cause runs at once
	ranked atomic.Int32 // how many times reads still rank what they have used

	drainMu sync.Mutex
	drains  sync.WaitGroup // Add under drainMu
	closed  bool           // guarded by drainMu

	setMu sync.RWMutex // held alone by a Set that was refused at first
}

// refuse notes that otter dropped it while its Set runs, and tells whether that is so:
// W-TinyLFU may refuse a newcomer at once, which the contract of Engine does not allow.
func (it *Item) refuse() bool {
	for {
		m := it.meta.Load()
		if m&markRunning == 0 {
			return false
		}
		if it.meta.CompareAndSwap(m, m&^markRunning|markRefused) {
			return true
		}
	}
}

// rankings is how many times after an eviction reads rank what was used, each time some
// 16 of them: where one lookup in five hundred evicts something, that is always.
const rankings = 32

// otterSilence drops otter's log lines: what can go wrong is told by results.
type otterSilence struct{}

func (otterSilence) Warn(context.Context, string, error)  {}
func (otterSilence) Error(context.Context, string, error) {}

// execute runs a task of otter's maintenance.
func (e *otterEngine) execute(task func()) {
	switch {
	case e.inside.Load() > 0:
		task()
	case e.ranks() || !e.drainLater(task):
		e.inside.Add(1)
		defer e.inside.Add(-1)
		task()
	}
}

// ranks tells whether the caller, who reads, is to tell the policy itself what was used.
func (e *otterEngine) ranks() bool { return e.ranked.Load() > 0 && e.ranked.Add(-1) >= 0 }

// drainLater runs task in a goroutine, unless the engine is closed.
func (e *otterEngine) drainLater(task func()) bool {
	e.drainMu.Lock()
	defer e.drainMu.Unlock()
	if e.closed {
		return false
	}
	e.drains.Go(func() {
		e.inside.Add(1)
		defer e.inside.Add(-1)
		task()
	})
	return true
}

// Close waits for maintenance under way. What follows runs on the callers.
func (e *otterEngine) Close() error {
	e.drainMu.Lock()
	e.closed = true
	e.drainMu.Unlock()
	e.drains.Wait()
	return nil
}

// deleted runs for each item that left, with locks of otter held perhaps.
func (e *otterEngine) deleted(ev otter.DeletionEvent[Key, *Item]) {
	e.weight.Add(-ev.Value.Weight())
	switch ev.Cause {
	case otter.CauseReplacement:
		e.onRemove(ev.Value, false)
	case otter.CauseOverflow:
		e.ranked.Store(rankings)
		if !ev.Value.refuse() {
			e.onRemove(ev.Value, true)
		}
	}
}

func (e *otterEngine) Get(key Key) (*Item, bool) { return e.c.GetIfPresent(key) }

func (e *otterEngine) Set(key Key, it *Item) error {
	if it.Weight() > e.max.Load() {
		return ErrTooLarge
	}
	e.inside.Add(1)
	defer e.inside.Add(-1)
	e.setMu.RLock()
	done := e.enter(key, it)
	e.setMu.RUnlock()
	if done {
		return nil
	}
	// It was refused. Alone, and with room made for it, it enters without a contest.
	e.setMu.Lock()
	defer e.setMu.Unlock()
	for range 4 {
		e.evictTo(e.max.Load()-it.Weight(), nil)
		e.correct()
		if e.enter(key, it) {
			return nil
		}
	}
	return ErrTooLarge // Resize came between
}

// correct makes up for what otter believes to hold and does not: with writers on
// several goroutines its sum now and then keeps the weight of an entry that left, and
// it would refuse ever more. No Set is running.
func (e *otterEngine) correct() {
	e.c.CleanUp()
	phantom := max(int64(e.c.WeightedSize())-e.weight.Load(), 0)
	if limit := uint64(e.max.Load() + phantom); limit != e.c.GetMaximum() {
		e.c.SetMaximum(limit)
	}
}

// enter gives it to otter and tells whether otter kept it.
func (e *otterEngine) enter(key Key, it *Item) bool {
	it.meta.Or(markRunning)
	e.weight.Add(it.Weight())
	e.c.Set(key, it)
	if e.weight.Load() > e.max.Load() {
		e.c.CleanUp()
		if limit := e.max.Load(); e.weight.Load() > limit { // correct went too far
			e.evictTo(limit, it)
		}
	}
	return it.meta.And(^uint32(markRunning|markRefused))&markRunning != 0
}

// EvictTo drops the coldest items until the sum of weights is at most target.
func (e *otterEngine) EvictTo(target int64) { e.evictTo(target, nil) }

// evictTo is EvictTo that spares the item keep.
func (e *otterEngine) evictTo(target int64, keep *Item) {
	e.inside.Add(1)
	defer e.inside.Add(-1)
	var victims []otter.Entry[Key, *Item]
	left := e.weight.Load()
	for v := range e.c.Coldest() {
		if left <= target {
			break
		}
		if v.Value == keep {
			continue
		}
		left -= v.Value.Weight()
		victims = append(victims, v)
	}
	for _, v := range victims {
		if e.DeleteIf(v.Key, v.Value) {
			e.onRemove(v.Value, true)
		}
	}
}

func (e *otterEngine) DeleteIf(key Key, it *Item) (done bool) {
	e.inside.Add(1)
	defer e.inside.Add(-1)
	e.c.ComputeIfPresent(key, func(old *Item) (*Item, otter.ComputeOp) {
		done = old == it
		if done {
			return nil, otter.InvalidateOp
		}
		return nil, otter.CancelOp
	})
	return done
}

func (e *otterEngine) Range(fn func(Key, *Item) bool) { e.c.All()(fn) }

func (e *otterEngine) Resize(maxWeight int64) {
	e.inside.Add(1)
	defer e.inside.Add(-1)
	e.setMu.Lock()
	defer e.setMu.Unlock()
	e.max.Store(maxWeight)
	e.correct()
	e.evictTo(maxWeight, nil)
}
