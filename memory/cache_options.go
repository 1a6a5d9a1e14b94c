package memory

import (
	"fmt"
	"time"
)

// Policy names the rule by which a [Cache] chooses what to evict. The zero value
// is [PolicyLRU].
type Policy uint8

const (
	// PolicyLRU evicts the entry that was not used for the longest time: exactly so
	// in a small cache. In a large one a use only marks its entry, as moving it would
	// cost more than the rest of Get; who comes to the end of its shard's order with a
	// mark is spared once and begins anew (CLOCK). On published traces that hits as
	// often as the exact order, or at most 1 point less. One search spares 16 at most. A new
	// entry that nobody has asked for yet is spared too until a quarter of its shard's
	// entries were replaced, however much the others are used.
	PolicyLRU Policy = iota
	// PolicyScanResistant keeps what is used often, so that a pass over many keys
	// that are used once does not push it out. It is W-TinyLFU with an adaptive
	// window. Newcomers stand in a window, in order of recency; when there is no
	// room, the last of the window is compared with the last of the others, and the
	// one that was used less goes. The window is 1 % of a shard at first and moves in
	// [1, 99] % to where the hit ratio is better.
	//
	// A value that was set is there when Set returns, and as the newest of its
	// window it outlives the oldest; but the Sets of as many other keys as the window
	// holds, in a small or busy cache very few, can evict it while older entries
	// stay. Use PolicyLRU where a value must survive the next few Sets, and where keys
	// drift and do not come back.
	//
	// It costs 8 bytes for each entry, charged with the default SizeOf, for the
	// sketch that estimates how often keys were used that are not in the cache; entries
	// count their own uses, to 15. A use only marks and counts; what it promotes is
	// settled when room is needed. Sizes count for the bounds and the rings, not in the comparison.
	PolicyScanResistant
)

var policyNames = [...]string{PolicyLRU: "lru", PolicyScanResistant: "scan-resistant"}

// String returns "lru" or "scan-resistant".
func (p Policy) String() string {
	if int(p) < len(policyNames) {
		return policyNames[p]
	}
	return fmt.Sprintf("Policy(%d)", uint8(p))
}

// MarshalText returns the name as String does; unknown policies are an error.
func (p Policy) MarshalText() ([]byte, error) {
	if int(p) >= len(policyNames) {
		return nil, fmt.Errorf("memory: marshal policy: unknown value %d", uint8(p))
	}
	return []byte(p.String()), nil
}

// UnmarshalText accepts the names that String gives, in lower case, and leaves the
// policy as it was on any other text.
func (p *Policy) UnmarshalText(text []byte) error {
	for i, name := range policyNames {
		if string(text) == name {
			*p = Policy(i)
			return nil
		}
	}
	return fmt.Errorf("memory: unmarshal policy: unknown name %.32q", text)
}

// Defaults and limits of a Cache.
const (
	defaultCacheBytes = 64 << 20
	maxEntryBytes     = 1<<40 - 1
	maxCacheItems     = 1 << 31
	maxArena          = 1<<32 - 2 // what the links of a shard can name
)

// CacheOptions configures a [Cache]. The zero value is a working configuration: 64
// MiB, any number of items, no expiry. NewCache keeps no reference to it.
type CacheOptions[K comparable, V any] struct {
	// Name labels the cache in metrics and in its Monitor. Default "cache".
	Name string
	// MaxItems bounds the number of entries, at most 2^31. 0 means no bound.
	MaxItems int
	// MaxBytes bounds the sum of the entries' sizes, in bytes. 0 means 64 MiB,
	// negative means no bound, which needs MaxItems. A single entry is at most
	// 1 TiB whatever the bound.
	MaxBytes int64
	// SizeOf reports what an entry costs in bytes, key and value together; less
	// than 1 counts as 1. It is called once for each Set, without a lock, and must
	// not change the value. What it returns is charged as it is, without overhead.
	// Default: the heap bytes of key and value (see [SizeOf]) and the entry's place
	// in the cache.
	SizeOf func(K, V) int64
	// TTL is how long an entry can be read after it was set. 0 means for ever;
	// negative is an error, and so much that the end is more than 17 years after
	// NewCache counts as for ever. Expired entries leave when they are touched or evicted.
	TTL time.Duration
	// Policy chooses what to evict. Default [PolicyLRU].
	Policy Policy
	// OnEvict is told of each value that leaves the cache, whatever the reason, on
	// the goroutine whose call removed it, outside all locks. It may use the cache.
	// Shrink and the Monitor tell as they go, other calls when they are done.
	OnEvict func(Eviction[K, V])
	// Monitor makes the cache shrink while memory is short and grow back after. nil
	// means that only the bounds count. Close ends the registration.
	Monitor *Monitor
	// Floor is the size in bytes below which Shrink and the Monitor leave the cache
	// alone. Default 0: it can be emptied.
	Floor int64
	// Priority orders caches under one Monitor: the lowest shrinks first, the next
	// only if that was not enough. Default 0.
	Priority int
	// Disabled makes the cache hold nothing: Get misses, Set forgets, GetOrLoad
	// calls its function every time.
	Disabled bool
}

// withDefaults returns o with defaults filled in, or all that is wrong with it.
func (o CacheOptions[K, V]) withDefaults() (CacheOptions[K, V], error) {
	var p problems
	p.check(o.MaxItems >= 0 && int64(o.MaxItems) <= maxCacheItems, "MaxItems %d is not in [0, 2^31]", o.MaxItems)
	p.check(o.MaxBytes >= 0 || o.MaxItems != 0, "neither MaxItems nor MaxBytes bounds the cache")
	p.check(o.TTL >= 0, "TTL %v is negative", o.TTL)
	p.check(int(o.Policy) < len(policyNames), "Policy %d is unknown", o.Policy)
	p.check(o.Floor >= 0, "Floor %d is negative", o.Floor)
	if o.MaxBytes == 0 {
		o.MaxBytes = defaultCacheBytes
	}
	p.check(o.MaxBytes < 0 || o.Floor <= o.MaxBytes, "Floor %d is above MaxBytes %d", o.Floor, o.MaxBytes)
	if o.Name == "" {
		o.Name = "cache"
	}
	return o, p.err("cache")
}

// EvictReason says why a value left a [Cache].
type EvictReason uint8

const (
	// EvictCapacity means that a bound needed the room, also after Resize.
	EvictCapacity EvictReason = iota + 1
	// EvictPressure means that Shrink or the Monitor took the room.
	EvictPressure
	// EvictExpired means that the TTL had passed.
	EvictExpired
	// EvictReplaced means that Set stored another value for the key, or refused one.
	EvictReplaced
	// EvictDeleted means Delete, DeleteIf, Purge or Close.
	EvictDeleted
)

// String returns "capacity", "pressure", "expired", "replaced" or "deleted".
func (r EvictReason) String() string {
	switch r {
	case EvictCapacity:
		return "capacity"
	case EvictPressure:
		return "pressure"
	case EvictExpired:
		return "expired"
	case EvictReplaced:
		return "replaced"
	case EvictDeleted:
		return "deleted"
	}
	return fmt.Sprintf("EvictReason(%d)", uint8(r))
}

// Eviction describes a value that left a [Cache]. The receiver owns it.
type Eviction[K comparable, V any] struct {
	// Key is the key under which the value stood.
	Key K
	// Value is the value as it was set.
	Value V
	// Bytes is what the entry was charged.
	Bytes int64
	// Reason says why it left.
	Reason EvictReason
}

// CacheStats is a snapshot of a [Cache]. Counters are since NewCache, the other
// fields are of now; fields are read one after another while the cache is in use.
type CacheStats struct {
	// Hits and Misses count the answers of Get and GetOrLoad.
	Hits, Misses uint64
	// Sets counts values stored, loads included.
	Sets uint64
	// TooLarge and Pressure count values refused with that error.
	TooLarge, Pressure uint64
	// Evicted, Shrunk, Expired count entries that left for a bound, for memory
	// pressure and for their age.
	Evicted, Shrunk, Expired uint64
	// Loads counts runs of GetOrLoad's function, LoadErrors those that failed.
	Loads, LoadErrors uint64
	// LoadTime is the time spent in them.
	LoadTime time.Duration

	// Items and Bytes are what the cache holds and is charged.
	Items, Bytes int64
	// MaxItems and MaxBytes are the bounds; 0 and negative mean none.
	MaxItems, MaxBytes int64
	// Ceiling is the part of MaxBytes that memory pressure leaves at present, in
	// bytes; without pressure it is MaxBytes.
	Ceiling int64
}

// HitRatio returns Hits/(Hits+Misses), or 0 before the first lookup.
func (s CacheStats) HitRatio() float64 {
	if n := s.Hits + s.Misses; n > 0 {
		return float64(s.Hits) / float64(n)
	}
	return 0
}

// Sub returns the counters of s less those of an earlier snapshot; the fields that
// are of now stay as in s.
func (s CacheStats) Sub(earlier CacheStats) CacheStats {
	s.Hits -= earlier.Hits
	s.Misses -= earlier.Misses
	s.Sets -= earlier.Sets
	s.TooLarge -= earlier.TooLarge
	s.Pressure -= earlier.Pressure
	s.Evicted -= earlier.Evicted
	s.Shrunk -= earlier.Shrunk
	s.Expired -= earlier.Expired
	s.Loads -= earlier.Loads
	s.LoadErrors -= earlier.LoadErrors
	s.LoadTime -= earlier.LoadTime
	return s
}
