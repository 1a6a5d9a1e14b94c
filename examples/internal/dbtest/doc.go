// Package dbtest tests dbindex and dbindex/live against real databases: SQLite in
// process always, PostgreSQL where realtest finds it. It holds no code to import.
//
// # Getting started
//
//	go test ./examples/internal/dbtest
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
// The tests start one PostgreSQL server each.
//
// # Limits
//
// MySQL and MariaDB are not run here.
//
// # Background
//
// The tests live apart so that go test ./dbindex/... needs no driver.
package dbtest
