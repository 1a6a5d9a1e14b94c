package cache

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"math"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Cache holds the entries of all its views under one bound and one tag space. It
// must not be copied. Make one with [New] and views with [Add].
type Cache struct {
	opts    Options
	start   time.Time
	engine  Engine
	max     int64 // bound of the engine
	tags    *tagTable
	flights *flightTable
	pack    packer
	clock   clock

	identity [identityLen]byte // random, tells its own snapshots

	remote *remoteLevel // nil without Options.Remote

	ctx    context.Context // ends with Close; for background work only
	cancel context.CancelCauseFunc

	lifeMu sync.Mutex
	closed atomic.Bool    // written under lifeMu
	work   sync.WaitGroup // Add under lifeMu
	sweeps *time.Timer    // guarded by lifeMu
	armed  atomic.Bool    // a sweep is due

	coreMu sync.RWMutex
	byName map[string]*core        // guarded by coreMu
	cores  []*core                 // guarded by coreMu, in the order of Add
	byID   atomic.Pointer[[]*core] // cores, for those who hold no lock

	resizeMu sync.Mutex // one Shrink at a time

	evictMu sync.Mutex
	evicted []EvictEvent // guarded by evictMu: to be told once locks are released
	pending atomic.Bool  // evicted is not empty
}

// core is the part of a view that does not depend on its type.
type core struct {
	c          *Cache
	id         uint32
	name       string
	tagPrefix  string // of View.Tag
	remoteKey  string // prefix of keys on the Remote
	static     []*node
	ttl        int64
	swr        int64
	sie        int64
	neg        int64
	idle       int64
	lease      time.Duration
	hard       time.Duration
	jitter     float64
	ahead      float64
	version    int
	codec      string                      // name of the codec, empty without one
	shared     bool                        // records of it are in the second level, if there is one
	pack       *packer                     // of the cache, or with the strategy's dictionaries
	open       func(*Item) (any, error)    // the value of an item
	frame      func(*Item) ([]byte, error) // its bytes; needs a codec
	compressed bool                        // values may be kept compressed
	counters   counters
}

// New returns an empty cache. The error matches [ErrOptions] and lists every bad
// field, or is what Options.Engine returned. With Options.Remote it starts one
// goroutine; otherwise none.
func New(o Options) (*Cache, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	c := &Cache{opts: o, start: time.Now(), tags: newTagTable(), flights: newFlightTable(), byName: make(map[string]*core)}
	_, _ = rand.Read(c.identity[:]) // never fails
	c.max = o.MaxBytes
	if c.max == 0 {
		c.max = int64(o.MaxEntries)
	}
	c.engine, err = o.Engine(EngineOptions{MaxWeight: c.max, OnRemove: c.onRemove})
	if err != nil {
		return nil, fmt.Errorf("cache: new engine: %w", err)
	}
	c.ctx, c.cancel = context.WithCancelCause(context.Background())
	if o.Remote != nil && !o.Disabled {
		c.remote = newRemoteLevel(c, o.Remote)
		c.spawn(c.remote.watch)
	}
	return c, nil
}

// Add makes a view with the strategy s. The error matches [ErrOptions] for bad
// fields and for a name that the cache has already, and ErrClosed after Close.
func Add[V any](c *Cache, s Strategy[V]) (*View[V], error) {
	s, err := s.withDefaults()
	if err != nil {
		return nil, err
	}
	co := &core{
		c: c, name: s.Name, tagPrefix: string(entryMark) + s.Name + ":",
		remoteKey: fmt.Sprintf("%s:%d:", s.Name, s.Version),
		ttl:       int64(s.TTL), swr: int64(s.StaleWhileRevalidate), sie: int64(s.StaleIfError),
		neg: int64(s.NegativeTTL), idle: int64(s.Idle), hard: s.HardTimeout, lease: s.Lease,
		jitter: s.Jitter, ahead: s.RefreshAhead, version: s.Version, pack: &c.pack,
	}
	if len(s.Dicts) > 0 {
		co.pack, _ = newPacker(s.Dicts) // withDefaults has checked them
		s.Dicts = nil
	}
	if s.Codec != nil {
		co.codec = s.Codec.Name()
		co.shared = s.Levels == Both
	}
	c.coreMu.Lock()
	defer c.coreMu.Unlock()
	if c.closed.Load() {
		return nil, ErrClosed
	}
	if c.byName[s.Name] != nil {
		return nil, fmt.Errorf("%w: strategy %q: Name is taken", ErrOptions, s.Name)
	}
	if len(c.cores) == strategiesMax {
		return nil, fmt.Errorf("%w: strategy %q: there are %d already", ErrOptions, s.Name, strategiesMax)
	}
	if c.remote != nil {
		s.Tags = append(s.Tags, allTag)
	}
	slices.Sort(s.Tags) // withDefaults made a copy
	for _, tag := range slices.Compact(s.Tags) {
		co.static = append(co.static, c.tags.acquire(tag))
	}
	co.static = slices.Clip(co.static)
	v := &View[V]{core: co, s: s}
	co.compressed = s.Compression != None
	co.frame = v.frame
	co.open = func(it *Item) (any, error) { return v.value(it) }
	co.id = uint32(len(c.cores))
	c.cores = append(c.cores, co)
	c.byID.Store(new(slices.Clone(c.cores)))
	c.byName[s.Name] = co
	return v, nil
}

// DeleteTag removes all entries that have one of the tags, and all that depend on
// them: none of them is served again, not even as stale. Loads under way do not
// store what they read before. A tag of [View.Tag] means that entry. The error is
// that of the second level; memory is invalidated in any case, and the second
// level is not read again before it took the invalidation.
func (c *Cache) DeleteTag(ctx context.Context, tags ...string) error {
	return c.invalidate(ctx, tags, true)
}

// ExpireTag ends the freshness of all entries that have one of the tags and of all
// that depend on them. They still serve within their stale windows, counted from
// when a read first notices. Otherwise it is like [Cache.DeleteTag].
func (c *Cache) ExpireTag(ctx context.Context, tags ...string) error {
	return c.invalidate(ctx, tags, false)
}

// Depend makes child depend on the parents: what invalidates a parent invalidates
// child, and so on downwards. Tags are any strings, or entries by [View.Tag]. Edges
// stay until Close, and repeating one does nothing: declare kinds of things with it,
// and leave what single entries need to [Entry.DependsOn]. It returns ErrCycle if
// child is above a parent already, and another error if there would be more than a
// million edges; then it adds nothing. Edges are per process.
func (c *Cache) Depend(child string, parents ...string) error {
	if c.bypass() {
		return nil
	}
	for _, p := range parents {
		c.watchEntry(p)
	}
	if err := c.tags.depend(child, parents); err != nil {
		return fmt.Errorf("cache: depend %d tags: %w", len(parents), err)
	}
	// A parent that was invalidated before has raised the stamps below it; entries
	// do not hold their own node, so look after those here.
	n := c.tags.acquire(child)
	for _, below := range c.tags.closure([]*node{n}) {
		c.dropOlder(below)
	}
	c.tags.release(n)
	return nil
}

// Stats returns the sum over all strategies. It walks all counters: cheap, but not
// meant for every request.
func (c *Cache) Stats() Stats {
	var sum Stats
	var hist [histBuckets]int64
	for _, co := range c.strategies() {
		sum.add(co.counters.snapshot())
		co.counters.histogram(hist[:])
	}
	sum.LoadTimeP50 = percentile(hist[:], 0.5)
	sum.LoadTimeP99 = percentile(hist[:], 0.99)
	if c.remote != nil {
		sum.RemoteErrors += uint64(c.remote.errors.Load())
	}
	sum.Tags = int64(c.tags.size())
	return sum
}

// Strategies yields the name and figures of each strategy, in the order of Add.
func (c *Cache) Strategies() iter.Seq2[string, Stats] {
	return func(yield func(string, Stats) bool) {
		for _, co := range c.strategies() {
			if !yield(co.name, co.counters.stats()) {
				return
			}
		}
	}
}

// strategies returns the cores made so far; the slice only ever grows elsewhere.
func (c *Cache) strategies() []*core {
	c.coreMu.RLock()
	defer c.coreMu.RUnlock()
	return c.cores[:len(c.cores):len(c.cores)]
}

// Shrink frees memory: dead entries first, then the coldest ones until all entries
// together count for at most target times the bound (1 = the bound, 0 = empty the
// cache; values outside and NaN mean the nearest of the two, NaN means 1). The bound
// itself stays, so the cache may grow again. It returns the bytes that entries
// counted for and no longer do; the garbage collector frees them. A ctx that ends
// before or between the two steps stops it.
func (c *Cache) Shrink(ctx context.Context, target float64) (freed int64) {
	if c.bypass() || ctx.Err() != nil {
		return 0
	}
	defer c.tellEvictions() // after the lock is released
	c.resizeMu.Lock()
	defer c.resizeMu.Unlock()
	before := c.liveBytes()
	c.sweep(ctx)
	if math.IsNaN(target) {
		target = 1
	}
	if limit := int64(min(max(target, 0), 1) * float64(c.max)); limit < c.max && ctx.Err() == nil {
		c.evictTo(limit)
	}
	return max(before-c.liveBytes(), 0)
}

// evictTo makes the engine evict down to limit. Resizing there and back is the
// second choice: a large Set that falls between is refused.
func (c *Cache) evictTo(limit int64) {
	switch e := c.engine.(type) {
	case evicter:
		e.EvictTo(limit)
		return
	case resizer:
		if limit > 0 {
			e.Resize(limit)
			e.Resize(c.max)
			return
		}
	}
	r, ok := c.engine.(ranger)
	if !ok {
		return
	}
	used := c.liveWeight()
	var victims []aged
	r.Range(func(key Key, it *Item) bool {
		if limit > 0 && used <= limit {
			return false
		}
		used -= it.Weight()
		victims = append(victims, aged{key, it})
		return true
	})
	for _, v := range victims {
		if c.engine.DeleteIf(v.key, v.it) {
			c.removed(v.it, forRoom)
		}
	}
}

func (c *Cache) liveBytes() (n int64) {
	for _, co := range c.strategies() {
		n += co.counters.bytes.Load()
	}
	return n
}

func (c *Cache) liveWeight() (n int64) {
	if c.opts.MaxBytes > 0 && c.opts.MaxEntries == 0 {
		return c.liveBytes()
	}
	if r, ok := c.engine.(ranger); ok {
		r.Range(func(_ Key, it *Item) bool { n += it.Weight(); return true })
	}
	return n
}

// Close cancels the loads under way, waits for all goroutines of the cache, loaders
// included, and frees what the engine holds. Repeats do nothing. Afterwards Load
// runs its loader without the cache, Get misses, and writes return ErrClosed. Loaders
// and hooks must not call it.
func (c *Cache) Close() error {
	c.lifeMu.Lock()
	first := !c.closed.Swap(true)
	if c.sweeps != nil {
		c.sweeps.Stop()
	}
	c.lifeMu.Unlock()
	c.clock.stop()
	c.cancel(ErrClosed)
	c.work.Wait()
	if !first {
		return nil
	}
	if r, ok := c.engine.(ranger); ok {
		var all []aged
		r.Range(func(key Key, it *Item) bool { all = append(all, aged{key, it}); return true })
		for _, a := range all {
			if c.engine.DeleteIf(a.key, a.it) {
				c.removed(a.it, uncounted)
			}
		}
	}
	if cl, ok := c.engine.(engineCloser); ok {
		if err := cl.Close(); err != nil {
			return fmt.Errorf("cache: close engine: %w", err)
		}
	}
	return nil
}

// bypass tells whether calls go past the cache.
func (c *Cache) bypass() bool { return c.opts.Disabled || c.closed.Load() }

// spawn runs fn in a goroutine that Close waits for, unless the cache is closed.
func (c *Cache) spawn(fn func()) bool {
	c.lifeMu.Lock()
	defer c.lifeMu.Unlock()
	if c.closed.Load() {
		return false
	}
	c.work.Go(fn)
	return true
}

// cause says why an item left.
type cause int

const (
	forRoom   cause = iota // Stats.Evictions
	expired                // Stats.Expired
	deleted                // Stats.Deleted
	replaced               // Stats.Replaced
	uncounted              // it was refused or damaged, the loader found no value, or Close
	causes
)

// onRemove is EngineOptions.OnRemove.
func (c *Cache) onRemove(it *Item, evicted bool) {
	if evicted {
		c.removed(it, forRoom)
	} else {
		c.removed(it, replaced)
	}
}

// removed accounts for an item that left. Locks may be held.
func (c *Cache) removed(it *Item, why cause) {
	if !it.leave() {
		return
	}
	co := c.coreOf(it)
	s := &co.counters
	s.removals[why].Add(1)
	s.entries.Add(-1)
	s.bytes.Add(-int64(it.bytes))
	if it.kind() == kindPacked {
		s.saved.Add(-held[packed](it).saved)
	}
	if why == forRoom && c.opts.Hooks.Evict != nil {
		c.evictMu.Lock()
		c.evicted = append(c.evicted, EvictEvent{Strategy: co.name, Key: it.full().id, Bytes: int64(it.bytes)})
		c.pending.Store(true)
		c.evictMu.Unlock()
	}
	if nodes := it.tags(); len(nodes) > len(co.static) {
		c.tags.release(nodes[len(co.static):]...)
	}
}

// coreOf returns the core that it belongs to.
func (c *Cache) coreOf(it *Item) *core { return (*c.byID.Load())[it.strategy()] }

// store puts it into the engine as the entry of key, whose shard is locked.
func (c *Cache) store(key Key, it *Item) error {
	s := &c.coreOf(it).counters
	s.entries.Add(1)
	s.bytes.Add(int64(it.bytes))
	if it.kind() == kindPacked {
		s.saved.Add(held[packed](it).saved)
	}
	err := ErrTooLarge
	if it.bytes != tooLarge {
		err = c.engine.Set(key, it)
	}
	if err != nil {
		c.removed(it, uncounted)
	}
	return err
}

// tellEvictions calls the Evict hook for what was evicted. No lock is held.
func (c *Cache) tellEvictions() {
	if c.pending.Load() {
		c.drainEvictions()
	}
}

func (c *Cache) drainEvictions() {
	c.evictMu.Lock()
	events := c.evicted
	c.evicted = nil
	c.pending.Store(false)
	c.evictMu.Unlock()
	for _, e := range events {
		c.guard(func() { c.opts.Hooks.Evict(e) })
	}
}

// guard runs a hook, and keeps its panic from whoever runs it.
func (c *Cache) guard(hook func()) {
	defer func() {
		if r := recover(); r != nil && c.opts.Logger != nil {
			c.opts.Logger.Error("cache: hook panicked", slog.String("cache", c.opts.Name))
		}
	}()
	hook()
}

// entryOf returns the core and key of a tag that View.Tag made.
func (c *Cache) entryOf(tag string) (*core, Key, bool) {
	if !isEntryTag(tag) {
		return nil, Key{}, false
	}
	name, id, ok := strings.Cut(tag[1:], ":")
	if !ok {
		return nil, Key{}, false
	}
	c.coreMu.RLock()
	co := c.byName[name]
	c.coreMu.RUnlock()
	if co == nil {
		return nil, Key{}, false
	}
	return co, Key{Strategy: co.id, ID: id}, true
}

var errEmptyTag = errors.New("cache: empty tag")
