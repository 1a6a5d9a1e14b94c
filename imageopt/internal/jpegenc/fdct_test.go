package jpegenc

import (
	"math/rand/v2"
	"testing"
)

func transformTwins(t *testing.T, src []byte, st int) {
	t.Helper()
	var x, y [64]int32
	whole(&x, src, st)
	wholeScalar(&y, src, st)
	if x != y {
		t.Fatalf("stride %d, %x: %v by vectors, %v in plain Go", st, src, x, y)
	}
}

func TestTransformTwins(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for i := range 5000 {
		st := 8 + i%5
		src := make([]byte, 7*st+8) // not a byte more than it may read
		for j := range src {
			src[j] = byte(rng.Uint32() >> (24 + i%8))
			if i%3 == 0 {
				src[j] = byte(rng.IntN(2) * 255) // the steepest there is
			}
		}
		transformTwins(t, src, st)
	}
}

func FuzzTransformTwins(f *testing.F) {
	f.Add([]byte("0123456789abcdefghijklmnopqrstuvwxyz0123456789abcdefghijklmnopqrstuvwxyz"), uint8(9))
	f.Fuzz(func(t *testing.T, src []byte, st uint8) {
		stride := 8 + int(st)%9
		if len(src) >= 7*stride+8 {
			transformTwins(t, src, stride)
		}
	})
}

func BenchmarkTransform(b *testing.B) {
	src := make([]byte, 64)
	for i := range src {
		src[i] = byte(i * i * 5)
	}
	for _, f := range []struct {
		name string
		do   func(*[64]int32, []byte, int)
	}{{"best", whole}, {"scalar", wholeScalar}} {
		b.Run("code="+f.name, func(b *testing.B) {
			var out [64]int32
			for b.Loop() {
				f.do(&out, src, 8)
			}
		})
	}
}
