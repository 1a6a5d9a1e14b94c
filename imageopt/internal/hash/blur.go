package hash

import (
	"image"
	"math"
)

const base83 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz#$%*+,-.:;=?@[]^_{|}~"

// Blur returns the BlurHash of an opaque picture with nx × ny components (1..9 each).
func Blur(m *image.NRGBA, nx, ny int) string {
	lin := linear(m)
	var f [][3]float64
	for j := range ny {
		for i := range nx {
			f = append(f, lin.factor(i, j))
		}
	}
	out := append(make([]byte, 0, 4+2*len(f)), base83[nx-1+(ny-1)*9])
	most := 0.0
	for _, c := range f[1:] {
		for _, v := range c {
			most = max(most, math.Abs(v))
		}
	}
	q := 0
	if len(f) > 1 {
		q = int(min(max(math.Floor(most*166-0.5), 0), 82))
		most = float64(q+1) / 166
	}
	out = append(out, base83[q])
	dc := 0
	for _, v := range f[0] {
		dc = dc<<8 | toSRGB(v)
	}
	out = append83(out, dc, 4)
	for _, c := range f[1:] {
		n := 0
		for _, v := range c {
			s := math.Copysign(math.Sqrt(math.Abs(v/most)), v)
			n = n*19 + int(min(max(math.Floor(s*9+9.5), 0), 18))
		}
		out = append83(out, n, 2)
	}
	return string(out)
}

func append83(b []byte, v, digits int) []byte {
	for i := digits - 1; i >= 0; i-- {
		d := v
		for range i {
			d /= 83
		}
		b = append(b, base83[d%83])
	}
	return b
}

func toSRGB(v float64) int {
	v = min(max(v, 0), 1)
	if v <= 0.0031308 {
		return int(v*12.92*255 + 0.5)
	}
	return int((1.055*math.Pow(v, 1/2.4)-0.055)*255 + 0.5)
}

// light is a picture in linear light.
type light struct {
	w, h int
	rgb  [][3]float64
}

func linear(m *image.NRGBA) light {
	var table [256]float64
	for i := range table {
		v := float64(i) / 255
		if v <= 0.04045 {
			table[i] = v / 12.92
		} else {
			table[i] = math.Pow((v+0.055)/1.055, 2.4)
		}
	}
	l := light{w: m.Rect.Dx(), h: m.Rect.Dy()}
	for y := range l.h {
		for row := m.Pix[y*m.Stride:][:4*l.w]; len(row) > 0; row = row[4:] {
			l.rgb = append(l.rgb, [3]float64{table[row[0]], table[row[1]], table[row[2]]})
		}
	}
	return l
}

func (l light) factor(i, j int) (f [3]float64) {
	for y := range l.h {
		cy := math.Cos(math.Pi * float64(j) * float64(y) / float64(l.h))
		for x := range l.w {
			b := cy * math.Cos(math.Pi*float64(i)*float64(x)/float64(l.w))
			for c, v := range l.rgb[y*l.w+x] {
				f[c] += b * v
			}
		}
	}
	norm := 2.0
	if i == 0 && j == 0 {
		norm = 1
	}
	for c := range f {
		f[c] *= norm / float64(l.w*l.h)
	}
	return f
}
