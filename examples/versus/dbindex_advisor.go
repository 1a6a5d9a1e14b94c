package main

import "github.com/perfblocks/perfblocks/examples/versus/internal/bench"

// advisorParts are the comparisons of dbindex/advisor: its advice for the chat
// application beside the index sets of other tools, by real run times. Those that are
// held against goals take ten minutes, so a run that is not full has a fifth of the
// data, and shows the figures without judging what holds for the whole only.
func advisorParts() []func(*bench.Report) error {
	part := func(pattern string) func(*bench.Report) error {
		return func(r *bench.Report) error {
			users, statements := "1000", "200"
			if r.Full {
				users, statements = "", ""
			}
			return r.FromTests("./advice", pattern, "VERSUS_USERS="+users, "VERSUS_STATEMENTS="+statements)
		}
	}
	return []func(*bench.Report) error{part("^TestBars$"), part("^TestBarsRenamed$"), part("^TestStatements$")}
}
