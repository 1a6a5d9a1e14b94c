// Package cache keeps typed values in memory under one bound, loads each missing
// one once, and never serves what was invalidated.
//
// # Getting started
//
// One [Cache] holds the bound and the tags; each kind of value gets a [View] with a
// [Strategy] of its own:
//
//	c, err := cache.New(cache.Options{MaxBytes: 64 << 20})
//	users, err := cache.Add(c, cache.Strategy[User]{Name: "user_data", TTL: 5 * time.Minute})
//	u, err := users.Load(ctx, id, func(ctx context.Context, e *cache.Entry[User]) (User, error) {
//		u, err := db.User(ctx, id)
//		e.DependsOn("team:" + u.Team)
//		return u, err
//	})
//	err = c.DeleteTag(ctx, "team:"+team) // after the team has changed in the database
//
// Invalidate after the change is visible to loaders, not before. A Load inside a
// loader, with the loader's ctx, makes the outer entry depend on the inner one.
//
// There are two verbs. Delete ([View.Delete], [Cache.DeleteTag]) is hard: the value
// is never served again. Expire ([View.Expire], [Cache.ExpireTag]) is soft: the
// value may still answer within StaleWhileRevalidate and StaleIfError. Where it is
// known what a change does to a value, [View.Update] writes it into the entry, which
// spares the load that the other two cause.
//
// # Units
//
// Sizes are in bytes, durations are [time.Duration], shares (Jitter, RefreshAhead,
// FillTo, the target of Shrink) are fractions of one. Stale windows count from the
// end of freshness, as in RFC 5861.
//
// # Concurrency
//
// All methods are safe for concurrent use. A loader runs on a goroutine of its own,
// with a ctx that has the values of the first caller's, no deadline, and ends when
// every caller has gone, at HardTimeout, or at Close. Hooks run on the goroutine that
// did the work, without locks. [New] starts no goroutine, except one for a second
// level. A sweep runs on one for as long as it takes, and so does the repetition of
// invalidations that the second level refused. [Cache.Close] waits for all. Reads of the
// default engine take no lock, and its writes one for the time of some memory accesses.
//
// What holds, with every engine: Set is readable when it returns, and the last Set
// wins. A Load that begins after an invalidation returned answers with a value whose
// load began after the invalidation did. A load that ran meanwhile, whether for a
// Load, LoadMany, Warm, refresh or from the second level, answers only those who
// waited before, and is not stored. After a soft invalidation an old value may also
// answer within the stale windows, and never without one.
//
// # Errors
//
// [New] and [Add] return errors matching [ErrOptions]. Load returns the loader's
// error as it is, a [PanicError], [ErrTimeout], [ErrCycle], [ErrClosed], or the
// error of the caller's ctx with its cause. Set returns [ErrTooLarge] or
// [ErrClosed]. With a second level, Set and the invalidating verbs also return its
// error: memory has changed then, other nodes have not been told yet, and the cache
// tells them before it uses the second level again. Loads never fail for it.
//
// # Cost
//
// A hit allocates nothing (TestHitAllocs, BenchmarkViewLoadHit): it is one read of
// the engine and one atomic comparison; after an invalidation anywhere, each entry
// compares the stamps of its tags once. While a cache is busy, a timer keeps the moment
// 100 times a second, so that hits read the clock only within a second of an entry's
// end. While no loader runs, hits do not look for one in ctx. Once a 16th of the bound
// is used, a hit leaves a note of what it used, and while the cache evicts at least once in
// a thousand lookups, one hit in 32 ranks what was noted; otherwise most notes are dropped.
// An entry is one allocation of 16 bytes beside its value, 40 with tags and 8 more
// for each tag of its own, 56 with stale windows (TestLayoutSizes), and in the default
// engine a node of 64 bytes, 8 to 16 in its table, and 16 to 32 for counters of uses once
// they matter (TestLFUCell, TestLFUMemory). Invalidating a tag is O(1) in the
// number of entries, and O(n) in the tags below it in the graph of [Cache.Depend].
// A miss costs a goroutine and some allocations besides the loader. Entries with a
// compressed value decode at each hit. A dictionary ([TrainDict]) takes 1.1 MiB per
// strategy for its coders, and makes JSON of 656 bytes three times smaller where Zstd
// alone makes it 1.6 times (TestDictSmaller). A restored value is decoded once, by the
// first read of it. Sizes are estimated once per store, by a
// bounded walk.
//
// # Limits
//
//   - Returned values are shared: do not modify them, or give a Clone.
//   - An entry is below 4 GiB; with a larger value Set returns ErrTooLarge.
//   - Bytes of more than 1 MiB that compression makes more than 1024 times smaller are
//     kept as they are: a record that claims such is taken for damaged.
//   - No strategy has priority over another: an engine's weight says how much room an
//     entry takes, not how much it is wanted. With otter, twice or four times the weight
//     for half of the keys of a Zipf load lowered the hit ratio of both halves alike
//     (75.0 and 75.1 % to 71.8 and 71.9, and 68.6 and 68.8). Give what must stay a cache
//     of its own.
//   - A strategy is in memory, or with a Codec in the second level too ([Strategy.Levels]);
//     not there alone.
//   - There are at most 65,536 strategies in a cache.
//   - Dead entries take room until read, evicted or swept.
//   - Writes of the default engine take turns: each holds its one lock while it finds room.
//   - When a process was not run for more than a second (stopped, or its machine was),
//     hits may answer with what has outlived its TTL until the timer has run, which is
//     at once, or 10 milliseconds later at the most. Invalidations need no clock.
//   - An entry that merely outlives its TTL and is loaded anew does not invalidate
//     what was built from it.
//   - Get does not wait for a running load, and does not see stale values.
//   - Within StaleIfError the first Load after more than a minute without a failure
//     waits for the loader: give a HardTimeout, or a breaker, to an upstream that
//     hangs. During the minute after a failure an old value may answer although the
//     upstream is back, until the attempt that the call starts has ended.
//   - A loader that does not listen to its ctx delays Close.
//   - Edges of [Cache.Depend] stay until Close; there may be a million.
//   - A Load inside a loader without the loader's ctx is not recorded, and one of the
//     loader's own key then waits for itself.
//   - Names and nodes of tags are not counted in MaxBytes.
//   - While the second level refuses more than 16,384 invalidations, they become one
//     of all records, on all nodes.
//   - What names an entry that is not in memory ([Entry.DependsOn] with a [View.Tag]) is hit
//     by the Tags of that entry's strategy; by its own tags once it has been loaded.
//   - Without a working push from the second level, other nodes see an invalidation
//     after Options.TagRecheck at the latest.
//   - A node that lacks the dictionary of a record counts it as a miss and loads: give
//     a new dictionary to all nodes as a second one first, then as the first one.
//   - What happened between a snapshot and the start of the process that restores it is
//     not known ([Cache.Restore]). A restored entry holds its own tag besides the others,
//     until it is replaced.
//   - Nodes load the same cold key each for themselves, unless Strategy.Lease is set.
//   - A value added with a negative TTL stays until evicted or invalidated; its
//     record in the second level lasts a year.
//
// # Background
//
// Tags by stamps rather than by sets of keys: a set must be kept, found and walked,
// and a load that races its deletion stores the old value. The default engine is an
// adaptive W-TinyLFU (Einziger, Friedman and Manes, ACM Transactions on Storage 13, 2017)
// whose window climbs the hit ratio as Caffeine's does, with shorter periods. Stale windows
// follow RFC 5861.
package cache
