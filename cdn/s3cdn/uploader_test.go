package s3cdn_test

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/perfblocks/perfblocks/cdn"
)

// TestUploader: the provider under its user, with bodies that can be read only once,
// a failure that passes and an outage that does not.
func TestUploader(t *testing.T) {
	s, ts := newServer(t, false)
	local, err := cdn.NewLocal(cdn.LocalOptions{Dir: t.TempDir(), URL: "/files/"})
	if err != nil {
		t.Fatal(err)
	}
	defer local.Close()
	p := newProvider(t, ts)
	up, err := cdn.New(p, cdn.Options{
		Fallback: local, Retry: cdn.RetryOptions{BaseDelay: time.Millisecond, MaxDelay: time.Millisecond},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer up.Close()
	for _, n := range []int{0, 100, 12 << 20} {
		b := bytes.Repeat([]byte{byte(n), 1, 2, 3}, n/4)
		for i := range 2 {
			res, err := up.Upload(t.Context(), "data.bin", io.MultiReader(bytes.NewReader(b)), cdn.UploadOptions{})
			if err != nil || res.Fallback != nil || res.Size != int64(len(b)) || i == 1 && !res.Deduped {
				t.Fatalf("Upload %d of %d bytes = %+v, %v; want it stored, the second time deduped", i, n, res, err)
			}
			reads(t, p, res.Key, b)
		}
	}
	failures := make(chan struct{}, 1)
	failures <- struct{}{}
	s.setFault(func(w http.ResponseWriter, r *http.Request, _ func(http.ResponseWriter)) bool {
		select {
		case <-failures:
			_, _ = io.Copy(io.Discard, r.Body)
			w.WriteHeader(http.StatusServiceUnavailable)
			return true
		default:
			return false
		}
	})
	b := []byte("second attempt")
	res, err := up.Upload(t.Context(), "again.bin", bytes.NewReader(b), cdn.UploadOptions{})
	if err != nil || res.Fallback != nil || res.Attempts != 2 {
		t.Errorf("Upload through one 503 = %+v, %v; want the second attempt to succeed", res, err)
	}
	s.setFault(send(502, nil, "<html>bad gateway"))
	b = []byte("kept here")
	res, err = up.Upload(t.Context(), "later.bin", bytes.NewReader(b), cdn.UploadOptions{})
	if err != nil || !errors.Is(res.Fallback, cdn.ErrUnavailable) {
		t.Fatalf("Upload in an outage = %+v, %v; want the fallback", res, err)
	}
	s.setFault(nil)
	if n, err := up.Promote(t.Context()); n != 1 || err != nil {
		t.Errorf("Promote = %d, %v; want 1", n, err)
	}
	reads(t, p, res.Key, b)
}

func reads(t *testing.T, p cdn.Provider, key string, want []byte) {
	t.Helper()
	r, info, err := p.Open(t.Context(), cdn.Ref{Key: key}, 0, -1)
	if err != nil {
		t.Fatalf("Open(%q) = %v", key, err)
	}
	defer r.Close()
	if got, err := io.ReadAll(r); err != nil || !bytes.Equal(got, want) || info.Size != int64(len(want)) {
		t.Errorf("Open(%q) = %d bytes of %d, %v; want %d", key, len(got), info.Size, err, len(want))
	}
}
