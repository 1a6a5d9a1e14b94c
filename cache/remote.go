package cache

import (
	"context"
	"time"
)

// Remote is the driver of a second level that several processes share: a store of
// records, and a log of invalidations with an ever-growing position. Package
// rediscache implements it over Redis. All methods must be safe for concurrent
// use and must return soon after their ctx ends. Any error is allowed at any time:
// the cache counts it and goes on with memory and loaders alone.
//
// # Positions
//
// Each invalidation gets a position, a number above all earlier ones; it never
// comes from a clock. A remote stores for each tag the position of its last hard
// and of its last soft invalidation. A record carries the position that was read
// before its loader started, and is valid as long as no tag of it has a hard or a
// soft position above its own. So a load that raced an invalidation, on any
// node, writes a record that is dead on arrival, and nothing must be locked.
//
// A remote that lost its positions (restarted empty, evicted the number of a tag)
// must invalidate rather than revive: a tag without a stored position counts as
// invalidated after every record that was written before that was noticed.
// Starting over at a number that is below one handed out before must not make old
// records valid: put a random incarnation number into records and compare it.
// Position 0 means "none" and is never handed out.
//
// # Tags
//
// Tags are opaque strings of any bytes. Record.Tags always holds the entry's own
// tag, so deleting one key is an Invalidate of one tag. Dependencies between tags
// are resolved by the cache before it calls Invalidate.
//
// # Leases
//
// A remote may also have these methods, found by assertion, for [Strategy.Lease].
// Lease gives the lease of key to the holder of token for d, and tells whether it did:
// not while another has it. Unlease gives it back, if token has it still. Both are as
// free to fail as the others, and nothing but the number of loads depends on them.
//
//	Lease(ctx context.Context, key, token string, d time.Duration) (bool, error)
//	Unlease(ctx context.Context, key, token string) error
type Remote interface {
	// Position returns the current position: that of the last invalidation, or a
	// start value above 0 when there was none. The cache calls it before a loader
	// runs. The answer must not come from a local copy that may be behind.
	Position(ctx context.Context) (uint64, error)
	// Get returns the record of key if it is there and valid, else an error
	// matching ErrNotFound. It compares the positions itself, and sets Record.Age.
	// The cache owns the record and its slices afterwards.
	Get(ctx context.Context, key string) (*Record, error)
	// Set stores r under key for r.Keep, replacing what was there. It may refuse
	// silently a record that is no longer valid. It must not keep or modify r.
	Set(ctx context.Context, key string, r *Record) error
	// Invalidate gives all tags one new position, higher than all before, and
	// returns it. When it returns without error, no later Get on any node returns a
	// record that has one of the tags and an older position, and the tags are on
	// their way to every watcher. A soft invalidation (Expire) differs from a hard
	// one only in the event that watchers get.
	Invalidate(ctx context.Context, tags []string, soft bool) (uint64, error)
	// Watch calls fn for what happens on the remote until ctx ends or the
	// connection is lost, then returns the reason. fn is called from one goroutine
	// at a time and does not block for long. The first call must be RemoteReady,
	// once every invalidation from then on will be delivered. A gap in delivery
	// must be told: return, or call fn with RemoteLost and later RemoteReady. The
	// cache calls Watch again after a pause. A remote that cannot push blocks until
	// ctx ends without calling fn; then Options.TagRecheck bounds staleness.
	Watch(ctx context.Context, fn func(RemoteEvent)) error
}

// Record is an entry as bytes, as it travels to the second level and back. A
// remote stores all fields but Age, and looks into none but Keep, Tags and Position.
type Record struct {
	// Version is Strategy.Version of the writer. The cache skips a record of
	// another version.
	Version int
	// Codec is the name of the writer's Codec. The cache skips a record of another one.
	Codec string
	// Data is the framed value: checksummed, perhaps compressed. Opaque.
	Data []byte
	// Tags holds the entry's own tag and all its dependencies, without duplicates.
	Tags []string
	// Position is the remote's position before the value was loaded.
	Position uint64
	// Fresh is how long the value was fresh when it was written.
	Fresh time.Duration
	// Keep is how long the record is worth storing: Fresh and the stale windows.
	// The remote drops it no later. It is above 0.
	Keep time.Duration
	// Age is set by Get: the time since Set, by the remote's own clock alone (with
	// Redis: Keep less PTTL).
	Age time.Duration
}

// RemoteEvent tells a cache what happened on its [Remote].
type RemoteEvent struct {
	// Kind says what happened; the other fields matter for RemoteInvalidated only.
	Kind RemoteEventKind
	// Tags were invalidated. The receiver does not keep or modify the slice.
	Tags []string
	// Soft is true for Expire and false for Delete. If unknown: false.
	Soft bool
	// Position is what Invalidate returned to its caller, or 0 if unknown. It lets
	// a node skip the echo of its own invalidations.
	Position uint64
}

// RemoteEventKind says what a [RemoteEvent] is about.
type RemoteEventKind int

// The kinds of events.
const (
	RemoteInvalidated RemoteEventKind = iota // some tags were invalidated
	RemoteReady                              // from now on nothing is missed
	RemoteLost                               // from now on something may be missed
)

// String returns invalidated, ready or lost.
func (k RemoteEventKind) String() string {
	switch k {
	case RemoteInvalidated:
		return "invalidated"
	case RemoteReady:
		return "ready"
	case RemoteLost:
		return "lost"
	}
	return "unknown"
}
