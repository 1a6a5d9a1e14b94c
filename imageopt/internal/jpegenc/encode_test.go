package jpegenc_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/jpeg"
	"math"
	"math/rand/v2"
	"os/exec"
	"testing"

	"github.com/perfblocks/perfblocks/imageopt/internal/jpegenc"
)

// photo makes a picture with edges, gradients and noise.
func photo(w, h int, ratio image.YCbCrSubsampleRatio) *image.YCbCr {
	rng := rand.New(rand.NewPCG(1, uint64(w*h)))
	m := image.NewYCbCr(image.Rect(0, 0, w, h), ratio)
	for y := range h {
		for x := range w {
			fx, fy := float64(x)/float64(w), float64(y)/float64(h)
			r, g, b := 128+100*math.Sin(19*fx+3*fy), 235*fy, 128+90*math.Cos(24*fx*fy)
			if math.Hypot(fx-0.4, fy-0.5) < 0.25 {
				r, b = b, r
			}
			n := 16 * rng.Float64()
			yy, cb, cr := color.RGBToYCbCr(byte(r+n), byte(g+n), byte(b+n))
			m.Y[m.YOffset(x, y)], m.Cb[m.COffset(x, y)], m.Cr[m.COffset(x, y)] = yy, cb, cr
		}
	}
	return m
}

func picture(m *image.YCbCr) jpegenc.Picture {
	w, h, sub := m.Rect.Dx(), m.Rect.Dy(), 1
	if m.SubsampleRatio == image.YCbCrSubsampleRatio420 {
		sub = 2
	}
	cw, ch := (w+sub-1)/sub, (h+sub-1)/sub
	return jpegenc.Picture{Sub: sub, Planes: []jpegenc.Plane{
		{Pix: m.Y, W: w, H: h, Stride: m.YStride},
		{Pix: m.Cb, W: cw, H: ch, Stride: m.CStride},
		{Pix: m.Cr, W: cw, H: ch, Stride: m.CStride},
	}}
}

func encode(t testing.TB, p jpegenc.Picture, o jpegenc.Options) []byte {
	t.Helper()
	b, err := jpegenc.Encode(t.Context(), p, o)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func std(t testing.TB, m image.Image, q int) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := jpeg.Encode(&b, m, &jpeg.Options{Quality: q}); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func plane(t testing.TB, b []byte) (m image.Image, y []byte, stride int) {
	t.Helper()
	m, err := jpeg.Decode(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	switch m := m.(type) {
	case *image.YCbCr:
		return m, m.Y, m.YStride
	case *image.Gray:
		return m, m.Pix, m.Stride
	}
	t.Fatalf("decoded to %T", m)
	return nil, nil, 0
}

// lumaError is the mean squared error of luma.
func lumaError(t testing.TB, b []byte, p jpegenc.Plane) float64 {
	m, pix, stride := plane(t, b)
	if m.Bounds().Dx() != p.W || m.Bounds().Dy() != p.H {
		t.Fatalf("size %v; want %d × %d", m.Bounds(), p.W, p.H)
	}
	sum := 0.0
	for y := range p.H {
		for x := range p.W {
			d := float64(pix[y*stride+x]) - float64(p.Pix[y*p.Stride+x])
			sum += d * d
		}
	}
	return sum / float64(p.W*p.H)
}

// djpeg lets libjpeg read the file; it must not warn.
func djpeg(t *testing.T, name string, b []byte) {
	if _, err := exec.LookPath("djpeg"); err != nil {
		return
	}
	c := exec.Command("djpeg", "-outfile", "/dev/null")
	var said bytes.Buffer
	c.Stdin, c.Stderr = bytes.NewReader(b), &said
	if err := c.Run(); err != nil || said.Len() > 0 {
		t.Errorf("%s: djpeg: %v %s", name, err, &said)
	}
}

func TestAgainstStd(t *testing.T) {
	for i, size := range [][2]int{{1, 1}, {7, 9}, {16, 16}, {17, 33}, {100, 63}, {161, 90}} {
		for _, q := range []int{1, 30, 75, 92, 100} {
			for _, ratio := range []image.YCbCrSubsampleRatio{image.YCbCrSubsampleRatio444, image.YCbCrSubsampleRatio420} {
				m := photo(size[0], size[1], ratio)
				p := picture(m)
				gray := jpegenc.Picture{Planes: p.Planes[:1]}
				for _, seq := range []bool{false, true} {
					for _, p := range []jpegenc.Picture{p, gray} {
						name := fmt.Sprint(size, q, ratio, seq, len(p.Planes))
						b := encode(t, p, jpegenc.Options{Quality: float64(q), Sequential: seq})
						// Coefficients are rounded towards zero, which errs more and looks alike.
						ours, want := lumaError(t, b, p.Planes[0]), lumaError(t, std(t, m, q), p.Planes[0])
						if ours > 1.4*want+0.3 {
							t.Errorf("%s: mean squared error %.3f; image/jpeg %.3f", name, ours, want)
						}
						if i%2 == 1 && q%25 == 0 {
							djpeg(t, name, b)
						}
					}
				}
			}
		}
	}
}

// Both orders of the same coefficients decode to the same picture.
func TestProgressionIsExact(t *testing.T) {
	for _, q := range []float64{5, 50, 85, 99} {
		p := picture(photo(203, 117, image.YCbCrSubsampleRatio420))
		_, a, stride := plane(t, encode(t, p, jpegenc.Options{Quality: q}))
		_, b, _ := plane(t, encode(t, p, jpegenc.Options{Quality: q, Sequential: true}))
		for y := range 117 {
			if at := y * stride; !bytes.Equal(a[at:at+203], b[at:at+203]) {
				t.Errorf("quality %v: progressive and sequential differ in row %d", q, y)
			}
		}
	}
}

// TestBuffersChangeNothing: pictures of all kinds follow each other, and one that is not
// finished.
func TestBuffersChangeNothing(t *testing.T) {
	b := &jpegenc.Buffers{}
	for i, size := range [][2]int{{203, 117}, {90, 60}, {300, 200}, {16, 16}, {203, 117}, {299, 200}} {
		for _, ratio := range []image.YCbCrSubsampleRatio{image.YCbCrSubsampleRatio420, image.YCbCrSubsampleRatio444} {
			p := picture(photo(size[0], size[1], ratio))
			if i%3 == 2 {
				p.Planes = p.Planes[:1]
			}
			o := jpegenc.Options{Quality: float64(30 + 10*i), Sequential: i%2 > 0}
			want := encode(t, p, o)
			o.Buffers = b
			if !bytes.Equal(encode(t, p, o), want) {
				t.Errorf("%v, %d planes: another file", size, len(p.Planes))
			}
			ctx := &ending{Context: t.Context(), left: 10 * i}
			if _, err := jpegenc.Encode(ctx, p, o); err == nil && i == 0 {
				t.Error("not cancelled")
			}
			o.Buffers = nil
			to, err := jpegenc.EncodeTo(t.Context(), p, len(want)/2, o)
			o.Buffers = b
			got, err2 := jpegenc.EncodeTo(t.Context(), p, len(want)/2, o)
			if !bytes.Equal(to, got) || (err == nil) != (err2 == nil) {
				t.Errorf("%v to %d bytes: another file", size, len(want)/2)
			}
		}
	}
	p := picture(photo(300, 200, image.YCbCrSubsampleRatio420))
	o := jpegenc.Options{Quality: 80}
	without := testing.AllocsPerRun(5, func() { encode(t, p, o) })
	o.Buffers = b
	if with := testing.AllocsPerRun(5, func() { encode(t, p, o) }); with > without-15 {
		t.Errorf("%v allocations with buffers, %v without", with, without)
	}
}

// TestFilesFitTheirMemory: they belong to the caller, who may keep them.
func TestFilesFitTheirMemory(t *testing.T) {
	for _, q := range []float64{10, 30, 60, 80, 95} {
		for _, seq := range []bool{false, true} {
			b, err := jpegenc.Encode(t.Context(), picture(photo(640, 480, image.YCbCrSubsampleRatio420)), jpegenc.Options{Quality: q, Sequential: seq})
			if err != nil {
				t.Fatal(err)
			}
			if cap(b) > len(b)*3/2+1024 {
				t.Errorf("quality %v: %d bytes in %d", q, len(b), cap(b))
			}
			t.Log(q, len(b), cap(b))
		}
	}
}

// ending is a context that ends when it has been asked so many times.
type ending struct {
	context.Context
	left int
}

func (c *ending) Err() error {
	if c.left--; c.left < 0 {
		return context.Canceled
	}
	return nil
}

func TestRefuses(t *testing.T) {
	ok := picture(photo(20, 20, image.YCbCrSubsampleRatio420))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := jpegenc.Encode(ctx, ok, jpegenc.Options{Quality: 80}); !errors.Is(err, context.Canceled) {
		t.Errorf("Encode = %v; want Canceled", err)
	}
	for name, p := range map[string]jpegenc.Picture{
		"two planes": {Planes: ok.Planes[:2], Sub: 2}, "another ratio": {Planes: ok.Planes, Sub: 1},
		"nothing": {Planes: []jpegenc.Plane{{}}}, "short": {Planes: []jpegenc.Plane{{Pix: make([]byte, 10), W: 4, H: 4, Stride: 4}}},
	} {
		if _, err := jpegenc.Encode(t.Context(), p, jpegenc.Options{Quality: 80}); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func BenchmarkEncode(b *testing.B) {
	m := photo(640, 480, image.YCbCrSubsampleRatio420)
	for _, seq := range []bool{true, false} {
		name := "progressive"
		if seq {
			name = "sequential"
		}
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				encode(b, picture(m), jpegenc.Options{Quality: 80, Sequential: seq})
			}
		})
	}
	b.Run("std", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			std(b, m, 80)
		}
	})
}
