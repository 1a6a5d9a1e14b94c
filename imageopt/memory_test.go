package imageopt_test

import (
	"bytes"
	"encoding/binary"
	"image"
	"image/color"
	"image/color/palette"
	"image/gif"
	"math/rand/v2"
	"runtime"
	"runtime/metrics"
	"testing"
	"time"

	"github.com/perfblocks/perfblocks/imageopt"
	"golang.org/x/image/bmp"
	"golang.org/x/image/tiff"
)

// live returns the bytes that the last garbage collection has found in use.
func live() int64 {
	s := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	metrics.Read(s)
	return int64(s[0].Value.Uint64())
}

// peak runs f and returns the most memory in use meanwhile, over that before, as
// collections that follow each other without a pause see it.
func peak(f func()) (used int64) {
	runtime.GC()
	runtime.GC()
	base := live()
	stop, done := make(chan bool), make(chan bool)
	go func() {
		defer close(done)
		for {
			select {
			case <-stop:
				return
			default:
			}
			runtime.GC()
			used = max(used, live()-base)
		}
	}()
	f()
	close(stop)
	<-done
	return used
}

// booking is a writer that looks at what the job that writes to it has booked.
type booking struct {
	o      *imageopt.Optimizer
	booked int64
}

func (b *booking) Write(p []byte) (int, error) {
	b.booked = b.o.Stats().Memory
	return len(p), nil
}

// noise makes a picture that nothing compresses.
func noise(w, h int, opaque bool) *image.NRGBA {
	m := image.NewNRGBA(image.Rect(0, 0, w, h))
	rng := rand.New(rand.NewPCG(7, 8))
	for i := 0; i+8 <= len(m.Pix); i += 8 {
		binary.LittleEndian.PutUint64(m.Pix[i:], rng.Uint64())
	}
	for i := 3; opaque && i < len(m.Pix); i += 4 {
		m.Pix[i] = 255
	}
	return m
}

func noiseGIF(t testing.TB, w, h, n int) []byte {
	g := &gif.GIF{}
	rng := rand.New(rand.NewPCG(7, 8))
	for range n {
		m := image.NewPaletted(image.Rect(0, 0, w, h), palette.Plan9)
		for i := range m.Pix {
			m.Pix[i] = byte(rng.Uint32())
		}
		g.Image, g.Delay = append(g.Image, m), append(g.Delay, 5)
	}
	var b bytes.Buffer
	if err := gif.EncodeAll(&b, g); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// progressive420 is a gray tone in three components, 4:2:0.
func progressive420(w, h int) []byte {
	b := []byte{0xff, 0xd8}
	b = segment(b, 0xdb, append([]byte{0}, bytes.Repeat([]byte{1}, 64)...)...)
	b = segment(b, 0xc2, 8, byte(h>>8), byte(h), byte(w>>8), byte(w), 3, 1, 0x22, 0, 2, 0x11, 0, 3, 0x11, 0)
	b = segment(b, 0xc4, append(append([]byte{0x00}, append([]byte{1}, make([]byte, 15)...)...), 0x00)...)
	b = segment(b, 0xda, 3, 1, 0, 2, 0, 3, 0, 0, 0, 0)
	b = append(b, make([]byte, (((w+15)/16)*((h+15)/16)*6+7)/8)...)
	return append(b, 0xff, 0xd9)
}

func toWebP(t testing.TB, m *image.NRGBA) []byte {
	b, _ := process(t, newOptimizer(t, imageopt.Options{}), toPNG(t, m), imageopt.Spec{Format: imageopt.FormatWebP})
	return b
}

func toBMP(t testing.TB, m image.Image) []byte {
	var b bytes.Buffer
	if err := bmp.Encode(&b, m); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func toTIFF(t testing.TB, m image.Image, deflate bool) []byte {
	var b bytes.Buffer
	o := &tiff.Options{}
	if deflate {
		o.Compression = tiff.Deflate
	}
	if err := tiff.Encode(&b, m, o); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestMemoryStaysWithinWhatWasBooked(t *testing.T) {
	if testing.Short() || raceEnabled {
		t.Skip("not under the race detector, which makes collecting all the time too slow")
	}
	o := newOptimizer(t, imageopt.Options{MaxMemory: 2 << 30, Inputs: []imageopt.Format{
		imageopt.FormatJPEG, imageopt.FormatPNG, imageopt.FormatGIF, imageopt.FormatWebP, imageopt.FormatBMP, imageopt.FormatTIFF,
	}})
	deep := image.NewNRGBA64(image.Rect(0, 0, 450, 300))
	for i := range deep.Pix {
		deep.Pix[i] = byte(i * i >> 3)
	}
	jpg, opaque, alpha := toJPEG(t, noise(600, 450, true), 95), toPNG(t, noise(600, 450, true)), toPNG(t, noise(400, 300, false))
	allScans, _ := process(t, o, toPNG(t, noise(1600, 1200, true)), imageopt.Spec{Format: imageopt.FormatJPEG, Quality: 85})
	type spec = imageopt.Spec
	for _, tc := range []struct {
		name string
		src  []byte
		spec spec
	}{
		{"progressive JPEG, 3 MP", progressive420(2000, 1500), spec{}},
		{"progressive JPEG, 3 MP to 400 px", progressive420(2000, 1500), spec{Width: 400}},
		{"progressive JPEG, all scans", allScans, spec{Format: imageopt.FormatJPEG}},
		{"progressive JPEG, all scans, to 1/2", allScans, spec{Width: 500}},
		{"progressive JPEG, all scans, to 1/4", allScans, spec{Width: 250}},
		{"progressive JPEG, all scans, to 1/8", allScans, spec{Width: 200}},
		{"progressive JPEG on its side", withEXIF(progressive420(1600, 1200), 6), spec{Format: imageopt.FormatJPEG}},
		{"JPEG in RGB, subsampled", append(segment([]byte{0xff, 0xd8}, 0xee, []byte("Adobe\x00\x64\x00\x00\x00\x00\x00")...), jpg[2:]...), spec{Width: 50}},
		{"JPEG of noise", jpg, spec{Quality: 100}},
		{"JPEG of noise to PNG", jpg, spec{Format: imageopt.FormatPNG}},
		{"JPEG of noise, padded", jpg, spec{Width: 900, Height: 900, Fit: imageopt.FitContain, Background: color.Black}},
		{"JPEG of noise on its side to WebP", withEXIF(jpg, 5), spec{Format: imageopt.FormatWebP}},
		{"JPEG of noise to GIF", jpg, spec{Format: imageopt.FormatGIF}},
		{"PNG of noise", opaque, spec{}},
		{"PNG of noise to 400 px", opaque, spec{Width: 400}},
		{"PNG with alpha", alpha, spec{Format: imageopt.FormatPNG}},
		{"PNG with alpha to GIF", alpha, spec{Format: imageopt.FormatGIF}},
		{"PNG with alpha to JPEG", alpha, spec{Format: imageopt.FormatJPEG, Quality: 100}},
		{"PNG with alpha to WebP", alpha, spec{Format: imageopt.FormatWebP}},
		{"PNG to WebP or PNG", toPNG(t, noise(400, 300, true)), spec{Accept: "image/webp,image/png"}},
		{"PNG of 16 bits", toPNG(t, deep), spec{Width: 400}},
		{"PNG enlarged", toPNG(t, noise(300, 200, false)), spec{Width: 900, AllowUpscale: true, Filter: imageopt.FilterLanczos}},
		{"PNG of one row", toPNG(t, noise(150_000, 1, true)), spec{Width: 200}},
		{"PNG of one row with alpha", toPNG(t, noise(150_000, 1, false)), spec{Width: 200}},
		{"PNG of one column with alpha", toPNG(t, noise(1, 150_000, false)), spec{Height: 200}},
		{"WebP of noise", toWebP(t, noise(400, 300, true)), spec{Width: 300}},
		{"WebP with alpha", toWebP(t, noise(400, 300, false)), spec{Width: 300}},
		{"BMP", toBMP(t, noise(400, 300, true)), spec{Width: 300}},
		{"TIFF", toTIFF(t, noise(400, 300, false), false), spec{Width: 300}},
		{"TIFF, deflated", toTIFF(t, noise(400, 300, false), true), spec{Width: 300}},
		{"GIF of 12 frames", noiseGIF(t, 300, 225, 12), spec{}},
		{"GIF of 12 frames to 100 px", noiseGIF(t, 300, 225, 12), spec{Width: 100}},
		{"GIF of 12 frames enlarged", noiseGIF(t, 200, 150, 12), spec{Width: 400, AllowUpscale: true}},
		{"GIF of 12 frames to PNG", noiseGIF(t, 300, 225, 12), spec{Format: imageopt.FormatPNG}},
	} {
		var err error
		w := &booking{o: o}
		start := time.Now()
		used := peak(func() { _, err = o.Process(t.Context(), w, bytes.NewReader(tc.src), tc.spec) })
		if err != nil {
			t.Errorf("%s: %v", tc.name, err)
		}
		t.Logf("%-40s used %6d KiB, booked %6d KiB: %.2f, %v", tc.name, used>>10, w.booked>>10, float64(used)/float64(w.booked), time.Since(start))
		if used > w.booked {
			t.Errorf("%s: %d KiB in use, %d KiB booked", tc.name, used>>10, w.booked>>10)
		}
	}
}

func TestSmallResultsOfProgressiveTakeTheMeans(t *testing.T) {
	o := newOptimizer(t, imageopt.Options{})
	src, _ := process(t, o, toPNG(t, noise(1600, 1200, true)), imageopt.Spec{Format: imageopt.FormatJPEG, Quality: 85})
	booked := func(s imageopt.Spec) int64 {
		w := &booking{o: o}
		if _, err := o.Process(t.Context(), w, bytes.NewReader(src), s); err != nil {
			t.Fatal(err)
		}
		return w.booked
	}
	means, less := booked(imageopt.Spec{Width: 200}), booked(imageopt.Spec{Width: 201})
	if less-means < 1600*1200*3/2/64*16 {
		t.Errorf("200 px of 1600 books %d bytes, 201 px %d; want the coefficients of a quarter more", means, less)
	}
	if fine := booked(imageopt.Spec{Width: 200, Quality: 90}); fine <= means+400_000 {
		t.Errorf("quality 90 books %d bytes, 80 %d; want it to read more than the means", fine, means)
	}
}
