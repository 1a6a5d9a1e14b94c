package imageopt

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"image"
	"image/gif"
	"image/jpeg"
	"image/png"
	"io"
	"slices"
	"sync"

	"github.com/perfblocks/perfblocks/imageopt/internal/header"
	"github.com/perfblocks/perfblocks/imageopt/internal/icc"
	"golang.org/x/image/bmp"
	"golang.org/x/image/tiff"
)

// source is a picture file: its header, and its bytes once they are read.
type source struct {
	format Format
	head   header.Header
	data   []byte // all of the file, or its beginning while rest is set
	rest   io.Reader
	size   int64          // length of the file if known, else 0
	colour *icc.Transform // to sRGB, nil for none
	plain  bool           // no profile, or sRGB
	viewer bool           // a profile of RGB that a viewer can apply
	left   sync.WaitGroup // the decoder that may go on after its job has returned
	queue  *admission     // where data counts while the job is not admitted, or nil
	held   int64          // how much of it counts there
	coarse *header.Coarse // what load leaves data out with, or nil
	spared int64          // how much that is, in bytes

	abandoned bool // it does
}

func (s *source) info() Info {
	h := &s.head
	i := Info{
		Format: s.format, Width: h.W, Height: h.H, Orientation: h.Orientation, Frames: max(h.Frames, 1),
		Animated: h.Animated, Alpha: h.Alpha, Progressive: h.Progressive, Lossy: h.Lossy, Profile: len(h.ICC) > 0,
	}
	if i.Orientation >= 5 {
		i.Width, i.Height = i.Height, i.Width
	}
	return i
}

// firstRead is how much of a file is read at first; it doubles until the header is
// complete.
const firstRead = 16 << 10

// openReader reads the header from r and checks the limits as soon as the size of the
// picture is known. With hold its data counts from the beginning, and the caller drops
// the source.
func (o *Optimizer) openReader(r io.Reader, limits, hold bool) (_ *source, err error) {
	s := &source{rest: r, size: remaining(r)}
	if hold {
		s.queue = o.queue
	}
	defer func() {
		if err != nil {
			s.drop()
		}
	}()
	if s.size > o.opts.Limits.Bytes {
		return nil, &LimitError{Limit: "bytes", Got: s.size, Max: o.opts.Limits.Bytes}
	}
	for n := firstRead; ; n *= 2 {
		eof, err := s.read(n, o.opts.Limits.Bytes)
		if err != nil {
			return nil, err
		}
		more, err := o.examine(s, eof, limits)
		if err != nil {
			return nil, err
		}
		if !more {
			return s, nil
		}
	}
}

// openBytes is openReader for a file in memory.
func (o *Optimizer) openBytes(b []byte, limits bool) (*source, error) {
	if int64(len(b)) > o.opts.Limits.Bytes {
		return nil, &LimitError{Limit: "bytes", Got: int64(len(b)), Max: o.opts.Limits.Bytes}
	}
	s := &source{data: b, size: int64(len(b))}
	_, err := o.examine(s, true, limits)
	return s, err
}

// seeks reports whether r is a file or memory, and so delivers without delay. A pipe
// is a file too, but cannot seek.
func seeks(r io.Reader) bool {
	s, ok := r.(io.Seeker)
	if !ok {
		return false
	}
	_, err := s.Seek(0, io.SeekCurrent)
	return err == nil
}

// remaining returns how much a reader that can seek still holds, else 0.
func remaining(r io.Reader) int64 {
	if l, ok := r.(interface{ Len() int }); ok {
		return int64(l.Len())
	}
	s, ok := r.(io.Seeker)
	if !ok {
		return 0
	}
	at, err := s.Seek(0, io.SeekCurrent)
	if err != nil {
		return 0
	}
	end, err := s.Seek(0, io.SeekEnd)
	if _, back := s.Seek(at, io.SeekStart); err != nil || back != nil {
		return 0
	}
	return max(end-at, 0)
}

// read extends data to n bytes. One byte over the limit is enough to know.
func (s *source) read(n int, limit int64) (eof bool, err error) {
	want := min(int64(n), limit+1)
	if s.size > 0 {
		want = min(want, s.size+1)
	}
	if int64(cap(s.data)) < want {
		if err := s.hold(want); err != nil {
			return false, err
		}
		s.data = append(make([]byte, 0, want), s.data...)
	}
	at := len(s.data)
	k, err := fill(s.rest, s.data[at:max(want, int64(at))])
	s.data = s.data[:at+k]
	if errors.Is(err, io.EOF) {
		s.rest, err = nil, nil
	}
	if err != nil {
		return false, fmt.Errorf("imageopt: read source: %w", err)
	}
	if int64(len(s.data)) > limit {
		return false, &LimitError{Limit: "bytes", Got: int64(len(s.data)), Max: limit}
	}
	return s.rest == nil, nil
}

// fill reads until p is full. Other than with io.ReadFull, an unexpected end that r
// itself reports, as of a connection cut off, is told from the end of the file.
func fill(r io.Reader, p []byte) (n int, err error) {
	for n < len(p) && err == nil {
		var k int
		k, err = r.Read(p[n:])
		n += k
	}
	if n == len(p) {
		return n, nil
	}
	return n, err
}

// hold counts data of n bytes where the job is not admitted yet.
func (s *source) hold(n int64) error {
	if s.queue == nil || n <= s.held {
		return nil
	}
	if n > s.queue.total {
		return &LimitError{Limit: "memory", Got: n, Max: s.queue.total}
	}
	if err := s.queue.hold(n - s.held); err != nil {
		return err
	}
	s.held = n
	return nil
}

// drop ends what hold counts.
func (s *source) drop() {
	if s.held > 0 {
		s.queue.drop(s.held)
		s.held = 0
	}
}

// length is that of the file, of which all has been read.
func (s *source) length() int64 { return int64(len(s.data)) + s.spared }

// load reads the rest of the file.
func (s *source) load(limit int64) error {
	if s.coarse != nil && s.rest != nil {
		return s.loadCoarse(limit)
	}
	for n := max(2*len(s.data), firstRead); s.rest != nil; n *= 2 {
		if s.size > 0 {
			n = int(min(s.size, limit)) + 1
		}
		if _, err := s.read(n, limit); err != nil {
			return err
		}
		s.size = max(s.size, 0)
		if s.size > 0 && int64(len(s.data)) > s.size {
			s.size = 0 // it grew meanwhile
		}
	}
	return nil
}

// examine reads the header in s.data. more asks for more of the file.
func (o *Optimizer) examine(s *source, eof, limits bool) (more bool, err error) {
	if len(s.data) < 12 && !eof {
		return true, nil
	}
	s.format = Sniff(s.data)
	if len(s.data) == 0 {
		return false, truncated(FormatAuto, io.ErrUnexpectedEOF)
	}
	if !o.allowed(s.format) {
		return false, unsupported(s.format, nil)
	}
	err = guard(s.format, func() (err error) {
		s.head, err = readHeader(s.format, s.data, eof)
		return err
	})
	if limits && s.head.W > 0 {
		if err := o.checkSize(&s.head); err != nil {
			return false, err
		}
	}
	if err == nil && limits {
		err = guard(s.format, func() error {
			n, err := s.head.Trees(eof)
			s.head.Decode += n
			return err
		})
	}
	switch {
	case err == nil:
		return false, confirm(s)
	case errors.Is(err, header.ErrMore):
		return true, nil
	case errors.Is(err, ErrCorrupt): // from guard
		return false, err
	case errors.Is(err, header.ErrTruncated):
		return false, truncated(s.format, err)
	case errors.Is(err, header.ErrUnsupported):
		return false, unsupported(s.format, err)
	}
	return false, corrupt(s.format, err)
}

func (o *Optimizer) allowed(f Format) bool {
	return slices.Contains(o.opts.Inputs, f)
}

func (o *Optimizer) checkSize(h *header.Header) error {
	l := &o.opts.Limits
	pixels := int64(h.W) * int64(h.H) // both below 2³¹
	if pixels > l.Pixels {
		return &LimitError{Limit: "pixels", Got: pixels, Max: l.Pixels}
	}
	if h.Frames > l.Frames {
		return &LimitError{Limit: "frames", Got: int64(h.Frames), Max: int64(l.Frames)}
	}
	if n := pixels * int64(h.Frames); h.Frames > 1 && n > l.FramePixels {
		return &LimitError{Limit: "frame pixels", Got: n, Max: l.FramePixels}
	}
	return nil
}

func readHeader(f Format, b []byte, eof bool) (header.Header, error) {
	switch f {
	case FormatJPEG:
		return header.JPEG(b, eof)
	case FormatPNG:
		return header.PNG(b, eof)
	case FormatGIF:
		return header.GIF(b, eof)
	case FormatWebP:
		return header.WebP(b, eof)
	}
	if !eof {
		return header.Header{}, header.ErrMore // BMP and TIFF: let their decoders see it all
	}
	h := header.Header{Orientation: 1, Frames: 1}
	var c image.Config
	err := guard(f, func() (err error) {
		if f == FormatBMP {
			c, err = bmp.DecodeConfig(bytes.NewReader(b))
		} else {
			c, err = tiff.DecodeConfig(bytes.NewReader(b))
		}
		return err
	})
	if err != nil {
		if isUnsupported(err) {
			return h, header.ErrUnsupported
		}
		return h, fmt.Errorf("%w: %w", header.ErrCorrupt, err)
	}
	if c.Width < 1 || c.Height < 1 || c.Width > 1<<30 || c.Height > 1<<30 {
		return h, header.ErrCorrupt
	}
	h.W, h.H, h.Alpha = c.Width, c.Height, true
	h.Decode = 12 * int64(h.W) * int64(h.H)
	return h, nil
}

// confirm asks the decoder that will run for the size it sees, so that no difference
// between two readings of a header gets past the limits. It also refuses what no
// decoder reads.
func confirm(s *source) error {
	if s.format == FormatWebP && s.head.Animated {
		return unsupported(s.format, errors.New("animation"))
	}
	var kind icc.Kind
	err := guard(s.format, func() error {
		s.head.Unpack()
		kind, s.colour = icc.Parse(s.head.ICC)
		return nil
	})
	if err != nil {
		return err
	}
	if kind == icc.XYB {
		return unsupported(s.format, errors.New("XYB colours"))
	}
	s.plain, s.viewer = kind == icc.None, kind == icc.Matrix || kind == icc.Table
	if s.format != FormatPNG { // our own decoder of JPEG compares the size itself
		return nil
	}
	var c image.Config
	err = guard(s.format, func() (err error) {
		c, err = png.DecodeConfig(bytes.NewReader(s.data))
		return err
	})
	if err != nil {
		return decoderError(context.Background(), s.format, err)
	}
	if c.Width != s.head.W || c.Height != s.head.H {
		return corrupt(s.format, errors.New("two sizes in one header"))
	}
	return nil
}

// guard runs a decoder and turns its panic into ErrCorrupt.
func guard(f Format, decode func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = corrupt(f, fmt.Errorf("decoder panicked: %v", p))
		}
	}()
	return decode()
}

// ctxReader ends a decoder that reads on after ctx is done.
type ctxReader struct {
	ctx context.Context
	r   *bytes.Reader
}

// Read reads in portions that keep the time between two looks at ctx short.
func (c ctxReader) Read(p []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	return c.r.Read(p[:min(len(p), 1<<10)]) // a thousand times that in pixels, if they are smooth
}

// maxScans bounds the scans of a JPEG. Encoders write about ten; the decoder walks
// over the whole picture for each, even if it takes but a few bytes of the file.
const maxScans = 100

// checkScans looks through the whole file, as the header does not tell.
func (s *source) checkScans() error {
	if s.format != FormatJPEG {
		return nil
	}
	n, err := header.JPEGScans(s.data)
	if err != nil {
		return corrupt(s.format, err)
	}
	if n > maxScans {
		return &LimitError{Limit: "scans", Got: int64(n), Max: maxScans}
	}
	return nil
}

// coefficientBytes is what the decoder of progressive JPEG keeps of each block: its
// first coefficient, and for more than an eighth the others that the scale needs, with
// a word that tells which of all are not zero. Chroma may be decoded at twice the scale.
func coefficientBytes(w wanted) int64 {
	scale := w.scale
	if w.chroma && scale < 8 {
		scale = max(scale/2, 1)
	}
	return map[int]int64{8: 2, 4: 2 + 8 + 2*4, 2: 2 + 8 + 2*24, 1: 2 + 8 + 2*63}[scale]
}

// decodeCost estimates the memory for the file and its decoded picture, in bytes.
func (s *source) decodeCost(w wanted) int64 {
	cost := s.head.Decode
	if h := &s.head; h.Samples > 0 {
		k := int64(w.scale * w.scale)
		cost = h.Samples/k + 64<<10
		if w.chroma {
			cost = min(4*cost, 3*h.Full/k+64<<10)
		}
		if h.Progressive {
			cost += h.Samples / 64 * coefficientBytes(w)
		}
	}
	size := max(s.size, int64(len(s.data)))
	if s.format == FormatWebP {
		size *= 2 // the decoder has a copy
	}
	if s.coarse != nil {
		cost = max(cost, size/firstShare) // while it is read, nothing is decoded
	}
	return 1<<18 + size + cost
}

// decodeStill decodes the picture, of an animation its first frame.
func (s *source) decodeStill(ctx context.Context) (img image.Image, err error) {
	r := ctxReader{ctx, bytes.NewReader(s.data)}
	err = guard(s.format, func() (err error) {
		switch s.format {
		case FormatJPEG:
			img, err = jpeg.Decode(r)
		case FormatPNG:
			img, err = png.Decode(r)
		case FormatGIF:
			img, err = gif.Decode(r)
		case FormatWebP:
			img, err = s.decodeWebP(ctx)
		case FormatBMP:
			img, err = bmp.Decode(r)
		case FormatTIFF:
			img, err = tiff.Decode(bytes.NewReader(s.data)) // it reads at random
		default:
			err = unsupported(s.format, nil)
		}
		return err
	})
	if err != nil {
		return nil, s.decodeError(ctx, err)
	}
	if b := img.Bounds(); b.Dx() < 1 || b.Dy() < 1 || s.format != FormatGIF && (b.Dx() != s.head.W || b.Dy() != s.head.H) {
		return nil, corrupt(s.format, errors.New("size differs from the header"))
	}
	return img, nil
}

// decodeError sorts a decoder's error. Decoders often name the symptom of a missing
// end; a file without its closing mark was cut off.
func (s *source) decodeError(ctx context.Context, err error) error {
	err = decoderError(ctx, s.format, err)
	if !errors.Is(err, ErrCorrupt) {
		return err
	}
	end := map[Format]string{FormatJPEG: "\xff\xd9", FormatPNG: "IEND", FormatGIF: "\x3b"}[s.format]
	tail := s.data[max(0, len(s.data)-1024):]
	if end == "" || bytes.Contains(tail, []byte(end)) {
		return err
	}
	return truncated(s.format, errors.Unwrap(err))
}

func (o *Optimizer) inspect(r io.Reader) (Info, error) {
	if r == nil {
		return Info{}, fmt.Errorf("%w: reader is nil", ErrOptions)
	}
	s, err := o.openReader(r, false, false)
	if err != nil {
		return Info{}, err
	}
	return s.info(), nil
}
