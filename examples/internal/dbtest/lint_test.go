package dbtest

import (
	"os"
	"testing"
	"testing/fstest"

	"github.com/perfblocks/perfblocks/dbindex"
	"github.com/perfblocks/perfblocks/dbindex/live"
)

func schemaText(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile("testdata/" + name + ".sql")
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func reported(list []dbindex.Finding, p Plant) bool {
	for _, f := range list {
		if f.ID == p.ID && (p.Index == "" || f.Index == p.Index) {
			return true
		}
	}
	return false
}

// TestLintFiles reads the schemas as migration files: nothing is found, and then each
// planted fault is.
func TestLintFiles(t *testing.T) {
	pg := dbindex.Postgres(15)
	lint := func(text, plant string) []dbindex.Finding {
		t.Helper()
		list, err := dbindex.LintFiles(pg, fstest.MapFS{"1_schema.sql": {Data: []byte(text)}, "2_plant.sql": {Data: []byte(plant)}}, dbindex.LintOptions{})
		if err != nil {
			t.Fatal(err)
		}
		return list
	}
	for _, name := range Schemas() {
		for _, f := range lint(schemaText(t, name), "") {
			t.Errorf("%s: false: %v", name, f)
		}
	}
	for _, p := range Plants() {
		if p.Server {
			continue
		}
		if list := lint(schemaText(t, p.Schema), p.SQL+";"); !reported(list, p) {
			t.Errorf("%s: %s: not found, but %v", p.ID, p.SQL, list)
		}
	}
}

// testPlants does the same in a database.
func testPlants(t *testing.T, s server) {
	for _, name := range Schemas() {
		db := s.open(t)
		must(t, db, schemaText(t, name))
		t.Cleanup(func() {
			must(t, db, `DROP SCHEMA IF EXISTS fleet_ref CASCADE; DROP EXTENSION IF EXISTS pg_trgm, btree_gist CASCADE`)
		})
		lint := func() []dbindex.Finding {
			t.Helper()
			schema, err := live.Inspect(t.Context(), db, live.InspectOptions{})
			if err != nil || len(schema.Unknown) != 0 {
				t.Fatalf("Inspect(%s): %v, unknown %v", name, err, schema.Unknown)
			}
			return dbindex.Lint(dbindex.Postgres(15), schema, dbindex.LintOptions{})
		}
		for _, f := range lint() {
			t.Errorf("%s: false: %v", name, f)
		}
		for _, p := range Plants() {
			if p.Schema != name || p.Undo == "" {
				continue
			}
			must(t, db, p.SQL)
			if list := lint(); !reported(list, p) {
				t.Errorf("%s: %s: not found, but %v", p.ID, p.SQL, list)
			}
			must(t, db, p.Undo)
		}
	}
}
