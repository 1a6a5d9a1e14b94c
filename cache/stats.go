package cache

import (
	"math/bits"
	"sync/atomic"
	"time"
	"unsafe"
)

// Stats is a snapshot of counters since New or Add, and of sizes now. It is a plain
// value. Its fields are read one by one while the cache works, so that they may
// differ by the operations under way.
type Stats struct {
	Hits          uint64        // lookups answered from memory, negative and stale ones included
	Misses        uint64        // lookups that were not
	NegativeHits  uint64        // hits of a cached absence
	StaleHits     uint64        // old values served, while refreshing or after an error
	RemoteHits    uint64        // loads answered by the second level
	RemoteErrors  uint64        // failed operations of the second level; Cache only
	Loads         uint64        // runs of loaders
	LoadErrors    uint64        // runs that failed; an error matching ErrNotFound does not count
	Refreshes     uint64        // runs in the background, part of Loads
	Discarded     uint64        // results not stored because of an invalidation or a write meanwhile
	Invalidations uint64        // tags or keys given to Delete, Expire, DeleteTag and ExpireTag
	Evictions     uint64        // entries dropped for lack of room, or by Shrink
	Expired       uint64        // entries freed by the sweeper after their time
	Deleted       uint64        // entries removed by a hard invalidation, at once or by the sweeper
	Replaced      uint64        // entries that a newer value took the place of, dead ones included
	Swept         uint64        // entries freed by the sweeper, part of Expired and Deleted
	DecodeErrors  uint64        // stored bytes that could not be decoded
	LoadTime      time.Duration // total time in loaders
	ResponseTime  time.Duration // total time in Get and Load; hits are sampled
	Entries       int64         // in memory now
	Bytes         int64         // what they count for now
	Tags          int64         // tags known now; Cache only
	SavedBytes    int64         // bytes that compression saves in memory now
	LoadTimeP50   time.Duration // median load time, to about a factor 1.4; 0 before the first
	LoadTimeP99   time.Duration // 99th percentile of load times, likewise
}

// HitRatio returns Hits/(Hits+Misses), or 0 before the first lookup.
func (s Stats) HitRatio() float64 {
	if n := s.Hits + s.Misses; n > 0 {
		return float64(s.Hits) / float64(n)
	}
	return 0
}

// MeanResponse returns the mean time of a Get or Load, or 0 before the first.
func (s Stats) MeanResponse() time.Duration {
	if n := s.Hits + s.Misses; n > 0 {
		return s.ResponseTime / time.Duration(n)
	}
	return 0
}

// MeanLoad returns the mean time of a loader's run, or 0 before the first.
func (s Stats) MeanLoad() time.Duration {
	if s.Loads > 0 {
		return s.LoadTime / time.Duration(s.Loads)
	}
	return 0
}

// Sub returns what happened between the older snapshot old and s: counters are
// subtracted, sizes and percentiles are those of s.
func (s Stats) Sub(old Stats) Stats {
	s.Hits -= old.Hits
	s.Misses -= old.Misses
	s.NegativeHits -= old.NegativeHits
	s.StaleHits -= old.StaleHits
	s.RemoteHits -= old.RemoteHits
	s.RemoteErrors -= old.RemoteErrors
	s.Loads -= old.Loads
	s.LoadErrors -= old.LoadErrors
	s.Refreshes -= old.Refreshes
	s.Discarded -= old.Discarded
	s.Invalidations -= old.Invalidations
	s.Evictions -= old.Evictions
	s.Expired -= old.Expired
	s.Deleted -= old.Deleted
	s.Replaced -= old.Replaced
	s.Swept -= old.Swept
	s.DecodeErrors -= old.DecodeErrors
	s.LoadTime -= old.LoadTime
	s.ResponseTime -= old.ResponseTime
	return s
}

func (s *Stats) add(o Stats) {
	s.Hits += o.Hits
	s.Misses += o.Misses
	s.NegativeHits += o.NegativeHits
	s.StaleHits += o.StaleHits
	s.RemoteHits += o.RemoteHits
	s.Loads += o.Loads
	s.LoadErrors += o.LoadErrors
	s.Refreshes += o.Refreshes
	s.Discarded += o.Discarded
	s.Invalidations += o.Invalidations
	s.Evictions += o.Evictions
	s.Expired += o.Expired
	s.Deleted += o.Deleted
	s.Replaced += o.Replaced
	s.Swept += o.Swept
	s.DecodeErrors += o.DecodeErrors
	s.LoadTime += o.LoadTime
	s.ResponseTime += o.ResponseTime
	s.Entries += o.Entries
	s.Bytes += o.Bytes
	s.SavedBytes += o.SavedBytes
}

const (
	hitStripesLog = 4
	hitSampling   = 64     // one hit in so many of a stripe is timed, the first too
	histBuckets   = 2 * 64 // two per power of two nanoseconds
)

// hitStripe counts hits apart from other stripes, so that readers on several cores
// do not share a cache line.
type hitStripe struct {
	hits, nanos atomic.Int64
	_           [48]byte
}

// counters holds the figures of one strategy.
type counters struct {
	stripes [1 << hitStripesLog]hitStripe

	misses, negative, stale, remoteHits                    atomic.Int64
	loads, loadErrors, refreshes, discarded, invalidations atomic.Int64
	swept, decodeErrors, loadNanos, missNanos              atomic.Int64
	entries, bytes, saved                                  atomic.Int64
	removals                                               [causes]atomic.Int64
	hist                                                   [histBuckets]atomic.Int64
}

// whereabouts returns a number whose high bits differ between goroutines, mostly, as their
// stacks lie apart.
func whereabouts() uint32 {
	var here byte
	return uint32(uintptr(unsafe.Pointer(&here))>>10) * 0x9e3779b1
}

// visit begins a lookup at the moment now, 0 if that is not known yet. Goroutines keep
// to different stripes.
func (s *counters) visit(now int64) visit {
	stripe := &s.stripes[whereabouts()>>(32-hitStripesLog)]
	return visit{stripe: stripe, now: now, timed: stripe.hits.Load()%hitSampling == 0}
}

// count counts the lookup as a hit, once.
func (v *visit) count() {
	if !v.counted {
		v.counted = true
		v.stripe.hits.Add(1)
	}
}

// uncount takes count back: it was no hit after all.
func (v *visit) uncount() {
	if v.counted {
		v.counted = false
		v.stripe.hits.Add(-1)
	}
}

// hit counts a lookup from memory.
func (c *Cache) hit(v visit) {
	v.count()
	if v.timed {
		v.stripe.nanos.Add(hitSampling * (c.now() - v.now))
	}
}

// miss counts a lookup that took d in all.
func (s *counters) miss(d int64) {
	s.misses.Add(1)
	s.missNanos.Add(d)
}

// loaded counts a run of a loader.
func (s *counters) loaded(d int64) {
	s.loads.Add(1)
	s.loadNanos.Add(d)
	s.hist[bucketOf(d)].Add(1)
}

// bucketOf maps nanoseconds to half powers of two.
func bucketOf(d int64) int {
	if d <= 1 {
		return 0
	}
	p := bits.Len64(uint64(d)) - 1
	half := int(uint64(d)>>(p-1)) & 1
	return min(2*p+half, histBuckets-1)
}

// bucketMid returns the middle of a bucket in nanoseconds.
func bucketMid(b int) time.Duration {
	p := uint(b / 2)
	if p == 0 {
		return 1
	}
	lo := uint64(1)<<p + uint64(b%2)<<(p-1)
	return time.Duration(lo + 1<<(p-1)/2)
}

func percentile(hist []int64, share float64) time.Duration {
	total := int64(0)
	for _, n := range hist {
		total += n
	}
	if total == 0 {
		return 0
	}
	rank := int64(share * float64(total-1))
	for b, n := range hist {
		if rank -= n; rank < 0 {
			return bucketMid(b)
		}
	}
	return 0
}

func (s *counters) histogram(into []int64) {
	for b := range s.hist {
		into[b] += s.hist[b].Load()
	}
}

// snapshot returns the figures without percentiles.
func (s *counters) snapshot() Stats {
	st := Stats{
		Misses: uint64(s.misses.Load()), NegativeHits: uint64(s.negative.Load()),
		StaleHits: uint64(s.stale.Load()), RemoteHits: uint64(s.remoteHits.Load()),
		Loads:      uint64(s.loads.Load()),
		LoadErrors: uint64(s.loadErrors.Load()), Refreshes: uint64(s.refreshes.Load()),
		Discarded: uint64(s.discarded.Load()), Invalidations: uint64(s.invalidations.Load()),
		Evictions: uint64(s.removals[forRoom].Load()), Expired: uint64(s.removals[expired].Load()),
		Deleted: uint64(s.removals[deleted].Load()), Replaced: uint64(s.removals[replaced].Load()),
		Swept:        uint64(s.swept.Load()),
		DecodeErrors: uint64(s.decodeErrors.Load()), LoadTime: time.Duration(s.loadNanos.Load()),
		Entries: s.entries.Load(), Bytes: s.bytes.Load(), SavedBytes: s.saved.Load(),
	}
	nanos := s.missNanos.Load()
	for i := range s.stripes {
		st.Hits += uint64(s.stripes[i].hits.Load())
		nanos += s.stripes[i].nanos.Load()
	}
	st.ResponseTime = time.Duration(nanos)
	return st
}

// stats returns the figures of one strategy.
func (s *counters) stats() Stats {
	st := s.snapshot()
	var hist [histBuckets]int64
	s.histogram(hist[:])
	st.LoadTimeP50 = percentile(hist[:], 0.5)
	st.LoadTimeP99 = percentile(hist[:], 0.99)
	return st
}
