package cdn_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/perfblocks/perfblocks/cdn"
	"github.com/perfblocks/perfblocks/cdn/cdntest"
)

var signKey = []byte("0123456789abcdef")

// serve sends a request to the handler.
func serve(l *cdn.Local, method, target, body string, header ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, target, strings.NewReader(body))
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	l.ServeHTTP(w, r)
	return w
}

func TestLocalDirectUpload(t *testing.T) {
	l := newLocal(t, cdn.LocalOptions{URL: "/files/", SignKey: signKey})
	other := newLocal(t, cdn.LocalOptions{URL: "/files/", SignKey: []byte("another 16 bytes")})
	presign := func(l *cdn.Local, req cdn.PresignRequest) cdn.DirectUpload {
		t.Helper()
		up, err := l.PresignPut(t.Context(), req)
		if err != nil {
			t.Fatal(err)
		}
		return up
	}
	exact := presign(l, cdn.PresignRequest{Key: "a b.txt", ContentType: "text/plain", Size: 5})
	most := presign(l, cdn.PresignRequest{Key: "most.txt", MaxBytes: 5})
	change := func(u, param, value string) string {
		p, _ := url.Parse(u)
		q := p.Query()
		q.Set(param, value)
		p.RawQuery = q.Encode()
		return p.String()
	}
	get, err := l.PresignGet(t.Context(), cdn.Ref{Key: "a b.txt"}, 0)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, url, body, ctype string
		want                   int
	}{
		{"as permitted", exact.URL, "hello", "text/plain", 200},
		{"again", exact.URL, "world", "text/plain", 200},
		{"other type", exact.URL, "hello", "text/html", 415},
		{"shorter", exact.URL, "hell", "text/plain", 400},
		{"longer", exact.URL, "hello!", "text/plain", 413},
		{"at most", most.URL, "abc", "text/plain", 200},
		{"over", most.URL, "abcdef", "text/plain", 413},
		{"limit raised", change(most.URL, "max", "50"), "abcdef", "text/plain", 403},
		{"later expiry", change(most.URL, "expires", "99999999999"), "abc", "text/plain", 403},
		{"other key", strings.Replace(most.URL, "most.txt", "else.txt", 1), "abc", "text/plain", 403},
		{"no signature", "/files/most.txt", "abc", "text/plain", 403},
		{"permission to read", get, "abc", "text/plain", 403},
		{"other secret", presign(other, cdn.PresignRequest{Key: "most.txt"}).URL, "abc", "text/plain", 403},
		{"content is another type", presign(l, cdn.PresignRequest{Key: "x.png"}).URL, "<html><body>hi", "image/png", 415},
	} {
		if w := serve(l, "PUT", c.url, c.body, "Content-Type", c.ctype); w.Code != c.want {
			t.Errorf("%s: PUT = %d; want %d", c.name, w.Code, c.want)
		}
	}
	if w := serve(l, "GET", "/files/a%20b.txt", ""); w.Code != 200 || w.Body.String() != "world" {
		t.Errorf("GET = %d %q; want the last upload", w.Code, w.Body)
	}
	plain := newLocal(t, cdn.LocalOptions{})
	if _, err := plain.PresignPut(t.Context(), cdn.PresignRequest{Key: "k"}); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("PresignPut without SignKey = %v", err)
	}
	if w := serve(plain, "PUT", "/k", "abc"); w.Code != http.StatusMethodNotAllowed {
		t.Errorf("PUT without SignKey = %d", w.Code)
	}
}

// TestLocalPrivate: only a signed URL reads, until it expires.
func TestLocalPrivate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, err := cdn.NewLocal(cdn.LocalOptions{Dir: t.TempDir(), SignKey: signKey, Private: true})
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		put(t, l, cdn.Object{Key: "k.txt", ContentType: "text/plain", CacheControl: "public, max-age=60"}, "secret")
		u, err := l.PresignGet(t.Context(), cdn.Ref{Key: "k.txt"}, time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		if w := serve(l, "GET", "/k.txt", ""); w.Code != http.StatusForbidden {
			t.Errorf("GET without a signature = %d", w.Code)
		}
		w := serve(l, "GET", u, "")
		if w.Code != 200 || w.Body.String() != "secret" || strings.Contains(w.Header().Get("Cache-Control"), "public") {
			t.Errorf("GET = %d %q, %v", w.Code, w.Body, w.Header())
		}
		if w := serve(l, "HEAD", u, ""); w.Code != 200 {
			t.Errorf("HEAD = %d", w.Code)
		}
		time.Sleep(time.Minute)
		if w := serve(l, "GET", u, ""); w.Code != http.StatusForbidden {
			t.Errorf("GET after the expiry = %d", w.Code)
		}
	})
}

func TestLocalCORS(t *testing.T) {
	l := newLocal(t, cdn.LocalOptions{AllowOrigins: []string{"https://app.example"}, SignKey: signKey})
	put(t, l, cdn.Object{Key: "k.txt"}, "x")
	for _, c := range []struct{ origin, want string }{{"https://app.example", "https://app.example"}, {"https://evil.example", ""}, {"", ""}} {
		w := serve(l, "GET", "/k.txt", "", "Origin", c.origin)
		if got := w.Header().Get("Access-Control-Allow-Origin"); got != c.want || w.Code != 200 || w.Header().Get("Vary") != "Origin" {
			t.Errorf("GET from %q = %d, allowed %q; want %q", c.origin, w.Code, got, c.want)
		}
	}
	w := serve(l, "OPTIONS", "/k.txt", "", "Origin", "https://app.example", "Access-Control-Request-Method", "PUT")
	if w.Code != 204 || !strings.Contains(w.Header().Get("Access-Control-Allow-Methods"), "PUT") {
		t.Errorf("preflight = %d, %v", w.Code, w.Header())
	}
	if w := serve(l, "OPTIONS", "/k.txt", "", "Origin", "https://evil.example", "Access-Control-Request-Method", "PUT"); w.Code == 204 {
		t.Error("a preflight of another origin was granted")
	}
}

// TestLocalDirectUploadIsPromoted: what a fallback takes goes to the provider.
func TestLocalDirectUploadIsPromoted(t *testing.T) {
	m := &cdntest.Memory{}
	l := newLocal(t, cdn.LocalOptions{SignKey: signKey})
	u := newUploader(t, m, cdn.Options{Fallback: l})
	up, err := l.PresignPut(t.Context(), cdn.PresignRequest{Key: "k.txt"})
	if err != nil {
		t.Fatal(err)
	}
	if w := serve(l, "PUT", up.URL, "hello"); w.Code != 200 {
		t.Fatalf("PUT = %d", w.Code)
	}
	if n, err := u.Promote(t.Context()); n != 1 || err != nil {
		t.Errorf("Promote = %d, %v", n, err)
	}
	if b, _ := m.Bytes("k.txt"); string(b) != "hello" {
		t.Errorf("the provider has %q", b)
	}
}

// signing is a provider whose objects are private.
type signing struct{ *cdntest.Memory }

func (signing) PresignPut(context.Context, cdn.PresignRequest) (cdn.DirectUpload, error) {
	return cdn.DirectUpload{}, errors.ErrUnsupported
}

func (signing) PresignGet(_ context.Context, ref cdn.Ref, expiry time.Duration) (string, error) {
	return fmt.Sprintf("https://private.example/%s?for=%v", ref.Key, expiry.Round(time.Minute)), nil
}

// TestLocalPrivatePromoted: who may read a private object for some time may do so after
// its promotion, and nobody else is told where it is.
func TestLocalPrivatePromoted(t *testing.T) {
	var down outage
	down.on.Store(true)
	local := newLocal(t, cdn.LocalOptions{SignKey: signKey, Private: true})
	u := newUploader(t, signing{&cdntest.Memory{Fault: down.fault}}, cdn.Options{Fallback: local})
	upload(t, u, "x.png", png, cdn.UploadOptions{Key: "k.png"})
	address, err := local.PresignGet(t.Context(), cdn.Ref{Key: "k.png"}, 20*time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	if w := serve(local, "GET", address, ""); w.Code != http.StatusOK {
		t.Fatalf("GET before the promotion = %d", w.Code)
	}
	down.on.Store(false)
	if n, err := u.Promote(t.Context()); n != 1 || err != nil {
		t.Fatalf("Promote = %d, %v", n, err)
	}
	w := serve(local, "GET", address, "")
	if want := "https://private.example/k.png?for=20m0s"; w.Code != http.StatusFound || w.Header().Get("Location") != want {
		t.Errorf("GET after it = %d to %q; want %q", w.Code, w.Header().Get("Location"), want)
	}
	if w := serve(local, "GET", "/k.png", ""); w.Code != http.StatusForbidden || w.Header().Get("Location") != "" {
		t.Errorf("GET without a signature = %d to %q", w.Code, w.Header().Get("Location"))
	}
}
