package memory

import (
	"math"
	"runtime"
	"runtime/metrics"
	"time"
)

// Indexes into reader.samples.
const (
	mHeapLive = iota
	mHeapObjects
	mHeapUnused
	mHeapFree
	mHeapReleased
	mHeapStacks
	mTotal
	mHeapGoal
	mMemLimit
	mCycles
	mForced
	mLimiter
	mGCCPU
	mGCIdleCPU
	mTotalCPU
	mGoroutines
	mCount
)

// metricNames are the runtime's metrics in the order of the indexes above.
var metricNames = [mCount]string{
	mHeapLive:     "/gc/heap/live:bytes",
	mHeapObjects:  "/memory/classes/heap/objects:bytes",
	mHeapUnused:   "/memory/classes/heap/unused:bytes",
	mHeapFree:     "/memory/classes/heap/free:bytes",
	mHeapReleased: "/memory/classes/heap/released:bytes",
	mHeapStacks:   "/memory/classes/heap/stacks:bytes",
	mTotal:        "/memory/classes/total:bytes",
	mHeapGoal:     "/gc/heap/goal:bytes",
	mMemLimit:     "/gc/gomemlimit:bytes",
	mCycles:       "/gc/cycles/total:gc-cycles",
	mForced:       "/gc/cycles/forced:gc-cycles",
	mLimiter:      "/gc/limiter/last-enabled:gc-cycle",
	mGCCPU:        "/cpu/classes/gc/total:cpu-seconds",
	mGCIdleCPU:    "/cpu/classes/gc/mark/idle:cpu-seconds",
	mTotalCPU:     "/cpu/classes/total:cpu-seconds",
	mGoroutines:   "/sched/goroutines:goroutines",
}

// reader takes readings. It is used by one goroutine at a time.
type reader struct {
	samples [mCount]metrics.Sample
	os      osReader
	limit   int64 // an explicit limit, 0 for none

	share gcShare
}

// newReader returns a reader; keep tells it to hold files open between readings.
func newReader(keep bool) *reader {
	r := &reader{os: newOSReader(keep)}
	for i, name := range metricNames {
		r.samples[i].Name = name
	}
	return r
}

// close closes the files. A reading that comes later all the same opens its own.
func (r *reader) close() {
	r.os.close()
	r.os = newOSReader(false)
}

// osReading is what the operating system says.
type osReading struct {
	rss         int64
	systemTotal int64
	cgroup      cgroupReading
	hostPSI     PSI
}

func (r *reader) read(now time.Time) (Stats, error) {
	s := Stats{At: now}
	overhead := r.readRuntime(&s)
	o, err := r.os.read(now)
	s.apply(o, s.HeapLive+s.Stacks+overhead, r.limit)
	return s, err
}

// readRuntime fills in what the Go runtime knows and returns the size of its own
// structures.
func (r *reader) readRuntime(s *Stats) (overhead int64) {
	metrics.Read(r.samples[:])
	s.HeapLive = r.bytes(mHeapLive)
	s.HeapObjects = r.bytes(mHeapObjects)
	s.HeapGoal = r.bytes(mHeapGoal)
	unused := r.bytes(mHeapUnused)
	s.HeapIdle = r.bytes(mHeapFree)
	s.HeapReleased = r.bytes(mHeapReleased)
	s.Stacks = r.bytes(mHeapStacks)
	s.GoTotal = r.bytes(mTotal) - s.HeapReleased
	if s.HeapLive == 0 {
		s.HeapLive = s.HeapObjects // before the first collection
	}
	if limit := r.bytes(mMemLimit); limit < math.MaxInt64 {
		s.GoMemLimit = limit
	}
	s.GCCycles, s.GCForced = r.count(mCycles), r.count(mForced)
	if last := r.count(mLimiter); last > 0 {
		s.GCLimited = s.GCCycles-min(last, s.GCCycles) <= 1
	}
	s.Goroutines = int(r.count(mGoroutines))
	// Marking on processors that had nothing else to do takes nothing from the program.
	s.GCCPU = r.share.next(r.float(mGCCPU)-r.float(mGCIdleCPU), r.float(mTotalCPU), s.At, runtime.GOMAXPROCS(0))
	return max(0, s.GoTotal-s.HeapObjects-unused-s.HeapIdle-s.Stacks)
}

// shareSpan is the time over which a share is averaged: a single burst that makes the
// collector work for some tenths of a second is no reason to leave its garbage.
const shareSpan = 2 * time.Second

// gcShare computes the collector's share of processor time as a moving average. The
// runtime moves its counters only at the end of a collection; until then the share
// falls as if none was under way.
type gcShare struct {
	gc, total float64   // the counters when they last moved, in seconds
	at        time.Time // when that was seen
	share     float64   // as of then
}

// next returns the share as of now, from 0 to 1. The first one is since the start of
// the process.
func (g *gcShare) next(gc, total float64, now time.Time, procs int) float64 {
	if total > g.total {
		share := min(1, max(0, (gc-g.gc)/(total-g.total)))
		old := math.Exp(-(total - g.total) / float64(procs) / shareSpan.Seconds())
		if g.at.IsZero() {
			old = 0
		}
		g.share = g.share*old + share*(1-old)
		g.gc, g.total, g.at = gc, total, now
	}
	return g.share * math.Exp(-max(0, now.Sub(g.at).Seconds())/shareSpan.Seconds())
}

func (r *reader) count(i int) uint64 {
	if v := r.samples[i].Value; v.Kind() == metrics.KindUint64 {
		return v.Uint64()
	}
	return 0
}

func (r *reader) bytes(i int) int64 { return int64(min(r.count(i), math.MaxInt64)) }

func (r *reader) float(i int) float64 {
	if v := r.samples[i].Value; v.Kind() == metrics.KindFloat64 {
		return v.Float64()
	}
	return 0
}

// apply joins the system's view to the runtime's: goUsed is what Go cannot free,
// explicit a limit that the caller adds.
func (s *Stats) apply(o osReading, goUsed, explicit int64) {
	s.RSS = o.rss
	s.Used = goUsed + max(0, o.rss-s.GoTotal)
	c := o.cgroup
	s.PSI = o.hostPSI
	if c.hasPSI {
		s.PSI = c.psi
	}
	if c.version > 0 {
		s.WorkingSet = max(0, c.usage-c.inactiveFile)
		s.Committed = max(0, s.WorkingSet-c.activeFl)
		s.CgroupLimit = c.limit
	}
	source := LimitSourceCgroupV2
	if c.version == 1 {
		source = LimitSourceCgroupV1
	}
	s.withLimit(explicit, s.Used, LimitSourceExplicit)
	if c.limit > 0 {
		s.withLimit(c.limit, goUsed+max(0, s.Committed-s.GoTotal), source)
	}
	if s.GoMemLimit > 0 {
		s.withLimit(s.GoMemLimit, goUsed, LimitSourceGoMemLimit)
	}
	if s.Limit == 0 {
		s.withLimit(o.systemTotal, s.Used, LimitSourceSystem)
	}
}
