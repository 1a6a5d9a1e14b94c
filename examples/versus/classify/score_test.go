package classify_test

import (
	"maps"
	"slices"
	"sync"
	"testing"
)

// tally counts rows; the first pair leaves variants out.
type tally struct{ right, total, variantsRight, variants, open int }

// score gathers the results of all groups.
type score struct {
	mu     sync.Mutex
	groups map[string]*tally // guarded by mu.
}

// add counts one row.
func (s *score) add(group string, f flags, right bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.groups == nil {
		s.groups = map[string]*tally{}
	}
	g := s.groups[group]
	if g == nil {
		g = new(tally)
		s.groups[group] = g
	}
	one := 0
	if right {
		one = 1
	}
	if f&variant != 0 {
		g.variants++
		g.variantsRight += one
	} else {
		g.total++
		g.right += one
	}
	if f&(anyRetry|anyNotSent|anyCounts) != 0 {
		g.open++
	}
}

// report prints the figures of each group and of all, and compares the total with
// the floor.
func (s *score) report(t *testing.T) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all tally
	for _, name := range slices.Sorted(maps.Keys(s.groups)) {
		g := s.groups[name]
		t.Logf("%-12s %3d of %3d right; variants %2d of %2d; open answers in %2d rows", name, g.right, g.total, g.variantsRight, g.variants, g.open)
		all.right += g.right
		all.total += g.total
		all.variantsRight += g.variantsRight
		all.variants += g.variants
		all.open += g.open
	}
	share := float64(all.right) / float64(max(all.total, 1))
	t.Logf("%d of %d distinct errors right: %.1f %%; of %d variants %d", all.right, all.total, 100*share, all.variants, all.variantsRight)
	rows := all.total + all.variants
	t.Logf("%d of %d rows leave an answer open: %.1f %%", all.open, rows, 100*float64(all.open)/float64(max(rows, 1)))
	if share < floor {
		t.Errorf("%.4f of the distinct errors are told right; want %.4f", share, floor)
	}
	if float64(all.open) > maxOpen*float64(rows) {
		t.Errorf("%d of %d rows leave an answer open; want at most %.0f %%", all.open, rows, 100*maxOpen)
	}
}
