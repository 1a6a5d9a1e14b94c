// Package advisor proposes the indexes that make a whole workload fast within
// budgets, and proves the proposal by running it.
//
// # Getting started
//
//	work, err := advisor.ParseWorkload(text) // or FromStatements, or a Recorder
//	w, err := advisor.NewToggle(ctx, scratch, "app_copy")
//	defer w.Close()
//	advice, err := advisor.Advise(ctx, w, work, advisor.Options{MaxBytes: 300 << 20})
//	advice, err = advisor.Verify(ctx, w, advice, work, advisor.VerifyOptions{})
//	fmt.Print(advice)
//	report, err := live.Apply(ctx, db, advice.Plan().Without(dbindex.Drop), live.Options{})
//
// Who answers what a query would cost is a [WhatIf]. [Toggle] and [SQLite] work on a
// scratch copy, where they build indexes and run queries; [HypoPG] asks an extension of
// PostgreSQL and changes nothing; [Heuristic] knows declared tables only. None touches a
// server that takes writes unless told so: a Toggle wants the name of the copy repeated,
// and refuses a database in which others work.
//
// Planner's costs rank plans of one query well and queries beside each other badly. So a
// backend that can run queries times the workload first, and again with what the search
// has chosen, and the search weighs by that. A choice that runs slower than the one before
// is given up.
//
// # Units
//
// Sizes are bytes, weights are executions in any one unit, gains are shares of the
// whole workload, costs are the planner's, write costs are those of writing a row to a
// table without indexes.
//
// # Concurrency
//
// Nothing starts a goroutine; Progress functions run on the caller's. A [WhatIf] pins one
// connection of the pool and serves one call at a time. A [Recorder] is safe for
// concurrent use, and holds no lock while the driver works.
//
// # Errors
//
// Bad options and workloads match [ErrOptions], databases that may serve others
// [ErrPrimary]. When ctx ends, the error carries context.Cause. A query that cannot be
// planned is no error: its [QueryAdvice] says why.
//
// # Cost
//
// A search asks for some thousand plans, a fraction of a millisecond each: about 4000 for
// the 32 queries of TestBars in examples/versus/advice. A Toggle also builds each
// candidate, some hundred; [Options].Shortlist leaves it some dozen. It runs the workload
// twice before the search and at most 24 times after it. Verify runs the workload twelve
// times, as often again for each index that it suspects, and the users of each proposal
// twelve times more.
//
// # Limits
//
// Advice is for the queries that are given: no workload is complete, so look at
// live.Usage before a drop. Constants stand in predicates only when they are in the text
// of a query and the column has at most 20 values; those of parameters never do. No
// indexes are proposed on partitioned, foreign and temporary tables, and no unique,
// hash or multi-column GIN ones. Write costs are estimates, never measured. Searches inside text need
// the extension pg_trgm. Behind a Recorder, sql.Conn.Raw gives the recorder's connection.
// Plans are those of a superuser, whom row-level security does not bind. SQLite tells no
// costs, so those of that backend, and its sizes, are this package's estimates.
//
// # Background
//
// Schlosser, Kossmann, Boissier: Efficient Scalable Multi-attribute Index Selection
// Using Recursive Strategies (Extend), ICDE 2019. Kossmann, Halfpap, Jankrift,
// Schlosser: Magic mirror in my hand, which is the best in the land?, PVLDB 13(11).
// Plans show every condition with its table, views expanded, so PostgreSQL's own
// EXPLAIN (VERBOSE, FORMAT JSON) takes the place of an SQL parser.
package advisor
