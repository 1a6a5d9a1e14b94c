package cdn

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"sync/atomic"
)

const (
	minBuffer = 32 << 10 // first buffer of an upload, and the chunk of copying
	maxBuffer = 4 << 20  // a longer body goes to disk
)

// budget bounds the buffers of all uploads together.
type budget struct {
	limit int64
	used  atomic.Int64
}

// take reserves n bytes if they are to be had.
func (b *budget) take(n int64) bool {
	for {
		used := b.used.Load()
		if used+n > b.limit {
			return false
		}
		if b.used.CompareAndSwap(used, used+n) {
			return true
		}
	}
}

func (b *budget) give(n int64) { b.used.Add(-n) }

// body is the content of one upload, read to its end, hashed and readable again.
// It is an io.ReaderAt for providers until detach.
type body struct {
	size int64
	sum  hexSum
	crc  uint32
	head []byte // the first sniffLen bytes

	at     io.ReaderAt
	file   *os.File // spooled, nil otherwise
	local  *Local   // made file, nil for a system's temporary file
	memory *budget
	held   int64 // of memory

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

// strictReader makes errors of what a reader must not do.
type strictReader struct {
	r    io.Reader
	idle int // reads in a row that returned nothing
}

// Read reads from r.
func (s *strictReader) Read(p []byte) (int, error) {
	n, err := s.r.Read(p)
	if n, err = checkRead(n, len(p), err); n > 0 || err != nil {
		s.idle = 0
		return n, err
	}
	if s.idle++; s.idle == maxIdle {
		return 0, io.ErrNoProgress
	}
	return 0, nil
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

// close gives everything back. It may be repeated.
func (b *body) close() {
	b.detach()
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
	b.memory.give(b.held)
	b.held = 0
}

// limits is what a body must keep to; zero fields do not bind, but max does.
type limits struct {
	max  int64 // negative: none
	size int64
	sum  [32]byte
}

// receive reads r to its end. A source that can be read again stays where it is.
func (u *Uploader) receive(ctx context.Context, r io.Reader, lim limits) (b *body, err error) {
	b = &body{memory: u.memory}
	whole := false
	defer func() { // after a panic of r too
		if !whole {
			b.close()
			b = nil
		}
	}()
	if at, start, size, ok := rereadable(r); ok {
		err = b.readInPlace(ctx, io.NewSectionReader(at, start, size), lim)
	} else {
		err = u.readStream(ctx, b, r, lim)
	}
	if err != nil {
		return b, err
	}
	switch {
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

func (b *body) readInPlace(ctx context.Context, src *io.SectionReader, lim limits) error {
	if err := lim.tooLarge(src.Size()); err != nil {
		return err
	}
	h := newHasher()
	buf := make([]byte, min(max(src.Size(), 1), minBuffer))
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
// moves it to disk otherwise.
func (u *Uploader) readStream(ctx context.Context, b *body, src io.Reader, lim limits) error {
	r := strictReader{r: src}
	h := newHasher()
	var buf []byte // content so far, or the chunk once there is a file
	if b.memory.take(minBuffer) {
		b.held = minBuffer
	} else if err := u.spool(b, nil, 0); err != nil {
		return err
	}
	buf = make([]byte, 0, minBuffer)
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		if len(buf) == cap(buf) {
			var err error
			if buf, err = u.grow(b, buf); err != nil {
				return err
			}
		}
		n, err := r.Read(buf[len(buf):cap(buf)])
		p := buf[len(buf) : len(buf)+n]
		h.Write(p)
		if b.file != nil {
			if err := u.spool(b, p, b.size); err != nil {
				return err
			}
		} else {
			buf = buf[:len(buf)+n]
		}
		b.size += int64(n)
		if err := lim.tooLarge(b.size); err != nil {
			return err
		}
		if err == io.EOF {
			break
		}
		if err != nil {
			return bodyError(err)
		}
	}
	if b.file == nil {
		b.at = bytes.NewReader(buf)
	} else {
		b.at = io.NewSectionReader(b.file, 0, b.size)
	}
	b.sum, b.crc = h.sums()
	return nil
}

// bodyError wraps a failure of the caller's reader.
func bodyError(err error) error {
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("%w: read body: %w", ErrTruncated, err)
	}
	return fmt.Errorf("cdn: read body: %w", err)
}

// grow doubles a full buffer, or spools it and returns an empty one.
func (u *Uploader) grow(b *body, buf []byte) ([]byte, error) {
	n := int64(cap(buf))
	if n < maxBuffer && b.memory.take(2*n) {
		bigger := append(make([]byte, 0, 2*n), buf...)
		b.memory.give(n)
		b.held = 2 * n
		return bigger, nil
	}
	if err := u.spool(b, buf, 0); err != nil {
		return nil, err
	}
	b.memory.give(b.held - minBuffer)
	b.held = minBuffer
	return make([]byte, 0, minBuffer), nil
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
	if b.local != nil {
		b.local.dropTemp(b.file)
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
