package imageopt_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"image"
	"image/color"
	"io"
	"io/fs"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/fstest"
	"testing/synctest"
	"time"

	"github.com/perfblocks/perfblocks/imageopt"
)

type mapCache struct {
	mu sync.Mutex
	m  map[string][]byte
}

func (c *mapCache) Get(k string) ([]byte, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	b, ok := c.m[k]
	return b, ok
}

func (c *mapCache) Set(k string, v []byte) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.m[k] = v
	return nil
}

func testFS(t testing.TB) fstest.MapFS {
	jpg := toJPEG(t, photo(400, 300), 90)
	return fstest.MapFS{
		"a.jpg":        {Data: jpg, ModTime: time.Unix(1e9, 0)},
		"dir/é ü.png":  {Data: toPNG(t, veil(100, 80)), ModTime: time.Unix(1e9, 0)},
		"notime.jpg":   {Data: jpg},
		"broken.jpg":   {Data: jpg[:500], ModTime: time.Unix(1e9, 0)},
		"giant.jpg":    {Data: jpegOf(t, 20000, 14000), ModTime: time.Unix(1e9, 0)},
		"evil.svg":     {Data: []byte("<svg onload=alert(1)>"), ModTime: time.Unix(1e9, 0)},
		"dir/deep/x.y": {Data: []byte("x")},
	}
}

func newHandler(t testing.TB, o *imageopt.Optimizer, opts imageopt.HandlerOptions) *imageopt.Handler {
	t.Helper()
	h, err := imageopt.NewHandler(o, imageopt.SourceFS(testFS(t)), opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := h.Close(); err != nil {
			t.Error(err)
		}
	})
	return h
}

func get(h http.Handler, target string, header ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodGet, target, nil)
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Add(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func TestHandler(t *testing.T) {
	o := newOptimizer(t, imageopt.Options{})
	h := newHandler(t, o, imageopt.HandlerOptions{Cache: &mapCache{m: map[string][]byte{}}})
	w := get(h, "/img/?url=a.jpg&w=128&q=50")
	if w.Code != 200 || w.Header().Get("Content-Type") != "image/jpeg" || decode(t, w.Body.Bytes()).Bounds() != image.Rect(0, 0, 128, 96) {
		t.Fatalf("GET = %d, %v", w.Code, w.Header())
	}
	for k, v := range map[string]string{
		"X-Content-Type-Options": "nosniff", "Content-Security-Policy": "default-src 'none'; sandbox", "Vary": "Accept", "Cache-Control": "public, max-age=14400",
	} {
		if got := w.Header().Get(k); got != v {
			t.Errorf("%s = %q; want %q", k, got, v)
		}
	}
	etag := w.Header().Get("ETag")
	if again := get(h, "/img/?url=/a.jpg&w=128&q=50"); again.Code != 200 || again.Header().Get("ETag") == "" {
		t.Errorf("with a leading slash: %d", again.Code)
	}
	if again := get(h, "/img/?url=a.jpg&w=128&q=50"); !bytes.Equal(again.Body.Bytes(), w.Body.Bytes()) || h.Stats().Hits != 1 {
		t.Errorf("second GET: %d hits; want one", h.Stats().Hits)
	}
	for _, inm := range []string{etag, strings.TrimPrefix(etag, "W/"), `"x", ` + etag, "*"} {
		if w := get(h, "/img/?url=a.jpg&w=128&q=50", "If-None-Match", inm); w.Code != http.StatusNotModified || w.Body.Len() != 0 || w.Header().Get("ETag") != etag || w.Header().Get("Vary") != "Accept" {
			t.Errorf("If-None-Match %s = %d with %d bytes; want 304", inm, w.Code, w.Body.Len())
		}
	}
	if w := get(h, "/img/?url=a.jpg&w=128&q=75", "If-None-Match", etag); w.Code != 200 || w.Header().Get("ETag") == etag {
		t.Errorf("another quality under the same ETag: %d", w.Code)
	}
	r := httptest.NewRequest(http.MethodHead, "/img/?url=a.jpg&w=128&q=50", nil)
	rec := httptest.NewRecorder()
	h.ServeHTTP(rec, r)
	if rec.Code != 200 || rec.Body.Len() != 0 || rec.Header().Get("Content-Length") == "0" {
		t.Errorf("HEAD = %d with %d bytes, length %s", rec.Code, rec.Body.Len(), rec.Header().Get("Content-Length"))
	}
	names := maps.Collect(h.Metrics())
	if names[`imageopt_requests_total{imageopt="imageopt",outcome="hit"}`] != 2 || names[`imageopt_sent_bytes_total{imageopt="imageopt"}`] == 0 {
		t.Errorf("Metrics = %v", names)
	}
}

func TestHandlerNegotiates(t *testing.T) {
	o := newOptimizer(t, imageopt.Options{})
	cache := &mapCache{m: map[string][]byte{}}
	h := newHandler(t, o, imageopt.HandlerOptions{Cache: cache})
	const target = "/img/?url=dir/%C3%A9+%C3%BC.png&w=64"
	if w := get(h, target); w.Header().Get("Content-Type") != "image/png" {
		t.Errorf("no Accept = %d %s; want image/png", w.Code, w.Header().Get("Content-Type"))
	}
	var tag string
	for _, a := range []string{"image/webp,*/*", "*/*, image/webp", "image/webp;q=1.0,*/*;q=1.0,text/html"} {
		w := get(h, target, "Accept", a)
		if w.Header().Get("Content-Type") != "image/webp" {
			t.Errorf("Accept %s = %s; want image/webp", a, w.Header().Get("Content-Type"))
		}
		if tag == "" {
			tag = w.Header().Get("ETag")
		} else if w.Header().Get("ETag") != tag {
			t.Errorf("Accept %s has a cache entry of its own", a)
		}
	}
	if len(cache.m) != 2 {
		t.Errorf("%d entries in the cache; want one for each answer", len(cache.m))
	}
	fixed := newHandler(t, o, imageopt.HandlerOptions{Spec: imageopt.Spec{Format: imageopt.FormatPNG}, MaxAge: -1})
	if w := get(fixed, target, "Accept", "image/webp"); w.Header().Get("Content-Type") != "image/png" || w.Header().Get("Vary") != "" || w.Header().Get("Cache-Control") != "no-cache" {
		t.Errorf("fixed format: %v", w.Header())
	}
}

func TestHandlersShareCache(t *testing.T) {
	t.Parallel()
	o := newOptimizer(t, imageopt.Options{})
	cache := &mapCache{m: map[string][]byte{}}
	seen := map[string]bool{}
	for i, opts := range []imageopt.HandlerOptions{
		{}, {Name: "b"}, {Spec: imageopt.Spec{Format: imageopt.FormatPNG}}, {Spec: imageopt.Spec{Height: 10}},
		{Spec: imageopt.Spec{Background: color.Black}}, {Spec: imageopt.Spec{Background: color.White}}, {Spec: imageopt.Spec{Filter: imageopt.FilterBox}},
	} {
		opts.Cache = cache
		seen[get(newHandler(t, o, opts), "/img/?url=a.jpg&w=64").Header().Get("ETag")] = true
		if len(seen) != i+1 || len(cache.m) != i+1 {
			t.Errorf("handler %d takes the results of another one", i)
		}
	}
	disabled := newHandler(t, newOptimizer(t, imageopt.Options{Disabled: true}), imageopt.HandlerOptions{})
	if w := get(disabled, "/img/?url=a.jpg&w=64"); w.Code != 200 || decode(t, w.Body.Bytes()).Bounds().Dx() != 400 {
		t.Errorf("disabled: %d; want the original", w.Code)
	}
}

func TestHandlerErrors(t *testing.T) {
	o := newOptimizer(t, imageopt.Options{})
	h := newHandler(t, o, imageopt.HandlerOptions{})
	for target, want := range map[string]int{
		"/img/":                                       400,
		"/img/?w=64":                                  400,
		"/img/?url=a.jpg":                             400,
		"/img/?url=a.jpg&w=65":                        400,
		"/img/?url=a.jpg&w=064x":                      400,
		"/img/?url=a.jpg&w=64&q=81":                   400,
		"/img/?url=a.jpg&w=64&w=128":                  400,
		"/img/?url=a.jpg&w=64&url=b":                  400,
		"/img/?url=%zz&w=64":                          400,
		"/img/?url=a.jpg%00&w=64":                     400,
		"/img/?url=http://10.0.0.1/&w=64":             400,
		"/img/?url=//evil.example/a&w=64":             400,
		"/img/?url=../../etc/passwd&w=64":             404,
		"/img/?url=/../a.jpg&w=64":                    404,
		"/img/?url=dir/../a.jpg&w=64":                 404,
		"/img/?url=dir\\a.jpg&w=64":                   404,
		"/img/?url=dir&w=64":                          404,
		"/img/?url=none.jpg&w=64":                     404,
		"/img/?url=broken.jpg&w=64":                   422,
		"/img/?url=giant.jpg&w=64":                    413,
		"/img/?url=evil.svg&w=64":                     415,
		"/img/?w=64&url=" + strings.Repeat("a", 5000): 414,
	} {
		w := get(h, target)
		var p struct{ Status int }
		if w.Code != want || w.Header().Get("Content-Type") != "application/problem+json" || json.Unmarshal(w.Body.Bytes(), &p) != nil ||
			p.Status != want || w.Header().Get("Cache-Control") != "no-store" || w.Header().Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%.60s = %d %v %s; want %d", target, w.Code, w.Header(), w.Body, want)
		}
	}
	r := httptest.NewRequest(http.MethodPost, "/img/?url=a.jpg&w=64", nil)
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	if w.Code != http.StatusMethodNotAllowed || w.Header().Get("Allow") != "GET, HEAD" {
		t.Errorf("POST = %d; want 405", w.Code)
	}
	if w := get(h, "/img/?url=notime.jpg&w=64"); w.Code != 200 || w.Header().Get("ETag") == "" {
		t.Errorf("a source without a version = %d", w.Code)
	}
}

func TestHandlerSignature(t *testing.T) {
	o := newOptimizer(t, imageopt.Options{})
	h := newHandler(t, o, imageopt.HandlerOptions{Secret: []byte("0123456789abcdef"), Path: "/pics"})
	u := h.URL("dir/é ü.png", 64, 0)
	if !strings.HasPrefix(u, "/pics?url=") {
		t.Errorf("URL = %s; want Path in front", u)
	}
	if w := get(h, u); w.Code != 200 {
		t.Errorf("signed %s = %d; want 200", u, w.Code)
	}
	for _, bad := range []string{
		strings.Replace(u, "w=64", "w=128", 1), strings.Replace(u, "q=80", "q=50", 1), strings.Replace(u, "dir", "dar", 1),
		u[:len(u)-2], u[:strings.Index(u, "&s=")], u + "x",
	} {
		if w := get(h, bad); w.Code != http.StatusForbidden {
			t.Errorf("%s = %d; want 403", bad, w.Code)
		}
	}
	el, err := h.HTML(imageopt.Picture{Src: "a.jpg", Width: 300, Height: 200, Responsive: true, Quality: 50})
	if err != nil || strings.Count(string(el), "q=50&amp;s=") != 19 {
		t.Errorf("HTML = %s, %v; want 18 signed addresses and src", el, err)
	}
	for _, p := range []imageopt.Picture{{Src: "a", Width: 1, Height: 1, Quality: 51}, {Src: "a", Width: 1, Height: 1, Widths: []int{65}}} {
		if _, err := h.HTML(p); !errors.Is(err, imageopt.ErrOptions) {
			t.Errorf("HTML(%+v) = %v; want ErrOptions", p, err)
		}
	}
}

func TestHandlerOptions(t *testing.T) {
	_, err := imageopt.NewHandler(nil, nil, imageopt.HandlerOptions{
		Widths: []int{0}, Qualities: []int{101}, Secret: []byte("short"), Path: "javascript:x", Spec: imageopt.Spec{Fit: 99},
	})
	for _, want := range []string{"Optimizer", "Source", "Widths", "Qualities", "Secret", "Path", "Fit"} {
		if !errors.Is(err, imageopt.ErrOptions) || !strings.Contains(err.Error(), want) {
			t.Errorf("NewHandler error = %v; want ErrOptions with %q", err, want)
		}
	}
}

func TestHandlerWithoutEncoder(t *testing.T) {
	h, err := imageopt.NewHandler(newOptimizer(t, imageopt.Options{}), imageopt.SourceFS(testFS(t)),
		imageopt.HandlerOptions{Spec: imageopt.Spec{Format: imageopt.FormatAVIF}})
	if h != nil || !errors.Is(err, imageopt.ErrOptions) {
		t.Errorf("NewHandler for AVIF = %v, %v; want ErrOptions", h, err)
	}
}

// gate is a source whose pictures come when it is opened.
type gate struct {
	open  chan struct{}
	reads atomic.Int64
	data  []byte
}

func (g *gate) Open(context.Context, string) (io.ReadCloser, imageopt.SourceInfo, error) {
	return io.NopCloser(&gateReader{g: g}), imageopt.SourceInfo{Version: "1"}, nil
}

type gateReader struct {
	g *gate
	r io.Reader
}

func (r *gateReader) Read(p []byte) (int, error) {
	if r.r == nil {
		r.g.reads.Add(1)
		<-r.g.open
		r.r = bytes.NewReader(r.g.data)
	}
	return r.r.Read(p)
}

func TestHandlerSharesAndCancels(t *testing.T) {
	src := toPNG(t, photo(100, 80))
	o := newOptimizer(t, imageopt.Options{})
	synctest.Test(t, func(t *testing.T) {
		g := &gate{open: make(chan struct{}), data: src}
		h, err := imageopt.NewHandler(o, g, imageopt.HandlerOptions{})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		codes := make(chan int, 8)
		for i := range 8 {
			r := httptest.NewRequest(http.MethodGet, "/img/?url=x&w=64", nil)
			if i == 0 {
				r = r.WithContext(ctx)
			}
			go func() {
				w := httptest.NewRecorder()
				h.ServeHTTP(w, r)
				codes <- w.Code
			}()
			synctest.Wait()
		}
		cancel() // the first client, which started the job, goes
		if c := <-codes; c != http.StatusServiceUnavailable {
			t.Errorf("cancelled client gets %d", c)
		}
		close(g.open)
		for range 7 {
			if c := <-codes; c != 200 {
				t.Errorf("waiting client gets %d; want 200", c)
			}
		}
		if s := h.Stats(); g.reads.Load() != 1 || s.Shared != 7 || s.Canceled != 1 {
			t.Errorf("%d reads of the source, %+v; want one shared by seven", g.reads.Load(), s)
		}
		if err := errors.Join(h.Close(), h.Close()); err != nil {
			t.Error(err)
		}
		if w := get(h, "/img/?url=x&w=64"); w.Code != http.StatusServiceUnavailable || w.Header().Get("Retry-After") == "" {
			t.Errorf("after Close: %d %v; want 503 with Retry-After", w.Code, w.Header())
		}
	})
}

type badSource struct{ v any }

func (b badSource) Open(context.Context, string) (io.ReadCloser, imageopt.SourceInfo, error) {
	if err, ok := b.v.(error); ok {
		return nil, imageopt.SourceInfo{}, err
	}
	return io.NopCloser(badReader{}), imageopt.SourceInfo{Version: "1"}, nil
}

type badReader struct{}

func (badReader) Read([]byte) (int, error) { panic("reader") }

func TestHandlerBusyAndBadSources(t *testing.T) {
	src := toPNG(t, photo(400, 300))
	o := newOptimizer(t, imageopt.Options{MaxMemory: 3 << 20, MaxQueue: -1})
	h, err := imageopt.NewHandler(o, imageopt.SourceFS(fstest.MapFS{"a.png": {Data: src}}), imageopt.HandlerOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for range o.Variants(t.Context(), src, []imageopt.Spec{{Width: 50}}) {
		if w := get(h, "/img/?url=a.png&w=64"); w.Code != http.StatusServiceUnavailable || w.Header().Get("Retry-After") == "" {
			t.Errorf("no memory left: %d, Retry-After %q; want 503", w.Code, w.Header().Get("Retry-After"))
		}
	}
	if w := get(h, "/img/?url=a.png&w=64"); w.Code != 200 || h.Stats().Busy != 1 {
		t.Errorf("with memory again: %d", w.Code)
	}
	for _, tc := range []struct {
		v    any
		want int
	}{{errors.New("password=secret"), 500}, {fs.ErrPermission, 500}, {nil, 500}} {
		h, err := imageopt.NewHandler(o, badSource{tc.v}, imageopt.HandlerOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if w := get(h, "/img/?url=a&w=64"); w.Code != tc.want || strings.Contains(w.Body.String(), "secret") {
			t.Errorf("source with %v = %d %s; want %d without its text", tc.v, w.Code, w.Body, tc.want)
		}
	}
}
