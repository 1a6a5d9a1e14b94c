package advisor_test

import (
	"context"
	"database/sql"
	"fmt"
	"log"

	"modernc.org/sqlite"

	"github.com/perfblocks/perfblocks/dbindex"
	"github.com/perfblocks/perfblocks/dbindex/advisor"
)

// Without a database: declared tables and the text of the queries.
func ExampleNewHeuristic() {
	w, err := advisor.NewHeuristic(dbindex.Postgres(15), []advisor.Table{{
		Name: "Message", Rows: 1_000_000,
		Columns: []advisor.Column{{Name: "id", Type: "text", Distinct: 1_000_000}, {Name: "conversationId", Type: "text", Distinct: 50_000}, {Name: "createdAt", Type: "timestamptz"}},
	}})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer w.Close()
	advice, err := advisor.Advise(context.Background(), w, advisor.Workload{
		{SQL: `SELECT * FROM "Message" WHERE "conversationId" = $1 ORDER BY "createdAt" DESC LIMIT 50`},
	}, advisor.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, ix := range advice.Indexes() {
		fmt.Println(ix.Table, ix.Keys[0].Column, ix.Keys[1].Column)
	}
	// Output: Message conversationId createdAt
}

// scratch makes a copy of a shop's database that may be changed at will.
func scratch(ctx context.Context) (*sql.DB, error) {
	db, err := sql.Open("sqlite", ":memory:")
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(1)
	_, err = db.ExecContext(ctx, `
		CREATE TABLE orders (id integer PRIMARY KEY, customer integer, total integer);
		WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20000)
		INSERT INTO orders SELECT i, i % 2000, i % 97 FROM n;
		ANALYZE`)
	return db, err
}

// On a scratch copy the proposal is built, and the queries run with and without it.
func ExampleNewSQLite() {
	ctx := context.Background()
	db, err := scratch(ctx)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer db.Close()
	w, err := advisor.NewSQLite(ctx, db, "") // a file's path is repeated here
	if err != nil {
		fmt.Println(err)
		return
	}
	defer w.Close()
	work := advisor.Workload{{SQL: "SELECT total FROM orders WHERE customer = ?", Args: [][]any{{7}, {8}, {9}}}}
	advice, err := advisor.Advise(ctx, w, work, advisor.Options{})
	if err == nil {
		advice, err = advisor.Verify(ctx, w, advice, work, advisor.VerifyOptions{})
	}
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(len(advice.Create), "proven:", advice.Indexes()[0].Table, advice.Indexes()[0].Keys[0].Column)
	// Output: 1 proven: orders customer
}

// A recorder stands between database/sql and the driver, and learns the workload.
func ExampleNewRecorder() {
	ctx := context.Background()
	r := advisor.NewRecorder(advisor.RecorderOptions{})
	c, err := sqlite.NewConnector(":memory:")
	if err != nil {
		fmt.Println(err)
		return
	}
	db := sql.OpenDB(r.Connector(c))
	defer db.Close()
	for id := range 3 {
		var n int
		if err := db.QueryRowContext(ctx, "SELECT ? + 1", id).Scan(&n); err != nil {
			fmt.Println(err)
			return
		}
	}
	for _, q := range r.Workload() {
		fmt.Println(q.SQL, q.Weight)
	}
	// Output: SELECT ? + 1 3
}

// A toggle works on a scratch copy of a PostgreSQL database, whose name is repeated.
func ExampleNewToggle() {
	advise := func(ctx context.Context, db *sql.DB, work advisor.Workload) error {
		w, err := advisor.NewToggle(ctx, db, "app_copy")
		if err != nil {
			return err // matches ErrPrimary unless db is such a copy
		}
		defer w.Close()
		advice, err := advisor.Advise(ctx, w, work, advisor.Options{MaxBytes: 300 << 20})
		if err != nil {
			return err
		}
		fmt.Print(advice)
		return nil
	}
	_ = advise // called with a *sql.DB of any PostgreSQL driver
}

// HypoPG asks a standby and changes nothing.
func ExampleNewHypoPG() {
	advise := func(ctx context.Context, standby *sql.DB, work advisor.Workload) error {
		w, err := advisor.NewHypoPG(ctx, standby, advisor.HypoPGOptions{})
		if err != nil {
			return err
		}
		defer w.Close()
		advice, err := advisor.Advise(ctx, w, work, advisor.Options{MaxIndexes: 5})
		if err != nil {
			return err
		}
		log.Print(advice)
		return nil
	}
	_ = advise // called with a *sql.DB of any PostgreSQL driver
}
