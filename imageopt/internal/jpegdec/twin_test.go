package jpegdec

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"testing"
)

// twins transforms a block by vectors, if the processor has them, and in plain Go.
// Coefficients of a damaged file can be anything.
func twins(t *testing.T, seed uint64, last, size uint) {
	t.Helper()
	rng := rand.New(rand.NewPCG(seed, 3))
	var a block
	for k := range last%64 + 1 {
		a[zigzag[k]] = int32(rng.Uint32()) >> (size % 32)
		if rng.IntN(3) == 0 {
			a[zigzag[k]] = 0
		}
	}
	b := a
	const st = 11
	x, y := make([]byte, 7*st+8), make([]byte, 7*st+8)
	full(&a, x, st, int(last%64))
	fullScalar(&b, y, st, int(last%64))
	if !bytes.Equal(x, y) {
		t.Fatalf("seed %d, last %d, size %d: %x by vectors, %x in plain Go", seed, last, size, x, y)
	}
}

func TestTransformTwins(t *testing.T) {
	for i := range uint(20_000) {
		twins(t, uint64(i), i%64, i/64)
	}
}

// TestFewCoefficients: the transform for few coefficients is that for all.
func TestFewCoefficients(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	for i := range 5000 {
		var a block
		for k := range 10 {
			a[zigzag[k]] = int32(rng.Uint32()) >> (i % 32)
		}
		b := a
		x, y := make([]byte, 64), make([]byte, 64)
		idct8low(&a, x, 8)
		idct8(&b, y, 8)
		if !bytes.Equal(x, y) {
			t.Fatalf("%d: %x, want %x", i, x, y)
		}
	}
}

func FuzzTransformTwins(f *testing.F) {
	f.Add([]byte{1, 2, 3, 4, 5, 6, 7, 8}, uint8(63), uint8(20))
	f.Fuzz(func(t *testing.T, seed []byte, last, size uint8) {
		twins(t, binary.LittleEndian.Uint64(append(seed, make([]byte, 8)...)), uint(last), uint(size))
	})
}

func BenchmarkTransform(b *testing.B) {
	var in block
	for k := range 30 {
		in[zigzag[k]] = int32(2000/(k+1)) * int32(1-k%2*2)
	}
	dst := make([]byte, 64)
	for _, f := range []struct {
		name string
		do   func(*block, []byte, int, int)
	}{{"best", full}, {"scalar", fullScalar}} {
		b.Run("code="+f.name, func(b *testing.B) {
			for b.Loop() {
				c := in
				f.do(&c, dst, 8, 29)
			}
		})
	}
}
