// Package indexes tests dbindex and dbindex/live against PostgreSQL, MariaDB and
// SQLite at length, and beside other migration tools: random definitions there and back, faults in
// each phase of a build. The suite "dbindex" runs it; VERSUS_CASES says how many random
// values are drawn.
package indexes
