package traces

import (
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

// Number gives each distinct key a number, from 0 on in the order in which they come,
// and returns the numbers of keys and how many there are.
func Number(keys []uint64) (ids []uint32, distinct int) {
	seen := make(map[uint64]uint32)
	ids = make([]uint32, len(keys))
	for i, k := range keys {
		id, ok := seen[k]
		if !ok {
			id = uint32(len(seen))
			seen[k] = id
		}
		ids[i] = id
	}
	return ids, len(seen)
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
// capacity entries and the numbers of Number: of those at hand and the newcomer, the
// one that is needed last goes. No policy has more.
func Belady(ids []uint32, distinct, capacity int) (hits int) {
	n := len(ids)
	next := make([]int, n) // when the key of an access is used again; n and more: never
	last := make([]int, distinct)
	for id := range last {
		last[id] = n + id
	}
	for i := n - 1; i >= 0; i-- {
		next[i], last[ids[i]] = last[ids[i]], i
	}
	due := make([]int, distinct) // next use of a cached key, which is not 0
	var order latest
	held := 0
	for i, id := range ids {
		if due[id] != 0 {
			hits++
		} else {
			held++
		}
		// The note of the key's last use stays in order, but is past, so that it
		// comes out after all that are valid.
		due[id] = next[i]
		order.push(next[i])
		if held > capacity {
			at := order.pop()
			if at >= n {
				id = uint32(at - n)
			} else {
				id = ids[at]
			}
			due[id] = 0
			held--
		}
	}
	return hits
}

// latest is a heap whose first is the greatest.
type latest []int

func (h *latest) push(v int) {
	s := append(*h, v)
	i := len(s) - 1
	for i > 0 && s[(i-1)/2] < v {
		s[i] = s[(i-1)/2]
		i = (i - 1) / 2
	}
	s[i] = v
	*h = s
}

func (h *latest) pop() int {
	s := *h
	top, v := s[0], s[len(s)-1]
	s = s[:len(s)-1]
	*h = s
	i := 0
	for {
		child := 2*i + 1
		if child+1 < len(s) && s[child+1] > s[child] {
			child++
		}
		if child >= len(s) || s[child] <= v {
			break
		}
		s[i] = s[child]
		i = child
	}
	if len(s) > 0 {
		s[i] = v
	}
	return top
}
