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
// The driver comes with the *sql.DB: pgx's stdlib, lib/pq, go-sql-driver/mysql,
// modernc.org/sqlite, …. [Usage] reports on PostgreSQL which indexes could go.
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
// [Inspect] and [Usage] send a handful of catalog queries on PostgreSQL and MariaDB, and
// a few for each table on SQLite. On PostgreSQL, [Diff] and [Apply] also create an empty
// temporary table for each table they mention, and roll it back. Apply holds two pool
// connections, on SQLite one.
//
// # Limits
//
// Diff and Apply need the right to create temporary tables on PostgreSQL, so they do not
// run on a hot standby. The index of a partitioned table is built ON ONLY the parent and
// concurrently on each partition; dropping it, which cannot be concurrent, takes a short
// strong lock. The estimate of [Preflight] is an upper bound from statistics, and the
// server cannot tell how much disk is free. A transaction pooler is refused where it can
// be seen ([ErrPooler]).
//
// On MariaDB a statement waits for its lock at most Options.DDLLockTimeout, at its end
// too: a build may be rolled back after it has read the table, and is tried again. The
// index that the server made for a foreign key is kept, and with it the last one that
// serves it; so a plan's reverse cannot drop an index that took its place. MySQL is known
// to [Detect] only: nothing of this package was run on it.
//
// On PostgreSQL raw SQL may name its table before a column, but not the schema before
// that: Diff and Apply find out on a copy of the table what it means.
//
// A raw SQL text that names no column of its SQLite table is taken for a string
// constant by SQLite; columns named outside raw SQL are checked.
//
// # Background
//
// PostgreSQL manual, "Building Indexes Concurrently", "Explicit Locking" and "CREATE
// INDEX Progress Reporting".
package live
