package imageopt_test

import (
	"bytes"
	"errors"
	"io"
	"testing"

	"github.com/perfblocks/perfblocks/imageopt"
)

// lsb writes numbers from the lowest bit on, as lossless WebP wants them.
type lsb struct {
	out []byte
	acc uint64
	n   int
}

func (b *lsb) put(v uint64, n int) {
	b.acc |= v << b.n
	for b.n += n; b.n >= 8; b.n -= 8 {
		b.out = append(b.out, byte(b.acc))
		b.acc >>= 8
	}
}

// code writes a prefix code whose used symbols all have the length at place last of
// the order of lengths; most > 0 limits the symbols.
func (b *lsb) code(last int, most uint64) {
	b.put(0, 1)
	b.put(uint64(last+1-4), 4)
	b.put(0, 3*last)
	b.put(1, 3)
	if most == 0 {
		b.put(0, 1)
		return
	}
	b.put(1, 1)
	b.put(5, 3)
	b.put(most-2, 12)
}

// manyTrees makes a lossless WebP of so many sets of the largest prefix codes, which
// take 26 bytes each in the file.
func manyTrees(side, groups int) []byte {
	b := &lsb{}
	b.put(0x2f, 8)
	b.put(uint64(side-1), 14)
	b.put(uint64(side-1), 14)
	b.put(0, 4)
	b.put(0, 1)
	b.put(1|11<<1, 5) // colour cache of 2048
	b.put(1, 1)
	b.put(0, 3)
	// entropy image
	b.put(0, 1)
	b.put(0, 1)
	b.put(8, 4)
	b.put(0, 33)
	b.put(1, 3)
	b.put(1, 1) // 256 of 280 symbols
	b.put(3, 3)
	b.put(254, 8)
	b.code(11, 0)
	b.put(1, 4)
	b.put(1, 4)
	b.put(1, 4)
	rev := func(v int) (r uint64) {
		for i := range 8 {
			r |= uint64(v>>i&1) << (7 - i)
		}
		return r
	}
	t := (side + 3) / 4
	for i := range t * t {
		g := min(i, groups-1)
		b.put(rev(g&255), 8)
		b.put(rev(g>>8), 8)
	}
	for range groups {
		b.code(14, 2048)
		b.code(11, 0)
		b.code(11, 0)
		b.code(11, 0)
		b.put(1, 4)
	}
	b.put(0, 7)
	b.out = append(b.out, make([]byte, side*side*35/8+8)...) // the first symbols of all codes
	return riff("VP8L", string(b.out))
}

func TestWebPManyCodes(t *testing.T) {
	src := manyTrees(208, 1300)
	small := newOptimizer(t, imageopt.Options{MaxMemory: 32 << 20})
	var err error
	n := allocated(func() {
		_, err = small.Process(t.Context(), io.Discard, bytes.NewReader(src), imageopt.Spec{Width: 50})
	})
	if le, ok := errors.AsType[*imageopt.LimitError](err); !ok || le.Limit != "memory" || n > 4<<20 {
		t.Errorf("208 × 208 pixels in 1300 codes: %v after %d bytes; want the memory limit", err, n)
	}
	o := newOptimizer(t, imageopt.Options{})
	if raceEnabled {
		t.Skip("not under the race detector, which makes collecting all the time too slow")
	}
	w := &booking{o: o}
	used := peak(func() { _, err = o.Process(t.Context(), w, bytes.NewReader(src), imageopt.Spec{Width: 50}) })
	if err != nil || used > w.booked || used < 32<<20 {
		t.Errorf("1300 codes: %v, %d bytes in use, %d booked", err, used, w.booked)
	}
	for _, cut := range []int{30, 100, 5000, len(src) / 2} {
		if _, err := o.Process(t.Context(), io.Discard, bytes.NewReader(src[:cut]), imageopt.Spec{}); !errors.Is(err, imageopt.ErrTruncated) {
			t.Errorf("%d of %d bytes: %v; want ErrTruncated", cut, len(src), err)
		}
	}
}
