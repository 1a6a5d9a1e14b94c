package httpcall_test

import (
	"bytes"
	"context"
	"crypto/md5"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/perfblocks/perfblocks/cdn"
	"github.com/perfblocks/perfblocks/cdn/internal/httpcall"
)

type readAt func([]byte, int64) (int, error)

func (f readAt) ReadAt(p []byte, off int64) (int, error) { return f(p, off) }

func TestBody(t *testing.T) {
	text := []byte("0123456789")
	good, bad := crc32.Checksum(text, httpcall.Castagnoli()), uint32(7)
	for _, c := range []struct {
		name string
		r    io.ReaderAt
		size int64
		want *uint32
		err  error
	}{
		{"whole", bytes.NewReader(text), 10, &good, nil},
		{"a part", bytes.NewReader(text), 4, nil, nil},
		{"short", bytes.NewReader(text), 11, nil, cdn.ErrTruncated},
		{"changed", bytes.NewReader(text), 10, &bad, cdn.ErrChecksum},
		{"too much", readAt(func(p []byte, _ int64) (int, error) { return len(p) + 1, nil }), 10, nil, nil},
		{"negative", readAt(func([]byte, int64) (int, error) { return -1, nil }), 10, nil, nil},
	} {
		sum := md5.New()
		b := httpcall.NewBody(c.r, c.size, sum, c.want)
		got, err := io.ReadAll(b)
		hostile := c.name == "too much" || c.name == "negative"
		if hostile != (err != nil && c.err == nil) || c.err != nil && !errors.Is(err, c.err) {
			t.Errorf("%s: read %d bytes, %v; want %v", c.name, len(got), err, c.err)
		}
		if err == nil && (int64(len(got)) != c.size || !bytes.Equal(sum.Sum(nil), md5Sum(got))) {
			t.Errorf("%s: read %q", c.name, got)
		}
		if rerr := b.Release(); (rerr == nil) != (err == nil) {
			t.Errorf("%s: Release = %v after %v", c.name, rerr, err)
		}
		if _, err := b.Read(make([]byte, 1)); err == nil || err == io.EOF {
			t.Errorf("%s: Read after Release = %v", c.name, err)
		}
	}
}

func md5Sum(b []byte) []byte { s := md5.Sum(b); return s[:] }

func TestRangeOf(t *testing.T) {
	for _, c := range []struct {
		header         string
		offset, length int64
		n, total       int64
		ok             bool
	}{
		{"bytes 0-9/100", 0, 10, 10, 100, true},
		{"bytes 90-99/100", 90, 50, 10, 100, true},
		{"bytes 90-99/100", 90, -1, 10, 100, true},
		{"bytes 0-4/100", 0, 10, 0, 0, false},    // less than asked
		{"bytes 0-99/100", 0, 10, 0, 100, false}, // more than asked
		{"bytes 1-9/100", 0, 10, 0, 0, false},
		{"bytes 0-9/*", 0, 10, 0, 0, false},
		{"bytes 0-9/5", 0, 10, 0, 0, false},
		{"bytes 9-0/100", 9, 10, 0, 0, false},
		{"", 0, 10, 0, 0, false},
	} {
		n, total, ok := httpcall.RangeOf(c.header, c.offset, c.length)
		if ok != c.ok || ok && (n != c.n || total != c.total) {
			t.Errorf("RangeOf(%q, %d, %d) = %d, %d, %v; want %d, %d, %v", c.header, c.offset, c.length, n, total, ok, c.n, c.total, c.ok)
		}
	}
	for want, at := range map[string][2]int64{
		"": {0, -1}, "bytes=5-": {5, -1}, "bytes=5-7": {5, 3}, "bytes=9-": {9, math.MaxInt64},
	} {
		if got := httpcall.ByteRange(at[0], at[1]); got != want {
			t.Errorf("ByteRange(%d, %d) = %q; want %q", at[0], at[1], got, want)
		}
	}
}

func TestClip(t *testing.T) {
	for in, want := range map[string]string{"a\nb\x00c": "a b c", "é\xff": "é", "0123456789": "01234567…", "1234567é9": "1234567…"} {
		if got := httpcall.Clip(in, 8); got != want {
			t.Errorf("Clip(%q) = %q; want %q", in, got, want)
		}
	}
}

func TestRetryAfter(t *testing.T) {
	in := func(d time.Duration) string { return time.Now().Add(d).UTC().Format(http.TimeFormat) }
	for v, want := range map[string]time.Duration{
		"": 0, "3": 3 * time.Second, "-3": 0, "99999999999": 0, "soon": 0, in(-time.Hour): 0, in(time.Hour): time.Hour,
	} {
		if got := httpcall.RetryAfter(v); got > want || got < want-2*time.Second {
			t.Errorf("RetryAfter(%q) = %v; want %v", v, got, want)
		}
	}
}

// TestOpen reads from a server that answers ranges as it likes. No reply may pass for
// the bytes that were asked for unless it is.
func TestOpen(t *testing.T) {
	const text = "0123456789"
	for _, c := range []struct {
		name   string
		status int
		header string
		body   string
		ok     bool
	}{
		{"exact", 206, "bytes 2-5/10", "2345", true},
		{"ranges ignored", 200, "", text, true},
		{"another range", 206, "bytes 3-6/10", "3456", false},
		{"less", 206, "bytes 2-4/10", "234", false},
		{"more", 206, "bytes 2-9/10", "23456789", false},
		{"says more than it sends", 206, "bytes 2-5/10", "23", false},
		{"no range", 206, "", "2345", false},
		{"shorter than the offset", 200, "", "0", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			ts := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Content-Range", c.header)
				w.Header().Set("Content-Length", fmt.Sprint(len(c.body)))
				w.WriteHeader(c.status)
				io.WriteString(w, c.body)
			}))
			defer ts.Close()
			api := &httpcall.API{Name: "x", Client: ts.Client(), Redact: strings.TrimSpace}
			call := httpcall.Call{API: api, Ctx: t.Context(), Op: "open", Key: "k"}
			r, info, err := call.Open(2, 4, func(byteRange string) (*http.Response, cdn.Info, error) {
				req, err := http.NewRequestWithContext(context.WithoutCancel(t.Context()), "GET", ts.URL, nil)
				if err != nil {
					t.Fatal(err)
				}
				return call.Fetch(req, cdn.Ref{Key: "k"}, byteRange)
			}, nil)
			got := []byte(nil)
			if err == nil {
				got, err = io.ReadAll(r)
				r.Close()
			}
			if (err == nil) != c.ok || c.ok && (string(got) != "2345" || info.Size != 10) {
				t.Errorf("Open = %q of %d, %v; want success: %v", got, info.Size, err, c.ok)
			}
		})
	}
}

func TestWithoutRedirects(t *testing.T) {
	ts := httptest.NewServer(http.RedirectHandler("/elsewhere", http.StatusFound))
	defer ts.Close()
	followed := errors.New("followed")
	c := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return followed }}
	resp, err := httpcall.WithoutRedirects(c).Get(ts.URL)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusFound {
		t.Errorf("status %d; want the redirect", resp.StatusCode)
	}
	if _, err := c.Get(ts.URL); !errors.Is(err, followed) {
		t.Errorf("the caller's client: %v", err)
	}
}
