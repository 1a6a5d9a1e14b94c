package imageopt_test

import (
	"bytes"
	"fmt"
	"io"
	"testing"

	"github.com/perfblocks/perfblocks/imageopt"
)

func BenchmarkProcess(b *testing.B) {
	src := map[string][]byte{"jpeg": toJPEG(b, photo(2000, 1500), 90), "png": toPNG(b, photo(1000, 750)), "alpha": toPNG(b, veil(1000, 750))}
	o := newOptimizer(b, imageopt.Options{})
	for _, name := range []string{"jpeg", "png", "alpha"} {
		for _, w := range []int{320, 640} {
			b.Run(fmt.Sprintf("source=%s/width=%d", name, w), func(b *testing.B) {
				b.ReportAllocs()
				b.SetBytes(int64(len(src[name])))
				for b.Loop() {
					if _, err := o.Process(b.Context(), io.Discard, bytes.NewReader(src[name]), imageopt.Spec{Width: w}); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

func BenchmarkHandlerHit(b *testing.B) {
	o := newOptimizer(b, imageopt.Options{})
	h := newHandler(b, o, imageopt.HandlerOptions{Cache: &mapCache{m: map[string][]byte{}}})
	b.ReportAllocs()
	for b.Loop() {
		if w := get(h, "/img/?url=a.jpg&w=128"); w.Code != 200 {
			b.Fatal(w.Code)
		}
	}
}
