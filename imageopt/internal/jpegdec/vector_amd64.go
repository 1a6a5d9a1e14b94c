//go:build amd64 && !purego

package jpegdec

import "github.com/perfblocks/perfblocks/imageopt/internal/cpu"

// avx2 tells whether the processor and the system have AVX2.
var avx2 = cpu.AVX2()

// idct8AVX2 is idct8 by vectors. It does not change b.
//
//go:noescape
func idct8AVX2(b *block, dst *byte, st int)

// full transforms 8 × 8 samples; last is the last coefficient that is not zero. b may
// be changed.
func full(b *block, dst []byte, st, last int) {
	if !avx2 {
		fullScalar(b, dst, st, last)
		return
	}
	_ = dst[7*st+7]
	idct8AVX2(b, &dst[0], st)
}
