package advisor

import (
	"fmt"
	"strings"
	"time"

	"github.com/perfblocks/perfblocks/dbindex"
)

// Confidence says what a figure rests on.
type Confidence uint8

// From least to most.
const (
	Unverified Confidence = iota // rules only: nobody asked a database
	Estimated                    // the planner's estimate
	Measured                     // real runs, with and without
)

// String returns "unverified", "estimated" or "measured".
func (c Confidence) String() string {
	switch c {
	case Unverified:
		return "unverified"
	case Estimated:
		return "estimated"
	case Measured:
		return "measured"
	}
	return fmt.Sprintf("Confidence(%d)", uint8(c))
}

// Proposal is an index to create.
type Proposal struct {
	// Index with its Name filled in.
	Index dbindex.Index
	// Queries are the names of those that use it, most helped first.
	Queries []string
	// Gain is the share of the whole workload that it saves beside the rest of the
	// advice, from 0 to 1: of the run time when Confidence is Measured, else of what the
	// planner's costs stand for.
	Gain float64
	// Bytes on disk: the real size when Confidence is Measured or the backend built it,
	// else an estimate.
	Bytes int64
	// WriteCost is what it adds to writing one row of its table, in units of writing a
	// row without indexes. An estimate always.
	WriteCost float64
	// Confidence says what Gain rests on.
	Confidence Confidence
}

// Removal is an existing index that the workload does not need.
type Removal struct {
	// Index as it is.
	Index dbindex.Index
	// Reason in a sentence.
	Reason string
	// Confidence says what that rests on. No workload is complete: look at live.Usage
	// of every replica before dropping.
	Confidence Confidence
}

// Rejection is an index that verification took out again.
type Rejection struct {
	// Index that was proposed before.
	Index dbindex.Index
	// Reason in a sentence, such as the query that it slowed down.
	Reason string
}

// QueryAdvice is what becomes of one query.
type QueryAdvice struct {
	// Name of the query.
	Name string
	// Weight of the query, filled in.
	Weight float64
	// Before and After are the planner's costs without and with the advice.
	Before, After float64
	// RunBefore and RunAfter are median run times; zero before [Verify], and for a query
	// that it could not run.
	RunBefore, RunAfter time.Duration
	// Uses names the proposed and existing indexes in the plan after the advice.
	Uses []string
	// Reason says why there is nothing to propose, or why the query could not be
	// planned; empty when there were candidates.
	Reason string
	// Candidates is how many indexes were considered for it.
	Candidates int
}

// Advice is the result of [Advise], and after [Verify] a proven one. It is a plain
// value.
type Advice struct {
	// Dialect of the database.
	Dialect dbindex.Dialect
	// Create lists the proposals, the one that saves most first.
	Create []Proposal
	// Drop lists existing indexes that are not needed once Create is there.
	Drop []Removal
	// Rejected lists what Verify took out, and why.
	Rejected []Rejection
	// Queries in the order of the workload.
	Queries []QueryAdvice
	// Bytes is what Create takes, less what Drop gives back.
	Bytes int64
	// WriteGrowth is how much more a write costs, weighed by the tables' writes so far:
	// 0.5 is half as much again. An estimate, for what Advise proposed: Verify may have
	// taken out a part.
	WriteGrowth float64
	// Estimates is how many plans were asked for.
	Estimates int
	// Took is the time of the search; Verified that of Verify, zero before it.
	Took, Verified time.Duration

	budget int64 // of the options, for Verify
}

// Plan returns the advice as changes for migrations and live.Apply: creations first,
// then drops. Plan().Without(dbindex.Drop) only adds.
func (a *Advice) Plan() dbindex.Plan {
	p := dbindex.Plan{Dialect: a.Dialect}
	for _, c := range a.Create {
		p.Steps = append(p.Steps, dbindex.Step{Op: dbindex.Create, Index: c.Index})
	}
	for _, d := range a.Drop {
		p.Steps = append(p.Steps, dbindex.Step{Op: dbindex.Drop, Index: d.Index})
	}
	return p
}

// Indexes returns the proposed definitions.
func (a *Advice) Indexes() []dbindex.Index {
	var list []dbindex.Index
	for _, c := range a.Create {
		list = append(list, c.Index)
	}
	return list
}

// Cost returns the weighted sums over all queries, before and after: planner's costs,
// or milliseconds of run time once verified.
func (a *Advice) Cost() (before, after float64) {
	for _, q := range a.Queries {
		b, c := q.Before, q.After
		if a.Verified > 0 {
			b, c = ms(q.RunBefore), ms(q.RunAfter)
		}
		before += b * q.Weight
		after += c * q.Weight
	}
	return before, after
}

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// String explains the advice, one index to a paragraph, for people.
func (a *Advice) String() string {
	var b strings.Builder
	before, after := a.Cost()
	unit := "planner's cost"
	if a.Verified > 0 {
		unit = "ms"
	}
	fmt.Fprintf(&b, "%d to create, %d to drop, %+.1f MB, workload %.4g to %.4g %s\n", len(a.Create), len(a.Drop), float64(a.Bytes)/1e6, before, after, unit)
	for _, p := range a.Create {
		text, err := p.Index.SQL(a.Dialect)
		if err != nil {
			text = err.Error()
		}
		fmt.Fprintf(&b, "%s\n  gain %.1f%% (%s), %.1f MB, writes +%.0f%% (estimated), for %s\n", text, 100*p.Gain, p.Confidence, float64(p.Bytes)/1e6, 100*p.WriteCost, list(p.Queries, 5))
	}
	for _, d := range a.Drop {
		fmt.Fprintf(&b, "drop %s on %s: %s (%s)\n", d.Index.Name, d.Index.Table, d.Reason, d.Confidence)
	}
	for _, q := range a.Queries {
		if a.Verified > 0 && tooSlow(q.RunBefore, q.RunAfter) {
			fmt.Fprintf(&b, "slower: %s takes %.3g ms, %.3g ms before, and taking back one or two changes does not mend it\n", q.Name, ms(q.RunAfter), ms(q.RunBefore))
		}
	}
	for _, r := range a.Rejected {
		fmt.Fprintf(&b, "rejected %s on %s: %s\n", r.Index.Name, r.Index.Table, r.Reason)
	}
	return b.String()
}

// list writes the first names.
func list(names []string, most int) string {
	if len(names) == 0 {
		return "no query"
	}
	if len(names) <= most {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(names[:most], ", "), len(names)-most)
}
