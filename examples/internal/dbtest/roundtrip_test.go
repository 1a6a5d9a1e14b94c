package dbtest

import (
	"database/sql"
	"errors"
	"flag"
	"math/rand/v2"
	"testing"

	"github.com/perfblocks/perfblocks/dbindex"
	"github.com/perfblocks/perfblocks/dbindex/live"
)

// go test ./examples/internal/dbtest -run /RoundTrip -cases 10000 -seed 7
var (
	cases = flag.Int("cases", 120, "random indexes in the round trip")
	seed  = flag.Uint64("seed", 42, "seed of the random indexes")
)

// roundTrip creates random indexes one by one: CREATE, inspect, empty diff, drop. What
// the dialect lacks must be a FeatureError before any SQL is sent.
func roundTrip(t *testing.T, db *sql.DB, d dbindex.Dialect, n int, seed uint64) {
	r := rand.New(rand.NewPCG(seed, 1))
	built, refused, server := 0, 0, 0
	for range n {
		ix := randomIndex(r)
		create, err := ix.SQL(d)
		if err != nil {
			if _, ok := errors.AsType[*dbindex.FeatureError](err); !ok {
				t.Fatalf("SQL(%+v): %v; want a FeatureError", ix, err)
			}
			refused++
			continue
		}
		if _, err := db.ExecContext(t.Context(), create); err != nil {
			server++
			if s, ok := errors.AsType[interface {
				error
				SQLState() string
			}](err); ok && s.SQLState() != "42704" && s.SQLState() != "42804" { // no such operator class or collation, or not for the type
				t.Fatalf("%s\n%v", create, err)
			}
			if _, err := live.Diff(t.Context(), db, []dbindex.Index{ix}, live.DiffOptions{}); err == nil && d.Name() == "postgres" {
				t.Fatalf("%s\nrefused by the server, accepted by Diff", create)
			}
			continue
		}
		built++
		plan, err := live.Diff(t.Context(), db, []dbindex.Index{ix}, live.DiffOptions{AllTables: true})
		if err != nil {
			t.Fatalf("Diff after %s: %v", create, err)
		}
		if !plan.Empty() {
			t.Fatalf("after %s\nDiff = %swant nothing\ncatalog: %s", create, plan, catalog(t, db, d))
		}
		schema, err := live.Inspect(t.Context(), db, live.InspectOptions{})
		if err != nil || len(schema.Indexes) != 1 || len(schema.Unknown) != 0 {
			t.Fatalf("Inspect after %s = %+v, %v; want one index", create, schema, err)
		}
		back := schema.Indexes[0]
		if built%3 == 0 {
			back = recreate(t, db, d, back)
		}
		if !back.Equivalent(d, schema.Indexes[0]) {
			t.Fatalf("drop and create of the inspected index changed it: %+v, then %+v", schema.Indexes[0], back)
		}
		drop, err := dbindex.Plan{Dialect: d, Steps: []dbindex.Step{{Op: dbindex.Drop, Index: back}}, Blocking: true}.Statements()
		if err != nil {
			t.Fatal(err)
		}
		must(t, db, drop[0].SQL)
	}
	t.Logf("%d built, %d refused with FeatureError, %d refused by the server", built, refused, server)
	if built < n/6 {
		t.Errorf("only %d of %d indexes could be built", built, n)
	}
}

// recreate drops the index and creates it from what Inspect said.
func recreate(t *testing.T, db *sql.DB, d dbindex.Dialect, ix dbindex.Index) dbindex.Index {
	t.Helper()
	st, err := dbindex.Plan{Dialect: d, Steps: []dbindex.Step{{Op: dbindex.Drop, Index: ix}, {Op: dbindex.Create, Index: ix}}, Blocking: true}.Statements()
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range st {
		must(t, db, s.SQL)
	}
	schema, err := live.Inspect(t.Context(), db, live.InspectOptions{})
	if err != nil || len(schema.Indexes) != 1 {
		t.Fatalf("Inspect = %+v, %v; want one index", schema, err)
	}
	return schema.Indexes[0]
}

func testRoundTrip(t *testing.T, s server) {
	db := s.open(t)
	must(t, db, randomTables)
	d, err := live.Detect(t.Context(), db)
	if err != nil {
		t.Fatal(err)
	}
	n := *cases
	if s.name == "sqlite" {
		n *= 3 // most are refused
	}
	roundTrip(t, db, d, n, *seed)
}
