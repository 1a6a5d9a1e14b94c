package main

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	theine "github.com/Yiling-J/theine-go"
	"github.com/dgraph-io/ristretto/v2"
	lru "github.com/hashicorp/golang-lru/v2"
	"github.com/maypok86/otter/v2"
	"github.com/viccon/sturdyc"

	"github.com/perfblocks/perfblocks/cache"
	"github.com/perfblocks/perfblocks/examples/versus/internal/bench"
)

// filler puts n entries into a new cache by set and returns what keeps it alive and
// how many it holds.
type filler func(keys []string) (keep any, held int, err error)

// heldBytes returns the live heap after a collection.
func heldBytes() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// overhead returns the bytes per entry of what f makes, without the bytes of keys and
// without payload bytes for each entry. Keys are made before, so that only their
// headers count, as far as a cache has such.
func overhead(f filler, keys []string, payload int64) (float64, error) {
	before := heldBytes()
	keep, held, err := f(keys)
	if err != nil {
		return 0, err
	}
	after := heldBytes()
	runtime.KeepAlive(keep)
	if held < len(keys)*99/100 {
		return 0, fmt.Errorf("only %d of %d entries are there", held, len(keys))
	}
	return float64(after-before)/float64(held) - float64(payload), nil
}

// viewFill fills a view with values that make returns.
func viewFill[V any](tags int, value func(i int) V) filler {
	return func(keys []string) (any, int, error) {
		c, err := cache.New(cache.Options{MaxBytes: 8 << 30, SweepInterval: -1})
		if err != nil {
			return nil, 0, err
		}
		v, err := cache.Add(c, cache.Strategy[V]{Name: "user", TTL: time.Hour})
		if err != nil {
			return nil, 0, err
		}
		if tags == 0 {
			for i, k := range keys {
				if err := v.Set(context.Background(), k, value(i)); err != nil {
					return nil, 0, err
				}
			}
			return c, v.Len(), nil
		}
		report, err := v.Warm(context.Background(), slices.Values(keys), func(_ context.Context, e *cache.Entry[V]) (V, error) {
			i, err := strconv.Atoi(strings.TrimPrefix(e.Key(), "user:"))
			e.DependsOn(fmt.Sprint("team:", i%20_000), fmt.Sprint("region:", i/7%500), "users")
			return value(i), err
		}, cache.WarmOptions{Concurrency: runtime.GOMAXPROCS(0)})
		if err = errors.Join(err, report.Err); err != nil {
			return nil, 0, err
		}
		return c, v.Len(), nil
	}
}

// peerFills are the others with pointers as values.
func peerFills() map[string]filler {
	const n = manyEntries
	return map[string]filler{
		"otter": func(keys []string) (any, int, error) {
			c, err := otter.New(&otter.Options[string, *profile]{MaximumWeight: 8 << 30, Weigher: func(string, *profile) uint32 { return 200 }})
			for i, k := range keys {
				c.Set(k, &profile{id: i})
			}
			return c, c.EstimatedSize(), err
		},
		"ristretto+Wait": func(keys []string) (any, int, error) {
			c, err := ristretto.NewCache(&ristretto.Config[string, *profile]{NumCounters: 10 * n, MaxCost: 2 * n, BufferItems: 64, IgnoreInternalCost: true})
			for i, k := range keys {
				for !c.Set(k, &profile{id: i}, 1) {
					c.Wait()
				}
			}
			c.Wait()
			return c, len(keys), err
		},
		"theine": func(keys []string) (any, int, error) {
			c, err := theine.NewBuilder[string, *profile](2 * n).Build()
			for i, k := range keys {
				c.Set(k, &profile{id: i}, 1)
			}
			return c, c.Len(), err
		},
		"golang-lru": func(keys []string) (any, int, error) {
			c, err := lru.New[string, *profile](n)
			for i, k := range keys {
				c.Add(k, &profile{id: i})
			}
			return c, c.Len(), err
		},
		"sturdyc": func(keys []string) (any, int, error) {
			c := sturdyc.New[*profile](2*n, 64, time.Hour, 10)
			for i, k := range keys {
				c.Set(k, &profile{id: i})
			}
			return c, c.Size(), nil
		},
	}
}

// cacheMemory measures the live heap that a million entries take beside their keys
// and their payload. Payload is the value itself with all that it points to; what a
// cache allocates to box a value counts as overhead.
func cacheMemory(r *bench.Report) error {
	keys := make([]string, manyEntries)
	for i := range keys {
		keys[i] = fmt.Sprintf("user:%011d", i)
	}
	var peers []bench.Value
	fills := peerFills()
	names := []string{"otter", "golang-lru", "sturdyc"}
	if r.Full { // they take long to filler
		names = append(names, "ristretto+Wait", "theine")
	}
	for _, name := range names {
		got, err := overhead(fills[name], keys, 64+8)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		peers = append(peers, bench.Value{Name: name, Value: got})
	}
	text := strings.Repeat("x", 64)
	for _, row := range []struct {
		measure string
		filler  filler
		payload int64
		most    float64
	}{
		{"pointers, no tags", viewFill(0, func(i int) *profile { return &profile{id: i} }), 64 + 8, 120},
		{"pointers, 3 tags", viewFill(3, func(i int) *profile { return &profile{id: i} }), 64 + 8, 170},
		{"structs of 64 bytes, no tags", viewFill(0, func(i int) profile { return profile{id: i} }), 64, 120},
		{"structs of 64 bytes, 3 tags", viewFill(3, func(i int) profile { return profile{id: i} }), 64, 170},
		{"64 []byte, no tags", viewFill(0, func(int) []byte { return []byte(text) }), 64 + 24, 120},
		{"64 []byte, 3 tags", viewFill(3, func(int) []byte { return []byte(text) }), 64 + 24, 170},
	} {
		got, err := overhead(row.filler, keys, row.payload)
		if err != nil {
			return fmt.Errorf("%s: %w", row.measure, err)
		}
		r.Add(bench.Row{Measure: "memory per entry of a million beside keys and payload, " + row.measure, Unit: "bytes", Ours: got,
			Peers: peers, Goal: fmt.Sprintf("≤ %.0f", row.most), OK: got <= row.most})
	}
	return nil
}
