package header

// Trees returns an estimate of the memory that the prefix codes of a lossless WebP
// take in golang.org/x/image/vp8l, which a file of some kilobytes can bring to a
// hundred megabytes. It reads the stream up to the number of codes, so it is for
// files whose size has passed the limits. ErrMore asks for more of the file.
func (h *Header) Trees(eof bool) (int64, error) {
	if h.coded == nil || max(h.W, h.H) > 1<<14 { // larger ones are refused
		return 0, nil
	}
	d := &vp8l{b: h.coded}
	if h.codedHead {
		d.bits(40)
	}
	n := d.trees(h.W, h.H)
	if d.ended && !h.codedWhole {
		return 0, short(eof)
	}
	return n, nil // a bad stream is refused by the decoder, at the same place
}

// vp8l reads a lossless WebP stream by RFC 9649 §3.
type vp8l struct {
	b     []byte
	acc   uint32
	n     uint
	bad   bool // the stream breaks the rules or ended
	ended bool
}

// bits reads n bits; after the end, and in a bad stream, it gives zeros.
func (d *vp8l) bits(n uint) int {
	for ; n > 16; n -= 16 {
		d.bits(16)
	}
	for d.n < n {
		if len(d.b) == 0 {
			d.bad, d.ended = true, true
			return 0
		}
		d.acc |= uint32(d.b[0]) << d.n
		d.b = d.b[1:]
		d.n += 8
	}
	v := d.acc & (1<<n - 1)
	d.acc >>= n
	d.n -= n
	return int(v)
}

// trees reads the transforms and the picture of the prefix codes.
func (d *vp8l) trees(w, h int) int64 {
	for d.bits(1) == 1 && !d.bad {
		switch d.bits(2) {
		case 0, 1: // predictor and colour
			bits := d.bits(3) + 2
			d.image(tiles(w, bits), tiles(h, bits), nil)
		case 3: // palette
			n := d.bits(8) + 1
			d.image(n, 1, nil)
			switch {
			case n <= 2:
				w = tiles(w, 3)
			case n <= 4:
				w = tiles(w, 2)
			case n <= 16:
				w = tiles(w, 1)
			}
		}
	}
	cache := d.cache()
	most := 0
	if d.bits(1) == 1 {
		bits := d.bits(3) + 2
		d.image(tiles(w, bits), tiles(h, bits), func(argb uint32) { most = max(most, int(argb>>8&0xffff)) })
	}
	if d.bad || most >= 2600 { // more are refused
		return 0
	}
	symbols := 280 + 3*256 + 40
	if cache > 0 {
		symbols += 1 << cache
	}
	return int64(most+1) * int64(16*symbols+5*560)
}

func tiles(n, bits int) int { return (n + 1<<bits - 1) >> bits }

// cache reads the size of the colour cache, as a power of two, 0 for none.
func (d *vp8l) cache() int {
	if d.bits(1) == 0 {
		return 0
	}
	n := d.bits(4)
	d.bad = d.bad || n < 1 || n > 11
	return min(n, 11)
}

// image reads a picture that is coded by one set of prefix codes, and shows each
// pixel.
func (d *vp8l) image(w, h int, show func(argb uint32)) {
	var cache []uint32
	shift := 0
	if n := d.cache(); n > 0 {
		cache, shift = make([]uint32, 1<<n), 32-n
	}
	var codes [5]prefix
	for i, n := range [5]int{280 + len(cache), 256, 256, 256, 40} {
		codes[i] = d.prefix(n)
	}
	total := w * h
	var pix []uint32
	add := func(p uint32) {
		pix = append(pix, p)
		if cache != nil {
			cache[p*0x1e35a7bd>>shift] = p
		}
		if show != nil {
			show(p)
		}
	}
	for len(pix) < total && !d.bad {
		g := d.symbol(&codes[0])
		switch {
		case g < 256:
			r, b, a := d.symbol(&codes[1]), d.symbol(&codes[2]), d.symbol(&codes[3])
			add(uint32(a)<<24 | uint32(r)<<16 | uint32(g)<<8 | uint32(b))
		case g < 280:
			n := d.number(g - 256)
			from := len(pix) - distance(w, d.number(d.symbol(&codes[4])))
			if d.bad || from < 0 || n > total-len(pix) {
				d.bad = true
				return
			}
			for i := range n {
				add(pix[from+i])
			}
		case g-280 < len(cache):
			add(cache[g-280])
		default:
			d.bad = true
		}
	}
}

// number reads a length or distance.
func (d *vp8l) number(symbol int) int {
	if symbol < 4 {
		return symbol + 1
	}
	extra := uint(symbol-2) >> 1
	n := (2 + symbol&1) << extra
	if extra > 16 {
		n += d.low(extra)
	} else {
		n += d.bits(extra)
	}
	return n + 1
}

// low reads up to 32 bits.
func (d *vp8l) low(n uint) int {
	v := d.bits(16)
	return v | d.bits(n-16)<<16
}

// near lists the pixels that short distances name, four bits up and eight less four
// bits to the left each.
const near = "\x18\x07\x17\x19\x28\x06\x27\x29\x16\x1a\x26\x2a\x38\x05\x37\x39\x15\x1b\x36\x3a" +
	"\x25\x2b\x48\x04\x47\x49\x14\x1c\x35\x3b\x46\x4a\x24\x2c\x58\x45\x4b\x34\x3c\x03" +
	"\x57\x59\x13\x1d\x56\x5a\x23\x2d\x44\x4c\x55\x5b\x33\x3d\x68\x02\x67\x69\x12\x1e" +
	"\x66\x6a\x22\x2e\x54\x5c\x43\x4d\x65\x6b\x32\x3e\x78\x01\x77\x79\x53\x5d\x11\x1f" +
	"\x64\x6c\x42\x4e\x76\x7a\x21\x2f\x75\x7b\x31\x3f\x63\x6d\x52\x5e\x00\x74\x7c\x41" +
	"\x4f\x10\x20\x62\x6e\x30\x73\x7d\x51\x5f\x40\x72\x7e\x61\x6f\x50\x71\x7f\x60\x70"

func distance(w, code int) int {
	if code > len(near) {
		return code - len(near)
	}
	c := int(near[code-1])
	return max(c>>4*w+8-c&15, 1)
}

// prefix is a canonical code: its symbols in order of their codes, counted by length.
// A code of one symbol takes no bits.
type prefix struct {
	count   [16]int
	symbols []uint16
}

func (d *vp8l) symbol(p *prefix) int {
	if len(p.symbols) == 1 {
		return int(p.symbols[0])
	}
	code, first, at := 0, 0, 0
	for n := 1; n < 16; n++ {
		code |= d.bits(1)
		c := p.count[n]
		if code-first < c {
			return int(p.symbols[at+code-first])
		}
		at, first, code = at+c, (first+c)<<1, code<<1
	}
	d.bad = true
	return 0
}

// prefix reads a code for an alphabet of n symbols.
func (d *vp8l) prefix(n int) (p prefix) {
	if d.bits(1) == 1 {
		two := d.bits(1)
		p.symbols = append(p.symbols, uint16(d.bits(1+7*uint(d.bits(1)))))
		if two == 1 {
			p.symbols = append(p.symbols, uint16(d.bits(8)))
		}
		p.count[1] = 2
		return p
	}
	order := [19]uint8{17, 18, 0, 1, 2, 3, 4, 5, 16, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}
	var first [19]uint8
	for i := range min(d.bits(4)+4, 19) {
		first[order[i]] = uint8(d.bits(3))
	}
	lengths := canonical(first[:])
	out := make([]uint8, n)
	most := n
	if d.bits(1) == 1 {
		most = d.bits(2+2*uint(d.bits(3))) + 2
	}
	d.bad = d.bad || most > n || len(lengths.symbols) == 0
	last := uint8(8)
	for at := 0; at < n && most > 0 && !d.bad; most-- {
		v := uint8(d.symbol(&lengths))
		if v < 16 {
			if out[at] = v; v != 0 {
				last = v
			}
			at++
			continue
		}
		run, fill := 3, uint8(0)
		switch v {
		case 16:
			run, fill = run+d.bits(2), last
		case 17:
			run += d.bits(3)
		default:
			run = 11 + d.bits(7)
		}
		for ; run > 0; run-- {
			if at == n {
				d.bad = true
				break
			}
			out[at] = fill
			at++
		}
	}
	p = canonical(out)
	d.bad = d.bad || len(p.symbols) == 0
	return p
}

func canonical(lengths []uint8) (p prefix) {
	for n := uint8(1); n < 16; n++ {
		for i, v := range lengths {
			if v == n {
				p.count[n]++
				p.symbols = append(p.symbols, uint16(i))
			}
		}
	}
	return p
}
