package imageopt_test

import (
	"bytes"
	"compress/lzw"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"testing"

	"github.com/perfblocks/perfblocks/imageopt"
)

// segment appends a JPEG segment.
func segment(b []byte, marker byte, data ...byte) []byte {
	b = append(b, 0xff, marker, byte((len(data)+2)>>8), byte(len(data)+2))
	return append(b, data...)
}

// progressive makes a gray progressive JPEG of one tone in so many scans. All but the
// first refine nothing and take a few bytes for each 32767 blocks, however large
// the picture.
func progressive(w, h, scans int) []byte {
	b := []byte{0xff, 0xd8}
	b = segment(b, 0xdb, append([]byte{0}, bytes.Repeat([]byte{1}, 64)...)...)
	b = segment(b, 0xc2, 8, byte(h>>8), byte(h), byte(w>>8), byte(w), 1, 1, 0x11, 0)
	one := append([]byte{1}, make([]byte, 15)...) // one code of one bit
	b = segment(b, 0xc4, append(append([]byte{0x00}, one...), 0x00)...)
	b = segment(b, 0xc4, append(append([]byte{0x10}, one...), 0xe0)...) // a run of 2¹⁴ and 14 bits more
	blocks := ((w + 7) / 8) * ((h + 7) / 8)
	b = segment(b, 0xda, 1, 1, 0, 0, 0, 0)
	b = append(b, make([]byte, (blocks+7)/8)...)
	var run bits
	for range (blocks + 32766) / 32767 {
		run.put(0, 1)
		run.put(1<<14-1, 14)
	}
	run.put(0x7f, 7) // the rest of the last byte
	for range scans - 1 {
		b = segment(b, 0xda, 1, 1, 0, 1, 63, 0)
		b = append(b, run.out...)
	}
	return append(b, 0xff, 0xd9)
}

// bits writes numbers from the highest bit on and stuffs a zero behind each 0xff.
type bits struct {
	out []byte
	acc uint32
	n   int
}

func (b *bits) put(v uint32, n int) {
	b.acc, b.n = b.acc<<n|v, b.n+n
	for ; b.n >= 8; b.n -= 8 {
		c := byte(b.acc >> (b.n - 8))
		if b.out = append(b.out, c); c == 0xff {
			b.out = append(b.out, 0)
		}
	}
}

func TestProgressiveScans(t *testing.T) {
	o := newOptimizer(t, imageopt.Options{})
	if _, err := o.Process(t.Context(), io.Discard, bytes.NewReader(progressive(200, 100, 40)), imageopt.Spec{}); err != nil {
		t.Errorf("40 scans: %v", err)
	}
	// Left alone, the decoder would work on this for hours.
	src := progressive(8000, 8000, 20_000)
	for name, f := range map[string]func() error{
		"Process": func() error {
			_, err := o.Process(t.Context(), io.Discard, bytes.NewReader(src), imageopt.Spec{Width: 100})
			return err
		},
		"Placeholder": func() error {
			_, err := o.Placeholder(t.Context(), src, imageopt.PlaceholderColor)
			return err
		},
	} {
		var err error
		n := allocated(func() { err = f() })
		le, ok := errors.AsType[*imageopt.LimitError](err)
		if !ok || le.Limit != "scans" || le.Got <= le.Max || n > 4*int64(len(src)) {
			t.Errorf("%s of 20000 scans: %v after %d bytes; want the scans limit", name, err, n)
		}
	}
}

// A segment behind the picture can turn YCbCr into RGB, for which the decoder makes a
// copy of four bytes for each pixel.
func TestJPEGChangesItsColours(t *testing.T) {
	o := newOptimizer(t, imageopt.Options{})
	src := toJPEG(t, photo(64, 64), 80)
	src = src[:len(src)-2]
	src = segment(src, 0xe0, 'x', 'x', 'x', 'x', 'x')
	src = segment(src, 0xee, 'A', 'd', 'o', 'b', 'e', 0, 100, 0, 0, 0, 0, 0)
	src = append(src, 0xff, 0xd9)
	if _, err := o.Process(t.Context(), io.Discard, bytes.NewReader(src), imageopt.Spec{Width: 32}); !errors.Is(err, imageopt.ErrCorrupt) {
		t.Errorf("colours that change behind the picture: %v; want ErrCorrupt", err)
	}
}

func TestMarkers(t *testing.T) {
	o := newOptimizer(t, imageopt.Options{})
	jpg := toJPEG(t, photo(64, 48), 80)
	sos := bytes.Index(jpg, []byte{0xff, 0xda})
	var rst, fill []byte
	for i := range 65535 {
		rst = append(rst, 0xff, byte(0xd0+i%8))
	}
	fill = bytes.Repeat([]byte{0xff}, 1<<20)
	for name, src := range map[string][]byte{
		"restart markers before the scan": append(append(bytes.Clone(jpg[:sos]), rst...), jpg[sos:]...),
		"restart markers after the scan":  append(append(bytes.Clone(jpg[:len(jpg)-2]), rst...), jpg[len(jpg)-2:]...),
		"fill bytes":                      append(append(bytes.Clone(jpg[:sos]), fill...), jpg[sos:]...),
		"profile in 255 parts":            append(append(bytes.Clone(jpg[:2]), manyProfiles()...), jpg[2:]...),
	} {
		if _, err := o.Process(t.Context(), io.Discard, bytes.NewReader(src), imageopt.Spec{Width: 20}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func manyProfiles() (b []byte) {
	part := make([]byte, 65000)
	for i := range 255 {
		b = segment(b, 0xe2, append([]byte("ICC_PROFILE\x00"+string([]byte{byte(i + 1), 255})), part...)...)
	}
	return b
}

func TestEXIFLoops(t *testing.T) {
	o := newOptimizer(t, imageopt.Options{})
	jpg := toJPEG(t, photo(24, 12), 80)
	for name, tiff := range map[string]string{
		"ifd points at itself":  "II*\x00\x08\x00\x00\x00\x01\x00\x69\x87\x04\x00\x01\x00\x00\x00\x08\x00\x00\x00\x08\x00\x00\x00",
		"offset past the end":   "MM\x00*\xff\xff\xff\xff",
		"offset -2":             "II*\x00\xfe\xff\xff\xff\x00\x00",
		"offset 0":              "II*\x00\x00\x00\x00\x00\x00\x00",
		"65535 entries":         "MM\x00*\x00\x00\x00\x08\xff\xff",
		"count of 2³²":          "MM\x00*\x00\x00\x00\x08\x00\x01\x01\x12\x00\x03\xff\xff\xff\xff\xff\xff\xff\xff",
		"orientation as a byte": "MM\x00*\x00\x00\x00\x08\x00\x01\x01\x12\x00\x01\x00\x00\x00\x01\x06\x00\x00\x00",
	} {
		src := append(segment([]byte{0xff, 0xd8}, 0xe1, append([]byte("Exif\x00\x00"), tiff...)...), jpg[2:]...)
		_, res := process(t, o, src, imageopt.Spec{})
		if res.Source.Orientation != 1 || res.Width != 24 {
			t.Errorf("%s: orientation %d, width %d; want 1 and 24", name, res.Source.Orientation, res.Width)
		}
	}
}

// frame appends a GIF frame of zeros that fills w × h.
func frame(t testing.TB, b []byte, w, h int) []byte {
	t.Helper()
	b = append(b, 0x2c, 0, 0, 0, 0, byte(w), byte(w>>8), byte(h), byte(h>>8), 0, 2)
	var z bytes.Buffer
	e := lzw.NewWriter(&z, lzw.LSB, 2)
	if _, err := e.Write(make([]byte, w*h)); err != nil {
		t.Fatal(err)
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	for z.Len() > 0 {
		p := z.Next(255)
		b = append(append(b, byte(len(p))), p...)
	}
	return append(b, 0)
}

// The decoder takes the first block of a text extension to have twelve bytes,
// whatever its length says, and would find frames behind them that nobody counted.
func TestGIFHiddenFrames(t *testing.T) {
	const side = 2000
	b := gifOf(side, side, 0)
	b = b[:len(b)-1]
	b = frame(t, frame(t, b, side, side), side, side)
	b = append(b, 0x21, 0x01)
	// 255 bytes by the length, of which the decoder skips twelve.
	hidden := frame(t, make([]byte, 13), side, side)
	b = append(append(b, 255), hidden[:255]...)
	b = append(b, 0, 0x3b)
	o := newOptimizer(t, imageopt.Options{})
	var err error
	n := allocated(func() { _, err = o.Process(t.Context(), io.Discard, bytes.NewReader(b), imageopt.Spec{Width: 50}) })
	if !errors.Is(err, imageopt.ErrCorrupt) || n > 1<<20 {
		t.Errorf("frames hidden in an extension: %v after %d bytes; want ErrCorrupt before 1 MiB", err, n)
	}
}

func TestGIFTextExtension(t *testing.T) {
	b := gifOf(30, 20, 0)
	b = frame(t, b[:len(b)-1], 30, 20)
	b = append(b, 0x21, 0x01, 12)
	b = append(append(b, make([]byte, 12)...), 2, 'h', 'i', 0)
	b = append(frame(t, b, 30, 20), 0x3b)
	o := newOptimizer(t, imageopt.Options{})
	if _, res := process(t, o, b, imageopt.Spec{}); res.Frames != 2 {
		t.Errorf("%d frames around a text; want 2", res.Frames)
	}
}

// riff makes a WebP of chunks, given as name and data by turns.
func riff(chunks ...string) []byte {
	b := []byte("RIFF\x00\x00\x00\x00WEBP")
	for i := 0; i < len(chunks); i += 2 {
		b = append(b, chunks[i]...)
		b = binary.LittleEndian.AppendUint32(b, uint32(len(chunks[i+1])))
		if b = append(b, chunks[i+1]...); len(b)&1 != 0 {
			b = append(b, 0)
		}
	}
	binary.LittleEndian.PutUint32(b[4:], uint32(len(b)-8))
	return b
}

func vp8x(flags byte, w, h int) string {
	return string([]byte{flags, 0, 0, 0, byte(w - 1), byte((w - 1) >> 8), byte((w - 1) >> 16), byte(h - 1), byte((h - 1) >> 8), byte((h - 1) >> 16)})
}

func TestWebPLies(t *testing.T) {
	o := newOptimizer(t, imageopt.Options{})
	lossless := string(webpOf(3000, 3000)[20:])
	lossy := "\x10\x00\x00\x9d\x01\x2a\xb8\x0b\xb8\x0b"
	for name, tc := range map[string]struct {
		src  []byte
		want error
	}{
		"canvas smaller than its picture": {riff("VP8X", vp8x(0, 10, 10), "VP8L", lossless), imageopt.ErrCorrupt},
		"canvas larger than its picture":  {riff("VP8X", vp8x(0, 1<<24, 1<<24), "VP8L", lossless), imageopt.ErrTooLarge},
		"frames without a canvas":         {riff("ANMF", lossless), imageopt.ErrCorrupt},
		"only a canvas":                   {riff("VP8X", vp8x(0, 10, 10)), imageopt.ErrTruncated},
		"nothing":                         {riff(), imageopt.ErrTruncated},
		"alpha announced, not there":      {riff("VP8X", vp8x(0x10, 3000, 3000), "VP8 ", lossy), imageopt.ErrCorrupt},
		"two canvases":                    {riff("VP8X", vp8x(0, 10, 10), "VP8X", vp8x(0, 3000, 3000), "VP8L", lossless), imageopt.ErrCorrupt},
	} {
		_, err := o.Process(t.Context(), io.Discard, bytes.NewReader(tc.src), imageopt.Spec{Width: 5})
		if !errors.Is(err, tc.want) {
			t.Errorf("%s: %v; want %v", name, err, tc.want)
		}
		if i, err := o.Inspect(bytes.NewReader(tc.src)); err == nil && (i.Width == 0 || i.Height == 0) {
			t.Errorf("%s: Inspect = %+v", name, i)
		}
	}
	// A second picture, which no decoder reads, says nothing about the first one.
	two := riff("VP8X", vp8x(8, 3000, 3000), "VP8L", lossless, "VP8 ", lossy, "EXIF", "")
	if i, err := o.Inspect(bytes.NewReader(two)); err != nil || i.Lossy {
		t.Errorf("Inspect of two pictures = %+v, %v; want the first, lossless one", i, err)
	}
}

func TestPNGAncillaryBombs(t *testing.T) {
	o := newOptimizer(t, imageopt.Options{})
	src := withICC(t, toPNG(t, photo(32, 24)), make([]byte, 16<<20))
	i := bytes.Index(src, []byte("iCCP"))
	for _, typ := range []string{"iCCP", "zTXt", "iTXt"} {
		b := bytes.Clone(src)
		n := int(binary.BigEndian.Uint32(b[i-4:]))
		chunk := bytes.Clone(b[i+4 : i+4+n])
		b = withChunk(append(bytes.Clone(b[:i-4]), b[i+8+n:]...), typ, chunk)
		var err error
		n2 := allocated(func() { _, err = o.Process(t.Context(), io.Discard, bytes.NewReader(b), imageopt.Spec{Width: 10}) })
		if err != nil || n2 > 6<<20 {
			t.Errorf("16 MB deflated in %s: %v after %d bytes", typ, err, n2)
		}
	}
}

func TestCancelledBetweenScans(t *testing.T) {
	o := newOptimizer(t, imageopt.Options{})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := o.Process(ctx, io.Discard, bytes.NewReader(progressive(1000, 1000, 50)), imageopt.Spec{Width: 10}); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v; want Canceled", err)
	}
}
