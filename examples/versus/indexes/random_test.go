package indexes_test

import (
	"database/sql"
	"fmt"
	"testing"

	"github.com/perfblocks/perfblocks/examples/internal/dbtest"
	"github.com/perfblocks/perfblocks/examples/versus/internal/bench"
	"github.com/perfblocks/perfblocks/internal/realtest"
)

// each calls fn with an empty database of each product.
func each(t *testing.T, suffix string, fn func(t *testing.T, product string, db *sql.DB)) {
	t.Run("postgres", func(t *testing.T) {
		db, _ := postgres{realtest.Postgres(t)}.database(t, "random_"+suffix)
		fn(t, "PostgreSQL", db)
	})
	t.Run("mariadb", func(t *testing.T) { fn(t, "MariaDB", mariadb(t, "random_"+suffix)) })
	t.Run("sqlite", func(t *testing.T) { fn(t, "SQLite", sqlite(t)) })
}

// TestRoundTrip creates random indexes, reads them back and finds no difference.
func TestRoundTrip(t *testing.T) {
	n := cases(40)
	each(t, "trip", func(t *testing.T, product string, db *sql.DB) {
		c, err := dbtest.RoundTrip(t.Context(), db, n, 7)
		if err != nil {
			t.Errorf("%+v: %v", c, err)
		}
		bench.Emit(t, bench.Row{Measure: "round trip: random indexes created, inspected, without difference, " + product, Unit: "indexes", Ours: float64(c.Built),
			Goal: fmt.Sprintf("= %d", n), OK: err == nil && c.Built == n,
			Peers: []bench.Value{{Name: "FeatureError", Value: float64(c.Lacking)}, {Name: "misfits refused by the server", Value: float64(c.Server)}}})
	})
}

// TestHostileNames looks for names that break out or are cut.
func TestHostileNames(t *testing.T) {
	n := max(1, cases(40)/4)
	each(t, "names", func(t *testing.T, product string, db *sql.DB) {
		c, err := dbtest.HostileNames(t.Context(), db, n, 7)
		wrong := 0.0
		if err != nil {
			t.Errorf("%+v: %v", c, err)
			wrong = 1
		}
		bench.Emit(t, bench.Row{Measure: "hostile names: injections and silent truncations, " + product, Unit: "found", Ours: wrong,
			Goal: "= 0", OK: wrong == 0, Peers: []bench.Value{{Name: "came back whole", Value: float64(c.Built)}, {Name: "IdentError", Value: float64(c.Refused)}}})
	})
}
