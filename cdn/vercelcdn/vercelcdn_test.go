package vercelcdn_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/perfblocks/perfblocks/cdn"
	"github.com/perfblocks/perfblocks/cdn/cdntest"
	"github.com/perfblocks/perfblocks/cdn/vercelcdn"
)

var contract = cdntest.Options{NoMetadata: true, NoCacheControl: true, NoDisposition: true}

func TestProviderConforms(t *testing.T) {
	t.Run("public", func(t *testing.T) {
		_, ts := newServer(t)
		o := contract
		o.Fetch = fetch
		cdntest.Run(t, func(t *testing.T) cdn.Provider { return newProvider(t, ts) }, o)
	})
	t.Run("private", func(t *testing.T) {
		s, ts := newServer(t)
		s.private, s.noETag = true, true
		cdntest.Run(t, func(t *testing.T) cdn.Provider {
			return newProvider(t, ts, func(o *vercelcdn.Options) { o.Private = true })
		}, contract)
	})
}

func fetch(ctx context.Context, url string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	resp, err := http.DefaultClient.Do(req)
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

func TestPutHeaders(t *testing.T) {
	s, ts := newServer(t)
	p := newProvider(t, ts)
	for _, c := range []struct{ cacheControl, want string }{
		{"", ""},
		{"public, max-age=31536000, immutable", "31536000"},
		{"max-age=5", "60"},
		{"no-store", "60"},
		{"max-age=99999999999", "31536000"},
		{"max-age=soon", ""},
		{"s-maxage=7", ""},
	} {
		b := []byte("x")
		obj := objectOf("dir/k ü.txt", b)
		obj.CacheControl = c.cacheControl
		info, err := p.Put(t.Context(), obj, bytes.NewReader(b))
		if err != nil || !info.Verified || info.Ref.Handle != ts.URL+"/store/dir/k%20%C3%BC.txt" {
			t.Errorf("Put = %+v, %v; want it verified, and its URL as handle", info, err)
		}
		if got := s.headers.Get("X-Cache-Control-Max-Age"); got != c.want {
			t.Errorf("CacheControl %q was sent as %q; want %q", c.cacheControl, got, c.want)
		}
	}
	for _, key := range []string{"", "a//b", strings.Repeat("k", 951)} {
		if _, err := p.Put(t.Context(), objectOf(key, nil), bytes.NewReader(nil)); !errors.Is(err, cdn.ErrKey) {
			t.Errorf("Put(%.10q) = %v; want ErrKey", key, err)
		}
	}
}

// TestHandleOfForeignHost: the token of a private store goes to its own host only.
func TestHandleOfForeignHost(t *testing.T) {
	s, ts := newServer(t)
	s.private = true
	p := newProvider(t, ts, func(o *vercelcdn.Options) {
		o.Private, o.PublicURL = true, "https://abc.private.blob.vercel-storage.com"
	})
	var leaked bool
	s.setFault(func(w http.ResponseWriter, r *http.Request, _ func(http.ResponseWriter)) bool {
		leaked = leaked || r.Header.Get("Authorization") != ""
		http.Error(w, "no", http.StatusForbidden)
		return true
	})
	_, _, err := p.Open(t.Context(), cdn.Ref{Key: "k", Handle: ts.URL + "/store/k"}, 0, -1)
	if !errors.Is(err, cdn.ErrAuth) || leaked {
		t.Errorf("Open = %v, token sent: %v; want ErrAuth and no token", err, leaked)
	}
}

func TestURL(t *testing.T) {
	p, err := vercelcdn.New(vercelcdn.Options{Token: testToken})
	if err != nil {
		t.Fatal(err)
	}
	got, err := p.URL(cdn.Ref{Key: "a b/ü+?.png"})
	if want := "https://abc123storeid.public.blob.vercel-storage.com/a%20b/%C3%BC%2B%3F.png"; got != want || err != nil {
		t.Errorf("URL = %s, %v; want %s", got, err, want)
	}
	if got, _ := p.URL(cdn.Ref{Key: "k", Handle: "https://x/y"}); got != "https://x/y" {
		t.Errorf("URL with a handle = %s; want the handle", got)
	}
}

func TestPresignPut(t *testing.T) {
	s, ts := newServer(t)
	p := newProvider(t, ts)
	b := []byte("from the browser")
	for _, c := range []struct {
		name   string
		req    cdn.PresignRequest
		change func(*http.Request)
		want   int
	}{
		{"allowed", cdn.PresignRequest{Key: "a b+ü.txt", ContentType: "text/plain", MaxBytes: 100}, nil, 200},
		{"twice", cdn.PresignRequest{Key: "a b+ü.txt", ContentType: "text/plain", Size: int64(len(b))}, nil, 200},
		{"too large", cdn.PresignRequest{Key: "k", MaxBytes: 3}, nil, 400},
		{"other type", cdn.PresignRequest{Key: "k", ContentType: "text/plain"}, func(r *http.Request) { r.Header.Set("X-Content-Type", "text/html") }, 400},
		{"other key", cdn.PresignRequest{Key: "k"}, func(r *http.Request) { r.URL.RawQuery = "pathname=other" }, 400},
		{"other token", cdn.PresignRequest{Key: "k"}, func(r *http.Request) { r.Header.Set("Authorization", r.Header.Get("Authorization")+"AA") }, 403},
	} {
		up, err := p.PresignPut(t.Context(), c.req)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		req, err := http.NewRequest(up.Method, up.URL, bytes.NewReader(b))
		if err != nil {
			t.Fatal(err)
		}
		for k, v := range up.Header {
			if strings.Contains(v, testSecret) {
				t.Errorf("%s: header %s holds the secret", c.name, k)
			}
			req.Header.Set(k, v)
		}
		if c.change != nil {
			c.change(req)
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != c.want {
			t.Errorf("%s: status %d; want %d", c.name, resp.StatusCode, c.want)
		}
		if left := time.Until(up.Expires); left < 14*time.Minute || left > 15*time.Minute {
			t.Errorf("%s: expires in %v; want 15 minutes", c.name, left)
		}
	}
	if got := s.blobs["a b+ü.txt"]; !bytes.Equal(got.data, b) || got.contentType != "text/plain" {
		t.Errorf("stored %q as %s; want the browser's file", got.data, got.contentType)
	}
	for _, c := range []struct {
		req  cdn.PresignRequest
		want error
	}{
		{cdn.PresignRequest{Key: "k", Size: 11, MaxBytes: 10}, cdn.ErrTooLarge},
		{cdn.PresignRequest{Key: "k", MaxBytes: -1}, cdn.ErrInvalid},
		{cdn.PresignRequest{Key: "k", Expiry: -1}, cdn.ErrInvalid},
		{cdn.PresignRequest{}, cdn.ErrKey},
	} {
		if _, err := p.PresignPut(t.Context(), c.req); !errors.Is(err, c.want) {
			t.Errorf("PresignPut(%+v) = %v; want %v", c.req, err, c.want)
		}
	}
	if _, err := p.PresignGet(t.Context(), cdn.Ref{Key: "k"}, 0); !errors.Is(err, errors.ErrUnsupported) || !errors.Is(err, cdn.ErrInvalid) {
		t.Errorf("PresignGet = %v; want ErrUnsupported", err)
	}
}

// TestCompleteSorts: parts arrive in any order, and an upload is taken up by another
// Provider.
func TestCompleteSorts(t *testing.T) {
	s, ts := newServer(t)
	p := newProvider(t, ts)
	obj := objectOf("dir/big ü.bin", nil)
	id, err := p.Begin(t.Context(), obj)
	if err != nil {
		t.Fatal(err)
	}
	b := bytes.Repeat([]byte("0123456789abcdef"), 700_000)
	var parts []cdn.PartInfo
	for _, n := range []int{3, 1, 2} {
		chunk := b[(n-1)*(5<<20) : min(n*(5<<20), len(b))]
		part, err := newProvider(t, ts).PutPart(t.Context(), obj, id, cdn.Part{Number: n, Size: int64(len(chunk))}, bytes.NewReader(chunk))
		if err != nil {
			t.Fatal(err)
		}
		parts = append(parts, part)
	}
	want := slices.Clone(parts)
	info, err := p.Complete(t.Context(), obj, id, parts)
	if err != nil || info.Size != int64(len(b)) || !bytes.Equal(s.blobs[obj.Key].data, b) {
		t.Errorf("Complete = %+v, %v; want all bytes", info, err)
	}
	if !slices.Equal(parts, want) {
		t.Error("Complete changed the caller's parts")
	}
	if _, err := p.Complete(t.Context(), obj, "foreign", parts); !errors.Is(err, cdn.ErrInvalid) {
		t.Errorf("Complete of a foreign upload = %v; want ErrInvalid", err)
	}
}

func TestOptionsErrors(t *testing.T) {
	for _, c := range []struct {
		o    vercelcdn.Options
		want []string
	}{
		{vercelcdn.Options{}, []string{"Token is empty"}},
		{vercelcdn.Options{Token: "hunter2", APIURL: "x", PublicURL: "https://h/?q=hunter2"}, []string{"Token is not", "APIURL is not", "PublicURL must not"}},
		{vercelcdn.Options{Token: "vercel_blob_rw_store_"}, []string{"Token is not"}},
		{vercelcdn.Options{Token: "vercel_blob_rw_st/../ore_hunter2"}, []string{"Token is not"}},
	} {
		p, err := vercelcdn.New(c.o)
		if !errors.Is(err, cdn.ErrOptions) || p != nil {
			t.Errorf("New(%+v) = %v, %v; want ErrOptions", c.o, p, err)
			continue
		}
		for _, want := range c.want {
			if !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "hunter2") {
				t.Errorf("New = %v; want %q in it and no secret", err, want)
			}
		}
	}
	p, err := vercelcdn.New(vercelcdn.Options{Token: testToken})
	if err != nil || p.ProviderName() != "vercel" || p.Close() != nil || p.Close() != nil {
		t.Errorf("New = %v, %v; want a provider that closes", p, err)
	}
}
