package hist

import (
	"math/bits"
	"sync/atomic"
	"time"
)

const (
	linear  = 16 // buckets per power of two
	buckets = linear * 36
)

// Histogram is safe for concurrent use; its zero value is empty.
type Histogram struct {
	counts [buckets]atomic.Uint64
	nanos  atomic.Int64
}

// Observe adds one duration.
func (h *Histogram) Observe(d time.Duration) {
	h.counts[bucket(d)].Add(1)
	h.nanos.Add(int64(max(d, 0)))
}

// Counts is a copy of a histogram at one moment.
type Counts struct {
	buckets [buckets]uint64
	N       uint64
	Total   time.Duration
}

// Snapshot copies the counts.
func (h *Histogram) Snapshot() *Counts {
	c := &Counts{Total: time.Duration(h.nanos.Load())}
	for i := range h.counts {
		c.buckets[i] = h.counts[i].Load()
		c.N += c.buckets[i]
	}
	return c
}

// Sub returns what was observed since the earlier copy o, which may be nil.
func (c *Counts) Sub(o *Counts) *Counts {
	if o == nil {
		return c
	}
	d := &Counts{Total: c.Total - o.Total}
	for i := range c.buckets {
		d.buckets[i] = c.buckets[i] - o.buckets[i]
		d.N += d.buckets[i]
	}
	return d
}

// Quantile returns the upper edge of the bucket that holds quantile q (0 to 1),
// 0 when nothing was observed.
func (c *Counts) Quantile(q float64) time.Duration {
	if c.N == 0 {
		return 0
	}
	rank := max(uint64(q*float64(c.N)+0.999999), 1)
	var seen uint64
	for i, n := range c.buckets {
		if seen += n; seen >= rank {
			return upper(i)
		}
	}
	return upper(buckets - 1)
}

// Mean is the average duration, 0 when nothing was observed.
func (c *Counts) Mean() time.Duration {
	if c.N == 0 {
		return 0
	}
	return c.Total / time.Duration(c.N)
}

func bucket(d time.Duration) int {
	us := uint64(max(d, 0) / time.Microsecond)
	if us < 2*linear {
		return int(us)
	}
	shift := bits.Len64(us) - 5 // us>>shift is in [16,32)
	return min(shift*linear+int(us>>shift), buckets-1)
}

func upper(i int) time.Duration {
	if i < 2*linear {
		return time.Duration(i+1) * time.Microsecond
	}
	shift := i/linear - 1
	return time.Duration(uint64(i-shift*linear+1)<<shift) * time.Microsecond
}
