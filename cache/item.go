package cache

import (
	"sync/atomic"
	"time"
	"unsafe"
)

// Item is one entry as an [Engine] holds it. Engines keep the pointer and ask for
// the weight; everything else is the cache's own. An Item never changes its weight.
type Item struct {
	key    Key
	core   *core
	value  any     // a V, a packed or a negative
	nodes  []*node // what the entry depends on; refs are held until it left
	stamp  uint64  // the epoch before the value was loaded
	weight int64
	bytes  int64

	fresh int64        // moments, in nanoseconds since Cache.start
	dead  int64        // no stale window reaches further
	retry atomic.Int64 // when to refresh ahead; below 0: less the moment of the last failed load

	rpos     uint64 // position on the Remote before the load; 0: unknown
	rgen     uint64 // generation of the push connection at the load; 0: none
	verified int64  // moment of the load, for TagRecheck

	checked atomic.Uint64 // last epoch at which the stamps were found good
	soft    atomic.Int64  // moment of the first Expire; 0: none
	used    atomic.Int64  // moment of the last read, for Idle
	gone    atomic.Bool   // it left the engine and is accounted for
	setting atomic.Int32  // used by the otter engine
	byHand  bool          // by Set
}

// Weight returns what the item counts for in EngineOptions.MaxWeight: its bytes,
// or 1 when only the number of entries is bounded. Always above 0.
func (it *Item) Weight() int64 { return it.weight }

// negative is the value of a cached absence.
type negative struct{ err error }

// packed is a value kept as framed codec bytes.
type packed struct {
	frame []byte
	saved int64 // bytes that compression saved
}

const itemOverhead = int64(unsafe.Sizeof(Item{})) + 96 // 96: the engine's own node

// state is what a lookup found out about an item.
type state int

const (
	stateMiss  state = iota // absent, dead or unverified
	stateFresh              // serve it
	stateAhead              // serve it and start a refresh
	stateStale              // not fresh; the caller looks at the windows
)

// now returns the moment in nanoseconds since c was made, from the monotonic clock.
// It is never 0, which stands for "none".
func (c *Cache) now() int64 { return int64(time.Since(c.start)) + 1 }

// judge tells what it is good for at the moment now. With touch that is a use of it.
func (c *Cache) judge(it *Item, now int64, touch bool) state {
	if now >= it.dead || it.gone.Load() {
		return stateMiss
	}
	if epoch := c.tags.epoch.Load(); it.checked.Load() != epoch {
		if !c.recheck(it, epoch, now) {
			return stateMiss
		}
	}
	if idle := it.core.idle; idle > 0 {
		used := it.used.Load()
		if now-used >= idle {
			return stateMiss
		}
		if touch && now-used > idle/16 {
			it.used.Store(now)
		}
	}
	if c.remote != nil && !c.remote.trusts(it, now) {
		return stateMiss
	}
	if now >= it.fresh || it.soft.Load() != 0 {
		return stateStale
	}
	if at := it.retry.Load(); at >= 0 && now >= at || at < 0 && !it.resting(now) {
		return stateAhead
	}
	return stateFresh
}

// A load that fails while an old value may answer is not tried again for failRest;
// and until failGrace after the last failure it is tried in the background.
const (
	failRest  = int64(time.Second)
	failGrace = int64(time.Minute)
)

// failed notes that a load of the entry failed at the moment now.
func (it *Item) failed(now int64) { it.retry.Store(-now) }

// resting tells whether a load failed just now, so that another one waits.
func (it *Item) resting(now int64) bool {
	at := it.retry.Load()
	return at < 0 && now+at < failRest
}

// failing tells whether the next load of the entry will presumably fail too.
func (it *Item) failing(now int64) bool {
	at := it.retry.Load()
	return at < 0 && now+at < failGrace
}

// servable tells whether the stale it may answer without waiting for a load: within
// StaleWhileRevalidate if revalidate, or within StaleIfError after a failure.
func (it *Item) servable(now int64, revalidate bool) bool {
	return revalidate && it.within(it.core.swr, now) || it.failing(now) && it.within(it.core.sie, now)
}

// within tells whether the stale it is within a window. Another reader, with a later
// now, may have set the end of its freshness: without a window, now before that end
// means nothing.
func (it *Item) within(window, now int64) bool {
	return window > 0 && now < addMoment(it.staleSince(), window)
}

// recheck compares the stamps of the item's tags with its own; false: hard dead.
// epoch was read before, so that what is published later is looked at again.
func (c *Cache) recheck(it *Item, epoch uint64, now int64) bool {
	soft := false
	for _, n := range it.nodes {
		if n.hard.Load() > it.stamp {
			return false
		}
		soft = soft || n.soft.Load() > it.stamp
	}
	if soft {
		it.expire(now)
	}
	it.checked.Store(epoch)
	return true
}

// expire ends the freshness of it at the moment now, unless that was done before.
func (it *Item) expire(now int64) { it.soft.CompareAndSwap(0, now) }

// staleSince returns the moment when freshness ended or will end.
func (it *Item) staleSince() int64 {
	if s := it.soft.Load(); s != 0 {
		return min(s, it.fresh)
	}
	return it.fresh
}
