package cache

import (
	"context"
	"errors"
	"fmt"
	"iter"
)

// View is the typed door to the entries of one strategy. It is safe for concurrent
// use and must not be copied. Make one with [Add].
type View[V any] struct {
	core *core
	s    Strategy[V]
}

// Get returns the value of key if memory holds a fresh one. It never loads, and
// never serves a stale value. Inside a loader it makes the loaded entry depend on
// key, whether present or not. A value of a strategy without Clone is shared: do
// not modify it.
func (v *View[V]) Get(ctx context.Context, key string) (V, bool) {
	var zero V
	c := v.core.c
	if c.bypass() {
		return zero, false
	}
	rec := c.recorder(ctx)
	if rec != nil {
		rec.add(v.Tag(key))
	}
	it, st, vis := v.find(key)
	if st == stateFresh && rec == nil && v.bare(it, vis) {
		return *held[V](it), true
	}
	if st == stateFresh || st == stateAhead {
		if val, err, ok := v.serve(key, it, rec, vis); ok {
			return val, err == nil
		}
	}
	v.core.counters.miss(c.now() - vis.begun(c))
	return zero, false
}

// Set stores val for key, fresh for the TTL of the strategy and with its Tags. When
// it returns nil, Get returns val until something newer, an invalidation or an
// eviction. What depends on key is deleted, and a load of key under way is not
// stored. Errors: ErrTooLarge and ErrClosed, and then the old value is gone too; or
// that of the second level, and then memory holds val.
func (v *View[V]) Set(ctx context.Context, key string, val V) error {
	c := v.core.c
	if c.opts.Disabled {
		return nil
	}
	if c.closed.Load() {
		return ErrClosed
	}
	if v.s.Clone != nil {
		val = v.s.Clone(val)
	}
	ld := loaded{value: val, stamp: c.tags.epoch.Load(), begun: c.now()}
	var remoteErr error
	if c.remote != nil {
		c.flights.beginSet(v.key(key))
		defer c.flights.endSet(v.key(key))
		ld.rgen = c.remote.gen.Load()
		ld.rpos, remoteErr = c.remote.invalidateEntry(ctx, v.core, key)
	}
	if c.remote != nil && remoteErr == nil && ld.rpos == 0 {
		// A later Set or Delete overtook this one on the way to the other nodes, and
		// may have been here already.
		c.dropKey(v.key(key), true, 0)
		c.wrote(v.core, v.key(key), true)
		return nil
	}
	it, frame := v.newItem(key, ld)
	if it.layout() == layoutFull {
		it.full().byHand = true
	}
	err := c.put(v.key(key), it)
	if err == errOvertaken {
		return nil // the later Set did all the rest
	}
	c.wrote(v.core, v.key(key), true)
	c.stored(v.core, key)
	c.tellEvictions()
	if err != nil && c.closed.Load() {
		return ErrClosed // whatever a closed engine says
	}
	if err != nil {
		return fmt.Errorf("cache: set: %w", err)
	}
	if remoteErr != nil {
		return fmt.Errorf("cache: set: %w", remoteErr)
	}
	v.writeRemote(ctx, key, it, frame, ld.rpos)
	return nil
}

// Delete removes the keys, and all that depends on them: they are not served again,
// not even as stale. A load under way answers those who waited before and is not
// stored. Unknown keys are fine. The error is ErrClosed or that of the second level.
func (v *View[V]) Delete(ctx context.Context, keys ...string) error {
	return v.invalidate(ctx, keys, true)
}

// Expire ends the freshness of the keys and of all that depends on them; they still
// serve within their stale windows. Otherwise it is like [View.Delete].
func (v *View[V]) Expire(ctx context.Context, keys ...string) error {
	return v.invalidate(ctx, keys, false)
}

func (v *View[V]) invalidate(ctx context.Context, keys []string, hard bool) error {
	c := v.core.c
	tags := make([]string, len(keys))
	for i, k := range keys {
		tags[i] = v.Tag(k)
	}
	if c.remote != nil || c.opts.Hooks.Invalidate != nil || c.bypass() {
		return c.invalidate(ctx, tags, hard)
	}
	for _, k := range keys {
		v.core.counters.invalidations.Add(1)
		c.dropKey(v.key(k), hard, 0)
		c.wrote(v.core, v.key(k), hard)
	}
	return nil
}

// Tag returns the tag of the entry of key, for [Entry.DependsOn], [Cache.Depend],
// [Cache.DeleteTag] and [Cache.ExpireTag]. Its form is "@" + strategy + ":" + key.
func (v *View[V]) Tag(key string) string { return v.core.tagPrefix + key }

// All yields the keys and fresh values in memory, in no order, while others write.
// It does not count as use. It yields nothing with an engine that has no Range.
func (v *View[V]) All() iter.Seq2[string, V] {
	return func(yield func(string, V) bool) {
		for id, it := range v.items() {
			if val, err := v.value(it); err == nil && !yield(id, val) {
				return
			}
		}
	}
}

// Keys yields the keys of all fresh values in memory, like [View.All].
func (v *View[V]) Keys() iter.Seq[string] {
	return func(yield func(string) bool) {
		for id := range v.items() {
			if !yield(id) {
				return
			}
		}
	}
}

func (v *View[V]) items() iter.Seq2[string, *Item] {
	return func(yield func(string, *Item) bool) {
		c := v.core.c
		r, ok := c.engine.(ranger)
		if !ok || c.bypass() {
			return
		}
		var mine []aged // the engine may hold locks during Range
		r.Range(func(key Key, it *Item) bool {
			if key.Strategy == v.core.id && it.strategy() == v.core.id {
				mine = append(mine, aged{key, it})
			}
			return true
		})
		now := c.now()
		for _, m := range mine {
			if m.it.kind() == kindNegative {
				continue
			}
			if st := c.judge(m.it, now, false); (st == stateFresh || st == stateAhead) && !yield(m.key.ID, m.it) {
				return
			}
		}
	}
}

// Len returns the number of entries in memory, dead and negative ones included.
func (v *View[V]) Len() int { return int(v.core.counters.entries.Load()) }

// Stats returns the figures of this strategy.
func (v *View[V]) Stats() Stats { return v.core.counters.stats() }

func (v *View[V]) key(id string) Key { return Key{Strategy: v.core.id, ID: id} }

// get asks the engine for key. The item of another strategy is not believed, whatever the
// engine says: its value has another type.
func (c *Cache) get(key Key) (*Item, bool) {
	it, ok := c.engine.Get(key)
	return it, ok && it.strategy() == key.Strategy
}

// lookup asks the engine for key and judges what it holds.
func (c *Cache) lookup(key Key, now int64) (*Item, state) {
	it, ok := c.get(key)
	if !ok {
		return nil, stateMiss
	}
	return it, c.judge(it, now, true)
}

var errOvertaken = errors.New("overtaken by a later Set")

// put writes the entry of key by hand: over a load that is running. It returns errOvertaken, and
// changes nothing, if the remote took a later Set that is in memory already.
func (c *Cache) put(key Key, it *Item) error {
	s := c.flights.shard(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.supersedeLocked(key)
	if it.position() != 0 {
		// The other nodes know the order of the positions.
		if set := s.sets[key]; set != nil && set.pos > it.position() {
			return errOvertaken
		}
		if cur, ok := c.get(key); ok && cur.full().byHand && cur.position() > it.position() {
			return errOvertaken
		}
	}
	err := c.store(key, it)
	if err == nil {
		c.armSweep()
		return nil
	}
	c.dropLocked(key)
	return err
}

// bare tells whether serve would only return the V that it holds, which most hits do.
func (v *View[V]) bare(it *Item, vis visit) bool {
	return vis.counted && !vis.timed && it.kind() == kindValue && v.s.Clone == nil
}

// serve counts a hit and returns what it holds: a value, or the error of a cached
// absence. ok is false if its bytes are damaged; then it is gone.
func (v *View[V]) serve(key string, it *Item, rec *recorder, vis visit) (val V, err error, ok bool) {
	switch it.kind() {
	case kindValue:
		val = v.plain(it)
	case kindNegative:
		v.core.counters.negative.Add(1)
		err = held[negative](it).err
	default:
		if val, err = v.value(it); err != nil {
			vis.uncount()
			v.damaged(v.key(key), it)
			return val, nil, false
		}
	}
	if rec != nil {
		rec.inherit(it.tags())
	}
	v.core.c.hit(vis)
	return val, err, true
}

// value returns the value of it for a caller.
func (v *View[V]) value(it *Item) (V, error) {
	var zero V
	switch it.kind() {
	case kindPacked:
		return v.decode(held[packed](it).frame)
	case kindSealed:
		return v.thaw(it)
	case kindNegative:
		return zero, ErrDecode
	}
	return v.plain(it), nil
}

// plain is value for an item that holds a V.
func (v *View[V]) plain(it *Item) V {
	if v.s.Clone != nil {
		return v.s.Clone(*held[V](it))
	}
	return *held[V](it)
}

// decode returns the value in a frame. A panic of the codec is an error.
func (v *View[V]) decode(frame []byte) (val V, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("%w: codec panicked", ErrDecode)
		}
	}()
	room := v.core.pack.borrow()
	defer v.core.pack.giveBack(room)
	plain, err := v.core.pack.unpackInto(room, frame)
	if err != nil {
		return val, err
	}
	return v.s.Codec.Decode(plain)
}

// encode frames val. A panic of the codec is an error.
func (v *View[V]) encode(val V) (frame []byte, plain int, compressed bool, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("cache: codec panicked with a %T", r)
		}
	}()
	b, err := v.s.Codec.Encode(nil, val)
	if err == nil && int64(len(b)) > maxUnpacked {
		err = ErrTooLarge
	}
	if err != nil {
		return nil, 0, false, fmt.Errorf("cache: encode: %w", err)
	}
	frame, compressed = v.core.pack.pack(b, v.s.Compression)
	return frame, len(b), compressed, nil
}

// damaged removes the entry of key, whose bytes cannot be decoded.
func (v *View[V]) damaged(key Key, it *Item) {
	c := v.core.c
	v.core.counters.decodeErrors.Add(1)
	s := c.flights.shard(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	if c.engine.DeleteIf(key, it) {
		c.removed(it, uncounted)
	}
}
