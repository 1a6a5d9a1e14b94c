package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"

	lru "github.com/hashicorp/golang-lru/v2"
	"github.com/maypok86/otter/v2"

	"github.com/perfblocks/perfblocks/examples/versus/internal/bench"
	"github.com/perfblocks/perfblocks/examples/versus/internal/traces"
	"github.com/perfblocks/perfblocks/memory"
)

// fewRequests is how many leave an adaptive policy no time: below, a row is printed
// but not judged against LRU.
const fewRequests = 20_000

// traceRows are the capacities at which a trace is replayed, in entries or in
// hundredths of its distinct keys.
type traceRows struct {
	name, file string
	limit      int  // of requests
	long       bool // takes most of the time: only in a full run
	capacities []int
	percents   []int
}

func publishedTraces() []traceRows {
	return []traceRows{
		{name: "OLTP", file: "arc-oltp.gz", capacities: []int{1000, 5000, 15_000}},
		{name: "P3", file: "arc-p3.gz", capacities: []int{25_000, 100_000, 400_000}},
		{name: "P2", file: "arc-p2.lis.zst", limit: 8_000_000, long: true, capacities: []int{50_000, 400_000}},
		{name: "loop", file: "lirs-loop.trace.gz", capacities: []int{250, 500, 1000}},
		{name: "glimpse", file: "lirs-gli.trace.gz", capacities: []int{250, 1000, 2000}},
		{name: "multi1", file: "lirs-multi1.trace.gz", capacities: []int{500, 1500}},
		{name: "2_pools", file: "lirs-2_pools.trace.gz", capacities: []int{500, 5000}},
		{name: "web07", file: "cache2k-web07.trace.xz", capacities: []int{500, 2000, 5000}},
		{name: "orm-busy", file: "cache2k-orm-busy.trace.xz", long: true, capacities: []int{500, 2000, 10_000}},
		{name: "corda", file: "corda-vaultservice.gz", capacities: []int{512, 4096}},
		{name: "cs", file: "lirs-cs.trace.gz", percents: []int{10, 30, 60}},
		{name: "ps", file: "lirs-ps.trace.gz", percents: []int{10, 30, 60}},
		{name: "multi2", file: "lirs-multi2.trace.gz", percents: []int{10, 30, 60}},
	}
}

// tracesDir finds the folder of traces beside the repository, or "".
func tracesDir() string {
	dir, err := os.Getwd()
	for err == nil {
		if d := filepath.Join(dir, "..", "shared", "assets", "traces"); isDir(d) {
			return d
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			break
		}
		dir = parent
	}
	return ""
}

func isDir(name string) bool {
	info, err := os.Stat(name)
	return err == nil && info.IsDir()
}

// cacheHits replays traces, Get and then Set on a miss, on both of our policies and
// those of others, beside what nobody can pass. The bar is over all rows, so only a
// full run judges the mean.
func cacheHits(r *bench.Report) error {
	dir := tracesDir()
	if dir == "" {
		r.Add(bench.Row{Measure: "hit ratio on published traces", Note: "skipped: there is no ../shared/assets/traces beside the repository"})
		return nil
	}
	if err := sizedHits(r, dir); err != nil {
		return err
	}
	var rows []*hitRow
	var left []string
	for _, t := range publishedTraces() {
		if t.long && !r.Full {
			left = append(left, t.name)
			continue
		}
		requests, err := traces.Open(dir, t.file, t.limit)
		if errors.Is(err, fs.ErrNotExist) {
			r.Add(bench.Row{Measure: "hit ratio, " + t.name, Note: "skipped: " + t.file + " is absent"})
			continue
		}
		if err != nil {
			return err
		}
		rows = append(rows, t.rows(traces.Keys(requests))...)
	}
	replayAll(rows)
	judgeHits(r, rows, left)
	if r.Full {
		zipf := traceRows{name: "zipf 0.99", capacities: []int{1000, 10_000, 100_000}}
		rows = zipf.rows(traces.Zipf(8_000_000, 1_000_000, 0.99, 1))
		replayAll(rows)
		for _, row := range rows {
			r.Add(row.report())
		}
	}
	return nil
}

// hitRow is one trace at one capacity, with hit ratios in percent.
type hitRow struct {
	measure              string
	capacity             int
	keys                 []uint64
	ids                  []uint32
	distinct             int
	scan, lru            float64 // ours
	peerLRU, otter, best float64
}

func (t traceRows) rows(keys []uint64) (rows []*hitRow) {
	ids, distinct := traces.Number(keys)
	capacities := t.capacities
	for _, p := range t.percents {
		capacities = append(capacities, distinct*p/100)
	}
	for _, c := range capacities {
		rows = append(rows, &hitRow{measure: fmt.Sprintf("hit ratio, %s @ %d", t.name, c), capacity: c, keys: keys, ids: ids, distinct: distinct})
	}
	return rows
}

// replayAll replays rows on all processors; each cache is used by one goroutine.
func replayAll(rows []*hitRow) {
	var wg sync.WaitGroup
	free := make(chan struct{}, runtime.GOMAXPROCS(0))
	for _, row := range rows {
		free <- struct{}{}
		wg.Go(func() {
			row.replay()
			<-free
		})
	}
	wg.Wait()
}

func (h *hitRow) replay() {
	h.scan = h.oursHits(memory.PolicyScanResistant)
	h.lru = h.oursHits(memory.PolicyLRU)
	l, err := lru.New[uint64, struct{}](h.capacity)
	if err != nil {
		panic(err) // no capacity is 0
	}
	h.peerLRU = h.share(l.Get, func(k uint64) { l.Add(k, struct{}{}) })
	o := otter.Must(&otter.Options[uint64, struct{}]{MaximumSize: h.capacity})
	h.otter = h.share(o.GetIfPresent, func(k uint64) { o.Set(k, struct{}{}) })
	o.StopAllGoroutines()
	h.best = 100 * float64(traces.Belady(h.ids, h.distinct, h.capacity)) / float64(len(h.ids))
}

func (h *hitRow) oursHits(p memory.Policy) float64 {
	c, err := memory.NewCache(memory.CacheOptions[uint64, struct{}]{MaxItems: h.capacity, MaxBytes: -1, Policy: p})
	if err != nil {
		panic(err) // no capacity is 0
	}
	defer c.Close()
	return h.share(c.Get, func(k uint64) {
		if err := c.Set(k, struct{}{}); err != nil {
			panic(err) // there is no bound of bytes
		}
	})
}

func (h *hitRow) share(get func(uint64) (struct{}, bool), set func(uint64)) float64 {
	hits := 0
	for _, k := range h.keys {
		if _, ok := get(k); ok {
			hits++
		} else {
			set(k)
		}
	}
	return 100 * float64(hits) / float64(len(h.keys))
}

func (h *hitRow) report() bench.Row {
	row := bench.Row{Measure: h.measure, Unit: "%", Ours: h.scan, OK: true, Peers: []bench.Value{
		{Name: ours + " LRU", Value: h.lru}, {Name: "golang-lru", Value: h.peerLRU}, {Name: "otter", Value: h.otter}, {Name: "optimum", Value: h.best},
	}}
	if h.otter > h.best+0.01 {
		row.Note = "otter is above the optimum, as it holds more than its bound until its goroutine has caught up"
	}
	return row
}

// judgeHits adds a row for each and one for the mean, which is judged if no trace was
// left out.
func judgeHits(r *bench.Report, rows []*hitRow, left []string) {
	var mean, lruMean, peerLRU, otterMean, best float64
	n := float64(len(rows))
	for _, h := range rows {
		row := h.report()
		if len(h.keys) < fewRequests {
			row.Note = fmt.Sprintf("%d requests, fewer than %d: not judged against LRU", len(h.keys), fewRequests)
		} else {
			row.Goal, row.OK = "≥ golang-lru − 3", h.scan >= h.peerLRU-3
		}
		r.Add(row)
		mean += h.scan / n
		lruMean += h.lru / n
		peerLRU += h.peerLRU / n
		otterMean += h.otter / n
		best += h.best / n
	}
	row := bench.Row{
		Measure: fmt.Sprintf("hit ratio, mean of %d rows", len(rows)), Unit: "%", Ours: mean, Goal: "≥ otter", OK: mean >= otterMean,
		Peers: []bench.Value{{Name: ours + " LRU", Value: lruMean}, {Name: "golang-lru", Value: peerLRU}, {Name: "otter", Value: otterMean}, {Name: "optimum", Value: best}},
	}
	if len(left) > 0 {
		row.Goal, row.Note = "", "without "+strings.Join(left, " and ")+": the goal is the mean of all rows, which -full replays"
	}
	r.Add(row)
}

// sizedHits replays the one trace with sizes at equal bytes.
func sizedHits(r *bench.Report, dir string) error {
	requests, err := traces.Open(dir, "adaptsize-request.trace.xz", 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	total, seen := int64(0), map[uint64]bool{}
	for _, q := range requests {
		if !seen[q.Key] {
			seen[q.Key] = true
			total += q.Size
		}
	}
	for _, percent := range []int64{5, 20} {
		bound := total * percent / 100
		r.Add(bench.Row{
			Measure: fmt.Sprintf("hit ratio, AdaptSize CDN with sizes @ %d %% of its bytes", percent), Unit: "%", OK: true,
			Ours: sizedShare(requests, bound, memory.PolicyScanResistant),
			Peers: []bench.Value{
				{Name: ours + " LRU", Value: sizedShare(requests, bound, memory.PolicyLRU)}, {Name: "otter", Value: sizedOtter(requests, bound)},
			},
		})
	}
	return nil
}

func sizedShare(requests []traces.Request, bound int64, p memory.Policy) float64 {
	c, err := memory.NewCache(memory.CacheOptions[uint64, int64]{MaxBytes: bound, Policy: p, SizeOf: func(_ uint64, size int64) int64 { return size }})
	if err != nil {
		panic(err) // the bound is positive
	}
	defer c.Close()
	hits := 0
	for _, q := range requests {
		if _, ok := c.Get(traces.Mix(q.Key)); ok {
			hits++
		} else if err := c.Set(traces.Mix(q.Key), q.Size); err != nil && !errors.Is(err, memory.ErrTooLarge) {
			panic(err)
		}
	}
	return 100 * float64(hits) / float64(len(requests))
}

func sizedOtter(requests []traces.Request, bound int64) float64 {
	o := otter.Must(&otter.Options[uint64, int64]{MaximumWeight: uint64(bound), Weigher: func(_ uint64, size int64) uint32 { return uint32(size) }})
	defer o.StopAllGoroutines()
	hits := 0
	for _, q := range requests {
		if _, ok := o.GetIfPresent(traces.Mix(q.Key)); ok {
			hits++
		} else {
			o.Set(traces.Mix(q.Key), q.Size)
		}
	}
	return 100 * float64(hits) / float64(len(requests))
}
