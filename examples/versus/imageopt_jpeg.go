package main

import (
	"bytes"
	"context"
	"fmt"
	"image"
	"image/jpeg"
	"io"
	"math"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/anthonynsimon/bild/transform"
	"github.com/disintegration/imaging"

	"github.com/perfblocks/perfblocks/examples/versus/internal/bench"
	"github.com/perfblocks/perfblocks/imageopt"
)

// setWidths are those of a responsive picture.
var setWidths = []int{1920, 1280, 960, 640, 320}

const mega = 1 << 20

// slowRounds are enough where a peer takes seconds.
const slowRounds = 5

func thumbSpec(width int) imageopt.Spec {
	return imageopt.Spec{Width: width, Quality: 80, Format: imageopt.FormatJPEG}
}

// thumb makes one result.
func (s *pictures) thumb(src []byte, spec imageopt.Spec) ([]byte, error) {
	var b bytes.Buffer
	_, err := s.o.Process(context.Background(), &b, bytes.NewReader(src), spec)
	return b.Bytes(), err
}

// resized is the picture that a source makes at a width, near enough without loss.
func (s *pictures) resized(src []byte, width int) (*image.YCbCr, error) {
	b, err := s.thumb(src, imageopt.Spec{Width: width, Quality: 100, Format: imageopt.FormatJPEG, TargetBytes: 64 * mega})
	if err != nil {
		return nil, err
	}
	m, err := jpeg.Decode(bytes.NewReader(b))
	if y, ok := m.(*image.YCbCr); ok {
		return y, nil
	}
	return nil, fmt.Errorf("decodes to %T: %w", m, err)
}

// times repeats an operation that must work, since what it makes has been checked.
func times(f func() error) func(int) {
	return func(n int) {
		for range n {
			if err := f(); err != nil {
				panic(err)
			}
		}
	}
}

func (s *pictures) oursSide(src []byte, spec imageopt.Spec) bench.Side {
	return bench.Side{
		Name: ours,
		Op:   times(func() error { _, err := s.thumb(src, spec); return err }),
		Check: func() (any, error) {
			b, err := s.thumb(src, spec)
			return jpegSizes([][]byte{b}, err)
		},
	}
}

// jpegSizes is what the results of all sides have in common.
func jpegSizes(files [][]byte, err error) (any, error) {
	if err != nil {
		return nil, err
	}
	var sizes []image.Point
	for _, b := range files {
		c, err := jpeg.DecodeConfig(bytes.NewReader(b))
		if err != nil {
			return nil, err
		}
		sizes = append(sizes, image.Pt(c.Width, c.Height))
	}
	return fmt.Sprint(sizes), nil
}

func peerSide(name string, src []byte, widths []int, resize func(image.Image, int) image.Image) bench.Side {
	do := func(to func(int) io.Writer) error {
		m, err := jpeg.Decode(bytes.NewReader(src))
		if err != nil {
			return err
		}
		for i, n := range widths {
			if err := jpeg.Encode(to(i), resize(m, n), &jpeg.Options{Quality: 80}); err != nil {
				return err
			}
		}
		return nil
	}
	discard := func(int) io.Writer { return io.Discard }
	return bench.Side{Name: name, Op: times(func() error { return do(discard) }), Check: func() (any, error) {
		bufs := make([]bytes.Buffer, len(widths))
		err := do(func(i int) io.Writer { return &bufs[i] })
		var files [][]byte
		for i := range bufs {
			files = append(files, bufs[i].Bytes())
		}
		return jpegSizes(files, err)
	}}
}

func withImaging(m image.Image, w int) image.Image { return imaging.Resize(m, w, 0, imaging.Lanczos) }

func withBild(m image.Image, w int) image.Image {
	return transform.Resize(m, w, int(math.Round(float64(w)*float64(m.Bounds().Dy())/float64(m.Bounds().Dx()))), transform.Lanczos)
}

func imageoptThumb(r *bench.Report, s *pictures) error {
	c := bench.Comparison{
		Measure: "12 MP JPEG to 400 px, quality 80 (" + s.note + ")",
		Sides:   []bench.Side{s.oursSide(s.baseline, thumbSpec(400)), peerSide("imaging", s.baseline, []int{400}, withImaging)},
	}
	if r.Full {
		c.Sides = append(c.Sides, peerSide("bild", s.baseline, []int{400}, withBild))
	}
	if err := r.Compare(c, bench.Goal{Peer: "imaging", MaxRatio: 0.1}); err != nil {
		return err
	}
	if err := s.beside(r, "12 MP JPEG to 400 px", []int{400}, 1/0.9); err != nil {
		return err
	}
	return s.peak(r, "12 MP JPEG to 400 px", []int{400}, 16*mega)
}

func imageoptSet(r *bench.Report, s *pictures) error {
	specs := make([]imageopt.Spec, len(setWidths))
	for i, w := range setWidths {
		specs[i] = thumbSpec(w)
	}
	set := func(use func([]byte)) error {
		for v, err := range s.o.Variants(context.Background(), s.baseline, specs) {
			if err != nil {
				return err
			}
			use(v.Data)
		}
		return nil
	}
	check := func() (any, error) {
		var files [][]byte
		err := set(func(b []byte) { files = append(files, b) })
		return jpegSizes(files, err)
	}
	err := r.Compare(bench.Comparison{
		Measure: "12 MP JPEG to 1920, 1280, 960, 640 and 320 px",
		Rounds:  slowRounds,
		Sides: []bench.Side{
			{Name: ours, Op: times(func() error { return set(func([]byte) {}) }), Check: check},
			peerSide("imaging", s.baseline, setWidths, withImaging),
		},
	}, bench.Goal{Peer: "imaging", MaxRatio: 1. / 8})
	if err != nil {
		return err
	}
	if err := s.beside(r, "12 MP JPEG to five widths", setWidths, 1/1.1); err != nil {
		return err
	}
	return s.peak(r, "12 MP JPEG to five widths", setWidths, 48*mega)
}

// imageoptProgressive: small results read the scans that they need and no more.
func imageoptProgressive(r *bench.Report, s *pictures) error {
	if s.progressive == nil {
		r.Add(bench.Row{Measure: "progressive 12 MP: skipped", Unit: "-", OK: true, Note: "no photo and no jpegtran"})
		return nil
	}
	decode := bench.Side{Name: "image/jpeg, decoding alone", Op: times(func() error {
		_, err := jpeg.Decode(bytes.NewReader(s.progressive))
		return err
	})}
	goal := bench.Goal{Peer: decode.Name, MaxRatio: 0.1}
	for _, width := range []int{252, 378} {
		side := s.oursSide(s.progressive, thumbSpec(width))
		side.Check = nil
		title := fmt.Sprintf("progressive 12 MP to %d px", width)
		if err := r.Compare(bench.Comparison{Measure: title, Rounds: slowRounds, Sides: []bench.Side{side, decode}}, goal); err != nil {
			return err
		}
		r.AtMost(title+": allocated", "MB", allocatedMB(side), 4)
	}
	blur := bench.Side{Name: ours, Op: times(func() error {
		_, err := s.o.Placeholder(context.Background(), s.progressive, imageopt.PlaceholderBlurHash)
		return err
	})}
	if err := r.Compare(bench.Comparison{Measure: "progressive 12 MP to a BlurHash", Rounds: slowRounds, Sides: []bench.Side{blur, decode}}, goal); err != nil {
		return err
	}
	r.AtMost("progressive 12 MP to a BlurHash: allocated", "MB", allocatedMB(blur), 4)
	return r.Compare(bench.Comparison{
		Measure: "progressive 12 MP to 400 px",
		Rounds:  slowRounds,
		Sides:   []bench.Side{s.oursSide(s.progressive, thumbSpec(400)), peerSide("imaging", s.progressive, []int{400}, withImaging)},
	}, bench.Goal{Peer: "imaging", MaxRatio: 1. / 3})
}

// imageoptFidelity compares luma with that of all pixels resampled.
func imageoptFidelity(r *bench.Report, s *pictures) error {
	m, err := jpeg.Decode(bytes.NewReader(s.baseline))
	if err != nil {
		return err
	}
	full := m.(*image.YCbCr)
	gray := &image.Gray{Pix: full.Y, Stride: full.YStride, Rect: full.Rect}
	for _, width := range []int{320, 400, 640} {
		got, err := s.resized(s.baseline, width)
		if err != nil {
			return err
		}
		want := imaging.Resize(gray, got.Rect.Dx(), got.Rect.Dy(), imaging.Lanczos)
		sum := 0.0
		for y := range got.Rect.Dy() {
			for x := range got.Rect.Dx() {
				d := float64(got.Y[y*got.YStride+x]) - float64(want.Pix[y*want.Stride+4*x])
				sum += d * d
			}
		}
		db := 10 * math.Log10(255*255*float64(got.Rect.Dx()*got.Rect.Dy())/sum)
		r.AtLeast(fmt.Sprintf("12 MP JPEG to %d px: luma against all pixels by Lanczos", width), "dB", db, 48)
	}
	return nil
}

// peak runs each library in a process of its own.
func (s *pictures) peak(r *bench.Report, title string, widths []int, limit float64) error {
	program := filepath.Join(s.dir, "thumb")
	const source = "github.com/perfblocks/perfblocks/examples/versus/internal/thumb"
	if out, err := exec.Command("go", "build", "-o", program, source).CombinedOutput(); err != nil {
		return fmt.Errorf("building thumb: %w: %s", err, out)
	}
	var list []string
	for _, w := range widths {
		list = append(list, strconv.Itoa(w))
	}
	figure := map[string]float64{}
	for _, with := range []string{"ours", "imaging", "nothing"} {
		out, err := exec.Command(program, "-with", with, "-widths", strings.Join(list, ","), s.path()).Output()
		if err != nil {
			r.Add(bench.Row{Measure: title + ": peak RSS: skipped", Unit: "-", OK: true, Note: err.Error()})
			return nil
		}
		n, err := strconv.ParseFloat(strings.TrimSpace(string(out)), 64)
		if err != nil {
			return err
		}
		figure[with] = n / mega
	}
	r.AtMost(title+": peak RSS", "MB", figure["ours"], limit/mega,
		bench.Value{Name: "imaging", Value: figure["imaging"]}, bench.Value{Name: "the file read and nothing done", Value: figure["nothing"]})
	return nil
}

// allocatedMB is what one operation allocates.
func allocatedMB(side bench.Side) float64 {
	res, err := bench.Comparison{Sides: []bench.Side{side}}.Run(1, 0)
	if err != nil {
		panic(err)
	}
	return res[0].Median.Bytes / 1e6
}
