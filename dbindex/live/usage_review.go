package live

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/perfblocks/perfblocks/dbindex"
)

// Why an index is in a [Review].
const (
	Unused    = "unused"    // no query used it
	Duplicate = "duplicate" // another does all that it does
	Redundant = "redundant" // its keys are the first keys of another
	Invalid   = "invalid"   // no query can use it
	Bloated   = "bloated"   // a fresh build would be much smaller
)

// Review is what is to be said about one index.
type Review struct {
	Index  IndexUsage // the index and its counters
	Why    string     // [Unused], [Duplicate], [Redundant], [Invalid] or [Bloated]
	Reason string     // in a sentence, with the figures
	Other  string     // the index that does its work, if any
	Drop   bool       // it belongs in a drop plan; else the Fix repairs it
	Fix    string     // one statement
}

// Review returns what could go or be repaired, largest first within each reason. An
// index is unused only if the counters are at least minAge old; the other reasons need
// no counters. Those of constraints are left out, and so is what is being built.
func (r UsageReport) Review(minAge time.Duration) []Review {
	byName := map[[2]string]IndexUsage{}
	for _, u := range r.Indexes {
		byName[[2]string{u.Schema, u.Name}] = u
	}
	var out []Review
	seen := map[[2]string]bool{}
	add := func(v Review) {
		key := [2]string{v.Index.Schema, v.Index.Name}
		if !seen[key] && !v.Index.Building && v.Index.Constraint == dbindex.NoConstraint {
			seen[key] = true
			out = append(out, v)
		}
	}
	for _, f := range dbindex.Lint(r.Dialect, r.Schema, dbindex.LintOptions{}) {
		u, ok := byName[[2]string{f.Schema, f.Index}]
		why := map[string]string{dbindex.RuleInvalid: Invalid, dbindex.RuleDuplicate: Duplicate, dbindex.RuleRedundant: Redundant}[f.ID]
		if ok && why != "" && f.Severity > dbindex.Info {
			add(Review{Index: u, Why: why, Reason: f.Message, Other: f.Other, Drop: why != Invalid, Fix: f.Fix})
		}
	}
	for _, u := range r.Unused(minAge) {
		fix, _ := r.dropStep(u)
		add(Review{Index: u, Why: Unused, Drop: true, Fix: fix,
			Reason: fmt.Sprintf("no scan in %s; it takes %d bytes and a share of every write", r.At.Sub(r.Since).Round(time.Hour), u.Bytes)})
	}
	for _, u := range r.Indexes {
		if u.Bloat > 0.5 && u.Bytes > 10<<20 {
			add(Review{Index: u, Why: Bloated, Fix: "REINDEX INDEX CONCURRENTLY " + qualified(u.Schema, u.Name) + ";",
				Reason: fmt.Sprintf("about %.0f %% of its %d bytes are empty", 100*u.Bloat, u.Bytes)})
		}
	}
	order := []string{Invalid, Duplicate, Redundant, Unused, Bloated}
	slices.SortStableFunc(out, func(a, b Review) int {
		return cmp.Or(cmp.Compare(slices.Index(order, a.Why), slices.Index(order, b.Why)), cmp.Compare(b.Index.Bytes, a.Index.Bytes))
	})
	return out
}

// dropStep returns the statement that drops an index, and its definition.
func (r UsageReport) dropStep(u IndexUsage) (fix string, ix *dbindex.Index) {
	for _, ix := range r.Schema.Indexes {
		if ix.Schema == u.Schema && ix.Name == u.Name {
			st, err := dbindex.Step{Op: dbindex.Drop, Index: ix}.Statements(r.Dialect, true)
			if err != nil {
				return "", nil
			}
			return st[0].SQL + ";", &ix
		}
	}
	return "", nil
}

// DropPlan returns the plan that drops what [UsageReport.Review] says may go. Its
// Reverse creates each again as it is now, and so do the down files of its migration.
// What cannot be read, and so not created again, is left out.
func (r UsageReport) DropPlan(minAge time.Duration) dbindex.Plan {
	p := dbindex.Plan{Dialect: r.Dialect}
	for _, v := range r.Review(minAge) {
		if !v.Drop {
			continue
		}
		if _, ix := r.dropStep(v.Index); ix != nil {
			p.Steps = append(p.Steps, dbindex.Step{Op: dbindex.Drop, Index: *ix})
		}
	}
	return p
}

// Merge adds the counters of another server of the same data, such as a replica: an
// index is unused only where no server uses it. The counters count as old as the
// younger ones.
func (r UsageReport) Merge(other UsageReport) UsageReport {
	if other.Since.After(r.Since) {
		r.Since = other.Since
	}
	r.Indexes = slices.Clone(r.Indexes)
	for i, u := range r.Indexes {
		for _, o := range other.Indexes {
			if o.Schema == u.Schema && o.Name == u.Name {
				u.Scans += o.Scans
				u.TuplesRead += o.TuplesRead
				u.TuplesFetched += o.TuplesFetched
				u.BlocksHit += o.BlocksHit
				u.BlocksRead += o.BlocksRead
				if o.LastScan.After(u.LastScan) {
					u.LastScan = o.LastScan
				}
				r.Indexes[i] = u
			}
		}
	}
	slices.SortStableFunc(r.Indexes, func(a, b IndexUsage) int {
		return cmp.Or(cmp.Compare(b.Scans, a.Scans), cmp.Compare(b.Bytes, a.Bytes))
	})
	return r
}

// HotShare returns which share of the updates of the index's table touched no index,
// from 0 to 1; 1 when there were none.
func (r UsageReport) HotShare(u IndexUsage) float64 {
	for _, t := range r.Schema.Tables {
		if t.Schema == u.Schema && t.Name == u.Table && t.Updates > 0 {
			return float64(t.HotUpdates) / float64(t.Updates)
		}
	}
	return 1
}
