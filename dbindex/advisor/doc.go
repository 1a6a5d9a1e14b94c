// Package advisor proposes the indexes that make a whole workload fast within
// budgets, and proves the proposal by running it.
//
// # Getting started
//
//	work, err := advisor.ParseWorkload(text)
//	w, err := advisor.NewHypoPG(ctx, db, advisor.HypoPGOptions{AllowPrimary: true})
//	defer w.Close()
//	advice, err := advisor.Advise(ctx, w, work, advisor.Options{MaxBytes: 300 << 20})
//	fmt.Print(advice)
//	report, err := live.Apply(ctx, db, advice.Plan().Without(dbindex.Drop), live.Options{})
//
// # Units
//
// Sizes are bytes, weights are executions in any unit, gains are shares of the whole
// workload, costs are the planner's.
//
// # Concurrency
//
// Nothing starts a goroutine. A [WhatIf] serves one call at a time.
//
// # Errors
//
// Bad options and workloads match [ErrOptions]. A query that cannot be planned is no
// error: its [QueryAdvice] says why.
//
// # Cost
//
// The search asks for some thousand plans.
//
// # Limits
//
// Advice is for the queries that are given. Indexes on partitioned tables are not
// proposed.
//
// # Background
//
// Schlosser, Kossmann, Boissier: Efficient Scalable Multi-attribute Index Selection
// Using Recursive Strategies (Extend), ICDE 2019. Kossmann, Halfpap, Jankrift,
// Schlosser: Magic mirror in my hand, which is the best in the land?, PVLDB 13(11).
package advisor
