//go:build !amd64 || purego

package jpegenc

func whole(b *[64]int32, src []byte, st int) { wholeScalar(b, src, st) }
