package cdn_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/perfblocks/perfblocks/cdn"
	"github.com/perfblocks/perfblocks/cdn/cdntest"
)

// deaf tells no checksums, as many providers do, and may say that it has stored what it
// has not.
type deaf struct {
	*cdntest.Memory
	lies atomic.Bool
	etag func(body []byte) string // nil: none
}

func (p *deaf) tag(b []byte) string {
	if p.etag == nil {
		return ""
	}
	return p.etag(b)
}

func (p *deaf) Put(ctx context.Context, obj cdn.Object, body io.ReaderAt) (cdn.Info, error) {
	b, _ := io.ReadAll(io.NewSectionReader(body, 0, obj.Size))
	if p.lies.Load() {
		return cdn.Info{Ref: cdn.Ref{Key: obj.Key}, Size: obj.Size, ETag: p.tag(b)}, nil
	}
	info, err := p.Memory.Put(ctx, obj, bytes.NewReader(b))
	info.Verified, info.ETag = false, p.tag(b)
	return info, err
}

func (p *deaf) Head(ctx context.Context, ref cdn.Ref) (cdn.Info, error) {
	info, err := p.Memory.Head(ctx, ref)
	b, _ := p.Bytes(ref.Key)
	info.SHA256, info.ETag = [32]byte{}, p.tag(b)
	return info, err
}

// TestOverwriteOfEqualLength has a provider say that it has replaced an object by another
// of the same length, and keep the old one. By its ETag the Uploader sees that.
func TestOverwriteOfEqualLength(t *testing.T) {
	p := &deaf{Memory: &cdntest.Memory{}, etag: func(b []byte) string { return fmt.Sprintf("%x", b) }}
	u := newUploader(t, p, cdn.Options{Fallback: newLocal(t, cdn.LocalOptions{})})
	upload(t, u, "x.txt", []byte("old content"), cdn.UploadOptions{Key: "k"})
	p.lies.Store(true)
	res := upload(t, u, "x.txt", []byte("new content"), cdn.UploadOptions{Key: "k"})
	if !errors.Is(res.Fallback, cdn.ErrUnavailable) {
		t.Errorf("Upload = %+v; want a fallback: the provider has the old content", res)
	}
	wantContent(t, u, "k", []byte("new content"))
	if n, err := u.Promote(t.Context()); n != 0 || err == nil {
		t.Errorf("Promote = %d, %v while the provider keeps the old content", n, err)
	}
	p.lies.Store(false)
	if n, err := u.Promote(t.Context()); n != 1 || err != nil {
		t.Errorf("Promote = %d, %v", n, err)
	}
	if b, _ := p.Bytes("k"); string(b) != "new content" {
		t.Errorf("the provider has %q", b)
	}
}

// TestCreateOnlyTakenByEqualLength promotes a create-only object whose key somebody else
// has taken meanwhile, with content of the same length. It is not lost.
func TestCreateOnlyTakenByEqualLength(t *testing.T) {
	for _, etag := range []func([]byte) string{nil, func([]byte) string { return `"0123456789abcdef0123456789abcdef"` }} {
		var down outage
		p := &deaf{Memory: &cdntest.Memory{Fault: down.fault}, etag: etag}
		u := newUploader(t, p, cdn.Options{Fallback: newLocal(t, cdn.LocalOptions{}), Retain: -1})
		down.on.Store(true)
		upload(t, u, "x.txt", []byte("acknowledged"), cdn.UploadOptions{Key: "k", CreateOnly: true})
		down.on.Store(false)
		theirs := []byte("other's work")
		if _, err := p.Put(t.Context(), cdn.Object{Key: "k", Size: int64(len(theirs))}, bytes.NewReader(theirs)); err != nil {
			t.Fatal(err)
		}
		if n, err := u.Promote(t.Context()); n != 0 || !errors.Is(err, cdn.ErrExists) {
			t.Errorf("Promote = %d, %v; want ErrExists", n, err)
		}
		wantContent(t, u, "k", []byte("acknowledged"))
		if s := u.Stats(); s.Dead != 1 {
			t.Errorf("Stats = %+v; want it dead and kept", s)
		}
	}
}

// forgetful fails once, when fail is closed, and then seems to have ended well.
type forgetful struct {
	body   io.Reader
	broken bool
}

func (r *forgetful) Read(p []byte) (int, error) {
	n, err := r.body.Read(p)
	if err == io.EOF && !r.broken {
		r.broken = true
		return n, io.ErrUnexpectedEOF
	}
	return n, err
}

// TestStreamErrorIsRemembered breaks the stream at the moment at which the provider
// breaks. Going on to disk must not make a whole of the part that there is, even if the
// reader tells of its failure only once.
func TestStreamErrorIsRemembered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newPartStore()
		atEnd := make(chan struct{})
		s.fault = func(ctx context.Context, op string, part int) error {
			if op == "part" && part == 1 {
				<-atEnd
				return cdn.ErrUnavailable
			}
			return nil
		}
		local := newLocal(t, cdn.LocalOptions{})
		u := newUploader(t, s, cdn.Options{Fallback: local, PartSize: partMiB, Retry: cdn.RetryOptions{MaxAttempts: 1}})
		body := readFunc(func() func(p []byte) (int, error) {
			r, n := &forgetful{body: bytes.NewReader(randomBytes(partMiB+100, 9))}, 0
			return func(p []byte) (int, error) {
				if n == partMiB+100 {
					n = 0
					close(atEnd)
					synctest.Wait() // the worker has ended
				}
				got, err := r.Read(p)
				n += got
				return got, err
			}
		}())
		res, err := u.Upload(t.Context(), "x.bin", body, cdn.UploadOptions{Key: "k"})
		if !errors.Is(err, cdn.ErrTruncated) {
			t.Errorf("Upload = %+v, %v; want ErrTruncated", res, err)
		}
		if st := u.Stats(); st.Pending != 0 {
			t.Errorf("Stats = %+v; a part of the stream was kept as the whole", st)
		}
		if err := errors.Join(u.Close(), local.Close()); err != nil {
			t.Error(err)
		}
	})
}
