// Package versus is the module for what the library itself must not depend on:
// benchmarks beside other people's packages, and tests with other people's
// programs. It is a module of its own, so that none of them appears in the
// requirements of those who import perfblocks; it always builds with the
// perfblocks in the folders above.
//
// Run its tests with: go test -C examples/versus ./...
package versus
