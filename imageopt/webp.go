package imageopt

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"image"

	"github.com/HugoSmits86/nativewebp"
	"github.com/perfblocks/perfblocks/imageopt/internal/quant"
	"golang.org/x/image/webp"
)

// encodeWebP writes lossless WebP. The encoder writes wrong files for palettes of up
// to 16 colours, whose pixels the format packs, and panics on some very small
// pictures, so it gets no such palettes, its files are read back, and plainWebP
// stands in where it fails.
func encodeWebP(b *bytes.Buffer, p picture) error {
	m := p.nrgba()
	var img image.Image = m
	if q := quant.Exact(m, 256); q != nil && len(q.Palette) > 16 {
		img = q
	}
	err := func() (err error) {
		defer func() {
			if v := recover(); v != nil {
				err = fmt.Errorf("encoder panicked: %v", v)
			}
		}()
		return nativewebp.Encode(b, img, nil)
	}()
	if err == nil && readsBack(b.Bytes(), m) {
		return nil
	}
	if max(m.Rect.Dx(), m.Rect.Dy()) > maxOutputSide+1 {
		return errors.New("too large for WebP")
	}
	b.Reset()
	b.Write(plainWebP(m))
	return nil
}

// readsBack reports whether a file shows m. Colours under alpha may lose what cannot
// be seen.
func readsBack(file []byte, m *image.NRGBA) bool {
	img, err := webp.Decode(bytes.NewReader(file))
	got, ok := img.(*image.NRGBA)
	if err != nil || !ok || got.Rect.Size() != m.Rect.Size() || len(got.Pix) != len(m.Pix) {
		return false
	}
	if bytes.Equal(got.Pix, m.Pix) {
		return true
	}
	for i := 0; i < len(m.Pix); i += 4 {
		a := int(m.Pix[i+3])
		if int(got.Pix[i+3]) != a {
			return false
		}
		for c := range 3 {
			if d := (int(got.Pix[i+c]) - int(m.Pix[i+c])) * a; d > 255 || d < -255 {
				return false
			}
		}
	}
	return true
}

// bits writes numbers from the lowest bit on.
type bits struct {
	out []byte
	acc uint64
	n   uint
}

func (b *bits) put(v uint64, n uint) {
	b.acc |= v << b.n
	for b.n += n; b.n >= 8; b.n -= 8 {
		b.out = append(b.out, byte(b.acc))
		b.acc >>= 8
	}
}

// plainWebP writes each channel of each pixel in eight bits: large, but right for
// every picture.
func plainWebP(m *image.NRGBA) []byte {
	w, h := m.Rect.Dx(), m.Rect.Dy()
	b := &bits{out: make([]byte, 20, 20+64+4*w*h)}
	b.put(0x2f, 8)
	b.put(uint64(w-1), 14)
	b.put(uint64(h-1), 14)
	b.put(1, 1) // alpha
	b.put(0, 3+1+1+1)
	for _, literals := range []int{256 + 24, 256, 256, 256} {
		// Lengths are coded in one bit: 0 for "unused", 1 for "eight bits".
		b.put(0, 1)
		b.put(12-4, 4)
		b.put(1<<(3*2)|1<<(3*11), 3*12)
		b.put(0, 1)
		for i := range literals {
			if i < 256 {
				b.put(1, 1)
			} else {
				b.put(0, 1)
			}
		}
	}
	b.put(1, 4) // no distances: a simple code of the symbol 0
	for i := 0; i < len(m.Pix); i += 4 {
		for _, c := range []int{1, 0, 2, 3} {
			b.put(uint64(reverse(m.Pix[i+c])), 8)
		}
	}
	b.put(0, 7)
	if len(b.out)&1 != 0 {
		b.out = append(b.out, 0)
	}
	copy(b.out, "RIFF")
	binary.LittleEndian.PutUint32(b.out[4:], uint32(len(b.out)-8))
	copy(b.out[8:], "WEBPVP8L")
	binary.LittleEndian.PutUint32(b.out[16:], uint32(len(b.out)-20))
	return b.out
}

// reverse turns the bits of v round: codes are written from their highest bit on.
func reverse(v byte) byte {
	v = v>>4 | v<<4
	v = v>>2&0x33 | v<<2&0xcc
	return v>>1&0x55 | v<<1&0xaa
}
