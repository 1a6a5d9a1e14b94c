package cache

import (
	"math"
	"math/rand/v2"
)

// engineBytes is what an engine keeps for an entry, about: the node is 64 bytes with the
// key, and table and sketch take some 30.
const engineBytes = 96

// newItem makes the item of a value, and its frame if the second level takes it.
func (v *View[V]) newItem(id string, ld loaded) (*Item, []byte) {
	c, co := v.core.c, v.core
	nodes := ld.nodes
	if nodes == nil {
		nodes = co.static
	}
	if own := nodes[len(co.static):]; len(own) > 0 && cap(nodes) > len(nodes) {
		nodes = append(make([]*node, 0, len(nodes)), nodes...) // for as long as the entry lives
	}
	l := co.layoutFor(ld.keep > 0, len(nodes))
	it, bytes, frame := v.hold(l, ld.value)
	it.meta.Or(co.id)
	it.attach(nodes)
	v.date(it, ld)
	bytes += co.overhead(id, len(nodes))
	it.weigh(c, bytes)
	if l == layoutFull {
		f := it.full()
		f.rpos, f.rgen, f.verified, f.id = ld.rpos, ld.rgen, ld.begun, id
	}
	return it, frame
}

// layoutFor returns the smallest layout that will do. keep: it has an end of its own.
func (co *core) layoutFor(keep bool, tags int) layout {
	c := co.c
	switch {
	case c.remote != nil || c.opts.Hooks.Evict != nil || co.idle > 0 || keep || tags > tagsMax:
		return layoutFull
	case co.swr > 0 || co.sie > 0 || co.ahead > 0:
		return layoutWindowed
	case tags > 0 || c.tags.linked.Load() > 0:
		return layoutTagged
	}
	return layoutPlain
}

// hold puts what was loaded into an item, in the form that the strategy asks for, and
// counts its bytes.
func (v *View[V]) hold(l layout, loaded any) (it *Item, bytes int64, frame []byte) {
	if neg, ok := loaded.(negative); ok {
		it, size := makeItem(l, kindNegative, neg)
		return it, int64(size) + 64, nil
	}
	val, _ := loaded.(V) // a nil interface is a value too
	live := v.sizeOf(val)
	c := v.core.c
	shared := v.core.shared && c.remote != nil
	if v.s.Codec != nil && (v.s.Compression != None || shared) {
		f, plain, compressed, err := v.encode(val)
		if err == nil {
			if shared {
				frame = f
			}
			if compressed {
				it, size := makeItem(l, kindPacked, packed{frame: f, saved: int64(plain - len(f))})
				return it, int64(size) + int64(cap(f)), frame
			}
		}
	}
	it, size := makeItem(l, kindValue, val)
	return it, addMoment(int64(size), live), frame
}

// date sets the moments of it.
func (v *View[V]) date(it *Item, ld loaded) {
	co := v.core
	now := co.c.now()
	ttl := co.ttl
	if ld.ttl > 0 {
		ttl = ld.ttl
	}
	if co.jitter > 0 && ttl < never {
		ttl -= int64(float64(ttl) * co.jitter * rand.Float64())
	}
	it.fresh = addMoment(now, max(ttl, 1))
	l := it.layout()
	if l >= layoutTagged {
		it.tagged().stamp = ld.stamp
		it.tagged().checked.Store(ld.stamp)
	}
	if l >= layoutWindowed {
		at := int64(never)
		if co.ahead > 0 && ttl < never && it.kind() != kindNegative {
			at = now + int64(float64(ttl)*co.ahead)
			it.meta.Or(markMoment)
		}
		it.windowed().retry.Store(at)
	}
	if l == layoutFull {
		f := it.full()
		f.used.Store(now)
		f.dead = co.deadline(it)
		if ld.keep > 0 {
			f.dead = addMoment(now, ld.keep)
		}
		if co.idle > 0 || co.c.remote != nil {
			it.meta.Or(markMoment)
		}
	}
}

// weigh sets what it counts for.
func (it *Item) weigh(c *Cache, bytes int64) {
	if n := int64(c.opts.MaxEntries); n > 0 {
		if c.opts.MaxBytes == 0 {
			it.meta.Or(markUnit)
		} else {
			bytes = max(bytes, (c.opts.MaxBytes+n-1)/n)
		}
	}
	if bytes < 0 || bytes > math.MaxUint32 {
		bytes = tooLarge
	}
	it.bytes = uint32(bytes)
}

// addMoment adds a duration to a moment without overflow.
func addMoment(at, d int64) int64 {
	if d >= never-at {
		return never
	}
	return at + d
}
