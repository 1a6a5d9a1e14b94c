package cache

import (
	"iter"
	"sync/atomic"
)

const (
	ringsLog     = 4
	ringCells    = 32
	ringsSkipped = 8 // of so many full rings one is read although nothing is evicted
)

// readRing holds the latest notes of what was used. Older ones are overwritten; until
// then a cell that left is not freed, but its item is. Goroutines keep to different rings,
// as to the stripes of counters.
type readRing struct {
	added atomic.Uint32 // notes ever
	read  uint32        // guarded by the engine's mu: of those, how many were read
	cells [ringCells]atomic.Pointer[cell]
	_     [56]byte
}

// add notes c. It tells whether that filled the ring, and how often that has happened.
func (r *readRing) add(c *cell) (full bool, filling uint32) {
	n := r.added.Add(1)
	r.cells[n%ringCells].Store(c)
	return n%ringCells == 0, n / ringCells
}

// notes yields what was added since it was called last, as far as it is there still. A
// note whose writer was put aside half-way may come twice and another not at all: then a
// use is counted that was long ago.
func (r *readRing) notes() iter.Seq[*cell] {
	return func(yield func(*cell) bool) {
		added := r.added.Load()
		at := added - min(added-r.read, ringCells) // also where the counts have wrapped around
		for at != added {
			at++
			if c := r.cells[at%ringCells].Load(); c != nil && !yield(c) {
				break
			}
		}
		r.read = added
	}
}
