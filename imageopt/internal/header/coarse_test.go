package header_test

import (
	"bytes"
	"math/rand/v2"
	"testing"

	"github.com/perfblocks/perfblocks/imageopt/internal/header"
	"github.com/perfblocks/perfblocks/imageopt/internal/jpegdec"
	"github.com/perfblocks/perfblocks/imageopt/internal/jpegenc"
)

// coarse filters a file that comes in parts.
func coarse(b []byte, rng *rand.Rand) (out []byte) {
	var c header.Coarse
	for len(b) > 0 {
		part := bytes.Clone(b[:min(1+rng.IntN(1+rng.IntN(300)), len(b))])
		b = b[len(part):]
		out = append(out, part[:c.Filter(part)]...)
	}
	return out
}

// sameEighth decodes to an eighth what is left of a file, and all of it.
func sameEighth(t *testing.T, b []byte, rng *rand.Rand) {
	t.Helper()
	h, err := header.JPEG(b, true)
	if err != nil || !h.Progressive || h.Samples == 0 || h.W*h.H > 1<<18 {
		return
	}
	some := coarse(b, rng)
	if len(some) > len(b) {
		t.Fatalf("%d bytes of %d", len(some), len(b))
	}
	for _, partial := range []bool{false, true} {
		o := jpegdec.Options{Scale: 8, FullChroma: partial, Partial: partial}
		want, werr := jpegdec.Decode(t.Context(), b, o)
		got, err := jpegdec.Decode(t.Context(), some, o)
		if (err == nil) != (werr == nil) || err != nil && err.Error() != werr.Error() {
			t.Fatalf("error %v; want %v", err, werr)
		}
		if err != nil {
			continue
		}
		if (got.Damage == nil) != (want.Damage == nil) || got.Damage != nil && got.Damage.Error() != want.Damage.Error() {
			t.Fatalf("damage %v; want %v", got.Damage, want.Damage)
		}
		for i, p := range want.Planes {
			if q := got.Planes[i]; !bytes.Equal(q.Pix, p.Pix) || q.W != p.W || q.H != p.H {
				t.Fatalf("plane %d differs", i)
			}
		}
	}
}

func progressive(t testing.TB, w, h int) []byte {
	t.Helper()
	plane := func(w, h int) jpegenc.Plane {
		p := jpegenc.Plane{Pix: make([]byte, w*h), W: w, H: h, Stride: w}
		rng := rand.New(rand.NewPCG(1, uint64(w)))
		for i := range p.Pix {
			p.Pix[i] = byte(i%w + i/w + rng.IntN(40))
		}
		return p
	}
	c := plane((w+1)/2, (h+1)/2)
	b, err := jpegenc.Encode(t.Context(), jpegenc.Picture{Sub: 2, Planes: []jpegenc.Plane{plane(w, h), c, c}}, jpegenc.Options{Quality: 80})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestCoarseKeepsAnEighth(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	b := append(progressive(t, 333, 222), "behind the end \xff\xda"...)
	if n := len(coarse(b, rng)); n > len(b)/2 {
		t.Errorf("%d bytes of %d are left", n, len(b))
	}
	sameEighth(t, b, rng)
	for range 500 {
		sameEighth(t, b[:rng.IntN(len(b))], rng)
		bad := bytes.Clone(b)
		for range 1 + rng.IntN(4) {
			bad[rng.IntN(len(bad))] = byte(rng.Uint32())
		}
		sameEighth(t, bad, rng)
		bad = bytes.Clone(b)
		copy(bad[rng.IntN(len(bad)):], []byte{0xff, byte(0xc0 + rng.IntN(64)), 0, byte(rng.IntN(16)), byte(rng.IntN(3))})
		sameEighth(t, bad, rng)
	}
}

// FuzzCoarse: what is left decodes to the same, whatever the file is.
func FuzzCoarse(f *testing.F) {
	f.Add(progressive(f, 20, 17), uint8(1))
	f.Fuzz(func(t *testing.T, b []byte, seed uint8) {
		if len(b) < 1<<14 && bytes.Count(b, []byte{0xff, 0xda}) <= 20 {
			sameEighth(t, b, rand.New(rand.NewPCG(uint64(seed), 1)))
		}
	})
}
