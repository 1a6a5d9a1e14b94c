package cdntest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math/rand/v2"
	"path"
	"sync/atomic"
	"testing"

	"github.com/perfblocks/perfblocks/cdn"
)

// Options tells what a provider cannot do by its nature. The zero value demands the
// whole contract.
type Options struct {
	// Prefix begins every key, so that runs can share a bucket. Default "cdntest".
	Prefix string
	// NoMetadata, NoCacheControl and NoDisposition are for providers that do not
	// store the field of that name.
	NoMetadata, NoCacheControl, NoDisposition bool
	// NoContentType is for providers that decide the media type themselves.
	NoContentType bool
	// NoCreateOnly is for providers that ignore Object.CreateOnly.
	NoCreateOnly bool
	// NeedHandle is for providers that find an object only by Info.Ref.Handle.
	NeedHandle bool
	// Fetch reads a public URL, to check that it serves the object. Nil: not checked.
	Fetch func(ctx context.Context, url string) ([]byte, error)
}

// Run checks providers made by newProvider, one for each subtest, against the whole
// contract of cdn.Provider and of the optional interfaces that it has. Providers
// may share their storage; keys are unique to the run. It leaves some objects behind.
func Run(t *testing.T, newProvider func(t *testing.T) cdn.Provider, o Options) {
	t.Helper()
	if o.Prefix == "" {
		o.Prefix = "cdntest"
	}
	o.Prefix = fmt.Sprintf("%s/%08x", o.Prefix, rand.Uint32())
	for _, c := range []struct {
		name string
		f    func(*suite)
	}{
		{"PutThenRead", (*suite).putThenRead},
		{"Ranges", (*suite).ranges},
		{"Missing", (*suite).missing},
		{"Delete", (*suite).remove},
		{"Overwrite", (*suite).overwrite},
		{"Attributes", (*suite).attributes},
		{"OddKeys", (*suite).oddKeys},
		{"CreateOnly", (*suite).createOnly},
		{"WrongChecksum", (*suite).wrongChecksum},
		{"ShortBody", (*suite).shortBody},
		{"CancelledContext", (*suite).cancelled},
		{"Concurrent", (*suite).concurrent},
		{"URL", (*suite).url},
		{"List", (*suite).list},
		{"Copy", (*suite).copy},
		{"Multipart", (*suite).multipart},
		{"MultipartAbort", (*suite).multipartAbort},
		{"Purge", (*suite).purge},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.f(&suite{T: t, o: o, p: newProvider(t), ctx: t.Context()})
		})
	}
}

type suite struct {
	*testing.T
	o   Options
	p   cdn.Provider
	ctx context.Context
}

func (s *suite) key(name string) string {
	return s.o.Prefix + "/" + path.Base(s.Name()) + "/" + name
}

// content is reproducible and incompressible.
func content(n int, seed uint64) []byte {
	b := make([]byte, n)
	r := rand.NewPCG(seed, uint64(n))
	for i := range b {
		b[i] = byte(r.Uint64())
	}
	return b
}

// object describes b in full, as the uploader does.
func object(key string, b []byte) cdn.Object {
	return cdn.Object{
		Key: key, Size: int64(len(b)), ContentType: "application/octet-stream", SHA256: sha256.Sum256(b),
		CRC32C: crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli)), HasCRC32C: true,
	}
}

// put stores b and fails the test if it cannot.
func (s *suite) put(obj cdn.Object, b []byte) cdn.Ref {
	s.Helper()
	body := &watchedBody{r: bytes.NewReader(b)}
	info, err := s.p.Put(s.ctx, obj, body)
	body.returned.Store(true)
	s.Cleanup(func() {
		if body.late.Load() {
			s.Errorf("Put(%q): the body was read after Put had returned", obj.Key)
		}
	})
	if err != nil {
		s.Fatalf("Put(%q, %d bytes): %v", obj.Key, len(b), err)
	}
	if info.Ref.Key != obj.Key {
		s.Errorf("Put(%q): Info.Ref.Key = %q; want the key", obj.Key, info.Ref.Key)
	}
	if info.Size != 0 && info.Size != obj.Size {
		s.Errorf("Put(%q): Info.Size = %d; want %d or 0", obj.Key, info.Size, obj.Size)
	}
	if !info.Verified && info.ETag != "" { // then the Uploader compares
		if head, err := s.p.Head(s.ctx, info.Ref); err == nil && head.ETag != "" && head.ETag != info.ETag {
			s.Errorf("Put(%q): Info.ETag = %s, Head's = %s; want the same, or none", obj.Key, info.ETag, head.ETag)
		}
	}
	return info.Ref
}

// watchedBody notices reads after the call that it was given to.
type watchedBody struct {
	r              io.ReaderAt
	returned, late atomic.Bool
}

// ReadAt reads the body.
func (b *watchedBody) ReadAt(p []byte, off int64) (int, error) {
	if b.returned.Load() {
		b.late.Store(true)
	}
	return b.r.ReadAt(p, off)
}

// want checks that ref reads as b, by Head and by Open, and returns Head's answer.
func (s *suite) want(ref cdn.Ref, b []byte) cdn.Info {
	s.Helper()
	info, err := s.p.Head(s.ctx, ref)
	if err != nil {
		s.Fatalf("Head(%q): %v", ref.Key, err)
	}
	if info.Size != int64(len(b)) {
		s.Errorf("Head(%q): Size = %d; want %d", ref.Key, info.Size, len(b))
	}
	if info.SHA256 != ([32]byte{}) && info.SHA256 != sha256.Sum256(b) {
		s.Errorf("Head(%q): SHA256 is not the content's", ref.Key)
	}
	got, err := s.read(ref, 0, -1)
	if err != nil {
		s.Fatalf("Open(%q, 0, -1): %v", ref.Key, err)
	}
	if !bytes.Equal(got, b) {
		s.Fatalf("Open(%q, 0, -1) = %s; want %s", ref.Key, describe(got), describe(b))
	}
	return info
}

func (s *suite) read(ref cdn.Ref, off, n int64) ([]byte, error) {
	r, _, err := s.p.Open(s.ctx, ref, off, n)
	if err != nil {
		return nil, err
	}
	b, err := io.ReadAll(r)
	return b, errors.Join(err, r.Close())
}

// wantGone checks that ref is missing, with the right errors.
func (s *suite) wantGone(ref cdn.Ref) {
	s.Helper()
	if _, err := s.p.Head(s.ctx, ref); !errors.Is(err, cdn.ErrNotFound) {
		s.Errorf("Head(%q) of a missing object = %v; want ErrNotFound", ref.Key, err)
	} else if _, ok := errors.AsType[*cdn.OpError](err); !ok {
		s.Errorf("Head(%q) returned a bare %T; want an *OpError", ref.Key, err)
	}
	if r, _, err := s.p.Open(s.ctx, ref, 0, -1); !errors.Is(err, cdn.ErrNotFound) {
		s.Errorf("Open(%q) of a missing object = %v; want ErrNotFound", ref.Key, err)
		if err == nil {
			r.Close()
		}
	}
}

func describe(b []byte) string {
	return fmt.Sprintf("%d bytes, sha256 %.8x", len(b), sha256.Sum256(b))
}
