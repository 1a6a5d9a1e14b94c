package advisor

import (
	"context"
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

// probe runs each query as the database is, and returns the mean milliseconds over its
// samples: a planner's cost says what is cheaper for one query, but between queries it
// is wrong by tens of times, for LIMIT, text searches and data in memory above all.
// What cannot be run has zero.
func probe(ctx context.Context, w Scratch, work Workload, o Options) ([]float64, error) {
	w.limit(probeTimeout)
	if err := w.use(ctx, config{}); err != nil {
		return nil, err
	}
	out := make([]float64, len(work))
	asking, err := askingTime(ctx, w)
	if err != nil {
		return nil, err
	}
	for i, q := range work {
		o.Progress(Progress{Stage: "probe", Done: i, Total: len(work), What: q.Name})
		if _, err := w.tables(ctx, q); err != nil || !runnable(w, q) {
			if ctx.Err() != nil {
				return nil, err
			}
			continue
		}
		if err := w.use(ctx, config{}); err != nil {
			return nil, err
		}
		samples := [][]any{nil}
		if len(q.Args) > 0 {
			samples = q.Args[:min(len(q.Args), o.Samples)]
		}
		sum := 0.0
		for _, args := range samples {
			d, err := warm(ctx, w, q, args)
			if ctx.Err() != nil {
				return nil, err
			}
			if err != nil {
				sum = 0
				break
			}
			sum += max(ms(d)-asking, probeLeast)
		}
		out[i] = sum / float64(len(samples))
	}
	return out, nil
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

// warm times a run whose data is in memory, or is slow anyway.
func warm(ctx context.Context, w Scratch, q Query, args []any) (time.Duration, error) {
	d, err := w.run(ctx, q, args)
	if err != nil || d > probeSlow {
		return d, err
	}
	return w.run(ctx, q, args)
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
// was measured at one or two costs.
type curve struct {
	base, baseMS float64 // as the database was
	now, nowMS   float64 // with what was chosen; zero before that was measured
}

// at goes straight from point to point.
func (c curve) at(cost float64) float64 {
	switch {
	case c.base <= 0: // it cannot be planned
		return 0
	case c.now <= 0:
		return cost / c.base * c.baseMS
	case cost <= c.now || c.base <= 1.05*c.now:
		return cost / c.now * c.nowMS
	case cost >= c.base:
		return cost / c.base * c.baseMS
	}
	return c.nowMS + (c.baseMS-c.nowMS)*(cost-c.now)/(c.base-c.now)
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

// refine runs the workload with what was chosen, in turns with the database as it is, and
// searches on: what was made fast for one query may have been what brought the data of
// the next to memory.
func (s *search) refine(ctx context.Context, w Scratch) error {
	chosen := config{with: s.chosen, hidden: s.hidden}
	for _, cfg := range []config{{}, chosen, {}, chosen} {
		times, err := s.mix(ctx, w, cfg)
		if err != nil {
			return err
		}
		for i, it := range s.items {
			if len(cfg.with) > 0 && times[i] > 0 {
				it.took.now, it.took.nowMS = it.now, times[i]
			}
		}
	}
	return s.run(ctx)
}

// mix runs each query once under a choice, and returns the mean milliseconds over its
// samples; zero for what cannot be run.
func (s *search) mix(ctx context.Context, w Scratch, cfg config) ([]float64, error) {
	if err := w.use(ctx, cfg); err != nil {
		return nil, err
	}
	asking, err := askingTime(ctx, w)
	if err != nil {
		return nil, err
	}
	out := make([]float64, len(s.items))
	for i, it := range s.items {
		if it.base == 0 || !runnable(w, it.q) {
			continue
		}
		for _, args := range it.args {
			d, err := w.run(ctx, it.q, args)
			if ctx.Err() != nil {
				return nil, err
			}
			if err != nil {
				out[i] = 0
				break
			}
			out[i] += max(ms(d)-asking, probeLeast) / float64(len(it.args))
		}
	}
	return out, nil
}
