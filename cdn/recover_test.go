package cdn_test

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/perfblocks/perfblocks/cdn"
	"github.com/perfblocks/perfblocks/cdn/cdntest"
)

// pendingDir makes a directory that holds n pending objects "k0"… and the trace of
// an overwritten, a deleted and a promoted one.
func pendingDir(t *testing.T, n int) (dir string, content func(i int) []byte) {
	t.Helper()
	dir = t.TempDir()
	content = func(i int) []byte { return bytes.Repeat([]byte{byte('a' + i)}, 100+i) }
	var down outage
	local := newLocal(t, cdn.LocalOptions{Dir: dir})
	u := newUploader(t, &cdntest.Memory{Fault: down.fault}, cdn.Options{Fallback: local, Retain: -1})
	down.on.Store(true)
	upload(t, u, "x.txt", []byte("promoted"), cdn.UploadOptions{Key: "promoted"})
	down.on.Store(false)
	if _, err := u.Promote(t.Context()); err != nil {
		t.Fatal(err)
	}
	down.on.Store(true)
	upload(t, u, "x.txt", []byte("old"), cdn.UploadOptions{Key: "k0"})
	upload(t, u, "x.txt", []byte("deleted"), cdn.UploadOptions{Key: "deleted"})
	for i := range n {
		upload(t, u, "x.txt", content(i), cdn.UploadOptions{Key: fmt.Sprintf("k%d", i)})
	}
	if err := u.Delete(t.Context(), "deleted"); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(u.Close(), local.Close()); err != nil {
		t.Fatal(err)
	}
	return dir, content
}

func files(t *testing.T, dir, pattern string) []string {
	t.Helper()
	m, err := filepath.Glob(filepath.Join(dir, pattern))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestLocalRecovers(t *testing.T) {
	edit := func(f func([]byte) []byte) func(*testing.T, string) {
		return func(t *testing.T, dir string) {
			name := filepath.Join(dir, "journal")
			b, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(name, f(b), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, c := range []struct {
		name     string
		harm     func(t *testing.T, dir string)
		damaged  bool
		adopted  int
		torn     bool
		noRecall bool // of the delete and the redirect
	}{
		{name: "nothing", harm: func(*testing.T, string) {}},
		{name: "garbage at the end", torn: true, harm: edit(func(b []byte) []byte { return append(b, "\xc5CDN\x00\x01"...) })},
		{name: "zeros at the end", torn: true, harm: edit(func(b []byte) []byte { return append(b, make([]byte, 4096)...) })},
		{name: "a bit in the middle", damaged: true, harm: edit(func(b []byte) []byte { b[len(b)/2] ^= 4; return b }), adopted: 1},
		{name: "a length in the middle", damaged: true, harm: edit(func(b []byte) []byte {
			i := bytes.LastIndex(b[:len(b)/2], []byte("\xc5CDN"))
			b[i+6] = 0xff
			return b
		}), adopted: 1},
		{name: "a sector of zeros at the start", damaged: true, adopted: -1, noRecall: true, harm: edit(func(b []byte) []byte { clear(b[:len(b)/2]); return b })},
		{name: "the journal is gone", adopted: 5, noRecall: true, harm: func(t *testing.T, dir string) { os.Remove(filepath.Join(dir, "journal")) }},
		{name: "the journal is empty", adopted: 5, noRecall: true, harm: edit(func([]byte) []byte { return nil })},
		{name: "a temporary file is left", harm: func(t *testing.T, dir string) {
			os.WriteFile(filepath.Join(dir, "tmp", "1-1"), []byte("half"), 0o600)
			os.WriteFile(filepath.Join(dir, "journal.new"), []byte("half"), 0o600)
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir, content := pendingDir(t, 5)
			c.harm(t, dir)
			for range 2 { // the second start must find everything in order
				local := newLocal(t, cdn.LocalOptions{Dir: dir})
				s := local.Stats()
				if s.Pending != 5 || s.Objects != 5 || s.Missing != 0 || s.Damaged != c.damaged || s.TornBytes > 0 != c.torn {
					t.Errorf("Stats = %+v", s)
				}
				if c.adopted >= 0 && s.Adopted != c.adopted {
					t.Errorf("Adopted = %d; want %d", s.Adopted, c.adopted)
				}
				if !c.noRecall && (s.Deletes != 1 || s.Redirects != 1) {
					t.Errorf("Stats = %+v; want the delete and the redirect remembered", s)
				}
				u := newUploader(t, &cdntest.Memory{}, cdn.Options{Fallback: local})
				for i := range 5 {
					wantContent(t, u, fmt.Sprintf("k%d", i), content(i))
				}
				if _, _, err := u.Open(t.Context(), "deleted"); !errors.Is(err, cdn.ErrNotFound) {
					t.Errorf("Open(deleted) = %v; want ErrNotFound", err)
				}
				if n := len(files(t, dir, "tmp/*")); n > 0 {
					t.Errorf("%d temporary files are left", n)
				}
				if kept := len(files(t, dir, "quarantine/journal-*")); (kept > 0) != c.damaged && s.Damaged {
					t.Errorf("%d journals in quarantine", kept)
				}
				if err := errors.Join(u.Close(), local.Close()); err != nil {
					t.Fatal(err)
				}
				c.damaged, c.adopted, c.torn = false, 0, false
			}
		})
	}
}

// TestLocalDamagedBlob: bytes that are not those acknowledged must never reach the
// provider as if they were; the object stays listed.
func TestLocalDamagedBlob(t *testing.T) {
	dir, _ := pendingDir(t, 2)
	for _, name := range files(t, dir, "blobs/*/*") {
		b, _ := os.ReadFile(name)
		b[50] ^= 1
		os.WriteFile(name, b, 0o600)
	}
	m := &cdntest.Memory{}
	local := newLocal(t, cdn.LocalOptions{Dir: dir})
	var dead []string
	u := newUploader(t, m, cdn.Options{Fallback: local, Hooks: cdn.Hooks{Dead: func(e cdn.PromoteEvent) { dead = append(dead, e.Key) }}, Concurrency: 1})
	if n, err := u.Promote(t.Context()); n != 1 || err == nil { // 1: the delete
		t.Errorf("Promote = %d, %v; want an error", n, err)
	}
	if m.Len() != 0 || len(dead) != 2 || u.Stats().Dead != 2 || u.Stats().Pending != 0 {
		t.Errorf("%d objects promoted, dead %q, Stats %+v; want both dead", m.Len(), dead, u.Stats())
	}
	for p := range u.Pending() {
		if !p.Dead || p.Err == "" {
			t.Errorf("Pending = %+v; want it dead, and why", p)
		}
	}
	for _, name := range files(t, dir, "blobs/*/*") {
		os.Remove(name)
	}
	u.Close()
	local.Close()
	local = newLocal(t, cdn.LocalOptions{Dir: dir})
	if s := local.Stats(); s.Missing != 2 || s.Dead != 2 {
		t.Errorf("after losing the files: %+v; want them listed as dead", s)
	}
}

func TestLocalLock(t *testing.T) {
	dir := t.TempDir()
	l := newLocal(t, cdn.LocalOptions{Dir: dir})
	for _, wait := range []time.Duration{-1, 30 * time.Millisecond} {
		_, err := cdn.NewLocal(cdn.LocalOptions{Dir: dir, LockWait: wait})
		if !errors.Is(err, cdn.ErrLocked) || !strings.Contains(err.Error(), fmt.Sprint("pid ", os.Getpid())) {
			t.Errorf("NewLocal on a locked directory = %v; want ErrLocked with the pid", err)
		}
	}
	time.AfterFunc(20*time.Millisecond, func() { l.Close() }) // a rolling restart
	newLocal(t, cdn.LocalOptions{Dir: dir})
}

func TestLocalFull(t *testing.T) {
	var down outage
	down.on.Store(true)
	local := newLocal(t, cdn.LocalOptions{MaxBytes: 250})
	u := newUploader(t, &cdntest.Memory{Fault: down.fault}, cdn.Options{Fallback: local})
	upload(t, u, "a.bin", make([]byte, 200), cdn.UploadOptions{Key: "a"})
	_, err := u.Upload(t.Context(), "b.bin", bytes.NewReader(make([]byte, 100)), cdn.UploadOptions{Key: "b"})
	if !errors.Is(err, cdn.ErrLocalFull) || !errors.Is(err, cdn.ErrUnavailable) {
		t.Errorf("Upload = %v; want ErrLocalFull and ErrUnavailable", err)
	}
	if err := u.Delete(t.Context(), "a"); err != nil {
		t.Fatal(err)
	}
	upload(t, u, "b.bin", make([]byte, 250), cdn.UploadOptions{Key: "b"}) // deleting made room
}

// TestLocalCompaction overwrites one key until the journal has been rewritten.
func TestLocalCompaction(t *testing.T) {
	dir := t.TempDir()
	l := newLocal(t, cdn.LocalOptions{Dir: dir})
	ref := cdn.Ref{Key: "k"}
	var most int64
	obj := cdn.Object{Key: "k", Size: 1, ContentType: "text/plain", Metadata: map[string]string{"m": strings.Repeat("m", 8<<10)}}
	for i := range 101 {
		if i%3 == 0 {
			if err := l.Delete(t.Context(), ref); err != nil {
				t.Fatal(err)
			}
		} else if _, err := l.Put(t.Context(), obj, strings.NewReader("x")); err != nil {
			t.Fatal(err)
		}
		most = max(most, l.Stats().JournalBytes)
	}
	if s := l.Stats(); s.JournalBytes >= most*3/4 || s.Objects != 1 || s.Bytes != 1 {
		t.Errorf("Stats = %+v after a journal of %d bytes; want it compacted", s, most)
	}
	l.Close()
	l = newLocal(t, cdn.LocalOptions{Dir: dir})
	if s := l.Stats(); s.Objects != 1 || s.Adopted != 0 || len(files(t, dir, "blobs/*/*")) != 1 {
		t.Errorf("Stats after reopening = %+v", s)
	}
}

// TestModel does random operations in outages and between restarts, against a map.
func TestModel(t *testing.T) {
	for seed := range uint64(4) {
		rng := rand.New(rand.NewPCG(seed, 9))
		dir, model := t.TempDir(), map[string]string{}
		var down outage
		m := &cdntest.Memory{Fault: down.fault, Unverified: seed%2 == 0}
		start := func() (*cdn.Local, *cdn.Uploader) {
			l := newLocal(t, cdn.LocalOptions{Dir: dir})
			return l, newUploader(t, m, cdn.Options{Fallback: l, Retain: []time.Duration{-1, time.Hour}[seed/2]})
		}
		local, u := start()
		for step := range 90 {
			key := fmt.Sprint("k", rng.IntN(5))
			switch rng.IntN(12) {
			case 0:
				down.on.Store(!down.on.Load())
			case 1:
				u.Promote(t.Context())
			case 2:
				if err := errors.Join(u.Close(), local.Close()); err != nil {
					t.Fatal(err)
				}
				local, u = start()
			case 3, 4, 5:
				if err := u.Delete(t.Context(), key); err != nil {
					t.Fatal(err)
				}
				delete(model, key)
			default:
				model[key] = fmt.Sprint(rng.Uint64())
				upload(t, u, "x.txt", []byte(model[key]), cdn.UploadOptions{Key: key})
			}
			checkModel(t, u, model, down.on.Load(), step)
		}
		down.on.Store(false)
		if err := u.Shutdown(t.Context()); err != nil {
			t.Fatal(err)
		}
		if m.Len() != len(model) {
			t.Errorf("seed %d: the provider has %d objects; want %d", seed, m.Len(), len(model))
		}
		for key, want := range model {
			if b, _ := m.Bytes(key); string(b) != want {
				t.Errorf("seed %d: the provider has %q of %s; want %q", seed, b, key, want)
			}
		}
	}
}

// checkModel reads every key. In an outage a key that is only at the provider is
// unavailable; it must not be wrong.
func checkModel(t *testing.T, u *cdn.Uploader, model map[string]string, down bool, step int) {
	t.Helper()
	for i := range 5 {
		key := fmt.Sprint("k", i)
		want, there := model[key]
		r, _, err := u.Open(t.Context(), key)
		switch {
		case err == nil:
			b := make([]byte, 32)
			n, _ := r.Read(b)
			r.Close()
			if string(b[:n]) != want {
				t.Fatalf("step %d: %s = %q; want %q", step, key, b[:n], want)
			}
		case errors.Is(err, cdn.ErrNotFound) && there, !errors.Is(err, cdn.ErrNotFound) && !down:
			t.Fatalf("step %d: Open(%s) = %v; want %q", step, key, err, want)
		}
	}
}

// TestLocalGarbage: a process killed between a commit and the removal of what it made
// garbage leaves files that must not come back, unless nothing better is left.
func TestLocalGarbage(t *testing.T) {
	dir := t.TempDir()
	l := newLocal(t, cdn.LocalOptions{Dir: dir})
	old := map[string][]byte{}
	keep := func() {
		for _, name := range files(t, dir, "blobs/*/*") {
			b, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			old[name] = b
		}
	}
	put(t, l, cdn.Object{Key: "k"}, "older")
	put(t, l, cdn.Object{Key: "deleted"}, "deleted")
	keep()
	put(t, l, cdn.Object{Key: "k"}, "newer")
	if err := l.Delete(t.Context(), cdn.Ref{Key: "deleted"}); err != nil {
		t.Fatal(err)
	}
	l.Close()
	newest := files(t, dir, "blobs/*/*")
	for name, b := range old {
		if err := os.WriteFile(name, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	journal, _ := os.ReadFile(filepath.Join(dir, "journal"))
	l = newLocal(t, cdn.LocalOptions{Dir: dir})
	u := newUploader(t, l, cdn.Options{})
	wantContent(t, u, "k", []byte("newer"))
	if _, _, err := u.Open(t.Context(), "deleted"); !errors.Is(err, cdn.ErrNotFound) {
		t.Errorf("Open(deleted) = %v; want ErrNotFound", err)
	}
	if n := len(files(t, dir, "blobs/*/*")); n != 1 || l.Stats().Adopted != 0 {
		t.Errorf("%d files, Stats %+v; want the garbage gone", n, l.Stats())
	}
	l.Close()
	for name, b := range old { // and now the newest is lost
		os.WriteFile(name, b, 0o600)
	}
	if len(newest) != 1 {
		t.Fatalf("files = %q", newest)
	}
	os.Remove(newest[0])
	os.WriteFile(filepath.Join(dir, "journal"), journal, 0o600)
	l = newLocal(t, cdn.LocalOptions{Dir: dir})
	wantContent(t, newUploader(t, l, cdn.Options{}), "k", []byte("older"))
	if s := l.Stats(); s.Adopted != 1 || s.Missing != 0 || s.Objects != 1 {
		t.Errorf("Stats = %+v; want the older file taken", s)
	}
}
