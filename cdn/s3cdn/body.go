package s3cdn

import (
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"sync"

	"github.com/perfblocks/perfblocks/cdn"
)

// body reads size bytes of a caller's ReaderAt for one request. net/http may still
// be reading a request's body when the call has returned; release ends that, so
// that the caller may reuse its buffer at once.
type body struct {
	size int64
	want *uint32 // checksum to check here, when no server does; nil: none

	mu  sync.Mutex
	r   io.ReaderAt // nil once released; guarded by mu
	off int64       // guarded by mu
	sum uint32      // CRC32C of what was read in order; guarded by mu
	err error       // first failure to read the body; guarded by mu
}

// bodyError is a failure of the caller's body, as opposed to one of the network.
type bodyError struct{ err error }

func (e *bodyError) Error() string { return "read body: " + e.err.Error() }
func (e *bodyError) Unwrap() error { return e.err }

func (e *bodyError) kind() error {
	switch {
	case errors.Is(e.err, cdn.ErrTruncated):
		return cdn.ErrTruncated
	case errors.Is(e.err, cdn.ErrChecksum):
		return cdn.ErrChecksum
	}
	return nil
}

func newBody(r io.ReaderAt, size int64) *body { return &body{r: r, size: size} }

// Read implements io.Reader. An early end of the body is an error, and so is a body
// that is not what its checksum says: its last bytes are then withheld, so that the
// server never has a whole request.
func (b *body) Read(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.r == nil {
		return 0, errors.New("s3cdn: body read after the call")
	}
	if b.off >= b.size {
		return 0, io.EOF
	}
	if rest := b.size - b.off; int64(len(p)) > rest {
		p = p[:rest]
	}
	n, err := b.r.ReadAt(p, b.off)
	b.off += int64(n)
	if b.want != nil {
		b.sum = crc32.Update(b.sum, castagnoli(), p[:n])
		if b.off == b.size && b.sum != *b.want {
			b.err = &bodyError{fmt.Errorf("%w: the body is not what its CRC32C says", cdn.ErrChecksum)}
			return 0, b.err
		}
	}
	if err == nil || n == len(p) {
		return n, nil
	}
	if errors.Is(err, io.EOF) {
		err = fmt.Errorf("%w: %d of %d bytes", cdn.ErrTruncated, b.off, b.size)
	}
	b.err = &bodyError{err}
	return n, b.err
}

// Seek implements io.Seeker, which the SDK needs to hash a body before it is sent.
func (b *body) Seek(offset int64, whence int) (int64, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch whence {
	case io.SeekCurrent:
		offset += b.off
	case io.SeekEnd:
		offset += b.size
	}
	if offset < 0 {
		return 0, errors.New("s3cdn: seek before the start of the body")
	}
	b.off, b.sum = offset, 0
	return offset, nil
}

// release waits for a read in progress, forbids further ones and returns the
// body's own failure, if it had one.
func (b *body) release() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.r = nil
	return b.err
}

// castagnoli is the table that hash/crc32 keeps for CRC32C.
func castagnoli() *crc32.Table { return crc32.MakeTable(crc32.Castagnoli) }

// checksum reads size bytes of r and returns their CRC32C.
func checksum(r io.ReaderAt, size int64) (uint32, error) {
	h := crc32.New(castagnoli())
	n, err := io.Copy(h, io.NewSectionReader(r, 0, size))
	switch {
	case err != nil:
		return 0, &bodyError{err}
	case n < size:
		return 0, &bodyError{fmt.Errorf("%w: %d of %d bytes", cdn.ErrTruncated, n, size)}
	}
	return h.Sum32(), nil
}

// encodeCRC is a checksum as S3 writes it: base64 of the big-endian value.
func encodeCRC(sum uint32) string {
	return base64.StdEncoding.EncodeToString(binary.BigEndian.AppendUint32(nil, sum))
}

// compositeCRC is S3's checksum of a multipart object: that of the concatenated
// checksums of its parts, with the number of parts.
func compositeCRC(parts []cdn.PartInfo) string {
	var all []byte
	for _, part := range parts {
		all = binary.BigEndian.AppendUint32(all, part.CRC32C)
	}
	sum := crc32.Checksum(all, castagnoli())
	return fmt.Sprintf("%s-%d", encodeCRC(sum), len(parts))
}

// decodeCRC undoes encodeCRC.
func decodeCRC(s string) (uint32, bool) {
	b, err := base64.StdEncoding.DecodeString(s)
	if err != nil || len(b) != 4 {
		return 0, false
	}
	return binary.BigEndian.Uint32(b), true
}
