package vp8l

import (
	"bytes"
	"context"
	"errors"
	"image"
	"math/rand/v2"
	"testing"
	"time"

	"golang.org/x/image/webp"
)

// back encodes and decodes.
func back(t testing.TB, pix []byte, w, h int) (file, got []byte) {
	t.Helper()
	file, err := Encode(t.Context(), pix, w, h)
	if err != nil {
		t.Fatal(err)
	}
	m, err := webp.Decode(bytes.NewReader(file))
	if err != nil {
		t.Fatalf("%d × %d: %v", w, h, err)
	}
	n := m.(*image.NRGBA)
	if n.Rect.Dx() != w || n.Rect.Dy() != h {
		t.Fatalf("%d × %d comes back as %v", w, h, n.Rect)
	}
	return file, n.Pix
}

func picture(rng *rand.Rand, w, h, colours int, alpha bool) []byte {
	palette := make([]byte, 4*colours)
	for i := range palette {
		palette[i] = byte(rng.Uint32())
		if i%4 == 3 && !alpha {
			palette[i] = 255
		}
	}
	pix := make([]byte, 4*w*h)
	run, at := 0, 0
	for i := 0; i < len(pix); i += 4 {
		if run == 0 {
			run, at = 1+rng.IntN(12), rng.IntN(colours)
		}
		run--
		copy(pix[i:i+4], palette[4*at:])
		if pix[i+3] == 0 {
			clear(pix[i : i+4])
		}
	}
	return pix
}

func TestReadsBack(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 9))
	for i := range 150 {
		w, h := 1+rng.IntN(6), 1+rng.IntN(6)
		if i%3 == 0 {
			w, h = 1+rng.IntN(90), 1+rng.IntN(90)
		}
		pix := picture(rng, w, h, 1+rng.IntN(1+rng.IntN(600)), i%2 == 0)
		if file, got := back(t, pix, w, h); !bytes.Equal(got, pix) {
			t.Errorf("%d × %d: %d bytes are not what was written", w, h, len(file))
		}
	}
}

func TestReadsBackLarge(t *testing.T) {
	for _, size := range [][2]int{{300, 200}, {16384, 3}, {3, 16384}} {
		w, h := size[0], size[1]
		smooth := make([]byte, 4*w*h)
		for i := range w * h {
			x, y := i%w, i/w
			copy(smooth[4*i:], []byte{byte(x + y), byte(x * 2), byte(y + x*y/100), 255})
		}
		rng := rand.New(rand.NewPCG(1, uint64(w)))
		for name, pix := range map[string][]byte{
			"smooth": smooth, "colours": picture(rng, w, h, 5, true), "many": picture(rng, w, h, 5000, true), "empty": make([]byte, 4*w*h),
		} {
			if _, got := back(t, pix, w, h); !bytes.Equal(got, pix) {
				t.Errorf("%s, %d × %d: not what was written", name, w, h)
			}
		}
	}
}

func TestCancelled(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Encode(ctx, make([]byte, 4*100), 10, 10); !errors.Is(err, context.Canceled) {
		t.Errorf("Encode = %v; want Canceled", err)
	}
}

func FuzzEncode(f *testing.F) {
	f.Add([]byte{1, 2, 3, 255, 1, 2, 3, 255, 9, 9, 9, 0}, uint8(3), uint8(1))
	f.Fuzz(func(t *testing.T, seed []byte, w, h uint8) {
		if w == 0 || h == 0 || len(seed) == 0 {
			return
		}
		pix := make([]byte, 4*int(w)*int(h))
		for i := range pix {
			pix[i] = seed[i%len(seed)]
		}
		for i := 0; i < len(pix); i += 4 {
			if pix[i+3] == 0 {
				clear(pix[i : i+4])
			}
		}
		if _, got := back(t, pix, int(w), int(h)); !bytes.Equal(got, pix) {
			t.Errorf("%d × %d: not what was written", w, h)
		}
	})
}

// countdown is a context that ends when it has been asked so many times.
type countdown struct {
	context.Context
	left  int
	ended time.Time
}

func (c *countdown) Err() error {
	if c.left--; c.left > 0 {
		return nil
	}
	if c.ended.IsZero() {
		c.ended = time.Now()
	}
	return context.Canceled
}

// TestCancelledWithin: wherever the context ends, the encoder is soon back.
func TestCancelledWithin(t *testing.T) {
	const w, h = 600, 300
	rng := rand.New(rand.NewPCG(7, 8))
	for name, colours := range map[string]int{"palette": 100, "colours": 60_000} {
		pix := picture(rng, w, h, colours, false)
		asked := &countdown{Context: t.Context(), left: 1 << 30}
		if _, err := Encode(asked, pix, w, h); err != nil {
			t.Fatal(err)
		}
		n := 1<<30 - asked.left
		var longest time.Duration
		at := 0
		for k := 1; k < n; k += 1 + n/20 {
			c := &countdown{Context: t.Context(), left: k}
			if _, err := Encode(c, pix, w, h); !errors.Is(err, context.Canceled) {
				t.Fatalf("%s: ended after %d of %d questions: %v; want Canceled", name, k, n, err)
			}
			if d := time.Since(c.ended); d > longest {
				longest, at = d, k
			}
		}
		t.Logf("%s: %d questions; back after at most %v, that at question %d", name, n, longest, at)
		if longest > 5*time.Second {
			t.Errorf("%s: back after %v", name, longest)
		}
	}
}

// TestLoopsStop: each loop over the picture asks, and does nothing more when told so.
func TestLoopsStop(t *testing.T) {
	pix := make([]uint32, 4*often)
	tokens := make([]token, 4*often)
	for i := range pix {
		pix[i] = 0xff010203
		tokens[i] = token{v: pix[i]}
	}
	d := &distances{2 * often, near()}
	h := count(tokens, d, 0, func() bool { return false })
	for name, loop := range map[string]func(stop func() bool) (more bool){
		"newFinder": func(stop func() bool) bool { return newFinder(pix, often, 4, stop).prev[len(pix)-1] != 0 },
		"count":     func(stop func() bool) bool { return count(tokens, d, 0, stop).red[1] == uint32(len(tokens)) },
		"writeTokens": func(stop func() bool) bool {
			copies := make([]token, 4*often)
			for i := range copies {
				copies[i] = token{1, 100}
			}
			b := &bitWriter{}
			writeTokens(b, copies, d, h, stop)
			return len(b.out) > often // five bits for each length
		},
		"subtractGreen": func(stop func() bool) bool { return subtractGreen(pix, stop)[len(pix)-1] != 0 },
		"predicted": func(stop func() bool) bool {
			rest, tiles := predicted(pix, 128, len(pix)/128, 3, stop)
			if len(tiles) != len(pix)/64 {
				t.Errorf("predicted: %d tiles, want %d", len(tiles), len(pix)/64)
			}
			return tiles[len(tiles)-1] != 0 || len(rest) != len(pix)
		},
	} {
		if !loop(func() bool { return false }) {
			t.Errorf("%s: does not come to its end", name)
		}
		asked := 0
		if loop(func() bool { asked++; return asked > 1 }) || asked != 2 {
			t.Errorf("%s: asked %d times, and went on to its end", name, asked)
		}
	}
}
