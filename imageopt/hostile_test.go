package imageopt_test

import (
	"archive/zip"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
	"math"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/perfblocks/perfblocks/imageopt"
)

// allocated returns the bytes that f allocates on this goroutine and others.
func allocated(f func()) int64 {
	var a, b runtime.MemStats
	runtime.ReadMemStats(&a)
	f()
	runtime.ReadMemStats(&b)
	return int64(b.TotalAlloc - a.TotalAlloc)
}

// jpegOf claims a size in the header of a small JPEG.
func jpegOf(t testing.TB, w, h int) []byte {
	b := toJPEG(t, photo(16, 16), 80)
	i := bytes.Index(b, []byte{0xff, 0xc0})
	binary.BigEndian.PutUint16(b[i+5:], uint16(h))
	binary.BigEndian.PutUint16(b[i+7:], uint16(w))
	return b
}

// pngOf claims a size in the header of a small PNG.
func pngOf(t testing.TB, w, h int) []byte {
	b := toPNG(t, photo(16, 16))
	binary.BigEndian.PutUint32(b[16:], uint32(w))
	binary.BigEndian.PutUint32(b[20:], uint32(h))
	binary.BigEndian.PutUint32(b[29:], crc32.ChecksumIEEE(b[12:29]))
	return b
}

// gifOf has n frames that fill a canvas and hold no data.
func gifOf(w, h, n int) []byte {
	b := []byte("GIF89a")
	b = binary.LittleEndian.AppendUint16(b, uint16(w))
	b = binary.LittleEndian.AppendUint16(b, uint16(h))
	b = append(b, 0x80, 0, 0, 0, 0, 0, 255, 255, 255)
	for range n {
		b = append(b, 0x2c, 0, 0, 0, 0)
		b = binary.LittleEndian.AppendUint16(b, uint16(w))
		b = binary.LittleEndian.AppendUint16(b, uint16(h))
		b = append(b, 0, 2, 1, 0, 0)
	}
	return append(b, 0x3b)
}

func webpOf(w, h int) []byte {
	d := binary.LittleEndian.AppendUint32([]byte{0x2f}, uint32(w-1)|uint32(h-1)<<14)
	d = append(d, make([]byte, 21)...)
	b := append([]byte("RIFF\x26\x00\x00\x00WEBPVP8L"), byte(len(d)), 0, 0, 0)
	return append(b, d...)
}

func TestLimitsBeforeAllocation(t *testing.T) {
	o := newOptimizer(t, imageopt.Options{})
	small := newOptimizer(t, imageopt.Options{MaxMemory: 8 << 20})
	tiny := newOptimizer(t, imageopt.Options{MaxMemory: 1 << 20}) // a JPEG is reduced as it is decoded
	deflated := withICC(t, pngOf(t, 65536, 65536), make([]byte, 60<<20))
	for _, tc := range []struct {
		name  string
		o     *imageopt.Optimizer
		src   []byte
		limit string
	}{
		{"jpeg", o, jpegOf(t, 20000, 14000), "pixels"},
		{"png", o, pngOf(t, 65536, 65536), "pixels"},
		{"png with a bomb for a profile", o, deflated, "pixels"},
		{"png 2³¹", o, pngOf(t, 1<<31-1, 1<<31-1), "pixels"},
		{"gif", o, gifOf(65535, 65535, 1), "pixels"},
		{"gif frames", o, gifOf(1, 1, 257), "frames"},
		{"gif frames × pixels", o, gifOf(3000, 3000, 100), "frame pixels"},
		{"webp", o, webpOf(16000, 16000), "pixels"},
		{"jpeg memory", tiny, jpegOf(t, 4000, 3000), "memory"},
		{"png memory", small, pngOf(t, 4000, 3000), "memory"},
	} {
		var err error
		n := allocated(func() {
			_, err = tc.o.Process(t.Context(), io.Discard, bytes.NewReader(tc.src), imageopt.Spec{Width: 100})
		})
		le, ok := errors.AsType[*imageopt.LimitError](err)
		if !errors.Is(err, imageopt.ErrTooLarge) || !ok || le.Limit != tc.limit || le.Got <= le.Max {
			t.Errorf("%s: error %v; want ErrTooLarge for %s", tc.name, err, tc.limit)
		}
		if n > 1<<20 {
			t.Errorf("%s: refused after %d bytes were allocated; want < 1 MiB", tc.name, n)
		}
	}
}

func TestGiantJPEG(t *testing.T) {
	src := readFile(t, asset(t, "nasty", "sharp-giant-image.jpg"))
	o := newOptimizer(t, imageopt.Options{})
	for name, r := range map[string]io.Reader{"seeker": bytes.NewReader(src), "stream": io.MultiReader(bytes.NewReader(src))} {
		var err error
		n := allocated(func() { _, err = o.Process(t.Context(), io.Discard, r, imageopt.Spec{Width: 100}) })
		if !errors.Is(err, imageopt.ErrTooLarge) || n > 1<<20 {
			t.Errorf("%s of 20000 × 14000: %v after %d bytes; want ErrTooLarge before 1 MiB", name, err, n)
		}
	}
	if info, err := o.Inspect(bytes.NewReader(src)); err != nil || info.Width != 20000 || info.Height != 14000 {
		t.Errorf("Inspect = %+v, %v; want 20000 × 14000", info, err)
	}
}

// endless is a stream without an end that starts like a JPEG.
type endless struct{ read int64 }

func (e *endless) Read(p []byte) (int, error) {
	clear(p)
	if e.read == 0 {
		copy(p, "\xff\xd8\xff")
	}
	e.read += int64(len(p))
	return len(p), nil
}

func TestLimitBytes(t *testing.T) {
	o := newOptimizer(t, imageopt.Options{Limits: imageopt.Limits{Bytes: 100_000}})
	e := &endless{}
	_, err := o.Process(t.Context(), io.Discard, e, imageopt.Spec{})
	if le, ok := errors.AsType[*imageopt.LimitError](err); !ok || le.Limit != "bytes" || e.read > 100_001 {
		t.Errorf("endless stream: %v after %d bytes; want the bytes limit", err, e.read)
	}
	big := toPNG(t, photo(300, 300))
	if _, err := o.Process(t.Context(), io.Discard, bytes.NewReader(big), imageopt.Spec{}); !errors.Is(err, imageopt.ErrTooLarge) {
		t.Errorf("file over the limit: %v; want ErrTooLarge", err)
	}
	for _, err := range o.Variants(t.Context(), big, make([]imageopt.Spec, 1)) {
		if !errors.Is(err, imageopt.ErrTooLarge) {
			t.Errorf("Variants over the limit: %v; want ErrTooLarge", err)
		}
	}
	exact := newOptimizer(t, imageopt.Options{Limits: imageopt.Limits{Bytes: int64(len(big))}})
	if _, err := exact.Process(t.Context(), io.Discard, io.MultiReader(bytes.NewReader(big)), imageopt.Spec{}); err != nil {
		t.Errorf("file exactly at the limit: %v", err)
	}
}

func TestLimitsAtTheirMost(t *testing.T) {
	o := newOptimizer(t, imageopt.Options{
		Limits:    imageopt.Limits{Bytes: math.MaxInt64, Pixels: math.MaxInt64, FramePixels: math.MaxInt64, Frames: math.MaxInt},
		MaxMemory: math.MaxInt64, MaxQueue: math.MaxInt, MaxWait: math.MaxInt64,
	})
	good := toPNG(t, photo(30, 20))
	for name, r := range map[string]io.Reader{"seeker": bytes.NewReader(good), "stream": io.MultiReader(bytes.NewReader(good))} {
		if _, err := o.Process(t.Context(), io.Discard, r, imageopt.Spec{}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	_, err := o.Process(t.Context(), io.Discard, bytes.NewReader(pngOf(t, 1<<31-1, 1<<31-1)), imageopt.Spec{Width: 10})
	if !errors.Is(err, imageopt.ErrTooLarge) || o.Stats().Memory != 0 {
		t.Errorf("2⁶² pixels without a limit: %v, %d bytes booked; want ErrTooLarge", err, o.Stats().Memory)
	}
}

func TestOutputSide(t *testing.T) {
	o := newOptimizer(t, imageopt.Options{Limits: imageopt.Limits{OutputSide: 100}})
	_, err := o.Process(t.Context(), io.Discard, bytes.NewReader(toPNG(t, photo(200, 20))), imageopt.Spec{})
	if le, ok := errors.AsType[*imageopt.LimitError](err); !ok || le.Limit != "output side" {
		t.Errorf("result of 200 px = %v; want the output side limit", err)
	}
	_, err = o.Process(t.Context(), io.Discard, bytes.NewReader(toPNG(t, photo(2, 20))), imageopt.Spec{Width: 90, AllowUpscale: true})
	if !errors.Is(err, imageopt.ErrTooLarge) {
		t.Errorf("result of 90 × 900 = %v; want ErrTooLarge", err)
	}
}

func TestErrorKinds(t *testing.T) {
	o := newOptimizer(t, imageopt.Options{})
	jpg, pn := toJPEG(t, photo(100, 80), 90), toPNG(t, photo(100, 80))
	bad := bytes.Clone(pn)
	bad[len(bad)/2] ^= 0xff
	twice := append(bytes.Clone(jpg[:2]), jpegOf(t, 50, 50)[2:300]...)
	twice = append(twice, jpg[2:]...)
	for _, tc := range []struct {
		name string
		src  []byte
		want error
	}{
		{"empty", nil, imageopt.ErrTruncated},
		{"text", []byte("hello, world, this is no picture"), imageopt.ErrUnsupported},
		{"svg", []byte("<svg xmlns='http://www.w3.org/2000/svg'/>"), imageopt.ErrUnsupported},
		{"bmp is not allowed", []byte("BM0123456789012345678901234567890"), imageopt.ErrUnsupported},
		{"tiff is not allowed", []byte("II*\x00\x08\x00\x00\x00\x00\x00\x00\x00\x00"), imageopt.ErrUnsupported},
		{"half a jpeg", jpg[:len(jpg)/2], imageopt.ErrTruncated},
		{"half a jpeg header", jpg[:60], imageopt.ErrTruncated},
		{"half a png", pn[:len(pn)/2], imageopt.ErrTruncated},
		{"half a gif", gifOf(10, 10, 2)[:40], imageopt.ErrTruncated},
		{"png with a bad byte", bad, imageopt.ErrCorrupt},
		{"gif without data", gifOf(10, 10, 1), imageopt.ErrCorrupt},
		{"webp without data", webpOf(10, 10), imageopt.ErrCorrupt},
		{"jpeg with two frames", twice, imageopt.ErrCorrupt},
	} {
		_, err := o.Process(t.Context(), io.Discard, bytes.NewReader(tc.src), imageopt.Spec{Width: 5})
		de, ok := errors.AsType[*imageopt.DecodeError](err)
		if !errors.Is(err, tc.want) || !ok || de.Kind != tc.want {
			t.Errorf("%s: %v; want %v", tc.name, err, tc.want)
		}
	}
}

func TestEveryPrefix(t *testing.T) {
	t.Parallel()
	o := newOptimizer(t, imageopt.Options{})
	gif, _ := process(t, o, toPNG(t, drawing(20, 20)), imageopt.Spec{Format: imageopt.FormatGIF})
	for name, src := range map[string][]byte{
		"jpeg": withEXIF(toJPEG(t, photo(20, 12), 60), 6), "png": toPNG(t, drawing(20, 12)), "gif": gif,
		"webp": readFile(t, "testdata/blue-purple-pink.lossy.webp"),
	} {
		for n := 0; n < len(src); n += 1 + len(src)/400 {
			_, err := o.Process(t.Context(), io.Discard, bytes.NewReader(src[:n]), imageopt.Spec{Width: 5})
			if err == nil && n < len(src)-20 || err != nil && !errors.Is(err, imageopt.ErrTruncated) &&
				!errors.Is(err, imageopt.ErrCorrupt) && !errors.Is(err, imageopt.ErrUnsupported) {
				t.Errorf("%s, %d of %d bytes: %v", name, n, len(src), err)
			}
		}
	}
}

func TestNastyFiles(t *testing.T) {
	want := map[string]error{
		"jpegn-corrupted.1.jpg": imageopt.ErrTruncated, "jpegn-corrupted.3.jpg": nil, "jpegn-corrupted.4.jpg": nil,
		"jpegn-corrupted.5.jpg": imageopt.ErrTruncated, "sharp-corrupt-header.jpg": imageopt.ErrTruncated,
		"sharp-giant-image.jpg": imageopt.ErrTooLarge, "sharp-testimgl.jpg": imageopt.ErrUnsupported,
		"sharp-truncated.jpg": imageopt.ErrTruncated, "sharp-truncated.png": imageopt.ErrTruncated,
		"vips-invalid_multiframe.gif": imageopt.ErrCorrupt, "vips-looks-like-svg.webp": nil, "vips-truncated.gif": imageopt.ErrTruncated,
	}
	dir := asset(t, "nasty")
	files, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	o := newOptimizer(t, imageopt.Options{})
	for _, f := range files {
		src := readFile(t, filepath.Join(dir, f.Name()))
		_, err := o.Process(t.Context(), io.Discard, bytes.NewReader(src), imageopt.Spec{Width: 64})
		if w := want[f.Name()]; !errors.Is(err, w) {
			t.Errorf("%s: %v; want %v", f.Name(), err, w)
		}
		for _, s := range []imageopt.Spec{{Format: imageopt.FormatGIF}, {Format: imageopt.FormatPNG, Height: 10}} {
			_, _ = o.Process(t.Context(), io.Discard, bytes.NewReader(src), s) // must not panic
		}
	}
}

func TestPngSuite(t *testing.T) {
	t.Parallel()
	z, err := zip.OpenReader(asset(t, "png", "PngSuite.zip"))
	if err != nil {
		t.Fatal(err)
	}
	defer z.Close()
	valid, invalid := 0, 0
	for _, f := range z.File {
		if path.Ext(f.Name) != ".png" {
			continue
		}
		r, err := f.Open()
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		if pngSuiteFile(t, path.Base(f.Name), b) {
			valid++
		} else {
			invalid++
		}
	}
	if valid != 162 || invalid != 14 {
		t.Errorf("PngSuite: %d valid decode, %d invalid are refused; want 162 and 14", valid, invalid)
	}
}

func TestPngSuiteSample(t *testing.T) {
	files, _ := filepath.Glob("testdata/pngsuite/*.png")
	if len(files) < 20 {
		t.Fatalf("%d files in testdata/pngsuite; want more", len(files))
	}
	for _, f := range files {
		pngSuiteFile(t, filepath.Base(f), readFile(t, f))
	}
}

// pngSuiteFile checks one file of the suite and reports whether it decoded.
func pngSuiteFile(t *testing.T, name string, b []byte) bool {
	t.Helper()
	o := newOptimizer(t, imageopt.Options{})
	var out bytes.Buffer
	_, err := o.Process(t.Context(), &out, bytes.NewReader(b), imageopt.Spec{Format: imageopt.FormatPNG})
	bad := strings.HasPrefix(name, "x")
	switch {
	case bad && !errors.Is(err, imageopt.ErrCorrupt) && !errors.Is(err, imageopt.ErrTruncated) && !errors.Is(err, imageopt.ErrUnsupported):
		t.Errorf("%s: %v; want it refused", name, err)
	case !bad && err != nil:
		t.Errorf("%s: %v", name, err)
	case !bad:
		if mean, most := diff(t, decode(t, out.Bytes()), decode(t, b)); most > 2 {
			t.Errorf("%s: pixels changed by mean %.2f, most %d", name, mean, most)
		}
	}
	return err == nil
}

func TestCancelled(t *testing.T) {
	o := newOptimizer(t, imageopt.Options{})
	src := toPNG(t, photo(300, 200))
	why := errors.New("client went away")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(why)
	check := func(name string, err error) {
		t.Helper()
		if !errors.Is(err, context.Canceled) || !errors.Is(err, why) {
			t.Errorf("%s under a cancelled context: %v; want Canceled and its cause", name, err)
		}
	}
	var b bytes.Buffer
	_, err := o.Process(ctx, &b, bytes.NewReader(src), imageopt.Spec{})
	check("Process", err)
	for _, err := range o.Variants(ctx, src, make([]imageopt.Spec, 2)) {
		check("Variants", err)
	}
	_, err = o.Placeholder(ctx, src, imageopt.PlaceholderColor)
	check("Placeholder", err)
	if b.Len() != 0 || o.Stats().Canceled != 3 || o.Stats().Memory != 0 {
		t.Errorf("after cancelled jobs: %d bytes written, %+v", b.Len(), o.Stats())
	}
	for _, b := range [][]byte{src, toJPEG(t, photo(300, 200), 90)} {
		for _, after := range []int64{1, 2, 3, 5, 20, 100} {
			ctx := &countdown{Context: t.Context(), left: after}
			if _, err := o.Process(ctx, io.Discard, bytes.NewReader(b), imageopt.Spec{Width: 280}); err != nil && !errors.Is(err, context.Canceled) {
				t.Errorf("cancelled at look %d: %v; want Canceled", after, err)
			} else if err == nil && after < 20 {
				t.Errorf("cancelled at look %d: no error", after)
			}
		}
	}
}

func TestCancelledInsideDecoder(t *testing.T) {
	var ev imageopt.Event
	o := newOptimizer(t, imageopt.Options{Hooks: imageopt.Hooks{Done: func(e imageopt.Event) { ev = e }}})
	for name, src := range map[string][]byte{"jpeg": toJPEG(t, photo(500, 400), 95), "png": toPNG(t, photo(500, 400)), "gif": gifOf(1, 1, 100)} {
		// The first look is the queue's; all but the last of the next are the decoder's.
		ctx := &countdown{Context: t.Context(), left: 2}
		if name == "gif" {
			ctx.left = 1
		}
		_, err := o.Process(ctx, io.Discard, bytes.NewReader(src), imageopt.Spec{Width: 100})
		if !errors.Is(err, context.Canceled) || ev.Decode == 0 || ev.Resize != 0 {
			t.Errorf("%s: %v after decoding %v, resizing %v; want the decoder to stop", name, err, ev.Decode, ev.Resize)
		}
	}
}

// The decoder of WebP cannot be stopped, but nobody waits for it; its memory stays
// booked until it ends.
func TestCancelledLeavesDecoder(t *testing.T) {
	o := newOptimizer(t, imageopt.Options{})
	src := toWebP(t, photo(700, 500))
	for range 3 {
		ctx, cancel := context.WithCancel(t.Context())
		synctest.Test(t, func(t *testing.T) {
			cancel()
			for _, err := range o.Variants(ctx, src, []imageopt.Spec{{Width: 50}}) {
				if !errors.Is(err, context.Canceled) {
					t.Errorf("Variants = %v; want Canceled", err)
				}
			}
			synctest.Wait()
			if o.Stats().Memory != 0 {
				t.Errorf("%d bytes stay booked", o.Stats().Memory)
			}
		})
	}
	// Cancelled by the decoder's own look at it, while the job waits for the decoder.
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancelCause(t.Context())
		why := errors.New("client went away")
		at := &cancelAt{Context: ctx, cancel: func() { cancel(why) }}
		at.left.Store(2)
		_, err := o.Process(at, io.Discard, bytes.NewReader(src), imageopt.Spec{Width: 50})
		if !errors.Is(err, context.Canceled) || !errors.Is(err, why) {
			t.Errorf("Process = %v; want Canceled and its cause", err)
		}
		synctest.Wait()
		if o.Stats().Memory != 0 {
			t.Errorf("%d bytes stay booked", o.Stats().Memory)
		}
	})
}

// cancelAt is a context that ends when it has been asked a number of times.
type cancelAt struct {
	context.Context
	left   atomic.Int64
	cancel func()
}

func (c *cancelAt) Err() error {
	if c.left.Add(-1) < 0 {
		c.cancel()
	}
	return c.Context.Err()
}

// countdown is a context that is done after it has been asked a number of times.
type countdown struct {
	context.Context
	left int64
}

func (c *countdown) Err() error {
	if c.left--; c.left < 0 {
		return context.Canceled
	}
	return nil
}
