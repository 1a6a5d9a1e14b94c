package main

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"time"

	"github.com/perfblocks/perfblocks/examples/versus/internal/bench"
)

// memoryCaches compares the cache with others of its kind: what calls cost at a
// million entries, what an entry costs in memory and in marking, whether bounds and
// writes hold, and how often real traces hit.
func memoryCaches(r *bench.Report) error {
	for _, compare := range []func(*bench.Report) error{cacheCalls, cacheFootprint, cacheMarking, cacheBounds, cacheHits} {
		if err := compare(r); err != nil {
			return err
		}
	}
	return nil
}

const (
	manyEntries = 1_000_000
	present     = 900_000 // of them stored, so that no bound is in the way of a hit
)

func userKey(i int) string {
	b := append(make([]byte, 0, 13), "user:"...)
	digits := strconv.Itoa(100_000_000 + i)
	return string(append(b, digits[1:]...))
}

func userKeys(n int) []string {
	keys := make([]string, n)
	for i := range keys {
		keys[i] = userKey(i)
	}
	return keys
}

// userValues returns values of 16 to 495 bytes.
func userValues(n int, seed uint64) [][]byte {
	rng := rand.New(rand.NewPCG(seed, 1))
	values := make([][]byte, n)
	for i := range values {
		values[i] = make([]byte, 16+rng.IntN(480))
	}
	return values
}

// cacheCalls compares Get of what is there and Set of new keys into a full cache. All
// sides share keys and values, except those that copy them.
//
// The keys asked for come as in a server: as fresh copies that a request has just
// brought into the processor's cache, while the cache's own copy is wherever it was
// left. Asking with the stored strings themselves, in random order, would cost every
// side two misses that are not the cache's, and spare it the one of comparing keys.
func cacheCalls(r *bench.Report) error {
	pool := 4 * manyEntries
	if r.Full {
		pool *= 4
	}
	keys, values := userKeys(pool), userValues(4096, 7)
	asked := probes(keys[:present], 1<<20)
	caches, err := cachePeers(manyEntries)
	if err != nil {
		return err
	}
	defer closeAll(caches)
	const batch = 100 * time.Millisecond
	get := bench.Comparison{Measure: "Cache.Get, 1 M entries", NoGC: true, Batch: batch}
	insert := bench.Comparison{Measure: "Cache.Set of a new key, full at 1 M entries", NoGC: true, Batch: batch}
	for _, c := range caches {
		for i, k := range keys[:present] {
			c.set(k, values[i%len(values)])
		}
		c.settle()
		get.Sides = append(get.Sides, getSide(c, asked, keys, values))
	}
	if err := compareCalls(r, get); err != nil {
		return err
	}
	for _, c := range caches {
		for i, k := range keys[present : manyEntries+manyEntries/5] {
			c.set(k, values[i%len(values)])
		}
		c.settle()
		insert.Sides = append(insert.Sides, insertSide(c, keys, values))
	}
	return compareCalls(r, insert)
}

func cacheGoals() []bench.Goal {
	return []bench.Goal{{Peer: "golang-lru", MaxRatio: 0.5}, {Peer: "otter", MaxRatio: 0.5}, {Peer: "theine", MaxRatio: 0.5}}
}

// compareCalls adds the rows of our first policy against all, then those of the other
// against golang-lru alone.
func compareCalls(r *bench.Report, c bench.Comparison) error {
	if err := r.Compare(c, cacheGoals()...); err != nil {
		return err
	}
	byName := map[string]bench.Side{}
	for _, s := range c.Sides {
		byName[s.Name] = s
	}
	c.Measure += ", PolicyScanResistant"
	c.Sides = []bench.Side{byName[oursScan], byName["golang-lru"]}
	return r.Compare(c, bench.Goal{Peer: "golang-lru", MaxRatio: 0.8})
}

// probes returns copies of n of keys, drawn at random, that stand in the order in
// which they are to be read, so that reading them is nothing to wait for.
func probes(keys []string, n int) []string {
	rng := rand.New(rand.NewPCG(3, 3))
	chosen := make([]string, n)
	for i := range chosen {
		chosen[i] = keys[rng.IntN(len(keys))]
	}
	text := strings.Join(chosen, "")
	for i, at := 0, 0; i < n; i++ {
		end := at + len(chosen[i])
		chosen[i], at = text[at:end], end
	}
	return chosen
}

// getSide reads stored keys in an order that no processor foresees.
func getSide(c *cachePeer, asked, keys []string, values [][]byte) bench.Side {
	at := 0
	return bench.Side{
		Name: c.name,
		Op: func(n int) {
			for range n {
				c.get(asked[at])
				if at++; at == len(asked) {
					at = 0
				}
			}
		},
		Check: func() (any, error) {
			wrong := 0
			for i := 0; i < present; i += 97 {
				if v, ok := c.get(keys[i]); !ok || len(v) != len(values[i%len(values)]) {
					wrong++
				}
			}
			if c.mayRefuse && wrong < present/97/50 {
				wrong = 0 // ristretto drops some whatever one does
			}
			return fmt.Sprintf("%d of the stored keys missed", wrong), nil
		},
	}
}

// insertSide sets keys that were not seen before, while they last. They were made one
// after another and so stand in memory, as a key made for the call is at hand.
func insertSide(c *cachePeer, keys []string, values [][]byte) bench.Side {
	at := manyEntries + manyEntries/5
	return bench.Side{Name: c.name, Op: func(n int) {
		for range n {
			c.set(keys[at], values[at%len(values)])
			if at++; at == len(keys) {
				at = 0
			}
		}
	}}
}
