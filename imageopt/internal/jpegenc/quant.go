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
	divisors
}

// divisors divide by multiplication, (|v| + bias) · mul >> 32, with the factor 8 of
// the transform in it. They are in the order of the block.
type divisors struct {
	mul, bias [64]uint32
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
			q.mul[zigzag[k]], q.bias[zigzag[k]] = uint32(1<<32/uint64(d))+1, uint32(bias)
		}
	}
}

// scalar quantises b: its first coefficient, which of the others are not zero, in
// zig-zag order, and their n values into out.
func (q *quantiser) scalar(out *coefs, b *[64]int32) (mean int16, mask uint64, n int) {
	mean = q.divide(b, 0)
	for k := 1; k < 64; k++ {
		v := q.divide(b, zigzag[k]&63)
		out[n&63] = v
		bit := uint64(uint32(v|-v) >> 31) // 1 unless v is zero
		mask |= bit << k
		n += int(bit)
	}
	return mean, mask, n
}

func (d *divisors) divide(b *[64]int32, i uint8) int16 {
	v := b[i]
	sign := v >> 31
	a := int32(uint64(uint32(v^sign-sign)+d.bias[i]) * uint64(d.mul[i]) >> 32)
	return int16(a ^ sign - sign)
}
