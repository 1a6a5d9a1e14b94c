package cdn_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/perfblocks/perfblocks/cdn"
	"github.com/perfblocks/perfblocks/cdn/cdntest"
)

var png = append([]byte("\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR"), make([]byte, 200)...)

// outage makes a provider unavailable while it is set.
type outage struct{ on atomic.Bool }

func (o *outage) fault(context.Context, string, string) error {
	if o.on.Load() {
		return cdn.ErrUnavailable
	}
	return nil
}

func newUploader(t testing.TB, p cdn.Provider, o cdn.Options) *cdn.Uploader {
	t.Helper()
	if o.Retry == (cdn.RetryOptions{}) {
		o.Retry = cdn.RetryOptions{BaseDelay: 1, MaxDelay: 1}
	}
	u, err := cdn.New(p, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := u.Close(); err != nil {
			t.Error(err)
		}
	})
	return u
}

func upload(t testing.TB, u *cdn.Uploader, name string, b []byte, o cdn.UploadOptions) *cdn.Result {
	t.Helper()
	res, err := u.Upload(t.Context(), name, bytes.NewReader(b), o)
	if err != nil {
		t.Fatalf("Upload(%q): %v", name, err)
	}
	return res
}

func wantContent(t testing.TB, u *cdn.Uploader, key string, want []byte) {
	t.Helper()
	r, _, err := u.Open(t.Context(), key)
	if err != nil {
		t.Fatalf("Open(%q): %v", key, err)
	}
	got, err := io.ReadAll(r)
	if err = errors.Join(err, r.Close()); err != nil || !bytes.Equal(got, want) {
		t.Fatalf("Open(%q) = %d bytes, %v; want %d bytes", key, len(got), err, len(want))
	}
}

func TestUploadStores(t *testing.T) {
	for _, unverified := range []bool{false, true} {
		m := &cdntest.Memory{Unverified: unverified}
		u := newUploader(t, m, cdn.Options{})
		res := upload(t, u, `C:\photos\Ảnh Đại Diện (1).PNG`, png, cdn.UploadOptions{Folder: "avatars"})
		if !strings.HasPrefix(res.Key, "avatars/") || !strings.HasSuffix(res.Key, "-anh-dai-dien-1.png") {
			t.Errorf("Key = %q; want avatars/<hash>-anh-dai-dien-1.png", res.Key)
		}
		if res.Provider != "memory" || res.Fallback != nil || res.SHA256 != sha256.Sum256(png) || res.ContentType != "image/png" {
			t.Errorf("Result = %+v", res)
		}
		if want := "https://memory.example/" + res.Key; res.URL != want {
			t.Errorf("URL = %q; want %q", res.URL, want)
		}
		info, err := u.Head(t.Context(), res.Key)
		if err != nil || info.CacheControl != "public, max-age=31536000, immutable" {
			t.Errorf("Head = %+v, %v; want an immutable object", info, err)
		}
		wantContent(t, u, res.Key, png)
		again := upload(t, u, "anh dai dien 1.png", png, cdn.UploadOptions{Folder: "avatars", Dedupe: unverified})
		if !again.Deduped || again.Key != res.Key || m.Puts() != 1 {
			t.Errorf("second Upload = %+v after %d puts; want it deduped", again, m.Puts())
		}
		if s := u.Stats(); s.Stored != 1 || s.Deduped != 1 || s.Failed != 0 || s.MemoryBytes != 0 || s.Active != 0 {
			t.Errorf("Stats = %+v", s)
		}
	}
}

func TestUploadFallsBackAndPromotes(t *testing.T) {
	var down outage
	down.on.Store(true)
	m := &cdntest.Memory{Fault: down.fault, Unverified: true}
	local := newLocal(t, cdn.LocalOptions{URL: "/files/"})
	var promoted, fell atomic.Int32
	u := newUploader(t, m, cdn.Options{Fallback: local, Hooks: cdn.Hooks{
		Fallback: func(cdn.FallbackEvent) { fell.Add(1) }, Promoted: func(cdn.PromoteEvent) { promoted.Add(1) },
	}})
	opts := cdn.UploadOptions{Key: "a/b c.png", Metadata: map[string]string{"Owner": "7"}, CacheControl: "max-age=60", Disposition: "inline"}
	res := upload(t, u, "x.png", png, opts)
	if !errors.Is(res.Fallback, cdn.ErrUnavailable) || res.Provider != "local" || res.URL != "/files/a/b%20c.png" || res.Attempts != 3 {
		t.Fatalf("Result = %+v; want a fallback after 3 attempts", res)
	}
	get := func() *httptest.ResponseRecorder {
		w := httptest.NewRecorder()
		local.ServeHTTP(w, httptest.NewRequest("GET", res.URL, nil))
		return w
	}
	if w := get(); w.Code != 200 || !bytes.Equal(w.Body.Bytes(), png) {
		t.Errorf("GET %s = %d, %d bytes; want the content", res.URL, w.Code, w.Body.Len())
	}
	wantContent(t, u, res.Key, png)
	if again := upload(t, u, "x.png", png, opts); !again.Deduped || again.URL != res.URL {
		t.Errorf("same Upload while pending = %+v; want it deduped", again)
	}
	if n, err := u.Promote(t.Context()); n != 0 || !errors.Is(err, cdn.ErrUnavailable) {
		t.Errorf("Promote during the outage = %d, %v", n, err)
	}
	for p := range u.Pending() {
		if p.Key != res.Key || p.Attempts != 1 || p.Err == "" || p.Dead || p.Size != int64(len(png)) {
			t.Errorf("Pending = %+v", p)
		}
	}
	down.on.Store(false)
	if n, err := u.Promote(t.Context()); n != 1 || err != nil {
		t.Fatalf("Promote = %d, %v; want 1", n, err)
	}
	info, err := m.Head(t.Context(), cdn.Ref{Key: res.Key})
	if err != nil || info.Metadata["owner"] != "7" || info.CacheControl != "max-age=60" || info.Disposition != "inline" || info.ContentType != "image/png" {
		t.Errorf("Head at the provider = %+v, %v; want every attribute carried over", info, err)
	}
	if w := get(); w.Code != http.StatusFound || w.Header().Get("Location") != "https://memory.example/a/b%20c.png" {
		t.Errorf("GET after promotion = %d to %q; want a redirect", w.Code, w.Header().Get("Location"))
	}
	wantContent(t, u, res.Key, png)
	s := u.Stats()
	if s.Pending != 0 || s.Promoted != 1 || promoted.Load() != 1 || fell.Load() != 1 || s.FellBack != 1 {
		t.Errorf("Stats = %+v, %d promoted, %d fell back by hooks", s, promoted.Load(), fell.Load())
	}
}

func TestUploadRefusalsSurface(t *testing.T) {
	for _, kind := range []error{cdn.ErrAuth, cdn.ErrInvalid, cdn.ErrTooLarge, errors.New("unheard of")} {
		m := &cdntest.Memory{Fault: func(context.Context, string, string) error { return kind }}
		local := newLocal(t, cdn.LocalOptions{})
		u := newUploader(t, m, cdn.Options{Fallback: local})
		if _, err := u.Upload(t.Context(), "a.png", bytes.NewReader(png), cdn.UploadOptions{}); !errors.Is(err, kind) {
			t.Errorf("Upload = %v; want %v", err, kind)
		}
		if s := local.Stats(); s.Objects != 0 {
			t.Errorf("%v fell back", kind)
		}
		u.Close()
		u = newUploader(t, m, cdn.Options{Fallback: local, FallbackIf: func(err error) bool { return errors.Is(err, kind) }})
		if res := upload(t, u, "a.png", png, cdn.UploadOptions{}); !errors.Is(res.Fallback, kind) {
			t.Errorf("Upload with FallbackIf: Fallback = %v; want %v", res.Fallback, kind)
		}
		if _, err := u.Upload(t.Context(), "b.png", bytes.NewReader(png[:100]), cdn.UploadOptions{NoFallback: true}); !errors.Is(err, kind) {
			t.Errorf("Upload with NoFallback = %v; want %v", err, kind)
		}
	}
}

// TestUploadMaxWait plays a provider that never answers, once honouring its context
// and once not.
func TestUploadMaxWait(t *testing.T) {
	for _, deaf := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			free := make(chan struct{})
			m := &cdntest.Memory{Fault: func(ctx context.Context, op, key string) error {
				if deaf {
					<-free
				} else {
					<-ctx.Done()
				}
				return context.Cause(ctx)
			}}
			local, err := cdn.NewLocal(cdn.LocalOptions{Dir: t.TempDir()})
			if err != nil {
				t.Fatal(err)
			}
			u, err := cdn.New(m, cdn.Options{Fallback: local, MaxWait: 7 * time.Second})
			if err != nil {
				t.Fatal(err)
			}
			start := time.Now()
			res := upload(t, u, "a.png", png, cdn.UploadOptions{})
			if waited := time.Since(start); waited != 7*time.Second || !errors.Is(res.Fallback, cdn.ErrUnavailable) {
				t.Errorf("Upload took %v, Fallback = %v; want 7s and ErrUnavailable", waited, res.Fallback)
			}
			start = time.Now() // the caller's deadline leaves time for the local copy
			ctx, cancel := context.WithTimeout(t.Context(), 4*time.Second)
			defer cancel()
			if _, err := u.Upload(ctx, "b.png", bytes.NewReader(png[:99]), cdn.UploadOptions{}); err != nil || time.Since(start) != 3*time.Second {
				t.Errorf("Upload with a deadline of 4s = %v after %v; want a fallback after 3s", err, time.Since(start))
			}
			close(free)
			if err := errors.Join(u.Close(), local.Close()); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestUploadRetries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := 0
		m := &cdntest.Memory{Fault: func(context.Context, string, string) error {
			switch n++; n {
			case 1:
				return &cdn.OpError{Kind: cdn.ErrRateLimited, Wait: 3 * time.Second}
			case 2:
				return cdn.ErrUnavailable
			}
			return nil
		}}
		u, err := cdn.New(m, cdn.Options{})
		if err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		res := upload(t, u, "a.png", png, cdn.UploadOptions{})
		if d := time.Since(start); res.Attempts != 3 || d < 3*time.Second || d > 4*time.Second {
			t.Errorf("Upload took %d attempts and %v; want 3, and Retry-After waited out", res.Attempts, d)
		}
		n = 0
		u2, _ := cdn.New(m, cdn.Options{MaxWait: 2 * time.Second})
		start = time.Now()
		if _, err := u2.Upload(t.Context(), "b.png", bytes.NewReader(png[:90]), cdn.UploadOptions{}); !errors.Is(err, cdn.ErrRateLimited) || time.Since(start) > 0 {
			t.Errorf("Upload = %v after %v; want ErrRateLimited at once, since Retry-After is beyond MaxWait", err, time.Since(start))
		}
	})
}

func TestUploadCancelled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &cdntest.Memory{Fault: func(ctx context.Context, op, key string) error { <-ctx.Done(); return ctx.Err() }}
		local, err := cdn.NewLocal(cdn.LocalOptions{Dir: t.TempDir()})
		if err != nil {
			t.Fatal(err)
		}
		u, err := cdn.New(m, cdn.Options{Fallback: local})
		if err != nil {
			t.Fatal(err)
		}
		cause := errors.New("the user left")
		ctx, cancel := context.WithCancelCause(t.Context())
		time.AfterFunc(time.Second, func() { cancel(cause) })
		if _, err := u.Upload(ctx, "a.png", bytes.NewReader(png), cdn.UploadOptions{}); !errors.Is(err, context.Canceled) || !errors.Is(err, cause) {
			t.Errorf("Upload = %v; want context.Canceled and its cause", err)
		}
		time.AfterFunc(time.Second, func() { u.Close() })
		if _, err := u.Upload(t.Context(), "a.png", bytes.NewReader(png), cdn.UploadOptions{}); !errors.Is(err, cdn.ErrClosed) {
			t.Errorf("Upload during Close = %v; want ErrClosed", err)
		}
		if s := local.Stats(); s.Objects != 0 {
			t.Errorf("%d objects were kept for cancelled uploads", s.Objects)
		}
		local.Close()
	})
}
