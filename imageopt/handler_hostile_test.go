package imageopt_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/fstest"
	"testing/synctest"

	"github.com/perfblocks/perfblocks/imageopt"
)

// remote is a source whose readers, like those of HTTP clients, end with the context
// that they were opened with.
type remote struct {
	open    chan struct{} // readers wait for it
	data    []byte
	version string
	closed  chan struct{} // one for each Close
}

func (s *remote) Open(ctx context.Context, _ string) (io.ReadCloser, imageopt.SourceInfo, error) {
	return &remoteReader{s, ctx, bytes.NewReader(s.data)}, imageopt.SourceInfo{Version: s.version}, nil
}

type remoteReader struct {
	s   *remote
	ctx context.Context
	r   io.Reader
}

func (r *remoteReader) Read(p []byte) (int, error) {
	select {
	case <-r.s.open:
	case <-r.ctx.Done():
		return 0, r.ctx.Err()
	}
	if r.ctx.Err() != nil {
		return 0, r.ctx.Err()
	}
	return r.r.Read(p)
}

func (r *remoteReader) Close() error {
	r.s.closed <- struct{}{}
	return nil
}

func TestHandlerSourceOutlivesItsClient(t *testing.T) {
	data := toPNG(t, photo(100, 80))
	o := newOptimizer(t, imageopt.Options{})
	for _, version := range []string{"1", ""} {
		synctest.Test(t, func(t *testing.T) {
			src := &remote{open: make(chan struct{}), data: data, version: version, closed: make(chan struct{}, 10)}
			h, err := imageopt.NewHandler(o, src, imageopt.HandlerOptions{})
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithCancel(t.Context())
			codes := make(chan int, 4)
			for i := range 4 {
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
			cancel()
			if c := <-codes; c != http.StatusServiceUnavailable {
				t.Errorf("version %q: the client that left gets %d", version, c)
			}
			close(src.open)
			for range 3 {
				if c := <-codes; c != 200 {
					t.Errorf("version %q: a client that stayed gets %d; want 200", version, c)
				}
			}
			if err := h.Close(); err != nil || len(src.closed) != 4 {
				t.Errorf("version %q: %v, %d of 4 sources closed", version, err, len(src.closed))
			}
		})
	}
}

func TestHandlerHangingSource(t *testing.T) {
	o := newOptimizer(t, imageopt.Options{})
	for _, version := range []string{"1", ""} {
		synctest.Test(t, func(t *testing.T) {
			src := &remote{open: make(chan struct{}), version: version, closed: make(chan struct{}, 10)}
			h, err := imageopt.NewHandler(o, src, imageopt.HandlerOptions{})
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithCancel(t.Context())
			done := make(chan bool)
			for range 3 {
				go func() {
					h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/img/?url=x&w=64", nil).WithContext(ctx))
					done <- true
				}()
			}
			synctest.Wait()
			closed := make(chan error)
			go func() { closed <- h.Close() }()
			synctest.Wait()
			cancel() // all clients go, so that the job has no reason to go on
			for range 3 {
				<-done
			}
			if err := <-closed; err != nil || len(src.closed) != 3 || o.Stats().Memory != 0 {
				t.Errorf("version %q: Close = %v, %d of 3 sources closed, %d bytes booked", version, err, len(src.closed), o.Stats().Memory)
			}
		})
	}
}

func TestHandlerAcceptKeys(t *testing.T) {
	t.Parallel()
	cache := &mapCache{m: map[string][]byte{}}
	h := newHandler(t, newOptimizer(t, imageopt.Options{}), imageopt.HandlerOptions{Cache: cache})
	seen := map[string]bool{}
	for i := range 4 * 4 * 4 * 4 * 4 {
		a := fmt.Sprintf("image/jpeg;q=%.2f,image/png;q=%.2f,image/gif;q=%.2f,image/webp;q=%.2f,image/avif;q=%.2f,x/y%d",
			float64(i%4)/4, float64(i/4%4)/4, float64(i/16%4)/4, float64(i/64%4)/4, float64(i/256)/4, i)
		w := get(h, "/img/?url=a.jpg&w=64", "Accept", a, "If-None-Match", "*")
		if seen[w.Header().Get("ETag")] = true; w.Code != http.StatusNotModified {
			t.Fatalf("Accept %s = %d", a, w.Code)
		}
	}
	if len(seen) > 66 || len(seen) < 4 {
		t.Errorf("%d different answers to 1024 ways to accept images; want at most 66", len(seen))
	}
	if w := get(h, "/img/?url=dir/%C3%A9+%C3%BC.png&w=64", "Accept", "image/webp;q=0.1,image/png"); w.Header().Get("Content-Type") != "image/png" {
		t.Errorf("WebP is sent to a client that likes it less")
	}
}

func TestHandlerIgnoresRange(t *testing.T) {
	h := newHandler(t, newOptimizer(t, imageopt.Options{}), imageopt.HandlerOptions{})
	w := get(h, "/img/?url=a.jpg&w=64&x=%0d%0aSet-Cookie:a", "Range", "bytes=0-9", "If-Range", `"x"`)
	if w.Code != 200 || w.Header().Get("Content-Range") != "" || w.Header().Get("Set-Cookie") != "" {
		t.Errorf("Range = %d %v; want the whole picture", w.Code, w.Header())
	}
	r := httptest.NewRequest(http.MethodHead, "/img/?url=a.jpg&w=64", nil)
	r.Header.Set("If-None-Match", w.Header().Get("ETag"))
	rec := httptest.NewRecorder()
	h.ServeHTTP(rec, r)
	if rec.Code != http.StatusNotModified || rec.Header().Get("Content-Length") != "" {
		t.Errorf("HEAD with the ETag = %d %v; want 304", rec.Code, rec.Header())
	}
}

// oneSource serves one reader, or none.
type oneSource struct {
	rc      io.ReadCloser
	version string
}

func (s oneSource) Open(context.Context, string) (io.ReadCloser, imageopt.SourceInfo, error) {
	return s.rc, imageopt.SourceInfo{Version: s.version}, nil
}

func TestHandlerFailedHook(t *testing.T) {
	o := newOptimizer(t, imageopt.Options{})
	broken := errors.New("disk on fire")
	half := toPNG(t, photo(40, 30))
	for _, tc := range []struct {
		name string
		src  imageopt.Source
		code int
		err  string
	}{
		{"no reader", oneSource{nil, "1"}, 500, "without a reader"},
		{"no reader, no version", oneSource{nil, ""}, 500, "without a reader"},
		{"error of Open", badSource{broken}, 500, "disk on fire"},
		{"error of Read", oneSource{io.NopCloser(failReader{broken}), "1"}, 500, "disk on fire"},
		{"error of Read, no version", oneSource{io.NopCloser(failReader{broken}), ""}, 500, "disk on fire"},
		{"panic of Read", badSource{}, 500, "panicked"},
		{"short", oneSource{io.NopCloser(bytes.NewReader(half[:len(half)/2])), "1"}, 422, "truncated"},
		{"empty", oneSource{io.NopCloser(strings.NewReader("")), ""}, 422, "truncated"},
	} {
		var got imageopt.HandlerEvent
		h, err := imageopt.NewHandler(o, tc.src, imageopt.HandlerOptions{
			Hooks: imageopt.HandlerHooks{Failed: func(e imageopt.HandlerEvent) { got = e }},
		})
		if err != nil {
			t.Fatal(err)
		}
		w := get(h, "/img/?url=a&w=64")
		if w.Code != tc.code || got.Status != tc.code || got.Request == nil || got.Err == nil || !strings.Contains(got.Err.Error(), tc.err) {
			t.Errorf("%s: %d, %+v; want %d and an error with %q", tc.name, w.Code, got, tc.code, tc.err)
		}
		if strings.Contains(w.Body.String(), "fire") {
			t.Errorf("%s: the client sees %s", tc.name, w.Body)
		}
	}
}

// A source without a version is hashed for each request; one that can seek is not
// held in memory meanwhile.
func TestHandlerHashesInPlace(t *testing.T) {
	o := newOptimizer(t, imageopt.Options{})
	big := append(toJPEG(t, photo(64, 64), 80), make([]byte, 16<<20)...)
	for name, rc := range map[string]io.ReadCloser{"seeker": nopSeekCloser{bytes.NewReader(big)}, "stream": io.NopCloser(io.MultiReader(bytes.NewReader(big)))} {
		h, err := imageopt.NewHandler(o, oneSource{rc, ""}, imageopt.HandlerOptions{})
		if err != nil {
			t.Fatal(err)
		}
		n := allocated(func() {
			if w := get(h, "/img/?url=a&w=64", "If-None-Match", "*"); w.Code != http.StatusNotModified {
				t.Errorf("%s: %d", name, w.Code)
			}
		})
		if name == "seeker" && n > 1<<20 {
			t.Errorf("%s: hashing 16 MiB allocates %d bytes; want < 1 MiB", name, n)
		}
	}
	h, err := imageopt.NewHandler(o, oneSource{nopSeekCloser{bytes.NewReader(big)}, ""}, imageopt.HandlerOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if w := get(h, "/img/?url=a&w=64"); w.Code != 200 {
		t.Errorf("after hashing: %d; want 200", w.Code)
	}
}

type nopSeekCloser struct{ io.ReadSeeker }

func (nopSeekCloser) Close() error { return nil }

// pipeFS has a file that is none, and whose opening would never end.
type pipeFS struct{ fstest.MapFS }

func (pipeFS) Open(string) (fs.File, error) { return nil, errors.New("opened") }

func TestSourceFSOpensNoPipes(t *testing.T) {
	_, _, err := imageopt.SourceFS(pipeFS{fstest.MapFS{"a.jpg": {Mode: fs.ModeNamedPipe}}}).Open(t.Context(), "a.jpg")
	if !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Open of a named pipe = %v; want ErrNotExist without opening it", err)
	}
}

// stream is a reader that cannot seek and waits at the end of its first part.
type stream struct {
	first, second io.Reader
	open          chan struct{}
}

func (s *stream) Read(p []byte) (int, error) {
	n, err := s.first.Read(p)
	if err != io.EOF {
		return n, err
	}
	<-s.open
	return s.second.Read(p)
}

// What is read before its job is admitted has a bound too, and leaves it in the end.
func TestSlowSourcesAreBounded(t *testing.T) {
	data := append(toJPEG(t, photo(64, 64), 80), make([]byte, 900<<10)...)
	o := newOptimizer(t, imageopt.Options{MaxMemory: 6 << 20})
	h, err := imageopt.NewHandler(o, readers(func() io.ReadCloser { return io.NopCloser(io.MultiReader(bytes.NewReader(data))) }), imageopt.HandlerOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		synctest.Test(t, func(t *testing.T) {
			open, done := make(chan struct{}), make(chan error, 8)
			for range 8 {
				s := &stream{bytes.NewReader(data[:700<<10]), bytes.NewReader(data[700<<10:]), open}
				go func() {
					_, err := o.Process(context.Background(), io.Discard, s, imageopt.Spec{Width: 32})
					done <- err
				}()
			}
			synctest.Wait()
			refused := len(done)
			for range refused {
				if err := <-done; !errors.Is(err, imageopt.ErrBusy) {
					t.Errorf("a source too many: %v; want ErrBusy", err)
				}
			}
			if refused < 1 || refused > 4 {
				t.Errorf("%d of 8 slow sources refused; want those that do not fit into 6 MiB", refused)
			}
			if w := get(h, "/img/?url=a&w=64"); w.Code != http.StatusServiceUnavailable || w.Header().Get("Retry-After") == "" {
				t.Errorf("no room to read a source: %d; want 503", w.Code)
			}
			close(open)
			for range 8 - refused {
				if err := <-done; err != nil {
					t.Error(err)
				}
			}
		})
		if w := get(h, "/img/?url=a&w=64"); w.Code != 200 {
			t.Errorf("with room again: %d", w.Code)
		}
	}
	tight := newOptimizer(t, imageopt.Options{MaxMemory: 512 << 10})
	_, err = tight.Process(t.Context(), io.Discard, io.MultiReader(bytes.NewReader(data)), imageopt.Spec{Width: 32})
	if !errors.Is(err, imageopt.ErrTooLarge) {
		t.Errorf("a source that never fits: %v; want ErrTooLarge", err)
	}
}

// readers is a source without versions.
type readers func() io.ReadCloser

func (r readers) Open(context.Context, string) (io.ReadCloser, imageopt.SourceInfo, error) {
	return r(), imageopt.SourceInfo{}, nil
}

// A connection that was cut off is not the end of the file.
func TestCutReaderIsNoPicture(t *testing.T) {
	o := newOptimizer(t, imageopt.Options{Truncated: imageopt.TruncatedPartial})
	jpg := toJPEG(t, photo(64, 64), 80)
	for _, n := range []int{5, 400, len(jpg)} {
		r := io.MultiReader(bytes.NewReader(jpg[:n]), failReader{io.ErrUnexpectedEOF})
		_, err := o.Process(t.Context(), io.Discard, r, imageopt.Spec{})
		if !errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, imageopt.ErrTruncated) {
			t.Errorf("cut off after %d bytes: %v; want the reader's error", n, err)
		}
	}
}
