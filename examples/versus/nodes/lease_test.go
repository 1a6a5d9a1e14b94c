package nodes

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/perfblocks/perfblocks/cache"
	"github.com/perfblocks/perfblocks/examples/versus/internal/bench"
	"github.com/perfblocks/perfblocks/internal/realtest"
)

// TestLease counts the loads of cold keys that all nodes ask for at once, with and
// without a lease.
func TestLease(t *testing.T) {
	const keys = 40
	url := realtest.Redis(t)
	nodes := newNodes(t, func(int) string { return url }, fmt.Sprintf("lease-%d:", time.Now().UnixNano()))
	count := func(lease time.Duration) float64 {
		views := make([]*cache.View[int], len(nodes))
		for i, n := range nodes {
			var err error
			views[i], err = cache.Add(n.c, cache.Strategy[int]{Name: "lease" + lease.String(), TTL: time.Hour, Codec: cache.JSON[int](), Lease: lease})
			if err != nil {
				t.Fatal(err)
			}
		}
		var loads atomic.Int64
		for key := range keys {
			var wg sync.WaitGroup
			for _, v := range views {
				wg.Go(func() {
					got, err := v.Load(context.Background(), fmt.Sprint(key), func(context.Context, *cache.Entry[int]) (int, error) {
						loads.Add(1)
						time.Sleep(20 * time.Millisecond)
						return key, nil
					})
					if got != key || err != nil {
						t.Errorf("Load(%d) = %d, %v", key, got, err)
					}
				})
			}
			wg.Wait()
		}
		return float64(loads.Load()) / keys
	}
	alone, leased := count(0), count(10*time.Second)
	bench.Emit(t, bench.Row{Measure: fmt.Sprintf("4 nodes: loads in all of a cold key that all ask for, with Lease, mean of %d", keys), Unit: "loads", Ours: leased,
		Peers: []bench.Value{{Name: "without", Value: alone}}, Goal: "= 1", OK: leased == 1})
}
