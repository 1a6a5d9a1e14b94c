package memory

import (
	"context"
	"fmt"
	"log/slog"
	"time"
)

// LimitSource says where the limit of a [Stats] comes from.
type LimitSource uint8

const (
	// LimitSourceNone means that no limit is known: Usage is 0.
	LimitSourceNone LimitSource = iota
	// LimitSourceExplicit is MonitorOptions.Limit.
	LimitSourceExplicit
	// LimitSourceCgroupV1 is the lowest limit of the process's control groups in
	// the version 1 memory hierarchy, parents included.
	LimitSourceCgroupV1
	// LimitSourceCgroupV2 is the lowest of memory.max and memory.high over the
	// process's control group and the parents that it can see.
	LimitSourceCgroupV2
	// LimitSourceGoMemLimit is the runtime's soft limit (GOMEMLIMIT), which counts
	// the memory of the Go runtime only.
	LimitSourceGoMemLimit
	// LimitSourceSystem is the machine's memory, when there is no other limit.
	LimitSourceSystem
)

// String returns "none", "explicit", "cgroup1", "cgroup2", "gomemlimit" or "system".
func (s LimitSource) String() string {
	switch s {
	case LimitSourceNone:
		return "none"
	case LimitSourceExplicit:
		return "explicit"
	case LimitSourceCgroupV1:
		return "cgroup1"
	case LimitSourceCgroupV2:
		return "cgroup2"
	case LimitSourceGoMemLimit:
		return "gomemlimit"
	case LimitSourceSystem:
		return "system"
	}
	return fmt.Sprintf("LimitSource(%d)", uint8(s))
}

// MarshalText returns the name as String does, so that JSON shows it.
func (s LimitSource) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// PSI is the kernel's pressure stall information for memory: the share of the
// last ten seconds, from 0 to 1, that tasks lost waiting for memory.
type PSI struct {
	// Some is the share of time in which at least one task waited.
	Some float64
	// Full is the share of time in which every task waited at once.
	Full float64
	// Host tells that the figures are the whole machine's, because the process's
	// own control group has none. A Monitor does not judge by them.
	Host bool
}

// Stats is one reading of the process's memory. Every size is in bytes and of the
// moment At; counts are since the process started. What the system cannot tell is
// zero: outside Linux that is RSS, PSI and everything about control groups.
type Stats struct {
	// At is when the reading was taken.
	At time.Time

	// HeapLive is what the last garbage collection found reachable. Garbage made
	// since then is not in it, which makes it steady where HeapObjects is a sawtooth.
	HeapLive int64
	// HeapObjects is live objects and garbage not yet swept.
	HeapObjects int64
	// HeapGoal is the heap size at which the next collection is to end.
	HeapGoal int64
	// HeapIdle is heap memory free for reuse and not given back to the system.
	HeapIdle int64
	// HeapReleased is heap memory given back to the system.
	HeapReleased int64
	// Stacks is the memory of goroutine stacks.
	Stacks int64
	// GoTotal is all memory that the Go runtime holds, without HeapReleased; it is
	// what GOMEMLIMIT counts.
	GoTotal int64

	// RSS is the resident memory of the process.
	RSS int64
	// WorkingSet is the usage of the control group less inactive file pages, as
	// the kubelet reports it.
	WorkingSet int64
	// Committed is the usage of the control group less all file pages, which the
	// kernel can drop by itself.
	Committed int64

	// Used is the part that neither a collection nor the kernel can free: live
	// heap, stacks, the runtime's own structures and, if the limit counts it, memory
	// from outside Go. It is comparable with Limit.
	Used int64
	// Limit is the limit that leaves the least room, in bytes; 0 means none.
	Limit int64
	// LimitSource says which limit that is.
	LimitSource LimitSource
	// CgroupLimit is the lowest limit of the control groups, 0 for none.
	CgroupLimit int64
	// GoMemLimit is the runtime's soft limit, 0 for none.
	GoMemLimit int64

	// PSI is the pressure stall information, zero if there is none.
	PSI PSI
	// GCCPU is the collector's share of the program's processor time, 0 to 1, without
	// its work on processors that were idle otherwise: in a Monitor over the last two
	// seconds or so, as of the last collection that ended, and falling since; in
	// ReadStats since the start of the process.
	GCCPU float64
	// GCLimited tells that the runtime just had to limit the collector's
	// processor time, the sign that Limit is too near to the live heap.
	GCLimited bool
	// GCCycles counts completed collections.
	GCCycles uint64
	// GCForced counts those that the program asked for.
	GCForced uint64
	// Goroutines is the number of goroutines now.
	Goroutines int
}

// Usage returns Used/Limit, or 0 when there is no limit. It can pass 1.
func (s Stats) Usage() float64 {
	if s.Limit <= 0 {
		return 0
	}
	return float64(s.Used) / float64(s.Limit)
}

// Headroom returns the bytes between Used and Limit, at least 0. Without a limit
// it returns the largest int64.
func (s Stats) Headroom() int64 {
	if s.Limit <= 0 {
		return 1<<63 - 1
	}
	return max(0, s.Limit-s.Used)
}

// String returns the main figures in one line, in MiB, for a person to read.
func (s Stats) String() string {
	const mib = 1 << 20
	return fmt.Sprintf("used %d MiB of %d MiB (%s), heap live %d MiB, rss %d MiB, goroutines %d",
		s.Used/mib, s.Limit/mib, s.LimitSource, s.HeapLive/mib, s.RSS/mib, s.Goroutines)
}

// LogValue returns the main figures as a group of attributes, sizes in bytes.
func (s Stats) LogValue() slog.Value {
	return slog.GroupValue(
		slog.Int64("used", s.Used),
		slog.Int64("limit", s.Limit),
		slog.String("limit_source", s.LimitSource.String()),
		slog.Float64("usage", s.Usage()),
		slog.Int64("heap_live", s.HeapLive),
		slog.Int64("heap_objects", s.HeapObjects),
		slog.Int64("heap_idle", s.HeapIdle),
		slog.Int64("stacks", s.Stacks),
		slog.Int64("rss", s.RSS),
		slog.Float64("gc_cpu", s.GCCPU),
		slog.Uint64("gc_cycles", s.GCCycles),
		slog.Int("goroutines", s.Goroutines),
	)
}

// withLimit makes limit the one to judge by if it leaves less room than the one
// already there. used is the memory that this limit counts.
func (s *Stats) withLimit(limit, used int64, source LimitSource) {
	if limit <= 0 {
		return
	}
	// Compare used/limit by cross-multiplication in floats: no overflow.
	if s.Limit > 0 {
		here, there := float64(used)*float64(s.Limit), float64(s.Used)*float64(limit)
		if here < there || here == there && limit >= s.Limit {
			return
		}
	}
	s.Limit, s.Used, s.LimitSource = limit, used, source
}

// ReadStats reads the memory of the process once. It opens the files it needs
// and closes them again; to read often, let a [Monitor] keep them open. An error
// says that a source which exists could not be read; the rest is still filled in.
func ReadStats() (Stats, error) {
	r := newReader(false)
	defer r.close()
	return r.read(time.Now())
}

// Log writes one reading of the process's memory to l at level Info, as a group
// "memory" beside msg. A nil l means [slog.Default]. A reading that failed in part
// is logged with its error at level Warn.
func Log(l *slog.Logger, msg string) {
	if l == nil {
		l = slog.Default()
	}
	s, err := ReadStats()
	if err != nil {
		l.LogAttrs(context.Background(), slog.LevelWarn, msg, slog.Any("memory", s), slog.String("error", err.Error()))
		return
	}
	l.LogAttrs(context.Background(), slog.LevelInfo, msg, slog.Any("memory", s))
}

// IsHigh reads the memory once and reports whether at least 70 % of the limit
// cannot be reclaimed. It has no hysteresis; on a hot path use [Monitor.Level].
func IsHigh() bool {
	s, _ := ReadStats()
	return s.Usage() >= defaultHigh
}

// IsCritical reads the memory once and reports whether at least 85 % of the
// limit cannot be reclaimed. It has no hysteresis; on a hot path use
// [Monitor.Level].
func IsCritical() bool {
	s, _ := ReadStats()
	return s.Usage() >= defaultCritical
}
