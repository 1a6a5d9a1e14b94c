package cache

import (
	"fmt"
	"time"
)

// Entry is what a loader is given besides its ctx: it tells the cache about the
// entry being loaded. It is valid until the loader returns.
type Entry[V any] struct {
	view  *View[V]
	key   string
	rec   *recorder // nil when the cache is passed by
	ttl   *int64
	stale *Item // the old entry, or nil
}

// Key returns the key that is being loaded, as it was given to [View.Load] or came
// from the keys of [View.Warm], so that one loader can serve all keys of a view.
func (e *Entry[V]) Key() string { return e.key }

// DependsOn makes the entry depend on tags: what invalidates one of them from the
// start of this load on invalidates the entry. Repeats and empty tags do nothing.
func (e *Entry[V]) DependsOn(tags ...string) {
	if e.rec == nil {
		return
	}
	for _, tag := range tags {
		if tag == "" {
			continue
		}
		if n := e.rec.add(tag); n != nil {
			e.rec.c.catchUp(e.rec.call, n)
			e.rec.c.watchEntry(tag)
		}
	}
}

// Stale returns the old value of the entry, for a conditional request upstream. It
// returns false if there is none, or if it was deleted rather than expired. The
// value is shared unless the strategy has a Clone: do not modify it.
func (e *Entry[V]) Stale() (V, bool) {
	var zero V
	if e.stale == nil {
		return zero, false
	}
	val, err := e.view.value(e.stale)
	return val, err == nil
}

// NotModified returns the old value with its dependencies, to be returned by the
// loader, which makes it fresh again. The error matches ErrNotFound if [Entry.Stale]
// has none.
func (e *Entry[V]) NotModified() (V, error) {
	val, ok := e.Stale()
	if !ok {
		return val, fmt.Errorf("cache: not modified: no old value: %w", ErrNotFound)
	}
	e.rec.inherit(e.stale.tags())
	return val, nil
}

// SetTTL replaces the TTL of the strategy for this entry. Jitter still shortens it;
// the stale windows follow its end. d must be above 0, else it does nothing.
func (e *Entry[V]) SetTTL(d time.Duration) {
	if d > 0 {
		*e.ttl = int64(min(d, maxDuration))
	}
}
