package traces

import (
	"container/heap"
	"math"
	"math/rand/v2"
)

// Mix spreads the bits of a key, as traces number their blocks from 0 and a cache
// may take the key for its hash. It is one to one.
func Mix(key uint64) uint64 {
	key ^= key >> 33
	key *= 0xff51afd7ed558ccd
	key ^= key >> 33
	key *= 0xc4ceb9fe1a85ec53
	return key ^ key>>33
}

// Keys returns the mixed keys of requests.
func Keys(requests []Request) []uint64 {
	keys := make([]uint64, len(requests))
	for i, q := range requests {
		keys[i] = Mix(q.Key)
	}
	return keys
}

// Distinct counts the keys that differ.
func Distinct(keys []uint64) int {
	seen := make(map[uint64]struct{})
	for _, k := range keys {
		seen[k] = struct{}{}
	}
	return len(seen)
}

// Zipf returns n mixed keys of universe ones, drawn as YCSB does (Gray et al.,
// "Quickly generating billion-record synthetic databases") with the given skew.
func Zipf(n, universe int, theta float64, seed uint64) []uint64 {
	zeta := 0.0
	for i := 1; i <= universe; i++ {
		zeta += 1 / math.Pow(float64(i), theta)
	}
	zeta2 := 1 + 1/math.Pow(2, theta)
	alpha := 1 / (1 - theta)
	eta := (1 - math.Pow(2/float64(universe), 1-theta)) / (1 - zeta2/zeta)
	rng := rand.New(rand.NewPCG(seed, 99))
	keys := make([]uint64, n)
	for i := range keys {
		u := rng.Float64()
		rank := uint64(float64(universe) * math.Pow(eta*u-eta+1, alpha))
		switch uz := u * zeta; {
		case uz < 1:
			rank = 0
		case uz < zeta2:
			rank = 1
		}
		keys[i] = Mix(rank)
	}
	return keys
}

// Belady returns the hits of the policy that knows the future, for a cache of
// capacity entries: of those at hand and the newcomer, the one that is needed last
// goes. No policy has more.
func Belady(keys []uint64, capacity int) (hits int) {
	next := make([]int, len(keys))
	last := make(map[uint64]int)
	for i := len(keys) - 1; i >= 0; i-- {
		next[i] = math.MaxInt
		if j, ok := last[keys[i]]; ok {
			next[i] = j
		}
		last[keys[i]] = i
	}
	cached := make(map[uint64]int) // to the time of its next use
	var order farthest
	for i, k := range keys {
		if _, ok := cached[k]; ok {
			hits++
		}
		// The older note of the key in order is past by now, so that it can be
		// told from the valid ones: those are all in the future.
		cached[k] = next[i]
		heap.Push(&order, use{k, next[i]})
		for len(cached) > capacity {
			u := heap.Pop(&order).(use)
			if at, ok := cached[u.key]; ok && at == u.at {
				delete(cached, u.key)
			}
		}
	}
	return hits
}

// use is a coming use of a key.
type use struct {
	key uint64
	at  int
}

// farthest is a heap whose first is the use that comes last.
type farthest []use

func (f farthest) Len() int           { return len(f) }
func (f farthest) Less(i, j int) bool { return f[i].at > f[j].at }
func (f farthest) Swap(i, j int)      { f[i], f[j] = f[j], f[i] }
func (f *farthest) Push(x any)        { *f = append(*f, x.(use)) }
func (f *farthest) Pop() any {
	old := *f
	u := old[len(old)-1]
	*f = old[:len(old)-1]
	return u
}
