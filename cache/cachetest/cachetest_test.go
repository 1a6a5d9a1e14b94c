package cachetest_test

import (
	"sync"
	"testing"

	"github.com/perfblocks/perfblocks/cache"
	"github.com/perfblocks/perfblocks/cache/cachetest"
)

func TestMapEngine(t *testing.T) { cachetest.Run(t, newMapEngine) }

// mapEngine keeps the contract naively: it evicts in map order.
type mapEngine struct {
	mu   sync.Mutex
	o    cache.EngineOptions
	m    map[cache.Key]*cache.Item
	used int64
}

func newMapEngine(o cache.EngineOptions) (cache.Engine, error) {
	return &mapEngine{o: o, m: map[cache.Key]*cache.Item{}}, nil
}

func (e *mapEngine) Get(key cache.Key) (*cache.Item, bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	it, ok := e.m[key]
	return it, ok
}

func (e *mapEngine) Set(key cache.Key, it *cache.Item) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if it.Weight() > e.o.MaxWeight {
		return cache.ErrTooLarge
	}
	if old := e.m[key]; old != nil {
		e.used -= old.Weight()
		delete(e.m, key)
		e.o.OnRemove(old, false)
	}
	e.evict(e.o.MaxWeight - it.Weight())
	e.m[key] = it
	e.used += it.Weight()
	return nil
}

func (e *mapEngine) evict(max int64) {
	for k, old := range e.m {
		if e.used <= max {
			return
		}
		delete(e.m, k)
		e.used -= old.Weight()
		e.o.OnRemove(old, true)
	}
}

func (e *mapEngine) DeleteIf(key cache.Key, it *cache.Item) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	if it == nil || e.m[key] != it {
		return false
	}
	delete(e.m, key)
	e.used -= it.Weight()
	return true
}

func (e *mapEngine) Range(fn func(cache.Key, *cache.Item) bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for k, it := range e.m {
		if !fn(k, it) {
			return
		}
	}
}

func (e *mapEngine) Resize(max int64) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.o.MaxWeight = max
	e.evict(max)
}
