package cache_test

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"testing"

	"github.com/perfblocks/perfblocks/cache"
)

// TestDistinctTags: entries come and go with tags that nobody uses again, and each is
// invalidated once; the bookkeeping stays bounded (Laravel #43850 kept a set for each).
// PERF_TAGS sets their number; 10,000,000 take some minutes.
func TestDistinctTags(t *testing.T) {
	n := 100_000
	if v, err := strconv.Atoi(os.Getenv("PERF_TAGS")); err == nil {
		n = v
	}
	const entries = 1000
	c := newCache(t, cache.Options{MaxEntries: entries})
	v := add(t, c, cache.Strategy[int]{Name: "s"})
	heap := func() uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	var before uint64
	for i := range n {
		tag := fmt.Sprint("tag", i)
		if _, err := v.Load(t.Context(), fmt.Sprint(i%(2*entries)), func(_ context.Context, e *cache.Entry[int]) (int, error) {
			e.DependsOn(tag)
			return i, nil
		}); err != nil {
			t.Fatal(err)
		}
		if err := c.DeleteTag(t.Context(), tag); err != nil {
			t.Fatal(err)
		}
		if i == 50_000 {
			before = heap()
		}
	}
	after := heap()
	if tags := c.Stats().Tags; tags > entries+1<<14+1 {
		t.Errorf("%d tags are kept; want at most those of the entries and 16,384", tags)
	}
	if after > before+8<<20 {
		t.Errorf("the heap grew from %d to %d bytes", before, after)
	}
	t.Logf("%d tags: %d kept, heap %d KiB after 50,000 and %d KiB in the end", n, c.Stats().Tags, before>>10, after>>10)
}
