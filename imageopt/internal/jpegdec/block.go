package jpegdec

import "encoding/binary"

// zigzag gives the place in the block of each coefficient in the order of the file.
var zigzag = [64]uint8{
	0, 1, 8, 16, 9, 2, 3, 10, 17, 24, 32, 25, 18, 11, 4, 5,
	12, 19, 26, 33, 40, 48, 41, 34, 27, 20, 13, 6, 7, 14, 21, 28,
	35, 42, 49, 56, 57, 50, 43, 36, 29, 22, 15, 23, 30, 37, 44, 51,
	58, 59, 52, 45, 38, 31, 39, 46, 53, 60, 61, 54, 47, 55, 62, 63,
}

// block is the dequantised coefficients of 8 × 8 samples. Those behind the 64 catch
// what a damaged file puts there.
type block [128]int32

// quantPlaces joins for each coefficient the quantiser, above bit 7, and its place.
// Runs lead at most 15 beyond the block.
func quantPlaces(q *[64]uint16) *[80]uint32 {
	zq := new([80]uint32)
	for k := range zq {
		zq[k] = 127
		if k < 64 {
			zq[k] = uint32(q[k])<<7 | uint32(zigzag[k])
		}
	}
	return zq
}

// block decodes one block of a sequential scan: the coefficients up to limit into b,
// which must be clear, and the difference of the first, not dequantised. last is the
// last one that was set. ok is false for bits that are no code.
func (r *bits) block(dc *dcTable, ac *acTable, b *block, zq *[80]uint32, limit int) (diff int32, last int, ok bool) {
	buf, acc, n, p := r.buf, r.acc, r.n, r.p
	acc |= binary.BigEndian.Uint64(buf[p:]) >> n
	p += int((63 - n) >> 3)
	n |= 56
	l, size := dc.lookUp(acc)
	if l == 0 || size > 16 {
		return 0, 0, false
	}
	if diff = int32(acc << l >> (64 - size)); diff < 1<<size>>1 {
		diff += -1<<size + 1
	}
	acc <<= l + size
	n -= l + size
	k := 1
	for k <= limit {
		if n < 32 {
			acc |= binary.BigEndian.Uint64(buf[p:]) >> n
			p += int((63 - n) >> 3)
			n |= 56
		}
		e := ac.look[acc>>(64-acBits)]
		v := int32(e) >> 16
		l, run := uint(e&63), int(e>>8&15)
		if v == 0 {
			sym := byte(e >> 8)
			if l == 0 {
				if sym, l = ac.find(uint32(acc >> 48)); l == 0 {
					return 0, 0, false
				}
			}
			size := uint(sym & 15)
			if size == 0 {
				acc <<= l & 63
				n -= l
				k += 16
				if sym != 0xf0 {
					k = 64
				}
				continue
			}
			run = int(sym >> 4)
			v = extend(int32(acc<<(l&63)>>(64-size)), size)
			l += size
		}
		acc <<= l & 63
		n -= l
		k += run
		z := zq[k]
		b[z&127] = v * int32(z>>7)
		last = k
		k++
	}
	r.acc, r.n, r.p = acc, n, p
	return diff, last, k >= 64 || r.drop(ac, k)
}

// lookUp returns the length of the code that acc begins with and the size it stands
// for. Length 0 means that it is none.
func (t *dcTable) lookUp(acc uint64) (l, size uint) {
	if e := uint(t.look[acc>>(64-dcBits)]); e != 0 {
		return e & 255, e >> 8
	}
	sym, l := t.find(uint32(acc >> 48))
	return l, uint(sym)
}

// drop goes over the coefficients from k on.
func (r *bits) drop(ac *acTable, k int) bool {
	buf, acc, n, p, skip := r.buf, r.acc, r.n, r.p, ac.skip
	for k < 64 {
		if n < 40 {
			acc |= binary.BigEndian.Uint64(buf[p:]) >> n
			p += int((63 - n) >> 3)
			n |= 56
		}
		e := skip[acc>>(64-skBits)]
		if adv := int(e >> 6 & 127); e != 0 && k+adv < 64 {
			acc <<= e & 63
			n -= uint(e & 63)
			k += adv
			if e&skipEnd != 0 {
				break
			}
			continue
		}
		sym, l := ac.find(uint32(acc >> 48))
		if l == 0 {
			return false
		}
		size := uint(sym & 15)
		acc <<= l + size
		n -= l + size
		if size == 0 && sym != 0xf0 {
			break
		}
		k += int(sym>>4) + 1
	}
	r.acc, r.n, r.p = acc, n, p
	return true
}
