package s3cdn_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/perfblocks/perfblocks/cdn"
	"github.com/perfblocks/perfblocks/cdn/cdntest"
	"github.com/perfblocks/perfblocks/cdn/s3cdn"
)

func TestProviderConforms(t *testing.T) {
	for name, change := range map[string]func(*server, *s3cdn.Options){
		"http":     func(*server, *s3cdn.Options) {},
		"plain":    func(s *server, _ *s3cdn.Options) { s.refuseCRC = true },
		"halfway":  func(s *server, _ *s3cdn.Options) { s.refuseCRC, s.beginTakes = true, true },
		"prefix":   func(_ *server, o *s3cdn.Options) { o.Prefix = "up loads/ü+/" },
		"noRange":  func(s *server, _ *s3cdn.Options) { s.ignoreRange = true },
		"noChecks": func(s *server, o *s3cdn.Options) { s.ignoreCRC = true; o.DisableChecksums = true },
		"weak":     func(s *server, _ *s3cdn.Options) { s.ignoreCRC = true; s.noListParts = true },
	} {
		t.Run(name, func(t *testing.T) {
			s, ts := newServer(t, false)
			cdntest.Run(t, func(t *testing.T) cdn.Provider {
				return newProvider(t, ts, func(o *s3cdn.Options) { change(s, o) })
			}, cdntest.Options{})
		})
	}
	t.Run("https", func(t *testing.T) {
		s, ts := newServer(t, true)
		s.public = true
		cdntest.Run(t, func(t *testing.T) cdn.Provider { return newProvider(t, ts) }, cdntest.Options{
			Fetch: func(ctx context.Context, url string) ([]byte, error) { return fetch(ctx, ts.Client(), url) },
		})
	})
}

func fetch(ctx context.Context, hc *http.Client, url string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	resp, err := hc.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("status %d", resp.StatusCode)
	}
	return io.ReadAll(resp.Body)
}

func objectOf(key string, b []byte) cdn.Object {
	return cdn.Object{
		Key: key, Size: int64(len(b)), ContentType: "text/plain", SHA256: sha256.Sum256(b),
		CRC32C: crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli)), HasCRC32C: true,
	}
}

func TestPutSendsChecksumHeader(t *testing.T) {
	b := []byte("hello, header")
	for _, useTLS := range []bool{false, true} {
		s, ts := newServer(t, useTLS)
		p := newProvider(t, ts)
		info, err := p.Put(t.Context(), objectOf("k", b), bytes.NewReader(b))
		if err != nil || !info.Verified {
			t.Fatalf("tls %v: Put = %+v, %v; want it verified", useTLS, info, err)
		}
		s.mu.Lock()
		h := s.lastPut
		s.mu.Unlock()
		if got := h.Get("X-Amz-Checksum-Crc32c"); got != crcOf(b) {
			t.Errorf("tls %v: X-Amz-Checksum-Crc32c = %q; want %q", useTLS, got, crcOf(b))
		}
		want := "UNSIGNED-PAYLOAD"
		if !useTLS {
			want = fmt.Sprintf("%x", sha256.Sum256(b))
		}
		if got := h.Get("X-Amz-Content-Sha256"); got != want {
			t.Errorf("tls %v: X-Amz-Content-Sha256 = %q; want %q", useTLS, got, want)
		}
		// A checksum that the caller did not give is computed.
		obj := objectOf("k2", b)
		obj.CRC32C, obj.HasCRC32C, obj.SHA256 = 0, false, [32]byte{}
		if info, err = p.Put(t.Context(), obj, bytes.NewReader(b)); err != nil || !info.Verified {
			t.Errorf("tls %v: Put without checksums = %+v, %v; want it verified", useTLS, info, err)
		}
	}
}

func TestPutNotVerifiedWithoutEcho(t *testing.T) {
	s, ts := newServer(t, false)
	s.ignoreCRC = true
	b := []byte("nobody looked")
	info, err := newProvider(t, ts).Put(t.Context(), objectOf("k", b), bytes.NewReader(b))
	if err != nil || info.Verified {
		t.Errorf("Put = Verified %v, %v; want false, nil", info.Verified, err)
	}
}

func TestPutRefusesOtherEcho(t *testing.T) {
	s, ts := newServer(t, false)
	s.setFault(func(w http.ResponseWriter, r *http.Request, serve func(http.ResponseWriter)) bool {
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("ETag", `"x"`)
		w.Header().Set("X-Amz-Checksum-Crc32c", crcOf([]byte("other")))
		return true
	})
	b := []byte("mine")
	_, err := newProvider(t, ts).Put(t.Context(), objectOf("k", b), bytes.NewReader(b))
	if !errors.Is(err, cdn.ErrChecksum) {
		t.Errorf("Put = %v; want ErrChecksum", err)
	}
}

// TestChecksumDowngrade: one extra request, once, and never for another refusal.
func TestChecksumDowngrade(t *testing.T) {
	s, ts := newServer(t, false)
	s.refuseCRC = true
	p := newProvider(t, ts)
	b := []byte("old server")
	for range 3 {
		info, err := p.Put(t.Context(), objectOf("k", b), bytes.NewReader(b))
		if err != nil || info.Verified {
			t.Fatalf("Put = Verified %v, %v; want false, nil", info.Verified, err)
		}
	}
	if want := []string{"PUT", "PUT", "PUT", "PUT"}; !slices.Equal(s.requests(), want) {
		t.Errorf("requests = %q; want the first Put twice: %q", s.requests(), want)
	}
	id, err := p.Begin(t.Context(), objectOf("m", b))
	if err != nil || !strings.HasPrefix(id, "p.") {
		t.Errorf("Begin after the downgrade = %q, %v; want a plain upload", id, err)
	}

	s, ts = newServer(t, false)
	p = newProvider(t, ts)
	bad := objectOf("k", []byte("something else"))
	bad.Size, bad.SHA256 = int64(len(b)), [32]byte{}
	if _, err := p.Put(t.Context(), bad, bytes.NewReader(b)); !errors.Is(err, cdn.ErrChecksum) {
		t.Errorf("Put of changed content = %v; want ErrChecksum", err)
	}
	if want := []string{"PUT"}; !slices.Equal(s.requests(), want) {
		t.Errorf("requests = %q; want %q: a wrong checksum is no reason to send none", s.requests(), want)
	}
}

func TestMetadataRoundTrip(t *testing.T) {
	_, ts := newServer(t, false)
	p := newProvider(t, ts)
	obj := objectOf("meta", nil)
	obj.Metadata = map[string]string{
		"plain": "a b", "unicode": "Đà Nẵng 日本", "edges": "  spaces ", "word": "=?utf-8?b?eA==?=", "empty": "",
		"long": strings.Repeat("ü", 100), "lines": "a\r\nX-Evil: 1",
	}
	if _, err := p.Put(t.Context(), obj, bytes.NewReader(nil)); err != nil {
		t.Fatal(err)
	}
	info, err := p.Head(t.Context(), cdn.Ref{Key: "meta"})
	if err != nil || !reflect.DeepEqual(info.Metadata, obj.Metadata) {
		t.Errorf("Head = %q, %v; want %q", info.Metadata, err, obj.Metadata)
	}
	obj.Metadata = map[string]string{"no colon: allowed": "x"}
	if _, err := p.Put(t.Context(), obj, bytes.NewReader(nil)); !errors.Is(err, cdn.ErrInvalid) {
		t.Errorf("Put with a bad metadata key = %v; want ErrInvalid", err)
	}
}

// TestBadHeaders: what cannot be sent is the caller's fault, not an outage.
func TestBadHeaders(t *testing.T) {
	s, ts := newServer(t, false)
	p := newProvider(t, ts)
	for _, change := range []func(*cdn.Object){
		func(o *cdn.Object) { o.ContentType = "text/plain\r\nX-Evil: 1" },
		func(o *cdn.Object) { o.CacheControl = "\x00" },
		func(o *cdn.Object) { o.Disposition = "a\nb" },
		func(o *cdn.Object) { o.Transform.Width = 1 },
		func(o *cdn.Object) { o.Size = -1 },
	} {
		obj := objectOf("k", nil)
		change(&obj)
		if _, err := p.Put(t.Context(), obj, bytes.NewReader(nil)); !errors.Is(err, cdn.ErrInvalid) {
			t.Errorf("Put(%+v) = %v; want ErrInvalid", obj, err)
		}
	}
	if n := len(s.requests()); n > 0 {
		t.Errorf("%d requests; want none", n)
	}
}

func TestCreateOnlyKinds(t *testing.T) {
	for _, code := range []string{"PreconditionFailed", "ConditionalRequestConflict"} {
		s, ts := newServer(t, false)
		s.setFault(func(w http.ResponseWriter, r *http.Request, _ func(http.ResponseWriter)) bool {
			_, _ = io.Copy(io.Discard, r.Body)
			if r.Header.Get("If-None-Match") != "*" {
				t.Errorf("If-None-Match = %q; want *", r.Header.Get("If-None-Match"))
			}
			status := http.StatusPreconditionFailed
			if code != "PreconditionFailed" {
				status = http.StatusConflict
			}
			refuse(status, code, "taken").write(w)
			return true
		})
		obj := objectOf("k", nil)
		obj.CreateOnly = true
		if _, err := newProvider(t, ts).Put(t.Context(), obj, bytes.NewReader(nil)); !errors.Is(err, cdn.ErrExists) {
			t.Errorf("%s: Put = %v; want ErrExists", code, err)
		}
	}
}

// TestHeadTellsChecksum: of one PUT, not of parts, whose checksum is of another kind.
func TestHeadTellsChecksum(t *testing.T) {
	_, ts := newServer(t, false)
	p := newProvider(t, ts)
	b := []byte("checked later")
	obj := objectOf("k", b)
	if _, err := p.Put(t.Context(), obj, bytes.NewReader(b)); err != nil {
		t.Fatal(err)
	}
	info, err := p.Head(t.Context(), cdn.Ref{Key: "k"})
	if err != nil || !info.HasCRC32C || info.CRC32C != obj.CRC32C {
		t.Errorf("Head = CRC32C %08x, %v, %v; want %08x", info.CRC32C, info.HasCRC32C, err, obj.CRC32C)
	}
	id, err := p.Begin(t.Context(), obj)
	if err != nil {
		t.Fatal(err)
	}
	part, err := p.PutPart(t.Context(), obj, id, cdn.Part{Number: 1, Size: obj.Size, CRC32C: obj.CRC32C}, bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	if info, err = p.Complete(t.Context(), obj, id, []cdn.PartInfo{part}); err != nil || !info.Verified {
		t.Errorf("Complete = Verified %v, %v; want true", info.Verified, err)
	}
	if info, err = p.Head(t.Context(), cdn.Ref{Key: "k"}); err != nil || info.HasCRC32C {
		t.Errorf("Head of parts = HasCRC32C %v, %v; want false", info.HasCRC32C, err)
	}
}

func TestSkewedClockHeals(t *testing.T) {
	s, ts := newServer(t, false)
	s.clock = 40 * time.Minute
	p := newProvider(t, ts)
	b := []byte("late")
	if _, err := p.Put(t.Context(), objectOf("k", b), bytes.NewReader(b)); !errors.Is(err, cdn.ErrUnavailable) {
		t.Fatalf("first Put = %v; want ErrUnavailable, which is tried again", err)
	}
	if _, err := p.Put(t.Context(), objectOf("k", b), bytes.NewReader(b)); err != nil {
		t.Errorf("second Put = %v; want nil: the first reply told the time", err)
	}
}

func TestURL(t *testing.T) {
	base := s3cdn.Options{Bucket: "pix", Region: "eu-central-1", AccessKeyID: "a", SecretAccessKey: "s"}
	for _, c := range []struct {
		change func(*s3cdn.Options)
		key    string
		want   string
	}{
		{func(*s3cdn.Options) {}, "a b/ü+.png", "https://pix.s3.eu-central-1.amazonaws.com/a%20b/%C3%BC%2B.png"},
		{func(o *s3cdn.Options) { o.Region = "cn-north-1" }, "k", "https://pix.s3.cn-north-1.amazonaws.com.cn/k"},
		{func(o *s3cdn.Options) { o.Bucket = "with.dots" }, "k", "https://s3.eu-central-1.amazonaws.com/with.dots/k"},
		{func(o *s3cdn.Options) { o.Endpoint = "https://x.r2.cloudflarestorage.com" }, "k", "https://pix.x.r2.cloudflarestorage.com/k"},
		{func(o *s3cdn.Options) { o.Endpoint, o.PathStyle = "http://127.0.0.1:9000", true }, "k", "http://127.0.0.1:9000/pix/k"},
		{func(o *s3cdn.Options) { o.PublicURL, o.Prefix = "https://cdn.example.com/x/", "up/" }, "~k?", "https://cdn.example.com/x/up/~k%3F"},
	} {
		o := base
		c.change(&o)
		p, err := s3cdn.New(o)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := p.URL(cdn.Ref{Key: c.key}); got != c.want || err != nil {
			t.Errorf("URL(%q) = %q, %v; want %q", c.key, got, err, c.want)
		}
	}
}
