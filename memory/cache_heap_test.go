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
	for _, policy := range []memory.Policy{memory.PolicyLRU, memory.PolicyScanResistant} {
		c := newCache(t, memory.CacheOptions[string, []byte]{MaxBytes: 32 << 20, Policy: policy})
		before := liveHeap()
		for i := range 150_000 {
			mustSet(t, c, fmt.Sprintf("user:%08d", i), make([]byte, 16+i%500))
			if i%2 == 0 {
				mustSet(t, c, fmt.Sprintf("user:%08d", i), make([]byte, 16+(i+7)%500))
			}
		}
		grown := liveHeap() - before
		if diff := float64(grown-c.Bytes()) / float64(c.Bytes()); diff < -0.10 || diff > 0.10 {
			t.Errorf("%v: Bytes() = %d with %d items; the heap grew by %d (%+.1f%%)", policy, c.Bytes(), c.Len(), grown, diff*100)
		}
		runtime.KeepAlive(c)
		c.Close()
	}
}

// TestCacheGivesArenaBack: the places of many small entries do not stay when a few
// large ones have taken their room, nor when all are deleted.
func TestCacheGivesArenaBack(t *testing.T) {
	c := newCache(t, memory.CacheOptions[int, []byte]{MaxBytes: 8 << 20})
	before := liveHeap()
	for i := range 150_000 {
		mustSet(t, c, i, nil)
	}
	for i := range 10 {
		mustSet(t, c, i, make([]byte, 1<<20))
	}
	if grown := liveHeap() - before; grown > c.Bytes()*11/10 {
		t.Errorf("Bytes() = %d with %d large items; the heap grew by %d", c.Bytes(), c.Len(), grown)
	}
	for i := range 150_000 {
		mustSet(t, c, i, nil)
	}
	for k := range c.Keys() {
		c.Delete(k)
	}
	if grown := liveHeap() - before; c.Len() != 0 || grown > 1<<20 {
		t.Errorf("%d items after Delete of all; the heap grew by %d", c.Len(), grown)
	}
	runtime.KeepAlive(c)
}

// TestCacheLargeValuesInPlace: a chunk of the arena is no multiple of a large value.
func TestCacheLargeValuesInPlace(t *testing.T) {
	type block [128 << 10]byte
	c := newCache(t, memory.CacheOptions[int, block]{MaxItems: 34, MaxBytes: 8 << 20})
	before := liveHeap()
	for i := range 100 {
		mustSet(t, c, i, block{})
	}
	if grown := liveHeap() - before; grown > c.Bytes()*11/10 {
		t.Errorf("Bytes() = %d with %d items; the heap grew by %d", c.Bytes(), c.Len(), grown)
	}
	runtime.KeepAlive(c)
}
