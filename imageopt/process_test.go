package imageopt_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/draw"
	"io"
	"maps"
	"os"
	"testing"

	"github.com/disintegration/imaging"
	"github.com/perfblocks/perfblocks/imageopt"
)

func TestProcessFormats(t *testing.T) {
	t.Parallel()
	o := newOptimizer(t, imageopt.Options{Inputs: []imageopt.Format{
		imageopt.FormatJPEG, imageopt.FormatPNG, imageopt.FormatGIF, imageopt.FormatWebP, imageopt.FormatBMP, imageopt.FormatTIFF,
	}})
	m := photo(120, 80)
	webpSrc, _ := process(t, o, toPNG(t, m), imageopt.Spec{Format: imageopt.FormatWebP})
	gifSrc, _ := process(t, o, toPNG(t, m), imageopt.Spec{Format: imageopt.FormatGIF})
	for name, src := range map[string][]byte{
		"jpeg": toJPEG(t, m, 90), "gray": toJPEG(t, imaging.Grayscale(m), 90), "png": toPNG(t, m), "alpha": toPNG(t, veil(120, 80)),
		"webp": webpSrc, "gif": gifSrc, "lossy webp": readFile(t, "testdata/blue-purple-pink.lossy.webp"),
		"bmp": readFile(t, "testdata/yellow_rose-small.bmp"), "tiff": readFile(t, "testdata/bw-packbits.tiff"),
	} {
		info, err := o.Inspect(bytes.NewReader(src))
		if err != nil {
			t.Errorf("Inspect(%s): %v", name, err)
			continue
		}
		for _, f := range []imageopt.Format{imageopt.FormatJPEG, imageopt.FormatPNG, imageopt.FormatGIF, imageopt.FormatWebP} {
			out, res := process(t, o, src, imageopt.Spec{Width: 11, Format: f})
			b := decode(t, out).Bounds()
			want := max(1, (info.Height*11*2+info.Width)/(2*info.Width))
			if res.Format != f || b.Dx() != 11 || b.Dy() != want || res.Width != 11 || res.Height != want {
				t.Errorf("%s to %v = %v of %v, Result %+v; want 11 × %d", name, f, imageopt.Sniff(out), b, res, want)
			}
		}
	}
}

func TestProcessAgainstImaging(t *testing.T) {
	t.Parallel()
	filters := map[imageopt.Filter]imaging.ResampleFilter{
		imageopt.FilterLanczos: imaging.Lanczos, imageopt.FilterCatmullRom: imaging.CatmullRom,
		imageopt.FilterMitchell: imaging.MitchellNetravali, imageopt.FilterLinear: imaging.Linear,
		imageopt.FilterBox: imaging.Box, imageopt.FilterHermite: imaging.Hermite, imageopt.FilterBSpline: imaging.BSpline,
		imageopt.FilterGaussian: imaging.Gaussian, imageopt.FilterBartlett: imaging.Bartlett, imageopt.FilterHann: imaging.Hann,
		imageopt.FilterHamming: imaging.Hamming, imageopt.FilterBlackman: imaging.Blackman, imageopt.FilterWelch: imaging.Welch,
		imageopt.FilterCosine: imaging.Cosine, imageopt.FilterNearest: imaging.NearestNeighbor,
	}
	gray := image.NewGray(image.Rect(0, 0, 97, 61))
	draw.Draw(gray, gray.Rect, photo(97, 61), image.Point{}, draw.Src)
	deep := image.NewNRGBA64(image.Rect(0, 0, 97, 61))
	draw.Draw(deep, deep.Rect, veil(97, 61), image.Point{}, draw.Src)
	paletted := image.NewPaletted(image.Rect(0, 0, 97, 61), color.Palette{color.NRGBA{}, color.White, color.Black, color.NRGBA{200, 40, 30, 255}})
	draw.Draw(paletted, paletted.Rect, veil(97, 61), image.Point{}, draw.Src)
	sources := map[string]image.Image{
		"opaque": photo(97, 61), "alpha": veil(97, 61), "gray": gray, "16 bit alpha": deep, "palette": paletted,
	}
	files := map[string][]byte{}
	for name, m := range sources {
		files[name] = toPNG(t, m)
	}
	o := newOptimizer(t, imageopt.Options{})
	for f, want := range filters {
		for name, m := range sources {
			if f > imageopt.FilterCatmullRom && f != imageopt.FilterNearest && name != "opaque" && name != "alpha" {
				continue
			}
			for _, size := range [][2]int{{40, 25}, {96, 60}, {13, 50}, {97, 20}, {150, 100}, {1, 1}} {
				out, _ := process(t, o, files[name], imageopt.Spec{
					Width: size[0], Height: size[1], Fit: imageopt.FitFill, Filter: f, Format: imageopt.FormatPNG, AllowUpscale: true,
				})
				mean, most := diff(t, decode(t, out), imaging.Resize(m, size[0], size[1], want))
				// imaging clips to bytes between its passes, which shows where alpha jumps;
				// here values pass from one to the other as they are.
				limit := 4
				switch {
				case f == imageopt.FilterNearest:
					limit = 1
				case name == "palette":
					limit = 50
				}
				if mean > 0.6 && most > 1 || most > limit {
					t.Errorf("%v %s to %v: mean %.2f, most %d off imaging", f, name, size, mean, most)
				}
			}
		}
	}
}

func TestProcessYCbCrAgainstImaging(t *testing.T) {
	t.Parallel()
	o := newOptimizer(t, imageopt.Options{})
	for _, size := range [][2]int{{201, 151}, {200, 150}, {64, 300}} {
		src := toJPEG(t, imaging.Blur(photo(size[0], size[1]), 1.5), 95)
		for _, w := range []int{20, 51, 64, 100, 150} {
			out, res := process(t, o, src, imageopt.Spec{Width: w, Format: imageopt.FormatPNG, AllowUpscale: true})
			mean, _ := diff(t, decode(t, out), imaging.Resize(decode(t, src), w, res.Height, imaging.Lanczos))
			if mean > 2 { // chroma is scaled from its own plane, not by way of RGB
				t.Errorf("%v to %d: mean %.2f off imaging", size, w, mean)
			}
			out, _ = process(t, o, src, imageopt.Spec{Width: w, Format: imageopt.FormatJPEG, Quality: 98, AllowUpscale: true})
			luma := imaging.Grayscale(imaging.Resize(decode(t, src), w, res.Height, imaging.Lanczos))
			if mean, _ := diff(t, imaging.Grayscale(decode(t, out)), luma); mean > 1.5 {
				t.Errorf("%v to %d as JPEG: luma mean %.2f off imaging", size, w, mean)
			}
		}
	}
}

func TestProcessGeometry(t *testing.T) {
	t.Parallel()
	const w, h = 200, 100
	src := toPNG(t, photo(w, h))
	o := newOptimizer(t, imageopt.Options{})
	for _, tc := range []struct {
		spec imageopt.Spec
		w, h int
	}{
		{imageopt.Spec{}, 200, 100},
		{imageopt.Spec{Width: 50}, 50, 25},
		{imageopt.Spec{Height: 50}, 100, 50},
		{imageopt.Spec{Width: 33}, 33, 17},
		{imageopt.Spec{Width: 400}, 200, 100},
		{imageopt.Spec{Width: 400, AllowUpscale: true}, 400, 200},
		{imageopt.Spec{Width: 50, Height: 50}, 50, 25},
		{imageopt.Spec{Width: 50, Height: 10}, 20, 10},
		{imageopt.Spec{Width: 500, Height: 500}, 200, 100},
		{imageopt.Spec{Width: 500, Height: 500, AllowUpscale: true}, 500, 250},
		{imageopt.Spec{Width: 50, Height: 50, Fit: imageopt.FitCover}, 50, 50},
		{imageopt.Spec{Width: 300, Height: 300, Fit: imageopt.FitCover}, 100, 100},
		{imageopt.Spec{Width: 300, Height: 300, Fit: imageopt.FitCover, AllowUpscale: true}, 300, 300},
		{imageopt.Spec{Width: 50, Height: 50, Fit: imageopt.FitFill}, 50, 50},
		{imageopt.Spec{Width: 400, Height: 50, Fit: imageopt.FitFill}, 200, 25},
		{imageopt.Spec{Width: 50, Height: 50, Fit: imageopt.FitOutside}, 100, 50},
		{imageopt.Spec{Width: 50, Height: 200, Fit: imageopt.FitOutside}, 200, 100},
		{imageopt.Spec{Width: 50, Height: 50, Fit: imageopt.FitContain}, 50, 50},
		{imageopt.Spec{Width: 300, Height: 300, Fit: imageopt.FitContain}, 300, 300},
		{imageopt.Spec{Crop: image.Rect(10, 10, 70, 40)}, 60, 30},
		{imageopt.Spec{Crop: image.Rect(10, 10, 70, 40), Width: 30}, 30, 15},
		{imageopt.Spec{Width: 1, Height: 1}, 1, 1},
		{imageopt.Spec{Height: 1}, 2, 1},
	} {
		out, res := process(t, o, src, tc.spec)
		if b := decode(t, out).Bounds(); b.Dx() != tc.w || b.Dy() != tc.h || res.Width != tc.w || res.Height != tc.h {
			t.Errorf("Process(%+v) = %v, Result %d × %d; want %d × %d", tc.spec, b, res.Width, res.Height, tc.w, tc.h)
		}
	}
}

func TestProcessCoverAgainstImaging(t *testing.T) {
	t.Parallel()
	anchors := map[imageopt.Anchor]imaging.Anchor{
		imageopt.AnchorCenter: imaging.Center, imageopt.AnchorTopLeft: imaging.TopLeft, imageopt.AnchorTop: imaging.Top,
		imageopt.AnchorTopRight: imaging.TopRight, imageopt.AnchorLeft: imaging.Left, imageopt.AnchorRight: imaging.Right,
		imageopt.AnchorBottomLeft: imaging.BottomLeft, imageopt.AnchorBottom: imaging.Bottom, imageopt.AnchorBottomRight: imaging.BottomRight,
	}
	o := newOptimizer(t, imageopt.Options{})
	for _, m := range []*image.NRGBA{photo(211, 130), photo(130, 211)} {
		for a, want := range anchors {
			for _, s := range [][2]int{{50, 50}, {90, 31}, {31, 90}} {
				out, _ := process(t, o, toPNG(t, m), imageopt.Spec{
					Width: s[0], Height: s[1], Fit: imageopt.FitCover, Anchor: a, Format: imageopt.FormatPNG,
				})
				if mean, most := diff(t, decode(t, out), imaging.Fill(m, s[0], s[1], want, imaging.Lanczos)); mean > 0.6 || most > 4 {
					t.Errorf("cover %v %v: mean %.2f, most %d off imaging", a, s, mean, most)
				}
			}
		}
	}
}

func TestProcessBackground(t *testing.T) {
	src := toPNG(t, veil(60, 40))
	o := newOptimizer(t, imageopt.Options{})
	corner := func(s imageopt.Spec) [4]int {
		out, _ := process(t, o, src, s)
		return rgba(decode(t, out).At(0, 0))
	}
	near := func(a, b [4]int) bool {
		for i := range a {
			if a[i]-b[i] > 10 || b[i]-a[i] > 10 {
				return false
			}
		}
		return true
	}
	red := color.NRGBA{200, 0, 0, 255}
	for _, tc := range []struct {
		name string
		spec imageopt.Spec
		want [4]int
	}{
		{"jpeg defaults to white", imageopt.Spec{Format: imageopt.FormatJPEG, Quality: 95}, [4]int{255, 255, 255, 255}},
		{"png keeps alpha", imageopt.Spec{Format: imageopt.FormatPNG}, [4]int{}},
		{"webp keeps alpha", imageopt.Spec{Format: imageopt.FormatWebP}, [4]int{}},
		{"gif keeps full transparency", imageopt.Spec{Format: imageopt.FormatGIF}, [4]int{}},
		{"background flattens png", imageopt.Spec{Format: imageopt.FormatPNG, Background: red}, [4]int{200, 0, 0, 255}},
		{"contain pads with it", imageopt.Spec{Format: imageopt.FormatPNG, Width: 80, Height: 80, Fit: imageopt.FitContain, Background: red}, [4]int{200, 0, 0, 255}},
		{"contain pads transparent", imageopt.Spec{Format: imageopt.FormatPNG, Width: 80, Height: 80, Fit: imageopt.FitContain}, [4]int{}},
		{"contain pads jpeg white", imageopt.Spec{Format: imageopt.FormatJPEG, Width: 80, Height: 80, Fit: imageopt.FitContain}, [4]int{255, 255, 255, 255}},
	} {
		if got := corner(tc.spec); !near(got, tc.want) {
			t.Errorf("%s: corner = %v; want %v", tc.name, got, tc.want)
		}
	}
	opaque, _ := process(t, o, toPNG(t, photo(60, 40)), imageopt.Spec{Width: 80, Height: 80, Fit: imageopt.FitContain, Accept: "image/*"})
	if f, c := imageopt.Sniff(opaque), rgba(decode(t, opaque).At(0, 0)); f != imageopt.FormatPNG || c != ([4]int{}) {
		t.Errorf("auto format, padded: %v with corner %v; want a transparent PNG", f, c)
	}
}

func TestProcessOptions(t *testing.T) {
	_, err := imageopt.New(imageopt.Options{
		Limits:    imageopt.Limits{Bytes: -1, Pixels: -1, Frames: -1, FramePixels: -1, OutputSide: 1 << 20},
		MaxMemory: -1, Inputs: []imageopt.Format{imageopt.FormatAVIF, 99}, Name: "\xff",
		Encoders: map[imageopt.Format]imageopt.Encoder{imageopt.FormatPNG: nil},
	})
	for _, want := range []string{"Bytes", "Pixels", "Frames", "FramePixels", "OutputSide", "MaxMemory", "avif", "Format(99)", "png", "Name"} {
		if err == nil || !errors.Is(err, imageopt.ErrOptions) || !bytes.Contains([]byte(err.Error()), []byte(want)) {
			t.Errorf("New error = %v; want ErrOptions with %q", err, want)
		}
	}
	o := newOptimizer(t, imageopt.Options{})
	for _, s := range []imageopt.Spec{
		{Width: -1}, {Height: 1 << 20}, {Fit: 9}, {Anchor: 99}, {Filter: 99}, {Quality: 101}, {Quality: -1}, {Format: imageopt.FormatBMP},
		{Crop: image.Rect(-1, 0, 5, 5)}, {Crop: image.Rect(5, 5, 5, 9)}, {Crop: image.Rect(0, 0, 99, 9)},
	} {
		if _, err := o.Process(t.Context(), io.Discard, bytes.NewReader(toPNG(t, photo(20, 20))), s); !errors.Is(err, imageopt.ErrOptions) {
			t.Errorf("Process(%+v) error = %v; want ErrOptions", s, err)
		}
	}
	if _, err := o.Process(t.Context(), io.Discard, bytes.NewReader(nil), imageopt.Spec{Format: imageopt.FormatAVIF}); !errors.Is(err, imageopt.ErrUnsupported) {
		t.Errorf("Process to AVIF without an encoder: %v; want ErrUnsupported", err)
	}
}

func TestProcessNeverLarger(t *testing.T) {
	t.Parallel()
	o := newOptimizer(t, imageopt.Options{})
	m := photo(150, 100)
	tight, _ := process(t, o, toPNG(t, drawing(150, 100)), imageopt.Spec{Format: imageopt.FormatPNG})
	coarse, _ := process(t, o, toPNG(t, m), imageopt.Spec{Format: imageopt.FormatJPEG, Quality: 10})
	for name, src := range map[string][]byte{
		"jpeg": withEXIF(coarse, 1),
		"png":  withChunk(tight, "tEXt", []byte("Comment\x00GPSLatitude 10.762622")),
	} {
		out, res := process(t, o, src, imageopt.Spec{})
		if !res.Original || res.Bytes > int64(len(src)) {
			t.Errorf("%s: %d bytes to %d, Original %t; want the original", name, len(src), res.Bytes, res.Original)
		}
		if bytes.Contains(out, []byte("GPS")) || bytes.Contains(out, []byte("Exif")) {
			t.Errorf("%s: metadata survives in the original", name)
		}
		if mean, _ := diff(t, decode(t, out), decode(t, src)); mean != 0 {
			t.Errorf("%s: the original's pixels changed by %v", name, mean)
		}
		for _, tc := range []struct {
			spec imageopt.Spec
			want bool
		}{
			{imageopt.Spec{Width: 149}, true},
			{imageopt.Spec{Height: 99}, true},
			{imageopt.Spec{Width: 148, Height: 148}, true},
			{imageopt.Spec{Width: 120, Height: 80, Fit: imageopt.FitCover}, true},
			{imageopt.Spec{Width: 149, Format: res.Format}, false},
			{imageopt.Spec{Width: 149, Height: 90, Fit: imageopt.FitFill}, false},
			{imageopt.Spec{Width: 149, Height: 90, Fit: imageopt.FitCover}, false},
			{imageopt.Spec{Width: 149, Height: 149, Fit: imageopt.FitContain}, false},
			{imageopt.Spec{Width: 149, Background: color.Black}, false},
			{imageopt.Spec{Width: 149, Crop: image.Rect(0, 0, 150, 99)}, false},
			{imageopt.Spec{Width: 160, AllowUpscale: true}, false},
			{imageopt.Spec{Width: 70}, false},
		} {
			tc.spec.Quality = 95
			_, res := process(t, o, src, tc.spec)
			if res.Original != tc.want || res.Original && (res.Width != 150 || res.Height != 100 || res.Bytes > res.SourceBytes) {
				t.Errorf("%s %+v: %+v; Original should be %t", name, tc.spec, res, tc.want)
			}
		}
		if _, res := process(t, newOptimizer(t, imageopt.Options{Limits: imageopt.Limits{OutputSide: 149}}), src, imageopt.Spec{Width: 149}); res.Original {
			t.Errorf("%s: the original is over Limits.OutputSide", name)
		}
		if _, res := process(t, o, src, imageopt.Spec{Format: imageopt.FormatGIF}); res.Original {
			t.Errorf("%s: the original is no GIF", name)
		}
	}
	turned := withEXIF(toJPEG(t, m, 20), 6)
	if _, res := process(t, o, turned, imageopt.Spec{}); res.Original || res.Width != 100 || res.Height != 150 {
		t.Errorf("turned original: %+v; want it encoded again", res)
	}
}

func TestProcessAuto(t *testing.T) {
	t.Parallel()
	o := newOptimizer(t, imageopt.Options{})
	const chrome = "image/avif,image/webp,image/apng,image/svg+xml,image/*,*/*;q=0.8"
	for _, tc := range []struct {
		name   string
		src    []byte
		accept string
		want   imageopt.Format
	}{
		{"photo, anything", toJPEG(t, photo(200, 150), 95), "*/*", imageopt.FormatJPEG},
		{"photo, no header", toJPEG(t, photo(200, 150), 95), "", imageopt.FormatJPEG},
		{"photo, lossless WebP is no gain", toJPEG(t, photo(200, 150), 95), chrome, imageopt.FormatJPEG},
		{"photo as PNG", toPNG(t, photo(200, 150)), "*/*", imageopt.FormatJPEG},
		{"drawing", toPNG(t, drawing(200, 150)), "*/*", imageopt.FormatPNG},
		{"alpha", toPNG(t, veil(200, 150)), "image/png,*/*", imageopt.FormatPNG},
		{"alpha, WebP named", toPNG(t, veil(200, 150)), "image/webp,*/*", imageopt.FormatWebP},
		{"alpha, WebP refused", toPNG(t, veil(200, 150)), "image/webp;q=0,*/*", imageopt.FormatPNG},
		{"alpha, bare wildcard", toPNG(t, veil(200, 150)), "*/*", imageopt.FormatPNG},
		{"alpha, only JPEG", toPNG(t, veil(200, 150)), "image/jpeg", imageopt.FormatJPEG},
		{"photo, only PNG", toJPEG(t, photo(200, 150), 95), "image/png", imageopt.FormatPNG},
		{"photo, only GIF", toJPEG(t, photo(200, 150), 95), "image/gif", imageopt.FormatGIF},
		{"nothing that exists", toJPEG(t, photo(200, 150), 95), "image/avif", imageopt.FormatJPEG},
		{"nothing at all", toPNG(t, veil(200, 150)), "text/html", imageopt.FormatPNG},
	} {
		if _, res := process(t, o, tc.src, imageopt.Spec{Width: 100, Accept: tc.accept}); res.Format != tc.want {
			t.Errorf("%s (%s) = %v; want %v", tc.name, tc.accept, res.Format, tc.want)
		}
	}
}

func TestProcessEncoders(t *testing.T) {
	tiny := []byte("\x00\x00\x00\x1cftypavif")
	var enc imageopt.EncoderFunc
	o := newOptimizer(t, imageopt.Options{Encoders: map[imageopt.Format]imageopt.Encoder{
		imageopt.FormatAVIF: imageopt.EncoderFunc(func(ctx context.Context, w io.Writer, m image.Image, eo imageopt.EncodeOptions) error {
			return enc(ctx, w, m, eo)
		}),
	}})
	src := toJPEG(t, photo(80, 60), 90)
	var got imageopt.EncodeOptions
	enc = func(_ context.Context, w io.Writer, m image.Image, eo imageopt.EncodeOptions) error {
		got = eo
		_, err := w.Write(tiny)
		return err
	}
	if _, res := process(t, o, src, imageopt.Spec{Quality: 33, Accept: "image/avif,*/*"}); res.Format != imageopt.FormatAVIF || got.Quality != 33 {
		t.Errorf("Accept avif = %v with quality %d; want avif with 33", res.Format, got.Quality)
	}
	if _, res := process(t, o, src, imageopt.Spec{Width: 40, Accept: "*/*"}); res.Format != imageopt.FormatJPEG {
		t.Errorf("Accept */* = %v; want jpeg", res.Format)
	}
	boom := errors.New("boom")
	for name, f := range map[string]imageopt.EncoderFunc{
		"error": func(context.Context, io.Writer, image.Image, imageopt.EncodeOptions) error { return boom },
		"panic": func(context.Context, io.Writer, image.Image, imageopt.EncodeOptions) error { panic(boom) },
		"other": func(_ context.Context, w io.Writer, _ image.Image, _ imageopt.EncodeOptions) error {
			_, err := w.Write([]byte("GIF89a"))
			return err
		},
	} {
		enc = f
		var b bytes.Buffer
		_, err := o.Process(t.Context(), &b, bytes.NewReader(src), imageopt.Spec{Format: imageopt.FormatAVIF})
		if err == nil || b.Len() != 0 || name == "error" && !errors.Is(err, boom) {
			t.Errorf("encoder %s: error %v with %d bytes written; want an error and none", name, err, b.Len())
		}
	}
}

func TestProcessDisabled(t *testing.T) {
	o := newOptimizer(t, imageopt.Options{Disabled: true})
	src := withEXIF(toJPEG(t, photo(80, 60), 90), 6)
	out, res := process(t, o, src, imageopt.Spec{Width: 10, Format: imageopt.FormatPNG})
	if !bytes.Equal(out, src) || !res.Original || res.Width != 60 || res.Height != 80 {
		t.Errorf("disabled: %+v, equal %t; want the source as it is", res, bytes.Equal(out, src))
	}
	for v, err := range o.Variants(t.Context(), src, make([]imageopt.Spec, 2)) {
		if err != nil || !bytes.Equal(v.Data, src) {
			t.Errorf("disabled Variants = %v; want the source", err)
		}
	}
	if p, err := o.Placeholder(t.Context(), src, imageopt.PlaceholderLQIP); p.Value != "" || err != nil || p.Width != 60 {
		t.Errorf("disabled Placeholder = %+v, %v; want an empty value", p, err)
	}
}

type failWriter struct{}

func (failWriter) Write([]byte) (int, error) { return 0, errors.New("disk full") }

type failReader struct{ err error }

func (f failReader) Read([]byte) (int, error) { return 0, f.err }

func TestProcessIO(t *testing.T) {
	o := newOptimizer(t, imageopt.Options{})
	src := toPNG(t, photo(20, 20))
	if _, err := o.Process(t.Context(), failWriter{}, bytes.NewReader(src), imageopt.Spec{}); err == nil {
		t.Error("Process to a failing writer succeeds")
	}
	bad := errors.New("connection reset")
	r := io.MultiReader(bytes.NewReader(src[:100]), failReader{bad})
	if _, err := o.Process(t.Context(), io.Discard, r, imageopt.Spec{}); !errors.Is(err, bad) {
		t.Errorf("Process from a failing reader = %v; want its error", err)
	}
	r2, w2, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r2.Close()
	go func() {
		defer w2.Close()
		_, _ = w2.Write(src)
	}()
	if _, err := o.Process(t.Context(), io.Discard, r2, imageopt.Spec{}); err != nil {
		t.Errorf("Process from a pipe = %v", err)
	}
	out := new(bytes.Buffer)
	if _, err := o.Process(t.Context(), out, io.MultiReader(bytes.NewReader(src)), imageopt.Spec{}); err != nil {
		t.Errorf("Process from a plain reader = %v", err)
	}
}

func TestNilArguments(t *testing.T) {
	o := newOptimizer(t, imageopt.Options{})
	_, inspect := o.Inspect(nil)
	_, reader := o.Process(t.Context(), io.Discard, nil, imageopt.Spec{})
	_, writer := o.Process(t.Context(), nil, bytes.NewReader(toPNG(t, photo(4, 4))), imageopt.Spec{})
	_, files := imageopt.NewHandler(o, imageopt.SourceFS(nil), imageopt.HandlerOptions{})
	for name, err := range map[string]error{"Inspect": inspect, "Process reader": reader, "Process writer": writer, "SourceFS": files} {
		if !errors.Is(err, imageopt.ErrOptions) {
			t.Errorf("%s of nil: %v; want ErrOptions", name, err)
		}
	}
}

func TestStats(t *testing.T) {
	var events []imageopt.Event
	o := newOptimizer(t, imageopt.Options{Name: "a\"b\\c\nd", Hooks: imageopt.Hooks{Done: func(e imageopt.Event) { events = append(events, e) }}})
	src := toJPEG(t, photo(200, 100), 90)
	_, res := process(t, o, src, imageopt.Spec{Width: 50})
	_, _ = o.Process(t.Context(), io.Discard, bytes.NewReader(src[:len(src)/2]), imageopt.Spec{})
	_, _ = o.Process(t.Context(), io.Discard, bytes.NewReader([]byte("<svg/>")), imageopt.Spec{})
	s := o.Stats()
	if s.Jobs != 3 || s.Results != 1 || s.Corrupt != 1 || s.Unsupported != 1 || s.BytesIn != int64(len(src)) || s.BytesOut != res.Bytes ||
		s.BytesSaved() != int64(len(src))-res.Bytes || s.Memory != 0 || s.Running != 0 || s.DecodeTime <= 0 {
		t.Errorf("Stats = %+v", s)
	}
	if len(events) != 3 || events[0].Err != nil || events[0].Results != 1 || events[1].Err == nil {
		t.Errorf("events = %+v; want three", events)
	}
	names := maps.Collect(o.Metrics())
	if got, ok := names[`imageopt_jobs_total{imageopt="a\"b\\c\nd",outcome="ok"}`]; !ok || got != 1 {
		t.Errorf("Metrics = %v; want jobs_total ok 1", names)
	}
}

func TestEnumText(t *testing.T) {
	for f := imageopt.FormatAuto; f <= imageopt.FormatTIFF; f++ {
		b, err := f.MarshalText()
		var g imageopt.Format
		if err != nil || g.UnmarshalText(bytes.ToUpper(b)) != nil || g != f {
			t.Errorf("%v does not survive its text %q", f, b)
		}
	}
	for i := range 15 {
		f, a, k, fit := imageopt.Filter(i), imageopt.Anchor(i%9), imageopt.PlaceholderKind(i%4), imageopt.Fit(i%5)
		var f2 imageopt.Filter
		var a2 imageopt.Anchor
		var k2 imageopt.PlaceholderKind
		var fit2 imageopt.Fit
		if f2.UnmarshalText([]byte(f.String())) != nil || a2.UnmarshalText([]byte(a.String())) != nil ||
			k2.UnmarshalText([]byte(k.String())) != nil || fit2.UnmarshalText([]byte(fit.String())) != nil ||
			f2 != f || a2 != a || k2 != k || fit2 != fit {
			t.Errorf("%v %v %v %v do not survive their text", f, a, k, fit)
		}
	}
	var f imageopt.Format
	if err := f.UnmarshalText([]byte("svg")); !errors.Is(err, imageopt.ErrOptions) {
		t.Errorf("UnmarshalText(svg) = %v; want ErrOptions", err)
	}
	if _, err := imageopt.Format(99).MarshalText(); !errors.Is(err, imageopt.ErrOptions) || fmt.Sprint(imageopt.Format(99)) != "Format(99)" {
		t.Errorf("Format(99) marshals: %v", err)
	}
}

// Pixels that need no scaling come out as they were, colours of faint ones too.
func TestProcessKeepsPixels(t *testing.T) {
	t.Parallel()
	o := newOptimizer(t, imageopt.Options{})
	m := noise(61, 43, false)
	part := image.Rect(7, 5, 47, 40)
	out, _ := process(t, o, toPNG(t, m), imageopt.Spec{Crop: part, Format: imageopt.FormatPNG})
	if !bytes.Equal(straight(decode(t, out)), straight(m.SubImage(part))) {
		t.Error("a part of a PNG is not what it was")
	}
	drawn := image.NewPaletted(m.Rect, color.Palette{color.NRGBA{9, 200, 30, 3}, color.NRGBA{}, color.NRGBA{255, 1, 1, 255}})
	for i := range drawn.Pix {
		drawn.Pix[i] = byte(i*i/5) % 3
	}
	out, _ = process(t, o, toPNG(t, drawn), imageopt.Spec{Crop: part, Format: imageopt.FormatWebP})
	if !bytes.Equal(straight(decode(t, out)), straight(drawn.SubImage(part))) {
		t.Error("a part of a PNG with a palette is not what it was")
	}
}

// Lines of black and white emit half of white's light, which in sRGB is 188.
func TestLinearLight(t *testing.T) {
	t.Parallel()
	lines := image.NewNRGBA(image.Rect(0, 0, 128, 128))
	gray := image.NewGray(lines.Rect)
	for i := range gray.Pix {
		v := byte(i / 128 % 2 * 255)
		gray.Pix[i] = v
		copy(lines.Pix[4*i:], []byte{v, v, v, 255})
	}
	faint := image.NewNRGBA(lines.Rect)
	copy(faint.Pix, lines.Pix)
	for i := 3; i < len(faint.Pix); i += 4 {
		faint.Pix[i] = 100
	}
	o := newOptimizer(t, imageopt.Options{Workers: 2})
	for name, src := range map[string][]byte{
		"png": toPNG(t, lines), "gray": toPNG(t, gray), "faint": toPNG(t, faint), "jpeg": toJPEG(t, lines, 100), "gray jpeg": toJPEG(t, gray, 100),
	} {
		for linear, want := range map[bool]int{false: 127, true: 188} {
			out, _ := process(t, o, src, imageopt.Spec{Width: 16, Filter: imageopt.FilterBox, LinearLight: linear, Format: imageopt.FormatPNG})
			got := color.NRGBAModel.Convert(decode(t, out).At(8, 8)).(color.NRGBA)
			if d := int(got.G) - want; d < -1 || d > 1 || name == "faint" && got.A != 100 {
				t.Errorf("%s, linear %t: %v; want %d", name, linear, got, want)
			}
		}
	}
}

func TestWorkers(t *testing.T) {
	t.Parallel()
	one, three := newOptimizer(t, imageopt.Options{}), newOptimizer(t, imageopt.Options{Workers: 3})
	for name, src := range map[string][]byte{"alpha": toPNG(t, veil(300, 200)), "opaque": toPNG(t, photo(300, 200)), "jpeg": toJPEG(t, photo(300, 200), 90)} {
		for _, w := range []int{70, 400} {
			s := imageopt.Spec{Width: w, AllowUpscale: true, Format: imageopt.FormatPNG}
			a, _ := process(t, one, src, s)
			b, _ := process(t, three, src, s)
			if !bytes.Equal(a, b) {
				t.Errorf("%s to %d: workers make a difference", name, w)
			}
		}
	}
}
