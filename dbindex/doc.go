// Package dbindex declares database indexes as Go literals and turns them into SQL,
// plans, migration files and lint findings for PostgreSQL, MySQL, MariaDB and SQLite.
//
// # Getting started
//
//	want := []dbindex.Index{{
//		Table: "Message",
//		Keys:  []dbindex.Key{dbindex.Asc("conversationId"), dbindex.Desc("createdAt")},
//		Where: dbindex.IsNull("deletedAt"),
//	}}
//	plan, err := dbindex.Diff(dbindex.Postgres(15), want, nil)
//	files, err := plan.Migration(dbindex.Goose, dbindex.MigrationOptions{At: at})
//	err = os.CopyFS("migrations", files)
//
// [Lint] judges declared indexes or those of a live database, [LintFiles] migration
// files; [Implies] tells whether one predicate follows from another.
//
// Package dbindex/live reads the indexes of a running database, applies a plan to it
// without blocking writers, and reports which indexes are used.
//
// # Units
//
// Names are measured in bytes (PostgreSQL: 63) or characters (MySQL and MariaDB: 64).
// [Key].Prefix is what the column's type counts: characters or bytes. File versions
// are UTC seconds.
//
// # Concurrency
//
// Everything here is a plain value or a pure function: safe to share as long as
// nobody writes to it. No function starts a goroutine or calls back.
//
// # Errors
//
// What the dialect lacks is a [*FeatureError], which matches [errors.ErrUnsupported]
// and names the alternative. A bad definition matches [ErrIndex]; it may be an
// [*IdentError] or a [*RawSQLError]. Bad options match [ErrOptions]. Functions that
// take several indexes report all bad ones, joined. Nothing is shortened, cleaned or
// left out in silence: identifiers are always quoted, and names too long for the
// dialect are refused.
//
// # Cost
//
// Writing one index is linear in its text: about a microsecond and 6 allocations for
// one of the chat application (BenchmarkIndexSQL). [Diff] sorts; [Lint] compares each
// pair of indexes of a table. A program that diffs, lints and writes files grows by 0.69 MB
// with debug information, by 0.96 MB when it also calls [LintFiles], and by no other module
// ("go run -C examples/versus . -only dbindex", linux/amd64, Go 1.26, November 2026).
//
// # Limits
//
// Control characters are refused in identifiers and constants, since migration tools
// split files by line. Expressions are compared by token, in [Diff] predicates too; Lint
// and Implies read the forms that typed predicates and PostgreSQL's own printing have.
// Only live.Diff asks the server for their meaning. LintFiles reads the statements that
// concern tables, constraints and indexes; what is renamed it no longer follows. On SQLite, which cannot rename an
// index, Replace and Rename drop before they create, so run them in one transaction.
// Statements for MySQL follow its manual and are tested as text only: they are not run
// on a server, as those for the other three are. A concurrent statement in a file fails
// on a partitioned table: let live.Apply build it, or write a Blocking plan. The files
// for Prisma were run by hand in its schema engine 6.19. Not modelled: operator class
// parameters, full-text and spatial indexes, exclusion constraints, index comments.
//
// # Background
//
// PostgreSQL manual, CREATE INDEX and "Building Indexes Concurrently"; MySQL manual,
// "Online DDL Operations"; SQLite, "Partial Indexes" and "Indexes On Expressions".
package dbindex
