package memory_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/perfblocks/perfblocks/memory"
)

func benchCache(b *testing.B, items int) (*memory.Cache[string, []byte], []string) {
	c := newCache(b, memory.CacheOptions[string, []byte]{MaxItems: items, MaxBytes: -1})
	keys := make([]string, 2*items)
	for i := range keys {
		keys[i] = fmt.Sprintf("user:%08d", i)
	}
	for _, k := range keys[:items] {
		mustSet(b, c, k, []byte("value"))
	}
	return c, keys
}

func BenchmarkCacheGet(b *testing.B) {
	for _, items := range []int{1000, 1_000_000} {
		b.Run(fmt.Sprintf("items=%d", items), func(b *testing.B) {
			c, keys := benchCache(b, items)
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				c.Get(keys[i*7919%items])
			}
		})
	}
}

func BenchmarkCacheSetEvict(b *testing.B) {
	for _, items := range []int{1000, 1_000_000} {
		b.Run(fmt.Sprintf("items=%d", items), func(b *testing.B) {
			c, keys := benchCache(b, items)
			v := []byte("value")
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				c.Set(keys[i%len(keys)], v)
			}
		})
	}
}

// BenchmarkCacheGrow fills an empty cache with a million entries and tells how long
// single Sets took: what grows must not grow all at once.
func BenchmarkCacheGrow(b *testing.B) {
	const items = 1_000_000
	took := make([]time.Duration, items)
	b.ReportAllocs()
	for b.Loop() {
		c := newCache(b, memory.CacheOptions[uint64, uint64]{MaxItems: items, MaxBytes: -1})
		last := time.Now()
		for i := range took {
			if err := c.Set(uint64(i), 0); err != nil {
				b.Fatal(err)
			}
			now := time.Now()
			took[i], last = now.Sub(last), now
		}
		c.Close()
	}
	slices.Sort(took)
	b.ReportMetric(float64(took[items*999/1000].Nanoseconds()), "p99.9-ns")
	b.ReportMetric(float64(took[items*99999/100_000].Nanoseconds()), "p99.999-ns")
	b.ReportMetric(float64(took[items-100].Nanoseconds()), "100th-ns")
}

func BenchmarkMonitorCheck(b *testing.B) {
	m := newMonitor(b, memory.MonitorOptions{Limit: 1 << 40})
	b.ReportAllocs()
	for b.Loop() {
		m.Check(b.Context())
	}
}

func BenchmarkReadStats(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		memory.ReadStats()
	}
}

func BenchmarkSizeOf(b *testing.B) {
	u := &user{Name: "Lan", Tags: []string{"a", "b"}, Address: &address{"x", "y"}, Props: map[string]string{"k": "v"}}
	b.ReportAllocs()
	for b.Loop() {
		memory.SizeOf(u)
	}
}
