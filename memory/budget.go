package memory

import (
	"math"
	"sync/atomic"
)

// unbounded is the value of a bound that is not there.
const unbounded = math.MaxInt64

// budget counts what all shards of a cache hold together. Room is reserved before
// an entry is stored and released after one is gone, so that neither count passes
// its bound at any instant.
type budget struct {
	items, bytes       atomic.Int64
	capItems, capBytes atomic.Int64 // what reserve admits
	maxItems, maxBytes atomic.Int64 // the bounds as told outside; never below what is held
}

// reserve takes room for items and bytes, both or neither. The caller holds a
// shard's lock, which is what lets a lowered cap wait for older reservations.
func (b *budget) reserve(items, bytes int64) bool {
	if !take(&b.items, items, b.capItems.Load()) {
		return false
	}
	if !take(&b.bytes, bytes, b.capBytes.Load()) {
		b.items.Add(-items)
		return false
	}
	return true
}

func take(counter *atomic.Int64, n, limit int64) bool {
	if n == 0 {
		return true
	}
	for {
		now := counter.Load()
		if now > limit-n {
			return false
		}
		if counter.CompareAndSwap(now, now+n) {
			return true
		}
	}
}

func (b *budget) release(items, bytes int64) {
	b.items.Add(-items)
	b.bytes.Add(-bytes)
}

// excess returns how far the counts are above the given bounds, at least 0.
func (b *budget) excess(items, bytes int64) (overItems, overBytes int64) {
	return max(0, b.items.Load()-items), max(0, b.bytes.Load()-bytes)
}
