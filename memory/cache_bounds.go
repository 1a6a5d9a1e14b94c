package memory

import (
	"context"
	"iter"
	"math"
	"time"
)

// growBackShare is the part of its bound that a cache under a Monitor gets back
// for each second at LevelNormal.
const growBackShare = 0.05

// Resize changes both bounds, in the meaning of CacheOptions: 0 items and negative
// bytes mean none, 0 bytes mean 64 MiB. When it returns, the cache is within them;
// until then the old bounds hold. It lifts a ceiling that pressure had set. An error
// matches [ErrOptions] and changes nothing. The number of shards stays as it was.
func (c *Cache[K, V]) Resize(maxItems int, maxBytes int64) error {
	o := c.opts
	o.MaxItems, o.MaxBytes = maxItems, maxBytes
	o, err := o.withDefaults()
	if err != nil {
		return err
	}
	items, bytes := int64(o.MaxItems), o.MaxBytes
	if items == 0 {
		items = unbounded
	}
	if bytes < 0 {
		bytes = unbounded
	}
	var out leavers[K, V]
	c.boundsMu.Lock()
	c.held = false
	// Raising: tell the higher bound before it can be reached. Lowering: tell the
	// lower one only once it holds.
	c.budget.maxItems.Store(max(items, c.budget.maxItems.Load()))
	c.budget.maxBytes.Store(max(bytes, c.budget.maxBytes.Load()))
	c.budget.capItems.Store(min(items, maxArena))
	c.budget.capBytes.Store(bytes)
	c.settle()
	c.evictTo(context.Background(), items, bytes, EvictCapacity, &out)
	c.budget.maxItems.Store(items)
	c.budget.maxBytes.Store(bytes)
	c.boundsMu.Unlock()
	c.notify(out)
	return nil
}

// settle waits until every Set that may have seen older caps has finished: they
// reserve under their shard's lock.
func (c *Cache[K, V]) settle() {
	for i := range c.shards {
		c.shards[i].mu.Lock()
		//lint:ignore SA2001 passing through the lock is the point
		c.shards[i].mu.Unlock()
	}
}

// evictTo evicts until the cache holds no more than items and bytes, a little from
// each shard in turn, and returns the bytes freed. It stops early when ctx ends.
// Under pressure it frees the excess of the beginning, does not chase what others
// store meanwhile, and tells OnEvict as it goes, so that values which nobody needs
// do not wait in memory; no lock may be held then.
func (c *Cache[K, V]) evictTo(ctx context.Context, items, bytes int64, reason EvictReason, out *leavers[K, V]) (freed int64) {
	_, first := c.budget.excess(items, bytes)
	for idle := false; !idle; {
		idle = true
		// The order of eviction is by shard: each gives the same part of what it holds,
		// or some would lose entries that are newer than what others keep.
		itemsThen, bytesThen := c.budget.excess(items, bytes)
		held := float64(max(1, c.budget.items.Load()))
		for i := range c.shards {
			overItems, overBytes := c.budget.excess(items, bytes)
			enough := overItems == 0 && overBytes == 0 || reason == EvictPressure && freed >= first
			if enough || ctx.Err() != nil {
				return freed
			}
			s := &c.shards[i]
			s.mu.Lock()
			before := s.count
			part := float64(before) / held
			overItems = min(overItems, int64(math.Ceil(part*float64(itemsThen))))
			overBytes = min(overBytes, int64(math.Ceil(part*float64(bytesThen))))
			freed += c.evictSome(s, overItems, overBytes, c.now(), reason, out)
			idle = idle && s.count == before
			s.unlock()
			if reason == EvictPressure && len(*out) > 0 {
				c.notify(*out)
				clear(*out)
				*out = (*out)[:0]
			}
		}
	}
	return freed
}

// Shrink evicts entries in the order of the policy until the given share of the bytes
// held now remains, but not below Floor, and returns the bytes freed. target is
// taken into [0, 1]. It returns early when ctx ends. The bounds stay: the cache can
// fill again at once, unless a Monitor holds it down.
func (c *Cache[K, V]) Shrink(ctx context.Context, target float64) (freed int64) {
	var out leavers[K, V]
	freed = c.evictTo(ctx, unbounded, c.shrinkGoal(target), EvictPressure, &out)
	c.compact(freed)
	return freed
}

func (c *Cache[K, V]) shrinkGoal(target float64) int64 {
	if !(target > 0) { // NaN too
		target = 0
	}
	return max(c.opts.Floor, int64(min(1, target)*float64(c.budget.bytes.Load())))
}

// compact gives back arenas that eviction has emptied.
func (c *Cache[K, V]) compact(freed int64) {
	if freed == 0 {
		return
	}
	for i := range c.shards {
		s := &c.shards[i]
		s.mu.Lock()
		s.compact()
		s.mu.Unlock()
	}
}

// ShrinkPriority returns CacheOptions.Priority; see [Prioritizer].
func (c *Cache[K, V]) ShrinkPriority() int { return c.opts.Priority }

// shrinkAndHold shrinks as Shrink does and keeps the cache at that size until
// growBack has raised it again.
func (c *Cache[K, V]) shrinkAndHold(ctx context.Context, target float64) (freed int64) {
	var out leavers[K, V]
	c.boundsMu.Lock()
	goal := c.shrinkGoal(target)
	if !c.held {
		c.held, c.heldFrom = true, c.budget.maxBytes.Load()
		if c.heldFrom == unbounded {
			c.heldFrom = max(1, c.budget.bytes.Load())
		}
	}
	goal = min(goal, c.budget.capBytes.Load())
	c.budget.capBytes.Store(goal)
	c.boundsMu.Unlock()
	c.settle()
	freed = c.evictTo(ctx, unbounded, goal, EvictPressure, &out)
	c.compact(freed)
	return freed
}

// growBack raises the ceiling by the share for that much time without pressure.
func (c *Cache[K, V]) growBack(calm time.Duration) {
	c.boundsMu.Lock()
	defer c.boundsMu.Unlock()
	if !c.held {
		return
	}
	next := float64(c.budget.capBytes.Load()) + max(1, growBackShare*calm.Seconds()*float64(c.heldFrom))
	if next >= float64(c.heldFrom) {
		c.held = false
		c.budget.capBytes.Store(c.budget.maxBytes.Load())
		return
	}
	c.budget.capBytes.Store(int64(next))
}

// Stats returns the counters and sizes as they are now.
func (c *Cache[K, V]) Stats() CacheStats {
	var t shardCounts
	for i := range c.shards {
		s := &c.shards[i]
		s.mu.Lock()
		n := s.counts
		s.mu.Unlock()
		t.hits += n.hits
		t.misses += n.misses
		t.sets += n.sets
		t.tooLarge += n.tooLarge
		t.pressure += n.pressure
		t.evicted += n.evicted
		t.shrunk += n.shrunk
		t.expired += n.expired
		t.loads += n.loads
		t.loadErrors += n.loadErrors
		t.loadTime += n.loadTime
	}
	return CacheStats{
		Hits: t.hits, Misses: t.misses, Sets: t.sets, TooLarge: t.tooLarge, Pressure: t.pressure,
		Evicted: t.evicted, Shrunk: t.shrunk, Expired: t.expired,
		Loads: t.loads, LoadErrors: t.loadErrors, LoadTime: t.loadTime,
		Items: c.budget.items.Load(), Bytes: c.budget.bytes.Load(),
		MaxItems: boundOut(c.budget.maxItems.Load(), 0),
		MaxBytes: boundOut(c.budget.maxBytes.Load(), -1),
		Ceiling:  boundOut(c.budget.capBytes.Load(), -1),
	}
}

// boundOut returns a bound as options write it.
func boundOut(v, none int64) int64 {
	if v == unbounded {
		return none
	}
	return v
}

// Metrics yields the figures of Stats under Prometheus names, in bytes and seconds,
// with the label cache. Each iteration reads afresh.
func (c *Cache[K, V]) Metrics() iter.Seq2[string, float64] {
	return func(yield func(string, float64) bool) {
		s := c.Stats()
		m := metricSet{yield: yield, labels: labels("cache", c.opts.Name)}
		m.add("memory_cache_hits_total", float64(s.Hits))
		m.add("memory_cache_misses_total", float64(s.Misses))
		m.add("memory_cache_sets_total", float64(s.Sets))
		m.with("memory_cache_refused_total", "reason", "too_large", float64(s.TooLarge))
		m.with("memory_cache_refused_total", "reason", "pressure", float64(s.Pressure))
		m.with("memory_cache_evicted_total", "reason", "capacity", float64(s.Evicted))
		m.with("memory_cache_evicted_total", "reason", "pressure", float64(s.Shrunk))
		m.with("memory_cache_evicted_total", "reason", "expired", float64(s.Expired))
		m.add("memory_cache_loads_total", float64(s.Loads))
		m.add("memory_cache_load_errors_total", float64(s.LoadErrors))
		m.add("memory_cache_load_seconds_total", s.LoadTime.Seconds())
		m.add("memory_cache_items", float64(s.Items))
		m.add("memory_cache_bytes", float64(s.Bytes))
		if s.MaxItems > 0 {
			m.add("memory_cache_max_items", float64(s.MaxItems))
		}
		if s.MaxBytes > 0 {
			m.add("memory_cache_max_bytes", float64(s.MaxBytes))
			m.add("memory_cache_ceiling_bytes", float64(s.Ceiling))
		}
	}
}
