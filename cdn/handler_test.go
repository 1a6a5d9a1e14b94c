package cdn_test

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/perfblocks/perfblocks/cdn"
)

func put(t testing.TB, l *cdn.Local, obj cdn.Object, body string) {
	t.Helper()
	obj.Size = int64(len(body))
	if _, err := l.Put(t.Context(), obj, strings.NewReader(body)); err != nil {
		t.Fatal(err)
	}
}

func TestHandler(t *testing.T) {
	l := newLocal(t, cdn.LocalOptions{URL: "https://cdn.example/files"})
	put(t, l, cdn.Object{Key: "a/ü 1.txt", ContentType: "text/plain", CacheControl: "max-age=60"}, "0123456789")
	mux := http.NewServeMux()
	mux.Handle("/files/", l)
	get := func(method, path string, header ...string) *httptest.ResponseRecorder {
		r := httptest.NewRequest(method, path, nil)
		for i := 0; i < len(header); i += 2 {
			r.Header.Set(header[i], header[i+1])
		}
		w := httptest.NewRecorder()
		mux.ServeHTTP(w, r)
		return w
	}
	u, err := l.URL(cdn.Ref{Key: "a/ü 1.txt"})
	if err != nil || u != "https://cdn.example/files/a/%C3%BC%201.txt" {
		t.Fatalf("URL = %q, %v", u, err)
	}
	parsed, _ := url.Parse(u)
	path := parsed.EscapedPath()
	first := get("GET", path)
	for h, want := range map[string]string{
		"Content-Type": "text/plain", "Cache-Control": "max-age=60", "X-Content-Type-Options": "nosniff",
		"Content-Security-Policy": "default-src 'none'; sandbox", "Accept-Ranges": "bytes", "Content-Length": "10",
	} {
		if got := first.Header().Get(h); got != want {
			t.Errorf("GET: %s = %q; want %q", h, got, want)
		}
	}
	etag, modified := first.Header().Get("Etag"), first.Header().Get("Last-Modified")
	for _, c := range []struct {
		method, path string
		header       []string
		code         int
		body         string
	}{
		{"GET", path, nil, 200, "0123456789"},
		{"HEAD", path, nil, 200, ""},
		{"GET", path, []string{"Range", "bytes=2-4"}, 206, "234"},
		{"GET", path, []string{"Range", "bytes=-3"}, 206, "789"},
		{"GET", path, []string{"Range", "bytes=50-"}, 416, "invalid range: failed to overlap\n"},
		{"GET", path, []string{"Range", "bytes=2-4", "If-Range", `"other"`}, 200, "0123456789"},
		{"GET", path, []string{"If-None-Match", etag}, 304, ""},
		{"GET", path, []string{"If-None-Match", `"other", ` + etag}, 304, ""},
		{"GET", path, []string{"If-None-Match", `"other"`}, 200, "0123456789"},
		{"GET", path, []string{"If-Modified-Since", modified}, 304, ""},
		{"POST", path, nil, 405, "Method Not Allowed\n"},
		{"GET", "/files/", nil, 404, "Not Found\n"},
		{"GET", "/files/a", nil, 404, "Not Found\n"},
		{"GET", "/files/a/", nil, 404, "Not Found\n"},
		{"GET", "/files/LOCK", nil, 404, "Not Found\n"},
		{"GET", "/files/journal", nil, 404, "Not Found\n"},
		{"GET", "/files/..%2fjournal", nil, 404, "Not Found\n"},
		{"GET", "/files/%2e%2e%2f%2e%2e%2fetc/passwd", nil, 404, "Not Found\n"},
		{"GET", "/files/a%5cb", nil, 404, "Not Found\n"},
		{"GET", "/files/a%00", nil, 404, "Not Found\n"},
	} {
		w := get(c.method, c.path, c.header...)
		if w.Code != c.code || c.method != "HEAD" && w.Body.String() != c.body {
			t.Errorf("%s %s %q = %d %q; want %d %q", c.method, c.path, c.header, w.Code, w.Body, c.code, c.body)
		}
	}
	put(t, l, cdn.Object{Key: "a/ü 1.txt", ContentType: "text/plain"}, "new")
	if w := get("GET", path, "If-None-Match", etag); w.Code != 200 || w.Body.String() != "new" || w.Header().Get("Cache-Control") != "no-cache" {
		t.Errorf("GET after overwriting = %d %q %q", w.Code, w.Body, w.Header())
	}
}

func TestHandlerNeutralises(t *testing.T) {
	l := newLocal(t, cdn.LocalOptions{})
	for i, c := range []struct {
		ctype, disposition string
		attachment         bool
	}{
		{"image/png", "", false}, {"image/jpeg", "inline", false}, {"text/plain; charset=utf-8", "", false},
		{"video/mp4", "", false}, {"application/json", "", false},
		{"text/html", "", true}, {"text/html; charset=utf-8", "inline", true}, {"TEXT/HTML", "", true},
		{"image/svg+xml", "", true}, {"application/xhtml+xml", "", true}, {"text/xml", "", true},
		{"application/javascript", "", true}, {"text/css", "", true}, {"application/pdf", "", true},
		{"application/x-shockwave-flash", "", true}, {"what is this", "", true}, {"image/svg", "", true},
		{"text/html", "inline; filename=x", true}, {"text/html", "attachment; filename=x", true}, {"text/html", "attachmentx", true},
	} {
		key := string(rune('a'+i)) + "\u00e9\".html"
		put(t, l, cdn.Object{Key: key, ContentType: c.ctype, Disposition: c.disposition}, "<script>alert(1)</script>")
		w := httptest.NewRecorder()
		l.ServeHTTP(w, httptest.NewRequest("GET", "/"+url.PathEscape(key), nil))
		got := w.Header().Get("Content-Disposition")
		if isAttachment := got == "attachment" || strings.HasPrefix(got, "attachment;"); isAttachment != c.attachment || w.Code != 200 {
			t.Errorf("%s, %q: status %d, Content-Disposition = %q; want attachment %v", c.ctype, c.disposition, w.Code, got, c.attachment)
		}
	}
}
