package cdn_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/perfblocks/perfblocks/cdn"
	"github.com/perfblocks/perfblocks/cdn/cdntest"
)

// gate stops puts of a provider while it is closed.
type gate struct {
	outage
	mu   sync.Mutex
	open chan struct{} // guarded by mu; nil: open
	in   chan string   // receives the key of each stopped put
}

func newGate() *gate { return &gate{in: make(chan string, 8)} }

func (g *gate) shut() (release func()) {
	ch := make(chan struct{})
	g.mu.Lock()
	g.open = ch
	g.mu.Unlock()
	return func() {
		g.mu.Lock()
		g.open = nil
		g.mu.Unlock()
		close(ch)
	}
}

func (g *gate) fault(ctx context.Context, op, key string) error {
	if err := g.outage.fault(ctx, op, key); err != nil || op != "put" {
		return err
	}
	g.mu.Lock()
	ch := g.open
	g.mu.Unlock()
	if ch == nil {
		return nil
	}
	g.in <- key
	select {
	case <-ch:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// TestPromoteRaces changes a key while its promotion is under way at the provider.
// The change must win.
func TestPromoteRaces(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(t *testing.T, u *cdn.Uploader, g *gate) error
		want   string
	}{
		{"overwrite", func(t *testing.T, u *cdn.Uploader, g *gate) error {
			_, err := u.Upload(t.Context(), "x.txt", bytes.NewReader([]byte("newer")), cdn.UploadOptions{Key: "k"})
			return err
		}, "newer"},
		{"delete", func(t *testing.T, u *cdn.Uploader, g *gate) error { return u.Delete(t.Context(), "k") }, ""},
		{"delete and write", func(t *testing.T, u *cdn.Uploader, g *gate) error {
			_, err := u.Upload(t.Context(), "x.txt", bytes.NewReader([]byte("newer")), cdn.UploadOptions{Key: "k"})
			return errors.Join(u.Delete(t.Context(), "k"), err)
		}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g := newGate()
				m := &cdntest.Memory{Fault: g.fault}
				local, err := cdn.NewLocal(cdn.LocalOptions{Dir: t.TempDir()})
				if err != nil {
					t.Fatal(err)
				}
				u, err := cdn.New(m, cdn.Options{Fallback: local, MaxWait: 10 * time.Second})
				if err != nil {
					t.Fatal(err)
				}
				g.on.Store(true)
				upload(t, u, "x.txt", []byte("older"), cdn.UploadOptions{Key: "k"})
				g.on.Store(false)
				release := g.shut()
				done := make(chan error)
				go func() { _, err := u.Promote(t.Context()); done <- err }()
				<-g.in // the older content is on its way
				changed := make(chan error)
				go func() { changed <- c.change(t, u, g) }()
				synctest.Wait()
				time.Sleep(time.Second)
				release()
				if err := errors.Join(<-done, <-changed); err != nil {
					t.Fatal(err)
				}
				check := func(when string) {
					if c.want != "" {
						wantContent(t, u, "k", []byte(c.want))
					} else if _, _, err := u.Open(t.Context(), "k"); !errors.Is(err, cdn.ErrNotFound) {
						t.Errorf("Open %s = %v; want ErrNotFound", when, err)
					}
				}
				check("after the change")
				if err := u.Shutdown(t.Context()); err != nil {
					t.Fatal(err)
				}
				if b, _ := m.Bytes("k"); string(b) != c.want {
					t.Errorf("the provider has %q in the end; want %q", b, c.want)
				}
				if err := local.Close(); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// TestUploadDoesNotWaitForPromotion: the lane of the key is taken by a promotion
// that hangs, so that the new content falls back, and wins in the end.
func TestUploadDoesNotWaitForPromotion(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate()
		m := &cdntest.Memory{Fault: g.fault}
		local, _ := cdn.NewLocal(cdn.LocalOptions{Dir: t.TempDir()})
		u, _ := cdn.New(m, cdn.Options{Fallback: local, MaxWait: 10 * time.Second})
		g.on.Store(true)
		upload(t, u, "x.txt", []byte("older"), cdn.UploadOptions{Key: "k"})
		g.on.Store(false)
		release := g.shut()
		done := make(chan error)
		go func() { _, err := u.Promote(t.Context()); done <- err }()
		<-g.in
		time.Sleep(5 * time.Second)
		ctx, cancel := context.WithTimeout(t.Context(), 4*time.Second)
		defer cancel()
		res, err := u.Upload(ctx, "x.txt", bytes.NewReader([]byte("newer")), cdn.UploadOptions{Key: "k"})
		if err != nil || !errors.Is(res.Fallback, cdn.ErrUnavailable) {
			t.Fatalf("Upload = %+v, %v; want a fallback", res, err)
		}
		release()
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		wantContent(t, u, "k", []byte("newer"))
		if n, err := u.Promote(t.Context()); n != 1 || err != nil {
			t.Errorf("Promote = %d, %v", n, err)
		}
		if b, _ := m.Bytes("k"); string(b) != "newer" {
			t.Errorf("the provider has %q; want the newer content", b)
		}
		if err := errors.Join(u.Close(), local.Close()); err != nil {
			t.Error(err)
		}
	})
}

// TestRun lets Run find out by itself that the provider is back, drop the retained
// copies in time, and end.
func TestRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var down outage
		down.on.Store(true)
		m := &cdntest.Memory{Fault: down.fault}
		dir := t.TempDir()
		local, _ := cdn.NewLocal(cdn.LocalOptions{Dir: dir})
		u, _ := cdn.New(m, cdn.Options{Fallback: local, Retain: time.Hour})
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- u.Run(ctx) }()
		synctest.Wait()
		for i := range 10 {
			upload(t, u, "x.txt", fmt.Append(nil, i), cdn.UploadOptions{})
		}
		time.Sleep(10 * time.Minute)
		if s := u.Stats(); s.Pending != 10 || s.Requests.Put > 200 {
			t.Errorf("after ten minutes of outage: %+v; want 10 pending and few requests", s)
		}
		down.on.Store(false)
		time.Sleep(6 * time.Minute)
		if s := u.Stats(); s.Pending != 0 || s.Promoted != 10 || m.Len() != 10 {
			t.Errorf("six minutes after the outage: %+v; want all promoted", s)
		}
		if n := len(files(t, dir, "blobs/*/*")); n != 10 {
			t.Errorf("%d local copies; want 10 retained", n)
		}
		down.on.Store(true)
		upload(t, u, "x.txt", []byte("late"), cdn.UploadOptions{})
		down.on.Store(false)
		time.Sleep(2 * time.Second)
		if m.Len() != 11 {
			t.Error("a new upload did not wake Run")
		}
		time.Sleep(2 * time.Hour)
		if n := len(files(t, dir, "blobs/*/*")); n != 0 {
			t.Errorf("%d local copies are left after Retain", n)
		}
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Run = %v; want nil", err)
		}
		if err := errors.Join(u.Close(), u.Close(), local.Close(), local.Close()); err != nil {
			t.Error(err)
		}
	})
}

// TestPromotePoison: an object that the provider refuses for good becomes dead, does
// not stop the others, stays readable over a restart, and can be replaced.
func TestPromotePoison(t *testing.T) {
	var down outage
	down.on.Store(true)
	refuse := cdn.ErrInvalid
	m := &cdntest.Memory{Fault: func(ctx context.Context, op, key string) error {
		if err := down.fault(ctx, op, key); err != nil {
			return err
		}
		if key == "bad" && op == "put" {
			return refuse
		}
		return nil
	}}
	dir := t.TempDir()
	local := newLocal(t, cdn.LocalOptions{Dir: dir})
	u := newUploader(t, m, cdn.Options{Fallback: local, Concurrency: 1})
	for _, k := range []string{"a", "bad", "z"} {
		upload(t, u, "x.txt", []byte(k), cdn.UploadOptions{Key: k})
	}
	down.on.Store(false)
	if n, err := u.Promote(t.Context()); n != 2 || !errors.Is(err, cdn.ErrInvalid) {
		t.Errorf("Promote = %d, %v; want 2 and ErrInvalid", n, err)
	}
	u.Close()
	local.Close()
	local = newLocal(t, cdn.LocalOptions{Dir: dir})
	u = newUploader(t, m, cdn.Options{Fallback: local})
	got := slices.Collect(u.Pending())
	if len(got) != 1 || got[0].Key != "bad" || !got[0].Dead || got[0].Err == "" {
		t.Errorf("Pending = %+v; want the dead object", got)
	}
	wantContent(t, u, "bad", []byte("bad"))
	if n, err := u.Promote(t.Context()); n != 0 || err != nil {
		t.Errorf("Promote of a dead object = %d, %v; want it left alone", n, err)
	}
	if url, err := u.URL("bad", cdn.Transform{}); err != nil || url != "/bad" {
		t.Errorf("URL = %q, %v; want the local one", url, err)
	}
	refuse = nil
	if res := upload(t, u, "x.txt", []byte("good"), cdn.UploadOptions{Key: "bad"}); res.Fallback != nil || u.Stats().Dead != 0 {
		t.Errorf("replacing it = %+v, Stats %+v", res, u.Stats())
	}
	wantContent(t, u, "bad", []byte("good"))
}

// TestPromoteCreateOnly: the key was taken by others while we could not look.
func TestPromoteCreateOnly(t *testing.T) {
	var down outage
	m := &cdntest.Memory{Fault: down.fault}
	u := newUploader(t, m, cdn.Options{Fallback: newLocal(t, cdn.LocalOptions{})})
	for _, k := range []string{"same", "other"} {
		down.on.Store(true)
		opts := cdn.UploadOptions{Key: k, CreateOnly: true}
		upload(t, u, "x.txt", []byte("mine"), opts)
		if _, err := u.Upload(t.Context(), "x.txt", bytes.NewReader([]byte("again")), opts); !errors.Is(err, cdn.ErrExists) {
			t.Errorf("create-only Upload to a pending key = %v; want ErrExists", err)
		}
		down.on.Store(false)
		b := []byte(map[string]string{"same": "mine", "other": "theirs"}[k])
		if _, err := m.Put(t.Context(), cdn.Object{Key: k, Size: int64(len(b)), ContentType: "text/plain"}, bytes.NewReader(b)); err != nil {
			t.Fatal(err)
		}
	}
	if n, err := u.Promote(t.Context()); n != 1 || !errors.Is(err, cdn.ErrExists) {
		t.Errorf("Promote = %d, %v; want one and ErrExists for the other", n, err)
	}
	if s := u.Stats(); s.Dead != 1 || s.Pending != 0 {
		t.Errorf("Stats = %+v", s)
	}
	if b, _ := m.Bytes("other"); string(b) != "theirs" {
		t.Errorf("the other's object became %q", b)
	}
}

func TestDelete(t *testing.T) {
	var down outage
	m := &cdntest.Memory{Fault: down.fault}
	local := newLocal(t, cdn.LocalOptions{})
	u := newUploader(t, m, cdn.Options{Fallback: local})
	res := upload(t, u, "x.txt", []byte("here"), cdn.UploadOptions{})
	down.on.Store(true)
	if err := u.Delete(t.Context(), res.Key); err != nil {
		t.Fatalf("Delete during an outage = %v; want it journaled", err)
	}
	if _, err := u.Head(t.Context(), res.Key); !errors.Is(err, cdn.ErrNotFound) {
		t.Errorf("Head = %v; want ErrNotFound though the provider still has it", err)
	}
	if s := u.Stats(); s.Deletes != 1 || m.Len() != 1 {
		t.Errorf("Stats = %+v", s)
	}
	down.on.Store(false)
	if n, err := u.Promote(t.Context()); n != 1 || err != nil || m.Len() != 0 || u.Stats().Deletes != 0 {
		t.Errorf("Promote = %d, %v with %d objects left", n, err, m.Len())
	}
	if err := u.Delete(t.Context(), "never"); err != nil {
		t.Errorf("Delete of a missing key = %v", err)
	}
	if err := u.Delete(t.Context(), "../x"); !errors.Is(err, cdn.ErrKey) {
		t.Errorf("Delete(../x) = %v; want ErrKey", err)
	}
	plain := newUploader(t, m, cdn.Options{})
	down.on.Store(true)
	if err := plain.Delete(t.Context(), res.Key); !errors.Is(err, cdn.ErrUnavailable) {
		t.Errorf("Delete without a fallback = %v; want ErrUnavailable", err)
	}
}

// TestShutdownWaits lets an upload under way end, and refuses new ones meanwhile.
func TestShutdownWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate()
		u, err := cdn.New(&cdntest.Memory{Fault: g.fault}, cdn.Options{})
		if err != nil {
			t.Fatal(err)
		}
		release := g.shut()
		uploaded, down := make(chan error, 1), make(chan error, 1)
		go func() {
			_, err := u.Upload(t.Context(), "x.txt", bytes.NewReader([]byte("x")), cdn.UploadOptions{})
			uploaded <- err
		}()
		<-g.in
		go func() { down <- u.Shutdown(t.Context()) }()
		synctest.Wait()
		if _, err := u.Upload(t.Context(), "y.txt", bytes.NewReader([]byte("y")), cdn.UploadOptions{}); !errors.Is(err, cdn.ErrClosed) {
			t.Errorf("Upload during Shutdown = %v; want ErrClosed", err)
		}
		select {
		case err := <-down:
			t.Errorf("Shutdown = %v before the upload had ended", err)
		default:
		}
		release()
		if err := errors.Join(<-uploaded, <-down); err != nil {
			t.Error(err)
		}
	})
}

func TestShutdown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var down outage
		down.on.Store(true)
		m := &cdntest.Memory{Fault: down.fault}
		local, _ := cdn.NewLocal(cdn.LocalOptions{Dir: t.TempDir()})
		u, _ := cdn.New(m, cdn.Options{Fallback: local})
		upload(t, u, "x.txt", []byte("x"), cdn.UploadOptions{})
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		defer cancel()
		start := time.Now()
		if err := u.Shutdown(ctx); !errors.Is(err, context.DeadlineExceeded) || time.Since(start) != 30*time.Second {
			t.Errorf("Shutdown in an outage = %v after %v; want what is left, at the deadline", err, time.Since(start))
		}
		if _, err := u.Upload(t.Context(), "x.txt", bytes.NewReader(png), cdn.UploadOptions{}); !errors.Is(err, cdn.ErrClosed) {
			t.Errorf("Upload after Shutdown = %v; want ErrClosed", err)
		}
		u, err := cdn.New(m, cdn.Options{Fallback: local}) // the directory is free again
		if err != nil {
			t.Fatal(err)
		}
		time.AfterFunc(20*time.Second, func() { down.on.Store(false) })
		if err := u.Shutdown(t.Context()); err != nil || m.Len() != 1 {
			t.Errorf("Shutdown = %v with %d objects promoted; want 1", err, m.Len())
		}
		local.Close()
	})
}

// TestPromoteStopsEarly: an outage is found out by a few requests, not by all.
func TestPromoteStopsEarly(t *testing.T) {
	var down outage
	down.on.Store(true)
	u := newUploader(t, &cdntest.Memory{Fault: down.fault}, cdn.Options{
		Fallback: newLocal(t, cdn.LocalOptions{}), Retry: cdn.RetryOptions{MaxAttempts: 1}, Concurrency: 1,
	})
	for i := range 9 {
		upload(t, u, "x.txt", fmt.Append(nil, i), cdn.UploadOptions{})
	}
	if n, err := u.Promote(t.Context()); n != 0 || !errors.Is(err, cdn.ErrUnavailable) || u.Stats().Requests.Put != 9+3 {
		t.Errorf("Promote = %d, %v with %d puts; want it to stop after 3", n, err, u.Stats().Requests.Put-9)
	}
}
