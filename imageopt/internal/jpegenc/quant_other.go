//go:build !amd64 || purego

package jpegenc

func (q *quantiser) block(out *coefs, b *[64]int32) (mean int16, mask uint64, n int) {
	return q.scalar(out, b)
}
