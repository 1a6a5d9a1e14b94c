package imageopt

import (
	"context"

	"github.com/perfblocks/perfblocks/imageopt/internal/jpegdec"
	"github.com/perfblocks/perfblocks/imageopt/internal/jpegenc"
)

// encodeAlike finds the lowest quality up to s.Quality whose luma is as similar as
// s.TargetSSIM wants, by halving the range: six or seven encodings and decodings. The
// tries are sequential, which has no influence on what they show.
func encodeAlike(ctx context.Context, in jpegenc.Picture, s *Spec, o jpegenc.Options) ([]byte, error) {
	lo, hi := 1, s.Quality
	for lo < hi {
		q := (lo + hi) / 2
		data, err := jpegenc.Encode(ctx, in, jpegenc.Options{Quality: float64(q), Sequential: true, Buffers: o.Buffers})
		if err != nil {
			return nil, err
		}
		got, err := jpegdec.Decode(ctx, data, jpegdec.Options{})
		if err != nil {
			return nil, err
		}
		if a, b := in.Planes[0], got.Planes[0]; similarity(a.Pix, a.Stride, b.Pix, b.Stride, a.W, a.H) >= s.TargetSSIM {
			hi = q
		} else {
			lo = q + 1
		}
	}
	o.Quality = float64(hi)
	return jpegenc.Encode(ctx, in, o)
}

// similarity is the mean SSIM of two planes, over windows of 8 × 8 samples (Wang et al.
// 2004, with K1 = 0.01 and K2 = 0.03). They lie 5 apart, and so in all positions to the
// blocks of JPEG and to whatever has a step of 8 in the picture.
func similarity(a []byte, aStride int, b []byte, bStride, w, h int) float64 {
	const c1, c2 = 0.01 * 255 * 0.01 * 255, 0.03 * 255 * 0.03 * 255
	sum, windows := 0.0, 0
	for y := 0; y == 0 || y+8 <= h; y += 5 {
		for x := 0; x == 0 || x+8 <= w; x += 5 {
			var n, sa, sb, saa, sbb, sab int
			for v := y; v < min(y+8, h); v++ {
				p, q := a[v*aStride+x:v*aStride+min(x+8, w)], b[v*bStride+x:]
				for i, s := range p {
					s, t := int(s), int(q[i])
					sa, sb, saa, sbb, sab = sa+s, sb+t, saa+s*s, sbb+t*t, sab+s*t
				}
				n += len(p)
			}
			k := 1 / float64(n)
			ma, mb := float64(sa)*k, float64(sb)*k
			va, vb, vab := float64(saa)*k-ma*ma, float64(sbb)*k-mb*mb, float64(sab)*k-ma*mb
			sum += (2*ma*mb + c1) * (2*vab + c2) / ((ma*ma + mb*mb + c1) * (va + vb + c2))
			windows++
		}
	}
	return sum / float64(windows)
}
