package jpegenc

import (
	"encoding/binary"
	"math/rand/v2"
	"slices"
	"testing"
)

// twins quantises blocks by vectors and in plain Go.
func twins(t *testing.T, seed uint64, quality float64) {
	t.Helper()
	rng := rand.New(rand.NewPCG(seed, 9))
	e := &encoder{}
	e.tables(quality)
	for _, q := range e.quant {
		var b [64]int32
		for i := range b {
			b[i] = int32(rng.IntN(1<<15)-1<<14) >> rng.IntN(15) // the range of the transform
		}
		var x, y coefs
		mean, mask, n := q.block(&x, &b)
		mean2, mask2, n2 := q.scalar(&y, &b)
		if mean != mean2 || mask != mask2 || n != n2 || !slices.Equal(x[:n], y[:n]) {
			t.Fatalf("quality %g, %v: %d %x %v by vectors, %d %x %v in plain Go", quality, b, mean, mask, x[:n], mean2, mask2, y[:n2])
		}
	}
}

func TestQuantiserTwins(t *testing.T) {
	for i := range uint64(2000) {
		twins(t, i, float64(1+i%100))
	}
}

func FuzzQuantiserTwins(f *testing.F) {
	f.Add([]byte{1, 2, 3, 4, 5, 6, 7, 8}, uint8(80))
	f.Fuzz(func(t *testing.T, seed []byte, quality uint8) {
		twins(t, binary.LittleEndian.Uint64(append(seed, make([]byte, 8)...)), float64(quality)/2.56)
	})
}
