package dbtest

import (
	"context"
	"database/sql"
	"fmt"

	"github.com/perfblocks/perfblocks/dbindex"
	"github.com/perfblocks/perfblocks/dbindex/live"
)

// Declared indexes are brought about, and nothing is left to do.
func Example() {
	ctx := context.Background()
	db, err := sql.Open("sqlite", ":memory:")
	if err != nil {
		panic(err)
	}
	defer db.Close()
	db.SetMaxOpenConns(1)
	if _, err := db.ExecContext(ctx, `CREATE TABLE "Message" ("id" text PRIMARY KEY, "conversationId" text, "createdAt" text)`); err != nil {
		panic(err)
	}
	want := []dbindex.Index{{Table: "Message", Keys: []dbindex.Key{dbindex.Asc("conversationId"), dbindex.Desc("createdAt")}}}
	for range 2 {
		plan, err := live.Diff(ctx, db, want, live.DiffOptions{})
		if err != nil {
			panic(err)
		}
		report, err := live.Apply(ctx, db, plan, live.Options{})
		fmt.Println(len(plan.Steps), "steps,", report.Count(live.Done), "done,", err)
	}
	// Output:
	// 1 steps, 1 done, <nil>
	// 0 steps, 0 done, <nil>
}
