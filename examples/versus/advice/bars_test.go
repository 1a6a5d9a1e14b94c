package advice

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/perfblocks/perfblocks/dbindex/advisor"
)

// TestTry prints what comes out.
func TestTry(t *testing.T) {
	s := newServer(t)
	w := plainWorld(1000)
	db, name := s.open(t, w)
	work, queries := w.workload(t)
	must(t, db, w.set("c_fk.sql")...)
	tog, err := advisor.NewToggle(t.Context(), db, name)
	if err != nil {
		t.Fatal(err)
	}
	h, err := advisor.NewHypoPG(t.Context(), db, advisor.HypoPGOptions{AllowPrimary: true})
	if err != nil {
		t.Fatal(err)
	}
	last := time.Now()
	log := func(p advisor.Progress) {
		if time.Since(last) > 3*time.Second {
			t.Log(p)
		}
		last = time.Now()
	}
	a, err := advisor.Advise(t.Context(), tog, work, advisor.Options{MaxBytes: 250 << 20, Shortlist: h, Progress: log})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%v, %d estimates\n", a.Took, a.Estimates)
	a, err = advisor.Verify(t.Context(), tog, a, work, advisor.VerifyOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%v, %v, %d estimates\n%s", a.Took, a.Verified, a.Estimates, a)
	for _, q := range a.Queries {
		t.Logf("%-20s %5.0f %10.1f %10.1f  %v %v  %d %v %s", q.Name, q.Weight, q.Before, q.After, q.RunBefore, q.RunAfter, q.Candidates, q.Uses, q.Reason)
	}
	tog.Close()
	h.Close()
	if os.Getenv("RACE") == "" {
		return
	}
	dropped := map[string]bool{}
	for _, d := range a.Drop {
		text, err := d.Index.SQL(a.Dialect)
		if err != nil {
			t.Fatal(err)
		}
		_, tail, _ := strings.Cut(text, " ON ")
		dropped[tail] = true
	}
	ours := &contender{name: "ours"}
	for _, s := range w.set("c_fk.sql") {
		_, tail, _ := strings.Cut(s, " ON ")
		if !dropped[tail] {
			ours.create = append(ours.create, s)
		}
	}
	for _, p := range a.Create {
		text, err := p.Index.SQL(a.Dialect)
		if err != nil {
			t.Fatal(err)
		}
		ours.create = append(ours.create, text)
	}
	fk, dexter := &contender{name: "fk", create: w.set("c_fk.sql")}, &contender{name: "dexter", create: w.set("d2_dexter.sql")}
	for i, s := range fk.create { // those that are there
		_ = i
		table, cols, _ := strings.Cut(strings.TrimPrefix(s, `CREATE INDEX ON "`), `" ("`)
		must(t, db, `DROP INDEX "`+table+`_`+strings.TrimSuffix(cols, `");`)+`_idx"`)
	}
	race(t, db, queries, 5, fk, dexter, ours)
	for i, q := range queries {
		t.Logf("%-20s %5.0f fk %8.2f dexter %8.2f ours %8.2f", q.name, q.weight, float64(fk.medians[i])/1e6, float64(dexter.medians[i])/1e6, float64(ours.medians[i])/1e6)
	}
	for _, c := range []*contender{fk, dexter, ours} {
		t.Logf("%s: %d indexes %.1f MB total %.0f without search %.0f", c.name, len(c.create), float64(c.bytes)/1e6, c.total(queries), c.total(queries, "msg_search"))
	}
}
