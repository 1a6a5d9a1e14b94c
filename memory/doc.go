// Package memory keeps a process alive at its memory limit: caches bounded by items
// and bytes that give memory back under pressure, a monitor that tells how near the
// limit is, and byte budgets for work in flight.
//
// # Getting started
//
//	m, err := memory.NewMonitor(memory.MonitorOptions{})
//	if err != nil { … }
//	defer m.Close()
//	err = m.Start(ctx)                          // samples once a second, sooner near a threshold
//
//	pages, err := memory.NewCache(memory.CacheOptions[string, []byte]{
//		MaxItems: 1000, MaxBytes: 50 << 20, Monitor: m,
//	})
//	page, err := pages.GetOrLoad(ctx, "page:"+id, render)
//
// The parts work alone as well: a [Cache] or [Semaphore] without a monitor keeps to
// its own bound, [ReadStats], [Log], [IsHigh] and [IsCritical] are one-shot, and
// [Batches] and [Process] bound a stream. [SetLimit] tells the Go runtime of the
// container's limit. [Monitor.Run] and [Checkpoint] make a long operation yield
// while memory is short. [LeakDetector] tells of heaps and goroutines that grow
// without end.
//
// # Units
//
// Sizes are bytes (int64), times are [time.Duration], shares are from 0 to 1. Levels
// are judged on [Stats].Used, the bytes that neither a collection nor the kernel can
// free, against the limit that leaves the least room: of the control groups
// (version 1, 2 and hybrid, parents included), of GOMEMLIMIT and of
// MonitorOptions.Limit. Usage as the system shows it would be wrong here: with
// GOMEMLIMIT it stands near the limit by design.
//
// # Concurrency
//
// Everything is safe for concurrent use unless its comment says otherwise. No lock
// is held while a caller's function runs. OnEvict runs on the goroutine whose call
// removed the value, which for a load is the load's own; SizeOf on the one that
// sets. A Monitor has no goroutine before Start and two after, one for samples and
// one for callbacks, shrinkers and collections, so that a slow callback does not
// delay a sample. OnChange callbacks run one at a time, in the order of the changes.
// GetOrLoad runs its function on a goroutine of its own. Close waits for all of them.
// Panics reach the caller; on a goroutine of the package they become the callers'
// [*PanicError] or, from callbacks, shrinkers, the Source and the Logger of a Monitor
// or a LeakDetector, are counted and logged where that is possible. The cache is consistent all the same,
// but what a panicking OnEvict was still to be told of by that call is not told.
//
// # Errors
//
// Constructors return errors matching [ErrOptions] that name every bad field.
// [ErrTooLarge] means that the bound has to be raised first; [ErrPressure] that the
// memory is short now; [ErrRateLimited], as a [*RateLimitError], that a collection
// would come too soon; [ErrClosed] that the object was closed. A call whose ctx ends
// returns an error matching ctx.Err() that carries [context.Cause]. [*PanicError]
// carries a panic of a loader or of a stream's function.
//
// # Cost
//
// Get, Set and Delete of a [Cache] are O(1) and take one shard's lock; Get does not
// allocate, and neither does Set of a flat value once the cache is full
// (TestCacheAllocations). An entry costs 24 bytes and its key and value in place,
// and about 7 bytes of table, under [PolicyScanResistant] 8 more of sketch; links are
// indexes, so a cache of pointer-free keys and values has nothing for the collector to
// scan. A shard's table grows in parts of at most 576 entries, a sketch doubles at
// once, which copies 8 bytes for each entry; an arena left far too large for its
// entries is packed by the call that removes one more. Shrink is linear in what
// remains, because it packs that. All copies one shard's keys and values at a time. Level is one
// atomic load, Checkpoint below LevelCritical a ctx lookup beside it
// (TestMonitorAllocations). A sample reads runtime/metrics and three to seven small
// files that are kept open, some 20 µs, and allocates nothing. SizeOf
// uses reflection except for strings, byte slices and types without pointers. A sample
// of a [LeakDetector] costs one collection and, for each goroutine, one allocation
// and some microseconds (BenchmarkLeakDetectorSample); by default it comes once an hour.
//
// # Limits
//
//   - The order of eviction under [PolicyLRU] is exact up to 4096 items or 4 MiB, the
//     bounds of NewCache, and All iterates in that order too; above, it is by shard, and
//     an entry that was used is spared when its turn comes instead of being moved at
//     each use. A goroutine that asks for what it has set after the others have replaced a
//     quarter of the shard can find it evicted.
//   - [PolicyScanResistant] hits more where many keys are used once or in loops: on 35
//     rows of 13 published traces 53.7 % in the mean, 0.1 more or less by the seed of the
//     hash, where LRU hits 40.0 and the optimum 60.3 (go run -C examples/versus .
//     -only memory -full, November 2026). Where only recency counts it stays some points below LRU, and it takes five uses of each entry to move
//     the window once. All counts of a shard are halved at once, which reads each of its
//     entries, once in ten uses of each. A Shrink that empties half of a shard makes it
//     forget how often absent keys were used.
//   - A cache counts what entries are charged. Default sizes follow the runtime's
//     size classes; a SizeOf of your own that leaves things out lets the heap grow
//     beyond MaxBytes by what it leaves out. Sizes are taken when a value is set.
//   - Keys and values stand in place: a shard has room for a few more than it holds,
//     which is not counted and matters for values of many KiB. Store pointers to those.
//   - Expired entries stay in memory until they are touched or evicted.
//   - Keys must be equal to themselves: a NaN can be set but never found.
//   - A program can fill its memory faster than a Monitor looks: bound what is held
//     with a Cache and a Semaphore, and let the Monitor move those bounds.
//   - A limit that is cut below what cannot be reclaimed kills the process at once
//     (version 2) or is refused by the kernel (version 1): nothing is to be seen before.
//   - A Semaphore and the streams bound what is declared, not what is allocated.
//   - A LeakDetector judges by growth over ten windows and cannot tell a leak from a
//     fill or a rise that goes on evenly for longer; see its comment.
//   - Outside Linux there is no RSS, control group or stall information: set
//     MonitorOptions.Limit or GOMEMLIMIT.
//   - The limit in [Stats] is the group's, but memory outside Go is only seen as the
//     difference of the group's usage and the runtime's total.
//
// # When forced collections help and when they hurt
//
// They help once, after a burst was dropped: no collection comes by itself to a
// program that has stopped allocating. A service that holds 64 MiB and three times
// 200 MiB more for a moment has, with [Monitor.Run] around the burst, 0.35 times the
// mean and 0.2 times the idle resident memory of the default, for 1.2 to 1.5 times
// the processor time, which goes into faulting the pages in again. A collection alone
// does not lower it; one that also gives memory back does. They hurt on a timer, by
// doing the same again and again, and near the limit, where the collector is the
// bottleneck already: there only shrinking helps. Hence the rules of Collect. For
// operations that come back every few seconds set MonitorOptions.DisableCollect; for
// a program that is idle now and then, OptimizeInterval.
//
// At a limit of 256 MiB and 1000 requests a second, a cache bounded by count is killed
// after 3 s, with GOMEMLIMIT beside it after 4 s: the collector can only free what
// nobody holds. With [SetLimit], a [Cache] of a third and a [Semaphore] of a quarter
// of the limit the same service lives, at 0.75 of the limit.
//
// These figures are of runs on two shared processors on 2026-11-27;
// "go run -C examples/versus . -only memory" prints those of yours, with -full also for
// runtime.GC, FreeOSMemory and a timer.
//
// # Background
//
// Control group files: https://docs.kernel.org/admin-guide/cgroup-v2.html and
// https://docs.kernel.org/admin-guide/cgroup-v1/memory.html. Stall information:
// https://docs.kernel.org/accounting/psi.html. The runtime's limit and why a tight
// one makes the collector spin: https://go.dev/doc/gc-guide. W-TinyLFU and its climber:
// https://arxiv.org/abs/1512.00727 and https://doi.org/10.1145/3274808.3274816. Sizes of
// maps follow the Swiss tables of Go 1.24: https://go.dev/blog/swisstable. "Rose in every
// window" as the sign of a leak is monigo's rule (https://github.com/iyashjayesh/monigo/pull/51);
// the orthogonal polynomials of the leak detector are those of R. A. Fisher,
// Statistical Methods for Research Workers, 1925, §27 to 28.
package memory
