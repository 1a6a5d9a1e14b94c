package imageopt_test

import (
	"errors"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/perfblocks/perfblocks/imageopt"
)

func TestRemoteOptions(t *testing.T) {
	for _, o := range []imageopt.RemoteOptions{
		{}, {Hosts: []string{""}}, {Hosts: []string{"https://a.example"}}, {Hosts: []string{"a.example/path"}}, {Hosts: []string{"*"}},
		{Hosts: []string{"a.*.example"}}, {Hosts: []string{"me@a.example"}}, {Hosts: []string{"a.example"}, Timeout: -1},
	} {
		if _, err := imageopt.NewRemoteSource(o); !errors.Is(err, imageopt.ErrOptions) {
			t.Errorf("NewRemoteSource(%+v) = %v; want ErrOptions", o, err)
		}
	}
}

// origin serves one picture and counts.
type origin struct {
	*httptest.Server
	hits atomic.Int64
	host string
}

func newOrigin(t *testing.T, serve http.HandlerFunc) *origin {
	o := &origin{}
	o.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		o.hits.Add(1)
		serve(w, r)
	}))
	t.Cleanup(o.Close)
	o.host = strings.TrimPrefix(o.URL, "http://")
	return o
}

func TestRemoteRefusesPrivate(t *testing.T) {
	o := newOrigin(t, func(http.ResponseWriter, *http.Request) {})
	local := strings.Replace(o.host, "127.0.0.1", "localhost", 1)
	s, err := imageopt.NewRemoteSource(imageopt.RemoteOptions{Hosts: []string{o.host, local}, AllowHTTP: true})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for _, u := range []string{
		"http://" + o.host + "/a.png", "http://" + local + "/a.png", // refused at the connection
		"https://other.example/a.png", "ftp://" + o.host + "/a.png", "//" + o.host + "/a.png", "a.png", "http://me@" + o.host + "/a.png",
		"http://[::ffff:127.0.0.1]/a.png", "http://2130706433/a.png", "file:///etc/passwd", "http:" + o.host, "",
	} {
		if _, _, err := s.Open(t.Context(), u); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("Open(%q) = %v; want ErrNotExist", u, err)
		}
	}
	if n := o.hits.Load(); n != 0 {
		t.Errorf("the origin was asked %d times", n)
	}
}

func TestRemoteHosts(t *testing.T) {
	s, err := imageopt.NewRemoteSource(imageopt.RemoteOptions{Hosts: []string{"*.example.invalid", "Exact.invalid:8443"}})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for u, listed := range map[string]bool{
		"https://a.example.invalid/x": true, "https://A.B.Example.invalid:443/x": true, "https://a.example.invalid./x": true, "https://exact.invalid:8443/": true,
		"https://example.invalid/x": false, "https://badexample.invalid/x": false, "http://a.example.invalid/x": false,
		"https://a.example.invalid:444/x": false, "https://exact.invalid/": false, "https://.example.invalid/": false,
	} {
		// Names below .invalid never resolve: what is listed fails in another way.
		if _, _, err := s.Open(t.Context(), u); errors.Is(err, fs.ErrNotExist) == listed {
			t.Errorf("Open(%q) = %v; listed %t", u, err, listed)
		}
	}
}

func TestRemoteHandler(t *testing.T) {
	png := toPNG(t, photo(200, 100))
	var tag atomic.Value
	tag.Store(`"1"`)
	elsewhere := newOrigin(t, func(http.ResponseWriter, *http.Request) {})
	o := newOrigin(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/a.png":
			w.Header().Set("ETag", tag.Load().(string))
			_, _ = w.Write(png)
		case "/moved":
			http.Redirect(w, r, "/a.png", http.StatusFound)
		case "/away":
			http.Redirect(w, r, elsewhere.URL+"/a.png", http.StatusFound)
		case "/loop":
			http.Redirect(w, r, "/loop", http.StatusFound)
		case "/endless":
			_, _ = w.Write([]byte("\xff\xd8\xff"))
			for r.Context().Err() == nil {
				if _, err := w.Write(make([]byte, 1<<20)); err != nil {
					return
				}
			}
		case "/broken":
			w.WriteHeader(500)
		default:
			http.NotFound(w, r)
		}
	})
	s, err := imageopt.NewRemoteSource(imageopt.RemoteOptions{Hosts: []string{o.host}, AllowHTTP: true, AllowPrivate: true, Timeout: 10 * time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	opt := newOptimizer(t, imageopt.Options{Limits: imageopt.Limits{Bytes: 1 << 20}})
	h, err := imageopt.NewHandler(opt, s, imageopt.HandlerOptions{Cache: &mapCache{m: map[string][]byte{}}})
	if err != nil {
		t.Fatal(err)
	}
	ask := func(path string) int {
		return get(h, "/img/?w=64&url="+url.QueryEscape(o.URL+path)).Code
	}
	for path, want := range map[string]int{
		"/a.png": 200, "/moved": 200, "/away": 404, "/loop": 404, "/endless": 413, "/broken": 502, "/none": 404,
	} {
		if got := ask(path); got != want {
			t.Errorf("%s: %d; want %d", path, got, want)
		}
	}
	if elsewhere.hits.Load() != 0 {
		t.Error("a redirect led to a host that is not listed")
	}
	before := o.hits.Load()
	if ask("/a.png") != 200 || o.hits.Load() != before {
		t.Error("a picture in the cache, of a trusted version, is fetched again")
	}
	tag.Store(`"2"`)
	if got := get(h, "/img/?w=128&url="+url.QueryEscape(o.URL+"/a.png")).Code; got != 200 || h.Stats().Failed != 2 {
		t.Errorf("a picture that changes between its version and its bytes: %d, %+v; want it at once", got, h.Stats())
	}
	if got := get(h, "/img/?w=128&url="+url.QueryEscape(o.URL+"/a.png")).Code; got != 200 {
		t.Errorf("the changed picture: %d", got)
	}
	if err := h.Close(); err != nil {
		t.Fatal(err)
	}
	if w := get(newHandler(t, opt, imageopt.HandlerOptions{}), "/img/?w=64&url="+url.QueryEscape(o.URL+"/a.png")); w.Code != 400 {
		t.Errorf("a URL for a source of files: %d; want 400", w.Code)
	}
}

// A transfer that drips or breaks off is the origin's fault, not a damaged picture, not
// a busy server, and nothing that is shown in part.
func TestRemoteBrokenTransfers(t *testing.T) {
	jpg := toJPEG(t, photo(200, 100), 80)
	o := newOrigin(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", "100000")
		if r.URL.Path == "/known" {
			w.Header().Set("ETag", `"1"`)
		}
		_, _ = w.Write(jpg[:1000])
		if r.URL.RawQuery == "drip" {
			_ = http.NewResponseController(w).Flush()
			<-r.Context().Done()
		}
	})
	s, err := imageopt.NewRemoteSource(imageopt.RemoteOptions{Hosts: []string{o.host}, AllowHTTP: true, AllowPrivate: true, Timeout: 200 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	opt := newOptimizer(t, imageopt.Options{Truncated: imageopt.TruncatedPartial})
	h, err := imageopt.NewHandler(opt, s, imageopt.HandlerOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"/known", "/unknown"} {
		for query, want := range map[string]int{"cut": 502, "drip": 504} {
			if w := get(h, "/img/?w=64&url="+url.QueryEscape(o.URL+path+"?"+query)); w.Code != want {
				t.Errorf("%s?%s: %d; want %d", path, query, w.Code, want)
			}
		}
	}
	if s := h.Stats(); s.Failed != 4 || s.Canceled != 0 {
		t.Errorf("%+v; want four failures", s)
	}
}

func TestRemoteTimeout(t *testing.T) {
	release := make(chan bool)
	o := newOrigin(t, func(w http.ResponseWriter, r *http.Request) { <-release })
	defer close(release)
	s, err := imageopt.NewRemoteSource(imageopt.RemoteOptions{Hosts: []string{o.host}, AllowHTTP: true, AllowPrivate: true, Timeout: 20 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	rc, _, err := s.Open(t.Context(), o.URL+"/a.png")
	if err == nil {
		_, err = io.ReadAll(rc)
	}
	if err == nil {
		t.Error("a host that does not answer gives no error")
	}
}
