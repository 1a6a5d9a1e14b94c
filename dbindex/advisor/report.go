package advisor

import (
	"cmp"
	"context"
	"slices"

	"github.com/perfblocks/perfblocks/dbindex"
)

// advice turns the present choice into the result.
func (s *search) advice(ctx context.Context) (*Advice, error) {
	a := &Advice{Estimates: s.plans, budget: s.o.MaxBytes}
	if s.c == nil {
		return a, nil
	}
	a.Dialect = s.c.dialect
	cfg := config{with: s.chosen, hidden: s.hidden}
	usedBy := map[string][]int{}
	for i, it := range s.items {
		qa := QueryAdvice{Name: it.q.Name, Weight: it.q.Weight, Before: it.base, After: it.now, Reason: it.reason, Candidates: it.derived}
		if it.base > 0 {
			e, err := s.cost(ctx, i, cfg, false)
			if err != nil {
				return nil, err
			}
			qa.Uses = e.used
			for _, u := range e.used {
				usedBy[u] = append(usedBy[u], i)
			}
		}
		a.Queries = append(a.Queries, qa)
	}
	for _, c := range s.chosen {
		p, err := s.proposal(ctx, c, usedBy[c.index.Name])
		if err != nil {
			return nil, err
		}
		a.Create = append(a.Create, p)
		a.Bytes += c.bytes
	}
	slices.SortStableFunc(a.Create, func(x, y Proposal) int { return cmp.Compare(y.Gain, x.Gain) })
	a.WriteGrowth = s.growth(s.chosen)
	if !s.o.DisableDrops {
		s.removals(a, usedBy)
	}
	return a, nil
}

// proposal explains one chosen index.
func (s *search) proposal(ctx context.Context, c *candidate, users []int) (Proposal, error) {
	p := Proposal{Index: c.index, Bytes: c.bytes, WriteCost: c.writes, Confidence: s.w.confidence()}
	costs, err := s.costs(ctx, change{out: c}.from(config{with: s.chosen, hidden: s.hidden}), c, false)
	if err != nil {
		return p, err
	}
	saved := func(i int) float64 {
		t := s.items[i].took
		return (t.at(costs[i]) - t.at(s.items[i].now)) * s.items[i].q.Weight
	}
	for i := range s.items {
		p.Gain += saved(i)
	}
	p.Gain = max(p.Gain/max(s.total, 1e-9), 0)
	slices.SortStableFunc(users, func(i, j int) int { return cmp.Compare(saved(j), saved(i)) })
	for _, i := range users {
		p.Queries = append(p.Queries, s.items[i].q.Name)
	}
	return p, nil
}

// removals lists existing indexes on the workload's tables that are not needed: those
// given up in the search, or those that no plan reads, without which the planner would
// choose the same.
func (s *search) removals(a *Advice, usedBy map[string][]int) {
	for _, t := range s.c.sorted() {
		for _, ix := range t.indexes {
			if reason := s.whyDrop(ix, usedBy); reason != "" {
				a.Drop = append(a.Drop, Removal{Index: ix, Reason: reason, Confidence: s.w.confidence()})
				a.Bytes -= t.sizes[ix.Name]
			}
		}
	}
}

func (s *search) whyDrop(ix dbindex.Index, usedBy map[string][]int) string {
	if !s.mayDrop(ix) {
		return ""
	}
	given := s.gaveUp(ix)
	by := s.coveredBy(ix)
	switch {
	case ix.Invalid:
		return "it is invalid: writes maintain it, no query uses it"
	case by != "" && (given || len(usedBy[ix.Name]) == 0):
		return "its keys are the first of " + by
	case given:
		return "the queries that used it are as fast with the proposals"
	case s.w.canHide() || len(usedBy[ix.Name]) > 0 || s.servesForeignKey(ix):
		return ""
	}
	return "no query of the workload uses it"
}

// foreignKeyServedWithout reports whether another index begins with the same keys for
// all rows, so that deleting a referenced row still finds its rows.
func (s *search) foreignKeyServedWithout(ix dbindex.Index) bool {
	serves := func(o dbindex.Index) bool {
		return o.Table == ix.Table && o.Schema == ix.Schema && o.Where == nil && o.Method == dbindex.BTree && !o.Invalid &&
			len(o.Keys) > 0 && o.Keys[0].Column == ix.Keys[0].Column
	}
	for _, c := range s.chosen {
		if serves(c.index) {
			return true
		}
	}
	for _, o := range s.c.of(ix).indexes {
		if o.Name != ix.Name && !s.gaveUp(o) && serves(o) {
			return true
		}
	}
	return false
}

// coveredBy names a chosen or existing index that does all that ix does.
func (s *search) coveredBy(ix dbindex.Index) string {
	for _, c := range s.chosen {
		if widens(c.index, ix) {
			return c.index.Name
		}
	}
	for _, have := range s.c.of(ix).indexes {
		if have.Name != ix.Name && !have.Invalid && widens(have, ix) && (len(have.Keys)+len(have.Include) > len(ix.Keys)+len(ix.Include) || have.Unique || have.Name < ix.Name) {
			return have.Name
		}
	}
	return ""
}

// servesForeignKey reports whether deleting a referenced row looks for its rows by ix.
func (s *search) servesForeignKey(ix dbindex.Index) bool {
	if ix.Where != nil || ix.Method != dbindex.BTree {
		return false
	}
	for _, f := range s.c.foreign {
		if f.Table != ix.Table || f.Schema != ix.Schema || len(f.Columns) > len(ix.Keys) {
			continue
		}
		all := true
		for _, k := range ix.Keys[:len(f.Columns)] {
			all = all && slices.Contains(f.Columns, k.Column)
		}
		if all {
			return true
		}
	}
	return false
}
