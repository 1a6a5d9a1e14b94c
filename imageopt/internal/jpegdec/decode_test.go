package jpegdec_test

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
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"runtime"
	"testing"

	"github.com/perfblocks/perfblocks/imageopt/internal/jpegdec"
)

// photo makes a picture with edges, gradients and noise.
func photo(w, h int) *image.RGBA {
	rng := rand.New(rand.NewPCG(1, uint64(w*h)))
	m := image.NewRGBA(image.Rect(0, 0, w, h))
	for y := range h {
		for x := range w {
			fx, fy := float64(x)/float64(w), float64(y)/float64(h)
			r, g, b := 128+100*math.Sin(19*fx+3*fy), 255*fy, 128+90*math.Cos(24*fx*fy)
			if math.Hypot(fx-0.4, fy-0.5) < 0.25 {
				r, b = b, r
			}
			n := 26 * rng.Float64()
			m.SetRGBA(x, y, color.RGBA{byte(min(r+n, 255)), byte(min(g+n, 255)), byte(min(b+n, 255)), 255})
		}
	}
	return m
}

func encoded(t testing.TB, m image.Image, q int) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := jpeg.Encode(&b, m, &jpeg.Options{Quality: q}); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func decode(t testing.TB, b []byte, o jpegdec.Options) *jpegdec.Image {
	t.Helper()
	m, err := jpegdec.Decode(t.Context(), b, o)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// pipe runs an external program, and skips the test where it is not installed.
func pipe(t testing.TB, in []byte, name string, args ...string) []byte {
	t.Helper()
	if _, err := exec.LookPath(name); err != nil {
		t.Skipf("%s is not there: install libjpeg-turbo-progs", name)
	}
	c := exec.Command(name, args...)
	c.Stdin = bytes.NewReader(in)
	out, err := c.Output()
	if err != nil {
		t.Fatalf("%s %v: %v", name, args, err)
	}
	return out
}

// ppm is a picture for cjpeg.
func ppm(m *image.RGBA) []byte {
	out := fmt.Appendf(nil, "P6 %d %d 255\n", m.Rect.Dx(), m.Rect.Dy())
	for i := 0; i < len(m.Pix); i += 4 {
		out = append(out, m.Pix[i:i+3]...)
	}
	return out
}

// pnm reads what djpeg writes.
func pnm(t testing.TB, b []byte) (w, h, ch int, pix []byte) {
	t.Helper()
	var magic byte
	var most int
	n, err := fmt.Sscanf(string(b[:min(len(b), 40)]), "P%c\n%d %d\n%d\n", &magic, &w, &h, &most)
	if err != nil || n != 4 {
		t.Fatalf("no PNM: %q", b[:min(len(b), 20)])
	}
	ch = 3
	if magic == '5' {
		ch = 1
	}
	return w, h, ch, b[len(b)-w*h*ch:]
}

// asset returns the files of the folder of pictures, which is too large to ship.
func assets(t testing.TB, pattern string) []string {
	t.Helper()
	dir := os.Getenv("PERF_ASSETS")
	if dir == "" {
		dir = filepath.Join("..", "..", "..", "..", "shared", "assets", "images")
	}
	names, _ := filepath.Glob(filepath.Join(dir, pattern))
	if len(names) == 0 {
		t.Skip("set PERF_ASSETS to the folder of test pictures")
	}
	return names
}

func read(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// compareStd decodes b by image/jpeg as well, and wants the planes to differ by no
// more than the rounding of two transforms.
func compareStd(t *testing.T, name string, b []byte) {
	t.Helper()
	std, err := jpeg.Decode(bytes.NewReader(b))
	if err != nil {
		t.Errorf("%s: image/jpeg: %v", name, err)
		return
	}
	got, err := jpegdec.Decode(t.Context(), b, jpegdec.Options{})
	if err != nil {
		t.Errorf("%s: %v", name, err)
		return
	}
	switch m := std.(type) {
	case *image.Gray:
		near(t, name+" gray", got.Planes[0], m.Pix, m.Stride, m.Rect.Dx(), m.Rect.Dy())
	case *image.YCbCr:
		w, h := m.Rect.Dx(), m.Rect.Dy()
		near(t, name+" Y", got.Planes[0], m.Y, m.YStride, w, h)
		cw, ch := got.Planes[1].W, got.Planes[1].H
		near(t, name+" Cb", got.Planes[1], m.Cb, m.CStride, cw, ch)
		near(t, name+" Cr", got.Planes[2], m.Cr, m.CStride, cw, ch)
	case *image.RGBA, *image.CMYK:
		if len(got.Planes) < 3 || got.Colour == jpegdec.YCbCr {
			t.Errorf("%s: colour %v with %d planes; want that of %T", name, got.Colour, len(got.Planes), std)
		}
	}
}

func near(t *testing.T, name string, p jpegdec.Plane, pix []byte, stride, w, h int) {
	t.Helper()
	if p.W != w || p.H != h {
		t.Errorf("%s: plane is %d × %d; want %d × %d", name, p.W, p.H, w, h)
		return
	}
	off, far := 0, 0
	for y := range h {
		for x := range w {
			switch d := int(p.Pix[y*p.Stride+x]) - int(pix[y*stride+x]); {
			case d > 1 || d < -1:
				far++
			case d != 0:
				off++
			}
		}
	}
	if far > 0 || off*20 > w*h+40 {
		t.Errorf("%s: of %d samples %d are off by one, %d by more", name, w*h, off, far)
	}
}

func TestAgainstStd(t *testing.T) {
	for _, size := range [][2]int{{1, 1}, {7, 9}, {8, 8}, {16, 16}, {17, 33}, {100, 63}, {161, 90}} {
		for _, q := range []int{10, 50, 80, 95, 100} {
			m := photo(size[0], size[1])
			compareStd(t, fmt.Sprint(size, q), encoded(t, m, q))
			g := image.NewGray(m.Rect)
			for i := range g.Pix {
				g.Pix[i] = m.Pix[4*i]
			}
			compareStd(t, fmt.Sprint("gray ", size, q), encoded(t, g, q))
		}
	}
}

// TestSamplings has cjpeg write what image/jpeg cannot. A progressive file holds the
// same coefficients as its sequential twin; image/jpeg fails on those with restart
// markers, since it counts blocks of the padding.
func TestSamplings(t *testing.T) {
	for _, size := range [][2]int{{1, 1}, {33, 17}, {211, 149}} {
		src := ppm(photo(size[0], size[1]))
		for _, sample := range []string{"1x1", "2x1", "1x2", "2x2", "4x1", "4x2"} {
			for _, more := range [][]string{nil, {"-progressive"}, {"-restart", "1"}, {"-restart", "3B"}, {"-optimize"}} {
				args := append([]string{"-quality", "85", "-sample", sample}, more...)
				compareStd(t, fmt.Sprint(size, args), pipe(t, src, "cjpeg", args...))
			}
			args := []string{"-quality", "85", "-sample", sample}
			for _, scale := range []int{1, 2, 4, 8} {
				a := decode(t, pipe(t, src, "cjpeg", args...), jpegdec.Options{Scale: scale})
				b := decode(t, pipe(t, src, "cjpeg", append(args, "-progressive", "-restart", "2B")...), jpegdec.Options{Scale: scale})
				if !reflect.DeepEqual(inside(a), inside(b)) {
					t.Errorf("%v %s 1/%d: a progressive twin with restart markers differs", size, sample, scale)
				}
			}
		}
	}
}

func TestPhotosAgainstStd(t *testing.T) {
	for _, name := range append(assets(t, "photos/jpegn-*.jpg"), assets(t, "exif/*.jpg")...) {
		compareStd(t, filepath.Base(name), read(t, name))
	}
	if testing.Short() || raceEnabled {
		return
	}
	for _, name := range assets(t, "photos/jon*-unsplash.jpg") {
		compareStd(t, filepath.Base(name), read(t, name))
	}
}

// inside returns the samples without the padding of the blocks.
func inside(m *jpegdec.Image) (rows [][]byte) {
	for _, p := range m.Planes {
		for y := range p.H {
			rows = append(rows, p.Pix[y*p.Stride:][:p.W])
		}
	}
	return rows
}

// psnr compares luma.
func psnr(p jpegdec.Plane, pix []byte, w, h int) float64 {
	sum := 0.0
	for y := range h {
		for x := range w {
			d := float64(p.Pix[y*p.Stride+x]) - float64(pix[y*w+x])
			sum += d * d
		}
	}
	return 10 * math.Log10(255*255/max(sum/float64(w*h), 1e-9))
}

// TestScales compares reduced luma with that of djpeg, which averages all of the
// frequencies where we leave out those that would alias.
func TestScales(t *testing.T) {
	files := map[string][]byte{}
	for _, size := range [][2]int{{200, 150}, {333, 222}} {
		src := ppm(photo(size[0], size[1]))
		for _, args := range [][]string{{}, {"-sample", "1x1"}, {"-sample", "2x1"}, {"-progressive"}, {"-sample", "4x2", "-restart", "1"}} {
			files[fmt.Sprint(size, args)] = pipe(t, src, "cjpeg", append(args, "-quality", "90")...)
		}
	}
	for _, name := range assets(t, "photos/jpegn-4*.jpg") {
		files[filepath.Base(name)] = read(t, name)
	}
	for name, b := range files {
		for _, scale := range []int{2, 4, 8} {
			w, h, _, pix := pnm(t, pipe(t, b, "djpeg", "-grayscale", "-scale", fmt.Sprintf("1/%d", scale)))
			got := decode(t, b, jpegdec.Options{Scale: scale}).Planes[0]
			if got.W != w || got.H != h {
				t.Errorf("%s 1/%d: %d × %d; djpeg has %d × %d", name, scale, got.W, got.H, w, h)
				continue
			}
			db := psnr(got, pix, w, h)
			if want := map[int]float64{2: 36, 4: 36, 8: 60}[scale]; db < want {
				t.Errorf("%s 1/%d: %.1f dB to djpeg; want %.0f", name, scale, db, want)
			}
			t.Logf("%s 1/%d: %.1f dB", name, scale, db)
		}
	}
}

func TestCancelled(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := jpegdec.Decode(ctx, encoded(t, photo(90, 90), 80), jpegdec.Options{Partial: true}); !errors.Is(err, context.Canceled) {
		t.Errorf("Decode = %v; want Canceled", err)
	}
}

// TestProgressiveKeepsWhatTheScaleNeeds: refinements reach over all coefficients, but
// those behind the scale's need but a bit each.
func TestProgressiveKeepsWhatTheScaleNeeds(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates too")
	}
	b := pipe(t, ppm(photo(1024, 768)), "cjpeg", "-quality", "85", "-progressive")
	for scale, most := range map[int]uint64{2: 2 << 20, 4: 800 << 10, 8: 250 << 10} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		decode(t, b, jpegdec.Options{Scale: scale})
		runtime.ReadMemStats(&after)
		if n := after.TotalAlloc - before.TotalAlloc; n > most {
			t.Errorf("1/%d: %d bytes allocated; want at most %d", scale, n, most)
		}
	}
}

// TestColours: what libjpeg makes of the markers.
func TestColours(t *testing.T) {
	const jfif, jfxx = "\xff\xe0\x00\x10JFIF\x00\x01\x01\x00\x00\x01\x00\x01\x00\x00", "\xff\xe0\x00\x08JFXX\x00\x13"
	adobe := func(transform string) string { return "\xff\xee\x00\x0eAdobe\x00\x64\x00\x00\x00\x00" + transform }
	file := encoded(t, photo(16, 16), 80)
	for _, tc := range []struct {
		name, markers, ids string
		want               jpegdec.Colour
	}{
		{"no marker", "", "\x01\x02\x03", jpegdec.YCbCr},
		{"names", "", "RGB", jpegdec.RGB},
		{"JFIF and names", jfif, "RGB", jpegdec.YCbCr},
		{"Adobe, RGB", adobe("\x00"), "\x01\x02\x03", jpegdec.RGB},
		{"Adobe, YCbCr and names", adobe("\x01"), "RGB", jpegdec.YCbCr},
		{"JFIF with a thumbnail, Adobe", jfif + jfxx + adobe("\x00"), "\x01\x02\x03", jpegdec.YCbCr},
	} {
		b := append([]byte("\xff\xd8"+tc.markers), file[2:]...)
		sof := bytes.Index(b, []byte("\xff\xc0"))
		sos := bytes.Index(b, []byte("\xff\xda"))
		for i := range 3 {
			b[sof+10+3*i], b[sos+5+2*i] = tc.ids[i], tc.ids[i]
		}
		if got := decode(t, b, jpegdec.Options{}).Colour; got != tc.want {
			t.Errorf("%s: colour %d; want %d", tc.name, got, tc.want)
		}
	}
}

// TestTruncatedAnywhere cuts files off at each byte: that is what the error says, and
// with Partial the picture has its size.
func TestTruncatedAnywhere(t *testing.T) {
	files := [][]byte{encoded(t, photo(50, 40), 80)}
	for _, b := range seeds {
		files = append(files, []byte(b))
	}
	for i, b := range files {
		first := bytes.Index(b, []byte("\xff\xda"))
		begun := first + 2 + int(b[first+2])<<8 + int(b[first+3])
		for n := range len(b) - 1 {
			_, err := jpegdec.Decode(t.Context(), b[:n], jpegdec.Options{})
			if n >= 2 && !errors.Is(err, jpegdec.ErrTruncated) {
				t.Errorf("file %d cut off at %d of %d: %v; want ErrTruncated", i, n, len(b), err)
			}
			part, err := jpegdec.Decode(t.Context(), b[:n], jpegdec.Options{Partial: true})
			if n >= begun && (err != nil || part.Damage == nil) {
				t.Errorf("file %d cut off at %d of %d with Partial: %v; want a damaged picture", i, n, len(b), err)
			}
		}
	}
}
