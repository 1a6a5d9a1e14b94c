package imageopt

import (
	"context"
	"time"

	"github.com/perfblocks/perfblocks/imageopt/internal/jpegdec"
	"github.com/perfblocks/perfblocks/imageopt/internal/resample"
)

// feed makes a result while its source is decoded.
type feed struct {
	d       *drawing
	rows    []*resample.Feed // of each plane
	convert bool             // to sRGB
}

// stream returns what has all results of a JPEG made while it is decoded, so that its
// planes are never in memory as a whole, or nil where they must be.
func (j *job) stream(ctx context.Context) func(*jpegdec.Image) jpegdec.Rows {
	if len(j.specs) == 0 || j.o.opts.Workers > 1 {
		return nil
	}
	for i := range j.specs {
		if s := &j.specs[i]; s.LinearLight || s.Anchor == AnchorAttention {
			return nil // they ask for pixels, or for the picture before it can be cut
		}
	}
	return func(img *jpegdec.Image) jpegdec.Rows {
		if img == nil {
			j.feeds = nil // there will be planes, which take the memory
			return nil
		}
		r := j.src.jpegRaster(img)
		if len(r.planes) != 1 && len(r.planes) != 3 {
			return nil
		}
		if !j.feed(r) {
			j.feeds = nil
			return nil
		}
		return func(i int, p jpegdec.Plane, top, end int) (int, error) {
			start := time.Now()
			defer func() { j.ev.Resize += time.Since(start) }()
			src := resample.Plane{Pix: p.Pix, W: p.W, H: p.H, Stride: p.Stride, Ch: 1}
			keep := end
			for _, f := range j.feeds {
				if f == nil {
					continue
				}
				k, err := f.rows[i].Rows(ctx, src, top, end)
				if err != nil {
					return keep, err
				}
				keep = min(keep, k)
			}
			return keep, nil
		}
	}
}

// feed plans the results of r. It reports whether they take less memory than r would.
func (j *job) feed(r *raster) bool {
	info := j.src.info()
	j.feeds = make([]*feed, len(j.specs))
	less := 0
	window := make([]int, len(r.planes))
	for _, p := range r.planes {
		less += p.Stride * p.H
	}
	for i := range j.specs {
		spec := j.specs[i].withQuality()
		p, err := newPlan(&spec, info.Width, info.Height, j.o.opts.Limits.OutputSide)
		if err != nil {
			continue // an error of its own
		}
		how := j.o.scaling(&spec)
		var m model
		_, how.keepICC, m = j.form(r, &spec, p, info)
		f := &feed{convert: r.colour != nil && !how.keepICC}
		if f.convert {
			m = asRGB
		}
		// Known before it is allocated.
		n := p.w * p.h
		if len(r.planes) == 3 && m != asYCbCr {
			n *= 3
		} else if len(r.planes) == 3 {
			n += (p.w + 1) * (p.h + 1) / 2
		}
		if less -= n; less < 0 {
			return false
		}
		f.d = r.draw(p.lie(j.src.head.Orientation, r.w, r.h), j.src.head.Orientation, how, m)
		for k, s := range f.d.scalers {
			f.rows = append(f.rows, s.Feed(f.d.planes[k]))
			window[k] = max(window[k], f.rows[k].Window())
		}
		j.feeds[i] = f
	}
	for i, n := range window {
		less -= 5 * (n + 16) * r.planes[i].Stride // the decoder's band as it grows
	}
	return less >= 0
}

// streamed returns the picture of spec i if it was made while the source was decoded.
// It is asked for once.
func (j *job) streamed(i int) (picture, bool) {
	if j.feeds == nil || j.feeds[i] == nil {
		return picture{}, false
	}
	f := j.feeds[i]
	j.feeds[i] = nil
	pic := j.raster.drawn(f.d)
	if f.convert {
		pic = j.raster.converted(pic)
	}
	return pic, true
}
