package advisor

import (
	"cmp"
	"context"
	"slices"
)

// finish removes what nobody uses, measures what each index is worth, and keeps to the
// budget: an existing index that stays after all may have taken the place of another.
func (v *verifier) finish(ctx context.Context) error {
	v.unused()
	for {
		if err := v.gains(ctx); err != nil {
			return err
		}
		if v.a.budget == 0 || v.a.Bytes <= v.a.budget || len(v.a.Create) == 0 {
			break
		}
		least := slices.MinFunc(v.a.Create, func(x, y Proposal) int {
			return cmp.Compare(x.Gain/float64(x.Bytes+1), y.Gain/float64(y.Bytes+1))
		})
		v.out(v.candidate(least), "an index that was to be dropped stays, and MaxBytes has no room for both")
		if err := v.settle(ctx); err != nil {
			return err
		}
	}
	slices.SortStableFunc(v.a.Create, func(x, y Proposal) int { return cmp.Compare(y.Gain, x.Gain) })
	for i := range v.a.Drop {
		v.a.Drop[i].Confidence = Measured
	}
	return nil
}

func (v *verifier) candidate(p Proposal) *candidate {
	return v.cands[slices.IndexFunc(v.cands, func(c *candidate) bool { return c.index.Name == p.Index.Name && c.index.Schema == p.Index.Schema })]
}

// unused takes out what no plan reads beside the others.
func (v *verifier) unused() {
	for _, p := range slices.Clone(v.a.Create) {
		if !slices.ContainsFunc(v.a.Queries, func(q QueryAdvice) bool { return slices.Contains(q.Uses, p.Index.Name) }) && !v.needed(p) {
			v.out(v.candidate(p), "no query reads it beside the others")
		}
	}
}

// needed reports whether a proposal stands in for an index that is to be dropped.
func (v *verifier) needed(p Proposal) bool {
	return slices.ContainsFunc(v.a.Drop, func(r Removal) bool { return replaces(p.Index, r.Index) })
}

// gains measures what each index is worth beside the others: runs of the queries that
// use it, without it and with what was to be dropped because of it.
func (v *verifier) gains(ctx context.Context) error {
	total := 0.0
	for _, i := range v.runs {
		total += ms(v.before[i]) * v.work[i].Weight
	}
	v.a.Bytes = 0
	for n := range v.a.Create {
		p := &v.a.Create[n]
		v.o.Progress(Progress{Stage: "gain", Done: n, Total: len(v.a.Create), What: p.Index.Name})
		p.Gain, p.Confidence = 0, Measured
		var users []int
		for _, i := range v.runs {
			if slices.Contains(v.uses[i], p.Index.Name) {
				users = append(users, i)
			}
		}
		times, err := v.race(ctx, []choice{{v.with(), users}, {change{out: v.candidate(*p)}.from(v.with()), users}})
		if err != nil {
			return err
		}
		saved := func(i int) float64 { return ms(times[1][i]-times[0][i]) * v.work[i].Weight }
		for _, i := range users {
			p.Gain += saved(i)
		}
		slices.SortStableFunc(users, func(i, j int) int { return cmp.Compare(saved(j), saved(i)) })
		p.Queries = nil
		for _, i := range users {
			p.Queries = append(p.Queries, v.work[i].Name)
		}
		p.Gain = max(p.Gain/max(total, 1e-9), 0)
		v.a.Bytes += p.Bytes
	}
	for _, d := range v.a.Drop {
		v.a.Bytes -= v.s.sizeOf(d.Index)
	}
	return nil
}
