package jpegenc

import (
	"context"
	"fmt"
	"math"
	"math/bits"
)

// TooLargeError tells that no quality makes the file as small as it was wanted.
type TooLargeError struct {
	Least, Want int // bytes
}

func (e *TooLargeError) Error() string {
	return fmt.Sprintf("jpegenc: at least %d bytes; wanted %d", e.Least, e.Want)
}

// aim is where in the range up to the wanted size the search aims, so that its error
// does not lead over the edge.
const aim, atLeast = 0.965, 0.92

// EncodeTo returns the file of the highest quality, up to o.Quality, that has no more
// than so many bytes. Unless that quality leaves it smaller, it has at least 92 % of
// them. The picture is transformed once; its coefficients are quantised for a sample of
// the blocks until the size fits, and then for all. The error is as that of Encode, or
// a *TooLargeError.
func EncodeTo(ctx context.Context, p Picture, size int, o Options) ([]byte, error) {
	e, err := newEncoder(ctx, p, o.Buffers)
	if err != nil {
		return nil, err
	}
	if err := e.transform(false); err != nil {
		return nil, err
	}
	s := newSearch(e, o)
	var best []byte
	for try := 0; ; try++ {
		q := s.quality(aim * float64(size))
		e.tables(q)
		if err := e.requantise(); err != nil {
			return nil, err
		}
		data, err := e.file(o.Sequential)
		if err != nil {
			return nil, err
		}
		got := len(data)
		fits := got <= size
		if fits && got > len(best) {
			best = data
		}
		switch {
		case fits && (q >= s.most || got >= int(atLeast*float64(size))), best != nil && try >= 4:
			return best, nil
		case !fits && q <= 1:
			return nil, &TooLargeError{Least: got, Want: size}
		}
		s.learn(q, got)
		if try >= 8 {
			s.factor *= 1.1 // a picture that the sample says nothing about
		}
	}
}

// search guesses file sizes from a sample of the blocks.
type search struct {
	e      *encoder
	most   float64 // quality
	stride int     // one in so many blocks is looked at
	fixed  float64 // bytes of headers and tables
	factor float64 // of real sizes to guessed ones, without those
}

func newSearch(e *encoder, o Options) *search {
	blocks := 0
	for i := range e.comps {
		blocks += e.comps[i].bw * e.comps[i].bh
	}
	s := &search{e: e, most: min(max(o.Quality, 1), 100), stride: min(max(blocks/400, 1), 13), fixed: 900, factor: 0.96}
	if o.Sequential {
		s.fixed, s.factor = 400, 1
	}
	return s
}

// learn compares a real size with its guess.
func (s *search) learn(q float64, size int) {
	s.factor *= max(float64(size)-s.fixed, 1) / (s.guess(q) - s.fixed)
}

// quality returns the highest quality, up to the most, whose guess is at most size.
func (s *search) quality(size float64) float64 {
	// High qualities take the longest to guess, so the bracket begins below them.
	lo, hi := 1.0, 1.0
	low, top := 0.0, s.guess(1)
	for _, q := range []float64{50, 75, 90, 100} {
		if top > size || hi >= s.most {
			break
		}
		lo, low = hi, top
		hi = min(q, s.most)
		top = s.guess(hi)
	}
	if top <= size || lo == hi {
		return hi
	}
	for i := range 9 {
		// Sizes grow about exponentially with quality, but steeply towards its end.
		mid := lo + (hi-lo)*(math.Log(size/low)/math.Log(top/low))
		if i%3 == 2 {
			mid = (lo + hi) / 2
		}
		n := s.guess(mid)
		switch {
		case math.Abs(n-size) < 0.01*size:
			return mid
		case n > size:
			hi, top = mid, n
		default:
			lo, low = mid, n
		}
	}
	return lo
}

// guess estimates the file's size at a quality from sampled blocks as a sequential scan
// would have them.
func (s *search) guess(quality float64) float64 {
	s.e.tables(quality)
	var hist [4]histogram
	extra, at := 0, 0
	for i := range s.e.comps {
		c := &s.e.comps[i]
		q := &s.e.quant[c.table]
		for at < len(c.raw) {
			extra += sample(&hist, c, q, at)
			at += s.stride
		}
		at -= len(c.raw)
	}
	total := extra
	for t := range hist {
		code := best(&hist[t])
		for sym, n := range hist[t] {
			total += int(n) * int(code.lens[sym])
		}
	}
	return float64(total)/8*float64(s.stride)*s.factor + s.fixed
}

// sample counts the symbols of one block and returns the bits beside them.
func sample(hist *[4]histogram, c *component, q *quantiser, at int) (extra int) {
	var b [64]int32
	var out coefs
	for k, v := range c.raw[at] {
		b[k] = int32(v)
	}
	mean, mask, count := q.block(&out, &b)
	before := int32(0)
	if at > 0 {
		d := 8 * int32(q.table[0])
		before = (int32(c.raw[at-1][0])*2 + d) / (2 * d)
	}
	n, _ := magnitude(int32(mean) - before)
	hist[dcTable+c.table][n]++
	extra = int(n)
	last := 0
	ac := &hist[acTable+c.table]
	for _, v := range out[:count] {
		k := bits.TrailingZeros64(mask)
		mask &= mask - 1
		run := k - last - 1
		last = k
		ac[0xf0] += uint32(run >> 4)
		n, _ := magnitude(int32(v))
		ac[uint32(run&15)<<4|n]++
		extra += int(n)
	}
	if last < 63 {
		ac[0]++
	}
	return extra
}
