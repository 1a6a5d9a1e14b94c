package main

import (
	"fmt"
	"runtime"
	"runtime/metrics"

	lru "github.com/hashicorp/golang-lru/v2"
	"github.com/maypok86/otter/v2"

	"github.com/perfblocks/perfblocks/examples/versus/internal/bench"
	"github.com/perfblocks/perfblocks/memory"
)

// liveHeap is what survives a collection, in bytes.
func liveHeap() int64 {
	runtime.GC()
	runtime.GC() // the first may have been under way; what it freed is swept now
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// cacheFootprint measures what a cache adds to each of many entries. The payload
// is a value in its size class, and for caches that copy keys those as well; the
// keys of the others stand outside.
func cacheFootprint(r *bench.Report) error {
	bound := manyEntries / 4
	if r.Full {
		bound = manyEntries
	}
	keys := userKeys(bound / 10 * 9)
	row := bench.Row{
		Measure: fmt.Sprintf("overhead of an entry of [string, []byte], %d entries", len(keys)), Unit: "bytes", Goal: "≤ 80",
		Note: "heap less values in their size classes; freecache allocates its bound at once",
	}
	for _, make := range cacheMakers() {
		before := liveHeap()
		c, err := make(bound)
		if err != nil {
			return err
		}
		fill(c, keys)
		grown := liveHeap() - before
		overhead := float64(grown-payload(c, len(keys))) / float64(c.len())
		if c.name == ours {
			row.Ours, row.OK = overhead, overhead <= 80
		} else {
			row.Peers = append(row.Peers, bench.Value{Name: c.name, Value: overhead})
		}
		c.close()
		runtime.KeepAlive(c)
	}
	r.Add(row)
	return nil
}

// fill stores values of their own under keys, so that none is shared.
func fill(c *cachePeer, keys []string) {
	const part = 1000
	for at := 0; at < len(keys); at += part {
		for i, v := range userValues(part, uint64(at)) {
			c.set(keys[at+i], v)
		}
	}
	c.settle()
}

// payload is what the values of fill take in c.
func payload(c *cachePeer, n int) (bytes int64) {
	copies := c.name == "freecache" || c.name == "bigcache"
	const part = 1000
	for at := 0; at < n; at += part {
		for i, v := range userValues(part, uint64(at)) {
			switch k := userKey(at + i); {
			case !has(c, k):
			case copies:
				bytes += int64(len(k) + len(v))
			default:
				bytes += int64(cap(append([]byte(nil), v...)))
			}
		}
	}
	return bytes
}

func has(c *cachePeer, k string) bool { _, ok := c.get(k); return ok }

// marking is the processor time that collections have spent marking, in seconds.
func marking() (seconds float64) {
	s := []metrics.Sample{
		{Name: "/cpu/classes/gc/mark/assist:cpu-seconds"}, {Name: "/cpu/classes/gc/mark/dedicated:cpu-seconds"}, {Name: "/cpu/classes/gc/mark/idle:cpu-seconds"},
	}
	metrics.Read(s)
	for _, v := range s {
		seconds += v.Value.Float64()
	}
	return seconds
}

// markTime returns the least of three forced collections, in milliseconds.
func markTime() float64 {
	runtime.GC()
	least := 0.0
	for i := range 3 {
		before := marking()
		runtime.GC()
		if ms := 1000 * (marking() - before); i == 0 || ms < least {
			least = ms
		}
	}
	return least
}

// cacheMarking compares what a collection spends on marking 1 million entries, or 5
// million of a full run.
func cacheMarking(r *bench.Report) error {
	n := manyEntries
	if r.Full {
		n *= 5
	}
	block := func(i int) (uint64, [16]byte) { return uint64(i), [16]byte{byte(i)} }
	text := func(i int) (string, []byte) { return userKey(i), make([]byte, 16) }
	if err := markRow(r, fmt.Sprintf("marking %d entries of [uint64, [16]byte]", n), 0.05, n, block); err != nil {
		return err
	}
	return markRow(r, fmt.Sprintf("marking %d entries of [string, []byte]", n), 0.6, n, text)
}

func markRow[K comparable, V any](r *bench.Report, measure string, most float64, n int, entry func(int) (K, V)) error {
	base := markTime()
	row := bench.Row{Measure: measure, Unit: "CPU ms a collection"}
	c, err := memory.NewCache(memory.CacheOptions[K, V]{MaxItems: n, MaxBytes: -1})
	if err != nil {
		return err
	}
	row.Ours = marked(n, base, entry, func(k K, v V) { err = c.Set(k, v) })
	if c.Len() != n || err != nil {
		return fmt.Errorf("%s: %d entries, %w", measure, c.Len(), err)
	}
	c.Close()
	l, err := lru.New[K, V](n)
	if err != nil {
		return err
	}
	peer := marked(n, base, entry, func(k K, v V) { l.Add(k, v) })
	row.Peers = append(row.Peers, bench.Value{Name: "golang-lru", Value: peer})
	l.Purge()
	if r.Full {
		o, err := otter.New(&otter.Options[K, V]{MaximumSize: n})
		if err != nil {
			return err
		}
		row.Peers = append(row.Peers, bench.Value{Name: "otter", Value: marked(n, base, entry, func(k K, v V) { o.Set(k, v) })})
		o.StopAllGoroutines()
	}
	row.Ratio = row.Ours / peer
	row.OK = row.Ratio <= most
	row.Goal = fmt.Sprintf("%.3g ≤ %.3g× golang-lru", row.Ratio, most)
	r.Add(row)
	return nil
}

// marked fills a cache through set and measures a collection, less base.
func marked[K comparable, V any](n int, base float64, entry func(int) (K, V), set func(K, V)) float64 {
	for i := range n {
		set(entry(i))
	}
	return max(0, markTime()-base)
}
