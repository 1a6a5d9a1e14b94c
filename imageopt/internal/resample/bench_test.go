package resample_test

import (
	"fmt"
	"image"
	"math/rand/v2"
	"testing"

	"github.com/disintegration/imaging"
	"github.com/perfblocks/perfblocks/imageopt/internal/resample"
)

func kernel(f imaging.ResampleFilter) resample.Kernel {
	return resample.Kernel{Support: f.Support, At: f.Kernel}
}

// photo is a picture of w × h in planes, subsampled 4:2:0, and in pixels.
func photo(w, h int) (planes [3]resample.Plane, pix *image.NRGBA) {
	rng := rand.New(rand.NewPCG(1, 1))
	planes = [3]resample.Plane{resample.NewPlane(w, h, 1), resample.NewPlane(w/2, h/2, 1), resample.NewPlane(w/2, h/2, 1)}
	for _, p := range planes {
		for i := range p.Pix {
			p.Pix[i] = byte(i/7%200) + byte(rng.Uint32()%20)
		}
	}
	pix = image.NewNRGBA(image.Rect(0, 0, w, h))
	for i := range pix.Pix {
		pix.Pix[i] = planes[0].Pix[i%len(planes[0].Pix)]
		if i%4 == 3 {
			pix.Pix[i] = 255
		}
	}
	return planes, pix
}

func BenchmarkPlanes(b *testing.B) {
	planes, pix := photo(3024, 4032)
	k := kernel(imaging.Lanczos)
	for _, to := range []image.Point{{400, 533}, {1920, 2560}} {
		size := fmt.Sprintf("to=%d", to.X)
		b.Run(size+"/side=perfblocks", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				for i, p := range planes {
					w, h := to.X, to.Y
					if i > 0 {
						w, h = (w+1)/2, (h+1)/2
					}
					dst := resample.NewPlane(w, h, 1)
					if err := resample.Planes(b.Context(), dst, p, 0, 0, float64(p.W), float64(p.H), k); err != nil {
						b.Fatal(err)
					}
				}
			}
		})
		b.Run(size+"/side=imaging", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				imaging.Resize(pix, to.X, to.Y, imaging.Lanczos)
			}
		})
	}
}

func BenchmarkNRGBA(b *testing.B) {
	_, pix := photo(3024, 4032)
	src := resample.Plane{Pix: pix.Pix, W: 3024, H: 4032, Stride: pix.Stride, Ch: 4}
	to := image.Pt(400, 533)
	s := resample.NewScaler(resample.Linear(0, 3024, to.X), resample.Linear(0, 4032, to.Y), kernel(imaging.Lanczos))
	b.Run("side=opaque", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if err := s.Bytes(b.Context(), resample.NewPlane(to.X, to.Y, 4), src); err != nil {
				b.Fatal(err)
			}
		}
	})
	rows := func(y, x0, x1 int, dst []int16) { resample.Premultiplied(dst, src.Row(y, x0, x1)) }
	b.Run("side=alpha", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if err := s.Rows(b.Context(), resample.NewPlane(to.X, to.Y, 4), rows, resample.Straight); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("side=imaging", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			imaging.Resize(pix, to.X, to.Y, imaging.Lanczos)
		}
	})
}
