package main

import (
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/perfblocks/perfblocks/examples/versus/internal/bench"
	"github.com/perfblocks/perfblocks/memory"
)

const (
	streamItem    = 2 * mib
	streamBound   = 64 * mib
	streamWorkers = 64 // twice what the bound admits
)

// boundedStream sends gigabytes through workers, under a semaphore and without one, in
// turns: what they hold at most, and how long they take.
func boundedStream(r *bench.Report) error {
	rounds, items := 4, 256 // 2 GiB for each side
	if r.Full {
		rounds = 20 // 10 GiB
	}
	sem, err := memory.NewSemaphore(memory.SemaphoreOptions{MaxBytes: streamBound})
	if err != nil {
		return err
	}
	defer sem.Close()
	bounded := func() (func(), error) { return sem.Acquire(context.Background(), streamItem) }
	unbounded := func() (func(), error) { return func() {}, nil }
	var took [2][]float64
	var peak [2]float64
	for range rounds {
		for side, admit := range []func() (func(), error){bounded, unbounded} {
			debug.FreeOSMemory()
			p, t, err := stream(items, admit)
			if err != nil {
				return err
			}
			took[side] = append(took[side], t.Seconds())
			peak[side] = max(peak[side], float64(p))
		}
	}
	ratios := make([]float64, rounds)
	for i := range ratios {
		ratios[i] = took[1][i] / took[0][i]
	}
	slices.Sort(ratios)
	amount := fmt.Sprintf("%d GiB through a Semaphore of %d MiB, %d workers", rounds*items*streamItem>>30, streamBound/mib, streamWorkers)
	r.AtMost(amount+": peak live heap", "of its size", peak[0]/streamBound, 1.25, bench.Value{Name: "unbounded", Value: peak[1] / streamBound})
	r.AtLeast(amount+": throughput", "of unbounded", ratios[(rounds-1)/2], 0.9)
	return nil
}

// stream has the workers make and check items; it returns the highest live heap that a
// collection found beyond what was there before.
func stream(items int, admit func() (func(), error)) (peak int64, took time.Duration, err error) {
	base := live()
	end := make(chan struct{})
	var watcher, workers sync.WaitGroup
	watcher.Go(func() { peak = watchLive(end) - base })
	var next atomic.Int64
	failed := make(chan error, streamWorkers)
	start := time.Now()
	for range streamWorkers {
		workers.Go(func() {
			for next.Add(1) <= int64(items) {
				if e := streamOne(admit); e != nil {
					failed <- e
					return
				}
			}
		})
	}
	workers.Wait()
	took = time.Since(start)
	close(end)
	watcher.Wait()
	select {
	case err = <-failed:
	default:
	}
	return peak, took, err
}

func streamOne(admit func() (func(), error)) error {
	release, err := admit()
	if err != nil {
		return err
	}
	defer release()
	b := make([]byte, streamItem)
	for i := range b {
		b[i] = byte(i)
	}
	runtime.Gosched() // as a read or a write would
	if crc32.ChecksumIEEE(b) == 0 {
		return errors.New("a checksum of 0")
	}
	return nil
}

func watchLive(end <-chan struct{}) (peak int64) {
	s := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for {
		metrics.Read(s)
		peak = max(peak, int64(s[0].Value.Uint64()))
		select {
		case <-end:
			return peak
		case <-tick.C:
		}
	}
}
