// Package realtest gives tests real servers: PostgreSQL, Redis, MariaDB, an S3
// server and a Chromium browser, found or started at the moment a test asks, and
// the folder of other people's clients for Node.
//
// # Getting started
//
//	func TestUsage(t *testing.T) {
//		db, err := sql.Open("pgx", realtest.Postgres(t))
//		// …
//	}
//
// Each function looks in this order: the address in the environment
// (PERF_POSTGRES_URL, PERF_REDIS_URL, PERF_MARIADB_DSN, PERF_S3_URL,
// CHROME_PATH); a server started from a binary on PATH or in Debian's usual
// places; else the test is skipped with the name of the package to install.
// Packages of npm are only looked for in the folder PERF_NPM.
// PERF_REQUIRE=postgres,redis,mariadb,s3,chromium,npm makes the named skips
// failures, so that CI cannot lose coverage in silence; a name that is none
// of these is a failure too.
//
// # Units
//
// Addresses are complete: a URL or DSN with user and password, a path of an
// executable file. No function returns an address that a test must add to.
//
// # Concurrency
//
// All functions may be called from parallel tests. Every call starts a server
// of its own, so tests share nothing; a test with many cases calls once in the
// parent and hands the address to its subtests. A server lives until its
// test's Cleanup, which waits for its process. On Linux it also dies with the
// test binary, however that ends.
//
// # Errors
//
// Nothing is returned: what is not installed skips the test, what is installed
// and does not start fails it with the end of the server's log.
//
// # Cost
//
// Redis and S3 are up in tens of milliseconds, PostgreSQL in about a second,
// MariaDB in a few; all keep their data in one temporary folder with
// durability switched off.
//
// # Limits
//
// An address from the environment is handed over as it is: tests that share
// such a server keep to names of their own and clean up. Servers listen on
// loopback TCP with a random password. As root they run as postgres, mysql or
// nobody. A test binary that is killed leaves its temporary folder behind.
//
// # Background
//
// Build tags are not used on purpose: tests behind a tag are not compiled by
// those who change the code under them.
package realtest
