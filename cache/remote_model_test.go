package cache_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/perfblocks/perfblocks/cache"
)

// TestModelTwoNodes: on each of two nodes over one second level, whoever begins to
// read after an invalidation of that node returned sees at least what was written
// before it, although both nodes fill the second level all the time.
func TestModelTwoNodes(t *testing.T) {
	const keys = 4
	r := newFakeRemote()
	var db [keys]atomic.Int64
	var write [keys]sync.Mutex
	var committed [2][keys]atomic.Int64
	ctx := context.Background()
	var wg sync.WaitGroup
	for n := range 2 {
		c := newCache(t, cache.Options{Remote: r, MaxEntries: 6})
		v := add(t, c, cache.Strategy[string]{Name: "s", Codec: cache.Raw[string]()})
		load := func(_ context.Context, e *cache.Entry[string]) (string, error) {
			k, _ := strconv.Atoi(e.Key())
			val := db[k].Load()
			e.DependsOn("tag" + e.Key())
			return fmt.Sprint(val), nil
		}
		for g := range uint64(2) {
			wg.Go(func() {
				rng := rand.New(rand.NewPCG(uint64(n), g))
				for range 3000 {
					k := rng.IntN(keys)
					id := fmt.Sprint(k)
					low := committed[n][k].Load()
					if rng.IntN(5) > 0 {
						got, err := v.Load(ctx, id, load)
						if val, _ := strconv.ParseInt(got, 10, 64); err != nil || val < low {
							t.Errorf("node %d, key %d: got %q, %v; want at least %d", n, k, got, err, low)
							return
						}
						continue
					}
					write[k].Lock()
					val := db[k].Add(1)
					var err error
					switch rng.IntN(4) {
					case 0:
						err = v.Set(ctx, id, fmt.Sprint(val))
					case 1:
						err = v.Delete(ctx, id)
					case 2:
						err = c.DeleteTag(ctx, "tag"+id, v.Tag(id))
					case 3:
						err = c.ExpireTag(ctx, "tag"+id, v.Tag(id))
					}
					if err != nil {
						t.Error(err)
					}
					committed[n][k].Store(val)
					write[k].Unlock()
				}
			})
		}
	}
	wg.Wait()
}
