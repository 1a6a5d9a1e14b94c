package cache

import (
	"context"
	"runtime"
	"strconv"
	"testing"
)

// TestOtterRanksWhileEvicting: what reads have used is told to the policy by the reads
// while the cache evicts, and otherwise by a goroutine.
func TestOtterRanksWhileEvicting(t *testing.T) {
	c, err := New(Options{MaxEntries: 100, Engine: NewOtter})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	v, err := Add(c, Strategy[int]{Name: "s"})
	if err != nil {
		t.Fatal(err)
	}
	e := c.engine.(*otterEngine)
	for i := range 200 {
		if i == 100 && e.ranked.Load() != 0 {
			t.Error("reads rank although nothing was evicted")
		}
		if err := v.Set(context.Background(), strconv.Itoa(i), i); err != nil {
			t.Fatal(err)
		}
	}
	for range rankings {
		before := e.ranked.Load()
		e.execute(func() {})
		if now := e.ranked.Load(); now != before-1 {
			t.Fatalf("%d rankings left after one of %d", now, before)
		}
	}
	ran := make(chan struct{})
	gate := make(chan struct{})
	e.execute(func() { <-gate; close(ran) }) // blocks for ever if the caller runs it
	close(gate)
	<-ran
}

// TestOtterLoopHits: a loop that hardly exceeds the bound mostly hits, because hits are
// ranked although they come without a pause. What one cache hits depends on the seed of
// its hashes, 0.81 to 0.95; with one processor the mean of many is 0.89 to 0.91, and
// 0.82 to 0.83 where a goroutine ranks, which starts too late.
func TestOtterLoopHits(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	const caches = 24
	sum := 0.0
	for range caches {
		sum += loopHits(t, NewOtter)
	}
	if r := sum / caches; r < 0.86 {
		t.Errorf("hit ratio %.3f, the mean of %d caches; want 0.86", r, caches)
	}
}

// loopHits is the hit ratio of one cache; the optimum is 0.97.
func loopHits(t *testing.T, engine func(EngineOptions) (Engine, error)) float64 {
	t.Helper()
	c, err := New(Options{MaxEntries: 1000, Engine: engine})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	v, err := Add(c, Strategy[int]{Name: "s"})
	if err != nil {
		t.Fatal(err)
	}
	keys := make([]string, 1011)
	for i := range keys {
		keys[i] = strconv.Itoa(i)
	}
	for range 60 {
		for i, k := range keys {
			if _, ok := v.Get(context.Background(), k); !ok {
				if err := v.Set(context.Background(), k, i); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	return v.Stats().HitRatio()
}
