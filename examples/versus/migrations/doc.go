// Package migrations holds the tests that give the files of dbindex to the tools
// they are written for, goose and golang-migrate, on a real PostgreSQL server, and
// the statements for MariaDB to one. They are skipped where none is installed;
// PERF_REQUIRE=postgres,mariadb makes that a failure.
package migrations
