package advisor

import (
	"context"
	"slices"

	"github.com/perfblocks/perfblocks/dbindex"
)

// Bounds of what counts as better, in units of [worth.gain].
const (
	minGain   = 1e-3 // to add an index
	minSwap   = 3e-4 // to exchange one for another
	writeRate = 1e-3 // for each unit of write growth
)

// move is a choice beside the present one: one index more, or one in place of others.
type move struct {
	add   *candidate
	saves worth   // as last computed
	gain  float64 // what that counts now
	size  int64   // of the choice after it, in bytes
	fresh int     // number of accepted moves when it was computed
}

// run chooses: add while it pays, then remove what became redundant, then exchange.
func (s *search) run(ctx context.Context) error {
	if err := s.ready(ctx, s.readied); err != nil {
		return err
	}
	// What is given up, packed or hidden leaves room for more.
	steps := []func(context.Context) error{s.extend, s.prune, s.pack, s.room, s.swap, s.hide, s.extend, s.prune}
	for _, step := range steps {
		if err := step(ctx); err != nil {
			return err
		}
	}
	return nil
}

// extend adds the index with the most gain for its size, again and again. Gains fall
// as others are chosen, so old ones are bounds, and most need not be computed anew.
func (s *search) extend(ctx context.Context) error {
	var moves []*move
	accepted, known := 0, 0
	for {
		for _, c := range s.all[known:] {
			if c.err == nil {
				m := &move{add: c, fresh: -1}
				if err := s.try(ctx, m, true); err != nil {
					return err
				}
				c.alone = m.gain
				moves = append(moves, m)
			}
		}
		known = len(s.all)
		best, err := s.best(ctx, moves, accepted)
		if err != nil || best == nil {
			return err
		}
		accepted++
		s.o.Progress(Progress{Stage: "search", Done: accepted, What: best.add.index.Name})
		if err := s.accept(ctx, s.after(best.add)); err != nil {
			return err
		}
		moves = slices.DeleteFunc(moves, func(m *move) bool { return m == best })
		if err := s.rederive(ctx, best.add); err != nil {
			return err
		}
	}
}

// best returns the move with the most gain for its size whose gain is up to date.
func (s *search) best(ctx context.Context, moves []*move, accepted int) (*move, error) {
	now := s.worth(s.present())
	for _, m := range moves {
		list := s.after(m.add)
		m.gain = now.gain(m.saves) - writeRate*(s.growth(list)-s.growth(s.chosen))
		m.size = sizeOf(list)
	}
	held := sizeOf(s.chosen)
	ratio := func(m *move) float64 { return m.gain / (float64(max(m.size-held, 0)) + 1<<20) }
	slices.SortStableFunc(moves, func(a, b *move) int {
		if ra, rb := ratio(a), ratio(b); ra != rb {
			if ra > rb {
				return -1
			}
			return 1
		}
		return 0
	})
	var best *move
	for _, m := range moves {
		if m.gain < minGain {
			continue
		}
		if best != nil && ratio(m) <= ratio(best) {
			break // the rest are bounded by less
		}
		if !s.fits(s.after(m.add)) {
			continue
		}
		if m.fresh != accepted {
			if err := s.try(ctx, m, false); err != nil {
				return nil, err
			}
			m.fresh = accepted
		}
		if m.gain >= minGain && (best == nil || ratio(m) > ratio(best)) {
			best = m
		}
	}
	return best, nil
}

// after is the choice once c is added: what c widens goes.
func (s *search) after(c *candidate) []*candidate {
	list := make([]*candidate, 0, len(s.chosen)+1)
	for _, h := range s.chosen {
		if !widens(c.index, h.index) {
			list = append(list, h)
		}
	}
	return append(list, c)
}

// widens reports whether w does all that n does: the same rows, n's keys first.
func widens(w, n dbindex.Index) bool {
	if w.Table != n.Table || w.Schema != n.Schema || w.Method != dbindex.BTree || n.Method != dbindex.BTree || len(w.Keys) < len(n.Keys) {
		return false
	}
	if (w.Where == nil) != (n.Where == nil) || w.Where != nil && w.Where.String() != n.Where.String() {
		return false
	}
	if !slices.Equal(w.Keys[:len(n.Keys)], n.Keys) {
		return false
	}
	for _, c := range n.Include {
		if !slices.Contains(w.Include, c) && !slices.ContainsFunc(w.Keys, func(k dbindex.Key) bool { return k.Column == c }) {
			return false
		}
	}
	return true
}

// try computes what a move saves.
func (s *search) try(ctx context.Context, m *move, quick bool) (err error) {
	m.saves, m.gain, err = s.gain(ctx, s.after(m.add), m.add, quick)
	return err
}

// gain is what another choice saves, and what that counts, when it differs from the
// present one on the table of changed.
func (s *search) gain(ctx context.Context, list []*candidate, changed *candidate, quick bool) (worth, float64, error) {
	costs, err := s.costs(ctx, config{with: list, hidden: s.hidden}, changed, quick)
	if err != nil {
		return worth{}, 0, err
	}
	now := s.worth(s.present())
	saves := now.minus(s.worth(costs))
	return saves, now.gain(saves) - writeRate*(s.growth(list)-s.growth(s.chosen)), nil
}

// present are the costs under the present choice.
func (s *search) present() []float64 {
	out := make([]float64, len(s.items))
	for i, it := range s.items {
		out[i] = it.now
	}
	return out
}

// accept makes a choice the present one.
func (s *search) accept(ctx context.Context, list []*candidate) error {
	s.chosen = list
	costs, err := s.costs(ctx, config{with: list, hidden: s.hidden}, nil, false)
	if err != nil {
		return err
	}
	for i, it := range s.items {
		it.now = costs[i]
	}
	return nil
}

// rederive looks at the new plans of the queries on a table: they show conditions that
// the old ones did not need.
func (s *search) rederive(ctx context.Context, c *candidate) error {
	from := len(s.all)
	for i, it := range s.items {
		if it.base == 0 || !it.tables[s.c.of(c.index)] {
			continue
		}
		e, err := s.cost(ctx, i, config{with: s.chosen, hidden: s.hidden}, false)
		if err != nil {
			return err
		}
		s.derive(it, e.accesses)
	}
	s.merge(c)
	return s.ready(ctx, from)
}

// prune removes what the others have made redundant, first what is least useful for its
// size: of two that serve the same the small one stays.
func (s *search) prune(ctx context.Context) error {
	for {
		var least *candidate
		var lowest float64
		for _, c := range s.chosen {
			loss, err := s.loss(ctx, c)
			if err != nil {
				return err
			}
			ratio := (max(loss, 0) + minGain/10) / (float64(c.bytes) + 1<<20)
			if loss <= minGain && (least == nil || ratio < lowest) {
				least, lowest = c, ratio
			}
		}
		if least == nil {
			return nil
		}
		s.o.Progress(Progress{Stage: "prune", Done: len(s.chosen), What: least.index.Name})
		if err := s.accept(ctx, without(s.chosen, least)); err != nil {
			return err
		}
	}
}

// loss is how much the score rises without an index.
func (s *search) loss(ctx context.Context, c *candidate) (float64, error) {
	_, gain, err := s.gain(ctx, without(s.chosen, c), c, false)
	return -gain, err
}

func without(list []*candidate, c *candidate) []*candidate {
	return slices.DeleteFunc(slices.Clone(list), func(h *candidate) bool { return h == c })
}

// swap exchanges each chosen index for a candidate on the same table that does better
// in its place, and shares a column with it.
func (s *search) swap(ctx context.Context) error {
	for _, old := range slices.Clone(s.chosen) {
		rest := without(s.chosen, old)
		var best *candidate
		most := minSwap
		for _, c := range s.all {
			if c.err != nil || c.alone < minGain || slices.Contains(s.chosen, c) || !akin(c.index, old.index) || !s.fits(append(slices.Clone(rest), c)) {
				continue
			}
			_, gain, err := s.gain(ctx, append(slices.Clone(rest), c), c, true)
			if err == nil && gain > most {
				_, gain, err = s.gain(ctx, append(slices.Clone(rest), c), c, false)
			}
			if err != nil {
				return err
			}
			if gain > most {
				best, most = c, gain
			}
		}
		if best != nil {
			if err := s.accept(ctx, append(rest, best)); err != nil {
				return err
			}
		}
	}
	return nil
}

// akin reports whether two indexes on one table share their first key.
func akin(a, b dbindex.Index) bool {
	return a.Table == b.Table && a.Schema == b.Schema && a.Keys[0].Column == b.Keys[0].Column && a.Keys[0].Expr == b.Keys[0].Expr
}

// hide gives up existing indexes that the chosen ones have made redundant, where the
// backend can leave them out.
func (s *search) hide(ctx context.Context) error {
	if s.o.DisableDrops || !s.w.canHide() {
		return nil
	}
	for _, t := range s.c.sorted() {
		for _, ix := range t.indexes {
			if s.gaveUp(ix) || !s.mayDrop(ix) || s.servesForeignKey(ix) && !s.foreignKeyServedWithout(ix) {
				continue
			}
			hidden := append(slices.Clone(s.hidden), ix)
			costs, err := s.costs(ctx, config{with: s.chosen, hidden: hidden}, nil, false)
			if err != nil {
				return err
			}
			now := s.worth(s.present())
			if -now.gain(now.minus(s.worth(costs))) <= minGain {
				s.hidden = hidden
				if err := s.accept(ctx, s.chosen); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// gaveUp reports whether an existing index is hidden.
func (s *search) gaveUp(ix dbindex.Index) bool {
	return slices.ContainsFunc(s.hidden, func(h dbindex.Index) bool { return h.Name == ix.Name && h.Schema == ix.Schema })
}

// mayDrop reports whether an existing index is there only to be fast.
func (s *search) mayDrop(ix dbindex.Index) bool {
	return !ix.Unique && ix.Constraint == dbindex.NoConstraint && s.c.of(ix).refused == ""
}
