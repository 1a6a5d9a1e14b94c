package imageopt_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"image"
	"image/color"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"compress/zlib"

	"github.com/disintegration/imaging"
	"github.com/perfblocks/perfblocks/imageopt"
)

func TestOrientation(t *testing.T) {
	t.Parallel()
	o := newOptimizer(t, imageopt.Options{})
	for _, size := range [][2]int{{120, 80}, {121, 81}, {37, 90}} {
		up := imaging.Blur(photo(size[0], size[1]), 1)
		for _, spec := range []imageopt.Spec{
			{}, {Width: 60}, {Width: 31}, {Width: 30, Height: 20, Fit: imageopt.FitCover, Anchor: imageopt.AnchorTopLeft},
			{Crop: image.Rect(5, 10, 30, 61)}, {Width: 40, Height: 41, Fit: imageopt.FitContain},
		} {
			for _, f := range []imageopt.Format{imageopt.FormatPNG, imageopt.FormatJPEG} {
				spec.Format, spec.Quality = f, 97
				want, wres := process(t, o, withEXIF(toJPEG(t, up, 97), 1), spec)
				for k := 2; k <= 8; k++ {
					src := withEXIF(toJPEG(t, orient(up, k), 97), k)
					got, res := process(t, o, src, spec)
					if res.Source.Orientation != k || res.Source.Width != size[0] || res.Width != wres.Width || res.Height != wres.Height {
						t.Fatalf("orientation %d: %+v", k, res)
					}
					if mean, _ := diff(t, decode(t, got), decode(t, want)); mean > 2 {
						t.Errorf("%v %v orientation %d to %v: mean %.2f off the upright picture", size, spec, k, f, mean)
					}
				}
			}
		}
	}
}

func TestOrientationPNG(t *testing.T) {
	t.Parallel()
	o := newOptimizer(t, imageopt.Options{})
	up := veil(60, 40)
	for k := 1; k <= 8; k++ {
		exif := withEXIF([]byte("\xff\xd8"), k)[2+4+6:]
		src := withChunk(toPNG(t, orient(up, k)), "eXIf", exif)
		out, res := process(t, o, src, imageopt.Spec{Format: imageopt.FormatPNG})
		if _, most := diff(t, decode(t, out), up); most > 1 || res.Source.Orientation != k {
			t.Errorf("PNG orientation %d: most %d off, read as %d", k, most, res.Source.Orientation)
		}
		if bytes.Contains(out, []byte("GPS")) {
			t.Errorf("PNG orientation %d: GPS survives", k)
		}
	}
}

func TestOrientationFiles(t *testing.T) {
	t.Parallel()
	o := newOptimizer(t, imageopt.Options{})
	asset(t, "exif")
	for _, tc := range []struct {
		ref, pattern string
		first        int
	}{{"Landscape_1.jpg", "Landscape_%d.jpg", 2}, {"vips-rotation/5.jpg", "vips-rotation/%d.jpg", 6}, {"vips-rotation/1.jpg", "vips-rotation/%d.jpg", 2}} {
		spec := imageopt.Spec{Width: 100, Format: imageopt.FormatPNG}
		ref, _ := process(t, o, readFile(t, asset(t, "exif", tc.ref)), spec)
		for k := tc.first; k <= 8; k++ {
			if strings.HasPrefix(tc.ref, "vips") && tc.first == 2 && k == 5 {
				break // 5 to 8 show another part of the scene
			}
			got, res := process(t, o, readFile(t, asset(t, "exif", fmt.Sprintf(tc.pattern, k))), spec)
			if mean, _ := diff(t, imaging.Blur(decode(t, got), 2), imaging.Blur(decode(t, ref), 2)); mean > 4 || res.Source.Orientation != k {
				t.Errorf(tc.pattern+": mean %.2f off the upright picture", k, mean)
			}
		}
	}
}

func TestMetadataNeverSurvives(t *testing.T) {
	t.Parallel()
	o := newOptimizer(t, imageopt.Options{})
	m := photo(64, 48)
	gif, _ := process(t, o, toPNG(t, drawing(64, 48)), imageopt.Spec{Format: imageopt.FormatGIF})
	const secret = "GPSLatitude 10.762622"
	comment := append([]byte{0x21, 0xfe, byte(len(secret))}, secret...)
	gif = append(append(bytes.Clone(gif[:len(gif)-1]), append(comment, 0)...), 0x3b)
	tight, _ := process(t, o, toPNG(t, m), imageopt.Spec{Format: imageopt.FormatJPEG, Quality: 10})
	jpg := withEXIF(tight, 1)
	jpg = append(jpg, withEXIF(tight, 1)...) // a second picture behind the first, like a gain map
	webp := readFile(t, "testdata/blue-purple-pink.lossy.webp")
	size := decode(t, webp).Bounds()
	chunk := binary.LittleEndian.AppendUint32([]byte("XMP "), uint32(len(secret)+1))
	webp = append(append(append(webp, chunk...), secret+" "...), []byte("EXIF\x16\x00\x00\x00"+secret+" ")...)
	vp8x := append([]byte("VP8X\x0a\x00\x00\x00\x0c\x00\x00\x00"), byte(size.Dx()-1), 0, 0, byte(size.Dy()-1), 0, 0)
	webp = append(append(bytes.Clone(webp[:12]), vp8x...), webp[12:]...)
	binary.LittleEndian.PutUint32(webp[4:], uint32(len(webp)-8))
	for name, src := range map[string][]byte{
		"jpeg": jpg, "png": withChunk(toPNG(t, m), "tEXt", []byte("a\x00"+secret)), "gif": gif, "webp": webp,
	} {
		if !bytes.Contains(src, []byte(secret)) {
			t.Fatalf("%s: source holds no GPS", name)
		}
		original := false
		for _, f := range []imageopt.Format{imageopt.FormatAuto, imageopt.FormatJPEG, imageopt.FormatPNG, imageopt.FormatGIF, imageopt.FormatWebP} {
			for _, w := range []int{0, 20} {
				out, res := process(t, o, src, imageopt.Spec{Width: w, Format: f, Accept: "image/webp,*/*", Quality: 95})
				decode(t, out)
				original = original || res.Original
				for _, s := range []string{"GPS", "Exif", "EXIF", "XMP ", "tEXt"} {
					if bytes.Contains(out, []byte(s)) {
						t.Errorf("%s to %v, width %d, original %t: %q survives", name, f, w, res.Original, s)
					}
				}
			}
		}
		if !original && name != "png" {
			t.Errorf("%s: no result is the original, so its copying was not tested", name)
		}
	}
}

func TestMetadataFile(t *testing.T) {
	t.Parallel()
	o := newOptimizer(t, imageopt.Options{})
	for _, name := range []string{"jpegn-exif.gps.jpg", "jpegn-exif.invalid.jpg"} {
		out, _ := process(t, o, readFile(t, asset(t, "photos", name)), imageopt.Spec{Quality: 100})
		if bytes.Contains(out, []byte("Exif")) || bytes.Contains(out, []byte("\xff\xe1")) {
			t.Errorf("%s: EXIF survives", name)
		}
	}
}

func TestInvalidEXIF(t *testing.T) {
	t.Parallel()
	o := newOptimizer(t, imageopt.Options{})
	good := withEXIF(toJPEG(t, photo(30, 20), 80), 6)
	i := bytes.Index(good, []byte("MM\x00*"))
	for off := range 40 {
		for _, v := range []byte{0, 1, 9, 0x7f, 0xff} {
			src := bytes.Clone(good)
			src[i+off] = v
			if _, err := o.Process(t.Context(), new(bytes.Buffer), bytes.NewReader(src), imageopt.Spec{Width: 10}); err != nil {
				t.Errorf("EXIF byte %d set to %#x: %v; want the picture", off, v, err)
			}
		}
	}
}

// profile builds a matrix ICC profile with a tone curve of type "para" 3 (sRGB's).
func profile(m [9]float64) []byte {
	fix := func(b []byte, v float64) []byte {
		return binary.BigEndian.AppendUint32(b, uint32(int32(math.Round(v*65536))))
	}
	head := make([]byte, 128)
	copy(head[12:], "mntrRGB XYZ ")
	copy(head[36:], "acsp")
	fix(head[68:68], 0.9642) // the white of D50
	fix(head[72:72], 1)
	fix(head[76:76], 0.8249)
	var tags, data []byte
	at := 128 + 4 + 6*12
	add := func(name string, d []byte) {
		tags = append(tags, name...)
		tags = binary.BigEndian.AppendUint32(tags, uint32(at+len(data)))
		tags = binary.BigEndian.AppendUint32(tags, uint32(len(d)))
		data = append(data, d...)
	}
	for i, c := range []string{"r", "g", "b"} {
		xyz := []byte("XYZ \x00\x00\x00\x00")
		for j := range 3 {
			xyz = fix(xyz, m[3*j+i])
		}
		add(c+"XYZ", xyz)
		trc := []byte("para\x00\x00\x00\x00\x00\x03\x00\x00")
		for _, v := range []float64{2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045} {
			trc = fix(trc, v)
		}
		add(c+"TRC", trc)
	}
	all := append(append(binary.BigEndian.AppendUint32(head, 6), tags...), data...)
	binary.BigEndian.PutUint32(all, uint32(len(all)))
	return all
}

// Primaries under D50 as the profiles of Display P3 and sRGB hold them.
var (
	displayP3 = [9]float64{0.51512, 0.29198, 0.15710, 0.24120, 0.69225, 0.06657, -0.00105, 0.04189, 0.78407}
	sRGB      = [9]float64{0.43607, 0.38515, 0.14307, 0.22249, 0.71687, 0.06061, 0.01392, 0.09708, 0.71410}
)

func withICC(t *testing.T, p []byte, icc []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	b.WriteString("p\x00\x00")
	z := zlib.NewWriter(&b)
	if _, err := z.Write(icc); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return withChunk(p, "iCCP", b.Bytes())
}

func TestProfileToSRGB(t *testing.T) {
	o := newOptimizer(t, imageopt.Options{})
	for _, c := range []color.NRGBA{{200, 100, 50, 255}, {128, 128, 128, 255}, {20, 200, 90, 128}, {0, 0, 0, 255}, {255, 255, 255, 255}} {
		m := image.NewNRGBA(image.Rect(0, 0, 4, 4))
		for i := range 16 {
			m.SetNRGBA(i%4, i/4, c)
		}
		out, res := process(t, o, withICC(t, toPNG(t, m), profile(displayP3)), imageopt.Spec{Format: imageopt.FormatPNG})
		got, want := color.NRGBAModel.Convert(decode(t, out).At(1, 1)).(color.NRGBA), p3ToSRGB(c)
		for i, d := range []int{int(got.R) - int(want.R), int(got.G) - int(want.G), int(got.B) - int(want.B), int(got.A) - int(want.A)} {
			if d < -2 || d > 2 {
				t.Errorf("Display P3 %v = %v; want %v (channel %d)", c, got, want, i)
			}
		}
		if !res.Source.Profile || res.Original {
			t.Errorf("Result = %+v; want a source with a profile, encoded again", res)
		}
		out, _ = process(t, o, withICC(t, toPNG(t, m), profile(sRGB)), imageopt.Spec{Format: imageopt.FormatPNG})
		if got := color.NRGBAModel.Convert(decode(t, out).At(1, 1)); got != c {
			t.Errorf("sRGB profile changes %v to %v", c, got)
		}
	}
	xyb := profile(sRGB)
	xyb = append(xyb, "desc XYB_Per"...)
	if _, err := o.Inspect(bytes.NewReader(withICC(t, toPNG(t, photo(4, 4)), xyb))); err == nil {
		t.Error("a picture in XYB colours is not refused")
	}
}

// p3ToSRGB uses the matrix between the linear spaces as published by W3C's CSS Color.
func p3ToSRGB(c color.NRGBA) color.NRGBA {
	lin := func(v uint8) float64 {
		x := float64(v) / 255
		if x <= 0.04045 {
			return x / 12.92
		}
		return math.Pow((x+0.055)/1.055, 2.4)
	}
	enc := func(v float64) uint8 {
		v = min(max(v, 0), 1)
		if v <= 0.0031308 {
			v *= 12.92
		} else {
			v = 1.055*math.Pow(v, 1/2.4) - 0.055
		}
		return uint8(math.Round(255 * v))
	}
	r, g, b := lin(c.R), lin(c.G), lin(c.B)
	return color.NRGBA{
		enc(1.2249402*r - 0.2249402*g), enc(-0.0420570*r + 1.0420570*g),
		enc(-0.0196376*r - 0.0786361*g + 1.0982735*b), c.A,
	}
}

func TestWebPColours(t *testing.T) {
	t.Parallel()
	o := newOptimizer(t, imageopt.Options{})
	want := decode(t, readFile(t, "testdata/blue-purple-pink.dwebp.png"))
	out, _ := process(t, o, readFile(t, "testdata/blue-purple-pink.lossy.webp"), imageopt.Spec{Format: imageopt.FormatPNG})
	got := decode(t, out)
	if mean, _ := diff(t, got, want); mean > 1.5 {
		t.Errorf("lossy WebP: mean %.2f off dwebp; want studio range corrected", mean)
	}
	raw := decode(t, readFile(t, "testdata/blue-purple-pink.lossy.webp"))
	if mean, _ := diff(t, raw, want); mean < 3 {
		t.Errorf("the decoder itself is only %.2f off dwebp: the correction may be no longer needed", mean)
	}
}

func TestPhotosUnchanged(t *testing.T) {
	t.Parallel()
	files, _ := filepath.Glob(filepath.Join(filepath.Dir(asset(t, "photos", "jpegn-420.jpg")), "jpegn-*.jpg"))
	o := newOptimizer(t, imageopt.Options{})
	for _, f := range files {
		src, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		ref := decode(t, src)
		for _, w := range []int{50, 97} {
			out, res := process(t, o, src, imageopt.Spec{Width: w, Format: imageopt.FormatPNG})
			if mean, _ := diff(t, decode(t, out), imaging.Resize(ref, w, res.Height, imaging.Lanczos)); mean > 1.7 { // it resamples all of the pixels
				t.Errorf("%s at %d: mean %.2f off imaging", filepath.Base(f), w, mean)
			}
		}
	}
}

// A profile that is damaged does not turn the picture black.
func TestProfileDamaged(t *testing.T) {
	t.Parallel()
	o := newOptimizer(t, imageopt.Options{})
	m := photo(60, 40)
	flat := bytes.ReplaceAll(profile(displayP3), []byte("para"), []byte("curv"))
	for name, p := range map[string][]byte{
		"no colours": profile([9]float64{}), "hardly any": profile([9]float64{0.01}), "curve of another kind": flat,
		"far out": profile([9]float64{30000, 1, 1, 1, 30000, 1, 1, 1, 30000}), "white out of opposites": profile([9]float64{9, -8, 0, -8, 9, 0, -8, 0, 8.8}),
	} {
		for _, keep := range []imageopt.Metadata{imageopt.MetadataStrip, imageopt.MetadataKeepICC} {
			out, _ := process(t, o, withICC(t, toPNG(t, m), p), imageopt.Spec{Format: imageopt.FormatPNG, Metadata: keep})
			if mean, _ := diff(t, decode(t, out), m); mean > 0 || bytes.Contains(out, []byte("iCCP")) {
				t.Errorf("%s, %v: %.1f off on average; want the pixels as they are and no profile", name, keep, mean)
			}
		}
	}
}
