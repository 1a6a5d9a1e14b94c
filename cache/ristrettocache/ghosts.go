package ristrettocache

import (
	"fmt"

	"github.com/dgraph-io/ristretto/v2"
)

const (
	// countersPerEntry is what ristretto advises. Its sketch ages after so many uses
	// as it has counters.
	countersPerEntry = 10
	// firstRoom is the number of entries that a new engine has counters for.
	firstRoom = 8 << 10
)

// ghosts is a ristretto that holds keys' hashes and costs but no values. Ask and
// forget need the engine's mu, touch any of its shards' locks; close needs that
// nobody else is there or comes any more, since ristretto panics otherwise.
type ghosts struct {
	r *ristretto.Cache[uint64, struct{}]
	v *verdicts
}

// verdicts collects what ristretto decided. Its goroutine writes and the engine reads
// between two calls of Wait, so that they never meet. It is apart from the engine to
// let a forgotten engine be collected.
type verdicts struct {
	out     []uint64
	closing bool
}

func newGhosts(entries int64) (*ghosts, error) {
	v := &verdicts{}
	gone := func(i *ristretto.Item[struct{}]) {
		if !v.closing {
			v.out = append(v.out, i.Key)
		}
	}
	r, err := ristretto.NewCache(&ristretto.Config[uint64, struct{}]{
		NumCounters:        countersPerEntry * entries,
		MaxCost:            1, // each question brings its own
		BufferItems:        64,
		IgnoreInternalCost: true,
		KeyToHash:          func(h uint64) (uint64, uint64) { return h, 0 },
		OnEvict:            gone,
		OnReject:           gone,
	})
	if err != nil {
		return nil, fmt.Errorf("ristrettocache: new: %w", err)
	}
	return &ghosts{r: r, v: v}, nil
}

// touch counts a use of h. Ristretto drops some when it is behind.
func (g *ghosts) touch(h uint64) { g.r.Get(h) }

// forget takes h out without a verdict.
func (g *ghosts) forget(h uint64) { g.r.Del(h) }

// offer tells of a newcomer that contends for a place within limit; it must not be in.
func (g *ghosts) offer(h uint64, weight, limit int64) {
	g.r.UpdateMaxCost(limit)
	for !g.r.Set(h, struct{}{}, weight) {
		g.r.Wait() // its queue is full: nothing may be dropped
	}
}

// settle waits for the verdicts and calls fn with each that is out: a newcomer that
// was refused or an older one that had to go.
func (g *ghosts) settle(fn func(h uint64)) {
	g.r.Wait()
	for _, h := range g.v.out {
		fn(h)
	}
	g.v.out = g.v.out[:0]
}

func (g *ghosts) close() {
	g.r.Wait()
	g.v.closing = true
	g.r.Close()
}
