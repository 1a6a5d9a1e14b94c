package resample

import (
	"encoding/binary"
	"math/rand/v2"
	"slices"
	"testing"
)

// twins runs every loop of the processor and its scalar twin on the same input and
// compares all bits. Weights are as wild as sums below 2³¹ allow.
func twins(t *testing.T, seed uint64, cols, n, stride, results int) {
	t.Helper()
	rng := rand.New(rand.NewPCG(seed, 5))
	a, b := best(), scalar()
	x := &windows{taps: 8, hi: cols}
	if n > 8 {
		x.taps = (n + 15) &^ 15
	}
	most := 1 << 16
	if seed%2 == 0 {
		most = 1 << 16 / n
	}
	for range results {
		k := 1 + rng.IntN(min(n, cols))
		x.first, x.n = append(x.first, int32(rng.IntN(cols-k+1))), append(x.n, int32(k))
		w := make([]int16, x.taps)
		for i := range k {
			w[i] = int16(rng.IntN(most) - most/2)
		}
		x.w = append(x.w, w...)
	}
	stride = max(stride, cols)
	src := make([]byte, stride*(n-1)+cols)
	for i := range src {
		src[i] = byte(rng.Uint32())
	}
	w := make([]int16, x.taps)
	for i := range n {
		w[i] = int16(rng.IntN(1<<16) - 1<<15)
	}
	p, q := make([]int16, cols), make([]int16, cols)
	a.vert8(p, src, stride, w, n)
	b.vert8(q, src, stride, w, n)
	if !slices.Equal(p, q) {
		t.Fatalf("vert8 of %d columns, %d rows: twins differ", cols, n)
	}
	row := make([]int16, 4*(cols+x.taps))
	for i := range row {
		row[i] = int16(rng.Uint32()) // also behind the samples that count
	}
	d, e := make([]byte, 4*results), make([]byte, 4*results)
	a.horiz1(d[:results], row, x)
	b.horiz1(e[:results], row, x)
	if !slices.Equal(d, e) {
		t.Fatalf("horiz1 of %d columns, %d taps, to %d: twins differ", cols, x.taps, results)
	}
	a.horiz4(d, row, x)
	b.horiz4(e, row, x)
	if !slices.Equal(d, e) {
		t.Fatalf("horiz4 of %d columns, %d taps, to %d: twins differ", cols, x.taps, results)
	}
	f, g := make([]int16, 4*results), make([]int16, 4*results)
	a.wide4(f, row, x)
	b.wide4(g, row, x)
	if !slices.Equal(f, g) {
		t.Fatalf("wide4 of %d columns, %d taps, to %d: twins differ", cols, x.taps, results)
	}
	s, u := make([]int32, cols), make([]int32, cols)
	for i := range s {
		s[i] = int32(rng.Uint32())
	}
	copy(u, s)
	a.axpy(s, row, w[0])
	b.axpy(u, row, w[0])
	if !slices.Equal(s, u) {
		t.Fatalf("axpy of %d: twins differ", cols)
	}
	f, g = make([]int16, cols&^3), make([]int16, cols&^3)
	Premultiplied(f, src[:cols&^3])
	for i := 0; i < len(g); i += 4 {
		Premultiplied(g[i:i+4], src[i:i+4]) // too short for vectors
	}
	if !slices.Equal(f, g) {
		t.Fatalf("Premultiplied of %d: twins differ", cols)
	}
}

func TestTwins(t *testing.T) {
	for cols := range 200 {
		twins(t, uint64(cols), cols+1, 1+cols%50, 0, 1+cols%9)
	}
}

func FuzzTwins(f *testing.F) {
	f.Add([]byte{1, 2, 3, 4, 5, 6, 7, 8}, uint16(100), uint8(45), uint8(3), uint8(7))
	f.Add([]byte{0, 2, 3, 4, 5, 6, 7, 8}, uint16(15), uint8(1), uint8(0), uint8(1))
	f.Fuzz(func(t *testing.T, seed []byte, cols uint16, n, gap, results uint8) {
		c := 1 + int(cols)%2000
		twins(t, binary.LittleEndian.Uint64(append(seed, make([]byte, 8)...)), c, 1+int(n)%100, c+int(gap), 1+int(results))
	})
}
