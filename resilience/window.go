package resilience

import (
	"sync"
	"time"
)

const (
	windowSlices = 10 // steps in which the window moves
	windowShards = 8  // power of two
)

// window counts results over a moving span. It is split in shards so that calls
// on different processors seldom meet; each shard is exact under its lock.
type window struct {
	slice  time.Duration
	shards [windowShards]shard
}

type shard struct {
	mu     sync.Mutex
	slices [windowSlices]slice // guarded by mu; indexed by number modulo windowSlices
	_      [64]byte            // keeps neighbours off one cache line
}

// slice counts the results of one step in time.
type slice struct {
	number               int64 // of the step since the breaker's start, plus 1; 0: empty
	total, failed, slowN uint64
}

func (w *window) init(span time.Duration) { w.slice = span / windowSlices }

// add counts one result, in the window and in b's run of consecutive failures,
// unless b.word no longer holds want: then it returns false. The run is the number
// of failures without a success between them.
func (w *window) add(b *Breaker, at stripe, want uint64, now time.Duration, failed, slow bool) (run int64, ok bool) {
	n := int64(now/w.slice) + 1
	s := &w.shards[at%windowShards]
	s.mu.Lock() // Nothing below can panic.
	if b.word.Load() != want {
		s.mu.Unlock()
		return 0, false
	}
	c := &s.slices[n%windowSlices]
	if c.number < n { // A clock read long ago counts in the newer step.
		*c = slice{number: n}
	}
	c.total++
	if slow {
		c.slowN++
	}
	if failed {
		c.failed++
		run = b.consecutive.Add(1)
	} else if b.consecutive.Load() != 0 {
		b.consecutive.Store(0)
	}
	s.mu.Unlock()
	return run, true
}

// sum returns the counts of the steps that are in the window at now.
func (w *window) sum(now time.Duration) (total, failed, slow uint64) {
	n := int64(now/w.slice) + 1
	for i := range w.shards {
		s := &w.shards[i]
		s.mu.Lock()
		for j := range s.slices {
			if c := &s.slices[j]; c.number > n-windowSlices {
				total += c.total
				failed += c.failed
				slow += c.slowN
			}
		}
		s.mu.Unlock()
	}
	return total, failed, slow
}

func (w *window) reset() {
	for i := range w.shards {
		s := &w.shards[i]
		s.mu.Lock()
		s.slices = [windowSlices]slice{}
		s.mu.Unlock()
	}
}
