// Command proof measures what the blocks do together: the same users, faults and
// memory against a chat service without them, with what competent hands add first,
// and with all of them.
//
//	go run ./examples/proof          three modes, some four minutes, judges nothing
//	go run ./examples/proof -full    every mode, some forty minutes, judges the goals
//
// The exit code is 1 if a goal was missed, and 2 if something could not be measured or
// the run was interrupted. What was measured until then is printed, and a goal without
// a figure says why it has none.
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
//
// With -full also, for half of the time each:
//
//	only-X    the block X alone, beside the keys of off
//	no-X      all but the block X
//	*-zipf-0.8  fk and all with users whose popularity is less uneven
//
// and a search for the most users whom fk and all serve well without faults: 99.9 %
// good answers over 20 s, to an eighth. Stale answers of fk are forgiven in it, or fk
// would sustain nobody. At last adverse-fk, adverse-plain and adverse-all: any user as
// likely as any other, half of the actions writes, no pictures, sixteen workers without a
// pause, the services in turns. Plain has the indexes of all and no other block, so that
// the answers per second tell what the blocks cost where they cannot help; fk answers
// more, since its map spares it the work by answers that are stale.
//
// # What counts
//
// A good answer is right and comes within 1.5 s of when its user wanted it. Right
// means what the user may expect: a page of messages shows every message that was
// acknowledged before the page was asked for; an upload can be read. Degraded answers
// (the model did not answer, and the service says so) are good, and counted apart.
//
// Latencies, and answers per second, leave uploads out; these have a column of their own.
// The bound beside the good share is what the true share of bad answers exceeds with a
// probability of 5 % at most. Database time is that of the queries without their waiting
// for a connection; goals divide it by the answers that came.
//
// A hit is a load of the cache that needed no loader, nested ones included, images
// apart. Memory is the mean over the measured time of what the control group uses less
// its inactive files, or of the resident memory where no control group can be made.
package main
