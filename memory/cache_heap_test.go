package memory_test

import (
	"fmt"
	"runtime"
	"testing"

	"github.com/perfblocks/perfblocks/memory"
)

// TestCacheBytesMatchHeap compares what a full cache says it holds with what the
// heap grew by. The values' sizes vary, and half of them were replaced.
func TestCacheBytesMatchHeap(t *testing.T) {
	c := newCache(t, memory.CacheOptions[string, []byte]{MaxBytes: 32 << 20})
	before := liveHeap()
	for i := range 150_000 {
		mustSet(t, c, fmt.Sprintf("user:%08d", i), make([]byte, 16+i%500))
		if i%2 == 0 {
			mustSet(t, c, fmt.Sprintf("user:%08d", i), make([]byte, 16+(i+7)%500))
		}
	}
	grown := liveHeap() - before
	if diff := float64(grown-c.Bytes()) / float64(c.Bytes()); diff < -0.10 || diff > 0.10 {
		t.Errorf("Bytes() = %d with %d items; the heap grew by %d (%+.1f%%)", c.Bytes(), c.Len(), grown, diff*100)
	}
	runtime.KeepAlive(c)
}
