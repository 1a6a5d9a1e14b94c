package advisor

import (
	"cmp"
	"context"
	"slices"
	"time"
)

// msPerCost is how many milliseconds a unit of the planner's cost is taken for where
// nobody has run the query.
const msPerCost = 0.01

// Bounds of the runs before the search.
const (
	probeTimeout = 15 * time.Second
	probeSlow    = time.Second // a run that takes longer is not repeated
	probeLeast   = 0.01        // ms
)

// probe runs the workload as the database is, twice, and returns the mean milliseconds of
// each query over its samples: a planner's cost says what is cheaper for one query, but
// between queries it is wrong by tens of times, for LIMIT, text searches and data in
// memory above all. Each query runs after the others, not after itself, since it is what
// they leave in memory that it will find. What cannot be run has zero.
func probe(ctx context.Context, w Scratch, work Workload, o Options) ([]float64, error) {
	w.limit(probeTimeout)
	if err := w.use(ctx, config{}); err != nil {
		return nil, err
	}
	asking, err := askingTime(ctx, w)
	if err != nil {
		return nil, err
	}
	var runs []int
	for i, q := range work {
		if _, err := w.tables(ctx, q); err == nil && runnable(w, q) {
			runs = append(runs, i)
		} else if ctx.Err() != nil {
			return nil, err
		}
	}
	if err := w.use(ctx, config{}); err != nil {
		return nil, err
	}
	out := make([]float64, len(work))
	for pass := range 2 {
		for n, i := range runs {
			o.Progress(Progress{Stage: "probe", Done: pass*len(runs) + n, Total: 2 * len(runs), What: work[i].Name})
			if out[i] > ms(probeSlow) || pass > 0 && out[i] == 0 {
				continue
			}
			if out[i], err = once(ctx, w, work[i], o.Samples, asking); err != nil {
				return nil, err
			}
		}
	}
	return out, nil
}

// once runs a query with some of its samples, and returns the mean milliseconds beyond
// those of asking; zero when it cannot be run.
func once(ctx context.Context, w Scratch, q Query, samples int, asking float64) (mean float64, err error) {
	args := [][]any{nil}
	if len(q.Args) > 0 {
		args = q.Args[:min(len(q.Args), samples)]
	}
	for _, a := range args {
		d, err := w.run(ctx, q, a)
		if ctx.Err() != nil {
			return 0, err
		}
		if err != nil {
			return 0, nil
		}
		mean += max(ms(d)-asking, probeLeast) / float64(len(args))
	}
	return mean, nil
}

// askingTime is what asking takes, in milliseconds: no index makes that less.
func askingTime(ctx context.Context, w Scratch) (least float64, err error) {
	for i := range 5 {
		d, err := w.run(ctx, Query{Name: "probe", SQL: "SELECT 1"}, nil)
		if err != nil {
			return 0, err
		}
		if i == 0 || ms(d) < least {
			least = ms(d)
		}
	}
	return least, nil
}

// runnable reports whether a query is one statement that reads or writes rows, so that
// a rollback undoes it, and whose parameters are known.
func runnable(w Scratch, q Query) bool {
	_, toks, ok := oneStatement(q.SQL)
	if !ok || len(q.Args) == 0 && w.unknown(toks) > 0 {
		return false
	}
	for len(toks) > 1 && toks[0].isSymbol("(") {
		toks = toks[1:]
	}
	switch toks[0].val {
	case "select", "with", "values", "table", "insert", "update", "delete", "merge", "replace":
		return toks[0].kind == word
	}
	return false
}

// curve says how many milliseconds a query takes at which cost: none at none, and what
// was measured.
type curve struct {
	base, baseMS float64 // as the database was
	points       []point // with what was chosen, by cost
}

// point is one measurement.
type point struct{ cost, ms float64 }

// near reports whether two costs are those of one plan, or of plans alike.
func near(a, b float64) bool { return a <= 1.05*b && b <= 1.05*a }

// put adds a measurement, which counts more than older ones of about the same cost, and
// than that of the database as it was: there other queries leave other data in memory.
func (c *curve) put(cost, ms float64) {
	c.points = slices.DeleteFunc(slices.Clone(c.points), func(p point) bool { return near(p.cost, cost) })
	c.points = append(c.points, point{cost, ms})
	slices.SortFunc(c.points, func(a, b point) int { return cmp.Compare(a.cost, b.cost) })
}

// at goes straight from point to point.
func (c curve) at(cost float64) float64 {
	if c.base <= 0 { // it cannot be planned
		return 0
	}
	if based := slices.ContainsFunc(c.points, func(p point) bool { return near(p.cost, c.base) }); !based {
		c.put(c.base, c.baseMS)
	}
	last := c.points[0]
	for _, p := range c.points {
		if cost <= p.cost && p != last {
			return last.ms + (p.ms-last.ms)*(cost-last.cost)/(p.cost-last.cost)
		}
		if last = p; cost <= p.cost {
			break
		}
	}
	return cost / last.cost * last.ms
}

// calibrate makes the curves of the queries: by their own runs, else by those of the
// others.
func (s *search) calibrate(probed []float64) {
	known, costs := 0.0, 0.0
	for i, it := range s.items {
		if it.base > 0 && probed != nil && probed[i] > 0 {
			known += it.q.Weight * probed[i]
			costs += it.q.Weight * it.base
		}
	}
	for i, it := range s.items {
		if it.base == 0 {
			continue
		}
		took := it.base * msPerCost
		switch {
		case probed != nil && probed[i] > 0:
			took = probed[i]
		case costs > 0:
			took = it.base * known / costs
		}
		it.took = curve{base: it.base, baseMS: took}
		s.total += it.q.Weight * took
		s.weights += it.q.Weight
	}
}
