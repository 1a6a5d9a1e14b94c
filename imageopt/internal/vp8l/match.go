package vp8l

import (
	"math"
	"math/bits"
)

const (
	maxLength   = 4096
	maxDistance = 1<<20 - 120
	lengths0    = 256           // the symbol of the first length
	cache0      = lengths0 + 24 // the symbol of the first cached colour
)

// token is a pixel, a colour of the cache or a copy of n pixels.
type token struct {
	v uint32 // colour, place in the cache, or distance
	n uint16 // pixel and inCache, else the length
}

const (
	pixel   = 0
	inCache = math.MaxUint16
)

// span is how many pixels the token stands for.
func (t token) span() int {
	if t.n == pixel || t.n == inCache {
		return 1
	}
	return int(t.n)
}

// finder finds earlier copies of what comes next.
type finder struct {
	pix   []uint32
	w     int
	prev  []int32 // the last place with the same two pixels
	depth int
	stop  func() bool // asked now and then; what follows is of no use then
}

func newFinder(pix []uint32, w, depth int, stop func() bool) *finder {
	f := &finder{pix: pix, w: w, prev: make([]int32, len(pix)), depth: depth, stop: stop}
	size := min(bits.Len(uint(len(pix))), 16)
	head := make([]int32, 1<<size)
	for i := range head {
		head[i] = -1
	}
	for i := range pix {
		if i%often == 0 && stop() {
			break
		}
		f.prev[i] = -1
		if i+1 < len(pix) {
			h := (pix[i]*0x1e35a7bd + pix[i+1]*0x9e3779b1) >> (32 - size)
			f.prev[i], head[h] = head[h], int32(i)
		}
	}
	return f
}

func (f *finder) length(i, j int) int {
	n := min(len(f.pix)-i, maxLength)
	a, b := f.pix[i:i+n], f.pix[j:j+n]
	for k := range a {
		if a[k] != b[k] {
			return k
		}
	}
	return n
}

// each calls use for copies that are longer than all before, nearest first.
func (f *finder) each(i int, use func(distance, n int)) {
	best := 1
	try := func(j int) {
		// A copy that does not agree where the best one ends is not longer.
		if j < 0 || i-j > maxDistance || i+best >= len(f.pix) || f.pix[j+best] != f.pix[i+best] {
			return
		}
		if n := f.length(i, j); n > best {
			best = n
			use(i-j, n)
		}
	}
	if i > 0 {
		try(i - 1)
	}
	if f.w > 1 && i >= f.w {
		try(i - f.w)
	}
	for j, k := int(f.prev[i]), 0; j >= 0 && k < f.depth && best < maxLength; j, k = int(f.prev[j]), k+1 {
		try(j)
	}
}

// costs are the bits that symbols are expected to take.
type costs struct {
	green                []float32 // lengths and cached colours too
	red, blue, alpha     [256]float32
	distance             [40]float32
	cacheBits            uint
	lengthCost, distCost func(int) float32
}

// parse cuts the picture into tokens. Without costs it takes the longest copies.
func (f *finder) parse(c *costs, cacheBits uint) []token {
	if c == nil {
		return f.greedy(cacheBits)
	}
	return f.cheapest(c)
}

func (f *finder) greedy(cacheBits uint) []token {
	var out []token
	colours := newCache(cacheBits)
	for i, k := 0, 0; i < len(f.pix); k++ {
		if k%1024 == 0 && f.stop() {
			return nil
		}
		distance, n := 0, 0
		f.each(i, func(d, k int) { distance, n = d, k })
		if n < 3 || n == 3 && distance > 1000 {
			out = append(out, colours.token(f.pix[i]))
			i++
			continue
		}
		out = append(out, token{uint32(distance), uint16(n)})
		for _, p := range f.pix[i : i+n] {
			colours.add(p)
		}
		i += n
	}
	return out
}

// cheapest finds the way through the picture that takes the fewest bits, if the costs
// are right.
func (f *finder) cheapest(c *costs) []token {
	type way struct {
		cost float32
		tok  token
	}
	ways := make([]way, len(f.pix)+1)
	for i := range ways[1:] {
		ways[i+1].cost = math.MaxFloat32
	}
	colours := newCache(c.cacheBits)
	lastDistance, lastN := 0, 0
	for i, p := range f.pix {
		if i%1024 == 0 && f.stop() {
			return nil
		}
		here := ways[i].cost
		t := colours.token(p)
		v := here
		if t.n == inCache {
			v += c.green[cache0+t.v]
		} else {
			v += c.green[p>>8&255] + c.red[p>>16&255] + c.blue[p&255] + c.alpha[p>>24]
		}
		if v < ways[i+1].cost {
			ways[i+1] = way{v, t}
		}
		use := func(d, n int) {
			lastDistance, lastN = d, n
			base := here + c.distCost(d)
			for k := n; k >= 2; k-- {
				if v := base + c.lengthCost(k); v < ways[i+k].cost {
					ways[i+k] = way{v, token{uint32(d), uint16(k)}}
				}
				if k > 64 {
					k = max(k*7/8, 64)
				}
			}
		}
		if lastN > 100 {
			use(lastDistance, lastN-1) // what was long is so still
		} else {
			lastN = 0
			f.each(i, use)
		}
	}
	n := 0
	for i := len(f.pix); i > 0; i -= ways[i].tok.span() {
		n++
	}
	out := make([]token, n)
	for i := len(f.pix); i > 0; i -= ways[i].tok.span() {
		n--
		out[n] = ways[i].tok
	}
	return out
}

// cache holds colours that have been, by a hash.
type cache struct {
	colours []uint32
	shift   uint
}

func newCache(bits uint) *cache {
	if bits == 0 {
		return &cache{}
	}
	return &cache{make([]uint32, 1<<bits), 32 - bits}
}

func (c *cache) at(p uint32) uint32 { return p * 0x1e35a7bd >> c.shift }

func (c *cache) add(p uint32) {
	if c.colours != nil {
		c.colours[c.at(p)] = p
	}
}

// token returns how to write a pixel, and adds it.
func (c *cache) token(p uint32) token {
	if c.colours == nil {
		return token{p, pixel}
	}
	k := c.at(p)
	if c.colours[k] == p {
		return token{k, inCache}
	}
	c.colours[k] = p
	return token{p, pixel}
}
