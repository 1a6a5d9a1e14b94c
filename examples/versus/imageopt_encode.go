package main

import (
	"bytes"
	"errors"
	"fmt"
	"image"
	"image/jpeg"
	"image/png"
	"maps"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"

	"github.com/perfblocks/perfblocks/examples/versus/internal/bench"
	"github.com/perfblocks/perfblocks/imageopt"
)

// imageoptEncoder runs the benchmarks of the encoder, which is internal, round by
// round: 4:2:0 planes at quality 80, against image/jpeg, and TargetBytes against one
// encoding.
func imageoptEncoder(r *bench.Report, s *pictures) error {
	test := filepath.Join(s.dir, "jpegenc.test")
	c := exec.Command("go", "test", "-c", "-o", test, "./imageopt/internal/jpegenc")
	c.Dir = filepath.Join("..", "..")
	if out, err := c.CombinedOutput(); err != nil {
		return fmt.Errorf("building the encoder's benchmarks: %w: %s", err, out)
	}
	rounds := 7
	if r.Full {
		rounds = 15
	}
	line := regexp.MustCompile(`(?m)^Benchmark(\S+)\s+\d+\s+([\d.]+) ns/op`)
	figures := map[string][]float64{}
	for range rounds {
		c := exec.Command(test, "-test.run", "^$", "-test.bench", "^BenchmarkEncode(To)?$", "-test.benchtime", "60ms")
		c.Env = append(os.Environ(), "GOMAXPROCS=1")
		out, err := c.Output()
		if err != nil {
			return fmt.Errorf("the encoder's benchmarks: %w", err)
		}
		for _, m := range line.FindAllSubmatch(out, -1) {
			v, err := strconv.ParseFloat(string(m[2]), 64)
			if err != nil {
				return err
			}
			figures[string(m[1])] = append(figures[string(m[1])], v)
		}
	}
	ratio := func(a, b string) float64 {
		x, y := figures[a], figures[b]
		v := make([]float64, min(len(x), len(y)))
		if len(v) == 0 {
			return math.NaN()
		}
		for i := range v {
			v[i] = x[i] / y[i]
		}
		slices.Sort(v)
		return v[len(v)/2]
	}
	r.AtMost("JPEG encoder, 4:2:0 planes, sequential: time", "of image/jpeg's", ratio("Encode/sequential", "Encode/std"), 0.5,
		bench.Value{Name: "progressive", Value: ratio("Encode/progressive", "Encode/std")})
	r.AtMost("JPEG encoder, TargetBytes: time", "of one encoding's", ratio("EncodeTo/target", "EncodeTo/once"), 1.5)
	return nil
}

// photoPNG is a PNG of a photo, so that the encoders alone make the difference.
func photoPNG(m image.Image) ([]byte, error) {
	var b bytes.Buffer
	err := png.Encode(&b, m)
	return b.Bytes(), err
}

// lumaOf decodes the luma of a JPEG.
func lumaOf(b []byte) (*image.Gray, error) {
	m, err := jpeg.Decode(bytes.NewReader(b))
	if err != nil {
		return nil, err
	}
	y, ok := m.(*image.YCbCr)
	if !ok {
		return nil, errors.New("not in YCbCr")
	}
	return &image.Gray{Pix: y.Y, Stride: y.YStride, Rect: y.Rect}, nil
}

// imageoptBytes compares lengths at equal luma SSIM with image/jpeg at quality 80.
func imageoptBytes(r *bench.Report, s *pictures) error {
	logs, worst := 0.0, 0.0
	for _, name := range slices.Sorted(maps.Keys(s.photos)) {
		k, err := s.lengthRatio(s.photos[name])
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		logs, worst = logs+math.Log(k), max(worst, k)
	}
	n := fmt.Sprintf("%d photos of 640 px, ", len(s.photos))
	r.AtMost(n+"bytes at the luma SSIM of image/jpeg's quality 80: geometric mean", "of image/jpeg's", math.Exp(logs/float64(len(s.photos))), 0.95)
	r.AtMost(n+"bytes at the luma SSIM of image/jpeg's quality 80: worst", "of image/jpeg's", worst, 1)
	return nil
}

// lengthRatio interpolates between the two qualities around the SSIM of image/jpeg.
func (s *pictures) lengthRatio(m *image.YCbCr) (float64, error) {
	src, err := photoPNG(m)
	if err != nil {
		return 0, err
	}
	pixels, err := png.Decode(bytes.NewReader(src))
	if err != nil {
		return 0, err
	}
	ref := grayOf(pixels)
	var std bytes.Buffer
	if err := jpeg.Encode(&std, pixels, &jpeg.Options{Quality: 80}); err != nil {
		return 0, err
	}
	want, err := similarity(ref, std.Bytes())
	if err != nil {
		return 0, err
	}
	var lastSSIM, lastLog float64
	for q := 70; q <= 100; q++ {
		b, err := s.thumb(src, imageopt.Spec{Format: imageopt.FormatJPEG, Quality: q})
		if err != nil {
			return 0, err
		}
		got, err := similarity(ref, b)
		if err != nil {
			return 0, err
		}
		log := math.Log(float64(len(b)) / float64(std.Len()))
		if got >= want {
			if q == 70 {
				return math.Exp(log), nil
			}
			return math.Exp(lastLog + (log-lastLog)*(want-lastSSIM)/(got-lastSSIM)), nil
		}
		lastSSIM, lastLog = got, log
	}
	return 0, errors.New("no quality reaches the SSIM of image/jpeg")
}

// grayOf is luma as JPEG defines it.
func grayOf(m image.Image) *image.Gray {
	g := image.NewGray(m.Bounds())
	for y := range g.Rect.Dy() {
		for x := range g.Rect.Dx() {
			r, gg, b, _ := m.At(x, y).RGBA()
			g.Pix[y*g.Stride+x] = byte((19595*(r>>8) + 38470*(gg>>8) + 7471*(b>>8) + 1<<15) >> 16)
		}
	}
	return g
}

// similarity is the mean SSIM of 8 × 8 windows, four apart.
func similarity(ref *image.Gray, file []byte) (float64, error) {
	m, err := lumaOf(file)
	if err != nil {
		return 0, err
	}
	const c1, c2 = 6.5025, 58.5225
	sum, n := 0.0, 0
	for y := 0; y+8 <= ref.Rect.Dy(); y += 4 {
		for x := 0; x+8 <= ref.Rect.Dx(); x += 4 {
			var sa, sb, saa, sbb, sab float64
			for v := y; v < y+8; v++ {
				for u := x; u < x+8; u++ {
					a, b := float64(ref.Pix[v*ref.Stride+u]), float64(m.Pix[v*m.Stride+u])
					sa, sb, saa, sbb, sab = sa+a, sb+b, saa+a*a, sbb+b*b, sab+a*b
				}
			}
			ma, mb := sa/64, sb/64
			sum += (2*ma*mb + c1) * (2*(sab/64-ma*mb) + c2) / ((ma*ma + mb*mb + c1) * (saa/64 - ma*ma + sbb/64 - mb*mb + c2))
			n++
		}
	}
	return sum / float64(n), nil
}

// imageoptTarget asks for sizes between quality 40 and 90.
func imageoptTarget(r *bench.Report, s *pictures) error {
	least, most := math.Inf(1), 0.0
	for _, m := range s.photos {
		src, err := photoPNG(m)
		if err != nil {
			return err
		}
		for _, q := range []int{40, 60, 80, 89} {
			b, err := s.thumb(src, imageopt.Spec{Format: imageopt.FormatJPEG, Quality: q})
			if err != nil {
				return err
			}
			for _, k := range []float64{0.93, 1, 1.09} {
				want := int(k * float64(len(b)))
				got, err := s.thumb(src, imageopt.Spec{Format: imageopt.FormatJPEG, TargetBytes: want})
				if err != nil {
					return err
				}
				if _, err := lumaOf(got); err != nil {
					return err
				}
				part := float64(len(got)) / float64(want)
				least, most = min(least, part), max(most, part)
			}
		}
	}
	r.AtLeast("TargetBytes: the smallest result", "of the target", least, 0.92)
	r.AtMost("TargetBytes: the largest result", "of the target", most, 1)
	return nil
}
