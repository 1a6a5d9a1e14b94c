//go:build amd64 && !purego

package resample

import "github.com/perfblocks/perfblocks/imageopt/internal/cpu"

// avx2 tells whether the processor and the system have AVX2.
var avx2 = cpu.AVX2()

//go:noescape
func vert8AVX2(dst *int16, src *byte, stride int, w *int16, n, cols int)

//go:noescape
func horiz1AVX2(dst *byte, row *int16, first *int32, w *int16, taps, n int)

//go:noescape
func horiz4AVX2(dst *byte, row *int16, first *int32, w *int16, taps, n int)

//go:noescape
func wide4AVX2(dst, row *int16, first *int32, w *int16, taps, n int)

//go:noescape
func axpyAVX2(acc *int32, row *int16, w, n int)

//go:noescape
func premultiplyAVX2(dst *int16, src *byte, n int)

func best() kernels {
	if !avx2 {
		return scalar()
	}
	return kernels{vert8: vert8Vector, horiz1: horiz1Vector, horiz4: horiz4Vector, wide4: wide4Vector, axpy: axpyVector}
}

func vert8Vector(dst []int16, src []byte, stride int, w []int16, n int) {
	cols := len(dst)
	if cols < 16 {
		vert8Scalar(dst, src, stride, w, n)
		return
	}
	_, _ = src[(n-1)*stride+cols-1], w[(n-1)|1]
	vert8AVX2(&dst[0], &src[0], stride, &w[0], n, cols&^15)
	if t := cols - 16; cols&15 != 0 {
		vert8AVX2(&dst[t], &src[t], stride, &w[0], n, 16)
	}
}

// fits panics unless all that the windows of n results reach lies within the row.
func (x *windows) fits(row []int16, ch, n int) {
	if (x.hi-x.lo+x.taps)*ch > len(row) || n > len(x.first) || n*x.taps > len(x.w) {
		panic("resample: row is too short")
	}
}

func horiz1Vector(dst []byte, row []int16, x *windows) {
	x.fits(row, 1, len(dst))
	n := len(dst) &^ 3
	if n > 0 {
		horiz1AVX2(&dst[0], &row[0], &x.first[0], &x.w[0], x.taps, n)
	}
	for i := n; i < len(dst); i++ {
		v := int32(1 << 19)
		w := x.of(i)
		for j, s := range row[x.first[i]:][:len(w)] {
			v += int32(s) * int32(w[j])
		}
		dst[i] = clamp(v >> 20)
	}
}

func horiz4Vector(dst []byte, row []int16, x *windows) {
	n := len(dst) / 4
	x.fits(row, 4, n)
	if n > 0 {
		horiz4AVX2(&dst[0], &row[0], &x.first[0], &x.w[0], x.taps, n)
	}
}

func wide4Vector(dst, row []int16, x *windows) {
	n := len(dst) / 4
	x.fits(row, 4, n)
	if n > 0 {
		wide4AVX2(&dst[0], &row[0], &x.first[0], &x.w[0], x.taps, n)
	}
}

func axpyVector(acc []int32, row []int16, w int16) {
	row = row[:len(acc)]
	n := len(acc) &^ 7
	if n > 0 {
		axpyAVX2(&acc[0], &row[0], int(w), n)
	}
	axpyScalar(acc[n:], row[n:], w)
}

// premultiplyVector returns how many pixels it has done.
func premultiplyVector(dst []int16, src []byte) int {
	n := min(len(dst), len(src)) / 4 &^ 3
	if !avx2 || n == 0 {
		return 0
	}
	premultiplyAVX2(&dst[0], &src[0], n)
	return n
}
