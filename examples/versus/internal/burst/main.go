// Command burst is a service that holds 64 MiB, and three times answers 500
// requests, one each millisecond, holds 200 MiB more for a moment, and then has nothing
// to do for 1.2 s. It prints one line of JSON with its memory and processor time.
package main

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"sync"
	"syscall"
	"time"

	"github.com/perfblocks/perfblocks/memory"
)

const (
	mib     = 1 << 20
	live    = 64 * mib
	extra   = 200 * mib
	chunk   = 32 << 10
	rounds  = 3
	churn   = 500 // requests in each round
	garbage = 20  // chunks that a request allocates and hashes
	idle    = 1200 * time.Millisecond
)

// outcome is the line of output. Sizes are in bytes.
type outcome struct {
	Mean float64 `json:"mean"` // resident, over the run
	Idle float64 `json:"idle"` // in the second half of the idle times
	Peak float64 `json:"peak"`
	CPU  float64 `json:"cpu"` // seconds

	Collections int `json:"collections"` // by the monitor
	Ineffective int `json:"ineffective"`
	TooEager    int `json:"tooEager"` // sooner after an ineffective one than twice the interval
}

func main() {
	mode := flag.String("mode", "default", "default, ours, collect or free (after each burst), or timer (free every 100 ms)")
	flag.Parse()
	if err := run(*mode); err != nil {
		fmt.Fprintln(os.Stderr, "burst:", err)
		os.Exit(1)
	}
}

func run(mode string) error {
	burst, stop, err := newBurst(mode)
	if err != nil {
		return err
	}
	var w watch
	w.start()
	keep := fill(live)
	var sum [sha256.Size]byte
	for range rounds {
		start := time.Now()
		for i := range churn {
			time.Sleep(time.Until(start.Add(time.Duration(i) * time.Millisecond)))
			sum = request(sum)
		}
		burst()
		w.rest()
	}
	var out outcome
	w.stop(&out)
	runtime.KeepAlive(keep)
	runtime.KeepAlive(sum)
	out.CPU = processorTime()
	stop(&out)
	return json.NewEncoder(os.Stdout).Encode(out)
}

// request is the same work in all modes.
func request(seed [sha256.Size]byte) [sha256.Size]byte {
	for range garbage {
		b := make([]byte, chunk)
		copy(b, seed[:])
		seed = sha256.Sum256(b)
	}
	return seed
}

func fill(n int) [][]byte {
	var b [][]byte
	for range n / chunk {
		p := make([]byte, chunk)
		for i := 0; i < chunk; i += 512 {
			p[i] = 1
		}
		b = append(b, p)
	}
	return b
}

// hold is the burst itself.
func hold() { runtime.KeepAlive(fill(extra)) }

// newBurst returns the burst with what the mode does about it, and what ends the mode.
func newBurst(mode string) (burst func(), stop func(*outcome), err error) {
	none := func(*outcome) {}
	switch mode {
	case "default":
		return hold, none, nil
	case "collect":
		return func() { hold(); runtime.GC() }, none, nil
	case "free":
		return func() { hold(); debug.FreeOSMemory() }, none, nil
	case "timer":
		done := make(chan struct{})
		go func() {
			t := time.NewTicker(100 * time.Millisecond)
			defer t.Stop()
			for {
				select {
				case <-done:
					return
				case <-t.C:
					debug.FreeOSMemory()
				}
			}
		}()
		return hold, func(*outcome) { close(done) }, nil
	case "ours":
		return monitored()
	}
	return nil, nil, fmt.Errorf("unknown mode %q", mode)
}

// monitored runs the burst under a monitor, which sees by itself whether a collection
// pays after it.
func monitored() (func(), func(*outcome), error) {
	const interval = time.Second
	var mu sync.Mutex
	var results []memory.CollectResult
	m, err := memory.NewMonitor(memory.MonitorOptions{
		CollectInterval: interval,
		Hooks: memory.MonitorHooks{Collected: func(r memory.CollectResult) {
			mu.Lock()
			defer mu.Unlock()
			results = append(results, r)
		}},
	})
	if err != nil {
		return nil, nil, err
	}
	if err := m.Start(context.Background()); err != nil {
		return nil, nil, err
	}
	burst := func() { _ = m.Run(context.Background(), func(context.Context) error { hold(); return nil }) }
	stop := func(o *outcome) {
		m.Close()
		for i, r := range results {
			o.Collections++
			if !r.Effective {
				o.Ineffective++
			}
			if i > 0 && !results[i-1].Effective && r.Before.At.Sub(results[i-1].After.At) < 2*interval {
				o.TooEager++
			}
		}
	}
	return burst, stop, nil
}

func processorTime() float64 {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano()).Seconds()
}
