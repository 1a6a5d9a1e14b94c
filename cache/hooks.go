package cache

import "time"

// Hooks observes a [Cache]. A nil func costs one branch. Hooks run on the goroutine
// that did the work, after all locks are released; one that panics is logged and
// ignored. Fields may be added in any release.
type Hooks struct {
	// Load is called after each run of a loader, and after each fill from the
	// second level.
	Load func(LoadEvent)
	// Evict is called once for each entry that the engine dropped for lack of room.
	// It may come a little later, with the next write.
	Evict func(EvictEvent)
	// Invalidate is called after each invalidation, with all that it reached.
	Invalidate func(InvalidateEvent)
	// Remote is called after each failed operation of [Options.Remote].
	Remote func(RemoteErrorEvent)
}

// LoadEvent describes one finished load. The receiver owns it.
type LoadEvent struct {
	Strategy   string        // its name
	Keys       []string      // one key, or the missing keys of a LoadMany
	Duration   time.Duration // of the loader, or of the second level's answer
	Background bool          // a refresh that nobody waits for
	Remote     bool          // filled by the second level; no loader ran
	Stored     bool          // false: error, invalidated meanwhile, or too large; true if any key was
	Err        error         // of the loader; nil when it returned a value
}

// EvictEvent describes one entry that left for lack of room.
type EvictEvent struct {
	Strategy string // its name
	Key      string // as given to Set or Load
	Bytes    int64  // what the entry counted for
}

// InvalidateEvent describes one invalidation: the tags asked for and everything
// that they reached through the dependency graph.
type InvalidateEvent struct {
	Tags    []string // as given by the caller
	Reached []string // Tags and all tags below them, in the order found
	Hard    bool     // Delete, not Expire
	Remote  bool     // pushed by another node
}

// RemoteErrorEvent describes one failed operation of the second level. The
// operation is "get", "set", "position", "invalidate", "decode", "lease" or "watch".
type RemoteErrorEvent struct {
	Op  string // as listed above
	Err error  // what the driver returned, or a timeout
}
