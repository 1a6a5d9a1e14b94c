package live_test

import (
	"context"
	"database/sql"
	"fmt"
	"log/slog"

	"github.com/perfblocks/perfblocks/dbindex"
	"github.com/perfblocks/perfblocks/dbindex/live"
)

// A service brings its indexes about when it starts, beside indexes that others made.
func ExampleApply() {
	migrate := func(ctx context.Context, db *sql.DB) error {
		plan, err := live.Diff(ctx, db, []dbindex.Index{
			{Table: "Message", Keys: []dbindex.Key{dbindex.Asc("conversationId"), dbindex.Desc("createdAt")}},
		}, live.DiffOptions{})
		if err != nil {
			return err
		}
		report, err := live.Apply(ctx, db, plan.Without(dbindex.Drop), live.Options{Logger: slog.Default()})
		if err != nil {
			return err
		}
		fmt.Println(report.Count(live.Done), "indexes built")
		return nil
	}
	_ = migrate // called with a *sql.DB of any PostgreSQL or SQLite driver
}

func ExampleUsageReport_Unused() {
	var r live.UsageReport // from live.Usage(ctx, db)
	fmt.Println(len(r.Unused(0)), "indexes are unused")
	// Output: 0 indexes are unused
}
