package indexes_test

import (
	"fmt"
	"os"
	"testing"

	"github.com/perfblocks/perfblocks/examples/internal/dbtest"
	"github.com/perfblocks/perfblocks/examples/versus/internal/bench"
	"github.com/perfblocks/perfblocks/internal/realtest"
)

// TestLint holds the lint against planted faults and against schemas without any.
func TestLint(t *testing.T) {
	pg := postgres{realtest.Postgres(t)}
	text := func(name string) string {
		b, err := os.ReadFile("../../internal/dbtest/testdata/" + name + ".sql")
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	var files, servers dbtest.Score
	add := func(sum *dbtest.Score, s dbtest.Score, err error) {
		if err != nil {
			t.Fatal(err)
		}
		sum.Planted, sum.Found = sum.Planted+s.Planted, sum.Found+s.Found
		sum.False, sum.Missed = append(sum.False, s.False...), append(sum.Missed, s.Missed...)
	}
	chat, err := dbtest.ChatText(text("chat"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range append(dbtest.Schemas(), "chat") {
		sql := chat
		if name != "chat" {
			sql = text(name)
		}
		s, err := dbtest.ScoreFiles(name, sql)
		add(&files, s, err)
		db, _ := pg.database(t, "lint_"+name)
		s, err = dbtest.ScoreLive(t.Context(), db, name, sql)
		add(&servers, s, err)
	}
	for _, side := range []struct {
		name  string
		score dbtest.Score
	}{{"migration files", files}, {"a live database", servers}} {
		for _, m := range side.score.Missed {
			t.Errorf("%s: not found: %s %s", side.name, m.ID, m.SQL)
		}
		for _, f := range side.score.False {
			t.Errorf("%s: false: %v", side.name, f)
		}
		found, wrong := side.score.Found, len(side.score.False)
		bench.Emit(t, bench.Row{Measure: "lint of " + side.name + ": planted faults found", Unit: "faults", Ours: float64(found),
			Goal: fmt.Sprintf("= %d", side.score.Planted), OK: found == side.score.Planted && found > 0},
			bench.Row{Measure: "lint of " + side.name + ": false findings in four schemas", Unit: "findings", Ours: float64(wrong), Goal: "= 0", OK: wrong == 0})
	}
}
