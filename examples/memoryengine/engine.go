package memoryengine

import (
	"fmt"
	"sync/atomic"

	"github.com/perfblocks/perfblocks/cache"
	"github.com/perfblocks/perfblocks/memory"
)

// New makes the engine of a cache: give it as cache.Options.Engine. It evicts what
// was used least recently. The error matches memory.ErrOptions.
func New(o cache.EngineOptions) (cache.Engine, error) {
	e := &engine{}
	e.max.Store(o.MaxWeight)
	var err error
	e.c, err = memory.NewCache(memory.CacheOptions[cache.Key, *cache.Item]{
		MaxBytes: o.MaxWeight,
		SizeOf:   func(_ cache.Key, it *cache.Item) int64 { return it.Weight() },
		OnEvict: func(ev memory.Eviction[cache.Key, *cache.Item]) {
			// What is deleted was taken out by the cache above, which knows.
			if ev.Reason != memory.EvictDeleted {
				o.OnRemove(ev.Value, ev.Reason != memory.EvictReplaced)
			}
		},
	})
	if err != nil {
		return nil, fmt.Errorf("memoryengine: %w", err)
	}
	return e, nil
}

// engine has the three methods of [cache.Engine] and the optional ones.
type engine struct {
	c   *memory.Cache[cache.Key, *cache.Item]
	max atomic.Int64 // the bound now
}

func (e *engine) Get(key cache.Key) (*cache.Item, bool) { return e.c.Get(key) }

// Set refuses what is above the bound by itself: memory.Cache would drop the old item.
func (e *engine) Set(key cache.Key, it *cache.Item) error {
	if it.Weight() > e.max.Load() {
		return cache.ErrTooLarge
	}
	if err := e.c.Set(key, it); err != nil {
		return fmt.Errorf("memoryengine: %w: %w", cache.ErrTooLarge, err) // Resize came between
	}
	return nil
}

func (e *engine) DeleteIf(key cache.Key, it *cache.Item) bool {
	return e.c.DeleteIf(key, func(held *cache.Item) bool { return held == it })
}

// Range lets the cache sweep, list its keys and count.
func (e *engine) Range(fn func(cache.Key, *cache.Item) bool) { e.c.All()(fn) }

// Resize lets Cache.Shrink evict the coldest.
func (e *engine) Resize(maxWeight int64) {
	e.max.Store(maxWeight)
	_ = e.c.Resize(0, maxWeight) // the cache gives no bound below 1
}

func (e *engine) Close() error { return e.c.Close() }
