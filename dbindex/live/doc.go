// Package live reads the indexes of a running database, applies a [dbindex.Plan] to it
// so that each index ends valid or absent, and reports which indexes are used.
//
// # Getting started
//
//	plan, err := live.Diff(ctx, db, want, live.DiffOptions{})
//	if err != nil {
//		return err
//	}
//	report, err := live.Apply(ctx, db, plan.Without(dbindex.Drop), live.Options{})
//
// The driver comes with the *sql.DB: pgx's stdlib, lib/pq, modernc.org/sqlite, ….
//
// # Units
//
// Sizes are bytes, blocks are PostgreSQL's (8 KiB unless built otherwise), times are
// the server's.
//
// # Concurrency
//
// All functions are safe for concurrent use, and so is running [Apply] in many
// processes at once: they take turns by an advisory lock that is polled, since a
// waiting one would hold a snapshot that CREATE INDEX CONCURRENTLY waits for. Apply
// starts one goroutine for each statement and joins it; [Hooks].Progress runs there,
// all other hooks on the caller's goroutine.
//
// # Errors
//
// See [Apply]. Driver errors are wrapped, and known by SQLState() or Code() methods.
// When ctx ends, the error matches ctx.Err() and carries context.Cause; the statement
// is cancelled on the server and its invalid index removed within
// [Options].CleanupTimeout. If that fails too, an [*InvalidError] says so.
//
// # Cost
//
// [Inspect] and [Usage] send one to three catalog queries on PostgreSQL and a few for
// each table on SQLite. [Diff] and [Apply] also create an empty temporary table for
// each table they mention, and roll it back. Apply holds two pool connections, SQLite
// one.
//
// # Limits
//
// Diff and Apply need the right to create temporary tables, so they do not run on a
// hot standby. Indexes on partitioned tables are reported as unknown and refused:
// create them on each partition. MySQL and MariaDB are known to [Detect] only.
// PostgreSQL through a transaction pooler is refused where it can be seen
// ([ErrPooler]). A raw SQL text that names no column of its SQLite table is taken for
// a string constant by SQLite; columns named outside raw SQL are checked.
//
// # Background
//
// PostgreSQL manual, "Building Indexes Concurrently", "Explicit Locking" and "CREATE
// INDEX Progress Reporting".
package live
