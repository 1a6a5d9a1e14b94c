package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/perfblocks/perfblocks/dbindex"
	"github.com/perfblocks/perfblocks/examples/versus/internal/bench"
	"github.com/perfblocks/perfblocks/examples/versus/internal/curve"
)

const (
	oursIndexes = "perfblocks dbindex"
	byHand      = "floor: Sprintf and maps of texts, nothing checked"
)

// dbindexCurve measures what more and more declared indexes cost.
func dbindexCurve(r *bench.Report, c *curves) (*curve.Figure, error) {
	f := &curve.Figure{
		Title: "Planning and linting against the declared indexes", Size: "declared indexes, 8 for a table", Names: []string{oursIndexes, byHand}, Ours: 1,
		Panels: []curve.Panel{
			{Title: "CPU time for an index: plan of all", Unit: curve.Nanoseconds},
			{Title: "Bytes allocated for an index: the same plan", Unit: curve.Bytes},
			{Title: "CPU time for an index: plan of 1 in 20", Unit: curve.Nanoseconds},
			{Title: "CPU time for an index: Lint", Unit: curve.Nanoseconds},
		},
		Notes: []string{"A plan is Diff and Statements: for an empty database, or for one in which 1 in 20 differs. Lint finds 1 in 16 redundant. One processor. goose and golang-migrate run files and do not plan, so the peer is what one would write by hand: fmt.Sprintf of the same statements, compared as texts " +
			"with those of the database, and redundant indexes found by a map of their first columns. It checks no name, quotes without looking, knows one dialect and no predicate's meaning. " +
			"Statements are compared to the letter before, and so are the names of the redundant indexes."},
	}
	for _, n := range c.sizes(r, []int{10, 100, 1_000, 10_000}) {
		want := declared(n)
		for i, work := range []func([]dbindex.Index) (bench.Comparison, error){planWork(0), planWork(20), lintWork} {
			cmp, err := work(want)
			if err != nil {
				return nil, err
			}
			cmp.Rounds = 9
			rounds, batch := c.orRounds(9), 20*time.Millisecond
			if c.small {
				batch = time.Millisecond
			}
			results, err := cmp.Run(rounds, batch)
			if err != nil {
				return nil, err
			}
			for _, res := range results {
				panel := []int{0, 2, 3}[i]
				size := float64(n)
				f.Panels[panel].Add(res.Name, curve.Point{
					X: size, Y: res.Median.CPU / size, Low: res.Quartile[0] / size, High: res.Quartile[1] / size, Rounds: rounds,
				})
				if i == 0 {
					b := res.Median.Bytes / size
					f.Panels[1].Add(res.Name, curve.Point{X: size, Y: b, Low: b, High: b, Rounds: rounds})
				}
			}
		}
	}
	if !c.small {
		for _, i := range []int{0, 1, 2, 3} {
			growth(r, &f.Panels[i], f.Names, 1000, 2)
		}
	}
	return f, nil
}

// declared returns n indexes, 8 for a table; with all of their names, so that nobody has
// to make one.
func declared(n int) []dbindex.Index {
	asc, desc := dbindex.Asc, dbindex.Desc
	all := make([]dbindex.Index, n)
	for i := range all {
		ix := dbindex.Index{Table: fmt.Sprintf("Table%05d", i/8)}
		switch i % 8 {
		case 0:
			ix.Keys = []dbindex.Key{asc("tenantId"), desc("createdAt")}
		case 1:
			ix.Keys = []dbindex.Key{asc("userId"), asc("status"), desc("updatedAt")}
		case 2:
			ix.Keys = []dbindex.Key{asc("parentId")}
		case 3:
			ix.Keys, ix.Where = []dbindex.Key{asc("createdAt")}, dbindex.IsNull("deletedAt")
		case 4:
			ix.Keys, ix.Unique = []dbindex.Key{asc("slug")}, true
		case 5:
			ix.Keys = []dbindex.Key{asc("kind"), asc("model")}
		case 6:
			ix.Keys, ix.Where = []dbindex.Key{desc("seenAt")}, dbindex.IsNull("readAt")
		case 7:
			ix.Keys = []dbindex.Key{asc("externalId")}
		}
		if i%16 == 5 { // redundant: the first key of another
			ix = dbindex.Index{Table: ix.Table, Keys: []dbindex.Key{asc("userId")}}
		}
		ix.Name = fmt.Sprintf("idx_%s_%d", ix.Table, i%8)
		all[i] = ix
	}
	return all
}

// written is an index as somebody who writes by hand has it.
type written struct{ name, table, unique, keys, where string }

func writtenOf(ix dbindex.Index) written {
	w := written{name: ix.Name, table: ix.Table}
	var keys []string
	for _, k := range ix.Keys {
		s := `"` + k.Column + `"`
		if k.Desc {
			s += " DESC"
		}
		keys = append(keys, s)
	}
	w.keys = strings.Join(keys, ", ")
	if ix.Unique {
		w.unique = "UNIQUE "
	}
	if ix.Where != nil {
		w.where = " WHERE " + ix.Where.String()
	}
	return w
}

func (w written) create() string {
	return fmt.Sprintf(`CREATE %sINDEX CONCURRENTLY "%s" ON "%s" (%s)%s`, w.unique, w.name, w.table, w.keys, w.where)
}

// planWork compares plans from a database that lacks one in so many of the indexes and
// has as many others; 0 is an empty one.
func planWork(oneIn int) func([]dbindex.Index) (bench.Comparison, error) {
	return func(want []dbindex.Index) (bench.Comparison, error) {
		var have []dbindex.Index
		for i, ix := range want {
			if oneIn == 0 {
				break
			}
			if i%oneIn == 1 {
				ix.Name, ix.Keys = "old_"+ix.Name, []dbindex.Key{dbindex.Asc("forgotten")}
			}
			have = append(have, ix)
		}
		var wanted []written
		for _, ix := range want {
			wanted = append(wanted, writtenOf(ix))
		}
		there := map[string]string{} // statements by name, as the database prints them
		for _, ix := range have {
			there[ix.Name] = writtenOf(ix).create()
		}
		d := dbindex.Postgres(15)
		ours := func() ([]string, error) {
			p, err := dbindex.Diff(d, want, have)
			if err != nil {
				return nil, err
			}
			st, err := p.Statements()
			all := make([]string, len(st))
			for i, s := range st {
				all[i] = s.SQL
			}
			return all, err
		}
		theirs := func() ([]string, error) { return planByHand(wanted, there), nil }
		return bench.Comparison{Measure: fmt.Sprintf("plan of %d", len(want)), Sides: []bench.Side{
			textSide(oursIndexes, ours), textSide(byHand, theirs),
		}}, nil
	}
}

// planByHand creates what is missing or different and drops what is not wanted.
func planByHand(want []written, have map[string]string) []string {
	seen := make(map[string]bool, len(want))
	var create, drop []written
	for _, w := range want {
		seen[w.name] = true
		if have[w.name] != w.create() {
			create = append(create, w)
		}
	}
	for name, text := range have {
		if !seen[name] {
			_, rest, _ := strings.Cut(text, ` ON "`)
			table, _, _ := strings.Cut(rest, `"`)
			drop = append(drop, written{name: name, table: table})
		}
	}
	all := make([]string, 0, len(create)+len(drop))
	for i, list := range [][]written{create, drop} {
		slices.SortFunc(list, func(a, b written) int {
			if a.table != b.table {
				return strings.Compare(a.table, b.table)
			}
			return strings.Compare(a.name, b.name)
		})
		for _, w := range list {
			if i == 0 {
				all = append(all, w.create())
			} else {
				all = append(all, fmt.Sprintf(`DROP INDEX CONCURRENTLY "%s"`, w.name))
			}
		}
	}
	return all
}

// textSide is a side whose result is texts.
func textSide(name string, f func() ([]string, error)) bench.Side {
	return bench.Side{
		Name: name,
		Op: func(n int) {
			for range n {
				_, _ = f() // Check has seen that it is right
			}
		},
		Check: func() (any, error) {
			all, err := f()
			return strings.Join(all, "\n"), err
		},
	}
}

// lintWork compares looking for redundant indexes.
func lintWork(want []dbindex.Index) (bench.Comparison, error) {
	var wanted []written
	for _, ix := range want {
		wanted = append(wanted, writtenOf(ix))
	}
	ours := func() ([]string, error) {
		var names []string
		for _, f := range dbindex.Lint(dbindex.Postgres(15), dbindex.Schema{Indexes: want}, dbindex.LintOptions{}) {
			if f.ID != dbindex.RuleRedundant {
				return nil, errors.New(f.String())
			}
			names = append(names, f.Index)
		}
		slices.Sort(names)
		return names, nil
	}
	theirs := func() ([]string, error) {
		firsts := map[string]int{}
		for _, w := range wanted {
			for i := range w.keys {
				if strings.HasPrefix(w.keys[i:], ", ") {
					firsts[w.table+"\x00"+w.where+"\x00"+w.keys[:i]]++
				}
			}
		}
		var names []string
		for _, w := range wanted {
			if w.unique == "" && firsts[w.table+"\x00"+w.where+"\x00"+w.keys] > 0 {
				names = append(names, w.name)
			}
		}
		slices.Sort(names)
		return names, nil
	}
	return bench.Comparison{Measure: fmt.Sprintf("lint of %d", len(want)), Sides: []bench.Side{textSide(oursIndexes, ours), textSide(byHand, theirs)}}, nil
}
