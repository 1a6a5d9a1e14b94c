package icc

import (
	"encoding/binary"
	"testing"
)

// FuzzParse: no profile panics, and a transform that comes out can be used.
func FuzzParse(f *testing.F) {
	p := make([]byte, 128)
	copy(p[12:], "mntrRGB XYZ ")
	copy(p[36:], "acsp")
	at := uint32(128 + 4 + 6*12)
	tags := binary.BigEndian.AppendUint32(nil, 6)
	for _, n := range []string{"rXYZ", "gXYZ", "bXYZ", "rTRC", "gTRC", "bTRC"} {
		size := uint32(20)
		if n[1] == 'T' {
			size = 14
		}
		tags = append(tags, n...)
		tags = binary.BigEndian.AppendUint32(tags, at)
		tags = binary.BigEndian.AppendUint32(tags, size)
		at += size
	}
	p = append(p, tags...)
	for i := range 3 {
		xyz := make([]byte, 20)
		copy(xyz, "XYZ ")
		binary.BigEndian.PutUint32(xyz[8+4*i:], 0xf000)
		p = append(p, xyz...)
	}
	for range 3 {
		p = append(p, "curv\x00\x00\x00\x00\x00\x00\x00\x01\x02\x33"...)
	}
	if k, t := Parse(p); k != Matrix || t == nil {
		f.Fatalf("Parse(seed) = %v; want Matrix", k)
	}
	f.Add(p)
	f.Add([]byte("short"))
	f.Fuzz(func(t *testing.T, p []byte) {
		k, tr := Parse(p)
		if (k == Matrix) != (tr != nil) {
			t.Fatalf("Parse = %v with %v", k, tr)
		}
		if tr != nil {
			pix := []byte{0, 100, 255, 7, 1, 2, 3, 4}
			tr.Convert(pix)
			if pix[3] != 7 || pix[7] != 4 {
				t.Error("Convert changes alpha")
			}
		}
	})
}
