package jpegenc

import "math"

// zigzag gives the place in the block of each coefficient in the order of the file.
var zigzag = [64]uint8{
	0, 1, 8, 16, 9, 2, 3, 10, 17, 24, 32, 25, 18, 11, 4, 5,
	12, 19, 26, 33, 40, 48, 41, 34, 27, 20, 13, 6, 7, 14, 21, 28,
	35, 42, 49, 56, 57, 50, 43, 36, 29, 22, 15, 23, 30, 37, 44, 51,
	58, 59, 52, 45, 38, 31, 39, 46, 53, 60, 61, 54, 47, 55, 62, 63,
}

// standard are the tables of the standard's Annex K, in zig-zag order: luma, chroma.
var standard = [2][64]uint8{
	{
		16, 11, 12, 14, 12, 10, 16, 14, 13, 14, 18, 17, 16, 19, 24, 40,
		26, 24, 22, 22, 24, 49, 35, 37, 29, 40, 58, 51, 61, 60, 57, 51,
		56, 55, 64, 72, 92, 78, 64, 68, 87, 69, 55, 56, 80, 109, 81, 87,
		95, 98, 103, 104, 103, 62, 77, 113, 121, 112, 100, 120, 92, 101, 103, 99,
	},
	{
		17, 18, 18, 24, 21, 24, 47, 26, 26, 47, 99, 66, 56, 66, 99, 99,
		99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99,
		99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99,
		99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99,
	},
}

// quantiser divides coefficients by a table, in zig-zag order.
type quantiser struct {
	table [64]uint8
	steps [64]step
}

// step divides by multiplication: (|v| + bias) · mul >> 32, with the factor 8 of the
// transform in it.
type step struct {
	mul  uint32
	bias uint16
	at   uint8
}

// tables sets the quantisers for a quality, which need not be whole. Coefficients are
// rounded towards zero a little, since those that become zero save more bytes than the
// eye has noticed of them, and quantised as much finer as makes up for it. Both fade
// towards quality 100.
func (e *encoder) tables(quality float64) {
	quality = min(max(quality, 1), 100)
	scale := 200 - 2*quality
	if quality < 50 {
		scale = 5000 / quality
	}
	thrift := min((100-quality)/15, 1)
	scale *= 1 - 0.05*thrift
	for t := range e.quant {
		q := &e.quant[t]
		for k, v := range standard[t] {
			d := min(max((float64(v)*scale+50)/100, 1), 255)
			q.table[k] = uint8(d)
			d = 8 * math.Floor(d)
			bias := d / 2
			if k > 0 {
				bias -= 0.1 * thrift * d
			}
			q.steps[k] = step{mul: uint32(1<<32/uint64(d)) + 1, bias: uint16(bias), at: zigzag[k]}
		}
	}
}

// block quantises b into out, in zig-zag order, and tells which are not zero.
func (q *quantiser) block(out *coefs, b *[64]int32) (mask uint64) {
	for k := range out {
		s := &q.steps[k]
		v := b[s.at&63]
		sign := v >> 31
		a := int32(uint64(uint32(v^sign-sign)+uint32(s.bias)) * uint64(s.mul) >> 32)
		out[k] = int16(a ^ sign - sign)
		mask |= uint64(uint32(-a)>>31) << (k & 63)
	}
	return mask
}
