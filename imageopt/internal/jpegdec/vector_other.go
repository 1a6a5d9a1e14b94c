//go:build !amd64 || purego

package jpegdec

// full transforms 8 × 8 samples; last is the last coefficient that is not zero. b may
// be changed.
func full(b *block, dst []byte, st, last int) { fullScalar(b, dst, st, last) }
