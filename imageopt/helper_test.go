package imageopt_test

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"image"
	"image/color"
	"image/gif"
	"image/jpeg"
	"image/png"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/perfblocks/perfblocks/imageopt"
	"golang.org/x/image/webp"
)

// asset returns the path of a file that is too large to ship.
func asset(t testing.TB, elem ...string) string {
	t.Helper()
	dir := os.Getenv("PERF_ASSETS")
	if dir == "" {
		dir = filepath.Join("..", "..", "shared", "assets", "images")
	}
	p := filepath.Join(append([]string{dir}, elem...)...)
	if _, err := os.Stat(p); err != nil {
		t.Skipf("picture %s is not there: set PERF_ASSETS to the folder of test pictures", filepath.Join(elem...))
	}
	return p
}

func readFile(t testing.TB, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func newOptimizer(t testing.TB, o imageopt.Options) *imageopt.Optimizer {
	t.Helper()
	opt, err := imageopt.New(o)
	if err != nil {
		t.Fatal(err)
	}
	return opt
}

func process(t testing.TB, o *imageopt.Optimizer, src []byte, s imageopt.Spec) ([]byte, imageopt.Result) {
	t.Helper()
	var b bytes.Buffer
	res, err := o.Process(t.Context(), &b, bytes.NewReader(src), s)
	if err != nil {
		t.Fatalf("Process(%+v): %v", s, err)
	}
	if int64(b.Len()) != res.Bytes || imageopt.Sniff(b.Bytes()) != res.Format {
		t.Fatalf("Process wrote %d bytes of %v; Result says %d of %v", b.Len(), imageopt.Sniff(b.Bytes()), res.Bytes, res.Format)
	}
	return b.Bytes(), res
}

// decode decodes by the format's own decoder, without this package.
func decode(t testing.TB, b []byte) image.Image {
	t.Helper()
	var m image.Image
	var err error
	switch f := imageopt.Sniff(b); f {
	case imageopt.FormatJPEG:
		m, err = jpeg.Decode(bytes.NewReader(b))
	case imageopt.FormatPNG:
		m, err = png.Decode(bytes.NewReader(b))
	case imageopt.FormatGIF:
		m, err = gif.Decode(bytes.NewReader(b))
	case imageopt.FormatWebP:
		m, err = webp.Decode(bytes.NewReader(b))
	default:
		t.Fatalf("cannot decode %v", f)
	}
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// photo makes a picture with edges, gradients and some noise.
func photo(w, h int) *image.NRGBA {
	rng := rand.New(rand.NewPCG(1, uint64(w*h)))
	m := image.NewNRGBA(image.Rect(0, 0, w, h))
	for y := range h {
		for x := range w {
			fx, fy := float64(x)/float64(w), float64(y)/float64(h)
			r := 128 + 100*math.Sin(9*fx+3*fy)
			g := 255 * fy
			b := 128 + 90*math.Cos(14*fx*fy)
			if math.Hypot(fx-0.4, fy-0.5) < 0.25 {
				r, b = b, r
			}
			n := 6 * rng.Float64()
			m.SetNRGBA(x, y, color.NRGBA{byte(r + n), byte(min(g+n, 255)), byte(b + n), 255})
		}
	}
	return m
}

// veil makes a photo with alpha from none to full.
func veil(w, h int) *image.NRGBA {
	m := photo(w, h)
	for i := 0; i < len(m.Pix); i += 4 {
		x, y := i/4%w, i/4/w
		m.Pix[i+3] = byte(255 * (x + y) / (w + h - 2))
		if x < w/4 && y < h/4 {
			m.Pix[i+3] = 0
		}
	}
	return m
}

// drawing makes a picture of few colours.
func drawing(w, h int) *image.NRGBA {
	m := image.NewNRGBA(image.Rect(0, 0, w, h))
	for y := range h {
		for x := range w {
			c := color.NRGBA{240, 240, 250, 255}
			switch {
			case x*2/w == 0 && y*2/h == 1:
				c = color.NRGBA{20, 90, 200, 255}
			case (x/8+y/8)%7 == 0:
				c = color.NRGBA{200, 30, 40, 255}
			}
			m.SetNRGBA(x, y, c)
		}
	}
	return m
}

func toJPEG(t testing.TB, m image.Image, q int) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := jpeg.Encode(&b, m, &jpeg.Options{Quality: q}); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func toPNG(t testing.TB, m image.Image) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := png.Encode(&b, m); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// withEXIF puts an EXIF segment with an orientation and a GPS block into a JPEG.
func withEXIF(jpg []byte, orientation int) []byte {
	e := []byte("Exif\x00\x00MM\x00*\x00\x00\x00\x08\x00\x02")
	e = append(e, 0x01, 0x12, 0, 3, 0, 0, 0, 1, 0, byte(orientation), 0, 0)
	e = append(e, 0x88, 0x25, 0, 4, 0, 0, 0, 1, 0, 0, 0, 38) // GPS IFD
	e = append(e, 0, 0, 0, 0, 0, 0)
	e = append(e, "GPSLatitude 10.762622"...)
	out := append([]byte{}, jpg[:2]...)
	out = append(out, 0xff, 0xe1, byte((len(e)+2)>>8), byte(len(e)+2))
	out = append(out, e...)
	return append(out, jpg[2:]...)
}

// withChunk puts a chunk behind a PNG's header.
func withChunk(p []byte, typ string, data []byte) []byte {
	c := binary.BigEndian.AppendUint32(nil, uint32(len(data)))
	c = append(c, typ...)
	c = append(c, data...)
	c = binary.BigEndian.AppendUint32(c, crc32.ChecksumIEEE(c[4:]))
	const head = 8 + 25
	out := append([]byte{}, p[:head]...)
	return append(append(out, c...), p[head:]...)
}

// orient stores an upright picture so that orientation o shows it upright again.
func orient(m *image.NRGBA, o int) *image.NRGBA {
	w, h := m.Rect.Dx(), m.Rect.Dy()
	sw, sh := w, h
	if o >= 5 {
		sw, sh = h, w
	}
	out := image.NewNRGBA(image.Rect(0, 0, sw, sh))
	for y := range h {
		for x := range w {
			sx, sy := x, y
			switch o {
			case 2:
				sx = w - 1 - x
			case 3:
				sx, sy = w-1-x, h-1-y
			case 4:
				sy = h - 1 - y
			case 5:
				sx, sy = y, x
			case 6:
				sx, sy = y, w-1-x
			case 7:
				sx, sy = h-1-y, w-1-x
			case 8:
				sx, sy = h-1-y, x
			}
			out.SetNRGBA(sx, sy, m.NRGBAAt(x, y))
		}
	}
	return out
}

// diff compares two pictures of one size, premultiplied, in steps of 255.
func diff(t testing.TB, a, b image.Image) (mean float64, most int) {
	t.Helper()
	if a.Bounds().Size() != b.Bounds().Size() {
		t.Fatalf("sizes differ: %v and %v", a.Bounds(), b.Bounds())
	}
	sum, n := 0, 0
	for y := range a.Bounds().Dy() {
		for x := range a.Bounds().Dx() {
			p := rgba(a.At(a.Bounds().Min.X+x, a.Bounds().Min.Y+y))
			q := rgba(b.At(b.Bounds().Min.X+x, b.Bounds().Min.Y+y))
			for i := range p {
				d := p[i] - q[i]
				if d < 0 {
					d = -d
				}
				sum, n, most = sum+d, n+1, max(most, d)
			}
		}
	}
	return float64(sum) / float64(n), most
}

func rgba(c color.Color) [4]int {
	r, g, b, a := c.RGBA()
	return [4]int{int(r >> 8), int(g >> 8), int(b >> 8), int(a >> 8)}
}
