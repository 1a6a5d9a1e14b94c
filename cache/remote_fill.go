package cache

import (
	"context"
	"slices"
	"time"
)

const remoteKeepMax = 365 * 24 * time.Hour

// fill ends f with the record of the second level, if that has a good one.
func (v *View[V]) fill(cl *call, f *flight) bool {
	rl := v.core.c.remote
	if rl == nil || !v.core.shared || !rl.usable(cl.ctx) {
		return false
	}
	// Get compares the positions, so that the record is as good as of now, although the
	// call may have begun long ago.
	begun, gen := v.core.c.now(), rl.gen.Load()
	rec := rl.get(cl.ctx, v.core, f.key.ID)
	if rec == nil {
		return false
	}
	for _, n := range v.core.static {
		if !slices.Contains(rec.Tags, n.name) {
			return false // written before the strategy had this tag
		}
	}
	val, err := v.decode(rec.Data)
	if err != nil {
		v.core.counters.decodeErrors.Add(1)
		_ = rl.result("decode", err)
		return false
	}
	ld := loaded{value: val, stamp: f.stamp, begun: begun, rpos: rec.Position, rgen: gen,
		ttl: int64(rec.Fresh - rec.Age), keep: int64(rec.Keep - rec.Age)}
	ld.nodes = v.nodesOf(rec.Tags, f.key.ID)
	res := result{value: val}
	if err := capture(func() error { res.item, _ = v.newItem(f.key.ID, ld); return nil }); err != nil {
		res = result{err: err}
	}
	v.core.counters.remoteHits.Add(1)
	stored := v.core.c.finish(f, res, ld.nodes)
	v.tellLoad(cl, []string{f.key.ID}, LoadEvent{Remote: true, Stored: stored, Err: res.err})
	return true
}

// nodesOf returns the nodes of a record: the strategy's own, then the others with a
// reference each, without the entry's own tag.
func (v *View[V]) nodesOf(tags []string, id string) []*node {
	c := v.core.c
	nodes := slices.Clone(v.core.static)
	self := v.Tag(id)
	for _, tag := range tags {
		if tag == self || tag == "" || slices.ContainsFunc(nodes, func(n *node) bool { return n.name == tag }) {
			continue
		}
		nodes = append(nodes, c.tags.acquire(tag))
	}
	return nodes
}

// writeRemote gives a stored value to the second level.
func (v *View[V]) writeRemote(ctx context.Context, id string, it *Item, frame []byte, pos uint64) {
	c := v.core.c
	if c.remote == nil || frame == nil || pos == 0 || !c.remote.usable(ctx) {
		return
	}
	now := c.now()
	rec := &Record{Version: v.core.version, Codec: v.core.codec, Data: frame, Position: pos,
		Tags:  c.tags.namesAbove(it.tags(), v.Tag(id)),
		Fresh: min(time.Duration(it.fresh-now), remoteKeepMax),
		Keep:  min(time.Duration(c.deadOf(it)-now), remoteKeepMax)}
	if rec.Fresh > 0 {
		c.remote.set(ctx, v.core, id, rec)
	}
}

// invalidateEntry tells the other nodes that the entry of key is about to be
// written, and returns the position for its record; 0 if a later write of the same key
// overtook it, or with an error.
func (rl *remoteLevel) invalidateEntry(ctx context.Context, co *core, id string) (uint64, error) {
	tag := co.tagPrefix + id
	tags := []string{tag}
	if n := rl.c.tags.find(tag); n != nil {
		tags = namesOf(rl.c.tags.closure([]*node{n}))
	}
	return rl.invalidate(ctx, tags, false)
}
