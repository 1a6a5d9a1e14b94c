// Command indexadvisor reads a workload, proposes indexes for it, proves them where it
// may, and writes them as migration files.
//
//	go run ./examples/indexadvisor -dsn app.db -workload queries.sql
//	go run ./examples/indexadvisor -dsn postgres://… -scratch postgres://…/copy -workload queries.sql -out migrations -kind goose
//	go run ./examples/indexadvisor -dsn postgres://… -allow-primary -statements 50
//
// An SQLite database is copied, and everything is tried on the copy. For PostgreSQL,
// -scratch names a copy in which indexes are built and the queries run; without it the
// extension hypopg is asked, and nothing is run.
//
// # Flags
//
//	-dsn ADDRESS       postgres://… or the path of an SQLite file
//	-workload FILE     statements; comments "-- name: x weight: n" name and weigh them
//	-statements N      the N statements of pg_stat_statements that took the most time, instead of a file
//	-scratch ADDRESS   a copy of the database on a server of which you are superuser
//	-allow-primary     ask hypopg on a server that takes writes
//	-max-mb N          bound the size of the proposals
//	-max-indexes N     bound their number
//	-out DIR           write migration files there
//	-kind goose        of which tool: goose, golang-migrate, prisma or plain
//	-drop              also drop what is not needed any more
//	-dry-run=false     apply the advice to -dsn
package main
