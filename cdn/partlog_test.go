package cdn_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"sync/atomic"
	"testing"

	"github.com/perfblocks/perfblocks/cdn"
)

// TestResumeKeepsAttributes uploads the same content under the same key again, after a
// broken try, with other metadata: what the provider was told at first must not stay.
func TestResumeKeepsAttributes(t *testing.T) {
	s := newPartStore()
	var down atomic.Bool
	down.Store(true)
	s.fault = func(ctx context.Context, op string, part int) error {
		if down.Load() && op == "complete" {
			return cdn.ErrUnavailable
		}
		return nil
	}
	u := newUploader(t, s, cdn.Options{Fallback: newLocal(t, cdn.LocalOptions{}), PartSize: partMiB})
	body := randomBytes(3*partMiB, 11)
	o := cdn.UploadOptions{Key: "k", NoFallback: true, CacheControl: "no-store", Metadata: map[string]string{"owner": "first"}}
	if _, err := u.Upload(t.Context(), "x.bin", bytes.NewReader(body), o); !errors.Is(err, cdn.ErrUnavailable) {
		t.Fatalf("Upload = %v", err)
	}
	down.Store(false)
	o.CacheControl, o.Metadata = "max-age=60", map[string]string{"owner": "second"}
	upload(t, u, "x.bin", body, o)
	info, err := u.Head(t.Context(), "k")
	if err != nil || info.CacheControl != "max-age=60" || info.Metadata["owner"] != "second" {
		t.Errorf("Head = %q, %v, %v; want what the second upload said", info.CacheControl, info.Metadata, err)
	}
}

// TestPartLogTorn kills the process twice and tears the log in between, as a power loss
// may. What was logged behind the tear counts.
func TestPartLogTorn(t *testing.T) {
	const parts, workers = 9, 1
	s := newPartStore()
	var dieAt atomic.Int32 // the part at which the process dies; 0: the provider is down
	dead := make(chan struct{}, 1)
	s.fault = func(ctx context.Context, op string, part int) error {
		at := int(dieAt.Load())
		if at == 0 {
			return cdn.ErrUnavailable
		}
		if op == "part" && part >= at {
			dead <- struct{}{}
			<-ctx.Done()
			return ctx.Err()
		}
		return nil
	}
	dir := t.TempDir()
	run := func(f func(u *cdn.Uploader)) {
		local, err := cdn.NewLocal(cdn.LocalOptions{Dir: dir})
		if err != nil {
			t.Fatal(err)
		}
		u := newUploader(t, s, cdn.Options{Fallback: local, PartSize: partMiB, PartWorkers: workers, MaxWait: -1})
		f(u)
		if err := errors.Join(u.Close(), local.Close()); err != nil {
			t.Fatal(err)
		}
	}
	body := randomBytes((parts-1)*partMiB+100, 12)
	run(func(u *cdn.Uploader) { upload(t, u, "x.bin", body, cdn.UploadOptions{Key: "k"}) })
	for _, at := range []int32{4, 8} {
		dieAt.Store(at)
		run(func(u *cdn.Uploader) {
			go u.Promote(t.Context())
			<-dead
		})
		for _, name := range files(t, dir, "parts/*") {
			f, err := os.OpenFile(name, os.O_WRONLY|os.O_APPEND, 0)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := f.WriteString(`01234567 {"n":`); err != nil {
				t.Fatal(err)
			}
			f.Close()
		}
	}
	dieAt.Store(100)
	run(func(u *cdn.Uploader) {
		if n, err := u.Promote(t.Context()); n != 1 || err != nil {
			t.Errorf("Promote = %d, %v", n, err)
		}
	})
	if len(s.sent) != parts || s.begun != 1 { // what was under way at a death never arrived
		t.Errorf("parts %v have arrived of %d uploads; want each once, of 1", s.sent, s.begun)
	}
	if got, _ := s.Bytes("k"); !bytes.Equal(got, body) {
		t.Error("the provider has other content")
	}
}
