package cdn_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/perfblocks/perfblocks/cdn"
	"github.com/perfblocks/perfblocks/cdn/cdntest"
)

// edgeless is a provider that is no Purger.
type edgeless struct{ cdn.Provider }

func TestPurge(t *testing.T) {
	m := &cdntest.Memory{}
	u := newUploader(t, m, cdn.Options{})
	if err := u.Purge(t.Context(), "a/b.png", "a/", "/"); err != nil {
		t.Fatal(err)
	}
	if got, want := m.Purged(), []string{"a/b.png", "a/", "/"}; !slices.Equal(got, want) {
		t.Errorf("Purged() = %q; want %q", got, want)
	}
	for _, key := range []string{"", "//", "a//", "../x", "a/../", "/a", "a\x00b", " /"} {
		if err := u.Purge(t.Context(), "good", key); !errors.Is(err, cdn.ErrKey) {
			t.Errorf("Purge(%q) = %v; want ErrKey", key, err)
		}
	}
	if n := len(m.Purged()); n != 3 {
		t.Errorf("%d keys are purged after calls with one that is invalid; want 3 still", n)
	}
	if n := u.Stats().Requests.Purge; n != 1 {
		t.Errorf("Stats().Requests.Purge = %d; want 1", n)
	}
}

func TestPurgeUnsupported(t *testing.T) {
	p := edgeless{&cdntest.Memory{}}
	err := newUploader(t, p, cdn.Options{}).Purge(t.Context(), "k")
	if !errors.Is(err, errors.ErrUnsupported) || !errors.Is(err, cdn.ErrInvalid) || !strings.Contains(err.Error(), "no edge") {
		t.Errorf("Purge without a Purger = %v; want a clear ErrInvalid and errors.ErrUnsupported", err)
	}
	if u, err := cdn.New(p, cdn.Options{Purge: true}); !errors.Is(err, cdn.ErrOptions) {
		t.Errorf("New with Purge and no Purger = %v, %v; want ErrOptions", u, err)
	}
	local := newLocal(t, cdn.LocalOptions{})
	if err := newUploader(t, local, cdn.Options{Purge: true}).Purge(t.Context(), "k", "k/", "/"); err != nil {
		t.Errorf("Purge of a Local = %v; want nil, there is nothing to do", err)
	}
	if err := local.Purge(t.Context(), cdn.Ref{Key: "../k"}); !errors.Is(err, cdn.ErrKey) {
		t.Errorf("Local.Purge of a hostile key = %v; want ErrKey", err)
	}
}

// purgeFault makes the next n purges fail with err.
type purgeFault struct {
	mu  sync.Mutex
	n   int
	err error
}

func (f *purgeFault) fault(_ context.Context, op, _ string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if op != "purge" || f.n == 0 {
		return nil
	}
	f.n--
	return f.err
}

func (f *purgeFault) set(n int, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.n, f.err = n, err
}

func TestPurgeRetries(t *testing.T) {
	f := &purgeFault{}
	m := &cdntest.Memory{Fault: f.fault}
	u := newUploader(t, m, cdn.Options{})
	f.set(2, cdn.ErrRateLimited)
	if err := u.Purge(t.Context(), "k"); err != nil || len(m.Purged()) != 1 {
		t.Errorf("Purge after two refusals for now = %v, %q", err, m.Purged())
	}
	f.set(1, cdn.ErrAuth)
	if err := u.Purge(t.Context(), "k"); !errors.Is(err, cdn.ErrAuth) {
		t.Errorf("Purge = %v; want ErrAuth at once", err)
	}
	if err := u.Close(); err != nil {
		t.Fatal(err)
	}
	if err := u.Purge(t.Context(), "k"); !errors.Is(err, cdn.ErrClosed) {
		t.Errorf("Purge after Close = %v; want ErrClosed", err)
	}
}

// TestPurgeBlackHole: a purge that nobody answers costs an upload no more than MaxWait,
// and does not undo it.
func TestPurgeBlackHole(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &cdntest.Memory{Fault: func(ctx context.Context, op, _ string) error {
			if op == "purge" {
				<-ctx.Done()
				return context.Cause(ctx)
			}
			return nil
		}}
		u, err := cdn.New(m, cdn.Options{Purge: true, MaxWait: 3 * time.Second})
		if err != nil {
			t.Fatal(err)
		}
		defer u.Close()
		start := time.Now()
		res, err := u.Upload(t.Context(), "k.txt", strings.NewReader("hello"), cdn.UploadOptions{Key: "k.txt"})
		if err != nil || !errors.Is(res.Unpurged, cdn.ErrUnavailable) || time.Since(start) != 3*time.Second {
			t.Errorf("Upload = %+v, %v after %v; want it stored but not purged, after 3s", res, err, time.Since(start))
		}
	})
}

// TestPurgeOption: what changes content under a key that may be cached purges it, and
// nothing else does.
func TestPurgeOption(t *testing.T) {
	var down outage
	f := &purgeFault{}
	m := &cdntest.Memory{Fault: func(ctx context.Context, op, key string) error {
		return errors.Join(down.fault(ctx, op, key), f.fault(ctx, op, key))
	}}
	var log strings.Builder
	u := newUploader(t, m, cdn.Options{
		Fallback: newLocal(t, cdn.LocalOptions{}), Purge: true, Logger: slog.New(slog.NewTextHandler(&log, nil)),
	})
	seen := 0
	want := func(what string, keys ...string) {
		t.Helper()
		all := m.Purged()
		if got := all[seen:]; !slices.Equal(got, keys) {
			t.Errorf("%s purges %q; want %q", what, got, keys)
		}
		seen = len(all)
	}
	upload(t, u, "x.png", png, cdn.UploadOptions{Key: "k.png"})
	want("an upload under a key", "k.png")
	upload(t, u, "x.png", png, cdn.UploadOptions{Key: "new.png", CreateOnly: true})
	want("one to a new key, which may be cached as missing", "new.png")
	derived := upload(t, u, "x.png", png, cdn.UploadOptions{})
	want("a derived key")

	down.on.Store(true)
	if res := upload(t, u, "x.png", png, cdn.UploadOptions{Key: "k.png"}); res.Fallback == nil || res.Unpurged != nil {
		t.Errorf("Upload in an outage = %+v", res)
	}
	upload(t, u, "y.png", slices.Concat(png, []byte("y")), cdn.UploadOptions{})
	if err := u.Delete(t.Context(), "new.png"); err != nil {
		t.Error(err)
	}
	want("an outage")
	down.on.Store(false)
	f.set(3, cdn.ErrUnavailable)
	if n, err := u.Promote(t.Context()); n != 3 || err != nil {
		t.Errorf("Promote = %d, %v; want 3 even though a purge fails", n, err)
	}
	got := slices.Sorted(slices.Values(m.Purged()[seen:]))
	seen = len(m.Purged())
	failed := strings.Count(log.String(), "edges may be stale")
	if all := []string{"k.png", "new.png"}; len(got)+failed != 2 || len(got) > 0 && !slices.Contains(all, got[0]) {
		t.Errorf("promotion purges %q and logs %d failures; want both keys accounted for", got, failed)
	}

	f.set(9, cdn.ErrUnavailable)
	if err := u.Delete(t.Context(), "k.png"); !errors.Is(err, cdn.ErrUnavailable) {
		t.Errorf("Delete whose purge fails = %v; want the purge's error", err)
	}
	if _, ok := m.Bytes("k.png"); ok {
		t.Error("it is not deleted")
	}
	f.set(0, nil)
	if err := u.Delete(t.Context(), "k.png"); err != nil {
		t.Errorf("Delete again = %v", err)
	}
	if err := u.Delete(t.Context(), derived.Key); err != nil {
		t.Error(err)
	}
	want("two deletes", "k.png", derived.Key)
}

func ExampleUploader_Purge() {
	provider := &cdntest.Memory{} // in earnest s3cdn with CloudFrontDistribution
	up, err := cdn.New(provider, cdn.Options{Purge: true})
	if err != nil {
		panic(err)
	}
	defer up.Close()
	ctx := context.Background()
	res, err := up.Upload(ctx, "site.css", strings.NewReader("a { color: red }"), cdn.UploadOptions{Key: "css/site.css"})
	fmt.Println(res.Unpurged, err)
	fmt.Println(up.Purge(ctx, "index.html", "fonts/"))
	fmt.Println(provider.Purged())
	// Output:
	// <nil> <nil>
	// <nil>
	// [css/site.css index.html fonts/]
}
