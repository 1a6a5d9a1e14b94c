package main

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/Yiling-J/theine-go"
	"github.com/dgraph-io/ristretto/v2"
	"github.com/maypok86/otter/v2"

	"github.com/perfblocks/perfblocks/examples/versus/internal/bench"
	"github.com/perfblocks/perfblocks/memory"
)

// weighed is a cache of [uint64, []byte] that is bounded by bytes.
type weighed struct {
	name   string
	set    func(uint64, []byte)
	has    func(uint64) bool
	bytes  func() int64 // charged at present
	settle func()
	close  func()
}

// byteBounded makes those caches that bound the bytes of any value.
func byteBounded(bound int) []*weighed {
	c, err := memory.NewCache(memory.CacheOptions[uint64, []byte]{MaxBytes: int64(bound)})
	if err != nil {
		panic(err) // the options are constants
	}
	s, err := memory.NewCache(memory.CacheOptions[uint64, []byte]{MaxBytes: int64(bound), Policy: memory.PolicyScanResistant})
	if err != nil {
		panic(err)
	}
	o := otter.Must(&otter.Options[uint64, []byte]{MaximumWeight: uint64(bound), Weigher: func(_ uint64, v []byte) uint32 { return uint32(len(v)) }})
	t, err := theine.NewBuilder[uint64, []byte](int64(bound)).Build()
	if err != nil {
		panic(err)
	}
	r, err := ristretto.NewCache(&ristretto.Config[uint64, []byte]{NumCounters: 100_000, MaxCost: int64(bound), BufferItems: 64, IgnoreInternalCost: true})
	if err != nil {
		panic(err)
	}
	return []*weighed{
		oursWeighed(ours, c), oursWeighed(oursScan, s),
		{
			name: "otter", set: func(k uint64, v []byte) { o.Set(k, v) }, has: func(k uint64) bool { _, ok := o.GetIfPresent(k); return ok },
			bytes: func() int64 { return int64(o.WeightedSize()) }, settle: o.CleanUp, close: func() { o.StopAllGoroutines() },
		},
		{
			name: "theine", set: func(k uint64, v []byte) { t.Set(k, v, int64(len(v))) }, has: func(k uint64) bool { _, ok := t.Get(k); return ok },
			bytes: func() int64 { return int64(t.EstimatedSize()) }, settle: t.Wait, close: t.Close,
		},
		{
			name: "ristretto", set: func(k uint64, v []byte) { r.Set(k, v, int64(len(v))) }, has: func(k uint64) bool { _, ok := r.Get(k); return ok },
			bytes: func() int64 { return r.MaxCost() - r.RemainingCost() }, settle: func() {}, close: r.Close,
		},
	}
}

func oursWeighed(name string, c *memory.Cache[uint64, []byte]) *weighed {
	return &weighed{
		name: name, bytes: c.Bytes, settle: func() {}, close: func() { c.Close() },
		set: func(k uint64, v []byte) {
			if err := c.Set(k, v); err != nil {
				panic(err) // no entry is near the bound
			}
		},
		has: func(k uint64) bool { _, ok := c.Get(k); return ok },
	}
}

// cacheBounds has 8 goroutines store 4 KiB values, many times as many as fit, and
// looks for each at once, while another reads what is charged. They meet after every
// 125 of them: so no value that is looked for is older than half of what the cache
// holds, and under LRU it cannot have been evicted.
func cacheBounds(r *bench.Report) error {
	const bound, size, goroutines, each = 16 << 20, 4 << 10, 8, 12_500
	peak := bench.Row{Measure: "8 goroutines, 100,000 Sets of 4 KiB at a bound of 16 MiB: most ever charged", Unit: "MiB", Goal: "≤ 16"}
	live := bench.Row{Measure: "the same: live heap after", Unit: "MiB", Goal: "within 10 % of Bytes()"}
	missed := bench.Row{Measure: "the same: own Sets not found", Unit: "of 100,000", Goal: "0"}
	for _, c := range byteBounded(bound) {
		before := liveHeap()
		most, lost := hammer(c, goroutines, each, size)
		c.settle()
		grown := float64(liveHeap()-before) / (1 << 20)
		charged := float64(c.bytes()) / (1 << 20)
		if c.name == ours {
			peak.Ours, peak.OK = float64(most)/(1<<20), most <= bound
			live.Ours, live.OK = grown, grown > 0.9*charged && grown < 1.1*charged
			missed.Ours, missed.OK = float64(lost), lost == 0
		} else {
			peak.Peers = append(peak.Peers, bench.Value{Name: c.name, Value: float64(most) / (1 << 20)})
			live.Peers = append(live.Peers, bench.Value{Name: c.name, Value: grown})
			missed.Peers = append(missed.Peers, bench.Value{Name: c.name, Value: float64(lost)})
		}
		c.close()
	}
	for _, row := range []bench.Row{peak, live, missed} {
		r.Add(row)
	}
	return nil
}

func hammer(c *weighed, goroutines, each, size int) (most, lost int64) {
	var workers, watcher sync.WaitGroup
	var done atomic.Bool
	var misses atomic.Int64
	watcher.Go(func() {
		for !done.Load() {
			most = max(most, c.bytes())
			time.Sleep(20 * time.Microsecond) // leave the processor to the others
		}
	})
	const together = 125
	for from := 0; from < each; from += together {
		for id := range goroutines {
			workers.Go(func() {
				for i := range together {
					k := uint64(id)<<32 | uint64(from+i)
					c.set(k, make([]byte, size))
					if !c.has(k) {
						misses.Add(1)
					}
				}
			})
		}
		workers.Wait()
	}
	done.Store(true)
	watcher.Wait()
	return most, misses.Load()
}
