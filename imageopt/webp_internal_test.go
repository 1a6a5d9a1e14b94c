package imageopt

import (
	"bytes"
	"image"
	"math/rand/v2"
	"testing"
)

// The encoder that this package builds on has failed on pictures like these.
func TestEncodeWebPReadsBack(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 9))
	for i := range 300 {
		w, h, colours := 1+rng.IntN(6), 1+rng.IntN(6), 1+rng.IntN(40)
		if i%3 == 0 {
			w, h = 1+rng.IntN(80), 1+rng.IntN(80)
		}
		m := image.NewNRGBA(image.Rect(0, 0, w, h))
		palette := make([]byte, 4*colours)
		for j := range palette {
			palette[j] = byte(rng.IntN(256))
			if j%4 == 3 && i%2 == 0 {
				palette[j] = 255
			}
		}
		for j := 0; j < len(m.Pix); j += 4 {
			copy(m.Pix[j:j+4], palette[4*rng.IntN(colours):])
		}
		var b bytes.Buffer
		if err := encodeWebP(&b, picture{rgba: m}); err != nil || !readsBack(b.Bytes(), m) {
			t.Errorf("%d × %d in %d colours: error %v, or not what was written", w, h, colours, err)
		}
		if !readsBack(plainWebP(m), m) {
			t.Errorf("plainWebP of %d × %d does not read back", w, h)
		}
	}
}
