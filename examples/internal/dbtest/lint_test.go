package dbtest

import (
	"os"
	"testing"
)

func schemaText(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile("testdata/" + name + ".sql")
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func checkScore(t *testing.T, name string, s Score, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range s.False {
		t.Errorf("%s: false: %v", name, f)
	}
	for _, p := range s.Missed {
		t.Errorf("%s: not found: %s %s", name, p.ID, p.SQL)
	}
}

// TestLintFiles reads the schemas as migration files: nothing is found, and then each
// planted fault is.
func TestLintFiles(t *testing.T) {
	for _, name := range Schemas() {
		s, err := ScoreFiles(name, schemaText(t, name))
		checkScore(t, name, s, err)
	}
	chat, err := ChatText(schemaText(t, "chat"))
	if err != nil {
		t.Fatal(err)
	}
	s, err := ScoreFiles("chat", chat)
	checkScore(t, "chat", s, err)
}

// testPlants does the same in a database.
func testPlants(t *testing.T, s server) {
	for _, name := range Schemas() {
		db := s.open(t)
		t.Cleanup(func() {
			must(t, db, `DROP SCHEMA IF EXISTS fleet_ref CASCADE; DROP EXTENSION IF EXISTS pg_trgm, btree_gist CASCADE`)
		})
		score, err := ScoreLive(t.Context(), db, name, schemaText(t, name))
		checkScore(t, name, score, err)
	}
}
