package ristrettocache

import (
	"context"
	"sync"
	"testing"

	"github.com/perfblocks/perfblocks/cache"
)

// Mint makes items of a wanted weight: it catches those that a cache stores.
type Mint struct {
	mu   sync.Mutex
	view *cache.View[int64]
	last *cache.Item
	base int64
}

// NewMint returns a mint whose cache ends with the test.
func NewMint(t testing.TB) *Mint {
	m := &Mint{}
	c, err := cache.New(cache.Options{MaxBytes: 1 << 40, SweepInterval: -1,
		Engine: func(cache.EngineOptions) (cache.Engine, error) { return catcher{m}, nil }})
	if err != nil {
		t.Fatal(err)
	}
	m.view, err = cache.Add(c, cache.Strategy[int64]{Name: "mint", SizeOf: func(n int64) int64 { return n }})
	if err != nil {
		t.Fatal(err)
	}
	m.base = m.Item(0).Weight()
	t.Cleanup(func() { _ = c.Close() })
	return m
}

// Item returns a new item of the weight, or of the least possible one.
func (m *Mint) Item(weight int64) *cache.Item {
	m.mu.Lock()
	defer m.mu.Unlock()
	_ = m.view.Set(context.Background(), "", max(weight-m.base, 0))
	return m.last
}

type catcher struct{ m *Mint }

func (c catcher) Get(cache.Key) (*cache.Item, bool)     { return nil, false }
func (c catcher) Set(_ cache.Key, it *cache.Item) error { c.m.last = it; return nil }
func (c catcher) DeleteIf(cache.Key, *cache.Item) bool  { return false }
