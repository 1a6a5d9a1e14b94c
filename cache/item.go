package cache

import (
	"sync/atomic"
	"time"
)

// Item is one entry as an [Engine] holds it. Engines keep the pointer and ask for
// the weight; everything else is the cache's own. An Item never changes its weight.
//
// A million entries make every field count, so an Item is the head of one of four
// layouts, each of which contains the one before it, and the value follows in the same
// allocation: see layouts.go.
type Item struct {
	box                 // empty, but with the tag perfblocks_safe
	fresh int64         // moment, in nanoseconds since Cache.start
	bytes uint32        // what it counts for; tooLarge: no engine takes it
	meta  atomic.Uint32 // strategy, layout, kind, tags and marks, as below
}

// What meta holds: the strategy in the low 16 bits, then the layout, the kind of the
// value, the marks, and the number of tags in the high 6 bits.
const (
	strategyBits = 16
	layoutShift  = strategyBits
	kindShift    = layoutShift + 2
	tagsShift    = 26

	markGone    = 1 << 20 // it left the engine and is accounted for
	markSoft    = 1 << 21 // it was expired before its time
	markMoment  = 1 << 22 // how good it is cannot be told without the moment: see sure
	markUnit    = 1 << 23 // its weight is 1
	markRunning = 1 << 24 // of the otter engine: a Set of it runs
	markRefused = 1 << 25 // of the otter engine: that Set was refused

	strategiesMax = 1 << strategyBits
	tagsMax       = 1<<(32-tagsShift) - 1 // with more it is a full item
	tooLarge      = 1<<32 - 1
)

// kind says what an item holds.
type kind uint32

const (
	kindValue    kind = iota // a V
	kindPacked               // a packed
	kindNegative             // a negative
	kindSealed               // a sealed
)

// Weight returns what the item counts for in EngineOptions.MaxWeight: its bytes,
// or 1 when only the number of entries is bounded. Always above 0.
func (it *Item) Weight() int64 {
	if it.meta.Load()&markUnit != 0 {
		return 1
	}
	return int64(it.bytes)
}

func strategyOf(meta uint32) uint32   { return meta & (strategiesMax - 1) }
func (it *Item) strategy() uint32     { return strategyOf(it.meta.Load()) }
func (it *Item) kind() kind           { return kind(it.meta.Load()>>kindShift) & 3 }
func (it *Item) marked(m uint32) bool { return it.meta.Load()&m != 0 }

// negative is the value of a cached absence.
type negative struct{ err error }

// packed is a value kept as framed codec bytes.
type packed struct {
	frame []byte
	saved int64 // bytes that compression saved
}

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
	m := it.meta.Load()
	if m&markGone != 0 || now >= it.fresh && now >= c.deadOf(it) {
		return stateMiss
	}
	l := layoutOf(m)
	if l >= layoutTagged {
		if epoch := c.tags.epoch.Load(); it.tagged().checked.Load() != epoch && !c.recheck(it, epoch, now) {
			return stateMiss
		}
	}
	if l == layoutFull && !c.judgeFull(it.full(), now, touch) {
		return stateMiss
	}
	if now >= it.fresh || it.marked(markSoft) {
		return stateStale
	}
	if l >= layoutWindowed {
		if at := it.windowed().retry.Load(); at >= 0 && now >= at || at < 0 && !it.resting(now) {
			return stateAhead
		}
	}
	return stateFresh
}

// judgeFull tells whether f was read often enough and whether the remote lets it be
// served.
func (c *Cache) judgeFull(f *full, now int64, touch bool) bool {
	if idle := c.coreOf(&f.Item).idle; idle > 0 {
		used := f.used.Load()
		if now-used >= idle {
			return false
		}
		if touch && now-used > idle/16 {
			f.used.Store(now)
		}
	}
	return c.remote == nil || c.remote.trusts(&f.Item, now)
}

// deadOf returns the moment that no stale window of it reaches beyond.
func (c *Cache) deadOf(it *Item) int64 {
	switch it.layout() {
	case layoutFull:
		return it.full().dead
	case layoutWindowed:
		return c.coreOf(it).deadline(it)
	}
	return it.fresh
}

// deadline returns the end of the stale windows of an item of co.
func (co *core) deadline(it *Item) int64 {
	if it.kind() == kindNegative {
		return it.fresh
	}
	return addMoment(it.fresh, max(co.swr, co.sie))
}

// A load that fails while an old value may answer is not tried again for failRest;
// and until failGrace after the last failure it is tried in the background.
const (
	failRest  = int64(time.Second)
	failGrace = int64(time.Minute)
)

// failed notes that a load of the entry failed at the moment now. It means nothing to
// an entry that has no windows and is not refreshed ahead.
func (it *Item) failed(now int64) {
	if it.layout() >= layoutWindowed {
		it.windowed().retry.Store(-now)
		it.meta.Or(markMoment)
	}
}

// retryNow forgets that a load of the entry failed: the next one is wanted.
func (it *Item) retryNow() {
	if it.layout() >= layoutWindowed {
		it.windowed().retry.Store(never)
	}
}

// failedFor tells for how long ago at most a load of the entry failed.
func (it *Item) failedWithin(d, now int64) bool {
	if it.layout() < layoutWindowed {
		return false
	}
	at := it.windowed().retry.Load()
	return at < 0 && now+at < d
}

// resting tells whether a load failed just now, so that another one waits.
func (it *Item) resting(now int64) bool { return it.failedWithin(failRest, now) }

// failing tells whether the next load of the entry will presumably fail too.
func (it *Item) failing(now int64) bool { return it.failedWithin(failGrace, now) }

// servable tells whether the stale it, of co, may answer without waiting for a load:
// within StaleWhileRevalidate if revalidate, or within StaleIfError after a failure.
func (it *Item) servable(co *core, now int64, revalidate bool) bool {
	return revalidate && it.within(co.swr, now) || it.failing(now) && it.within(co.sie, now)
}

// within tells whether the stale it is within a window. Another reader, with a later
// now, may have set the end of its freshness: without a window, now before that end
// means nothing.
func (it *Item) within(window, now int64) bool {
	return window > 0 && now < addMoment(it.staleSince(), window)
}

// olderThan tells whether it was loaded before the epoch stamp of its own tag. Of a
// plain item that is not known: then any stamp makes it old, at the cost of a load.
func (it *Item) olderThan(stamp uint64) bool {
	if it.layout() == layoutPlain {
		return stamp > 0
	}
	return it.tagged().stamp < stamp
}

// recheck compares the stamps of the item's tags with its own; false: hard dead.
// epoch was read before, so that what is published later is looked at again.
func (c *Cache) recheck(it *Item, epoch uint64, now int64) bool {
	soft := false
	for _, n := range it.tags() {
		if n.hard.Load() > it.tagged().stamp {
			return false
		}
		soft = soft || n.soft.Load() > it.tagged().stamp
	}
	if soft {
		it.expire(now)
	}
	it.tagged().checked.Store(epoch)
	return true
}

// expire ends the freshness of it at the moment now, unless that was done before. The
// moment comes before the mark: who sees the mark asks for it.
func (it *Item) expire(now int64) {
	if it.layout() >= layoutWindowed {
		it.windowed().soft.CompareAndSwap(0, now)
	}
	it.meta.Or(markSoft)
}

// staleSince returns the moment when freshness ended or will end.
func (it *Item) staleSince() int64 {
	if it.layout() >= layoutWindowed {
		if s := it.windowed().soft.Load(); s != 0 {
			return min(s, it.fresh)
		}
	}
	return it.fresh
}

// position returns what the Remote's position was before the load; 0: unknown.
func (it *Item) position() uint64 {
	if it.layout() == layoutFull {
		return it.full().rpos
	}
	return 0
}

// leave marks it as gone and tells whether it was not.
func (it *Item) leave() bool { return it.meta.Or(markGone)&markGone == 0 }
