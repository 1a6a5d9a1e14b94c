package resample

// Plane is a picture of interleaved bytes: pixel (x, y) starts at y·Stride+x·Ch.
type Plane struct {
	Pix    []byte
	W, H   int
	Stride int
	Ch     int // 1 or 4
}

// NewPlane returns a zeroed plane without gaps between rows.
func NewPlane(w, h, ch int) Plane {
	return Plane{Pix: make([]byte, w*h*ch), W: w, H: h, Stride: w * ch, Ch: ch}
}

// Row returns the bytes of pixels [x0, x1) of row y.
func (p Plane) Row(y, x0, x1 int) []byte { return p.Pix[y*p.Stride+x0*p.Ch:][:(x1-x0)*p.Ch] }
