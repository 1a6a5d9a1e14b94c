package imageopt

import (
	"image"
	"math"

	"github.com/disintegration/imaging"
	"github.com/perfblocks/perfblocks/imageopt/internal/resample"
)

// plan is the geometry of one result, in the upright picture.
type plan struct {
	win  image.Rectangle // part of the upright source
	w, h int             // size that win is scaled to
	box  image.Point     // size of the result, larger than w × h when padded
	at   image.Point     // where the picture lies in the box
}

// near reports whether a source of w × h could stand for the result: all of it is
// wanted, undistorted, and it is at most twice as large.
func (p plan) near(w, h, maxSide int) bool {
	return p.win == image.Rect(0, 0, w, h) && p.w <= w && w <= 2*p.w && max(w, h) <= maxSide &&
		(scaled(h, float64(p.w)/float64(w)) == p.h || scaled(w, float64(p.h)/float64(h)) == p.w)
}

func (p plan) padded() bool { return p.box != image.Pt(p.w, p.h) }

// newPlan works out the geometry of s for an upright source of sw × sh.
func newPlan(s *Spec, sw, sh int, maxSide int) (plan, error) {
	p := plan{win: image.Rect(0, 0, sw, sh)}
	if s.Crop != (image.Rectangle{}) {
		if !s.Crop.In(p.win) {
			var bad fieldErrors
			bad.addf("Crop %v is not within the source, %d × %d", s.Crop, sw, sh)
			return p, bad.err()
		}
		p.win = s.Crop
		sw, sh = s.Crop.Dx(), s.Crop.Dy()
	}
	w, h := s.Width, s.Height
	one := w == 0 || h == 0
	switch {
	case w == 0 && h == 0:
		w, h = sw, sh
	case w == 0:
		w = scaled(sw, float64(h)/float64(sh))
	case h == 0:
		h = scaled(sh, float64(w)/float64(sw))
	}
	fit := s.Fit
	if one {
		// The box has the aspect ratio of the picture, within the rounding of the side
		// that was not given, which must not shrink the one that was.
		fit = FitFill
		if (w > sw || h > sh) && !s.AllowUpscale {
			w, h = sw, sh
		}
	}
	p.box = image.Pt(w, h)
	kx, ky := float64(w)/float64(sw), float64(h)/float64(sh)
	switch fit {
	case FitInside, FitContain:
		p.w, p.h = inside(sw, sh, w, h, s.AllowUpscale)
	case FitOutside:
		k := max(kx, ky)
		if !s.AllowUpscale {
			k = min(k, 1)
		}
		p.w, p.h = scaled(sw, k), scaled(sh, k)
	default: // FitFill, FitCover
		p.w, p.h = w, h
		if k := min(1/kx, 1/ky); k < 1 && !s.AllowUpscale {
			p.w, p.h = min(scaled(w, k), sw), min(scaled(h, k), sh)
		}
	}
	if fit == FitCover {
		p.win = cover(p.win, p.w, p.h, s.Anchor)
	}
	if fit == FitContain {
		p.at = place(s.Anchor, w, h, p.w, p.h)
	} else {
		p.box = image.Pt(p.w, p.h)
	}
	if side := max(p.box.X, p.box.Y); side > maxSide {
		return p, &LimitError{Limit: "output side", Got: int64(side), Max: int64(maxSide)}
	}
	return p, nil
}

func scaled(n int, k float64) int {
	return max(1, int(math.Floor(min(float64(n)*k, 1<<30)+0.5)))
}

func inside(sw, sh, w, h int, up bool) (int, int) {
	kx, ky := float64(w)/float64(sw), float64(h)/float64(sh)
	if min(kx, ky) >= 1 && !up {
		return sw, sh
	}
	if kx <= ky {
		return w, min(scaled(sh, kx), h)
	}
	return min(scaled(sw, ky), w), h
}

// cover returns the largest part of win with the aspect ratio of w × h.
func cover(win image.Rectangle, w, h int, a Anchor) image.Rectangle {
	sw, sh := win.Dx(), win.Dy()
	cw, ch := sw, sh
	if float64(sw)/float64(sh) < float64(w)/float64(h) {
		ch = min(sh, scaled(1, float64(sw)*float64(h)/float64(w)))
	} else {
		cw = min(sw, scaled(1, float64(sh)*float64(w)/float64(h)))
	}
	at := win.Min.Add(place(a, sw, sh, cw, ch))
	return image.Rectangle{Min: at, Max: at.Add(image.Pt(cw, ch))}
}

// place returns where a w × h part lies in a W × H whole.
func place(a Anchor, W, H, w, h int) image.Point {
	x, y := (W-w)/2, (H-h)/2
	switch a {
	case AnchorTopLeft, AnchorLeft, AnchorBottomLeft:
		x = 0
	case AnchorTopRight, AnchorRight, AnchorBottomRight:
		x = W - w
	}
	switch a {
	case AnchorTopLeft, AnchorTop, AnchorTopRight:
		y = 0
	case AnchorBottomLeft, AnchorBottom, AnchorBottomRight:
		y = H - h
	}
	return image.Pt(x, y)
}

// stored is a plan turned to how the source lies in its file.
type stored struct {
	win          image.Rectangle
	w, h         int
	flipX, flipY bool
}

// lie maps the plan to the stored picture of w × h under orientation o.
func (p plan) lie(o, w, h int) stored {
	s := stored{win: p.win, w: p.w, h: p.h, flipX: resample.FlipsX(o), flipY: resample.FlipsY(o)}
	if resample.Swaps(o) {
		s.win = image.Rect(p.win.Min.Y, p.win.Min.X, p.win.Max.Y, p.win.Max.X)
		s.w, s.h = p.h, p.w
	}
	if s.flipX {
		s.win.Min.X, s.win.Max.X = w-s.win.Max.X, w-s.win.Min.X
	}
	if s.flipY {
		s.win.Min.Y, s.win.Max.Y = h-s.win.Max.Y, h-s.win.Min.Y
	}
	return s
}

// axis returns the axis of a plane that holds one sample for sub pixels of the
// source and shall hold one for div pixels of the result. n is the plane's length.
func axis(lo, hi, out int, sub float64, div, n int, flip bool) resample.Axis {
	step := float64(hi-lo) / float64(out)
	start := float64(lo)
	if flip && out%div != 0 {
		// The result will be turned round, and its samples must lie in step with its
		// new first pixel, which is the last one now.
		start -= float64(div-out%div) * step
	}
	return resample.Axis{
		Lo: int(float64(lo) / sub), Hi: min(int(math.Ceil(float64(hi)/sub)), n),
		Start: start / sub, Step: step * float64(div) / sub,
		N: (out + div - 1) / div,
	}
}

// kernel returns the filter as imaging defines it.
func (f Filter) kernel() resample.Kernel {
	k := [filterCount]imaging.ResampleFilter{
		imaging.Lanczos, imaging.CatmullRom, imaging.MitchellNetravali, imaging.Linear, imaging.Box,
		imaging.Hermite, imaging.BSpline, imaging.Gaussian, imaging.Bartlett, imaging.Hann, imaging.Hamming,
		imaging.Blackman, imaging.Welch, imaging.Cosine, imaging.NearestNeighbor,
	}[f]
	return resample.Kernel{Support: k.Support, At: k.Kernel}
}
