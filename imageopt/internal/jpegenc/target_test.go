package jpegenc_test

import (
	"errors"
	"fmt"
	"image"
	"testing"

	"github.com/perfblocks/perfblocks/imageopt/internal/jpegenc"
)

func TestEncodeTo(t *testing.T) {
	for _, size := range [][2]int{{90, 60}, {320, 200}, {641, 483}} {
		for _, ratio := range []image.YCbCrSubsampleRatio{image.YCbCrSubsampleRatio444, image.YCbCrSubsampleRatio420} {
			p := picture(photo(size[0], size[1], ratio))
			for _, seq := range []bool{false, true} {
				most := len(encode(t, p, jpegenc.Options{Quality: 100, Sequential: seq}))
				for _, part := range []int{2, 3, 5, 8, 12} {
					want := most / part
					if want < 1500 || want < 4000 && !seq {
						continue // headers are most of such a file
					}
					name := fmt.Sprintf("%v %v sequential %v, %d bytes", size, ratio, seq, want)
					b, err := jpegenc.EncodeTo(t.Context(), p, want, jpegenc.Options{Quality: 100, Sequential: seq})
					if err != nil {
						t.Errorf("%s: %v", name, err)
						continue
					}
					if len(b) > want || len(b) < want*92/100 {
						t.Errorf("%s: %d, which is %.3f", name, len(b), float64(len(b))/float64(want))
					}
					lumaError(t, b, p.Planes[0])
				}
			}
		}
	}
}

func TestEncodeToLimits(t *testing.T) {
	p := picture(photo(200, 100, image.YCbCrSubsampleRatio420))
	_, err := jpegenc.EncodeTo(t.Context(), p, 500, jpegenc.Options{Quality: 90})
	if e, ok := errors.AsType[*jpegenc.TooLargeError](err); !ok || e.Want != 500 || e.Least <= 500 {
		t.Errorf("EncodeTo 500 bytes: %v; want TooLargeError", err)
	}
	all := encode(t, p, jpegenc.Options{Quality: 60})
	b, err := jpegenc.EncodeTo(t.Context(), p, 1<<20, jpegenc.Options{Quality: 60})
	if err != nil || len(b) != len(all) {
		t.Errorf("EncodeTo 1 MiB with quality 60: %d bytes, %v; want the %d of quality 60", len(b), err, len(all))
	}
}

func BenchmarkEncodeTo(b *testing.B) {
	p := picture(photo(640, 480, image.YCbCrSubsampleRatio420))
	want := len(encode(b, p, jpegenc.Options{Quality: 75}))
	b.Run("once", func(b *testing.B) {
		for b.Loop() {
			encode(b, p, jpegenc.Options{Quality: 75})
		}
	})
	b.Run("target", func(b *testing.B) {
		for b.Loop() {
			if _, err := jpegenc.EncodeTo(b.Context(), p, want, jpegenc.Options{Quality: 100}); err != nil {
				b.Fatal(err)
			}
		}
	})
}
