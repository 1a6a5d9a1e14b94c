package advisor

import (
	"context"
	"slices"

	"github.com/perfblocks/perfblocks/dbindex"
)

// minMerge is how useful an index has to be by itself for others to be merged with it.
const minMerge = 3 * minGain

// merged is the index that does what two do whose keys begin alike: the keys of the
// longer, and all other columns of both. It reports false when one of them does already.
func merged(a, b dbindex.Index) (dbindex.Index, bool) {
	if len(a.Keys) > len(b.Keys) {
		a, b = b, a
	}
	narrow := a
	narrow.Include = nil
	if !widens(b, narrow) || widens(b, a) || widens(a, b) {
		return b, false
	}
	out := b
	out.Include = slices.Clone(b.Include)
	for _, c := range a.Include {
		if !slices.Contains(out.Include, c) && !slices.ContainsFunc(out.Keys, func(k dbindex.Key) bool { return k.Column == c }) {
			out.Include = append(out.Include, c)
		}
	}
	return out, len(out.Include) <= maxInclude
}

// merge proposes what would serve a chosen index and another useful one at once: both
// hold the keys, so together they are bigger.
func (s *search) merge(chosen *candidate) {
	for _, c := range slices.Clone(s.all) {
		if c.err != nil || c.alone < minMerge {
			continue
		}
		if ix, ok := merged(chosen.index, c.index); ok {
			s.propose(ix)
		}
	}
}

// pack takes one index for two where that costs less space and the queries little.
func (s *search) pack(ctx context.Context) error {
	for _, c := range s.all {
		list := s.after(c)
		if c.err != nil || len(list) >= len(s.chosen) || sizeOf(list) >= sizeOf(s.chosen) || !s.fits(list) {
			continue
		}
		_, gain, err := s.gain(ctx, list, c, false)
		if err != nil {
			return err
		}
		if gain > -minGain {
			if err := s.accept(ctx, list); err != nil {
				return err
			}
		}
	}
	return nil
}
