package resilience

import (
	"sync"
	"sync/atomic"
	"time"
)

const (
	windowSlices = 10 // steps in which the window moves
	windowShards = 8  // power of two
)

// window counts the results of one closed period over a moving span. Each closed
// period has a window of its own, so that a late result cannot count in a later
// one. It is split in shards so that calls on different processors seldom meet.
type window struct {
	word   uint64 // the breaker's while this window is in use
	slice  time.Duration
	run    atomic.Int64 // failures without a success between them
	shards [windowShards]shard
}

type shard struct {
	slices [windowSlices]slice // indexed by number modulo windowSlices
	mu     sync.Mutex          // held while a slice begins anew
	_      [64]byte            // keeps neighbours off one cache line
}

// slice counts the results of one step in time.
type slice struct {
	number               atomic.Int64 // of the step since the breaker's start, plus 1; 0: empty
	total, failed, slowN atomic.Uint64
}

func newWindow(word uint64, span time.Duration) *window {
	return &window{word: word, slice: span / windowSlices}
}

// add counts one result. It returns the number of failures without a success
// between them.
func (w *window) add(at stripe, now time.Duration, failed, slow bool) (run int64) {
	n := int64(now/w.slice) + 1
	s := &w.shards[at%windowShards]
	c := &s.slices[n%windowSlices]
	if c.number.Load() < n {
		s.begin(c, n)
	}
	// A clock read long ago counts in the newer step.
	c.total.Add(1)
	if slow {
		c.slowN.Add(1)
	}
	if failed {
		c.failed.Add(1)
		return w.run.Add(1)
	}
	if w.run.Load() != 0 {
		w.run.Store(0)
	}
	return 0
}

// begin empties c, which counted a step that has left the window, for step n.
func (s *shard) begin(c *slice, n int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c.number.Load() < n {
		c.failed.Store(0)
		c.slowN.Store(0)
		c.total.Store(0)
		c.number.Store(n)
	}
}

// sum returns the counts of the steps that are in the window at now. A result that
// is being added may be missing, or counted in total only. A nil window is empty.
func (w *window) sum(now time.Duration) (total, failed, slow uint64) {
	if w == nil {
		return 0, 0, 0
	}
	n := int64(now/w.slice) + 1
	for i := range w.shards {
		for j := range w.shards[i].slices {
			if c := &w.shards[i].slices[j]; c.number.Load() > n-windowSlices {
				failed += c.failed.Load()
				slow += c.slowN.Load()
				total += c.total.Load()
			}
		}
	}
	return total, failed, slow
}
