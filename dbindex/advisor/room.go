package advisor

import (
	"cmp"
	"context"
	"slices"
)

// Bounds of what room tries.
const (
	minRoom  = 1e-2 // worth of a candidate that finds no place
	maxRooms = 8    // candidates
	maxTurns = 3    // of all candidates, each after one that changed the choice
)

// room tries what the budget has no place for. Small indexes come first in extend, and
// may have left no room for a big one, or have been widened into it. So the choice is
// made anew around the big one: what loses least for the place that it takes goes, or
// becomes lighter, or everything goes, and the place that is left is filled again. The
// best of these stays.
func (s *search) room(ctx context.Context) error {
	for range maxTurns {
		was := s.chosen
		if err := s.lighten(ctx); err != nil {
			return err
		}
		crowded, err := s.crowded(ctx)
		if err != nil {
			return err
		}
		for _, c := range crowded {
			if slices.Contains(s.chosen, c) || s.fits(s.after(c)) {
				continue
			}
			for _, start := range [][]*candidate{s.after(c), {c}} {
				if err := s.restart(ctx, start, c); err != nil {
					return err
				}
			}
		}
		if err := s.extend(ctx); err != nil {
			return err
		}
		if sameChoice(config{with: was}, config{with: s.chosen}) {
			return nil
		}
	}
	return nil
}

// crowded are the candidates for which there is no place, the most useful first. What
// they were worth before the others were there says nothing now.
func (s *search) crowded(ctx context.Context) ([]*candidate, error) {
	gains := map[*candidate]float64{}
	var list []*candidate
	for _, c := range s.all {
		if c.err != nil || slices.Contains(s.chosen, c) || s.fits(s.after(c)) || !s.fits([]*candidate{c}) {
			continue
		}
		_, gain, err := s.gain(ctx, s.after(c), c, true)
		if err != nil {
			return nil, err
		}
		if gain >= minRoom {
			gains[c] = gain
			list = append(list, c)
		}
	}
	slices.SortStableFunc(list, func(a, b *candidate) int { return cmp.Compare(gains[b], gains[a]) })
	few := varied(list, gains)
	return few[:min(len(few), maxRooms)], nil
}

// varied leaves of candidates that are alike the most useful and the most useful for its
// size: what is between them comes when the choice is filled again.
func varied(list []*candidate, gains map[*candidate]float64) []*candidate {
	var most, dense []*candidate // of each kind, by place
	for _, c := range list {
		i := slices.IndexFunc(most, func(o *candidate) bool { return akin(o.index, c.index) })
		if i < 0 {
			most, dense = append(most, c), append(dense, c)
		} else if o := dense[i]; gains[c]*float64(o.bytes) > gains[o]*float64(c.bytes) {
			dense[i] = c
		}
	}
	for i, c := range dense {
		if c != most[i] {
			most = append(most, c)
		}
	}
	return most
}

// restart fills the budget from another choice, made to fit around keep, and returns to
// the present one unless that is worth more.
func (s *search) restart(ctx context.Context, start []*candidate, keep *candidate) error {
	before, was := config{with: s.chosen, hidden: s.hidden}, s.worth(s.present())
	grown := s.growth(before.with)
	s.hidden = nil
	if err := s.accept(ctx, start); err != nil {
		return err
	}
	if keep != nil {
		if err := s.rederive(ctx, keep); err != nil {
			return err
		}
	}
	if err := s.hide(ctx); err != nil { // what the choice makes redundant leaves room
		return err
	}
	if err := s.shrink(ctx, keep); err != nil {
		return err
	}
	for _, step := range []func(context.Context) error{s.extend, s.hide, s.prune} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	if s.fits(s.chosen) && was.gain(was.minus(s.worth(s.present())))-writeRate*(s.growth(s.chosen)-grown) > minSwap {
		return nil
	}
	s.hidden = before.hidden
	return s.accept(ctx, before.with)
}

// shrink makes the choice fit, one step after the other, each that which loses least for
// the bytes it frees. What is to be kept may become lighter, but stays.
func (s *search) shrink(ctx context.Context, keep *candidate) error {
	for !s.fits(s.chosen) {
		list, err := s.lightest(ctx, keep)
		if err != nil || list == nil {
			return err
		}
		if err := s.accept(ctx, list); err != nil {
			return err
		}
	}
	return nil
}

// step is a choice that takes less place than the present one.
type step struct {
	list  []*candidate
	loss  float64
	freed int64 // bytes, no more than are needed
}

// less reports whether s loses less for what it frees.
func (s step) less(o step) bool { return s.loss*float64(o.freed) < o.loss*float64(s.freed) }

// lightest is the choice after the best step: without an index, or with a lighter one in
// its place. It is nil when there is none.
func (s *search) lightest(ctx context.Context, keep *candidate) ([]*candidate, error) {
	var best step
	over := s.over(s.chosen)
	for _, h := range s.chosen {
		rest := without(s.chosen, h)
		if h != keep {
			if err := s.better(ctx, &best, h, rest, false); err != nil {
				return nil, err
			}
		}
		if over <= 0 || !s.heavy(h) { // then only fewer indexes help, or it hardly does
			continue
		}
		for _, c := range s.all {
			lighter := c.err == nil && c.bytes < h.bytes*9/10 && akin(c.index, h.index) && (h != keep || widens(h.index, c.index))
			if lighter && !slices.Contains(s.chosen, c) {
				if err := s.better(ctx, &best, h, append(slices.Clone(rest), c), true); err != nil {
					return nil, err
				}
			}
		}
	}
	return best.list, nil
}

// better makes a choice that differs on the table of h the best step if it is better. A
// quick look comes first where there may be many.
func (s *search) better(ctx context.Context, best *step, h *candidate, list []*candidate, quick bool) error {
	freed := sizeOf(s.chosen) - sizeOf(list)
	if over := s.over(s.chosen); over > 0 {
		freed = min(freed, over)
	}
	_, gain, err := s.gain(ctx, list, h, quick)
	if st := (step{list, -gain, max(freed, 1)}); err == nil && (best.list == nil || st.less(*best)) {
		if quick {
			return s.better(ctx, best, h, list, false)
		}
		*best = st
	}
	return err
}
