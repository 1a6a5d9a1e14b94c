package memoryengine_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/perfblocks/perfblocks/cache"
	"github.com/perfblocks/perfblocks/cache/cachetest"
	"github.com/perfblocks/perfblocks/examples/memoryengine"
)

func TestConforms(t *testing.T) { cachetest.Run(t, memoryengine.New) }

// TestLeastRecentlyUsed: what was read last stays.
func TestLeastRecentlyUsed(t *testing.T) {
	c, err := cache.New(cache.Options{Engine: memoryengine.New, MaxEntries: 100})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	v, err := cache.Add(c, cache.Strategy[int]{Name: "s"})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 1000 {
		if _, err := v.Load(t.Context(), "hot", func(context.Context, *cache.Entry[int]) (int, error) {
			if i > 0 {
				t.Error("the hot key was evicted")
			}
			return 1, nil
		}); err != nil {
			t.Fatal(err)
		}
		if err := v.Set(t.Context(), fmt.Sprint(i), i); err != nil {
			t.Fatal(err)
		}
	}
	if n := v.Len(); n != 100 {
		t.Errorf("Len() = %d; want 100", n)
	}
}
