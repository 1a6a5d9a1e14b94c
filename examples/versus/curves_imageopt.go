package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"image"
	"image/jpeg"
	"io"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/disintegration/imaging"

	"github.com/perfblocks/perfblocks/examples/versus/internal/bench"
	"github.com/perfblocks/perfblocks/examples/versus/internal/curve"
	"github.com/perfblocks/perfblocks/imageopt"
)

const (
	oursImages = "perfblocks imageopt"
	vipsImages = "vipsthumbnail, a process each"
	curveWidth = 640 // of the results
)

// imageoptCurve makes thumbnails of more and more pictures at once.
func imageoptCurve(r *bench.Report, c *curves) (*curve.Figure, error) {
	dir, err := os.MkdirTemp("", "imageopt")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	pixels, note, err := curvePicture(filepath.Join(dir, "baseline.jpg"), c.small)
	if err != nil {
		return nil, err
	}
	f := &curve.Figure{
		Title: "Thumbnails of a photo against those made at once", Size: "pictures at once", Names: []string{oursImages, "imaging"}, Ours: 1,
		Panels: []curve.Panel{
			{Title: "Wall time for a picture", Unit: curve.Nanoseconds},
			{Title: "CPU time for a picture", Unit: curve.Nanoseconds},
			{Title: "Until the median picture is done", Unit: curve.Nanoseconds},
			{Title: "Peak RSS", Unit: curve.Bytes},
		},
		Notes: []string{fmt.Sprintf("%s of %.1f million pixels, baseline JPEG, to a JPEG %d pixels wide with quality 80; results compared before, PSNR to ours at least 28 dB. "+
			"Options and GOGC as they are by default: ours decodes at a scale and lets pictures wait whose memory is over its bound; imaging decodes all at once. "+
			"Of vipsthumbnail the peak is the sum over its processes, VIPS_CONCURRENCY=1.", note, pixels/1e6, curveWidth)},
	}
	if _, err := exec.LookPath("vipsthumbnail"); err == nil && !c.small {
		f.Names = append(f.Names, vipsImages)
	} else if err != nil {
		leftOut(r, f, "vipsthumbnail", "it is not installed")
	}
	sizes := []int{1, 4, 16, 64}
	if r.Full {
		sizes = []int{1, 2, 4, 8, 16, 32, 64}
	}
	for _, n := range c.sizes(r, sizes) {
		var specs []sideSpec
		for _, name := range f.Names {
			// A picture of imaging's is held as YCbCr, then as NRGBA, and resized; vips works on tiles.
			need, have := int64(n)*int64(12*pixels), availableBytes()
			if name == "imaging" && have < need {
				leftOut(r, f, fmt.Sprintf("imaging, %d at once", n), fmt.Sprintf("%d MB of memory are wanted and %d are free", need/1e6, have/1e6))
				continue
			}
			specs = append(specs, sideSpec{Curve: "imageopt", Side: name, N: n, Dir: dir})
		}
		sides, err := takeTurns(specs, c.orRounds(3), samePicture)
		if err != nil {
			return nil, err
		}
		addPoints(f, sides)
	}
	if !c.small {
		growth(r, &f.Panels[1], f.Names, 4, 1.3)
		if p, ok := f.Panels[3].Line(oursImages).At(64); ok {
			r.AtMost("peak RSS of 64 at once, MaxMemory 512 MiB", "MB", p.Y/1e6, 650)
		}
	}
	return f, nil
}

// curvePicture writes the picture, of a quarter of 12 million pixels.
func curvePicture(name string, small bool) (pixels float64, note string, err error) {
	o, err := imageopt.New(imageopt.Options{})
	if err != nil {
		return 0, "", err
	}
	s := &pictures{dir: filepath.Dir(name), o: o}
	if small {
		s.note = "a made-up picture"
		var b bytes.Buffer
		if err := jpeg.Encode(&b, madeUp(800, 600), &jpeg.Options{Quality: 85}); err != nil {
			return 0, "", err
		}
		s.baseline = b.Bytes()
	} else if err := s.large(); err != nil {
		return 0, "", err
	}
	conf, err := jpeg.DecodeConfig(bytes.NewReader(s.baseline))
	if err != nil {
		return 0, "", err
	}
	if !small {
		var b bytes.Buffer
		if _, err := o.Process(context.Background(), &b, bytes.NewReader(s.baseline), imageopt.Spec{Width: conf.Width / 2, Quality: 85, Format: imageopt.FormatJPEG}); err != nil {
			return 0, "", err
		}
		s.baseline = b.Bytes()
		if conf, err = jpeg.DecodeConfig(&b); err != nil {
			return 0, "", err
		}
	}
	return float64(conf.Width) * float64(conf.Height), strings.ToUpper(s.note[:1]) + s.note[1:], os.WriteFile(name, s.baseline, 0o600)
}

// samePicture compares two JPEGs in base64.
func samePicture(a, b string) error {
	var m [2]image.Image
	for i, s := range []string{a, b} {
		raw, err := base64.StdEncoding.DecodeString(s)
		if err != nil {
			return err
		}
		if m[i], err = jpeg.Decode(bytes.NewReader(raw)); err != nil {
			return err
		}
	}
	if m[0].Bounds() != m[1].Bounds() {
		return fmt.Errorf("%v and %v", m[0].Bounds(), m[1].Bounds())
	}
	sum, r := 0.0, m[0].Bounds()
	for y := r.Min.Y; y < r.Max.Y; y++ {
		for x := r.Min.X; x < r.Max.X; x++ {
			r0, g0, b0, _ := m[0].At(x, y).RGBA()
			r1, g1, b1, _ := m[1].At(x, y).RGBA()
			for _, d := range []float64{float64(r0>>8) - float64(r1>>8), float64(g0>>8) - float64(g1>>8), float64(b0>>8) - float64(b1>>8)} {
				sum += d * d
			}
		}
	}
	mean := sum / float64(3*r.Dx()*r.Dy())
	if psnr := 10 * math.Log10(255*255/max(mean, 1e-9)); psnr < 28 {
		return fmt.Errorf("the PSNR of their pictures is %.1f dB", psnr)
	}
	return nil
}

// thumbnailer makes a thumbnail, and tells the memory that a process of its own had, if
// it had one.
type thumbnailer func(w io.Writer) (peak int64, err error)

func thumbnailerOf(s sideSpec) (thumbnailer, error) {
	name := filepath.Join(s.Dir, "baseline.jpg")
	src, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	switch s.Side {
	case oursImages:
		o, err := imageopt.New(imageopt.Options{MaxWait: -1})
		return func(w io.Writer) (int64, error) {
			_, err := o.Process(context.Background(), w, bytes.NewReader(src), thumbSpec(curveWidth))
			return 0, err
		}, err
	case "imaging":
		return func(w io.Writer) (int64, error) {
			m, err := imaging.Decode(bytes.NewReader(src))
			if err != nil {
				return 0, err
			}
			return 0, jpeg.Encode(w, imaging.Resize(m, curveWidth, 0, imaging.Lanczos), &jpeg.Options{Quality: 80})
		}, nil
	case vipsImages:
		var made atomic.Int64
		return func(w io.Writer) (int64, error) {
			out := filepath.Join(s.Dir, fmt.Sprintf("vips-%d-%d.jpg", s.N, made.Add(1)))
			c := exec.Command("vipsthumbnail", "--size", fmt.Sprint(curveWidth, "x"), "-o", out+"[Q=80]", name)
			c.Env = append(os.Environ(), "VIPS_CONCURRENCY=1")
			if err := c.Run(); err != nil {
				return 0, err
			}
			b, err := os.ReadFile(out)
			if err != nil {
				return 0, err
			}
			_, err = w.Write(b)
			u, _ := c.ProcessState.SysUsage().(*syscall.Rusage)
			return u.Maxrss << 10, errors.Join(err, os.Remove(out))
		}, nil
	}
	return nil, fmt.Errorf("nobody makes thumbnails as %q", s.Side)
}

// imageoptSide makes thumbnails, so many at once.
func imageoptSide(s sideSpec) (*working, error) {
	do, err := thumbnailerOf(s)
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	if _, err := do(&b); err != nil {
		return nil, err
	}
	return &working{
		result: base64.StdEncoding.EncodeToString(b.Bytes()),
		round:  func() (figures, error) { return crowdRound(do, s.N) },
		close:  func() error { return nil },
	}, nil
}

// crowdRound makes n thumbnails at once, a few times when that is over soon.
// Memory that the round before has freed is used again, as in a server.
func crowdRound(do thumbnailer, n int) (figures, error) {
	if err := resetPeak(); err != nil {
		return nil, err
	}
	cpu := rusage(syscall.RUSAGE_SELF) + rusage(syscall.RUSAGE_CHILDREN)
	start := time.Now()
	again := max(1, 4/n)
	done := make([]float64, 0, n*again)
	children := int64(0)
	for range again {
		var mu sync.Mutex
		var wg sync.WaitGroup
		var errs []error
		sum, begun := int64(0), time.Now()
		for range n {
			wg.Go(func() {
				peak, err := do(io.Discard)
				mu.Lock()
				defer mu.Unlock()
				sum += peak
				done = append(done, float64(time.Since(begun)))
				if err != nil {
					errs = append(errs, err)
				}
			})
		}
		wg.Wait()
		if err := errors.Join(errs...); err != nil {
			return nil, err
		}
		children = max(children, sum)
	}
	slices.Sort(done)
	all := float64(len(done))
	f := figures{
		"0": float64(time.Since(start)) / all,
		"1": 1000 * (rusage(syscall.RUSAGE_SELF) + rusage(syscall.RUSAGE_CHILDREN) - cpu) / all,
		"2": done[len(done)/2],
	}
	if children > 0 {
		f["3"] = float64(children)
	} else if p := peakBytes(); p > 0 {
		f["3"] = float64(p)
	}
	return f, nil
}
