package memory_test

import (
	"context"
	"encoding/binary"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/perfblocks/perfblocks/memory"
)

// TestCacheBoundsHoldAtEveryInstant hammers one small and one sharded cache from
// many goroutines, with resizes and shrinks, while samplers read what is charged.
func TestCacheBoundsHoldAtEveryInstant(t *testing.T) {
	for _, tc := range []struct {
		name    string
		items   int
		bytes   int64
		workers int
		policy  memory.Policy
	}{
		{"one shard", 500, 256 << 10, 8, memory.PolicyLRU},
		{"many shards", 6000, 5 << 20, 8, memory.PolicyLRU},
		{"many goroutines", 6000, 5 << 20, 64, memory.PolicyLRU},
		{"scan-resistant, one shard", 500, 256 << 10, 8, memory.PolicyScanResistant},
		{"scan-resistant, many goroutines", 6000, 5 << 20, 64, memory.PolicyScanResistant},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c, err := memory.NewCache(memory.CacheOptions[uint64, []byte]{
				MaxItems: tc.items, MaxBytes: tc.bytes, Policy: tc.policy,
				SizeOf: func(_ uint64, v []byte) int64 { return int64(len(v)) },
			})
			if err != nil {
				t.Fatal(err)
			}
			var stop atomic.Bool
			var background, workers sync.WaitGroup
			background.Go(func() {
				for !stop.Load() {
					// The bounds only move between these values, so the larger is
					// what must hold at any time.
					if n, b := c.Len(), c.Bytes(); n > tc.items || n < 0 || b > tc.bytes || b < 0 {
						t.Errorf("Len %d, Bytes %d; bounds %d, %d", n, b, tc.items, tc.bytes)
						return
					}
				}
			})
			background.Go(func() { churnBounds(t, c, tc.items, tc.bytes, &stop) })
			for id := range tc.workers {
				workers.Go(func() { hammer(t, c, uint64(id), 48_000/tc.workers) })
			}
			workers.Wait()
			stop.Store(true)
			background.Wait()
			checkTotals(t, c)
		})
	}
}

// churnBounds lowers and raises the bounds; after each Resize the lower ones hold.
func churnBounds(t *testing.T, c *memory.Cache[uint64, []byte], items int, bytes int64, stop *atomic.Bool) {
	for !stop.Load() {
		if err := c.Resize(items/2, bytes/2); err != nil {
			t.Error(err)
		}
		for range 100 {
			if n, b := c.Len(), c.Bytes(); n > items/2 || b > bytes/2 {
				t.Errorf("after Resize: Len %d, Bytes %d; bounds %d, %d", n, b, items/2, bytes/2)
				return
			}
		}
		c.Shrink(context.Background(), 0.5)
		if err := c.Resize(items, bytes); err != nil {
			t.Error(err)
		}
	}
}

// hammer writes values that name their key and version, and reads them back.
func hammer(t *testing.T, c *memory.Cache[uint64, []byte], id uint64, steps int) {
	rng := rand.New(rand.NewPCG(id, 5))
	for step := range uint64(steps) {
		key := rng.Uint64N(9000)
		switch rng.IntN(10) {
		case 0:
			c.Delete(key)
		case 1:
			c.DeleteIf(key, func(v []byte) bool { return binary.LittleEndian.Uint64(v) == key })
		default:
			v := make([]byte, 16+rng.IntN(2000))
			binary.LittleEndian.PutUint64(v, key)
			binary.LittleEndian.PutUint64(v[8:], step)
			if err := c.Set(key, v); err != nil {
				t.Errorf("Set = %v", err)
			}
		}
		if v, ok := c.Get(key); ok && binary.LittleEndian.Uint64(v) != key {
			t.Errorf("Get(%d) gave the value of %d", key, binary.LittleEndian.Uint64(v))
		}
	}
}

// checkTotals compares the totals with the sum over the entries.
func checkTotals(t *testing.T, c *memory.Cache[uint64, []byte]) {
	t.Helper()
	items, bytes := 0, int64(0)
	for _, v := range c.All() {
		items++
		bytes += int64(len(v))
	}
	if items != c.Len() || bytes != c.Bytes() {
		t.Errorf("All() holds %d entries, %d bytes; Len %d, Bytes %d", items, bytes, c.Len(), c.Bytes())
	}
	c.Purge()
	if c.Len() != 0 || c.Bytes() != 0 {
		t.Errorf("after Purge: Len %d, Bytes %d; want 0, 0", c.Len(), c.Bytes())
	}
}

// TestCacheReadsOwnWrites has each goroutine write keys of its own, with updates,
// random sizes and resizes beside, in a cache with room for all: every one must be
// read back at once.
func TestCacheReadsOwnWrites(t *testing.T) {
	for _, policy := range []memory.Policy{memory.PolicyLRU, memory.PolicyScanResistant} {
		for _, goroutines := range []uint64{8, 64} {
			c, err := memory.NewCache(memory.CacheOptions[uint64, []byte]{MaxItems: 100_000, MaxBytes: 64 << 20, Policy: policy})
			if err != nil {
				t.Fatal(err)
			}
			var wg sync.WaitGroup
			for id := range goroutines {
				wg.Go(func() {
					rng := rand.New(rand.NewPCG(id, 3))
					for i := range 40_000 / goroutines {
						key := id<<32 | i%100
						v := binary.LittleEndian.AppendUint64(make([]byte, 0, 8+rng.IntN(1000)), i)
						if err := c.Set(key, v); err != nil {
							t.Errorf("Set = %v", err)
						}
						if got, ok := c.Get(key); !ok || binary.LittleEndian.Uint64(got) != i {
							t.Errorf("%v: Get after Set(%d) = %v, %t", policy, i, got, ok)
						}
						if i%1000 == 0 {
							if err := c.Resize(100_000, int64(40+i%20)<<20); err != nil {
								t.Error(err)
							}
						}
					}
				})
			}
			wg.Wait()
			if got, want := c.Len(), int(100*goroutines); got != want {
				t.Errorf("Len() = %d; want %d", got, want)
			}
		}
	}
}

// TestCacheTellsOfEachValueOnce: whatever runs at once, each value that was stored
// leaves once or is still there.
func TestCacheTellsOfEachValueOnce(t *testing.T) {
	const goroutines, steps = 8, 4000
	var left [goroutines * steps]atomic.Int32
	stored := make([]bool, goroutines*steps) // each goroutine writes its own part
	c, err := memory.NewCache(memory.CacheOptions[uint64, int]{
		MaxItems: 5000, MaxBytes: 5 << 20, Floor: 1 << 10,
		SizeOf:  func(_ uint64, v int) int64 { return int64(1 + v%3000) },
		OnEvict: func(e memory.Eviction[uint64, int]) { left[e.Value].Add(1) },
	})
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for id := range goroutines {
		wg.Go(func() {
			rng := rand.New(rand.NewPCG(uint64(id), 9))
			for i := range steps {
				key, value := rng.Uint64N(7000), id*steps+i
				switch op := rng.IntN(1000); {
				case op < 1:
					c.Purge()
				case op < 4:
					c.Shrink(context.Background(), rng.Float64())
				case op < 7:
					if err := c.Resize(2000+rng.IntN(5000), 1<<20+rng.Int64N(5<<20)); err != nil {
						t.Error(err)
					}
				case op < 100:
					c.Delete(key)
				case op < 150:
					c.DeleteIf(key, func(v int) bool { return v%2 == 0 })
				default:
					stored[value] = c.Set(key, value) == nil
				}
			}
		})
	}
	wg.Wait()
	for _, v := range c.All() {
		left[v].Add(1)
	}
	for v, ok := range stored {
		if n := left[v].Load(); ok && n != 1 || !ok && n != 0 {
			t.Fatalf("value %d, stored %t, left %d times", v, ok, n)
		}
	}
	c.Purge()
	if c.Len() != 0 || c.Bytes() != 0 {
		t.Errorf("after Purge: Len %d, Bytes %d; want 0, 0", c.Len(), c.Bytes())
	}
}
