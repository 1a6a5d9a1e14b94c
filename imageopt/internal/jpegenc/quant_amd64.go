//go:build amd64 && !purego

package jpegenc

import (
	"math/bits"

	"github.com/perfblocks/perfblocks/imageopt/internal/cpu"
)

// avx2 tells whether the processor and the system have AVX2.
var avx2 = cpu.AVX2()

// quantiseAVX2 divides all of b, and tells in a bit for each which have become zero.
//
//go:noescape
func quantiseAVX2(out *coefs, b *[64]int32, d *divisors) (zero uint64)

// block is [quantiser.scalar] by vectors.
func (q *quantiser) block(out *coefs, b *[64]int32) (mean int16, mask uint64, n int) {
	if !avx2 {
		return q.scalar(out, b)
	}
	var all coefs
	for m := ^quantiseAVX2(&all, b, &q.divisors) &^ 1; m != 0; m &= m - 1 {
		mask |= 1 << unzigzag[bits.TrailingZeros64(m)&63]
	}
	for m := mask; m != 0; m &= m - 1 {
		out[n&63] = all[zigzag[bits.TrailingZeros64(m)&63]&63]
		n++
	}
	return all[0], mask, n
}

// unzigzag is the inverse of zigzag.
var unzigzag = func() (at [64]uint8) {
	for k, i := range zigzag {
		at[i] = uint8(k)
	}
	return at
}()
