package advisor

import (
	"context"
	"maps"
	"slices"
	"time"
)

// Bounds of refine.
const (
	maxRefine = 2 // searches after the first
	mixRounds = 3 // of which the first brings the data to memory
	mixSlow   = 5 * time.Second
)

// refine runs the workload with what was chosen, in turns with the database as it is, and
// searches on: what was made fast for one query may have been what brought the data of
// the next to memory. The shortlist is asked anew with these times, for what would mend
// that is seldom what it chose before. What comes out has to be faster in runs too.
func (s *search) refine(ctx context.Context, w Scratch, first *search) error {
	for range maxRefine {
		if s.c == nil {
			return nil // nothing could be planned
		}
		was := config{with: s.chosen, hidden: s.hidden}
		times, err := s.race(ctx, w, config{}, was)
		if err != nil {
			return err
		}
		s.learn(times[0], times[1])
		if first != nil {
			if err := first.widen(ctx, s); err != nil {
				return err
			}
		}
		if err := s.run(ctx); err != nil {
			return err
		}
		now := config{with: s.chosen, hidden: s.hidden}
		if sameChoice(was, now) {
			return nil
		}
		if times, err = s.race(ctx, w, was, now); err != nil {
			return err
		}
		before, after := s.ran(times[0]), s.ran(times[1])
		if before.gain(before.minus(after)) < -minGain {
			s.learn(nil, times[1])
			s.hidden = was.hidden
			if err := s.accept(ctx, was.with); err != nil {
				return err
			}
		}
	}
	return nil
}

// learn makes measured times, of the database as it is unless that is nil and of the
// present choice, points of the curves.
func (s *search) learn(base, now []float64) {
	s.total = 0
	for i, it := range s.items {
		if now[i] > 0 && (base == nil || base[i] > 0) {
			if base != nil {
				it.took.baseMS = base[i]
			}
			it.took.put(it.now, now[i])
		}
		s.total += it.q.Weight * it.took.baseMS
	}
}

// ran is worth by times alone.
func (s *search) ran(times []float64) (w worth) {
	for i, it := range s.items {
		if times[i] > 0 {
			w.add(it, times[i], s.weights)
		}
	}
	return w
}

// sameChoice reports whether two choices hold the same indexes.
func sameChoice(a, b config) bool {
	return len(a.with) == len(b.with) && len(a.hidden) == len(b.hidden) &&
		!slices.ContainsFunc(a.with, func(c *candidate) bool { return !slices.Contains(b.with, c) })
}

// race runs the workload with two choices in turns, and returns the least milliseconds of
// each query: whatever else the machine does only adds.
func (s *search) race(ctx context.Context, w Scratch, choices ...config) ([][]float64, error) {
	least := make([][]float64, len(choices))
	for round := range mixRounds {
		for k, cfg := range choices {
			times, err := s.mix(ctx, w, cfg, least[k])
			if err != nil {
				return nil, err
			}
			if round < 2 {
				least[k] = times
				continue
			}
			for i := range times {
				least[k][i] = min(least[k][i], times[i])
			}
		}
	}
	return least, nil
}

// widen searches on from what to has chosen, with its times, proposes to it what comes out,
// and lets it try that choice as a whole.
func (s *search) widen(ctx context.Context, to *search) error {
	var start, foreign []*candidate // foreign are those that this backend does not know
	room := to.o.MaxBytes + to.givenUp()
	for _, c := range to.chosen {
		if own := s.byKey[to.key(c)]; own != nil && own.err == nil {
			start = append(start, own)
		} else {
			foreign = append(foreign, c)
			room -= c.bytes
		}
	}
	if to.o.MaxBytes > 0 {
		s.o.MaxBytes = max(room, 1)
	}
	s.weigh(to)
	if err := s.accept(ctx, start); err != nil {
		return err
	}
	for i, it := range s.items {
		if t := to.items[i].took; it.base > 0 && len(t.points) > 0 {
			it.took = curve{base: it.base, baseMS: t.baseMS}
			for _, p := range t.points {
				it.took.put(p.cost*it.base/t.base, p.ms)
			}
			it.took.put(it.now, t.at(to.items[i].now))
		}
	}
	for range 2 { // once more where what was estimated to fit is bigger
		if err := s.run(ctx); err != nil {
			return err
		}
		// Where existing indexes can be left out there may be room for more.
		crowded, err := s.crowded(ctx)
		if err != nil {
			return err
		}
		s.list(to.only, crowded...)
		for _, key := range slices.Sorted(maps.Keys(to.only)) {
			if c := s.byKey[key]; c != nil {
				to.propose(c.index)
			}
		}
		if err := to.ready(ctx, to.readied); err != nil {
			return err
		}
		if s.weigh(to); s.fits(s.chosen) {
			break
		}
		if err := s.shrink(ctx, nil); err != nil {
			return err
		}
	}
	for _, c := range s.chosen {
		if own := to.byKey[s.key(c)]; own != nil && own.err == nil {
			foreign = append(foreign, own)
		}
	}
	return to.restart(ctx, foreign, nil)
}

// weigh takes the sizes that another search has, which may be those of real indexes.
func (s *search) weigh(other *search) {
	for key, c := range s.byKey {
		if o := other.byKey[key]; o != nil && o.err == nil && o.bytes > 0 {
			c.bytes = o.bytes
		}
	}
}

// key is the definition of a candidate, as in byKey.
func (s *search) key(c *candidate) string {
	key, err := c.index.SQL(s.c.dialect)
	if err != nil {
		return "" // it was written once before
	}
	return key
}

// mix runs each query once under a choice, and returns the mean milliseconds over its
// samples; zero for what cannot be run. Of those that were known before, nil for none, it
// does not repeat what failed or took longer than mixSlow.
func (s *search) mix(ctx context.Context, w Scratch, cfg config, known []float64) ([]float64, error) {
	if err := w.use(ctx, cfg); err != nil {
		return nil, err
	}
	asking, err := askingTime(ctx, w)
	if err != nil {
		return nil, err
	}
	out := make([]float64, len(s.items))
	for i, it := range s.items {
		if known != nil && (known[i] == 0 || known[i] > ms(mixSlow)) {
			out[i] = known[i]
		} else if it.base > 0 && runnable(w, it.q) {
			if out[i], err = once(ctx, w, it.q, s.o.Samples, asking); err != nil {
				return nil, err
			}
		}
	}
	return out, nil
}
