// Package dbtest tests dbindex and dbindex/live against real databases: SQLite in
// process always, PostgreSQL where realtest finds it. What the versus module runs at
// length on other servers is exported: random and hostile values, planted faults.
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
// The functions work on the database that they are given, one at a time.
//
// # Errors
//
// An error of [RoundTrip] or [HostileNames] is what the test would fail with.
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
