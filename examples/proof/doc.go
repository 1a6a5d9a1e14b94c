// Command proof measures what the blocks do together: the same users, faults and
// memory against a chat service without them, with what competent hands add first,
// and with all of them.
//
//	go run ./examples/proof          three modes, some four minutes, judges nothing
//	go run ./examples/proof -full    every mode, and the exit code judges the goals
//
// It builds examples/chatserver once and runs it as a child process for each mode,
// each with the same data, seed, memory limit and script of faults. What users do is
// in visit.go, when in package load, what breaks in faults.go.
//
// # Modes
//
//	off       primary and unique keys only, no block
//	fk        foreign-key indexes and a map of thirty seconds, no block
//	all       all six blocks
//	only-X    the block X alone, beside the keys of off (-full)
//	no-X      all but the block X (-full)
//
// # What counts
//
// A good answer is right and comes within 1.5 s of when its user wanted it. Right
// means what the user may expect: a page of messages shows every message that was
// acknowledged before the page was asked for; an upload can be read. Degraded answers
// (the model did not answer, and the service says so) are good, and counted apart.
//
// A hit is a load of the cache that needed no loader, nested ones included, images
// apart. Memory is the mean over the measured time of what the control group uses less
// its inactive files, or of the resident memory where no control group can be made.
package main
