package jpegdec_test

import (
	"bytes"
	"fmt"
	"image/jpeg"
	"testing"

	"github.com/perfblocks/perfblocks/imageopt/internal/jpegdec"
)

func BenchmarkDecode(b *testing.B) {
	base := encoded(b, photo(2000, 1500), 85)
	files := map[string][]byte{"baseline": base, "progressive": pipe(b, base, "jpegtran", "-progressive")}
	if testing.Short() {
		delete(files, "progressive")
	}
	for _, name := range []string{"baseline", "progressive"} {
		for _, scale := range []int{1, 2, 4, 8} {
			b.Run(fmt.Sprintf("source=%s/scale=%d", name, scale), func(b *testing.B) {
				b.ReportAllocs()
				b.SetBytes(int64(len(files[name])))
				for b.Loop() {
					if _, err := jpegdec.Decode(b.Context(), files[name], jpegdec.Options{Scale: scale}); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
		b.Run("source="+name+"/std", func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(files[name])))
			for b.Loop() {
				if _, err := jpeg.Decode(bytes.NewReader(files[name])); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
