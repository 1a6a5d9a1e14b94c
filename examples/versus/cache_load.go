package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"time"

	theine "github.com/Yiling-J/theine-go"
	"github.com/dgraph-io/ristretto/v2"
	lru "github.com/hashicorp/golang-lru/v2"
	"github.com/maypok86/otter/v2"
	"github.com/viccon/sturdyc"

	"github.com/perfblocks/perfblocks/cache"
	"github.com/perfblocks/perfblocks/examples/versus/internal/bench"
)

// profile is what the caches of the comparisons hold.
type profile struct {
	id   int
	name [56]byte
}

const hotEntries = 200_000

// readSum keeps what is read from being optimized away.
var readSum atomic.Int64

// reads is a load of hits: keys that all caches hold, some far more popular.
type reads struct {
	keys  []string
	vals  []*profile
	order []uint32 // of the keys, as they are read; its length is a power of two
}

func newReads(n int) *reads {
	l := &reads{keys: make([]string, n), vals: make([]*profile, n), order: make([]uint32, 1<<20)}
	for i := range n {
		l.keys[i] = fmt.Sprintf("user:%011d", i)
		l.vals[i] = &profile{id: i}
	}
	zipf := rand.NewZipf(rand.New(rand.NewPCG(1, 2)), 1.01, 1, uint64(n-1))
	for i := range l.order {
		l.order[i] = uint32(zipf.Uint64())
	}
	return l
}

// side reads by get, which returns nil on a miss.
func (l *reads) side(name string, get func(key string) *profile) bench.Side {
	return bench.Side{Name: name,
		Op: func(n int) {
			sum := 0
			at := rand.IntN(len(l.order)) // a new stretch each time, so that no side is warmer
			for i := range n {
				sum += get(l.keys[l.order[(at+i)&(len(l.order)-1)]]).id
			}
			readSum.Store(int64(sum))
		},
		Check: func() (any, error) {
			sum := 0
			for _, i := range l.order[:1<<16] {
				p := get(l.keys[i])
				if p == nil {
					return nil, fmt.Errorf("key %q is missing", l.keys[i])
				}
				sum += p.id
			}
			return sum, nil
		},
	}
}

// filled returns a view with all entries of l, each with so many tags, and the loader
// that made them.
func (l *reads) filled(tags int) (*cache.Cache, *cache.View[*profile], cache.Loader[*profile], error) {
	c, err := cache.New(cache.Options{MaxEntries: room(len(l.keys))})
	if err != nil {
		return nil, nil, nil, err
	}
	v, err := cache.Add(c, cache.Strategy[*profile]{Name: "user", TTL: time.Hour})
	if err != nil {
		return nil, nil, nil, err
	}
	load := func(_ context.Context, e *cache.Entry[*profile]) (*profile, error) {
		var i int
		if _, err := fmt.Sscanf(e.Key(), "user:%d", &i); err != nil {
			return nil, err
		}
		if tags > 0 {
			e.DependsOn(fmt.Sprint("team:", i%(len(l.keys)/10)), fmt.Sprint("region:", i%500), "users")
		}
		return l.vals[i], nil
	}
	for _, k := range l.keys {
		if _, err := v.Load(context.Background(), k, load); err != nil {
			return nil, nil, nil, err
		}
	}
	return c, v, load, nil
}

// requestCtx is a ctx as a handler behind some middleware has it.
func requestCtx() (context.Context, context.CancelFunc) {
	type layer int
	ctx, cancel := context.WithTimeout(context.Background(), time.Hour)
	for i := range layer(4) {
		ctx = context.WithValue(ctx, i, "value")
	}
	return ctx, cancel
}

// peerReads returns the sides of the others. The closers free them.
func (l *reads) peerReads() (sides []bench.Side, closers []func(), err error) {
	n := len(l.keys)
	raw, err := otter.New(&otter.Options[string, *profile]{MaximumSize: room(n)})
	if err != nil {
		return nil, nil, err
	}
	ris, err := ristretto.NewCache(&ristretto.Config[string, *profile]{NumCounters: int64(10 * room(n)), MaxCost: int64(room(n)), BufferItems: 64, IgnoreInternalCost: true})
	if err != nil {
		return nil, nil, err
	}
	thn, err := theine.NewBuilder[string, *profile](int64(room(n))).Build()
	if err != nil {
		return nil, nil, err
	}
	lr, err := lru.New[string, *profile](room(n))
	if err != nil {
		return nil, nil, err
	}
	st := sturdyc.New[*profile](room(n)+room(n)/4, 64, time.Hour, 10)
	for i, k := range l.keys {
		raw.Set(k, l.vals[i])
		for !ris.Set(k, l.vals[i], 1) {
			ris.Wait()
		}
		thn.Set(k, l.vals[i], 1)
		lr.Add(k, l.vals[i])
		st.Set(k, l.vals[i])
	}
	ris.Wait()
	fetch := func(context.Context) (*profile, error) { return nil, cache.ErrNotFound }
	sides = []bench.Side{
		l.side("otter", func(k string) *profile { p, _ := raw.GetIfPresent(k); return p }),
		l.side("ristretto", func(k string) *profile { p, _ := ris.Get(k); return p }),
		l.side("theine", func(k string) *profile { p, _ := thn.Get(k); return p }),
		l.side("golang-lru", func(k string) *profile { p, _ := lr.Get(k); return p }),
		l.side("sturdyc GetOrFetch", func(k string) *profile { p, _ := st.GetOrFetch(context.Background(), k, fetch); return p }),
	}
	return sides, []func(){ris.Close, thn.Close}, nil
}

// cacheLoads measures what a hit of Load costs. ristretto made readable by Wait reads
// like ristretto.
func cacheLoads(r *bench.Report) error {
	l := newReads(hotEntries)
	peers, closers, err := l.peerReads()
	if err != nil {
		return err
	}
	defer func() {
		for _, stop := range closers {
			stop()
		}
	}()
	deep, cancel := requestCtx()
	defer cancel()
	for _, tags := range []int{0, 3} {
		c, v, load, err := l.filled(tags)
		if err != nil {
			return err
		}
		goal := bench.Goal{Peer: "otter", MaxRatio: 1.6, MaxAllocs: -1}
		if tags > 0 {
			goal.MaxRatio = 1.8
		}
		for name, ctx := range map[string]context.Context{"context.Background": context.Background(), "ctx of 5 layers": deep} {
			ours := l.side("perfblocks", func(k string) *profile { p, _ := v.Load(ctx, k, load); return p })
			err := r.Compare(bench.Comparison{
				Measure: fmt.Sprintf("Load hit among %d entries, %d tags, %s", len(l.keys), tags, name),
				Sides:   append([]bench.Side{ours}, peers...),
				NoGC:    true, // nothing is allocated, and marking all caches takes far longer than reading
			}, goal, bench.Goal{Peer: "sturdyc GetOrFetch", MaxRatio: 1})
			if err != nil {
				return err
			}
		}
		if err := c.Close(); err != nil {
			return err
		}
	}
	return nil
}

// room is the capacity of a cache that holds n entries and is nearly full, as caches
// are after a while: otter does not rank the entries of one that is half empty.
func room(n int) int { return n + n/10 }
