package imageopt_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"image"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/perfblocks/perfblocks/imageopt"
)

// credited is EXIF, in either byte order, with a name, a right, a position and more.
func credited(bo binary.AppendByteOrder) []byte {
	b := []byte("MM\x00*")
	if bo == binary.AppendByteOrder(binary.LittleEndian) {
		b = []byte("II*\x00")
	}
	u16, u32 := func(v uint16) { b = bo.AppendUint16(b, v) }, func(v uint32) { b = bo.AppendUint32(b, v) }
	u32(8)
	u16(5)
	texts := []string{"Camera of mine", "Jane Doe", "(c) 2026 Jane"}
	at := uint32(8 + 2 + 5*12 + 4)
	for i, tag := range []uint16{0x0110, 0x013b, 0x8298} {
		u16(tag)
		u16(2)
		u32(uint32(len(texts[i]) + 1))
		u32(at)
		at += uint32(len(texts[i]) + 1)
	}
	for _, f := range [][2]uint32{{0x8825, at}, {0x8769, at}} {
		u16(uint16(f[0]))
		u16(4)
		u32(1)
		u32(f[1])
	}
	u32(0)
	b = append(b, strings.Join(texts, "\x00")+"\x00"...)
	u16(1) // the GPS directory: a latitude's reference
	u16(1)
	u16(2)
	u32(2)
	b = append(b, "N\x00\x00\x00"...)
	u32(0)
	return b
}

func withAPP1(jpg, exif []byte) []byte {
	exif = append([]byte("Exif\x00\x00"), exif...)
	out := append(bytes.Clone(jpg[:2]), 0xff, 0xe1, byte((len(exif)+2)>>8), byte(len(exif)+2))
	return append(append(out, exif...), jpg[2:]...)
}

func TestMetadataKeepCopyright(t *testing.T) {
	t.Parallel()
	o := newOptimizer(t, imageopt.Options{})
	for name, src := range map[string][]byte{
		"jpeg": withAPP1(toJPEG(t, photo(60, 40), 60), credited(binary.BigEndian)),
		"png":  withChunk(toPNG(t, photo(60, 40)), "eXIf", credited(binary.LittleEndian)),
	} {
		for _, f := range []imageopt.Format{imageopt.FormatAuto, imageopt.FormatJPEG, imageopt.FormatPNG, imageopt.FormatWebP, imageopt.FormatGIF} {
			for _, w := range []int{0, 20} {
				spec := imageopt.Spec{Format: f, Width: w, Metadata: imageopt.MetadataKeepCopyright}
				out, res := process(t, o, src, spec)
				decode(t, out)
				for _, text := range []string{"Jane Doe", "(c) 2026 Jane"} {
					if bytes.Contains(out, []byte(text)) == (f == imageopt.FormatGIF) {
						t.Errorf("%s to %v, width %d, original %t: %q is there: %t", name, f, w, res.Original, text, f == imageopt.FormatGIF)
					}
				}
				if bytes.Contains(out, []byte("Camera")) || bytes.Contains(out, []byte("\x88\x25")) || bytes.Contains(out, []byte("\x25\x88")) && f == imageopt.FormatJPEG {
					t.Errorf("%s to %v, width %d: more than the credits survives", name, f, w)
				}
				spec.Metadata = imageopt.MetadataStrip
				if out, _ := process(t, o, src, spec); bytes.Contains(out, []byte("Jane")) {
					t.Errorf("%s to %v: a name survives MetadataStrip", name, f)
				}
			}
		}
	}
}

// TestTargetBytesWithMetadata: what is kept of the metadata counts.
func TestTargetBytesWithMetadata(t *testing.T) {
	t.Parallel()
	o := newOptimizer(t, imageopt.Options{})
	p3 := profile(displayP3)
	src := withICC(t, toPNG(t, photo(600, 400)), p3)
	spec := imageopt.Spec{Width: 300, Format: imageopt.FormatJPEG, Metadata: imageopt.MetadataKeepICC}
	for spec.TargetBytes = 3000; spec.TargetBytes < 6000; spec.TargetBytes += 500 {
		out, _ := process(t, o, src, spec)
		if !bytes.Contains(out, p3) || len(out) > spec.TargetBytes {
			t.Errorf("%d bytes for a target of %d, with the profile: %t", len(out), spec.TargetBytes, bytes.Contains(out, p3))
		}
	}
	spec.TargetBytes = len(p3)
	_, err := o.Process(t.Context(), io.Discard, bytes.NewReader(src), spec)
	if !errors.Is(err, imageopt.ErrTooLarge) {
		t.Errorf("a target that the profile fills: %v; want ErrTooLarge", err)
	}
}

func TestMetadataKeepICC(t *testing.T) {
	t.Parallel()
	o := newOptimizer(t, imageopt.Options{})
	m := photo(60, 40)
	p3 := profile(displayP3)
	src := withICC(t, toPNG(t, m), p3)
	for _, f := range []imageopt.Format{imageopt.FormatAuto, imageopt.FormatJPEG, imageopt.FormatPNG, imageopt.FormatWebP} {
		out, res := process(t, o, src, imageopt.Spec{Format: f, Quality: 97, Metadata: imageopt.MetadataKeepICC})
		limit := 0.
		if res.Format == imageopt.FormatJPEG {
			limit = 5 // chroma is subsampled
		}
		if mean, _ := diff(t, decode(t, out), m); mean > limit {
			t.Errorf("%v: colours moved by %.2f on average, though the profile is kept", f, mean)
		}
		again, err := o.Inspect(bytes.NewReader(out))
		if err != nil || !again.Profile {
			t.Errorf("%v: %+v, %v; want a profile", f, again, err)
		}
		// The copy means the same colours: under the default policy both become equal.
		a, _ := process(t, o, src, imageopt.Spec{Format: imageopt.FormatPNG})
		b, _ := process(t, o, out, imageopt.Spec{Format: imageopt.FormatPNG})
		if mean, _ := diff(t, decode(t, a), decode(t, b)); mean > 3 {
			t.Errorf("%v: converted to sRGB, the copy is %.2f off the source", f, mean)
		}
	}
	tables := bytes.Replace(p3, []byte("bTRC"), []byte("A2B0"), 1)
	for _, f := range []imageopt.Format{imageopt.FormatJPEG, imageopt.FormatPNG, imageopt.FormatWebP} {
		out, _ := process(t, o, withICC(t, toPNG(t, m), tables), imageopt.Spec{Format: f, Metadata: imageopt.MetadataKeepICC})
		if again, err := o.Inspect(bytes.NewReader(out)); err != nil || !again.Profile {
			t.Errorf("%v: a profile by tables is lost: %+v, %v", f, again, err)
		}
	}
	gif, _ := process(t, o, src, imageopt.Spec{Format: imageopt.FormatGIF, Metadata: imageopt.MetadataKeepICC})
	conv, _ := process(t, o, src, imageopt.Spec{Format: imageopt.FormatGIF})
	if !bytes.Equal(gif, conv) {
		t.Error("a GIF, which holds no profile, is not converted to sRGB")
	}
	plain, _ := process(t, o, toPNG(t, m), imageopt.Spec{Format: imageopt.FormatJPEG, Metadata: imageopt.MetadataKeepICC})
	if info, err := o.Inspect(bytes.NewReader(plain)); err != nil || info.Profile {
		t.Errorf("a source without a profile gives %+v, %v", info, err)
	}
}

// Other people's readers take what is written without a word.
func TestReadByOthers(t *testing.T) {
	t.Parallel()
	o := newOptimizer(t, imageopt.Options{})
	dir := t.TempDir()
	jpg := withAPP1(toJPEG(t, photo(90, 60), 90), credited(binary.BigEndian))
	sources := map[string][]byte{
		"jpeg": jpg, "p3": withICC(t, toPNG(t, photo(90, 60)), profile(displayP3)), "alpha": withChunk(toPNG(t, veil(90, 60)), "eXIf", credited(binary.BigEndian)),
		"gray": toJPEG(t, image.NewGray(image.Rect(0, 0, 33, 21)), 80),
	}
	var files []string
	for name, src := range sources {
		for _, f := range []imageopt.Format{imageopt.FormatJPEG, imageopt.FormatPNG, imageopt.FormatWebP, imageopt.FormatGIF} {
			for _, m := range []imageopt.Metadata{imageopt.MetadataStrip, imageopt.MetadataKeepICC, imageopt.MetadataKeepCopyright} {
				out, _ := process(t, o, src, imageopt.Spec{Width: 45, Format: f, Metadata: m})
				file := filepath.Join(dir, name+"-"+m.String()+f.Ext())
				if err := os.WriteFile(file, out, 0o600); err != nil {
					t.Fatal(err)
				}
				files = append(files, file)
			}
		}
	}
	ran := 0
	for _, tool := range []struct {
		name string
		args []string
		ext  string
		bad  string // in the output
		one  bool   // takes all files at once
	}{
		{"djpeg", []string{"-outfile", os.DevNull}, ".jpg", "", false},
		{"jpegtran", []string{"-copy", "all", "-outfile", os.DevNull}, ".jpg", "", false},
		{"webpinfo", []string{"-quiet"}, ".webp", "rror", false},
		{"vipsheader", nil, "", "WARNING", true},
		{"exiftool", []string{"-a", "-G1", "-s", "-Warning", "-Error", "-gps:all"}, "", "[", true},
	} {
		path, err := exec.LookPath(tool.name)
		if err != nil {
			continue
		}
		ran++
		args := tool.args
		for _, file := range files {
			if tool.one {
				break
			}
			if tool.ext != "" && filepath.Ext(file) != tool.ext {
				continue
			}
			out, err := exec.CommandContext(t.Context(), path, append(args, file)...).CombinedOutput()
			if err != nil || tool.bad == "" && len(out) > 0 || tool.bad != "" && strings.Contains(string(out), tool.bad) {
				t.Errorf("%s %s: %v: %s", tool.name, filepath.Base(file), err, out)
			}
		}
		if tool.one {
			out, err := exec.CommandContext(t.Context(), path, append(args, files...)...).CombinedOutput()
			if err != nil || strings.Contains(string(out), tool.bad) {
				t.Errorf("%s: %v: %s", tool.name, err, out)
			}
		}
	}
	if ran == 0 {
		t.Skip("no other reader is there: install libjpeg-turbo-progs, webp, libvips-tools, libimage-exiftool-perl")
	}
}

// Pictures in Display P3 and ProPhoto, compared with what libvips makes of them.
func TestProfileFilesAgainstVips(t *testing.T) {
	t.Parallel()
	vips, err := exec.LookPath("vips")
	if err != nil {
		t.Skip("vips is not there: install libvips-tools")
	}
	o := newOptimizer(t, imageopt.Options{})
	for _, name := range []string{"p3.png", "prophoto.png"} {
		file, ref := asset(t, "colour", name), filepath.Join(t.TempDir(), "ref.png")
		if msg, err := exec.CommandContext(t.Context(), vips, "icc_transform", file, ref, "srgb").CombinedOutput(); err != nil {
			t.Fatalf("vips: %v: %s", err, msg)
		}
		out, res := process(t, o, readFile(t, file), imageopt.Spec{Format: imageopt.FormatPNG})
		if _, most := diff(t, decode(t, out), decode(t, readFile(t, ref))); most > 2 || !res.Source.Profile {
			t.Errorf("%s: most %d off vips, profile %t", name, most, res.Source.Profile)
		}
	}
}
