package jpegdec_test

import (
	"bytes"
	"context"
	"errors"
	"image"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/perfblocks/perfblocks/imageopt/internal/jpegdec"
)

// gathered decodes by rows, of which it wants some again, and puts them together.
// whole tells that the planes came in one piece after all.
func gathered(t *testing.T, b []byte, o jpegdec.Options, rng *rand.Rand) (img *jpegdec.Image, whole bool, err error) {
	t.Helper()
	var got []jpegdec.Plane
	var ends []int
	again := false
	o.Stream = func(img *jpegdec.Image) jpegdec.Rows {
		if img == nil {
			again = true
			return nil
		}
		got, ends = append(got, img.Planes...), make([]int, len(img.Planes))
		for i := range got {
			p := &got[i]
			if p.Pix != nil {
				t.Fatal("the planes to come have samples")
			}
			p.Pix = make([]byte, p.Stride*p.H)
		}
		return func(i int, p jpegdec.Plane, top, end int) (int, error) {
			q := got[i]
			if top > ends[i] || end < ends[i] || end > q.H {
				t.Fatalf("plane %d: rows %d to %d after %d of %d", i, top, end, ends[i], q.H)
			}
			for y := top; y < end; y++ {
				now, was := p.Pix[(y-top)*p.Stride:][:p.W], q.Pix[y*q.Stride:][:p.W]
				if y < ends[i] && !bytes.Equal(now, was) {
					t.Fatalf("plane %d: row %d has changed", i, y)
				}
				copy(was, now)
			}
			ends[i] = end
			return end - 5 + rng.IntN(40)*rng.IntN(2), nil // behind the end too
		}
	}
	img, err = jpegdec.Decode(t.Context(), b, o)
	if err != nil {
		return nil, false, err
	}
	if whole = img.Planes[0].Pix != nil; whole != again {
		t.Fatalf("planes with samples: %v; told so: %v", whole, again)
	}
	if whole {
		return img, true, nil
	}
	for i := range got {
		if ends[i] != got[i].H {
			t.Fatalf("plane %d: %d of %d rows", i, ends[i], got[i].H)
		}
	}
	img.Planes = got
	return img, false, nil
}

// same decodes both ways.
func same(t *testing.T, b []byte, o jpegdec.Options, rng *rand.Rand) (whole bool) {
	t.Helper()
	want, err := jpegdec.Decode(t.Context(), b, o)
	return sameAs(t, want, err, b, o, rng)
}

// sameAs decodes by rows, which must give want and werr.
func sameAs(t *testing.T, want *jpegdec.Image, werr error, b []byte, o jpegdec.Options, rng *rand.Rand) (whole bool) {
	t.Helper()
	got, whole, err := gathered(t, b, o, rng)
	if (err == nil) != (werr == nil) || err != nil && err.Error() != werr.Error() {
		t.Fatalf("%+v: by rows %v, in one piece %v", o, err, werr)
	}
	if err != nil {
		return whole
	}
	if (got.Damage == nil) != (want.Damage == nil) || got.Damage != nil && got.Damage.Error() != want.Damage.Error() ||
		got.Colour != want.Colour || got.W != want.W || got.H != want.H || len(got.Planes) != len(want.Planes) {
		t.Fatalf("by rows %v, in one piece %v", got, want)
	}
	for i, p := range want.Planes {
		q := got.Planes[i]
		if q.W != p.W || q.H != p.H || q.SX != p.SX || q.SY != p.SY || q.Denom != p.Denom {
			t.Fatalf("plane %d is another", i)
		}
		for y := range p.H {
			if !bytes.Equal(p.Pix[y*p.Stride:][:p.W], q.Pix[y*q.Stride:][:p.W]) {
				t.Fatalf("%+v: plane %d, row %d differs", o, i, y)
			}
		}
	}
	return whole
}

// doubled repeats the scans of a file.
func doubled(b []byte) []byte {
	sos := bytes.Index(b, []byte{0xff, 0xda})
	out := append([]byte(nil), b[:len(b)-2]...)
	return append(out, b[sos:]...)
}

func streamFiles(t *testing.T) map[string][]byte {
	base := encoded(t, photo(137, 91), 85)
	gray := image.NewGray(image.Rect(0, 0, 75, 130))
	for i := range gray.Pix {
		gray.Pix[i] = byte(i * i >> 4)
	}
	files := map[string][]byte{
		"4:2:0": base, "gray": encoded(t, gray, 85), "wide": encoded(t, photo(300, 9), 85), "one row": encoded(t, photo(20, 1), 85),
		"scans that overwrite each other": doubled(base), "gray twice": doubled(encoded(t, gray, 60)),
	}
	if testing.Short() {
		return files
	}
	scans := filepath.Join(t.TempDir(), "scans")
	if err := os.WriteFile(scans, []byte("0;\n2;\n1;\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	files["a scan for each component"] = pipe(t, base, "jpegtran", "-scans", scans)
	files["restart markers"] = pipe(t, base, "jpegtran", "-restart", "2B")
	files["progressive"] = pipe(t, base, "jpegtran", "-progressive")
	files["on its side"] = pipe(t, base, "jpegtran", "-rotate", "90")
	for _, s := range []string{"1x1", "2x1", "1x2", "4x1", "4x2"} {
		files[s] = pipe(t, ppm(photo(101, 77)), "cjpeg", "-sample", s)
	}
	return files
}

// TestRowsAreThePlanes: what Stream is given is what Decode returns without it, for all
// that can be wrong with a file.
func TestRowsAreThePlanes(t *testing.T) {
	for name, b := range streamFiles(t) {
		t.Run(name, func(t *testing.T) {
			rng := rand.New(rand.NewPCG(3, uint64(len(b))))
			twice := name == "scans that overwrite each other" || name == "gray twice"
			for how := range 16 {
				o := jpegdec.Options{Scale: 1 << (how & 3), FullChroma: how&4 != 0, Partial: how&8 != 0}
				if whole := same(t, b, o, rng); whole != twice {
					t.Errorf("%+v: in one piece: %v, want %v", o, whole, twice)
				}
				for range 25 {
					same(t, b[:rng.IntN(len(b))], o, rng)
					bad := bytes.Clone(b)
					for range 1 + rng.IntN(3) {
						bad[rng.IntN(len(bad))] = byte(rng.Uint32())
					}
					if !large(bad) {
						same(t, bad, o, rng)
					}
				}
			}
		})
	}
}

// large keeps damaged headers from claiming the largest size there is.
func large(b []byte) bool {
	big := errors.New("big")
	_, err := jpegdec.Decode(context.Background(), b, jpegdec.Options{Scale: 8, Check: func(w, h int, _ jpegdec.Colour) error {
		if w*h > 1<<17 {
			return big
		}
		return nil
	}})
	return errors.Is(err, big)
}

func TestRowsEndTheDecoding(t *testing.T) {
	enough := errors.New("enough")
	n := 0
	o := jpegdec.Options{Partial: true, Stream: func(*jpegdec.Image) jpegdec.Rows {
		return func(int, jpegdec.Plane, int, int) (int, error) { n++; return 0, enough }
	}}
	if _, err := jpegdec.Decode(t.Context(), encoded(t, photo(64, 64), 80), o); !errors.Is(err, enough) || n != 1 {
		t.Errorf("error %v after %d calls; want %v after one", err, n, enough)
	}
}
