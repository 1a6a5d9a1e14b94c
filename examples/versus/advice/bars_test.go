package advice

import (
	"database/sql"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/perfblocks/perfblocks/dbindex"
	"github.com/perfblocks/perfblocks/dbindex/advisor"
	"github.com/perfblocks/perfblocks/examples/versus/internal/bench"
)

// inSuite reports whether the suite runs the tests: with the full data then, unless
// VERSUS_USERS asks for less, and with little otherwise.
func inSuite() bool { return os.Getenv("VERSUS_ROWS") != "" }

// fullUsers is the size that the goals are stated for.
const fullUsers = 5000

func users() int { return number("VERSUS_USERS", fullUsers, 200) }

// number is what the environment asks for, else full in the suite, else little.
func number(name string, full, little int) int {
	if n, err := strconv.Atoi(os.Getenv(name)); err == nil && n > 0 {
		return n
	}
	if inSuite() {
		return full
	}
	return little
}

// TestBars advises and compares on the chat application as it is.
func TestBars(t *testing.T) { bars(t, plainWorld(users())) }

// TestBarsRenamed does the same where every name, most constants and the seed differ.
func TestBarsRenamed(t *testing.T) { bars(t, otherWorld(users())) }

// mb is a size in megabytes, as the bars count them.
func mb(n int64) float64 { return float64(n) / 1e6 }

func bars(t *testing.T, w world) {
	s := newServer(t)
	title := fmt.Sprintf("advisor, %s chat data of %d users: ", w.name, w.users)
	row := func(measure, unit string, figure, limit float64, peers ...bench.Value) {
		r := bench.Row{Measure: title + measure, Unit: unit, Ours: figure, Goal: fmt.Sprintf("≤ %.4g", limit), OK: figure <= limit, Peers: peers}
		if w.users != fullUsers {
			r.Goal, r.OK = "", true
		}
		bench.Emit(t, r)
	}
	work, queries := w.workload(t)
	fk := &contender{name: "FK-only", create: w.set("c_fk.sql")}
	dexter := &contender{name: "dexter", create: w.set("d2_dexter.sql")}
	ours := adviseAll(t, s, w, work, fk.create, row)
	db, name := s.open(t, w)
	small := adviseSmall(t, db, name, work, sizeOfSet(t, db, dexter.create))
	race(t, db, queries, 5, fk, dexter, ours, small)
	for i, q := range queries {
		t.Logf("%-20s weight %4.0f, ms: FK-only %8.3f dexter %8.3f advised %8.3f btree only %8.3f", q.name, q.weight,
			millis(fk, i), millis(dexter, i), millis(ours, i), millis(small, i))
	}
	const search = "msg_search" // the ILIKE query
	total := func(c *contender) float64 { return c.total(queries) }
	without := func(c *contender) float64 { return c.total(queries, search) }
	peers := []bench.Value{{Name: "FK-only ms", Value: total(fk)}, {Name: "dexter ms", Value: total(dexter)}, {Name: "advised ms", Value: total(ours)}}
	row("weighted time, advised to FK-only", "ratio", total(ours)/total(fk), 0.1, peers...)
	row("weighted time, advised to dexter's set", "ratio", total(ours)/total(dexter), 1.0/3, peers...)
	row("the same without the ILIKE query", "ratio", without(ours)/without(dexter), 0.85,
		bench.Value{Name: "dexter ms", Value: without(dexter)}, bench.Value{Name: "advised ms", Value: without(ours)})
	row("size of the advised set", "MB", mb(ours.bytes), 300, bench.Value{Name: "FK-only", Value: mb(fk.bytes)}, bench.Value{Name: "dexter", Value: mb(dexter.bytes)})
	slower := 0
	for i, q := range queries {
		if b, a := millis(fk, i), millis(ours, i); a > 1.2*b && a-b > 1 {
			slower++
			t.Logf("slower: %s: %.3f to %.3f ms", q.name, b, a)
		}
	}
	row("queries more than 1.2 times and 1 ms slower than with FK-only", "count", float64(slower), 0)
	row("btree only at dexter's size, weighted time to dexter's set without the ILIKE query", "ratio", without(small)/without(dexter), 1,
		bench.Value{Name: "with it", Value: total(small) / total(dexter)}, bench.Value{Name: "MB", Value: mb(small.bytes)}, bench.Value{Name: "dexter MB", Value: mb(dexter.bytes)})
	row("btree only, size to dexter's set", "ratio", mb(small.bytes)/mb(dexter.bytes), 1)
}

func millis(c *contender, i int) float64 { return float64(c.medians[i]) / 1e6 }

// adviseAll starts from a database with the foreign keys indexed, and returns the set
// that the advice leads to, verified.
func adviseAll(t *testing.T, s server, w world, work advisor.Workload, fk []string, row func(string, string, float64, float64, ...bench.Value)) *contender {
	db, name := s.open(t, w)
	must(t, db, fk...)
	must(t, db, `VACUUM ANALYZE`)
	h, err := advisor.NewHypoPG(t.Context(), db, advisor.HypoPGOptions{AllowPrimary: true})
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	o := advisor.Options{MaxBytes: 236 << 20} // beside the foreign keys' indexes, and built with less memory in the race
	a, err := advisor.Advise(t.Context(), h, work, o)
	if err != nil {
		t.Fatal(err)
	}
	row(fmt.Sprintf("advice for %d queries with hypopg", len(work)), "s", a.Took.Seconds(), 5, bench.Value{Name: "plans", Value: float64(a.Estimates)})
	tog, err := advisor.NewToggle(t.Context(), db, name)
	if err != nil {
		t.Fatal(err)
	}
	defer tog.Close()
	o.Shortlist = h
	if a, err = advisor.Advise(t.Context(), tog, work, o); err != nil {
		t.Fatal(err)
	}
	plain := a
	if a, err = advisor.Verify(t.Context(), tog, a, work, advisor.VerifyOptions{}); err != nil {
		t.Fatal(err)
	}
	row(fmt.Sprintf("advice for %d queries with Toggle and a shortlist by hypopg", len(work)), "s", plain.Took.Seconds(), 90,
		bench.Value{Name: "plans", Value: float64(plain.Estimates)}, bench.Value{Name: "verification s", Value: a.Verified.Seconds()}, bench.Value{Name: "rejected", Value: float64(len(a.Rejected))})
	t.Logf("%s", a)
	for _, q := range a.Queries {
		if q.Candidates == 0 && q.Reason == "" {
			t.Errorf("%s has neither candidates nor a reason", q.Name)
		}
	}
	return &contender{name: "advised", create: afterAdvice(t, a, fk)}
}

// afterAdvice are the statements of the set that is there when the advice is followed.
func afterAdvice(t *testing.T, a *advisor.Advice, before []string) (list []string) {
	gone := map[string]bool{}
	for _, d := range a.Drop {
		gone[definition(t, a.Dialect, d.Index)] = true
	}
	for _, s := range before {
		ix, err := dbindex.Parse(a.Dialect, s)
		if err != nil {
			t.Fatal(err)
		}
		if def := definition(t, a.Dialect, ix); gone[def] {
			delete(gone, def)
		} else {
			list = append(list, s)
		}
	}
	if len(gone) > 0 {
		t.Errorf("the advice drops what is not there: %v", gone)
	}
	for _, ix := range a.Indexes() {
		list = append(list, "CREATE INDEX ON "+definition(t, a.Dialect, ix))
	}
	return list
}

// definition is an index without its name.
func definition(t *testing.T, d dbindex.Dialect, ix dbindex.Index) string {
	t.Helper()
	text, err := ix.SQL(d)
	if err != nil {
		t.Fatal(err)
	}
	_, tail, _ := strings.Cut(text, " ON ")
	return tail
}

// adviseSmall may use what dexter's set takes, and btrees only, from no secondary index.
func adviseSmall(t *testing.T, db *sql.DB, name string, work advisor.Workload, bytes int64) *contender {
	h, err := advisor.NewHypoPG(t.Context(), db, advisor.HypoPGOptions{AllowPrimary: true})
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	tog, err := advisor.NewToggle(t.Context(), db, name)
	if err != nil {
		t.Fatal(err)
	}
	defer tog.Close()
	a, err := advisor.Advise(t.Context(), tog, work, advisor.Options{MaxBytes: bytes, Methods: []dbindex.Method{dbindex.BTree}, Shortlist: h})
	if err != nil {
		t.Fatal(err)
	}
	return &contender{name: "btree only", create: afterAdvice(t, a, nil)}
}

// sizeOfSet builds a set, weighs it and drops it again.
func sizeOfSet(t *testing.T, db *sql.DB, create []string) (bytes int64) {
	for i, s := range create {
		_, tail, _ := strings.Cut(s, " ON ")
		must(t, db, fmt.Sprintf("CREATE INDEX weigh_%d ON %s", i, tail))
		var n int64
		if err := db.QueryRow(`SELECT pg_relation_size($1::text::regclass)`, fmt.Sprintf("weigh_%d", i)).Scan(&n); err != nil {
			t.Fatal(err)
		}
		must(t, db, fmt.Sprintf("DROP INDEX weigh_%d", i))
		bytes += n
	}
	return bytes
}
