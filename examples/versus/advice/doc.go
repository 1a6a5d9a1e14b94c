// Package advice holds the tests that let dbindex/advisor loose on a chat
// application's database and compare what comes out, by real run times, with the index
// sets that other tools gave for the same workload. They are small unless the suite
// runs them, and skipped without PostgreSQL; PERF_REQUIRE=postgres makes that a failure.
package advice
