package resample

import "math"

// Premultiplied writes pixels of straight alpha as [RowFunc] wants them.
func Premultiplied(dst []int16, src []byte) {
	n := premultiplyVector(dst, src)
	dst, src = dst[4*n:], src[4*n:]
	for ; len(src) >= 4 && len(dst) >= 4; dst, src = dst[4:], src[4:] {
		a := uint(src[3])
		dst[0] = int16((uint(src[0])*a + 2) >> 2)
		dst[1] = int16((uint(src[1])*a + 2) >> 2)
		dst[2] = int16((uint(src[2])*a + 2) >> 2)
		dst[3] = int16((255*a + 2) >> 2)
	}
}

// Straight is the [FinishFunc] for rows that are not in linear light.
func Straight(dst []byte, row []int16) {
	for ; len(row) >= 4 && len(dst) >= 4; row, dst = row[4:], dst[4:] {
		a := int32(row[3])
		switch {
		case a < Full/255/2: // less than half a step
			dst[0], dst[1], dst[2], dst[3] = 0, 0, 0, 0
		case a >= Full:
			dst[0], dst[1], dst[2], dst[3] = toByte(row[0]), toByte(row[1]), toByte(row[2]), 255
		default:
			k := 255 / float32(a)
			dst[0], dst[1], dst[2] = share(row[0], k), share(row[1], k), share(row[2], k)
			dst[3] = toByte(row[3])
		}
	}
}

// toByte takes 0..Full to 0..255.
func toByte(v int16) byte { return clamp((int32(v)*4*257 + 1<<15) >> 16) }

func share(v int16, k float32) byte { return clamp(int32(float32(max(v, 0))*k + 0.5)) }

// Light converts between sRGB and linear light.
type Light struct {
	linear [256]int16
	srgb   [Full + 1]byte
}

// NewLight makes the tables of a Light.
func NewLight() *Light {
	l := new(Light)
	lin := func(v float64) float64 {
		if v /= 255; v <= 0.04045 {
			return v / 12.92 * Full
		}
		return math.Pow((v+0.055)/1.055, 2.4) * Full
	}
	at := 0
	for i := range 256 {
		l.linear[i] = int16(math.Round(lin(float64(i))))
		for end := lin(float64(i) + 0.5); at <= Full && float64(at) < end; at++ {
			l.srgb[at] = byte(i)
		}
	}
	return l
}

// Premultiplied is the function of that name, to linear light.
func (l *Light) Premultiplied(dst []int16, src []byte) {
	for ; len(src) >= 4 && len(dst) >= 4; dst, src = dst[4:], src[4:] {
		r, g, b, a := l.linear[src[0]], l.linear[src[1]], l.linear[src[2]], int32(src[3])
		if a != 255 {
			r, g, b = int16((int32(r)*a+127)/255), int16((int32(g)*a+127)/255), int16((int32(b)*a+127)/255)
		}
		dst[0], dst[1], dst[2], dst[3] = r, g, b, int16((255*a+2)>>2)
	}
}

// Straight is the [FinishFunc] for rows in linear light.
func (l *Light) Straight(dst []byte, row []int16) {
	for ; len(row) >= 4 && len(dst) >= 4; row, dst = row[4:], dst[4:] {
		a := int32(row[3])
		if a < Full/255/2 {
			dst[0], dst[1], dst[2], dst[3] = 0, 0, 0, 0
			continue
		}
		k := float32(1)
		if a < Full {
			k = Full / float32(a)
		}
		for i := range 3 {
			dst[i] = l.srgb[min(int32(float32(max(row[i], 0))*k+0.5), Full)]
		}
		dst[3] = toByte(row[3])
	}
}
