package cdn

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"sync"
)

const (
	minBuffer = 32 << 10 // first buffer of an upload, and the chunk of copying
	maxBuffer = 4 << 20  // a longer body goes to disk, unless it is sent in parts
	maxFirst  = 1 << 20  // of a stream that may go in parts, with a Fallback
)

// body is the content of one upload, read to its end, hashed and readable again.
// It is an io.ReaderAt for providers until detach.
type body struct {
	size int64
	sum  hexSum
	crc  uint32
	head []byte // the first sniffLen bytes

	at    io.ReaderAt
	file  *os.File // spooled, nil otherwise
	local *Local   // made file, nil for a system's temporary file
	mem   *blocks  // in memory, nil otherwise
	more  *ahead   // the rest of a stream that is to go in parts, nil otherwise
	tape  bool     // parts are read from file while more is written: it stays open if it moves
	moved []func() // close the files that it was in

	mu       sync.Mutex
	reads    int           // guarded by mu; under way
	detached bool          // guarded by mu
	idle     chan struct{} // guarded by mu; closed when detached and no read is left
}

// ReadAt reads the content. A transport may go on reading after its call returned;
// detach makes that an error instead of a race with what becomes of the source. A
// transport may also read on a goroutine of its own, where a panic of the caller's
// source would end the process: it becomes an error.
func (b *body) ReadAt(p []byte, off int64) (n int, err error) {
	b.mu.Lock()
	if b.detached {
		b.mu.Unlock()
		return 0, os.ErrClosed
	}
	b.reads++
	b.mu.Unlock()
	defer func() {
		if r := recover(); r != nil {
			n, err = 0, errBodyPanicked
		}
		b.mu.Lock()
		if b.reads--; b.detached && b.reads == 0 {
			close(b.idle)
		}
		b.mu.Unlock()
	}()
	n, err = b.at.ReadAt(p, off)
	return checkRead(n, len(p), err)
}

// errBodyPanicked is a panic of a caller's io.ReaderAt while a provider reads it.
var errBodyPanicked = errors.New("cdn: read body: the reader panicked")

// maxIdle is how often in a row a reader may return nothing.
const maxIdle = 100

// ahead is a stream that can be asked whether it goes on.
type ahead struct {
	strictReader
	next   [1]byte
	peeked bool
}

// Read reads from the stream.
func (a *ahead) Read(p []byte) (int, error) {
	if a.peeked && len(p) > 0 {
		p[0], a.peeked = a.next[0], false
		return 1, nil
	}
	return a.strictReader.Read(p)
}

// goesOn reports whether there is at least one more byte.
func (a *ahead) goesOn(ctx context.Context) (bool, error) {
	for !a.peeked {
		if err := ctx.Err(); err != nil {
			return false, err
		}
		n, err := a.strictReader.Read(a.next[:])
		if a.peeked = n > 0; a.peeked || err == io.EOF {
			break
		}
		if err != nil {
			return false, bodyError(err)
		}
	}
	return a.peeked, nil
}

// strictReader makes errors of what a reader must not do. Its first error is its last
// word, as not every reader repeats one: a stream that failed must not seem to end when
// it is read on.
type strictReader struct {
	r    io.Reader
	idle int // reads in a row that returned nothing
	err  error
}

// Read reads from r.
func (s *strictReader) Read(p []byte) (int, error) {
	if s.err != nil {
		return 0, s.err
	}
	n, err := s.r.Read(p)
	if n, s.err = checkRead(n, len(p), err); n > 0 || s.err != nil {
		s.idle = 0
		return n, s.err
	}
	if s.idle++; s.idle == maxIdle {
		s.err = io.ErrNoProgress
	}
	return 0, s.err
}

// checkRead makes an error of a count that no reader may return.
func checkRead(n, asked int, err error) (int, error) {
	if n < 0 || n > asked {
		return 0, fmt.Errorf("cdn: read body: the reader returned %d for %d bytes", n, asked)
	}
	return n, err
}

// detach waits for reads under way and refuses later ones.
func (b *body) detach() {
	b.mu.Lock()
	if !b.detached {
		b.detached, b.idle = true, make(chan struct{})
		if b.reads == 0 {
			close(b.idle)
		}
	}
	idle := b.idle
	b.mu.Unlock()
	<-idle
}

// forget drops the files that the content was in before.
func (b *body) forget() {
	for _, f := range b.moved {
		f()
	}
	b.moved = nil
}

// close gives everything back. It may be repeated.
func (b *body) close() {
	b.detach()
	b.forget()
	if f := b.file; f != nil {
		b.file = nil
		if b.local != nil {
			b.local.dropTemp(f)
		} else {
			f.Close()
			os.Remove(f.Name())
		}
	}
	b.at = nil
	if b.mem != nil {
		b.mem.release()
	}
}

// limits is what a body must keep to; zero fields do not bind, but max does.
type limits struct {
	max  int64 // negative: none
	size int64
	base int64 // of what was read before
	sum  [32]byte
}

// receive reads r to its end, or a stream up to most bytes, with the rest in b.more. A
// source that can be read again stays where it is.
func (u *Uploader) receive(ctx context.Context, r io.Reader, lim limits, most int64) (b *body, err error) {
	b = &body{}
	whole := false
	defer func() { // after a panic of r too
		if !whole {
			b.close()
			b = nil
		}
	}()
	if at, start, size, ok := rereadable(r); ok {
		err = u.readInPlace(ctx, b, io.NewSectionReader(at, start, size), lim)
	} else {
		src := &ahead{strictReader: strictReader{r: r}}
		var on bool
		if on, err = u.readStream(ctx, b, src, lim, most, newHasher()); on {
			b.more = src
		}
	}
	if err != nil {
		return b, err
	}
	switch {
	case b.more != nil:
	case lim.size > 0 && b.size < lim.size:
		return b, fmt.Errorf("%w: %d of %d bytes", ErrTruncated, b.size, lim.size)
	case lim.sum != [32]byte{} && hexSum(lim.sum) != b.sum:
		return b, fmt.Errorf("%w: the body is not the expected content", ErrChecksum)
	}
	b.head = make([]byte, min(b.size, sniffLen))
	if n, err := b.at.ReadAt(b.head, 0); n < len(b.head) {
		return b, fmt.Errorf("cdn: read body: %w", err)
	}
	whole = true
	return b, nil
}

// rereadable reports what is left of r when it can be read in place: a regular file
// or a reader over memory. It moves r to its end, as reading would.
func rereadable(r io.Reader) (at io.ReaderAt, start, size int64, ok bool) {
	at, isAt := r.(io.ReaderAt)
	seeker, isSeeker := r.(io.Seeker)
	if !isAt || !isSeeker {
		return nil, 0, 0, false
	}
	if f, isFile := r.(*os.File); isFile {
		if st, err := f.Stat(); err != nil || !st.Mode().IsRegular() {
			return nil, 0, 0, false
		}
	}
	start, err := seeker.Seek(0, io.SeekCurrent)
	if err != nil {
		return nil, 0, 0, false
	}
	end, err := seeker.Seek(0, io.SeekEnd)
	if err != nil {
		return nil, 0, 0, false
	}
	return at, start, max(end-start, 0), true
}

// tooLarge reports a body of more than n bytes as an error.
func (lim limits) tooLarge(n int64) error {
	if lim.max >= 0 && n > lim.max {
		return fmt.Errorf("%w: more than %d bytes", ErrTooLarge, lim.max)
	}
	if lim.size > 0 && n > lim.size {
		return fmt.Errorf("%w: more than the announced %d bytes", ErrTooLarge, lim.size)
	}
	return nil
}

func (u *Uploader) readInPlace(ctx context.Context, b *body, src *io.SectionReader, lim limits) error {
	if err := lim.tooLarge(src.Size()); err != nil {
		return err
	}
	h := newHasher()
	chunk := u.memory.block(minBuffer)
	defer u.memory.recycle(chunk)
	buf := chunk[:minBuffer]
	r := strictReader{r: src}
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		n, err := r.Read(buf)
		h.Write(buf[:n])
		b.size += int64(n)
		if err == io.EOF {
			break
		}
		if err != nil {
			return bodyError(err)
		}
	}
	if b.size != src.Size() {
		return fmt.Errorf("%w: %d of %d bytes", ErrTruncated, b.size, src.Size())
	}
	b.at = src
	b.sum, b.crc = h.sums()
	return nil
}

// readStream keeps a stream in memory while it is small and the budget lasts, and
// moves it to disk otherwise. It stops after most bytes, and reports whether there are
// more.
func (u *Uploader) readStream(ctx context.Context, b *body, r *ahead, lim limits, most int64, h *hasher) (more bool, err error) {
	if b.mem == nil {
		b.mem = &blocks{memory: u.memory}
	}
	fits := int64(maxBuffer)
	switch {
	case most == math.MaxInt64:
	case u.local != nil && !b.mem.long:
		fits = maxFirst // what goes in parts is written to disk anyway
	default:
		fits = most // what is sent at once may be held at once
	}
	var chunk []byte // once there is a file
	for more = true; more && b.size < most; {
		if err := ctx.Err(); err != nil {
			return false, err
		}
		var p []byte
		if b.file == nil && b.size < fits {
			p = b.mem.room()
		}
		if p == nil {
			if chunk == nil {
				chunk = make([]byte, minBuffer)
				if err := u.toDisk(b); err != nil {
					return false, err
				}
			}
			p = chunk
		}
		n, err := r.Read(p[:min(int64(len(p)), most-b.size)])
		if h.Write(p[:n]); chunk == nil {
			b.mem.grown(n)
		} else if err := u.spool(b, p[:n], b.size); err != nil {
			return false, err
		}
		b.size += int64(n)
		if err := lim.tooLarge(lim.base + b.size); err != nil {
			return false, err
		}
		if more = err != io.EOF; more && err != nil {
			return false, bodyError(err)
		}
	}
	if more {
		if more, err = r.goesOn(ctx); err != nil {
			return false, err
		}
	}
	b.at = b.mem
	if b.file != nil {
		b.at = io.NewSectionReader(b.file, 0, b.size)
	}
	b.sum, b.crc = h.sums()
	return more, nil
}

// toDisk moves what is in memory to the body's file.
func (u *Uploader) toDisk(b *body) error {
	off := int64(0)
	for _, p := range b.mem.list {
		if err := u.spool(b, p, off); err != nil {
			return err
		}
		off += int64(len(p))
	}
	if off == 0 {
		if err := u.spool(b, nil, 0); err != nil {
			return err
		}
	}
	b.mem.release()
	return nil
}

// bodyError wraps a failure of the caller's reader.
func bodyError(err error) error {
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("%w: read body: %w", ErrTruncated, err)
	}
	return fmt.Errorf("cdn: read body: %w", err)
}

// spool writes p at off to the body's file, which it makes first: in the directory of
// the Local, where a fallback can take it over, or, when that takes no more, in
// TempDir. So a full Local does not fail an upload that the provider takes.
func (u *Uploader) spool(b *body, p []byte, off int64) error {
	var full error
	if b.file == nil && u.local != nil {
		if b.file, full = u.local.newTemp(); full == nil {
			b.local = u.local
		}
	}
	if full == nil && b.file != nil {
		_, err := b.file.WriteAt(p, off)
		if err == nil {
			return nil
		}
		if full = localError("spool body", err); b.local == nil {
			return full
		}
	}
	to, err := moveSpool(u.opts.TempDir, b.file, p, off)
	if err != nil {
		return errors.Join(full, localError("spool body", err))
	}
	if old, l := b.file, b.local; l != nil {
		if b.moved = append(b.moved, func() { l.dropTemp(old) }); !b.tape {
			b.forget()
		}
	}
	b.file, b.local = to, nil
	return nil
}

// moveSpool makes a file in dir of the first off bytes of from, which may be nil, and p.
func moveSpool(dir string, from *os.File, p []byte, off int64) (to *os.File, err error) {
	if to, err = os.CreateTemp(dir, "cdn-*"); err != nil {
		return nil, err
	}
	if off > 0 {
		_, err = io.Copy(io.NewOffsetWriter(to, 0), io.NewSectionReader(from, 0, off))
	}
	if err == nil {
		_, err = to.WriteAt(p, off)
	}
	if err != nil {
		to.Close()
		os.Remove(to.Name())
		return nil, err
	}
	return to, nil
}
