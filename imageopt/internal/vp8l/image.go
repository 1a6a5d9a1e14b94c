package vp8l

import (
	"math"
	"math/bits"
)

// prefix splits a length or distance, from 1 on, into a symbol and extra bits.
func prefix(v int) (symbol int, extra uint32, n uint) {
	v--
	if v < 4 {
		return v, 0, 0
	}
	n = uint(bits.Len(uint(v))) - 2
	return 2*int(n) + v>>n, uint32(v) & (1<<n - 1), n
}

// near holds, for the pixels above and to the left, the codes of their distances: at
// 16 × rows up + 8 − columns left.
func near() (table [128]uint8) {
	// From the nearest on, as the format orders them.
	order := "\x18\x07\x17\x19\x28\x06\x27\x29\x16\x1a\x26\x2a\x38\x05\x37\x39\x15\x1b\x36\x3a" +
		"\x25\x2b\x48\x04\x47\x49\x14\x1c\x35\x3b\x46\x4a\x24\x2c\x58\x45\x4b\x34\x3c\x03" +
		"\x57\x59\x13\x1d\x56\x5a\x23\x2d\x44\x4c\x55\x5b\x33\x3d\x68\x02\x67\x69\x12\x1e" +
		"\x66\x6a\x22\x2e\x54\x5c\x43\x4d\x65\x6b\x32\x3e\x78\x01\x77\x79\x53\x5d\x11\x1f" +
		"\x64\x6c\x42\x4e\x76\x7a\x21\x2f\x75\x7b\x31\x3f\x63\x6d\x52\x5e\x00\x74\x7c\x41" +
		"\x4f\x10\x20\x62\x6e\x30\x73\x7d\x51\x5f\x40\x72\x7e\x61\x6f\x50\x71\x7f\x60\x70"
	for i := range len(order) {
		table[order[i]] = uint8(i + 1)
	}
	return table
}

// distances turns distances into the numbers that are written for them.
type distances struct {
	w     int
	table [128]uint8
}

func (d *distances) code(distance int) int {
	y := distance / d.w
	x := distance - y*d.w
	if x <= 8 && y < 8 {
		if c := d.table[16*y+8-x]; c > 0 {
			return int(c)
		}
	} else if x > d.w-8 && y < 7 {
		if c := d.table[16*(y+1)+8+d.w-x]; c > 0 {
			return int(c)
		}
	}
	return distance + 120
}

// histograms count the symbols of the five codes.
type histograms struct {
	green            []uint32
	red, blue, alpha [256]uint32
	distance         [40]uint32
}

func count(tokens []token, d *distances, cacheBits uint, stop func() bool) *histograms {
	n := cache0
	if cacheBits > 0 {
		n += 1 << cacheBits
	}
	h := &histograms{green: make([]uint32, n)}
	for i, t := range tokens {
		if i%often == 0 && stop() {
			break
		}
		switch t.n {
		case pixel:
			h.green[t.v>>8&255]++
			h.red[t.v>>16&255]++
			h.blue[t.v&255]++
			h.alpha[t.v>>24]++
		case inCache:
			h.green[cache0+t.v]++
		default:
			s, _, _ := prefix(int(t.n))
			h.green[lengths0+s]++
			s, _, _ = prefix(d.code(int(t.v)))
			h.distance[s]++
		}
	}
	return h
}

// costs estimates what each symbol takes.
func (h *histograms) costs(d *distances, cacheBits uint) *costs {
	c := &costs{green: make([]float32, len(h.green)), cacheBits: cacheBits}
	estimate(c.green, h.green)
	estimate(c.red[:], h.red[:])
	estimate(c.blue[:], h.blue[:])
	estimate(c.alpha[:], h.alpha[:])
	estimate(c.distance[:], h.distance[:])
	var length [maxLength + 1]float32
	for n := 1; n <= maxLength; n++ {
		s, _, extra := prefix(n)
		length[n] = c.green[lengths0+s] + float32(extra)
	}
	c.lengthCost = func(n int) float32 { return length[n] }
	c.distCost = func(distance int) float32 {
		s, _, extra := prefix(d.code(distance))
		return c.distance[s] + float32(extra)
	}
	return c
}

func estimate(cost []float32, n []uint32) {
	total, used := 0.0, 0
	for _, v := range n {
		total += float64(v)
		if v > 0 {
			used++
		}
	}
	for i, v := range n {
		switch {
		case used <= 1 && v > 0:
			cost[i] = 0
		case v > 0:
			cost[i] = float32(math.Log2(total / float64(v)))
		default:
			cost[i] = float32(math.Log2(total+1)) + 3
		}
	}
}

// writeTokens writes codes and tokens.
func writeTokens(b *bitWriter, tokens []token, d *distances, h *histograms, stop func() bool) {
	green := writeCode(b, h.green)
	red, blue, alpha := writeCode(b, h.red[:]), writeCode(b, h.blue[:]), writeCode(b, h.alpha[:])
	distance := writeCode(b, h.distance[:])
	for i, t := range tokens {
		if i%often == 0 && stop() {
			break
		}
		switch t.n {
		case pixel:
			green.put(b, int(t.v>>8&255))
			red.put(b, int(t.v>>16&255))
			blue.put(b, int(t.v&255))
			alpha.put(b, int(t.v>>24))
		case inCache:
			green.put(b, cache0+int(t.v))
		default:
			s, extra, n := prefix(int(t.n))
			green.put(b, lengths0+s)
			b.put(extra, n)
			s, extra, n = prefix(d.code(int(t.v)))
			distance.put(b, s)
			b.put(extra, n)
		}
	}
}
