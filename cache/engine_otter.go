package cache

import (
	"context"
	"math"
	"sync/atomic"

	"github.com/maypok86/otter/v2"
)

// otterEngine is the default Engine. Otter's maintenance runs on the goroutines
// that write, so there is nothing to join, and an eviction is done when Set returns.
type otterEngine struct {
	c        *otter.Cache[Key, *Item]
	max      atomic.Int64 // the bound now
	weight   atomic.Int64 // the sum of weights now, ahead of otter's own view
	onRemove func(it *Item, evicted bool)
}

// An item's place in a running Set: W-TinyLFU may refuse a newcomer at once, which
// the contract of Engine does not allow.
const (
	setIdle int32 = iota
	setRunning
	setRefused
)

func newOtter(o EngineOptions) (Engine, error) {
	e := &otterEngine{onRemove: o.OnRemove}
	e.max.Store(o.MaxWeight)
	c, err := otter.New(&otter.Options[Key, *Item]{
		MaximumWeight: uint64(o.MaxWeight),
		Weigher:       func(_ Key, it *Item) uint32 { return uint32(it.weight) },
		OnDeletion:    e.deleted,
		Executor:      func(fn func()) { fn() },
		Logger:        otterSilence{},
	})
	if err != nil {
		return nil, err
	}
	e.c = c
	return e, nil
}

// otterSilence drops otter's log lines: what can go wrong is told by results.
type otterSilence struct{}

func (otterSilence) Warn(context.Context, string, error)  {}
func (otterSilence) Error(context.Context, string, error) {}

// deleted runs for each item that left, with locks of otter held perhaps.
func (e *otterEngine) deleted(ev otter.DeletionEvent[Key, *Item]) {
	e.weight.Add(-ev.Value.weight)
	switch ev.Cause {
	case otter.CauseReplacement:
		e.onRemove(ev.Value, false)
	case otter.CauseOverflow:
		if !ev.Value.setting.CompareAndSwap(setRunning, setRefused) {
			e.onRemove(ev.Value, true)
		}
	}
}

func (e *otterEngine) Get(key Key) (*Item, bool) { return e.c.GetIfPresent(key) }

func (e *otterEngine) Set(key Key, it *Item) error {
	for range 4 {
		limit := e.max.Load()
		if it.weight > limit || it.weight > math.MaxUint32 {
			break
		}
		it.setting.Store(setRunning)
		e.weight.Add(it.weight)
		e.c.Set(key, it)
		if e.weight.Load() > limit {
			e.c.CleanUp()
		}
		if it.setting.CompareAndSwap(setRunning, setIdle) {
			return nil
		}
		e.EvictTo(limit - it.weight) // then it enters without a contest
	}
	it.setting.Store(setIdle)
	return ErrTooLarge
}

// EvictTo drops the coldest items until the sum of weights is at most target.
func (e *otterEngine) EvictTo(target int64) {
	var victims []otter.Entry[Key, *Item]
	left := e.weight.Load()
	for v := range e.c.Coldest() {
		if left <= target {
			break
		}
		left -= v.Value.weight
		victims = append(victims, v)
	}
	for _, v := range victims {
		if e.DeleteIf(v.Key, v.Value) {
			e.onRemove(v.Value, true)
		}
	}
}

func (e *otterEngine) DeleteIf(key Key, it *Item) (done bool) {
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
	e.max.Store(maxWeight)
	e.c.SetMaximum(uint64(maxWeight))
}
