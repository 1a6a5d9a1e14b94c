package imageopt

import (
	"context"
	"image"
	"io"
	"maps"
	"math"
	"runtime/debug"
	"slices"
	"strings"
	"time"
)

// Limits bounds what one source may make this package do. A zero field is the
// default that its comment gives; a negative one is an error, and so there is
// always a limit. Bytes, Pixels and FramePixels beyond 2⁴⁸ count as 2⁴⁸.
type Limits struct {
	// Bytes is the length of a source file. Default 32 MiB.
	Bytes int64
	// Pixels is width × height of a source. Default 64 million.
	Pixels int64
	// Frames is the number of frames of an animated source. Default 256.
	Frames int
	// FramePixels is frames × width × height of an animated source. Default 128
	// million.
	FramePixels int64
	// OutputSide is the largest width and height of a result, in pixels. Default
	// 8192; at most 16383, which every format can hold.
	OutputSide int
}

// Options configures an [Optimizer]. The zero value works; New keeps no
// reference to its maps and slices.
type Options struct {
	// Name is the label of this object in Metrics. Default "imageopt".
	Name string
	// Limits bounds one source and one result.
	Limits Limits
	// MaxMemory bounds the sum of what the running jobs need for pixels, file bytes
	// and results, in bytes, estimated from headers. Jobs over it wait in a queue,
	// first come first served. Sources whose reader cannot seek are read before they are
	// admitted, and together may hold as much again; one more gets ErrBusy. Default: a
	// quarter of GOMEMLIMIT, at most 512 MiB; without GOMEMLIMIT 512 MiB.
	MaxMemory int64
	// MaxQueue is how many jobs may wait; one more gets ErrBusy. Default 64; negative
	// means that no job waits.
	MaxQueue int
	// MaxWait is how long a job may wait for memory before ErrBusy. Default 10 s;
	// negative means that only ctx ends the wait.
	MaxWait time.Duration
	// Workers is how many goroutines share the resampling of one picture, each with a
	// band of rows; they end with the call. Default 1, which suits a server, where
	// pictures share the processors already. At most 64.
	Workers int
	// Inputs lists the source formats that are allowed. Empty means JPEG, PNG, GIF
	// and WebP; BMP and TIFF must be listed.
	Inputs []Format
	// Truncated says whether a JPEG that is cut off or damaged is refused, or taken as
	// far as it goes. Default TruncatedReject.
	Truncated Truncation
	// Encoders adds encoders or replaces built-in ones, by format. A WebP or AVIF
	// encoder given here is taken to be lossy. JPEG, PNG and GIF stay built in.
	Encoders map[Format]Encoder
	// Disabled passes every source through unchanged, metadata included, with only
	// Limits.Bytes and the sniffing of the format left. Placeholder returns "".
	Disabled bool
	// Hooks observes the object. A nil func costs one branch.
	Hooks Hooks
}

// EncodeOptions is what an [Encoder] is asked for.
type EncodeOptions struct {
	// Quality is 1 to 100; the encoder maps it to its own scale.
	Quality int
}

// An Encoder writes one picture in its format. It is called from many goroutines
// at once, must not keep or change img, and should return soon after ctx is done.
// Its output is checked by its first bytes; a panic in it becomes an error.
type Encoder interface {
	// Encode writes img to w, which is memory and fails only when ctx is done. The
	// picture is opaque or in straight alpha: *image.YCbCr (4:2:0, full range),
	// *image.Gray or *image.NRGBA.
	Encode(ctx context.Context, w io.Writer, img image.Image, o EncodeOptions) error
}

// EncoderFunc makes an [Encoder] of a function, such as one that pipes a PNG
// through an external program. See [Options].Encoders.
type EncoderFunc func(ctx context.Context, w io.Writer, img image.Image, o EncodeOptions) error

// Encode calls f, and so has the duties and errors of [Encoder].
func (f EncoderFunc) Encode(ctx context.Context, w io.Writer, img image.Image, o EncodeOptions) error {
	return f(ctx, w, img, o)
}

// Optimizer resizes and re-encodes pictures. It is safe for concurrent use, owns
// no goroutine and needs no Close. Make it with [New]; do not copy it.
type Optimizer struct {
	opts  Options // defaults filled in; never changes
	queue *admission
	stats counters
}

// New returns an Optimizer. Its error matches [ErrOptions] and names every bad
// field at once; it starts no goroutine and allocates no pixels.
func New(o Options) (*Optimizer, error) {
	var bad fieldErrors
	o.Limits.fill(&bad)
	bad.check(o.MaxMemory >= 0, "MaxMemory %d is negative", o.MaxMemory)
	bad.check(o.Workers >= 0 && o.Workers <= 64, "Workers %d is not in 0..64", o.Workers)
	for _, f := range o.Inputs {
		bad.check(f > FormatAuto && f < formatCount && f != FormatAVIF, "Inputs: %v cannot be read", f)
	}
	bad.check(o.Truncated < truncationCount, "Truncated %v is unknown", o.Truncated)
	for _, f := range slices.Sorted(maps.Keys(o.Encoders)) {
		bad.check(f == FormatWebP || f == FormatAVIF, "Encoders: %v cannot be replaced", f)
		bad.check(o.Encoders[f] != nil, "Encoders: %v is nil", f)
	}
	bad.check(strings.ToValidUTF8(o.Name, "") == o.Name, "Name is not UTF-8")
	if err := bad.err(); err != nil {
		return nil, err
	}
	if o.Name == "" {
		o.Name = "imageopt"
	}
	if o.MaxMemory == 0 {
		o.MaxMemory = defaultMemory()
	}
	if o.MaxQueue == 0 {
		o.MaxQueue = 64
	}
	if o.MaxWait == 0 {
		o.MaxWait = 10 * time.Second
	}
	setDefault(&o.Workers, 1)
	if len(o.Inputs) == 0 {
		o.Inputs = []Format{FormatJPEG, FormatPNG, FormatGIF, FormatWebP}
	}
	o.Inputs = slices.Clone(o.Inputs)
	o.Encoders = maps.Clone(o.Encoders)
	return &Optimizer{opts: o, queue: newAdmission(o.MaxMemory, max(o.MaxQueue, 0), o.MaxWait)}, nil
}

func (l *Limits) fill(bad *fieldErrors) {
	bad.check(l.Bytes >= 0, "Limits.Bytes %d is negative", l.Bytes)
	bad.check(l.Pixels >= 0, "Limits.Pixels %d is negative", l.Pixels)
	bad.check(l.Frames >= 0, "Limits.Frames %d is negative", l.Frames)
	bad.check(l.FramePixels >= 0, "Limits.FramePixels %d is negative", l.FramePixels)
	bad.check(l.OutputSide >= 0 && l.OutputSide <= maxOutputSide,
		"Limits.OutputSide %d is not in 0..%d", l.OutputSide, maxOutputSide)
	setDefault(&l.Bytes, 32<<20)
	setDefault(&l.Pixels, 64_000_000)
	setDefault(&l.Frames, 256)
	setDefault(&l.FramePixels, 128_000_000)
	setDefault(&l.OutputSide, 8192)
	for _, p := range []*int64{&l.Bytes, &l.Pixels, &l.FramePixels} {
		*p = min(*p, 1<<48) // sums and products of it stay within int64
	}
}

const maxOutputSide = 16383 // the largest side of a WebP

func setDefault[T int | int64](p *T, v T) {
	if *p == 0 {
		*p = v
	}
}

func defaultMemory() int64 {
	limit := debug.SetMemoryLimit(-1)
	if limit <= 0 || limit == math.MaxInt64 {
		return 512 << 20
	}
	return min(max(limit/4, 16<<20), 512<<20)
}

// Result describes what was written.
type Result struct {
	// Format is the format of the result, after the choice of FormatAuto.
	Format Format
	// Width and Height are the size of the result in pixels.
	Width, Height int
	// Frames is 1, or the number of frames of an animation.
	Frames int
	// Bytes is the length of the result.
	Bytes int64
	// SourceBytes is the length of the source.
	SourceBytes int64
	// Source is what the header of the source said.
	Source Info
	// Original tells that the result is the source itself, without its metadata and at
	// its own size, because anything else would have been larger; see [Optimizer.Process].
	Original bool
	// Partial tells that the source was cut off or damaged, and that the result shows
	// what could be decoded of it; see Options.Truncated.
	Partial bool
}

// ContentType returns the media type of the result, such as "image/jpeg".
func (r Result) ContentType() string { return r.Format.ContentType() }

// Process reads a picture from r and writes it to w as spec says. Nothing is
// written unless the result is complete. A source is refused by its header
// before memory for its pixels is taken. When r is an [io.Seeker] (a file, a
// bytes.Reader) it is read inside the memory bound, but for its header, which is all
// of the file for a GIF, and for a WebP with EXIF; other readers, which may be slow,
// are read to their end before the job is admitted. ctx does not interrupt a call of
// r.Read.
//
// A result that would take more bytes than the source gains nothing. The source's own
// bytes are written then, without their metadata: when the result has the source's size,
// and with FormatAuto also when the source is up to twice as wide and as high, so that
// the result has more pixels than were asked for. Set Spec.Format where sizes must be
// exact. It applies to sources in a format that spec accepts, upright, without an ICC
// profile other than sRGB, and not when the picture is cropped, padded, stretched or put
// on a Background. A source many times larger than the result is not sent in its place,
// even where the result takes more bytes, as that of a line drawing can.
//
// Errors match ErrOptions, ErrTooLarge, ErrUnsupported, ErrCorrupt, ErrTruncated,
// ErrBusy or ctx.Err(); others come from r and w.
func (o *Optimizer) Process(ctx context.Context, w io.Writer, r io.Reader, spec Spec) (Result, error) {
	return o.process(ctx, w, r, spec)
}

// Inspect reads as much of r as it takes to know the picture's size, orientation
// and kind, without decoding it: the header, or for a GIF the whole stream, whose
// frames are counted. Of the limits only Limits.Bytes holds here; formats that
// are not in Options.Inputs, and AVIF, give ErrUnsupported.
func (o *Optimizer) Inspect(r io.Reader) (Info, error) { return o.inspect(r) }

// Info is what the header of a picture tells.
type Info struct {
	// Format is the file format.
	Format Format
	// Width and Height are the size of the upright picture in pixels.
	Width, Height int
	// Orientation is the EXIF orientation, 1 to 8; 1 when there is none or it is
	// invalid. 5 to 8 mean that the stored picture lies on its side.
	Orientation int
	// Frames is 1, or the number of frames of an animation. For an animated WebP or
	// PNG it is 1 and Animated is set.
	Frames int
	// Animated tells that the file holds more than one frame.
	Animated bool
	// Alpha tells that the file can hold transparency.
	Alpha bool
	// Progressive tells that a JPEG is progressive or a PNG or GIF interlaced.
	Progressive bool
	// Profile tells that an ICC profile is embedded.
	Profile bool
	// Lossy tells that the file's compression loses detail: JPEG and lossy WebP.
	Lossy bool
}
