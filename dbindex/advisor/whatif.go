package advisor

import (
	"context"

	"github.com/perfblocks/perfblocks/dbindex"
)

// WhatIf answers what a query would cost if other indexes existed. Make one with
// [NewHypoPG], [NewToggle], [NewSQLite] or [NewHeuristic]; only this package implements
// it. A WhatIf serves one call at a time.
type WhatIf interface {
	// Close undoes what the backend did and gives its connection back. It may be
	// called twice.
	Close() error

	// tables loads what is known of the tables that the query reads.
	tables(ctx context.Context, q Query) (*catalog, error)
	// prepare makes a candidate ready for estimate and returns its size in bytes.
	prepare(ctx context.Context, c *candidate) (int64, error)
	// estimate plans one execution of a query as if exactly config existed beside the
	// indexes that are there, less those hidden.
	estimate(ctx context.Context, q Query, args []any, config config) (estimate, error)
	// confidence is what its figures are worth.
	confidence() Confidence
	// canHide reports whether existing indexes can be left out of a config.
	canHide() bool
}

// config is a choice of indexes.
type config struct {
	with   []*candidate
	hidden []dbindex.Index // existing ones left out
}

// candidate is an index under consideration.
type candidate struct {
	id     int
	index  dbindex.Index // with its name
	bytes  int64
	writes float64 // cost of keeping it up, in units of writing one row
	alone  float64 // fall of the score when it was first tried
	err    error   // why it cannot be had
}

// estimate is one plan.
type estimate struct {
	cost     float64
	accesses []*access
	used     []string // names of the indexes that the plan reads
}

// literals are the constants in the text of a query.
func literals(toks []token) map[string]bool {
	m := map[string]bool{}
	for i, t := range toks {
		switch {
		case t.kind == str:
			m[t.val] = true
		case t.kind == number:
			m[t.text] = true
			if i > 0 && toks[i-1].isSymbol("-") {
				m["-"+t.text] = true
			}
		case t.isWord("true"), t.isWord("false"):
			m[t.val] = true
		}
	}
	return m
}
