package main

import (
	"bytes"
	"os"
	"strconv"
	"sync"
	"time"
)

const tick = 10 * time.Millisecond

// watch samples the resident memory of the process.
type watch struct {
	end   chan struct{}
	ended sync.WaitGroup

	mu   sync.Mutex
	all  []float64 // guarded by mu
	calm []float64 // guarded by mu
	late bool      // guarded by mu; in the second half of an idle time
}

func (w *watch) start() {
	w.end = make(chan struct{})
	w.ended.Go(func() {
		t := time.NewTicker(tick)
		defer t.Stop()
		for {
			select {
			case <-w.end:
				return
			case <-t.C:
				w.add(resident())
			}
		}
	})
}

func (w *watch) add(rss float64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.all = append(w.all, rss)
	if w.late {
		w.calm = append(w.calm, rss)
	}
}

// rest is the idle time.
func (w *watch) rest() {
	time.Sleep(idle / 2)
	w.setLate(true)
	time.Sleep(idle / 2)
	w.setLate(false)
}

func (w *watch) setLate(late bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.late = late
}

func (w *watch) stop(o *outcome) {
	close(w.end)
	w.ended.Wait()
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, v := range w.all {
		o.Mean += v / float64(len(w.all))
		o.Peak = max(o.Peak, v)
	}
	for _, v := range w.calm {
		o.Idle += v / float64(len(w.calm))
	}
}

// resident is 0 where there is no /proc.
func resident() float64 {
	data, err := os.ReadFile("/proc/self/statm")
	fields := bytes.Fields(data)
	if err != nil || len(fields) < 2 {
		return 0
	}
	pages, err := strconv.Atoi(string(fields[1]))
	if err != nil {
		return 0
	}
	return float64(pages * os.Getpagesize())
}
