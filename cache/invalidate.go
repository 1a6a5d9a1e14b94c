package cache

import (
	"context"
	"fmt"
	"slices"
)

// invalidate is DeleteTag (hard) and ExpireTag.
func (c *Cache) invalidate(ctx context.Context, tags []string, hard bool) error {
	if c.opts.Disabled || len(tags) == 0 {
		return nil
	}
	if c.closed.Load() {
		return ErrClosed
	}
	if slices.Contains(tags, "") {
		return fmt.Errorf("cache: invalidate: %w", errEmptyTag)
	}
	for _, tag := range tags {
		if co, _, ok := c.entryOf(tag); ok {
			co.counters.invalidations.Add(1)
		}
	}
	nodes := c.acquireAll(tags)
	defer c.tags.release(nodes...)
	var err error
	if c.remote != nil {
		// The second level first: a load that starts once memory is invalidated must
		// not find the old record there.
		_, err = c.remote.invalidate(ctx, namesOf(c.tags.closure(nodes)), !hard)
	}
	c.apply(nodes, tags, hard, 0, false)
	if err != nil {
		return fmt.Errorf("cache: invalidate: %w", err)
	}
	return nil
}

// pushed applies an invalidation of another node, at the position pos of the remote.
func (c *Cache) pushed(tags []string, soft bool, pos uint64) {
	nodes := c.acquireAll(tags)
	defer c.tags.release(nodes...)
	c.apply(nodes, slices.Clone(tags), !soft, pos, true)
}

// apply invalidates the nodes and all below them in memory. Entries that are named
// go before the stamps rise: then whoever read one of them had begun before, and is
// hit by the stamp of its node.
func (c *Cache) apply(nodes []*node, tags []string, hard bool, pos uint64, remote bool) {
	before := c.tags.closure(nodes)
	for _, n := range before {
		c.dropEntry(n.name, hard, pos)
	}
	reached := c.stamp(nodes, before, hard, pos)
	c.tellEvictions()
	if h := c.opts.Hooks.Invalidate; h != nil {
		ev := InvalidateEvent{Tags: slices.Clone(tags), Reached: namesOf(reached), Hard: hard, Remote: remote}
		c.guard(func() { h(ev) })
	}
}

// stamp raises the stamps of the nodes and of all below them, which it returns. An edge
// may have come since the caller dropped the entries of before: those below it go now.
func (c *Cache) stamp(nodes, before []*node, hard bool, pos uint64) []*node {
	reached := c.tags.stamp(nodes, hard)
	if slices.Equal(reached, before) { // by far the most are one node
		return reached
	}
	dropped := make(map[*node]struct{}, len(before))
	for _, n := range before {
		dropped[n] = struct{}{}
	}
	for _, n := range reached {
		if _, ok := dropped[n]; !ok {
			c.dropEntry(n.name, hard, pos)
		}
	}
	return reached
}

func (c *Cache) acquireAll(tags []string) []*node {
	nodes := make([]*node, len(tags))
	for i, tag := range tags {
		nodes[i] = c.tags.acquire(tag)
	}
	return nodes
}

func namesOf(nodes []*node) []string {
	names := make([]string, len(nodes))
	for i, n := range nodes {
		names[i] = n.name
	}
	return names
}

// dropEntry deletes or expires the entry that tag names, if it names one. With a
// position, an entry that was written after it stays.
func (c *Cache) dropEntry(tag string, hard bool, pos uint64) {
	if _, key, ok := c.entryOf(tag); ok {
		c.dropKey(key, hard, pos)
	}
}

func (c *Cache) dropKey(key Key, hard bool, pos uint64) {
	s := c.flights.shard(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.supersedeLocked(key)
	s.overtookLocked(key, pos)
	it, ok := c.get(key)
	if !ok || pos != 0 && it.position() >= pos {
		return
	}
	if !hard {
		it.retryNow() // whoever asks for a new value wants it tried
		it.expire(c.now())
		return
	}
	if c.engine.DeleteIf(key, it) {
		c.removed(it, deleted)
	}
}

// dropOlder deletes the entry of n if it is older than the stamps of n.
func (c *Cache) dropOlder(n *node) {
	_, key, ok := c.entryOf(n.name)
	if !ok {
		return
	}
	s := c.flights.shard(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	it, ok := c.get(key)
	switch {
	case !ok:
	case it.olderThan(n.hard.Load()):
		if c.engine.DeleteIf(key, it) {
			c.removed(it, deleted)
		}
	case it.olderThan(n.soft.Load()):
		it.expire(c.now())
	}
}

// wrote tells what depends on the entry of key that it was written by hand. The
// moment goes first: a loader that names the entry from now on looks for it.
func (c *Cache) wrote(co *core, key Key, hard bool) {
	c.flights.noteWrite(key, c.now())
	if c.tags.entry.Load() == 0 {
		return
	}
	tag := co.tagPrefix + key.ID
	if c.tags.find(tag) == nil {
		return
	}
	n := c.tags.acquire(tag)
	defer c.tags.release(n)
	below := c.tags.closure([]*node{n})
	for _, b := range below[1:] {
		c.dropEntry(b.name, hard, 0)
	}
	c.stamp([]*node{n}, below, hard, 0)
}

// catchUp invalidates n, the node of an entry's tag that the loader of cl has named
// just now, if the entry was written since the loader began, unseen by n.
func (c *Cache) catchUp(cl *call, n *node) {
	_, key, ok := c.entryOf(n.name)
	if !ok {
		return
	}
	if c.flights.lastWrite(key).Load() < cl.begun || !unmoved([]*node{n}, cl.flights[0].stamp) {
		return
	}
	cl.missed.Store(true)
	c.tags.stamp([]*node{n}, false)
}

// watchEntry makes sure that, from now on, the tag of an entry is hit by what
// invalidates the entry, although nobody loads it through its dependent.
func (c *Cache) watchEntry(tag string) {
	if !isEntryTag(tag) {
		return
	}
	n := c.tags.acquire(tag)
	defer c.tags.release(n)
	if !n.linked.Swap(true) {
		c.tags.linked.Add(1)
	}
	if co, key, ok := c.entryOf(tag); ok { // else its view may come later
		c.linkEntry(n, co, key)
	}
}

// linkEntry hangs n, the node of the entry of key, below all that the entry depends
// on now; an entry that is not there will have the tags of its strategy at least.
// Nodes are acquired by name, since the item may leave at any moment.
func (c *Cache) linkEntry(n *node, co *core, key Key) {
	it, ok := c.get(key)
	if !ok {
		c.tags.linkMore(n, co.static)
	}
	for ok {
		parents := c.acquireAll(namesOf(it.tags()))
		changed := c.tags.link(n, parents)
		c.tags.release(parents...)
		if changed {
			// What depended on the entry also depended on the tags that it had before.
			c.wrote(co, key, true)
		}
		for _, below := range c.tags.closure([]*node{n})[1:] {
			c.dropOlder(below)
		}
		linked := it
		if it, ok = c.get(key); it == linked {
			return
		}
	}
}

// stored keeps the derived edges of a newly stored entry up to date.
func (c *Cache) stored(co *core, id string) {
	if c.tags.linked.Load() == 0 {
		return
	}
	n := c.tags.find(co.tagPrefix + id)
	if n == nil || !n.linked.Load() {
		return
	}
	n = c.tags.acquire(n.name)
	c.linkEntry(n, co, Key{Strategy: co.id, ID: id})
	c.tags.release(n)
}
