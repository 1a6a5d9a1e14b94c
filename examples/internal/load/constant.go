package load

import (
	"context"
	"sync"
	"time"
)

// Constant begins so many actions per second, evenly, for a while, each on a goroutine
// of its own, and returns when all have ended. Latencies count from when an action was
// to begin. It is what other load generators do, and so is for comparing with them.
func Constant(ctx context.Context, perSecond float64, measure time.Duration, act func(context.Context) Outcome) []Sample {
	var mu sync.Mutex
	var samples []Sample
	var wg sync.WaitGroup
	start := time.Now()
	for n := range int(perSecond * measure.Seconds()) {
		after := time.Duration(float64(n) / perSecond * float64(time.Second))
		if !sleepUntil(ctx, start.Add(after)) {
			break
		}
		wg.Go(func() {
			begin := time.Now()
			out := act(ctx)
			done := time.Now()
			mu.Lock()
			defer mu.Unlock()
			samples = append(samples, Sample{Outcome: out, At: after, Latency: done.Sub(start.Add(after)), Service: done.Sub(begin)})
		})
	}
	wg.Wait()
	return samples
}

// Saturate lets workers act one action after the other, without a pause, for a while:
// a closed load, which shows how much a service can do. It returns when all have ended.
func Saturate(ctx context.Context, workers int, measure time.Duration, act func(ctx context.Context, worker int) Outcome) []Sample {
	var mu sync.Mutex
	var samples []Sample
	var wg sync.WaitGroup
	start := time.Now()
	for worker := range workers {
		wg.Go(func() {
			for ctx.Err() == nil {
				begin := time.Now()
				after := begin.Sub(start)
				if after >= measure {
					return
				}
				out := act(ctx, worker)
				took := time.Since(begin)
				mu.Lock()
				samples = append(samples, Sample{Outcome: out, At: after, Latency: took, Service: took})
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	return samples
}
