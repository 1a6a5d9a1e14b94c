package advice

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
)

// contender is one index set.
type contender struct {
	name   string
	create []string // statements

	oids    []string
	bytes   int64
	medians []time.Duration // by query: mean over its texts of the median run
}

// total is the weighted time in milliseconds, leaving out the named queries.
func (c *contender) total(queries []query, except ...string) (sum float64) {
	for i, q := range queries {
		if !slices.Contains(except, q.name) {
			sum += q.weight * float64(c.medians[i]) / 1e6
		}
	}
	return sum
}

// race builds all sets side by side in one database and lets each round run the whole
// workload once with each set valid and the others not, so that all see the same
// machine and the same memory.
func race(t testing.TB, db *sql.DB, queries []query, rounds int, sets ...*contender) {
	t.Helper()
	for i, c := range sets {
		for j, s := range c.create {
			name := fmt.Sprintf("race_%d_%d", i, j)
			_, tail, ok := strings.Cut(s, " ON ")
			if !ok {
				t.Fatalf("%s: no CREATE INDEX: %s", c.name, s)
			}
			must(t, db, `CREATE INDEX `+name+` ON `+tail)
			var oid string
			var size int64
			if err := db.QueryRow(`SELECT oid::text, pg_relation_size(oid) FROM pg_class WHERE relname = $1`, name).Scan(&oid, &size); err != nil {
				t.Fatal(err)
			}
			c.oids, c.bytes = append(c.oids, oid), c.bytes+size
		}
	}
	must(t, db, `ANALYZE`, `CHECKPOINT`)
	conn, err := db.Conn(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	runs := make([][][][]time.Duration, len(sets)) // set, query, text, round
	for i := range runs {
		runs[i] = make([][][]time.Duration, len(queries))
		for j, q := range queries {
			runs[i][j] = make([][]time.Duration, len(q.texts))
		}
	}
	for round := range rounds + 1 { // the first warms up
		for i := range sets {
			i = (i + round) % len(sets)
			use(t, conn, sets[i].oids)
			for j, q := range queries {
				for k, text := range q.texts {
					d := run(t, conn, text)
					if round > 0 {
						runs[i][j][k] = append(runs[i][j][k], d)
					}
				}
			}
		}
	}
	for i, c := range sets {
		for j, q := range queries {
			var sum time.Duration
			for k := range q.texts {
				slices.Sort(runs[i][j][k])
				sum += runs[i][j][k][rounds/2]
			}
			c.medians = append(c.medians, sum/time.Duration(len(q.texts)))
		}
	}
}

// use makes exactly the given indexes valid among those of the race.
func use(t testing.TB, conn *sql.Conn, oids []string) {
	t.Helper()
	in := "0"
	if len(oids) > 0 {
		in = strings.Join(oids, ",")
	}
	_, err := conn.ExecContext(context.Background(), `UPDATE pg_index SET indisvalid = indexrelid IN (`+in+`)
		WHERE indexrelid IN (SELECT oid FROM pg_class WHERE relname LIKE 'race\_%') AND indisvalid <> (indexrelid IN (`+in+`))`)
	if err != nil {
		t.Fatal(err)
	}
}

// run times one execution by the simple protocol, the result read to its end.
func run(t testing.TB, conn *sql.Conn, text string) (d time.Duration) {
	t.Helper()
	err := conn.Raw(func(c any) error {
		pg := c.(*stdlib.Conn).Conn()
		start := time.Now()
		rows, err := pg.Query(context.Background(), text, pgx.QueryExecModeSimpleProtocol)
		if err != nil {
			return err
		}
		for rows.Next() {
		}
		d = time.Since(start)
		return rows.Err()
	})
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return d
}
