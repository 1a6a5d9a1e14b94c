package cache

// Key identifies an entry in an [Engine]: the number of its strategy and the key
// given by the caller. It is comparable, and has a meaning within one process only.
type Key struct {
	Strategy uint32 // number of the view, in the order of Add
	ID       string // the caller's key, not copied
}

// Engine is the driver that holds the entries of a [Cache] and chooses what to
// evict. All methods must be safe for concurrent use. The cache calls Set and
// DeleteIf with a lock held, so an engine must not call the cache back, except
// through EngineOptions.OnRemove. Package cachetest has a conformance suite.
//
// An engine may also have these methods, found by assertion:
//
//	Range(func(Key, *Item) bool)  // walk all items, until false; without it nothing is swept
//	Hottest(func(Key, *Item) bool) // like Range, from the item kept longest; for Snapshot
//	EvictTo(weight int64)         // evict the coldest until at most weight is left; the bound stays
//	Resize(maxWeight int64)       // change the bound, evicting down to it before it returns
//	Close() error                 // free what the engine holds
type Engine interface {
	// Get returns the item last set for key and counts as a use of it.
	Get(key Key) (*Item, bool)
	// Set stores it for key. When it returns nil, Get returns it until another Set,
	// a DeleteIf or an eviction, and the sum of weights is within the bound. An
	// item above the bound is refused with an error matching ErrTooLarge, and then
	// nothing changes.
	Set(key Key, it *Item) error
	// DeleteIf removes key if it holds exactly it, and tells whether it did.
	DeleteIf(key Key, it *Item) bool
}

// EngineOptions is what a cache asks of its engine.
type EngineOptions struct {
	// MaxWeight bounds the sum of Item.Weight. Above 0.
	MaxWeight int64
	// OnRemove must be called for each item that leaves the engine by an eviction
	// (evicted true) or because Set replaced it (false); not after DeleteIf. It does
	// not block and may be called from any method and any goroutine, with locks of
	// the engine held. A second call for the same item does nothing. Never nil.
	OnRemove func(it *Item, evicted bool)
}

type ranger interface {
	Range(fn func(Key, *Item) bool)
}

type evicter interface{ EvictTo(weight int64) }

type resizer interface{ Resize(maxWeight int64) }

type engineCloser interface{ Close() error }
