package imageopt

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/jpeg"
	"math/rand/v2"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

func streamSource(t *testing.T, w, h int, gray bool) []byte {
	t.Helper()
	rng := rand.New(rand.NewPCG(uint64(w), uint64(h)))
	m := image.NewYCbCr(image.Rect(0, 0, w, h), image.YCbCrSubsampleRatio420)
	for i := range m.Y {
		m.Y[i] = byte(i%w + rng.IntN(30))
	}
	for i := range m.Cb {
		m.Cb[i], m.Cr[i] = byte(i), byte(i/m.CStride*2)
	}
	var src image.Image = m
	if gray {
		src = &image.Gray{Pix: m.Y, Stride: m.YStride, Rect: m.Rect}
	}
	var b bytes.Buffer
	if err := jpeg.Encode(&b, src, &jpeg.Options{Quality: 85}); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// turned puts an EXIF orientation behind the start of the file.
func turned(b []byte, o byte) []byte {
	seg := append([]byte("\xff\xe1\x00\x22Exif\x00\x00MM\x00\x2a\x00\x00\x00\x08\x00\x01\x01\x12\x00\x03\x00\x00\x00\x01\x00"), o, 0, 0, 0, 0, 0, 0)
	return slices.Concat(b[:2], seg, b[2:])
}

// cjpeg has libjpeg make a file.
func cjpeg(t *testing.T, args string) []byte {
	t.Helper()
	rng := rand.New(rand.NewPCG(4, 5))
	in := []byte("P6 203 151 255\n")
	for i := range 3 * 203 * 151 {
		in = append(in, byte(i%609/3+rng.IntN(20)))
	}
	c := exec.Command("cjpeg", strings.Fields(args)...)
	c.Stdin = bytes.NewReader(in)
	out, err := c.Output()
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// TestStreamedResultsAreTheSame: a job that shares its rows among workers has all of the
// planes in memory, others do not; the files must be the same, byte by byte.
func TestStreamedResultsAreTheSame(t *testing.T) {
	ctx := context.Background()
	base, gray := streamSource(t, 437, 291, false), streamSource(t, 300, 410, true)
	sources := map[string][]byte{
		"colour": base, "gray": gray, "cut off": base[:len(base)*2/3], "damaged": bytes.Clone(base),
	}
	sources["damaged"][len(base)/2] ^= 0x55
	var e bytes.Buffer
	one, err := New(Options{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := one.Process(ctx, &e, bytes.NewReader(base), Spec{Format: FormatJPEG, Quality: 95}); err != nil {
		t.Fatal(err)
	}
	sources["progressive"] = e.Bytes()
	sources["progressive, cut off"] = e.Bytes()[:e.Len()/2]
	if _, err := exec.LookPath("cjpeg"); err == nil && !testing.Short() {
		for _, args := range []string{"-sample 1x1", "-sample 2x1 -restart 3B", "-sample 1x2 -progressive", "-sample 4x1 -restart 1", "-sample 4x2 -progressive -restart 2B"} {
			b := cjpeg(t, args)
			sources[args], sources[args+", cut off"] = b, b[:len(b)*3/5]
		}
	}
	for o := byte(2); o <= 8; o++ {
		sources[fmt.Sprint("orientation ", o)] = turned(base, o)
	}
	specs := []Spec{
		{Width: 230, Format: FormatJPEG}, {Width: 101, Quality: 92, Format: FormatJPEG}, {Width: 64}, {Height: 33, Filter: FilterBox},
		{Width: 90, Height: 90, Fit: FitCover, Anchor: AnchorBottomRight}, {Width: 120, Height: 70, Fit: FitContain, Background: color.White},
		{Width: 50, Crop: image.Rect(40, 90, 290, 260), Format: FormatPNG}, {Width: 20, Filter: FilterNearest}, {Width: 4000, Height: 1, Crop: image.Rect(0, 0, 900, 1)},
		{Width: 77, Format: FormatWebP}, {Width: 200, TargetBytes: 3000, Format: FormatJPEG}, {Width: 1},
	}
	for name, src := range sources {
		for _, tr := range []Truncation{TruncatedReject, TruncatedPartial} {
			for n := 1; n <= len(specs); n += 3 {
				all := func(workers int) (files [][]byte) {
					o, err := New(Options{Workers: workers, Truncated: tr})
					if err != nil {
						t.Fatal(err)
					}
					for v, err := range o.Variants(ctx, src, specs[len(specs)-n:]) {
						files = append(files, fmt.Append(v.Data, v.Index, v.Result.Partial, err))
					}
					return files
				}
				if a, b := all(1), all(2); !slices.EqualFunc(a, b, bytes.Equal) {
					t.Fatalf("%s, truncated: %v, %d specs: files differ", name, tr, n)
				}
			}
		}
	}
}

// TestWhatIsStreamed: planes are not held where that saves memory, and are where the job
// asks for them.
func TestWhatIsStreamed(t *testing.T) {
	src := streamSource(t, 1280, 960, false)
	for _, tc := range []struct {
		name    string
		specs   []Spec
		workers int
		want    bool
	}{
		{"one", []Spec{{Width: 400}}, 1, true},
		{"a set", []Spec{{Width: 700}, {Width: 400}, {Width: 300}}, 1, true},
		{"results as large as the source", []Spec{{Width: 1279}, {Width: 300}}, 1, false},
		{"workers", []Spec{{Width: 400}}, 2, false},
		{"linear light", []Spec{{Width: 400}, {Width: 300, LinearLight: true}}, 1, false},
		{"attention", []Spec{{Width: 99, Height: 99, Fit: FitCover, Anchor: AnchorAttention}}, 1, false},
		{"enlarged", []Spec{{Width: 8000, AllowUpscale: true}}, 1, false},
	} {
		o, err := New(Options{Workers: tc.workers})
		if err != nil {
			t.Fatal(err)
		}
		j := &job{o: o, specs: tc.specs}
		if j.src, err = o.openBytes(src, true); err != nil {
			t.Fatal(err)
		}
		j.want(tc.specs...)
		if err := j.decode(context.Background()); err != nil {
			t.Fatal(err)
		}
		if got := j.feeds != nil && j.raster.planes[0].Pix == nil; got != tc.want {
			t.Errorf("%s: streamed %v, want %v", tc.name, got, tc.want)
		}
		if (j.feeds == nil) != (j.raster.planes[0].Pix != nil) {
			t.Errorf("%s: neither planes nor results", tc.name)
		}
	}
}

// TestScansThatOverwriteEachOther: what a later scan leaves of an earlier one is known
// only to whole planes.
func TestScansThatOverwriteEachOther(t *testing.T) {
	src := streamSource(t, 320, 240, true)
	sos := bytes.Index(src, []byte{0xff, 0xda})
	twice := slices.Concat(src[:len(src)-2], src[sos:])
	o, err := New(Options{})
	if err != nil {
		t.Fatal(err)
	}
	var a, b bytes.Buffer
	_, err = o.Process(context.Background(), &a, bytes.NewReader(src), Spec{Width: 100, Format: FormatJPEG})
	_, err2 := o.Process(context.Background(), &b, bytes.NewReader(twice), Spec{Width: 100, Format: FormatJPEG})
	if err := errors.Join(err, err2); err != nil || !bytes.Equal(a.Bytes(), b.Bytes()) {
		t.Errorf("scans twice: %v, or another picture", err)
	}
}
