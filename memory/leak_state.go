package memory

import (
	"cmp"
	"slices"
	"strings"
)

// leakState is the memory of a detector: the series and who is suspected.
type leakState struct {
	opts    LeakOptions
	heap    series
	all     series // goroutines, while they are not grouped
	groups  map[groupKey]*series
	proven  map[groupKey]*series
	samples int // taken so far
	dropped uint64
}

type groupKey struct{ entry, at string }

// series is one value a window, oldest first, and the suspect made of it.
type series struct {
	values  []float64
	suspect *Suspect // nil for none
	quiet   int      // windows since the trend was last seen
}

// add appends v; a series that began late was at zero before.
func (s *series) add(v float64, length int) {
	if missing := length - 1 - len(s.values); missing > 0 {
		s.values = append(s.values, make([]float64, missing)...)
	}
	s.values = append(s.values, v)
	if extra := len(s.values) - leakHistory - 1; extra > 0 {
		s.values = slices.Delete(s.values, 0, extra)
	}
}

// leakEvents is what a sample changed.
type leakEvents struct {
	suspected []*Suspect // of the state, so that sites can be filled in
	cleared   []Suspect
}

// detached returns the events without ties to the state, for when others may
// change that.
func (e leakEvents) detached() leakEvents {
	for i, s := range e.suspected {
		copied := *s
		e.suspected[i] = &copied
	}
	return e
}

// next takes in a sample.
func (st *leakState) next(s LeakSample) (e leakEvents) {
	st.samples++
	length := min(st.samples, leakHistory+1)
	st.heap.add(float64(s.HeapLive), length)
	st.judge(&e, &st.heap, s, LeakHeap, groupKey{})
	if s.Groups == nil {
		st.all.add(float64(s.Goroutines), 0)
		st.judge(&e, &st.all, s, LeakGoroutines, groupKey{})
	} else {
		if old := st.all.suspect; old != nil {
			e.cleared = append(e.cleared, *old)
		}
		st.all = series{} // its numbers would have a gap
		st.nextGroups(&e, s, length)
	}
	st.nextProven(&e, s)
	return e
}

func (st *leakState) nextGroups(e *leakEvents, s LeakSample, length int) {
	now := sum(s.Groups)
	for key, g := range st.groups {
		g.add(float64(now[key]), length)
		if delete(now, key); slices.Max(g.values) == 0 {
			delete(st.groups, key)
		}
	}
	// What is left is new; the largest come first, because there is not room for all.
	fresh := make([]groupKey, 0, len(now))
	for key := range now {
		fresh = append(fresh, key)
	}
	slices.SortFunc(fresh, func(a, b groupKey) int {
		return cmp.Or(now[b]-now[a], strings.Compare(a.entry, b.entry), strings.Compare(a.at, b.at))
	})
	room := max(0, maxLeakGroups-len(st.groups))
	if len(fresh) > room {
		st.dropped += uint64(len(fresh) - room)
		fresh = fresh[:room]
	}
	for _, key := range fresh {
		g := &series{}
		g.add(float64(now[key]), length)
		st.groups[key] = g
	}
	for key, g := range st.groups {
		st.judge(e, g, s, LeakGoroutines, key)
	}
}

// nextProven compares what the runtime has proved with the first sample: a program
// that parks a few goroutines for ever on purpose is not accused of those.
func (st *leakState) nextProven(e *leakEvents, s LeakSample) {
	first := st.proven == nil
	if first {
		st.proven = map[groupKey]*series{}
	}
	for key, n := range sum(s.Leaked) {
		p := st.proven[key]
		if p == nil {
			if len(st.proven) >= maxLeakGroups {
				st.dropped++
				continue
			}
			p = &series{values: []float64{0}}
			if first {
				p.values[0] = float64(n)
			}
			st.proven[key] = p
		}
		grown := int64(n) - int64(p.values[0])
		if grown <= 0 {
			continue
		}
		t := Suspect{
			Kind: LeakProven, Group: GoroutineGroup{Entry: key.entry, At: key.at, Count: n}, Since: s.At, Now: int64(n),
			Growth: grown, Rate: float64(grown) / float64(max(1, st.samples-1)), Windows: st.samples - 1, Confidence: 1,
		}
		if p.suspect == nil {
			e.suspected = append(e.suspected, &t)
		} else {
			t.Since = p.suspect.Since
		}
		p.suspect = &t
	}
}

// judge looks at one series and brings its suspect up to date.
func (st *leakState) judge(e *leakEvents, g *series, s LeakSample, kind LeakKind, key groupKey) {
	least := st.opts.MinGoroutines
	if kind == LeakHeap {
		least = st.opts.MinBytes
	}
	now := g.values[len(g.values)-1]
	t, leaks := judgeTrend(g.values, st.opts.MinShare, float64(least))
	g.quiet++
	if leaks {
		g.quiet = 0
		found := Suspect{
			Kind: kind, Since: s.At, Growth: int64(t.growth), Rate: t.rate, Windows: leakWindows, Rose: t.rose,
			Confidence: max(0, 1-t.noise/t.rate), level: now - t.growth/2,
		}
		if kind == LeakGoroutines {
			found.Group = GoroutineGroup{Entry: key.entry, At: key.at}
		}
		if old := g.suspect; old != nil {
			found.Since, found.Sites, found.level = old.Since, old.Sites, max(old.level, found.level)
			*old = found
		} else {
			g.suspect = &found
			e.suspected = append(e.suspected, g.suspect)
		}
	}
	if g.suspect == nil {
		return
	}
	g.suspect.Now = int64(now)
	if kind == LeakGoroutines {
		g.suspect.Group.Count = int(now)
	}
	if now < g.suspect.level || g.quiet > 0 && g.rested(st.opts.MinShare) {
		e.cleared = append(e.cleared, *g.suspect)
		g.suspect = nil
	}
}

// rested reports whether there was no growth to speak of over the last ten windows.
func (g *series) rested(minShare float64) bool {
	if len(g.values) <= leakWindows {
		return false
	}
	s := kept(g.values[len(g.values)-leakWindows-1:])
	return s[leakWindows]-s[0] <= max(0, minShare)*s[0]
}

// suspects lists those of now in the order of a report.
func (st *leakState) suspects() (all []Suspect) {
	add := func(g *series) {
		if g.suspect != nil {
			all = append(all, *g.suspect)
		}
	}
	add(&st.heap)
	add(&st.all)
	for _, m := range []map[groupKey]*series{st.groups, st.proven} {
		for _, g := range m {
			add(g)
		}
	}
	slices.SortFunc(all, func(a, b Suspect) int {
		return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(b.Growth, a.Growth),
			strings.Compare(a.Group.Entry, b.Group.Entry), strings.Compare(a.Group.At, b.Group.At))
	})
	return all
}

// sum adds up the groups of one name.
func sum(groups []GoroutineGroup) map[groupKey]int {
	m := make(map[groupKey]int, len(groups))
	for _, g := range groups {
		m[groupKey{g.Entry, g.At}] += g.Count
	}
	return m
}
