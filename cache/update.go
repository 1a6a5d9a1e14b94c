package cache

import "context"

// Update keeps the entry of key through a change of what it was loaded from: where
// memory holds a fresh value, fn makes the new one of it, and elsewhere Update is
// [View.Delete]. Call it after the change is visible to loaders. When it returns nil,
// nobody is served a value from before the change: neither the old one, nor that of a
// load under way, which is not stored.
//
// The entry keeps what it depends on and the end of its freshness; an invalidation
// meanwhile wins. What depends on key is deleted. fn runs on the caller's goroutine
// without locks. It must be pure, leave old as it is, since others read it, and leave
// out what old shows already: it may be called again when another write came between,
// and its value may have been loaded after the change. It returns false to have the
// entry deleted, and so does a panic of it, which is returned as a *PanicError. A
// value that is too large to be stored is deleted too.
//
// With a second level Update always deletes: what another node changes at the same
// time might be in neither value. The other errors are those of [View.Delete].
func (v *View[V]) Update(ctx context.Context, key string, fn func(old V) (V, bool)) error {
	c := v.core.c
	for c.remote == nil && !c.bypass() {
		// The epoch first: whatever is invalidated from now on hits the new item as well.
		stamp := c.tags.epoch.Load()
		old, st := c.lookup(v.key(key), c.now())
		if st != stateFresh && st != stateAhead {
			break
		}
		it, err := v.successor(key, old, stamp, fn)
		if it == nil {
			if e := v.Delete(ctx, key); err == nil {
				err = e
			}
			return err
		}
		if c.swap(v.key(key), old, it) {
			c.wrote(v.core, v.key(key), true)
			c.stored(v.core, key)
			c.tellEvictions()
			return nil
		}
	}
	return v.Delete(ctx, key)
}

// successor makes the item that follows old, or nil if there is to be none. It holds
// references of the nodes of old.
func (v *View[V]) successor(key string, old *Item, stamp uint64, fn func(V) (V, bool)) (it *Item, err error) {
	c, static := v.core.c, len(v.core.static)
	var nodes []*node // by name: old may leave at any moment, and a forgotten node is deaf
	if tags := old.tags(); len(tags) > static {
		nodes = append(tags[:static:static], c.acquireAll(namesOf(tags[static:]))...)
	}
	err = capture(func() error {
		val, err := v.value(old)
		if err != nil {
			return nil // damaged, or the absence of a value
		}
		val, ok := fn(val)
		if !ok {
			return nil
		}
		if v.s.Clone != nil {
			val = v.s.Clone(val)
		}
		it, _ = v.newItem(key, loaded{value: val, nodes: nodes, stamp: stamp, begun: c.now()})
		return nil
	})
	if it == nil {
		c.tags.release(nodes[min(static, len(nodes)):]...)
		return nil, err
	}
	it.follow(old)
	return it, nil
}

// follow gives it, which is new, the moments of old.
func (it *Item) follow(old *Item) {
	it.fresh = old.fresh
	if it.layout() >= layoutWindowed && old.layout() >= layoutWindowed {
		it.windowed().retry.Store(old.windowed().retry.Load())
		it.meta.Or(old.meta.Load() & markMoment)
	}
	if it.layout() == layoutFull && old.layout() == layoutFull {
		it.full().dead = old.full().dead
	}
}

// swap puts it in the place of old, unless old has been replaced, has left, or is dead.
// A load under way is not stored. The references of it go back if it was not stored.
func (c *Cache) swap(key Key, old, it *Item) (swapped bool) {
	s := c.flights.shard(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	if cur, st := c.lookup(key, c.now()); cur != old || st != stateFresh && st != stateAhead {
		if nodes, static := it.tags(), len(c.coreOf(it).static); len(nodes) > static {
			c.tags.release(nodes[static:]...)
		}
		return false
	}
	s.supersedeLocked(key)
	if c.store(key, it) != nil {
		c.dropLocked(key)
	}
	c.armSweep()
	return true
}
