package advisor

import (
	"context"
	"errors"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/perfblocks/perfblocks/dbindex"
)

// item is one query during the search.
type item struct {
	q       Query
	args    [][]any // samples, at least one, nil where there are none
	tables  map[*table]bool
	seen    []*access
	usable  map[int]bool // candidates that a plan may read, by id
	base    float64      // cost without candidates
	now     float64      // cost with those chosen
	took    curve        // what costs mean in time
	reason  string
	derived int // candidates it gave
}

// cached is the cost of one query under one choice of the indexes on its tables.
type cached struct {
	cost     float64
	used     []string
	accesses []*access
}

// search is one run of Advise.
type search struct {
	w     WhatIf
	o     Options
	c     *catalog
	gen   generator
	items []*item
	all   []*candidate          // in the order of discovery
	byKey map[string]*candidate // by definition
	only  map[string]bool       // definitions that may be tried; nil is all
	cache map[string]cached     // by query and choice

	readied int // candidates that ready has seen

	chosen  []*candidate
	hidden  []dbindex.Index // existing indexes given up
	weights float64
	total   float64 // weighted sum of base costs, in milliseconds
	plans   int
}

// floor is the time, in milliseconds, below which a query is as fast as it will get:
// about what asking takes. Factors are taken above it.
const floor = 0.1

// worth is what a workload costs in milliseconds: the weighted sum, and the weighted
// mean of the logarithms of the factors against the workload as it is.
type worth struct{ sum, logs float64 }

func (s *search) worth(costs []float64) (w worth) {
	for i, it := range s.items {
		if it.base == 0 {
			continue
		}
		w.add(it, it.took.at(costs[i]), s.weights)
	}
	return w
}

// slowed is what a query that is too slow for Verify adds to worth.logs, whatever its
// weight: to mend that is better than to reject the index that did it.
const slowed = 0.05

// add counts a query that takes t milliseconds.
func (w *worth) add(it *item, t, weights float64) {
	w.sum += it.q.Weight * t
	if t > slowerFactor*it.took.baseMS && t-it.took.baseMS > ms(slowerBy) {
		w.logs += slowed
	}
	w.logs += it.q.Weight * math.Log((t+floor)/(it.took.baseMS+floor)) / max(weights, 1e-9)
}

// minus is how much less o costs.
func (w worth) minus(o worth) worth { return worth{w.sum - o.sum, w.logs - o.logs} }

// gain is what a saving counts when the workload costs now: the logarithm of the factor
// by which the sum falls, and the mean logarithm of those of the queries, half each. As
// the sum falls, what is left of it counts more.
func (now worth) gain(saved worth) float64 {
	left := max(now.sum-saved.sum, now.sum*1e-6, 1e-9)
	return 0.5*math.Log(max(now.sum, 1e-9)/left) + 0.5*saved.logs
}

// begin plans the workload as it is and derives the first candidates.
func (s *search) begin(ctx context.Context, work Workload) error {
	for i, q := range work {
		s.o.Progress(Progress{Stage: "candidates", Done: i, Total: len(work), What: q.Name})
		it := &item{q: q, args: [][]any{nil}, tables: map[*table]bool{}, usable: map[int]bool{}}
		if len(q.Args) > 0 {
			it.args = q.Args[:min(len(q.Args), s.o.Samples)]
		}
		s.items = append(s.items, it)
		c, err := s.w.tables(ctx, q)
		if c != nil {
			s.c = c
		}
		if err == nil {
			err = s.first(ctx, i)
		}
		if ctx.Err() != nil {
			return err
		}
		if err != nil {
			it.reason, it.base = "cannot be planned: "+err.Error(), 0
		}
	}
	return nil
}

// first plans a query without candidates and derives some.
func (s *search) first(ctx context.Context, i int) error {
	it := s.items[i]
	s.gen = generator{c: s.c, methods: s.o.Methods, maxKeys: s.o.MaxKeys}
	e, err := s.plan(ctx, it, config{}, false)
	if err != nil {
		return err
	}
	it.base, it.now = max(e.cost, 0.01), max(e.cost, 0.01)
	for _, a := range e.accesses {
		it.tables[a.table] = true
	}
	s.derive(it, e.accesses)
	if it.derived == 0 {
		it.reason = whyNone(e.accesses)
	}
	return nil
}

// whyNone says why a query gave no candidates.
func whyNone(list []*access) string {
	if len(list) == 0 {
		return "it reads no table that could be indexed"
	}
	for _, a := range list {
		if a.table.refused != "" {
			return "table " + a.table.name + ": " + a.table.refused
		}
	}
	for _, a := range list {
		for _, c := range a.conds {
			if c.op == opSearch {
				return "a search inside text needs the extension pg_trgm: CREATE EXTENSION pg_trgm"
			}
		}
		if len(a.conds) > 0 {
			return "its conditions on table " + a.table.name + " are served by a unique index, or by none"
		}
	}
	return "it reads whole tables: nothing is filtered, joined or sorted by a column"
}

// plan asks for the mean cost over the samples of a query, or only for the first.
func (s *search) plan(ctx context.Context, it *item, cfg config, quick bool) (cached, error) {
	var out cached
	samples := it.args
	if quick {
		samples = samples[:1]
	}
	for _, args := range samples {
		e, err := s.w.estimate(ctx, it.q, args, cfg)
		if err != nil {
			return cached{}, err
		}
		s.plans++
		out.cost += e.cost / float64(len(samples))
		for _, u := range e.used {
			if !slices.Contains(out.used, u) {
				out.used = append(out.used, u)
			}
		}
		out.accesses = append(out.accesses, e.accesses...)
	}
	return out, nil
}

// derive adds the candidates of accesses.
func (s *search) derive(it *item, list []*access) {
	for _, a := range list {
		if !slices.ContainsFunc(it.seen, a.sameAs) {
			it.seen = append(it.seen, a)
			clear(it.usable)
		}
		for _, ix := range s.gen.candidates(a) {
			if s.propose(ix) {
				it.derived++
			}
		}
	}
}

// canonical is the index with its derived name and its included columns in order, which
// means nothing: two that do the same are one candidate.
func canonical(ix dbindex.Index) dbindex.Index {
	ix.Include = slices.Sorted(slices.Values(ix.Include))
	ix.Name = ""
	ix.Name = ix.DerivedName()
	return ix
}

// propose adds a candidate, unless an existing index is the same. It reports whether
// the definition is a candidate, old or new.
func (s *search) propose(ix dbindex.Index) bool {
	ix = canonical(ix)
	key, err := ix.SQL(s.c.dialect)
	if err != nil {
		return false
	}
	if s.byKey[key] != nil {
		return true
	}
	for _, have := range s.c.of(ix).indexes {
		if !have.Invalid && ix.Equivalent(s.c.dialect, have) {
			return true
		}
	}
	if s.only != nil && !s.only[key] {
		return true
	}
	c := &candidate{id: len(s.all) + 1, index: ix, writes: writeCost(s.c.of(ix), ix)}
	s.all = append(s.all, c)
	s.byKey[key] = c
	return true
}

// writeCost is what an index adds to writing a row, in units of writing the row: a
// descent and an entry of a btree cost about a fifth of it, an entry of GIN for each
// word or trigram some times that, a summary nearly nothing.
func writeCost(t *table, ix dbindex.Index) float64 {
	cost := 0.2 + 0.02*float64(len(ix.Keys)+len(ix.Include)-1)
	switch ix.Method {
	case dbindex.GIN:
		cost = 1.5
	case dbindex.GiST, dbindex.SPGiST:
		cost = 0.4
	case dbindex.BRIN:
		cost = 0.01
	}
	if ix.Where != nil {
		cost *= 0.6
	}
	return cost
}

// ready makes all new candidates usable; those that cannot be had are left out.
func (s *search) ready(ctx context.Context, from int) error {
	for i, c := range s.all[from:] {
		s.o.Progress(Progress{Stage: "build", Done: from + i, Total: len(s.all), What: c.index.Name})
		c.bytes, c.err = s.w.prepare(ctx, c)
		if ctx.Err() != nil {
			return c.err
		}
	}
	s.readied = len(s.all)
	return nil
}

// costs returns the cost of each query under a choice. Only queries on the table of
// changed may differ from the present ones; nil means all. A quick answer plans one
// sample of each query, and takes the factor by which it changes for that of all.
func (s *search) costs(ctx context.Context, cfg config, changed *candidate, quick bool) ([]float64, error) {
	out := make([]float64, len(s.items))
	for i, it := range s.items {
		out[i] = it.now
		if it.base == 0 || changed != nil && !it.tables[s.c.of(changed.index)] {
			continue
		}
		e, err := s.cost(ctx, i, cfg, quick)
		if err != nil {
			return nil, err
		}
		if out[i] = e.cost; quick {
			now, err := s.cost(ctx, i, config{with: s.chosen, hidden: s.hidden}, true)
			if err != nil {
				return nil, err
			}
			out[i] = it.now * e.cost / max(now.cost, 0.01)
		}
	}
	return out, nil
}

// cost plans one query under a choice, or remembers it: only indexes that it could
// use matter.
func (s *search) cost(ctx context.Context, i int, cfg config, quick bool) (cached, error) {
	it := s.items[i]
	quick = quick && len(it.args) > 1
	var ids []int
	for _, c := range cfg.with {
		if it.couldUse(s.c.of(c.index), c) {
			ids = append(ids, c.id)
		}
	}
	slices.Sort(ids)
	key := strconv.AppendInt(nil, int64(i), 10)
	if quick {
		key = append(key, 'q')
	}
	for _, id := range ids {
		key = strconv.AppendInt(append(key, ' '), int64(id), 10)
	}
	for _, h := range cfg.hidden {
		if it.tables[s.c.of(h)] {
			key = append(append(key, " -"...), h.Name...)
		}
	}
	if e, ok := s.cache[string(key)]; ok {
		return e, nil
	}
	e, err := s.plan(ctx, it, cfg, quick)
	if it.base > 0 && ofStatement(err) {
		e, err = cached{cost: it.base}, nil // no better than without
	}
	if err == nil {
		s.cache[string(key)] = e
	}
	return e, err
}

// ofStatement reports whether the server refused one statement, and works on. It may plan
// a query and not print another plan of it: EXPLAIN (VERBOSE) fails on some.
func ofStatement(err error) bool {
	var state interface{ SQLState() string }
	if !errors.As(err, &state) {
		return false
	}
	class := state.SQLState()
	return !strings.HasPrefix(class, "08") && !strings.HasPrefix(class, "57")
}

// couldUse reports whether any plan of the query may read an index: it compares, joins,
// sorts or groups by the first key, or finds all that it reads in the index.
func (it *item) couldUse(t *table, c *candidate) bool {
	may, ok := it.usable[c.id]
	if !ok {
		may = slices.ContainsFunc(it.seen, func(a *access) bool {
			return a.table == t && (a.names(c.index.Keys[0]) || a.within(c.index))
		})
		it.usable[c.id] = may
	}
	return may
}

// sizeOf is the size of a choice in bytes.
func sizeOf(list []*candidate) (n int64) {
	for _, c := range list {
		n += c.bytes
	}
	return n
}

// growth is how much more a write costs with the indexes: over all tables, weighed by
// their writes, in units of what it costs now.
func (s *search) growth(list []*candidate) float64 {
	now, more := 0.0, 0.0
	for _, t := range s.c.tables {
		each := 1.0
		for _, ix := range t.indexes {
			each += writeCost(t, ix)
		}
		now += (t.writes + 1) * each
	}
	for _, c := range list {
		more += (s.c.of(c.index).writes + 1) * c.writes
	}
	return more / max(now, 1)
}

// fits reports whether a choice keeps to the budgets.
func (s *search) fits(list []*candidate) bool {
	return s.over(list) <= 0 &&
		(s.o.MaxIndexes == 0 || len(list) <= s.o.MaxIndexes) &&
		(s.o.MaxWriteGrowth == 0 || s.growth(list) <= s.o.MaxWriteGrowth)
}

// over is by how many bytes a choice exceeds its budget, negative for what is left.
func (s *search) over(list []*candidate) int64 {
	if s.o.MaxBytes == 0 {
		return 0
	}
	return sizeOf(list) - s.givenUp() - s.o.MaxBytes
}

// givenUp is the size of the existing indexes that are hidden.
func (s *search) givenUp() (n int64) {
	for _, ix := range s.hidden {
		n += s.c.of(ix).sizes[ix.Name]
	}
	return n
}
