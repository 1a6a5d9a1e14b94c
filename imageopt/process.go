package imageopt

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/gif"
	"io"
	"slices"
	"time"

	"github.com/perfblocks/perfblocks/imageopt/internal/header"
	"github.com/perfblocks/perfblocks/imageopt/internal/jpegenc"
)

// job is one call: its source, its decoded picture and its record.
type job struct {
	o       *Optimizer
	src     *source
	wanted  wanted // how far a JPEG may be reduced as it is decoded
	specs   []Spec
	raster  *raster  // decoded still, or nil
	feeds   []*feed  // of each spec, if the raster has no samples; see stream
	damage  error    // why the raster is not complete, see Options.Truncated
	frames  *gif.GIF // decoded animation, or nil
	buffers jpegenc.Buffers
	ev      Event
}

func (o *Optimizer) process(ctx context.Context, w io.Writer, r io.Reader, spec Spec) (res Result, err error) {
	j := &job{o: o, ev: Event{Op: "process"}}
	defer func() {
		j.ev.Err = err
		o.finish(j.ev)
	}()
	if r == nil || w == nil {
		return Result{}, fmt.Errorf("%w: reader or writer is nil", ErrOptions)
	}
	if err := o.checkSpecs(spec); err != nil {
		return Result{}, err
	}
	if o.opts.Disabled {
		return j.passThrough(ctx, w, r)
	}
	slow := !seeks(r)
	if j.src, err = o.openReader(r, true, slow); err != nil {
		return Result{}, err
	}
	defer j.src.drop()
	j.want(spec)
	if j.wanted.eighth(&j.src.head) {
		j.src.coarse = new(header.Coarse)
	}
	if slow { // before it is admitted, so that it keeps no other job waiting
		if err := j.src.load(o.opts.Limits.Bytes); err != nil {
			return Result{}, err
		}
	}
	release, err := j.admit(ctx, spec)
	if err != nil {
		return Result{}, err
	}
	defer release()
	if err := j.src.load(o.opts.Limits.Bytes); err != nil {
		return Result{}, err
	}
	j.specs = []Spec{spec}
	res, data, err := j.one(ctx, 0)
	if err != nil {
		return Result{}, err
	}
	if _, err := w.Write(data); err != nil {
		return Result{}, fmt.Errorf("imageopt: write result: %w", err)
	}
	j.made(res)
	return res, nil
}

func (j *job) made(res Result) {
	j.ev.Results++
	j.ev.BytesIn = res.SourceBytes
	j.ev.BytesOut += res.Bytes
	if res.Original {
		j.o.stats.originals.Add(1)
	}
}

func (o *Optimizer) checkSpecs(specs ...Spec) error {
	var bad fieldErrors
	for i := range specs {
		var f fieldErrors
		specs[i].validate(&f, o.opts.Limits.OutputSide)
		for _, s := range f {
			if len(specs) > 1 {
				s = fmt.Sprintf("spec %d: %s", i, s)
			}
			bad = append(bad, s)
		}
	}
	if err := bad.err(); err != nil {
		return err
	}
	for i := range specs {
		if f := specs[i].Format; !o.opts.Disabled && f != FormatAuto && !o.encodes(f) {
			return fmt.Errorf("%w: no encoder for %v", ErrUnsupported, f)
		}
	}
	return nil
}

// admit waits for the memory that the specs need. Release is called once.
func (j *job) admit(ctx context.Context, specs ...Spec) (release func(), err error) {
	need := j.src.decodeCost(j.wanted)
	most := int64(0)
	for i := range specs {
		// A spec that does not fit the source fails later, by itself.
		info := j.src.info()
		if p, err := newPlan(&specs[i], info.Width, info.Height, j.o.opts.Limits.OutputSide); err == nil {
			most = max(most, j.o.resultCost(&specs[i], p, info))
		} else if len(specs) == 1 {
			return nil, err
		}
	}
	need += most
	start := time.Now()
	err = j.o.queue.acquire(ctx, need)
	j.ev.Wait = time.Since(start)
	if err != nil {
		return nil, err
	}
	return func() { j.src.release(func() { j.o.queue.release(need) }) }, nil
}

// resultCost estimates the memory for one result, in bytes.
func (o *Optimizer) resultCost(s *Spec, p plan, info Info) int64 {
	px := int64(p.box.X) * int64(p.box.Y)
	ways := o.ways(s, info)
	cost := 14*px + 48*(int64(info.Width)+int64(info.Height))*int64(o.opts.Workers) + 1<<18 // weights and one row
	if !s.LinearLight && info.Lossy && !info.Alpha && !info.Profile && p.box == image.Pt(p.w, p.h) && !o.needsRGB(ways) {
		cost -= 9 * px // it stays in planes
	}
	switch {
	case slices.Contains(ways, FormatWebP) && o.opts.Encoders[FormatWebP] == nil:
		cost += 100 * px // tokens, their costs and where each pixel was before
	case slices.Contains(ways, FormatPNG), len(ways) == 0: // none: a choice is made later
		cost += 6*px + 1<<20
	default:
		cost += 2 * px
	}
	if slices.Contains(ways, FormatJPEG) {
		cost += jpegCost(s, px)
	}
	if slices.Contains(ways, FormatGIF) || len(ways) == 0 {
		cost += 2 << 20 // the cells of the colour cube
	}
	if info.Frames > 1 {
		cost += (5*px + 12<<10) * int64(info.Frames) // frames, palettes, and a file that grows by doubling
	}
	return cost
}

// one makes the result of spec i; the source is decoded at the first need.
func (j *job) one(ctx context.Context, i int) (Result, []byte, error) {
	spec := j.specs[i].withQuality()
	info := j.src.info()
	p, err := newPlan(&spec, info.Width, info.Height, j.o.opts.Limits.OutputSide)
	if err != nil {
		return Result{}, nil, err
	}
	res := Result{Width: p.box.X, Height: p.box.Y, Frames: 1, SourceBytes: j.src.length(), Source: info}
	var best file
	if info.Format == FormatGIF && info.Frames > 1 && slices.Contains(j.o.ways(&spec, info), FormatGIF) {
		res.Frames = info.Frames
		best.format = FormatGIF
		best.data, err = j.animate(ctx, &spec, p)
	} else {
		best, err = j.still(ctx, i, &spec, p, info)
	}
	if err != nil {
		return Result{}, nil, err
	}
	if o, ok := j.original(&spec, p, info); ok && o.weight(&spec) <= best.weight(&spec) {
		best, res.Original = o, true
		res.Width, res.Height = info.Width, info.Height
	}
	res.Partial = j.damage != nil
	res.Format, res.Bytes = best.format, int64(len(best.data))
	return res, best.data, nil
}

// decode makes j.raster, once.
func (j *job) decode(ctx context.Context) (err error) {
	if j.raster != nil {
		return nil
	}
	start, resize := time.Now(), j.ev.Resize
	defer func() { j.ev.Decode += time.Since(start) - (j.ev.Resize - resize) }()
	if err := j.src.checkScans(); err != nil {
		return err
	}
	if j.src.format == FormatJPEG {
		err = guard(j.src.format, func() (err error) {
			j.raster, j.damage, err = j.src.decodeJPEG(ctx, j.wanted, j.o.opts.Truncated, j.stream(ctx))
			if err != nil || j.raster.planes[0].Pix != nil {
				j.feeds = nil
			}
			return err
		})
		if !errors.Is(err, errColours) {
			return err
		}
	}
	img, err := j.src.decodeStill(ctx)
	if err != nil {
		return err
	}
	if j.src.format == FormatGIF {
		img = firstFrame(img, j.src.head.W, j.src.head.H)
	}
	j.raster = newRaster(img, j.src.format == FormatWebP && j.src.head.Lossy, j.src.colour)
	return nil
}

// still makes the smallest file among the formats that come into question.
func (j *job) still(ctx context.Context, i int, spec *Spec, p plan, info Info) (best file, err error) {
	if err := j.decode(ctx); err != nil {
		return file{}, err
	}
	if p, err = j.attend(ctx, spec, p, info); err != nil {
		return file{}, err
	}
	ways, keep, m := j.form(j.raster, spec, p, info)
	start := time.Now()
	pic, ok := j.streamed(i)
	if !ok {
		how := j.o.scaling(spec)
		how.keepICC = keep
		pic, err = j.raster.render(ctx, p, j.src.head.Orientation, how, m)
	}
	j.ev.Resize += time.Since(start)
	if err != nil {
		return file{}, err
	}
	pic = ground(pic, spec, p, ways)
	if spec.Format == FormatAuto && len(ways) > 1 && !info.Lossy && !photographic(pic) {
		ways = slices.DeleteFunc(ways, func(f Format) bool { return f == FormatJPEG })
	}
	start = time.Now()
	defer func() { j.ev.Encode += time.Since(start) }()
	for _, f := range ways {
		bare := *spec
		if f == FormatJPEG && spec.TargetBytes > 0 { // the metadata that comes to it counts
			empty := []byte{0xff, 0xd8, 0xff, 0xd9}
			bare.TargetBytes -= len(j.src.dress(file{f, empty}, spec, keep, p.box.X, p.box.Y).data) - len(empty)
			if bare.TargetBytes < 1 {
				return file{}, &LimitError{Limit: "target bytes", Got: int64(spec.TargetBytes - bare.TargetBytes), Max: int64(spec.TargetBytes)}
			}
		}
		data, err := j.o.encode(ctx, f, pic, &bare, &j.buffers)
		if err != nil {
			return file{}, err
		}
		if c := j.src.dress(file{f, data}, spec, keep, p.box.X, p.box.Y); best.data == nil || c.weight(spec) < best.weight(spec) {
			best = c
		}
	}
	return best, nil
}

// form says what a result of r can be encoded as, whether it keeps its profile, and what
// the encoders want to have.
func (j *job) form(r *raster, spec *Spec, p plan, info Info) (ways []Format, keep bool, m model) {
	ways = j.o.ways(spec, info)
	info.Alpha = !r.opaque && spec.Background == nil || p.padded() && spec.Background == nil
	ways = j.o.narrow(ways, spec, info)
	ways, keep = j.src.keepsICC(spec, ways)
	if keep && len(r.planes) == 1 && r.planes[0].Ch == 1 {
		keep = false // a profile of colours does not fit a gray picture
	}
	switch {
	case j.o.needsRGB(ways):
		m = asRGB
	case fullChroma(spec, ways) && r.fineChroma(p):
		m = asFullYCC
	}
	return ways, keep, m
}

// ground pads and flattens as the spec says.
func ground(pic picture, spec *Spec, p plan, ways []Format) picture {
	g := color.NRGBA{}
	if spec.Background != nil {
		g = toNRGBA(spec.Background)
	} else if slices.Contains(ways, FormatJPEG) {
		g = color.NRGBA{255, 255, 255, 255}
	}
	pic = pic.pad(p, g)
	if g.A != 0 {
		pic = pic.flatten(g)
	}
	return pic
}

// original returns the source itself, without metadata, when it would do.
func (j *job) original(spec *Spec, p plan, info Info) (file, bool) {
	if j.damage != nil || j.src.spared > 0 {
		return file{}, false
	}
	whole := spec.Crop.Empty() && spec.Background == nil && !p.padded() && info.Orientation == 1 && j.src.plain
	same := p.w == info.Width && p.h == info.Height
	near := spec.Format == FormatAuto && p.near(info.Width, info.Height, j.o.opts.Limits.OutputSide)
	if !whole || !same && !near || acceptance(spec)[info.Format] == 0 {
		return file{}, false
	}
	strip := map[Format]func([]byte) ([]byte, bool){
		FormatJPEG: header.StripJPEG, FormatPNG: header.StripPNG, FormatGIF: header.StripGIF, FormatWebP: header.StripWebP,
	}[info.Format]
	if strip == nil {
		return file{}, false
	}
	var out file
	ok := false
	err := guard(info.Format, func() error {
		out.format = info.Format
		out.data, ok = strip(j.src.data)
		return nil
	})
	if ok && err == nil {
		out = j.src.dress(out, spec, false, info.Width, info.Height)
	}
	fits := spec.TargetBytes == 0 || len(out.data) <= spec.TargetBytes
	return out, ok && err == nil && fits
}

// passThrough copies the source for Options.Disabled.
func (j *job) passThrough(ctx context.Context, w io.Writer, r io.Reader) (Result, error) {
	data, err := io.ReadAll(io.LimitReader(r, j.o.opts.Limits.Bytes+1))
	if err != nil {
		return Result{}, fmt.Errorf("imageopt: read source: %w", err)
	}
	if ctx.Err() != nil {
		return Result{}, ctxError(ctx)
	}
	res, err := j.o.asIs(data)
	if err != nil {
		return Result{}, err
	}
	if _, err := w.Write(data); err != nil {
		return Result{}, fmt.Errorf("imageopt: write result: %w", err)
	}
	j.made(res)
	return res, nil
}

func (o *Optimizer) asIs(data []byte) (Result, error) {
	s := &source{data: data, size: int64(len(data))}
	if s.size > o.opts.Limits.Bytes {
		return Result{}, &LimitError{Limit: "bytes", Got: s.size, Max: o.opts.Limits.Bytes}
	}
	if _, err := o.examine(s, true, false); err != nil {
		return Result{}, err
	}
	i := s.info()
	return Result{
		Format: i.Format, Width: i.Width, Height: i.Height, Frames: i.Frames,
		Bytes: s.size, SourceBytes: s.size, Source: i, Original: true,
	}, nil
}

func (o *Optimizer) variants(ctx context.Context, src []byte, specs []Spec, yield func(Variant, error) bool) {
	j := &job{o: o, ev: Event{Op: "variants"}}
	defer func() { o.finish(j.ev) }()
	fail := func(err error) {
		j.ev.Err = err
		yield(Variant{Index: -1}, err)
	}
	specs = slices.Clone(specs)
	if err := o.checkSpecs(specs...); err != nil {
		fail(err)
		return
	}
	var err error
	if o.opts.Disabled {
		var res Result
		if res, err = o.asIs(src); err != nil {
			fail(err)
			return
		}
		for i, s := range specs {
			j.made(res)
			if !yield(Variant{i, s, res, bytes.Clone(src)}, nil) {
				return
			}
		}
		return
	}
	if j.src, err = o.openBytes(src, true); err != nil {
		fail(err)
		return
	}
	j.want(specs...)
	release, err := j.admit(ctx, specs...)
	if err != nil {
		fail(err)
		return
	}
	defer release()
	j.each(ctx, specs, yield, fail)
}

// each yields the results of specs, largest first.
func (j *job) each(ctx context.Context, specs []Spec, yield func(Variant, error) bool, fail func(error)) {
	j.specs = specs
	info := j.src.info()
	area := func(i int) int64 {
		p, err := newPlan(&specs[i], info.Width, info.Height, j.o.opts.Limits.OutputSide)
		if err != nil {
			return 0
		}
		return int64(p.box.X) * int64(p.box.Y)
	}
	order := make([]int, len(specs))
	areas := make([]int64, len(specs))
	for i := range specs {
		order[i], areas[i] = i, area(i)
	}
	slices.SortStableFunc(order, func(a, b int) int { return int(min(max(areas[b]-areas[a], -1), 1)) })
	for _, i := range order {
		if ctx.Err() != nil {
			fail(ctxError(ctx))
			return
		}
		res, data, err := j.one(ctx, i)
		if err != nil && ctx.Err() != nil {
			fail(ctxError(ctx))
			return
		}
		if err != nil && j.raster == nil && j.frames == nil && areas[i] > 0 {
			fail(err) // the source itself is bad
			return
		}
		if err != nil {
			j.ev.Err = err
			if !yield(Variant{Index: i, Spec: specs[i]}, err) {
				return
			}
			continue
		}
		j.made(res)
		if res.Original {
			data = bytes.Clone(data)
		}
		if !yield(Variant{i, specs[i], res, data}, nil) {
			return
		}
	}
}
