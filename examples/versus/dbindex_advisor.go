package main

import "github.com/perfblocks/perfblocks/examples/versus/internal/bench"

// advisorParts are the comparisons of dbindex/advisor: its advice for the chat
// application beside the index sets of other tools, by real run times. They take ten
// minutes and more; VERSUS_USERS=1000 and VERSUS_STATEMENTS=200 in the environment make a
// shorter run, whose figures are shown and not judged: the goals hold for 5000 users.
func advisorParts() []func(*bench.Report) error {
	return []func(*bench.Report) error{
		func(r *bench.Report) error { return r.FromTests("./advice", "^TestBars$") },
		func(r *bench.Report) error { return r.FromTests("./advice", "^TestBarsRenamed$") },
		func(r *bench.Report) error { return r.FromTests("./advice", "^TestStatements$") },
	}
}
