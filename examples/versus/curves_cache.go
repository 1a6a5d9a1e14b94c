package main

import (
	"context"
	"fmt"
	"runtime"
	"runtime/debug"
	"strconv"
	"syscall"
	"time"

	"github.com/perfblocks/perfblocks/cache"
	"github.com/perfblocks/perfblocks/examples/versus/internal/bench"
	"github.com/perfblocks/perfblocks/examples/versus/internal/curve"
	"github.com/perfblocks/perfblocks/memory"
)

// The sides of the curve of caches.
const (
	oursView  = "perfblocks cache"
	oursCache = "perfblocks memory.NewCache"
)

func cacheSides() []string {
	return []string{oursView, oursCache, "otter", "ristretto", "golang-lru", "theine"}
}

// bytesForEntry is what a process of the curve needs for each entry, all sides
// together, as measured at a million, with a margin for what collecting needs.
const bytesForEntry = 1500

// cacheCurve measures caches of more and more entries of [string, []byte].
func cacheCurve(r *bench.Report, c *curves) (*curve.Figure, error) {
	f := &curve.Figure{
		Title: "Caches of [string, []byte] against their entries", Size: "entries", Names: cacheSides(), Ours: 2,
		Panels: []curve.Panel{
			{Title: "Memory for an entry beside its key and value", Unit: curve.Bytes},
			{Title: "CPU time of Get, keys at random", Unit: curve.Nanoseconds},
			{Title: "CPU time of Set, of a stored key", Unit: curve.Nanoseconds},
			{Title: "CPU time of Set, of new keys into an empty cache", Unit: curve.Nanoseconds},
		},
		Notes: []string{"Each side in a process of its own. Bounded at a quarter more entries than there are, so that nothing is evicted. " +
			"Keys of 13 bytes asked for as fresh copies; values and keys stand outside of the caches and are shared. Get and Set with the collector off, filling with it on. Memory is of one filling, and so is filling beyond 100 k. " +
			"perfblocks cache is the whole typed layer over otter: views, TTL, tags, statistics."},
	}
	for _, n := range c.sizes(r, []int{1_000, 10_000, 100_000, 1_000_000}, 10_000_000) {
		if need, have := int64(n)*bytesForEntry, availableBytes(); have < need {
			leftOut(r, f, fmt.Sprintf("%d entries", n), fmt.Sprintf("%d GB of memory are wanted and %d are free", need/1e9, have/1e9))
			continue
		}
		var specs []sideSpec
		for _, name := range f.Names {
			s := sideSpec{Curve: "cache", Side: name, N: n, Ops: 1 << 17}
			if c.small {
				s.Ops = 1 << 10
			}
			specs = append(specs, s)
		}
		rounds := 7
		if n > 1_000_000 {
			rounds = 3
		}
		sides, err := takeTurns(specs, c.orRounds(rounds), equal)
		if err != nil {
			return nil, err
		}
		addPoints(f, sides)
	}
	if !r.Full && !c.small {
		f.Notes = append(f.Notes, "10 M entries are measured with -full.")
	}
	if !c.small {
		growth(r, &f.Panels[0], f.Names[1:], 100_000, 1.2)
		growth(r, &f.Panels[3], f.Names[1:], 100_000, 3)
		growth(r, &f.Panels[0], f.Names, 100_000, 1.2)
		growth(r, &f.Panels[3], f.Names, 100_000, 3)
	}
	return f, nil
}

// addPoints adds what the sides have measured; figures are named by the panel's place.
func addPoints(f *curve.Figure, sides []*sideProcess) {
	for i := range f.Panels {
		for _, s := range sides {
			if v := s.values[strconv.Itoa(i)]; len(v) > 0 {
				f.Panels[i].Add(s.spec.Side, curve.Of(float64(s.spec.N), v))
			}
		}
	}
}

// viewPeer is a view of our cache with a bound of n entries.
func viewPeer(n int) (*cachePeer, error) {
	c, err := cache.New(cache.Options{MaxEntries: n, SweepInterval: -1})
	if err != nil {
		return nil, err
	}
	v, err := cache.Add(c, cache.Strategy[[]byte]{Name: "user", TTL: time.Hour})
	if err != nil {
		return nil, err
	}
	ctx := context.Background()
	return &cachePeer{
		name: oursView, get: func(k string) ([]byte, bool) { return v.Get(ctx, k) }, settle: nothing, len: v.Len, close: func() { c.Close() },
		set: func(k string, b []byte) {
			if err := v.Set(ctx, k, b); err != nil {
				panic(err) // the bound is far above an entry
			}
		},
	}, nil
}

// cacheOf makes the cache of a side.
func cacheOf(side string, n int) (*cachePeer, error) {
	switch side {
	case oursView:
		return viewPeer(n)
	case oursCache:
		return oursPeer(oursCache, n, memory.PolicyLRU)
	case "otter":
		return otterPeer(n)
	case "ristretto":
		return ristrettoPeer(n)
	case "golang-lru":
		return golangLRU(n)
	case "theine":
		return theinePeer(n)
	}
	return nil, fmt.Errorf("there is no cache %q", side)
}

// cacheLoad is the keys and values of a side, and what it asks for.
type cacheLoad struct {
	side   string
	keys   []string
	values [][]byte
	asked  []string
}

func newCacheLoad(s sideSpec) *cacheLoad {
	l := &cacheLoad{side: s.Side, keys: make([]string, s.N), values: userValues(4096, 7)}
	text := make([]byte, 0, 13*s.N) // one piece, so that the keys cost no collection
	for i := range s.N {
		text = append(text, userKey(i)...)
	}
	all := string(text)
	for i := range l.keys {
		l.keys[i] = all[13*i : 13*(i+1)]
	}
	l.asked = probes(l.keys, s.Ops)
	return l
}

// filled makes a cache and stores all keys, new ones all.
func (l *cacheLoad) filled() (*cachePeer, error) {
	c, err := cacheOf(l.side, len(l.keys)/4*5)
	if err != nil {
		return nil, err
	}
	for i, k := range l.keys {
		c.set(k, l.values[i%len(l.values)])
	}
	c.settle()
	return c, nil
}

// check looks keys up, all or a million. Ristretto forgets some Sets whatever one does.
func (l *cacheLoad) check(c *cachePeer) (string, error) {
	missing, wrong := 0, 0
	every := max(1, len(l.keys)/1_000_000)
	for i := 0; i < len(l.keys); i += every {
		switch v, ok := c.get(l.keys[i]); {
		case !ok:
			missing++
		case len(v) != len(l.values[i%len(l.values)]):
			wrong++
		}
	}
	if c.mayRefuse && missing <= len(l.keys)/every/100 {
		missing = 0
	}
	return fmt.Sprintf("%d keys, %d missing, %d wrong", len(l.keys), missing, wrong), nil
}

// perOp is the processor time of f for each of n operations, in nanoseconds.
func perOp(n int, f func()) float64 {
	before := rusage(syscall.RUSAGE_SELF)
	f()
	return max(1000*(rusage(syscall.RUSAGE_SELF)-before)/float64(n), 0.1)
}

// cacheSide fills caches with n entries, several when n is small, so that the heap has
// something to show.
func cacheSide(s sideSpec) (*working, error) {
	l := newCacheLoad(s)
	runtime.GOMAXPROCS(1)
	copies := make([]*cachePeer, max(1, min(s.Ops, 50_000)/s.N))
	before := liveHeap()
	var err error
	fill := perOp(s.N*len(copies), func() {
		for i := range copies {
			if copies[i], err = l.filled(); err != nil {
				return
			}
		}
	})
	if err != nil {
		return nil, err
	}
	held := 0
	for _, c := range copies {
		held += c.len()
	}
	grown := liveHeap() - before
	w := &working{ready: figures{"0": max(float64(grown)/float64(held), 0.1)}}
	c := copies[0]
	closeAll(copies[1:])
	if w.result, err = l.check(c); err != nil {
		return nil, err
	}
	copies = nil
	debug.FreeOSMemory()
	if s.N > 100_000 { // filling again would take too long
		w.ready["3"] = fill
	}
	w.round = func() (figures, error) { return l.round(c, s.Ops) }
	w.close = func() error { c.close(); return nil }
	return w, nil
}

// round reads and writes with the collector off, and fills small caches anew.
func (l *cacheLoad) round(c *cachePeer, ops int) (figures, error) {
	gc := debug.SetGCPercent(-1)
	f := figures{}
	f["1"] = perOp(ops, func() {
		for _, k := range l.asked {
			c.get(k)
		}
	})
	f["2"] = perOp(ops, func() {
		for i, k := range l.asked {
			c.set(k, l.values[i%len(l.values)])
		}
		c.settle()
	})
	debug.SetGCPercent(gc)
	if len(l.keys) > 100_000 {
		return f, nil
	}
	again := max(1, min(ops, 20_000)/len(l.keys))
	var err error
	f["3"] = perOp(again*len(l.keys), func() {
		for range again {
			var n *cachePeer
			if n, err = l.filled(); err != nil {
				return
			}
			n.close()
		}
	})
	return f, err
}
