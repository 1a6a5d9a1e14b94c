// Package dbtest tests dbindex and dbindex/live against real databases: SQLite in
// process always, PostgreSQL where realtest finds it. It holds no code to import.
//
// # Getting started
//
//	go test ./examples/internal/dbtest
//	go test ./examples/internal/dbtest -run /RoundTrip -cases 10000 -seed 7
//
// # Units
//
// None.
//
// # Concurrency
//
// Nothing is exported.
//
// # Errors
//
// None.
//
// # Cost
//
// All tests share one PostgreSQL server and have a schema each; a run takes some
// seconds. The round trip of random indexes is short unless -cases says more.
//
// # Limits
//
// MariaDB, goose and golang-migrate run in the versus module. MySQL is not run.
//
// # Background
//
// The tests live apart so that go test ./dbindex/... needs no driver.
package dbtest
