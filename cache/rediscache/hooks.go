package rediscache

// Hooks observes a [Remote]. A nil func costs one branch. Funcs are called from
// several goroutines, without locks held, and must return soon; a panic of one is
// caught and dropped.
type Hooks struct {
	// Push is called when the push connection became ready, and when it was lost.
	Push func(PushEvent)
	// Reset is called when lost positions were noticed: Redis was restarted, lost
	// or evicted them. All records of the prefix are invalid then; memory is not.
	Reset func(ResetEvent)
}

// PushEvent tells about the connection that brings invalidations of other nodes.
type PushEvent struct {
	Ready bool  // false: lost
	Err   error // why it was lost; nil when ready
}

// ResetEvent tells that positions were lost and started anew.
type ResetEvent struct {
	Position uint64 // the first new one; above all that this node has seen
}

// guard runs a user's func and survives its panic.
func guard(fn func()) {
	defer func() { _ = recover() }()
	fn()
}
