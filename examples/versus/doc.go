// Command versus is the module for what the library itself must not depend on:
// benchmarks beside other people's packages, and tests with other people's
// programs. It is a module of its own, so that none of them appears in the
// requirements of those who import perfblocks; it always builds with the
// perfblocks in the folders above.
//
// go run -C examples/versus . [-only packages] [-json] [-full] prints the comparisons
// and ends with 1 when a goal is missed. Its tests: go test -C examples/versus ./...
package main
