package main

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/perfblocks/perfblocks/cache"
	"github.com/perfblocks/perfblocks/examples/versus/internal/bench"
)

// cacheInvalidation measures DeleteTag on a tag of a million entries, and what reads
// beside a steady stream of invalidations take at their slowest. No peer has tags.
func cacheInvalidation(r *bench.Report) error {
	c, err := cache.New(cache.Options{MaxEntries: manyEntries + manyEntries/10, SweepInterval: -1})
	if err != nil {
		return err
	}
	defer c.Close()
	v, err := cache.Add(c, cache.Strategy[int]{Name: "user", TTL: time.Hour, Tags: []string{"users"}})
	if err != nil {
		return err
	}
	ctx := context.Background()
	keys := make([]string, manyEntries)
	for i := range keys {
		keys[i] = fmt.Sprintf("user:%011d", i)
		if err := v.Set(ctx, keys[i], i); err != nil {
			return err
		}
	}
	calm := slowestReads(v, keys)
	stop := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() { // tags that no entry has: the entries stay, and are looked at again
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			case <-time.After(time.Millisecond):
				_ = c.DeleteTag(ctx, fmt.Sprint("other:", i%100))
			}
		}
	})
	busy := slowestReads(v, keys)
	close(stop)
	wg.Wait()
	r.Add(bench.Row{Measure: "p99.9 of Get beside 1000 invalidations per second, without", Unit: "ns", Ours: busy, Peers: []bench.Value{{Name: "without", Value: calm}},
		Ratio: busy / calm, Goal: fmt.Sprintf("%.3g ≤ 1.5×", busy/calm), OK: busy <= 1.5*calm})
	var took []float64
	for range 101 {
		begun := time.Now()
		if err := c.DeleteTag(ctx, "users"); err != nil {
			return err
		}
		took = append(took, float64(time.Since(begun))/1000)
	}
	if _, ok := v.Get(ctx, keys[0]); ok {
		return fmt.Errorf("an entry outlived the DeleteTag of its tag")
	}
	slices.Sort(took)
	r.Add(bench.Row{Measure: "DeleteTag on a million entries", Unit: "µs", Ours: took[50], Spread: fmt.Sprintf("%.3g–%.3g", took[25], took[75]),
		Goal: "< 20", OK: took[50] < 20})
	return nil
}

// slowestReads returns the median over rounds of the 99.9th percentile of a Get.
func slowestReads(v *cache.View[int], keys []string) float64 {
	var p999 []float64
	for round := range 11 {
		took := make([]float64, 20_000)
		for i := range took {
			k := keys[(i*7919+round*104729)%len(keys)]
			begun := time.Now()
			v.Get(context.Background(), k)
			took[i] = float64(time.Since(begun))
		}
		slices.Sort(took)
		p999 = append(p999, took[len(took)*999/1000])
	}
	slices.Sort(p999)
	return p999[len(p999)/2]
}
