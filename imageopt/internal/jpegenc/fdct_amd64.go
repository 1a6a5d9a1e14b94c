//go:build amd64 && !purego

package jpegenc

//go:noescape
func forwardAVX2(b *[64]int32, src *byte, st int)

// whole is wholeScalar by vectors.
func whole(b *[64]int32, src []byte, st int) {
	if !avx2 {
		wholeScalar(b, src, st)
		return
	}
	_ = src[7*st+7]
	forwardAVX2(b, &src[0], st)
}
