package cache

import (
	"context"
	"time"
	"weak"
)

// sweepShare bounds the share of one core that sweeping takes: a walk is followed
// by a pause of at least that many times its duration.
const sweepShare = 100

// armSweep makes a sweep come after SweepInterval. The timer does not keep a
// forgotten cache alive, and no goroutine waits for it.
func (c *Cache) armSweep() {
	if c.armed.Load() || c.opts.SweepInterval < 0 {
		return
	}
	c.armSweepIn(c.opts.SweepInterval)
}

func (c *Cache) armSweepIn(d time.Duration) {
	if _, ok := c.engine.(ranger); !ok || c.armed.Swap(true) {
		return
	}
	c.lifeMu.Lock()
	defer c.lifeMu.Unlock()
	if c.closed.Load() {
		return
	}
	w := weak.Make(c)
	c.sweeps = time.AfterFunc(d, func() {
		if c := w.Value(); c != nil {
			c.spawn(c.sweepAndArm)
		}
	})
}

func (c *Cache) sweepAndArm() {
	begun := c.now()
	c.sweep(c.ctx)
	c.armed.Store(false)
	if c.liveBytes() > 0 {
		c.armSweepIn(max(c.opts.SweepInterval, time.Duration(sweepShare*(c.now()-begun))))
	}
}

// sweep frees the entries that nothing can serve any more.
func (c *Cache) sweep(ctx context.Context) {
	r, ok := c.engine.(ranger)
	if !ok {
		return
	}
	now := c.now()
	var dead []aged
	n := 0
	r.Range(func(key Key, it *Item) bool {
		if c.judge(it, now, false) == stateMiss {
			dead = append(dead, aged{key, it})
		}
		n++
		return n%1024 != 0 || ctx.Err() == nil
	})
	for _, d := range dead {
		if c.engine.DeleteIf(d.key, d.it) {
			c.coreOf(d.it).counters.swept.Add(1)
			c.removed(d.it, c.causeOf(d.it, now))
		}
	}
}

// causeOf tells why it was dead at the moment now.
func (c *Cache) causeOf(it *Item, now int64) cause {
	if now < c.deadOf(it) && it.layout() >= layoutTagged && !c.recheck(it, c.tags.epoch.Load(), now) {
		return deleted
	}
	return expired
}
