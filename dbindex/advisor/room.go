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
)

// room tries what the budget has no place for. Small indexes come first in extend, and
// may have left no room for a big one, or have been widened into it. So the choice is
// made anew around the big one: what is worth least for its size goes, or everything,
// and the place that is left is filled again. The best of these stays.
func (s *search) room(ctx context.Context) error {
	crowded, err := s.crowded(ctx)
	if err != nil {
		return err
	}
	for _, c := range crowded {
		if slices.Contains(s.chosen, c) || s.fits(s.after(c)) {
			continue
		}
		list, err := s.replacing(ctx, c)
		if err != nil {
			return err
		}
		for _, start := range [][]*candidate{list, {c}} {
			if start == nil || !s.fits(start) {
				continue
			}
			if err := s.restart(ctx, start); err != nil {
				return err
			}
		}
	}
	return s.extend(ctx)
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
	return list[:min(len(list), maxRooms)], nil
}

// restart fills the budget from another choice, and returns to the present one unless
// that is worth more.
func (s *search) restart(ctx context.Context, start []*candidate) error {
	before, was := s.chosen, s.worth(s.present())
	grown := s.growth(before)
	if err := s.accept(ctx, start); err != nil {
		return err
	}
	if err := s.shrink(ctx); err != nil {
		return err
	}
	if err := s.extend(ctx); err != nil {
		return err
	}
	if err := s.prune(ctx); err != nil {
		return err
	}
	if was.gain(was.minus(s.worth(s.present())))-writeRate*(s.growth(s.chosen)-grown) > minSwap {
		return nil
	}
	return s.accept(ctx, before)
}

// shrink takes out what is worth least for its size until the choice fits.
func (s *search) shrink(ctx context.Context) error {
	for !s.fits(s.chosen) && len(s.chosen) > 0 {
		var least *candidate
		lowest := 0.0
		for _, h := range s.chosen {
			loss, err := s.loss(ctx, h)
			if err != nil {
				return err
			}
			if ratio := loss / float64(h.bytes+1); least == nil || ratio < lowest {
				least, lowest = h, ratio
			}
		}
		if err := s.accept(ctx, without(s.chosen, least)); err != nil {
			return err
		}
	}
	return nil
}

// replacing is the choice with c and less what is worth least for its size, until it
// fits; nil when nothing makes it fit.
func (s *search) replacing(ctx context.Context, c *candidate) ([]*candidate, error) {
	worth := map[*candidate]float64{}
	for _, h := range s.chosen {
		loss, err := s.loss(ctx, h)
		if err != nil {
			return nil, err
		}
		worth[h] = loss / float64(h.bytes+1)
	}
	list := s.after(c)
	for !s.fits(list) {
		var least *candidate
		for _, h := range list {
			if h != c && (least == nil || worth[h] < worth[least]) {
				least = h
			}
		}
		if least == nil {
			return nil, nil
		}
		list = without(list, least)
	}
	return list, nil
}
