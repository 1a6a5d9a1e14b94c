package live_test

import (
	"context"
	"database/sql"
	"fmt"

	_ "modernc.org/sqlite" // registers the driver "sqlite"

	"github.com/perfblocks/perfblocks/dbindex"
	"github.com/perfblocks/perfblocks/dbindex/live"
)

// A service brings its indexes about when it starts, beside indexes that others made.
func ExampleApply() {
	ctx := context.Background()
	db, err := sql.Open("sqlite", ":memory:") // or any driver of PostgreSQL or MariaDB
	if err != nil {
		fmt.Println(err)
		return
	}
	defer db.Close()
	db.SetMaxOpenConns(1)
	if _, err := db.ExecContext(ctx, `CREATE TABLE "Message" ("id" text PRIMARY KEY, "conversationId" text, "createdAt" text)`); err != nil {
		fmt.Println(err)
		return
	}
	want := []dbindex.Index{{Table: "Message", Keys: []dbindex.Key{dbindex.Asc("conversationId"), dbindex.Desc("createdAt")}}}
	for range 2 {
		plan, err := live.Diff(ctx, db, want, live.DiffOptions{})
		if err != nil {
			fmt.Println(err)
			return
		}
		report, err := live.Apply(ctx, db, plan.Without(dbindex.Drop), live.Options{})
		fmt.Println(report.Count(live.Done), "indexes built", err)
	}
	// Output:
	// 1 indexes built <nil>
	// 0 indexes built <nil>
}

func ExampleUsageReport_Unused() {
	var r live.UsageReport // from live.Usage(ctx, db)
	fmt.Println(len(r.Unused(0)), "indexes are unused")
	// Output: 0 indexes are unused
}
