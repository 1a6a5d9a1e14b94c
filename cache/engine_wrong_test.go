package cache_test

import (
	"sync"
	"testing"

	"github.com/perfblocks/perfblocks/cache"
)

// mixed is an engine that takes keys of different strategies for the same.
type mixed struct {
	o cache.EngineOptions

	mu sync.Mutex
	m  map[string]*cache.Item // guarded by mu
}

func (e *mixed) Get(key cache.Key) (*cache.Item, bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	it, ok := e.m[key.ID]
	return it, ok
}

func (e *mixed) Set(key cache.Key, it *cache.Item) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if old := e.m[key.ID]; old != nil {
		e.o.OnRemove(old, false)
	}
	e.m[key.ID] = it
	return nil
}

func (e *mixed) DeleteIf(key cache.Key, it *cache.Item) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.m[key.ID] != it {
		return false
	}
	delete(e.m, key.ID)
	return true
}

func (e *mixed) Range(fn func(cache.Key, *cache.Item) bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for id, it := range e.m {
		for strategy := range uint32(2) {
			if !fn(cache.Key{Strategy: strategy, ID: id}, it) {
				return
			}
		}
	}
}

// TestEngineMixesStrategies: a value of one strategy never comes out of another's view,
// whatever the engine does: it has another type.
func TestEngineMixesStrategies(t *testing.T) {
	c := newCache(t, cache.Options{Engine: func(o cache.EngineOptions) (cache.Engine, error) {
		return &mixed{o: o, m: map[string]*cache.Item{}}, nil
	}})
	numbers := add(t, c, cache.Strategy[int]{Name: "numbers"})
	texts := add(t, c, cache.Strategy[string]{Name: "texts", Tags: []string{"t"}})
	if err := numbers.Set(t.Context(), "k", 1); err != nil {
		t.Fatal(err)
	}
	if got, ok := texts.Get(t.Context(), "k"); ok {
		t.Errorf("Get of a number as text = %q", got)
	}
	for range texts.All() {
		t.Error("All of texts yields a number")
	}
	mustLoad(t, numbers, "k", tagged(2), 1)
	if err := texts.Set(t.Context(), "k", "text"); err != nil {
		t.Fatal(err)
	}
	wantMiss(t, numbers, "k")
	_ = numbers.Expire(t.Context(), "k")
	_ = numbers.Delete(t.Context(), "k")
	if got, ok := texts.Get(t.Context(), "k"); !ok || got != "text" {
		t.Errorf("Get = %q, %v; want the text", got, ok)
	}
	mustLoad(t, numbers, "k", tagged(3), 3)
	wantHit(t, numbers, "k")
}
