package memory_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/perfblocks/perfblocks/memory"
)

// The shapes that other packages expect without importing this one.
var (
	_ interface {
		Get(string) ([]byte, bool)
		Set(string, []byte) error
	} = (*memory.Cache[string, []byte])(nil)
	_ interface {
		DeleteIf(string, func(*int) bool) bool
	} = (*memory.Cache[string, *int])(nil)
	_ memory.Shrinker                         = (*memory.Cache[string, []byte])(nil)
	_ memory.Prioritizer                      = (*memory.Cache[string, []byte])(nil)
	_ interface{ RetryAfter() time.Duration } = (*memory.RateLimitError)(nil)
)

func newCache[K comparable, V any](t testing.TB, o memory.CacheOptions[K, V]) *memory.Cache[K, V] {
	t.Helper()
	c, err := memory.NewCache(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func mustSet[K comparable, V any](t testing.TB, c *memory.Cache[K, V], k K, v V) {
	t.Helper()
	if err := c.Set(k, v); err != nil {
		t.Fatalf("Set(%v) = %v", k, err)
	}
}

func TestNewCacheRejects(t *testing.T) {
	type opts = memory.CacheOptions[string, int]
	for _, tc := range []struct {
		name string
		opts opts
		want []string
	}{
		{"no bound", opts{MaxBytes: -1}, []string{"neither"}},
		{"items", opts{MaxItems: -1}, []string{"MaxItems"}},
		{"ttl", opts{TTL: -1}, []string{"TTL"}},
		{"policy", opts{Policy: 9}, []string{"Policy"}},
		{"floor", opts{Floor: 100, MaxBytes: 99}, []string{"Floor"}},
		{"all at once", opts{MaxItems: -2, TTL: -1, Floor: -3}, []string{"MaxItems -2", "TTL -1ns", "Floor -3"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, err := memory.NewCache(tc.opts)
			if !errors.Is(err, memory.ErrOptions) {
				t.Fatalf("NewCache error = %v; want ErrOptions", err)
			}
			for _, w := range tc.want {
				if !strings.Contains(err.Error(), w) {
					t.Errorf("error %q does not tell of %s", err, w)
				}
			}
		})
	}
}

func TestCacheZeroOptions(t *testing.T) {
	c := newCache(t, memory.CacheOptions[string, []byte]{})
	mustSet(t, c, "a", []byte("1"))
	if v, ok := c.Get("a"); !ok || string(v) != "1" {
		t.Errorf("Get(a) = %q, %t", v, ok)
	}
	s := c.Stats()
	if s.MaxBytes != 64<<20 || s.MaxItems != 0 || s.Ceiling != 64<<20 {
		t.Errorf("bounds = %d bytes, %d items, ceiling %d", s.MaxBytes, s.MaxItems, s.Ceiling)
	}
	if c.Bytes() <= 1 {
		t.Errorf("Bytes() = %d; want the entry's own cost counted", c.Bytes())
	}
}

func TestCacheSetErrors(t *testing.T) {
	size := int64(10)
	c := newCache(t, memory.CacheOptions[string, int]{MaxBytes: 100, SizeOf: func(string, int) int64 { return size }})
	mustSet(t, c, "a", 1)
	size = 101
	if err := c.Set("a", 2); !errors.Is(err, memory.ErrTooLarge) {
		t.Errorf("Set of 101 bytes = %v; want ErrTooLarge", err)
	}
	if v, ok := c.Get("a"); ok {
		t.Errorf("Get after a refused Set = %d; want a miss, not the old value", v)
	}
	if c.Bytes() != 0 {
		t.Errorf("Bytes() = %d; want 0", c.Bytes())
	}
	size = math.MinInt64
	mustSet(t, c, "negative", 1)
	if c.Bytes() != 1 {
		t.Errorf("Bytes() with a negative size = %d; want 1", c.Bytes())
	}
	size = math.MaxInt64
	if err := c.Set("huge", 1); !errors.Is(err, memory.ErrTooLarge) {
		t.Errorf("Set of the largest size = %v; want ErrTooLarge", err)
	}
	c.Close()
	if err := c.Set("a", 1); !errors.Is(err, memory.ErrClosed) {
		t.Errorf("Set after Close = %v; want ErrClosed", err)
	}
}

// TestCacheSizeStored changes a value after it was stored: what was charged must be
// released, not what the size function would say now.
func TestCacheSizeStored(t *testing.T) {
	type box struct{ n int64 }
	c := newCache(t, memory.CacheOptions[string, *box]{MaxBytes: 100, SizeOf: func(_ string, b *box) int64 { return b.n }})
	b := &box{40}
	mustSet(t, c, "a", b)
	b.n = 1
	c.Delete("a")
	if c.Bytes() != 0 {
		t.Errorf("Bytes() = %d; want 0", c.Bytes())
	}
}

func TestCacheLargeSizes(t *testing.T) {
	const big = 1<<40 - 1
	c := newCache(t, memory.CacheOptions[int, int]{MaxBytes: math.MaxInt64, MaxItems: 10, SizeOf: func(k, _ int) int64 { return big - int64(k) }})
	for k := range 10 {
		mustSet(t, c, k, k)
	}
	if got, want := c.Bytes(), int64(10*big-45); got != want {
		t.Errorf("Bytes() = %d; want %d", got, want)
	}
	if err := c.Set(-1, 0); !errors.Is(err, memory.ErrTooLarge) {
		t.Errorf("Set of 1 TiB = %v; want ErrTooLarge", err)
	}
}

func TestCacheExpires(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var gone []memory.EvictReason
		c := newCache(t, memory.CacheOptions[string, int]{
			MaxItems: 100, TTL: time.Minute,
			OnEvict: func(e memory.Eviction[string, int]) { gone = append(gone, e.Reason) },
		})
		mustSet(t, c, "a", 1)
		mustSet(t, c, "b", 1)
		time.Sleep(time.Minute - 1)
		if _, ok := c.Get("a"); !ok {
			t.Error("Get(a) before the TTL misses")
		}
		mustSet(t, c, "b", 2) // a new TTL
		time.Sleep(time.Microsecond)
		if v, ok := c.Peek("a"); ok {
			t.Errorf("Peek(a) after the TTL = %d", v)
		}
		if v, ok := c.Get("a"); ok {
			t.Errorf("Get(a) after the TTL = %d", v)
		}
		if got := slices.Collect(c.Keys()); !slices.Equal(got, []string{"b"}) {
			t.Errorf("Keys() = %v; want b", got)
		}
		want := []memory.EvictReason{memory.EvictReplaced, memory.EvictExpired}
		if !slices.Equal(gone, want) || c.Stats().Expired != 1 {
			t.Errorf("departures %v, %d expired; want %v, 1", gone, c.Stats().Expired, want)
		}
		time.Sleep(time.Hour)
		if c.DeleteIf("b", func(int) bool { return true }) {
			t.Error("DeleteIf found an expired value")
		}
		mustSet(t, c, "c", 3)
		if c.Len() != 1 {
			t.Errorf("Len() = %d; want the expired b swept by Set", c.Len())
		}
	})
}

func TestCacheDeleteIf(t *testing.T) {
	c := newCache(t, memory.CacheOptions[string, int]{})
	mustSet(t, c, "a", 1)
	if c.DeleteIf("a", func(v int) bool { return v == 2 }) {
		t.Error("DeleteIf deleted against its predicate")
	}
	var asked []int
	deleted := c.DeleteIf("a", func(v int) bool {
		asked = append(asked, v)
		if v == 1 {
			mustSet(t, c, "a", 2) // the predicate said yes to 1, not to 2
		}
		return v == 1
	})
	if v, _ := c.Get("a"); deleted || v != 2 || !slices.Equal(asked, []int{1, 2}) {
		t.Errorf("DeleteIf with a racing Set = %t, asked %v, left %d; want false, [1 2], 2", deleted, asked, v)
	}
	if !c.DeleteIf("a", func(v int) bool { return v == 2 }) || c.Len() != 0 {
		t.Error("DeleteIf did not delete")
	}
	if c.DeleteIf("a", func(int) bool { panic("asked about an absent key") }) {
		t.Error("DeleteIf of an absent key = true")
	}
}

// TestCacheOnEvictMayUseCache calls back into the cache, which deadlocks if a lock
// is held, and panics, which must leave the cache usable.
func TestCacheOnEvictMayUseCache(t *testing.T) {
	var c *memory.Cache[int, int]
	boom := false
	c = newCache(t, memory.CacheOptions[int, int]{MaxItems: 2, OnEvict: func(e memory.Eviction[int, int]) {
		c.Get(e.Key)
		c.Stats()
		if boom {
			panic("boom")
		}
	}})
	for i := range 10 {
		mustSet(t, c, i, i)
	}
	boom = true
	func() {
		defer func() {
			if recover() == nil {
				t.Error("the panic of OnEvict did not reach Set's caller")
			}
		}()
		c.Set(10, 10)
	}()
	boom = false
	if v, ok := c.Get(10); !ok || v != 10 || c.Len() != 2 {
		t.Errorf("after a panic in OnEvict: Get(10) = %d, %t, Len %d", v, ok, c.Len())
	}
}

func TestCacheShrinkKeepsFloor(t *testing.T) {
	c := newCache(t, memory.CacheOptions[int, int]{MaxBytes: 1000, Floor: 300, SizeOf: func(int, int) int64 { return 10 }})
	for i := range 100 {
		mustSet(t, c, i, i)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if freed := c.Shrink(ctx, 0); freed != 0 {
		t.Errorf("Shrink with an ended ctx freed %d", freed)
	}
	for _, tc := range []struct {
		target float64
		freed  int64
	}{{1, 0}, {7, 0}, {0.8, 200}, {0, 500}, {-1, 0}, {math.NaN(), 0}} {
		if freed := c.Shrink(t.Context(), tc.target); freed != tc.freed {
			t.Errorf("Shrink(%v) freed %d; want %d", tc.target, freed, tc.freed)
		}
	}
	if c.Bytes() != 300 || c.Stats().Shrunk != 70 {
		t.Errorf("Bytes() = %d, %d shrunk; want the floor of 300, 70", c.Bytes(), c.Stats().Shrunk)
	}
	if _, ok := c.Peek(99); !ok {
		t.Error("Shrink took the most recent entry")
	}
}

// TestCacheShrinkTellsAsItGoes: the victims do not wait in memory until the last is
// found; Purge tells once all are gone.
func TestCacheShrinkTellsAsItGoes(t *testing.T) {
	var c *memory.Cache[int, int]
	first, told := -1, 0
	c = newCache(t, memory.CacheOptions[int, int]{MaxBytes: 1 << 20, SizeOf: func(int, int) int64 { return 1 }, OnEvict: func(memory.Eviction[int, int]) {
		if told++; told == 1 {
			first = c.Len()
		}
	}})
	const n = 10_000
	for i := range n {
		mustSet(t, c, i, i)
	}
	c.Shrink(t.Context(), 0)
	if first < n/2 || told != n || c.Len() != 0 {
		t.Errorf("Shrink told first at Len %d, %d in all; want while most were there, %d", first, told, n)
	}
	for i := range n {
		mustSet(t, c, i, i)
	}
	told = 0
	c.Purge()
	if first != 0 || told != n || c.Bytes() != 0 {
		t.Errorf("Purge told first at Len %d, %d in all, Bytes %d; want 0, %d, 0", first, told, c.Bytes(), n)
	}
}

func TestCacheShrinkFreesMemory(t *testing.T) {
	c := newCache(t, memory.CacheOptions[int, int64]{MaxItems: 1 << 20, MaxBytes: -1})
	for i := range 200_000 {
		mustSet(t, c, i, int64(i))
	}
	full := liveHeap()
	c.Shrink(t.Context(), 0.05)
	if now := liveHeap(); full-now < 5<<20 {
		t.Errorf("live heap %d before Shrink, %d after; want the arena given back", full, now)
	}
	// The order is by shard: the newest 10,000 remain, more or less, and of 256 shards
	// with 40 each the last to be asked keeps a hundred more.
	for i := range 120_000 {
		if _, ok := c.Peek(i); ok {
			t.Fatalf("Peek(%d) after Shrink: an old entry survived", i)
		}
	}
	runtime.KeepAlive(c)
}

func liveHeap() int64 {
	runtime.GC()
	runtime.GC()
	s, _ := memory.ReadStats()
	return s.HeapLive
}

func TestCacheResizeErrors(t *testing.T) {
	c := newCache(t, memory.CacheOptions[int, int]{MaxItems: 3})
	if err := c.Resize(-1, 0); !errors.Is(err, memory.ErrOptions) {
		t.Errorf("Resize(-1, 0) = %v; want ErrOptions", err)
	}
	if err := c.Resize(0, -1); !errors.Is(err, memory.ErrOptions) {
		t.Errorf("Resize(0, -1) = %v; want ErrOptions", err)
	}
	if s := c.Stats(); s.MaxItems != 3 {
		t.Errorf("MaxItems = %d after refused Resizes; want 3", s.MaxItems)
	}
	if err := c.Resize(5, -1); err != nil {
		t.Error(err)
	}
	if s := c.Stats(); s.MaxItems != 5 || s.MaxBytes != -1 {
		t.Errorf("bounds = %d, %d; want 5, -1", s.MaxItems, s.MaxBytes)
	}
}

func TestCacheDisabled(t *testing.T) {
	m, _ := memory.NewMonitor(memory.MonitorOptions{})
	defer m.Close()
	c := newCache(t, memory.CacheOptions[int, int]{Disabled: true, Monitor: m})
	mustSet(t, c, 1, 1)
	if _, ok := c.Get(1); ok || c.Len() != 0 || m.Stats().Shrinkers != 0 {
		t.Error("a disabled cache holds something or is registered")
	}
	for range 2 {
		if v, err := c.GetOrLoad(t.Context(), 1, func(context.Context) (int, error) { return 7, nil }); v != 7 || err != nil {
			t.Errorf("GetOrLoad = %d, %v", v, err)
		}
	}
}

func TestCacheStatsAndMetrics(t *testing.T) {
	c := newCache(t, memory.CacheOptions[int, int]{Name: `a"b\c` + "\n", MaxItems: 2, SizeOf: func(int, int) int64 { return 5 }})
	before := c.Stats()
	for i := range 4 {
		mustSet(t, c, i, i)
	}
	c.Get(3)
	c.Get(0)
	s := c.Stats().Sub(before)
	if s.Hits != 1 || s.Misses != 1 || s.Sets != 4 || s.Evicted != 2 || s.HitRatio() != 0.5 || s.Items != 2 || s.Bytes != 10 {
		t.Errorf("Stats() = %+v", s)
	}
	got := maps.Collect(c.Metrics())
	if v := got[`memory_cache_evicted_total{cache="a\"b\\c\n",reason="capacity"}`]; v != 2 {
		t.Errorf("evicted metric = %v in %v", v, got)
	}
	checkMetricNames(t, got)
	for range c.Metrics() {
		break // must not panic
	}
}

func checkMetricNames(t *testing.T, m map[string]float64) {
	t.Helper()
	for name, v := range m {
		base, labels, ok := strings.Cut(name, "{")
		legal := strings.Trim(base, "abcdefghijklmnopqrstuvwxyz_") == "" && strings.HasPrefix(base, "memory_")
		if !ok || !legal || !strings.HasSuffix(labels, `"}`) || math.IsNaN(v) {
			t.Errorf("metric %s = %v is not well formed", name, v)
		}
	}
}

func TestCacheAllocations(t *testing.T) {
	c := newCache(t, memory.CacheOptions[string, []byte]{MaxItems: 100_000})
	keys := make([]string, 64)
	for i := range keys {
		keys[i] = fmt.Sprintf("user:%d", i)
		mustSet(t, c, keys[i], []byte("value"))
	}
	v := []byte("value")
	for _, tc := range []struct {
		name string
		f    func()
	}{
		{"Get", func() { c.Get(keys[7]) }},
		{"Peek", func() { c.Peek(keys[7]) }},
		{"miss", func() { c.Get("absent") }},
		{"Set in place", func() { c.Set(keys[9], v) }},
		{"Len and Bytes", func() { _ = c.Bytes() + int64(c.Len()) }},
	} {
		if n := testing.AllocsPerRun(200, tc.f); n != 0 {
			t.Errorf("%s allocates %v; want 0", tc.name, n)
		}
	}
	for _, policy := range []memory.Policy{memory.PolicyLRU, memory.PolicyScanResistant} {
		full := newCache(t, memory.CacheOptions[int, int]{MaxItems: 100, Policy: policy})
		next := 0
		if n := testing.AllocsPerRun(2000, func() { full.Set(next, next); full.Get(next); next++ }); n != 0 {
			t.Errorf("%v: Set with eviction and Get allocate %v; want 0", policy, n)
		}
	}
}

func TestPolicyText(t *testing.T) {
	for want, name := range map[memory.Policy]string{memory.PolicyLRU: "lru", memory.PolicyScanResistant: "scan-resistant"} {
		var p memory.Policy
		if err := p.UnmarshalText([]byte(name)); err != nil || p != want {
			t.Errorf("UnmarshalText(%s) = %v, %v", name, p, err)
		}
		if b, err := want.MarshalText(); string(b) != name || err != nil {
			t.Errorf("MarshalText = %s, %v; want %s", b, err, name)
		}
	}
	p := memory.PolicyScanResistant
	if err := p.UnmarshalText([]byte("mru")); err == nil || p != memory.PolicyScanResistant {
		t.Errorf("UnmarshalText(mru) = %v, and the policy is %v", err, p)
	}
	if b, err := memory.Policy(7).MarshalText(); err == nil {
		t.Errorf("MarshalText of 7 = %s; want an error", b)
	}
}
