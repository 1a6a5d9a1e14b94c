package httpcall

import (
	"errors"
	"fmt"
	"hash"
	"hash/crc32"
	"io"
	"sync"

	"github.com/perfblocks/perfblocks/cdn"
)

// Body reads a part of a caller's ReaderAt for one request. net/http may still be
// reading a request's body when the call has returned; Release ends that, so that
// the caller may reuse its buffer at once.
type Body struct {
	size int64
	sum  hash.Hash // sees what is read; may be nil
	want *uint32   // CRC32C of the whole; nil: unknown

	mu  sync.Mutex
	r   io.ReaderAt // nil once released; guarded by mu
	off int64       // guarded by mu
	crc uint32      // CRC32C of what was read in order; guarded by mu
	err error       // first failure to read the body; guarded by mu
}

// NewBody returns a Body of the first size bytes of r. If sum is not nil it sees what
// is read; if want is not nil it is the CRC32C that the whole must have.
func NewBody(r io.ReaderAt, size int64, sum hash.Hash, want *uint32) *Body {
	return &Body{r: r, size: size, sum: sum, want: want}
}

// BodyError is a failure of the caller's body, as opposed to one of the network.
type BodyError struct{ err error }

// Error tells what went wrong.
func (e *BodyError) Error() string { return "read body: " + e.err.Error() }

// Unwrap returns the cause.
func (e *BodyError) Unwrap() error { return e.err }

// Kind is the kind of the failure, nil when the body's own error tells.
func (e *BodyError) Kind() error {
	switch {
	case errors.Is(e.err, cdn.ErrTruncated):
		return cdn.ErrTruncated
	case errors.Is(e.err, cdn.ErrChecksum):
		return cdn.ErrChecksum
	}
	return nil
}

// Size is the length of the body in bytes.
func (b *Body) Size() int64 { return b.size }

// Read implements io.Reader. An early end of the body is an error, and so is a body
// that is not what its checksum says: its last bytes are then withheld, so that the
// server never has a whole request.
func (b *Body) Read(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.r == nil {
		return 0, errors.New("cdn: body read after the call")
	}
	if b.off >= b.size {
		return 0, io.EOF
	}
	if rest := b.size - b.off; int64(len(p)) > rest {
		p = p[:rest]
	}
	n, err := b.r.ReadAt(p, b.off)
	if n < 0 || n > len(p) {
		b.err = &BodyError{fmt.Errorf("the reader returned %d for %d bytes", n, len(p))}
		return 0, b.err
	}
	b.off += int64(n)
	if b.sum != nil {
		b.sum.Write(p[:n])
	}
	if b.want != nil {
		b.crc = crc32.Update(b.crc, Castagnoli(), p[:n])
		if b.off == b.size && b.crc != *b.want {
			b.err = &BodyError{fmt.Errorf("%w: the body is not what its CRC32C says", cdn.ErrChecksum)}
			return 0, b.err
		}
	}
	if err == nil || n == len(p) {
		return n, nil
	}
	if errors.Is(err, io.EOF) {
		err = fmt.Errorf("%w: %d of %d bytes", cdn.ErrTruncated, b.off, b.size)
	}
	b.err = &BodyError{err}
	return n, b.err
}

// Seek implements io.Seeker, which the SDK of AWS needs to hash a body before it is
// sent. The checksum counts from where it seeks to.
func (b *Body) Seek(offset int64, whence int) (int64, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch whence {
	case io.SeekCurrent:
		offset += b.off
	case io.SeekEnd:
		offset += b.size
	}
	if offset < 0 {
		return 0, errors.New("cdn: seek before the start of the body")
	}
	b.off, b.crc = offset, 0
	return offset, nil
}

// Release waits for a read in progress, forbids further ones and returns the
// body's own failure, a *BodyError, if it had one.
func (b *Body) Release() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.r = nil
	return b.err
}

// Checksum reads size bytes of r and returns their CRC32C. The error is a *BodyError.
func Checksum(r io.ReaderAt, size int64) (uint32, error) {
	h := crc32.New(Castagnoli())
	n, err := io.Copy(h, io.NewSectionReader(r, 0, size))
	switch {
	case err != nil:
		return 0, &BodyError{err}
	case n < size:
		return 0, &BodyError{fmt.Errorf("%w: %d of %d bytes", cdn.ErrTruncated, n, size)}
	}
	return h.Sum32(), nil
}

// Castagnoli is the table that hash/crc32 keeps for CRC32C.
func Castagnoli() *crc32.Table { return crc32.MakeTable(crc32.Castagnoli) }

// ObjectCRC returns where obj's CRC32C is, nil when it is unknown.
func ObjectCRC(obj cdn.Object) *uint32 {
	if !obj.HasCRC32C {
		return nil
	}
	return &obj.CRC32C
}

// PartCRC is ObjectCRC for a part, in which 0 is unknown.
func PartCRC(part cdn.Part) *uint32 {
	if part.CRC32C == 0 {
		return nil
	}
	return &part.CRC32C
}
