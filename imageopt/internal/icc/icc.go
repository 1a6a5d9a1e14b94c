package icc

import (
	"bytes"
	"encoding/binary"
	"math"
)

// Kind says what a profile asks for.
type Kind uint8

const (
	// None: no usable profile, or one that is as good as sRGB.
	None Kind = iota
	// Matrix: an RGB profile with a matrix that differs from sRGB; see Transform.
	Matrix
	// Other: a profile that this package cannot apply (CMYK, gray, Lab, damaged).
	Other
	// Table: a profile of RGB by tables, which this package cannot apply but a viewer
	// can.
	Table
	// XYB: the profile of a JPEG in XYB colours, garbage under any other profile.
	XYB
)

// Transform converts RGB of one profile to sRGB.
type Transform struct {
	lin [3][256]float32 // to linear light
	m   [9]float32      // to linear sRGB
	out [4097]byte      // from linear light to sRGB
}

// Parse reads a profile. The Transform is nil unless Kind is Matrix.
func Parse(p []byte) (Kind, *Transform) {
	if len(p) < 132 || string(p[36:40]) != "acsp" {
		return None, nil
	}
	if bytes.Contains(p[:min(len(p), 4096)], []byte("XYB")) || bytes.Contains(p[:min(len(p), 4096)], []byte("\x00X\x00Y\x00B")) {
		return XYB, nil
	}
	if string(p[16:20]) != "RGB " {
		return Other, nil
	}
	tags := readTags(p)
	if tags["A2B0"] != nil {
		return Table, nil
	}
	if string(p[20:24]) != "XYZ " {
		return Other, nil
	}
	t := &Transform{}
	var toXYZ [9]float64
	for i, c := range []string{"r", "g", "b"} {
		xyz, trc := tags[c+"XYZ"], tags[c+"TRC"]
		if len(xyz) < 20 || string(xyz[:4]) != "XYZ " {
			return Other, nil
		}
		for j := range 3 {
			toXYZ[3*j+i] = s15(xyz[8+4*j:])
		}
		f := curve(trc)
		if f == nil || !(f(0) < 0.1 && f(1) > 0.9 && f(1) < 1.1) {
			return Other, nil
		}
		for v := range 256 {
			t.lin[i][v] = float32(f(float64(v) / 255))
		}
	}
	if !white(toXYZ) {
		return Other, nil
	}
	t.fill(toXYZ)
	if t.nearSRGB() {
		return None, nil
	}
	return Matrix, t
}

// white reports whether full red, green and blue make a white, that of D50 or of a
// warm or cold screen. What does not would turn pictures black or into one colour.
func white(toXYZ [9]float64) bool {
	for i, within := range [3][2]float64{{0.8, 1.2}, {0.9, 1.1}, {0.5, 1.4}} {
		sum := toXYZ[3*i] + toXYZ[3*i+1] + toXYZ[3*i+2]
		if !(sum > within[0] && sum < within[1]) {
			return false
		}
		for _, v := range toXYZ[3*i : 3*i+3] {
			if math.Abs(v) > 2 {
				return false
			}
		}
	}
	return true
}

func readTags(p []byte) map[string][]byte {
	n := int(min(binary.BigEndian.Uint32(p[128:]), 100))
	tags := make(map[string][]byte, n)
	for i := range n {
		if len(p) < 132+12*(i+1) {
			break
		}
		e := p[132+12*i:]
		off, size := uint64(binary.BigEndian.Uint32(e[4:])), uint64(binary.BigEndian.Uint32(e[8:]))
		if off+size <= uint64(len(p)) {
			tags[string(e[:4])] = p[off : off+size]
		}
	}
	return tags
}

func s15(b []byte) float64 { return float64(int32(binary.BigEndian.Uint32(b))) / 65536 }

// curve returns the tone curve of a TRC tag, or nil.
func curve(b []byte) func(float64) float64 {
	if len(b) < 12 {
		return nil
	}
	switch string(b[:4]) {
	case "curv":
		n := int(min(binary.BigEndian.Uint32(b[8:]), 1<<16))
		if len(b) < 12+2*n {
			return nil
		}
		switch n {
		case 0:
			return func(x float64) float64 { return x }
		case 1:
			g := float64(binary.BigEndian.Uint16(b[12:])) / 256
			return func(x float64) float64 { return math.Pow(x, g) }
		}
		return func(x float64) float64 {
			at := x * float64(n-1)
			i := min(int(at), n-2)
			v0 := float64(binary.BigEndian.Uint16(b[12+2*i:]))
			v1 := float64(binary.BigEndian.Uint16(b[14+2*i:]))
			return (v0 + (v1-v0)*(at-float64(i))) / 65535
		}
	case "para":
		return parametric(b)
	}
	return nil
}

// parametric reads the five function types of ICC.1 §10.18.
func parametric(b []byte) func(float64) float64 {
	typ := int(binary.BigEndian.Uint16(b[8:]))
	counts := [5]int{1, 3, 4, 5, 7}
	if typ >= len(counts) || len(b) < 12+4*counts[typ] {
		return nil
	}
	var p [7]float64 // g a b c d e f
	for i := range counts[typ] {
		p[i] = s15(b[12+4*i:])
	}
	g, a, bb, c, d, e, f := p[0], p[1], p[2], p[3], p[4], p[5], p[6]
	pow := func(x float64) float64 { return math.Pow(max(a*x+bb, 0), g) }
	switch typ {
	case 0:
		return func(x float64) float64 { return math.Pow(x, g) }
	case 1, 2:
		add := 0.0
		if typ == 2 {
			add = c
		}
		return func(x float64) float64 {
			if a != 0 && x >= -bb/a {
				return pow(x) + add
			}
			return add
		}
	}
	return func(x float64) float64 { // 3 has no e and f
		if x >= d {
			return pow(x) + e
		}
		return c*x + f
	}
}

// d50ToSRGB takes XYZ under D50, as profiles hold it, to linear sRGB.
var d50ToSRGB = [9]float64{
	3.1338561, -1.6168667, -0.4906146,
	-0.9787684, 1.9161415, 0.0334540,
	0.0719453, -0.2289914, 1.4052427,
}

func (t *Transform) fill(toXYZ [9]float64) {
	for r := range 3 {
		for c := range 3 {
			v := 0.0
			for k := range 3 {
				v += d50ToSRGB[3*r+k] * toXYZ[3*k+c]
			}
			t.m[3*r+c] = float32(v)
		}
	}
	for i := range t.out {
		// The table is over the square root, where dark tones have room.
		x := float64(i) / float64(len(t.out)-1)
		x *= x
		if x <= 0.0031308 {
			x *= 12.92
		} else {
			x = 1.055*math.Pow(x, 1/2.4) - 0.055
		}
		t.out[i] = byte(math.Round(255 * x))
	}
}

// nearSRGB reports whether the transform moves no colour of a coarse grid by more
// than two steps.
func (t *Transform) nearSRGB() bool {
	for r := 0; r < 256; r += 51 {
		for g := 0; g < 256; g += 51 {
			for b := 0; b < 256; b += 51 {
				p := [4]byte{byte(r), byte(g), byte(b), 255}
				q := p
				t.Convert(q[:])
				for i := range 3 {
					if d := int(p[i]) - int(q[i]); d > 2 || d < -2 {
						return false
					}
				}
			}
		}
	}
	return true
}

// Convert changes straight-alpha RGBA bytes in place. Colours outside sRGB are
// clipped.
func (t *Transform) Convert(pix []byte) {
	for ; len(pix) >= 4; pix = pix[4:] {
		r, g, b := t.lin[0][pix[0]], t.lin[1][pix[1]], t.lin[2][pix[2]]
		pix[0] = t.encode(t.m[0]*r + t.m[1]*g + t.m[2]*b)
		pix[1] = t.encode(t.m[3]*r + t.m[4]*g + t.m[5]*b)
		pix[2] = t.encode(t.m[6]*r + t.m[7]*g + t.m[8]*b)
	}
}

func (t *Transform) encode(v float32) byte {
	if !(v > 0) {
		return 0
	}
	if v >= 1 {
		return 255
	}
	return t.out[int(math.Sqrt(float64(v))*float64(len(t.out)-1)+0.5)]
}
