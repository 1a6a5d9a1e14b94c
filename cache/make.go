package cache

import "math/rand/v2"

// newItem makes the item of a value, and its frame if the second level takes it.
func (v *View[V]) newItem(id string, ld loaded) (*Item, []byte) {
	c, co := v.core.c, v.core
	now := c.now()
	it := &Item{key: Key{Strategy: co.id, ID: id}, core: co, value: ld.value, nodes: ld.nodes, stamp: ld.stamp,
		rpos: ld.rpos, rgen: ld.rgen, verified: ld.begun}
	if it.nodes == nil {
		it.nodes = co.static
	}
	it.checked.Store(ld.stamp)
	it.used.Store(now)
	ttl := co.ttl
	if ld.ttl > 0 {
		ttl = ld.ttl
	}
	if co.jitter > 0 && ttl < never {
		ttl -= int64(float64(ttl) * co.jitter * rand.Float64())
	}
	it.fresh = addMoment(now, max(ttl, 1))
	it.dead = it.fresh
	it.retry.Store(never)
	it.bytes = itemOverhead + int64(len(id)) + int64(cap(it.nodes)-len(co.static))*8
	val, _ := ld.value.(V) // a nil interface is a value too
	if _, neg := ld.value.(negative); neg {
		it.bytes += 64
		it.weigh(c)
		return it, nil
	}
	it.dead = addMoment(it.fresh, max(co.swr, co.sie))
	if ld.keep > 0 {
		it.dead = addMoment(now, ld.keep)
	}
	if co.ahead > 0 && ttl < never {
		it.retry.Store(now + int64(float64(ttl)*co.ahead))
	}
	frame := v.fit(it, val)
	it.weigh(c)
	return it, frame
}

// fit chooses how it holds val, and counts its bytes.
func (v *View[V]) fit(it *Item, val V) (frame []byte) {
	c := v.core.c
	live := v.sizeOf(val)
	if v.s.Codec != nil && (v.s.Compression != None || c.remote != nil) {
		f, plain, compressed, err := v.encode(val)
		if err == nil {
			if c.remote != nil {
				frame = f
			}
			if compressed {
				saved := int64(plain - len(f))
				it.value = packed{frame: f, saved: saved}
				it.bytes += int64(cap(f)) + 40
				return frame
			}
		}
	}
	it.bytes += live
	return frame
}

// weigh sets what it counts for.
func (it *Item) weigh(c *Cache) {
	it.weight = it.bytes
	if n := int64(c.opts.MaxEntries); n > 0 {
		if c.opts.MaxBytes == 0 {
			it.weight = 1
			return
		}
		it.weight = max(it.weight, (c.opts.MaxBytes+n-1)/n)
	}
}

// addMoment adds a duration to a moment without overflow.
func addMoment(at, d int64) int64 {
	if d >= never-at {
		return never
	}
	return at + d
}
