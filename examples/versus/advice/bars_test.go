package advice

import (
	"testing"

	"github.com/perfblocks/perfblocks/dbindex/advisor"
)

// TestTry prints what comes out.
func TestTry(t *testing.T) {
	s := newServer(t)
	w := plainWorld(users())
	db, _ := s.open(t, w)
	work, queries := w.workload(t)
	h, err := advisor.NewHypoPG(t.Context(), db, advisor.HypoPGOptions{AllowPrimary: true})
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	a, err := advisor.Advise(t.Context(), h, work, advisor.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%v, %d estimates\n%s", a.Took, a.Estimates, a)
	for _, q := range a.Queries {
		t.Logf("%-20s %5.0f %10.1f %10.1f  %d %v %s", q.Name, q.Weight, q.Before, q.After, q.Candidates, q.Uses, q.Reason)
	}
	ours := &contender{name: "ours"}
	for _, p := range a.Create {
		text, err := p.Index.SQL(a.Dialect)
		if err != nil {
			t.Fatal(err)
		}
		ours.create = append(ours.create, text)
	}
	fk, dexter := &contender{name: "fk", create: w.set("c_fk.sql")}, &contender{name: "dexter", create: w.set("d2_dexter.sql")}
	race(t, db, queries, 5, fk, dexter, ours)
	for i, q := range queries {
		t.Logf("%-20s %5.0f fk %8.2f dexter %8.2f ours %8.2f", q.name, q.weight, float64(fk.medians[i])/1e6, float64(dexter.medians[i])/1e6, float64(ours.medians[i])/1e6)
	}
	for _, c := range []*contender{fk, dexter, ours} {
		t.Logf("%s: %d indexes %.1f MB total %.0f without search %.0f", c.name, len(c.create), float64(c.bytes)/1e6, c.total(queries), c.total(queries, "msg_search"))
	}
}

func users() int { return 5000 }
