package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	theine "github.com/Yiling-J/theine-go"
	"github.com/dgraph-io/ristretto/v2"
	lru "github.com/hashicorp/golang-lru/v2"
	"github.com/maypok86/otter/v2"
	"github.com/viccon/sturdyc"

	"github.com/perfblocks/perfblocks/cache"
	"github.com/perfblocks/perfblocks/cache/ristrettocache"
	"github.com/perfblocks/perfblocks/examples/versus/internal/bench"
	"github.com/perfblocks/perfblocks/examples/versus/internal/traces"
)

// shortTrace is how much of each trace a run that is not full replays.
const shortTrace = 60_000

// cacheTraceRows are the published traces with the capacities that are compared. zipf is
// generated; of arc-p2 eight million requests are used.
var cacheTraceRows = []struct {
	file       string
	capacities []int
}{
	{"zipf 0.99", []int{1000, 10_000, 100_000}},
	{"arc-oltp.gz", []int{1000, 5000, 15_000}},
	{"arc-p3.gz", []int{25_000, 100_000, 400_000}},
	{"arc-p2.lis.zst", []int{50_000, 400_000}},
	{"lirs-loop.trace.gz", []int{250, 500, 1000}},
	{"lirs-gli.trace.gz", []int{250, 1000, 2000}},
	{"lirs-multi1.trace.gz", []int{500, 1500}},
	{"lirs-2_pools.trace.gz", []int{500, 5000}},
	{"cache2k-web07.trace.xz", []int{500, 2000, 5000}},
	{"cache2k-orm-busy.trace.xz", []int{500, 2000, 10_000}},
	{"corda-vaultservice.gz", []int{512, 4096}},
}

// replayed is a cache as a replay uses it: get, and set on a miss.
type replayed struct {
	get   func(key uint64) bool
	set   func(key uint64)
	close func()
}

// contender makes a cache for so many entries.
type contender struct {
	name string
	runs int // the median of so many counts
	make func(capacity int) (replayed, error)
}

// typed is our whole layer over an engine.
func typed(engine func(cache.EngineOptions) (cache.Engine, error)) func(int) (replayed, error) {
	return func(capacity int) (replayed, error) {
		c, err := cache.New(cache.Options{MaxEntries: capacity, Engine: engine})
		if err != nil {
			return replayed{}, err
		}
		v, err := cache.Add(c, cache.Strategy[uint64]{Name: "trace", TTL: -1})
		if err != nil {
			return replayed{}, err
		}
		ctx := context.Background()
		name := func(key uint64) string { return strconv.FormatUint(key, 36) }
		return replayed{
			get:   func(key uint64) bool { _, ok := v.Get(ctx, name(key)); return ok },
			set:   func(key uint64) { _ = v.Set(ctx, name(key), key) },
			close: func() { _ = c.Close() },
		}, nil
	}
}

// ristrettoReplay waits for each Set if wait; otherwise Sets may be dropped.
func ristrettoReplay(wait bool) func(int) (replayed, error) {
	return func(capacity int) (replayed, error) {
		c, err := ristretto.NewCache(&ristretto.Config[uint64, uint64]{NumCounters: int64(10 * capacity), MaxCost: int64(capacity), BufferItems: 64, IgnoreInternalCost: true})
		if err != nil {
			return replayed{}, err
		}
		return replayed{
			get: func(key uint64) bool { _, ok := c.Get(key); return ok },
			set: func(key uint64) {
				c.Set(key, key, 1)
				if wait {
					c.Wait()
				}
			},
			close: c.Close,
		}, nil
	}
}

// contenders lists ours first, then the slot adapter, then the peers.
func contenders() []contender {
	return []contender{
		{"perfblocks", 3, typed(nil)},
		{"ristrettocache", 3, typed(ristrettocache.New)},
		{"otter", 3, func(n int) (replayed, error) {
			c, err := otter.New(&otter.Options[uint64, uint64]{MaximumSize: n})
			return replayed{func(k uint64) bool { _, ok := c.GetIfPresent(k); return ok }, func(k uint64) { c.Set(k, k) }, func() {}}, err
		}},
		// In a tight loop otter's maintenance lags, and it holds more than its bound: its
		// ratio may then be above the optimum for that bound. Inline, it keeps the bound.
		{boundOtter, 3, func(n int) (replayed, error) {
			c, err := otter.New(&otter.Options[uint64, uint64]{MaximumSize: n, Executor: func(task func()) { task() }})
			return replayed{func(k uint64) bool { _, ok := c.GetIfPresent(k); return ok }, func(k uint64) { c.Set(k, k) }, func() {}}, err
		}},
		{"ristretto", 1, ristrettoReplay(false)},
		{"ristretto+Wait", 3, ristrettoReplay(true)},
		{"theine", 3, func(n int) (replayed, error) {
			c, err := theine.NewBuilder[uint64, uint64](int64(n)).Build()
			if err != nil {
				return replayed{}, err
			}
			return replayed{func(k uint64) bool { _, ok := c.Get(k); return ok }, func(k uint64) { c.Set(k, k, 1) }, c.Close}, nil
		}},
		{"golang-lru", 1, func(n int) (replayed, error) {
			c, err := lru.New[uint64, uint64](n)
			return replayed{func(k uint64) bool { _, ok := c.Get(k); return ok }, func(k uint64) { c.Add(k, k) }, func() {}}, err
		}},
		{"sturdyc", 1, func(n int) (replayed, error) {
			ctx, cancel := context.WithCancel(context.Background())
			c := sturdyc.New[uint64](n, min(16, n/16), time.Hour, 10, sturdyc.WithEvictionInterval(time.Hour))
			_ = ctx
			return replayed{
				func(k uint64) bool { _, ok := c.Get(strconv.FormatUint(k, 36)); return ok },
				func(k uint64) { c.Set(strconv.FormatUint(k, 36), k) }, cancel}, nil
		}},
	}
}

// boundOtter is otter whose bound holds at each moment, as ours does.
const boundOtter = "otter, maintained inline"

// ratio replays keys and returns the hits in percent.
func (c contender) ratio(keys []uint64, capacity int) (float64, error) {
	var got []float64
	for range c.runs {
		r, err := c.make(capacity)
		if err != nil {
			return 0, fmt.Errorf("%s: %w", c.name, err)
		}
		hits := 0
		for _, k := range keys {
			if r.get(k) {
				hits++
			} else {
				r.set(k)
			}
		}
		r.close()
		got = append(got, 100*float64(hits)/float64(len(keys)))
	}
	slices.Sort(got)
	return got[len(got)/2], nil
}

// traceKeys returns the keys of a trace, at most limit.
func traceKeys(dir, file string, limit int) ([]uint64, error) {
	if file == "zipf 0.99" {
		return traces.Zipf(limit, 1_000_000, 0.99, 1), nil
	}
	requests, err := traces.Open(dir, file, limit)
	return traces.Keys(requests), err
}

// cacheHitRatios replays the traces of PERF_ASSETS/traces, or of the folder of assets
// beside the repository. A run that is not full replays the beginning of each trace.
func cacheHitRatios(r *bench.Report) error {
	dir := filepath.Join("..", "..", "..", "shared", "assets", "traces")
	if assets := os.Getenv("PERF_ASSETS"); assets != "" {
		dir = filepath.Join(assets, "traces")
	}
	limit, what := shortTrace, fmt.Sprintf("the first %d requests", shortTrace)
	if r.Full {
		limit, what = 8_000_000, "all requests"
	}
	all := contenders()
	sums := make([]float64, len(all))
	rows, best := 0.0, 0.0
	for _, tr := range cacheTraceRows {
		keys, err := traceKeys(dir, tr.file, limit)
		if errors.Is(err, fs.ErrNotExist) {
			fmt.Fprintf(os.Stderr, "versus: no hit ratios of %s: the trace is absent\n", tr.file)
			continue
		}
		if err != nil {
			return err
		}
		ids, distinct := traces.Number(keys)
		for _, capacity := range tr.capacities {
			row := bench.Row{Measure: fmt.Sprintf("hit ratio, %s @ %d", tr.file, capacity), Unit: "%", OK: true}
			for i, c := range all {
				got, err := c.ratio(keys, capacity)
				if err != nil {
					return err
				}
				sums[i] += got
				if i == 0 {
					row.Ours = got
				} else {
					row.Peers = append(row.Peers, bench.Value{Name: c.name, Value: got})
				}
			}
			limit := 100 * float64(traces.Belady(ids, distinct, capacity)) / float64(len(keys))
			row.Peers = append(row.Peers, bench.Value{Name: "Belady's optimum", Value: limit})
			rows, best = rows+1, best+limit
			r.Add(row)
		}
	}
	if rows > 0 {
		addMeans(r, all, sums, best, rows, what)
	}
	return nil
}

// addMeans adds the rows that are judged.
func addMeans(r *bench.Report, all []contender, sums []float64, best, rows float64, what string) {
	mean := map[string]float64{}
	var peers []bench.Value
	for i, c := range all {
		mean[c.name] = sums[i] / rows
		if i > 0 {
			peers = append(peers, bench.Value{Name: c.name, Value: mean[c.name]})
		}
	}
	peers = append(peers, bench.Value{Name: "Belady's optimum", Value: best / rows})
	for _, g := range []struct {
		ours, peer string
		less       float64
	}{{"perfblocks", "otter", 0.3}, {"perfblocks", boundOtter, 0.3}, {"ristrettocache", "ristretto+Wait", 0.5}} {
		r.Add(bench.Row{Measure: fmt.Sprintf("hit ratio of %s, mean of %.0f rows, %s", g.ours, rows, what), Unit: "%", Ours: mean[g.ours], Peers: peers,
			Ratio: mean[g.ours] / mean[g.peer], Goal: fmt.Sprintf("≥ %s − %g", g.peer, g.less), OK: mean[g.ours] >= mean[g.peer]-g.less})
	}
}
