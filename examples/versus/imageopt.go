package main

import (
	"bytes"
	"fmt"
	"image"
	"image/color"
	"image/jpeg"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/perfblocks/perfblocks/examples/versus/internal/bench"
	"github.com/perfblocks/perfblocks/imageopt"
)

// imageoptSuite compares the image optimiser with imaging, the standard library and,
// where they are installed, with libvips and sharp. Its pictures are those of the
// folder that PERF_ASSETS names, or made up when it is not there.
func imageoptSuite(r *bench.Report) error {
	s, err := newPictures()
	if err != nil {
		return err
	}
	defer os.RemoveAll(s.dir)
	for _, part := range []func(*bench.Report, *pictures) error{
		imageoptThumb, imageoptSet, imageoptProgressive, imageoptFidelity, imageoptEncoder, imageoptBytes, imageoptTarget,
	} {
		if err := part(r, s); err != nil {
			return err
		}
	}
	for _, part := range imageoptRest() {
		if err := part(r); err != nil {
			return err
		}
	}
	return nil
}

// pictures are the sources of the suite.
type pictures struct {
	dir         string // for files that programs need
	baseline    []byte // 12 million pixels
	progressive []byte // the same
	photos      map[string]*image.YCbCr
	note        string // what they are
	o           *imageopt.Optimizer
}

func newPictures() (*pictures, error) {
	o, err := imageopt.New(imageopt.Options{})
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "imageopt")
	if err != nil {
		return nil, err
	}
	s := &pictures{dir: dir, o: o, photos: map[string]*image.YCbCr{}}
	if err := s.large(); err != nil {
		return nil, err
	}
	if err := s.small(); err != nil {
		return nil, err
	}
	return s, os.WriteFile(s.path(), s.baseline, 0o600)
}

// path is the file of the baseline picture.
func (s *pictures) path() string { return filepath.Join(s.dir, "baseline.jpg") }

func assetsDir() string {
	if dir := os.Getenv("PERF_ASSETS"); dir != "" {
		return dir
	}
	return filepath.Join("..", "..", "..", "shared", "assets", "images")
}

// large reads the photo of 12 million pixels, which is progressive, and has jpegtran
// make its sequential twin; without them both are made up.
func (s *pictures) large() error {
	b, err := os.ReadFile(filepath.Join(assetsDir(), "photos", "fatih-kgqu_qs3B78-unsplash.jpg"))
	if err == nil {
		s.note = "a photo"
		s.progressive = b
	} else {
		s.note = "a made-up picture"
		var buf bytes.Buffer
		if err := jpeg.Encode(&buf, madeUp(3024, 4032), &jpeg.Options{Quality: 85}); err != nil {
			return err
		}
		s.baseline = buf.Bytes()
		if s.progressive, err = transcode(s.baseline, "-progressive"); err != nil {
			s.progressive = nil // rows about it are left out
		}
		return nil
	}
	if s.baseline, err = transcode(b); err == nil {
		return nil
	}
	m, err := jpeg.Decode(bytes.NewReader(b))
	if err != nil {
		return err
	}
	var buf bytes.Buffer
	err = jpeg.Encode(&buf, m, &jpeg.Options{Quality: 75})
	s.baseline = buf.Bytes()
	return err
}

func transcode(b []byte, args ...string) ([]byte, error) {
	c := exec.Command("jpegtran", append([]string{"-copy", "none"}, args...)...)
	c.Stdin = bytes.NewReader(b)
	return c.Output()
}

// small makes the photos of 640 pixels from those of the folder.
func (s *pictures) small() error {
	names, err := filepath.Glob(filepath.Join(assetsDir(), "photos", "*-unsplash.jpg"))
	if err != nil {
		return err
	}
	for _, name := range names {
		b, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		m, err := s.resized(b, 640)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		s.photos[filepath.Base(name)] = m
	}
	if len(names) == 0 {
		for i := range 4 {
			s.photos[fmt.Sprint("made up ", i)] = madeUp(640, 400+80*i)
		}
	}
	return nil
}

// madeUp is a picture with waves, an edge and noise.
func madeUp(w, h int) *image.YCbCr {
	rng := rand.New(rand.NewPCG(1, uint64(w*h)))
	m := image.NewYCbCr(image.Rect(0, 0, w, h), image.YCbCrSubsampleRatio420)
	for y := range h {
		for x := range w {
			fx, fy := float64(x)/float64(w), float64(y)/float64(h)
			r, g, b := 128+90*math.Sin(90*fx+30*fy*fx), 225*fy, 128+90*math.Cos(240*fx*fy)
			if math.Hypot(fx-0.4, fy-0.5) < 0.25 {
				r, b = b, r
			}
			n := 20 * rng.Float64()
			yy, cb, cr := color.RGBToYCbCr(byte(r+n), byte(g+n), byte(b+n))
			m.Y[m.YOffset(x, y)], m.Cb[m.COffset(x, y)], m.Cr[m.COffset(x, y)] = yy, cb, cr
		}
	}
	return m
}
