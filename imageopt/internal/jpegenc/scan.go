package jpegenc

import "math/bits"

// token is a symbol with the bits that follow it: bits 0–15 the bits, 16–20 their
// number, 21–22 the table, 24–31 the symbol. A plain token has no symbol.
type token = uint32

const plain token = 1 << 23

// The tables that a token names. Those of chroma are at chroma more.
const (
	dcTable = 0
	acTable = 2
	chroma  = 1
)

// scan is one pass over the picture.
type scan struct {
	comps          []int
	ss, se, ah, al int
	tokens         []token   // the last chunk
	full           [][]token // those before it
	spare          [][]token // for reuse
	hist           [4]histogram
	code           [4]*code

	eobRun int    // blocks that have ended and are not written yet
	held   []byte // correction bits of those blocks
	own    []byte // and of the block at hand
}

// progression returns the scans for so many components: first a coarse picture, then
// what sharpens it.
func progression(n int) []scan {
	if n == 1 {
		return []scan{
			{comps: []int{0}, al: 1},
			{comps: []int{0}, ss: 1, se: 5, al: 2},
			{comps: []int{0}, ss: 6, se: 63, al: 2},
			{comps: []int{0}, ss: 1, se: 63, ah: 2, al: 1},
			{comps: []int{0}, ah: 1},
			{comps: []int{0}, ss: 1, se: 63, ah: 1},
		}
	}
	return []scan{
		{comps: []int{0, 1, 2}, al: 1},
		{comps: []int{0}, ss: 1, se: 5, al: 2},
		{comps: []int{2}, ss: 1, se: 63, al: 1},
		{comps: []int{1}, ss: 1, se: 63, al: 1},
		{comps: []int{0}, ss: 6, se: 63, al: 2},
		{comps: []int{0}, ss: 1, se: 63, ah: 2, al: 1},
		{comps: []int{0, 1, 2}, ah: 1},
		{comps: []int{2}, ss: 1, se: 63, ah: 1},
		{comps: []int{1}, ss: 1, se: 63, ah: 1},
		{comps: []int{0}, ss: 1, se: 63, ah: 1},
	}
}

// add appends a token. Chunks keep a growing list from being copied, and so from
// being in memory twice.
func (s *scan) add(t token) {
	if len(s.tokens) == cap(s.tokens) {
		s.grow()
	}
	s.tokens = append(s.tokens, t)
}

func (s *scan) grow() {
	if cap(s.tokens) > 0 {
		s.full = append(s.full, s.tokens)
	}
	if n := len(s.spare); n > 0 {
		s.tokens, s.spare = s.spare[n-1][:0], s.spare[:n-1]
		return
	}
	s.tokens = make([]token, 0, 1<<13)
}

// chunks returns the chunks that hold the tokens of the scan.
func (s *scan) chunks() [][]token {
	if len(s.tokens) == 0 {
		return s.full
	}
	return append(s.full, s.tokens)
}

// run fills the tokens and codes of a scan.
func (s *scan) run(e *encoder, sequential bool) (err error) {
	switch {
	case sequential:
		var pred [3]int32
		err = s.each(e, func(c, i int) {
			t := uint32(e.comps[c].table)
			s.difference(t, int32(e.comps[c].means[i]), &pred[c])
			mask, values := e.comps[c].block(i)
			s.block(acTable+t, mask, values)
		})
	case s.ss > 0 && s.ah == 0:
		err = s.each(e, func(c, i int) { s.first(s.band(e.comps[c].block(i))) })
		s.endOfBand()
	case s.ss > 0:
		err = s.each(e, func(c, i int) { s.refine(s.band(e.comps[c].block(i))) })
		s.endOfBand()
	case s.ah == 0:
		var pred [3]int32
		err = s.each(e, func(c, i int) {
			s.difference(uint32(e.comps[c].table), int32(e.comps[c].means[i])>>s.al, &pred[c])
		})
	default:
		err = s.each(e, func(c, i int) {
			s.add(plain | 1<<16 | uint32(e.comps[c].means[i]>>s.al)&1)
		})
	}
	for t := range s.hist {
		s.code[t] = best(&s.hist[t])
	}
	return err
}

// each calls f for the blocks of the scan in their order: those of one component row
// by row, or those of the components MCU by MCU.
func (s *scan) each(e *encoder, f func(comp, block int)) error {
	if len(s.comps) == 1 {
		i := s.comps[0]
		c := &e.comps[i]
		for y := range c.bh {
			if err := e.ctx.Err(); err != nil {
				return err
			}
			for x := range c.bw {
				f(i, y*c.mw+x)
			}
		}
		return nil
	}
	last := &e.comps[len(e.comps)-1] // has one block in each MCU
	for y := range last.mh {
		if err := e.ctx.Err(); err != nil {
			return err
		}
		for x := range last.mw {
			for _, i := range s.comps {
				c := &e.comps[i]
				for v := range c.h {
					for h := range c.h {
						f(i, (y*c.h+v)*c.mw+x*c.h+h)
					}
				}
			}
		}
	}
	return nil
}

func (s *scan) symbol(table, sym, n, v uint32) {
	s.hist[table&3][sym&255]++
	s.add(sym<<24 | table<<21 | n<<16 | v)
}

// difference adds what the first coefficient differs from the one before.
func (s *scan) difference(table uint32, v int32, pred *int32) {
	d := v - *pred
	*pred = v
	n, low := magnitude(d)
	s.symbol(table, n, n, low)
}

// magnitude returns the size of v in bits, and these bits as JPEG writes them: those
// of a negative number are inverted.
func magnitude(v int32) (n, low uint32) {
	sign := v >> 31
	n = uint32(bits.Len32(uint32(v ^ sign - sign)))
	return n, uint32(v+sign) & (1<<n - 1)
}

// block adds the coefficients of mask as a sequential scan has them.
func (s *scan) block(table uint32, mask uint64, values []int16) {
	before := 0
	hist := &s.hist[table&3]
	for _, v := range values[:bits.OnesCount64(mask)] {
		k := bits.TrailingZeros64(mask)
		mask &= mask - 1
		run := uint32(k - before - 1)
		before = k
		for ; run > 15; run -= 16 {
			s.symbol(table, 0xf0, 0, 0)
		}
		n, low := magnitude(int32(v))
		sym := run<<4 | n
		hist[sym&255]++
		s.add(sym<<24 | table<<21 | n<<16 | low)
	}
	if before < 63 {
		s.symbol(table, 0, 0, 0)
	}
}

// band cuts a block to the part that the scan is about.
func (s *scan) band(mask uint64, values []int16) (uint64, []int16) {
	below := mask & (1<<s.ss - 1)
	mask = mask & (1<<(s.se+1) - 1) &^ below
	return mask, values[bits.OnesCount64(below):][:bits.OnesCount64(mask)]
}

// first adds one block of the first scan of a band.
func (s *scan) first(mask uint64, values []int16) {
	before := s.ss - 1
	for _, v := range values {
		v := int32(v)
		k := bits.TrailingZeros64(mask)
		mask &= mask - 1
		if sign := v >> 31; s.al > 0 {
			v = (v ^ sign - sign) >> s.al
			if v == 0 {
				continue
			}
			v = v ^ sign - sign
		}
		if s.eobRun > 0 {
			s.endOfBand()
		}
		run := uint32(k - before - 1)
		before = k
		for ; run > 15; run -= 16 {
			s.symbol(acTable, 0xf0, 0, 0)
		}
		n, low := magnitude(v)
		s.symbol(acTable, run<<4|n, n, low)
	}
	if before < s.se {
		if s.eobRun++; s.eobRun == 0x7fff {
			s.endOfBand()
		}
	}
}

// endOfBand writes the run of ended blocks, if any, with their correction bits.
func (s *scan) endOfBand() {
	if s.eobRun == 0 {
		return
	}
	n := uint32(bits.Len(uint(s.eobRun))) - 1
	s.symbol(acTable, n<<4, n, uint32(s.eobRun)&(1<<n-1))
	s.eobRun = 0
	s.held = s.corrections(s.held)
}

// corrections writes bits and returns the emptied slice.
func (s *scan) corrections(p []byte) []byte {
	for all := p; ; {
		v, n := uint32(0), min(len(p), 16)
		if n == 0 {
			return all[:0]
		}
		for _, b := range p[:n] {
			v = v<<1 | uint32(b)
		}
		s.add(plain | uint32(n)<<16 | v)
		p = p[n:]
	}
}

// maxHeld bounds the correction bits that wait for the end of a run, as in libjpeg.
const maxHeld = 1000 - 64

// refine adds one more bit of a block.
func (s *scan) refine(mask uint64, values []int16) {
	fresh := -1 // place in values of the last coefficient that comes up in this scan
	for i, v := range values {
		if max(v, -v)>>s.al == 1 {
			fresh = i
		}
	}
	run, before := 0, s.ss-1
	for i, v := range values {
		v := int32(v)
		k := bits.TrailingZeros64(mask)
		mask &= mask - 1
		a := max(v, -v) >> s.al
		if a == 0 {
			continue
		}
		run += k - before - 1
		before = k
		for run > 15 && i <= fresh {
			s.endOfBand()
			s.symbol(acTable, 0xf0, 0, 0)
			run -= 16
			s.own = s.corrections(s.own)
		}
		if a > 1 {
			s.own = append(s.own, byte(a&1))
			continue
		}
		s.endOfBand()
		s.symbol(acTable, uint32(run)<<4|1, 1, uint32(^v>>31&1))
		s.own = s.corrections(s.own)
		run = 0
	}
	run += s.se - before
	if run > 0 || len(s.own) > 0 {
		s.held = append(s.held, s.own...)
		s.own = s.own[:0]
		if s.eobRun++; s.eobRun == 0x7fff || len(s.held) > maxHeld {
			s.endOfBand()
		}
	}
}
