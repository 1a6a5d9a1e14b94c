package cdn_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/perfblocks/perfblocks/cdn"
	"github.com/perfblocks/perfblocks/cdn/cdntest"
)

func TestNewOptions(t *testing.T) {
	local := newLocal(t, cdn.LocalOptions{})
	busy := newLocal(t, cdn.LocalOptions{})
	newUploader(t, &cdntest.Memory{}, cdn.Options{Fallback: busy})
	m := &cdntest.Memory{}
	for _, c := range []struct {
		p    cdn.Provider
		o    cdn.Options
		want []string
	}{
		{nil, cdn.Options{MaxMemory: -1}, []string{"provider is nil", "MaxMemory"}},
		{m, cdn.Options{MaxMemory: 100, Concurrency: -1, AllowTypes: []string{"png", "Image/png", "image/*"}, Retry: cdn.RetryOptions{MaxAttempts: -1}},
			[]string{"MaxMemory", "Concurrency", `"png"`, `"Image/png"`, "Retry"}},
		{local, cdn.Options{Fallback: local}, []string{"provider itself"}},
		{m, cdn.Options{Fallback: busy}, []string{"another Uploader"}},
	} {
		_, err := cdn.New(c.p, c.o)
		if !errors.Is(err, cdn.ErrOptions) {
			t.Errorf("New(%+v) = %v; want ErrOptions", c.o, err)
			continue
		}
		for _, w := range c.want {
			if !strings.Contains(err.Error(), w) {
				t.Errorf("New(%+v) = %v; want it to name %s", c.o, err, w)
			}
		}
	}
	for _, o := range []cdn.LocalOptions{
		{}, {Dir: "x", URL: "files/"}, {Dir: "x", URL: "ftp://h/"}, {Dir: "x", URL: "/f?x=1"}, {Dir: "x", URL: "http://u:p@h/"},
		{Dir: "x", URL: "/f#x"}, {Dir: "x", URL: "http://"}, {Dir: "x", URL: ":"}, {Dir: "x", MaxBytes: -1},
	} {
		if _, err := cdn.NewLocal(o); !errors.Is(err, cdn.ErrOptions) || strings.Contains(err.Error(), "u:p") {
			t.Errorf("NewLocal(%+v) = %v; want ErrOptions", o, err)
		}
	}
	u := newUploader(t, m, cdn.Options{})
	for _, o := range []cdn.UploadOptions{
		{Quality: 101}, {Quality: -1}, {Format: "bmp"}, {Size: -1}, {MaxBytes: -1}, {AllowTypes: []string{"*"}},
		{Metadata: map[string]string{"a b": ""}}, {Metadata: map[string]string{"a": "x\r\nSet-Cookie: y"}}, {Metadata: map[string]string{"a": "\xff"}},
		{Metadata: map[string]string{"": "x"}}, {CacheControl: "a\nb"}, {Disposition: "a\x00b"}, {Metadata: map[string]string{"A": "1", "a": "2"}},
	} {
		if _, err := u.Upload(t.Context(), "a.png", bytes.NewReader(png), o); !errors.Is(err, cdn.ErrOptions) {
			t.Errorf("Upload(%+v) = %v; want ErrOptions", o, err)
		}
	}
	if _, err := u.Upload(t.Context(), "a.png", nil, cdn.UploadOptions{}); !errors.Is(err, cdn.ErrOptions) {
		t.Errorf("Upload of a nil reader = %v; want ErrOptions", err)
	}
}

func TestDisabled(t *testing.T) {
	var down outage
	var heads atomic.Int32
	m := &cdntest.Memory{Unverified: true, Fault: func(ctx context.Context, op, key string) error {
		if op == "head" {
			heads.Add(1)
		}
		return down.fault(ctx, op, key)
	}}
	local := newLocal(t, cdn.LocalOptions{})
	u := newUploader(t, m, cdn.Options{Disabled: true, Fallback: local})
	if upload(t, u, "a.png", png, cdn.UploadOptions{}); heads.Load() != 0 {
		t.Errorf("%d verifications while disabled", heads.Load())
	}
	down.on.Store(true)
	if _, err := u.Upload(t.Context(), "b.png", bytes.NewReader(png[:90]), cdn.UploadOptions{}); !errors.Is(err, cdn.ErrUnavailable) {
		t.Errorf("Upload = %v; want the provider's error", err)
	}
	if s := u.Stats(); s.Requests.Put != 2 || s.Retries != 0 || local.Stats().Objects != 0 {
		t.Errorf("Stats = %+v; want no retry and no fallback", s)
	}
}

func TestHooksAndLogger(t *testing.T) {
	var log strings.Builder
	var attempts []string
	m := &cdntest.Memory{Fault: func(_ context.Context, op, _ string) error {
		if op == "put" {
			return cdn.ErrInvalid
		}
		return nil
	}}
	u := newUploader(t, m, cdn.Options{
		Fallback: newLocal(t, cdn.LocalOptions{}), FallbackIf: func(error) bool { return true }, Logger: slog.New(slog.NewTextHandler(&log, nil)),
		Hooks: cdn.Hooks{Attempt: func(e cdn.AttemptEvent) {
			attempts = append(attempts, fmt.Sprint(e.Provider, " ", e.Op, " ", e.Key, " ", e.Attempt, " ", e.Bytes, " ", errors.Is(e.Err, cdn.ErrInvalid)))
		}},
	})
	upload(t, u, "x.txt", []byte("secret words"), cdn.UploadOptions{Key: "k"})
	u.Promote(t.Context())
	if want := "[memory put k 1 12 true memory put k 1 12 true]"; fmt.Sprint(attempts) != want {
		t.Errorf("attempts = %v; want %s", attempts, want)
	}
	if s := log.String(); !strings.Contains(s, "given up") || !strings.Contains(s, "key=k") || strings.Contains(s, "secret") {
		t.Errorf("log = %s", s)
	}
}

func TestMetrics(t *testing.T) {
	var down outage
	down.on.Store(true)
	l := newLocal(t, cdn.LocalOptions{URL: "/f/"})
	u := newUploader(t, &cdntest.Memory{Fault: down.fault}, cdn.Options{Name: "a\"b\\c\nd", Fallback: l})
	upload(t, u, "a.png", png, cdn.UploadOptions{})
	legal := regexp.MustCompile(`^[a-z_]+\{[a-z]+="([^"\\\n]|\\["\\n])*"(,[a-z]+="[^"\\]*")*\}$`)
	got := map[string]float64{}
	for _, metrics := range []func(func(string, float64) bool){u.Metrics(), l.Metrics()} {
		for name, v := range metrics {
			if _, twice := got[name]; twice || !legal.MatchString(name) {
				t.Errorf("metric %s is not legal or not unique", name)
			}
			got[name] = v
		}
		for range metrics {
			break // which must be harmless
		}
	}
	label := `{cdn="a\"b\\c\nd",provider="memory"`
	for name, want := range map[string]float64{
		"cdn_uploads_total" + label + `,result="fallback"}`: 1,
		"cdn_requests_total" + label + `,op="put"}`:         3,
		"cdn_retries_total" + label + "}":                   2,
		"cdn_pending_bytes" + label + "}":                   float64(len(png)),
		`cdn_local_objects{url="/f/"}`:                      1,
	} {
		if got[name] != want {
			t.Errorf("%s = %v; want %v", name, got[name], want)
		}
	}
}

func TestUploadBatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &cdntest.Memory{}
		u, err := cdn.New(m, cdn.Options{})
		if err != nil {
			t.Fatal(err)
		}
		var closed atomic.Int32
		items := func(yield func(cdn.Item) bool) {
			for i := range 20 {
				it := cdn.Item{Name: fmt.Sprint(i, ".txt"), Body: &closer{strings.NewReader(fmt.Sprint("body ", i)), func() { closed.Add(1) }}}
				switch i {
				case 5:
					it.Name = "5.png" // contradicts its content
				case 6:
					it.Body = nil
				}
				if !yield(it) {
					return
				}
			}
		}
		seen := map[int]bool{}
		for r, err := range u.UploadBatch(t.Context(), items, cdn.BatchOptions{Concurrency: 1}) {
			seen[r.Index] = true
			if want := map[int]error{5: cdn.ErrType, 6: cdn.ErrOptions}[r.Index]; !errors.Is(err, want) || (err == nil) != (r.Result != nil) {
				t.Errorf("item %d %s: %+v, %v; want %v", r.Index, r.Name, r.Result, err, want)
			}
		}
		if len(seen) != 20 || m.Len() != 18 || closed.Load() != 19 {
			t.Errorf("%d results, %d objects, %d bodies closed", len(seen), m.Len(), closed.Load())
		}
		n := 0
		for range u.UploadBatch(t.Context(), items, cdn.BatchOptions{Concurrency: 3}) {
			if n++; n == 2 {
				break
			}
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		for r, err := range u.UploadBatch(ctx, items, cdn.BatchOptions{}) {
			t.Errorf("batch with an ended context yields %+v, %v", r, err)
		}
		for _, err := range u.UploadBatch(t.Context(), items, cdn.BatchOptions{Concurrency: -1}) {
			if !errors.Is(err, cdn.ErrOptions) {
				t.Errorf("batch = %v; want ErrOptions", err)
			}
		}
		u.Close()
	})
}

type closer struct {
	*strings.Reader
	f func()
}

func (c *closer) Close() error { c.f(); return nil }

// TestOpenSurvivesOutage: reads of what is local need no provider, and a provider
// that fails is covered by a retained copy.
func TestOpenSurvivesOutage(t *testing.T) {
	var down outage
	m := &cdntest.Memory{Fault: down.fault}
	u := newUploader(t, m, cdn.Options{Fallback: newLocal(t, cdn.LocalOptions{})})
	down.on.Store(true)
	res := upload(t, u, "a.png", png, cdn.UploadOptions{})
	r, info, err := u.OpenRange(t.Context(), res.Key, 1, 3)
	if err != nil || info.Size != int64(len(png)) || info.ContentType != "image/png" {
		t.Fatalf("OpenRange = %+v, %v", info, err)
	}
	if b, _ := io.ReadAll(r); string(b) != "PNG" {
		t.Errorf("OpenRange(1, 3) = %q; want PNG", b)
	}
	r.Close()
	if info, err := u.Head(t.Context(), res.Key); err != nil || info.Size != int64(len(png)) {
		t.Errorf("Head = %+v, %v", info, err)
	}
	if url, err := u.URL(res.Key, cdn.Transform{}); err != nil || url != res.URL {
		t.Errorf("URL = %q, %v; want %q", url, err, res.URL)
	}
	down.on.Store(false)
	if _, err := u.Promote(t.Context()); err != nil {
		t.Fatal(err)
	}
	if url, err := u.URL(res.Key, cdn.Transform{}); err != nil || url != "https://memory.example/"+res.Key {
		t.Errorf("URL after promotion = %q, %v", url, err)
	}
	down.on.Store(true)
	wantContent(t, u, res.Key, png) // retained
	if info, err := u.Head(t.Context(), res.Key); err != nil || info.Size != int64(len(png)) {
		t.Errorf("Head of a retained copy = %+v, %v", info, err)
	}
	if _, _, err := u.Open(t.Context(), "unknown"); !errors.Is(err, cdn.ErrUnavailable) {
		t.Errorf("Open of an unknown key in an outage = %v; want ErrUnavailable", err)
	}
}

// TestProviderPanics: a provider of the user's must not take the process down.
func TestProviderPanics(t *testing.T) {
	u := newUploader(t, &cdntest.Memory{Fault: func(context.Context, string, string) error { panic("oops") }}, cdn.Options{})
	if _, err := u.Upload(t.Context(), "a.png", bytes.NewReader(png), cdn.UploadOptions{}); err == nil || !strings.Contains(err.Error(), "oops") {
		t.Errorf("Upload = %v; want the panic as an error", err)
	}
	again := newUploader(t, &cdntest.Memory{}, cdn.Options{Process: func(context.Context, io.Writer, io.Reader, cdn.Transform) (string, error) { panic("oops") }})
	func() {
		defer func() {
			if recover() == nil {
				t.Error("a panic of Process was swallowed")
			}
		}()
		again.Upload(t.Context(), "a.png", bytes.NewReader(png), cdn.UploadOptions{Quality: 5})
	}()
	if s := again.Stats(); s.MemoryBytes != 0 || s.Active != 0 {
		t.Errorf("after a panic: %+v", s)
	}
}

func TestImageURL(t *testing.T) {
	u := newUploader(t, &cdntest.Memory{}, cdn.Options{ImageURL: "/img?src={url}&k={key}&w={width}&h={height}&q={quality}&f={format}&fit={fit}"})
	got, err := u.URL("a/b c&d.png", cdn.Transform{Width: 400, Quality: 80, Format: "webp"})
	want := "/img?src=https%3A%2F%2Fmemory.example%2Fa%2Fb%2520c%26d.png&k=a/b%20c&d.png&w=400&h=&q=80&f=webp&fit="
	if err != nil || got != strings.Replace(want, "c&d.png&w", "c%26d.png&w", 1) {
		t.Errorf("URL = %q, %v; want %q", got, err, want)
	}
	for _, bad := range []string{"/img?w={width}", "/img/{key}?{size}", "/img/{url"} {
		if _, err := cdn.New(&cdntest.Memory{}, cdn.Options{ImageURL: bad}); !errors.Is(err, cdn.ErrOptions) {
			t.Errorf("New with ImageURL %q = %v; want ErrOptions", bad, err)
		}
	}
	if _, err := newUploader(t, &cdntest.Memory{}, cdn.Options{}).URL("k", cdn.Transform{Width: 1}); !errors.Is(err, cdn.ErrOptions) {
		t.Errorf("URL without ImageURL = %v; want ErrOptions", err)
	}
}
