package recipes_test

import (
	"context"
	"fmt"

	"github.com/perfblocks/perfblocks/cache"
	"github.com/perfblocks/perfblocks/examples/memoryengine"
)

// The strategy cache keeps its entries in a memory.Cache, whose bytes are never above
// the bound.
func Example_cacheOverMemory() {
	c, err := cache.New(cache.Options{MaxBytes: 1 << 20, Engine: memoryengine.New})
	check(err)
	defer c.Close()
	blobs, err := cache.Add(c, cache.Strategy[[]byte]{Name: "blob"})
	check(err)
	for i := range 1000 {
		check(blobs.Set(context.Background(), fmt.Sprint(i), make([]byte, 10_000)))
	}
	s := c.Stats()
	fmt.Println("within the bound:", s.Bytes <= 1<<20, "newest there:", has(blobs, "999"))
	// Output:
	// within the bound: true newest there: true
}

func has(v *cache.View[[]byte], key string) bool {
	_, ok := v.Get(context.Background(), key)
	return ok
}
