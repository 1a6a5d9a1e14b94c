package cache

import (
	"sync"
	"sync/atomic"
	"time"
)

// Reading the clock costs as much as all the rest of a hit. So while a cache is busy a
// timer keeps the moment for those hits that do not need it to the second.
const (
	clockTick  = 10 * time.Millisecond
	clockTicks = 100                // then the timer rests until hits start it again
	clockSlack = int64(time.Second) // by how much the kept moment may be behind
)

// clock is the kept moment.
type clock struct {
	moment  atomic.Int64 // 0: none is kept
	running atomic.Bool

	mu      sync.Mutex
	stopped bool        // guarded by mu
	timer   *time.Timer // guarded by mu
	ticks   int         // guarded by mu
}

// keep starts the timer of c unless it runs.
func (k *clock) keep(c *Cache) {
	if k.running.Load() || k.running.Swap(true) {
		return
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.stopped {
		return // and running stays
	}
	k.ticks = 0
	k.moment.Store(c.now())
	k.timer = time.AfterFunc(clockTick, func() { k.tick(c) })
}

func (k *clock) tick(c *Cache) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.stopped {
		return
	}
	if k.ticks++; k.ticks >= clockTicks {
		k.moment.Store(0)
		k.running.Store(false)
		return
	}
	k.moment.Store(c.now())
	k.timer.Reset(clockTick)
}

// stop ends the keeping for good.
func (k *clock) stop() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.stopped = true
	k.moment.Store(0)
	if k.timer != nil {
		k.timer.Stop()
	}
}

// sure tells whether it, whose meta is m, is fresh, as far as that can be told without
// reading the clock: by much more than the kept moment can be behind.
func (c *Cache) sure(it *Item, m uint32) bool {
	moment := c.clock.moment.Load()
	if moment == 0 || it.fresh-moment < clockSlack || m&(markGone|markSoft|markMoment) != 0 {
		return false
	}
	return layoutOf(m) == layoutPlain || it.tagged().checked.Load() == c.tags.epoch.Load()
}

// visit is one lookup, as its hit is counted.
type visit struct {
	stripe  *hitStripe
	now     int64 // moment when it began; 0: it was not needed
	timed   bool  // it is one of the few whose time is counted
	counted bool  // as a hit
}

// begun returns the moment when the lookup began, or now if it was taken for a hit.
func (v visit) begun(c *Cache) int64 {
	if v.now == 0 {
		return c.now()
	}
	return v.now
}

// find looks key up for a caller of v, and counts as a use. The visit has the moment
// unless the state is stateFresh.
func (v *View[V]) find(key string) (*Item, state, visit) {
	c := v.core.c
	vis := v.core.counters.visit(0)
	if vis.timed {
		vis.now = c.now()
	}
	it, ok := c.engine.Get(v.key(key))
	if ok {
		// Here, beside the atomic operations of the engine, since it is one that waits
		// for all reads before it: after the item it would wait for memory once more.
		vis.count()
		m := it.meta.Load()
		if ok = strategyOf(m) == v.core.id; ok && c.sure(it, m) {
			return it, stateFresh, vis
		}
	}
	if vis.now == 0 {
		vis.now = c.now()
	}
	st := stateMiss
	if ok {
		if vis.timed {
			c.clock.keep(c)
		}
		st = c.judge(it, vis.now, true)
	}
	if st != stateFresh && st != stateAhead {
		vis.uncount()
	}
	return it, st, vis
}
