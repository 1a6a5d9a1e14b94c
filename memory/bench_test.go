package memory_test

import (
	"fmt"
	"testing"

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
	for _, items := range []int{1000, 100_000} {
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
	for _, items := range []int{1000, 100_000} {
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
