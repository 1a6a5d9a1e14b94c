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
// last one that was set.
func (r *bits) block(dc *dcTable, ac *acTable, skip *[1 << skBits]uint32, b *block, zq *[80]uint32, limit int) (diff int32, last int, ok bool) {
	if diff, ok = r.difference(dc); !ok {
		return 0, 0, false
	}
	k, last := r.coefficients(ac, b, zq, limit)
	if k < 64 {
		k = r.drop(ac, skip, k)
	}
	return diff, last, k < broken
}

// broken is a place in the block that no run leads to; it stands for bits that are no
// code.
const broken = 1 << 10

// coefficients decodes what follows the first coefficient, up to limit, or to the end
// of the block. k is the place of the next one.
func (r *bits) coefficients(ac *acTable, b *block, zq *[80]uint32, limit int) (k, last int) {
	buf, acc, n, p := r.buf, r.acc, r.n, r.p
	k = 1
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
					return broken, last
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
	return k, last
}

// drop goes over the coefficients from k on.
func (r *bits) drop(ac *acTable, skip *[1 << skBits]uint32, k int) int {
	buf, acc, n, p := r.buf, r.acc, r.n, r.p
	for k < 64 {
		if n < 40 {
			acc |= binary.BigEndian.Uint64(buf[p:]) >> n
			p += int((63 - n) >> 3)
			n |= 56
		}
		e := skip[acc>>(64-skBits)]
		if adv := int(e >> 7 & 255); e != 0 && k+adv < 64 {
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
			return broken
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
	return k
}
