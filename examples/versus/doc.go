// Command versus is the module for what the library itself must not depend on:
// benchmarks beside other people's packages, and tests with other people's
// programs. It is a module of its own, so that none of them appears in the
// requirements of those who import perfblocks; it always builds with the
// perfblocks in the folders above.
//
// go run -C examples/versus . [-only packages] [-json] [-full] prints the comparisons
// and ends with 1 when a goal is missed. Its tests: go test -C examples/versus ./...
//
// go run -C examples/versus . -curves folder [-only packages] [-full] measures what caches,
// pending uploads, declared indexes and pictures at once cost against how many there are,
// beside their peers, and writes each as SVG and CSV. -full adds 10 M entries, 100 k uploads
// and more numbers of pictures. Those in the folder curves are of a quiet machine.
package main
