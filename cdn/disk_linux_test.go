package cdn_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/perfblocks/perfblocks/cdn"
	"github.com/perfblocks/perfblocks/cdn/cdntest"
)

// smallDisk mounts a file system of size bytes, or skips the test.
func smallDisk(t *testing.T, size int) string {
	t.Helper()
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, fmt.Sprintf("size=%d", size)); err != nil {
		t.Skipf("needs root and a tmpfs: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// diskModel is what must be readable of each key: the last acknowledged content, or
// what was tried after it and failed.
type diskModel struct {
	t     *testing.T
	dir   string
	m     *cdntest.Memory
	down  *outage
	local *cdn.Local
	u     *cdn.Uploader
	acked map[string]string
	maybe map[string]map[string]bool
}

func (d *diskModel) open() {
	d.t.Helper()
	var err error
	if d.local, err = cdn.NewLocal(cdn.LocalOptions{Dir: filepath.Join(d.dir, "files")}); err != nil {
		d.t.Fatalf("NewLocal on a disk that may be full: %v", err)
	}
	if s := d.local.Stats(); s.Missing > 0 || s.Damaged {
		d.t.Fatalf("Stats = %+v", s)
	}
	d.u, err = cdn.New(d.m, cdn.Options{
		Fallback: d.local, Retain: -1, Retry: cdn.RetryOptions{MaxAttempts: 1}, TempDir: d.dir,
	})
	if err != nil {
		d.t.Fatal(err)
	}
}

func (d *diskModel) close() {
	if err := errors.Join(d.u.Close(), d.local.Close()); err != nil {
		d.t.Error(err)
	}
}

// did notes the outcome of a write; "" is a delete.
func (d *diskModel) did(key, content string, err error) {
	if err == nil {
		d.acked[key] = content
		delete(d.maybe, key)
		return
	}
	if d.maybe[key] == nil {
		d.maybe[key] = map[string]bool{}
	}
	d.maybe[key][content] = true
}

func (d *diskModel) check(when string) {
	d.t.Helper()
	defer d.down.on.Store(d.down.on.Swap(false))
	for key, want := range d.acked {
		got := ""
		r, _, err := d.u.Open(d.t.Context(), key)
		if err == nil {
			var b []byte
			b, err = io.ReadAll(r)
			r.Close()
			got = string(b)
		}
		if err != nil && !errors.Is(err, cdn.ErrNotFound) || got != want && !d.maybe[key][got] {
			d.t.Fatalf("%s: %s has %d bytes (%v); want %d bytes", when, key, len(got), err, len(want))
		}
	}
}

// TestFullDisk works on a disk that fills up and empties again, with a provider that
// comes and goes, and restarts. What was acknowledged stays; a full disk is an error
// that says so, and never one for what the provider takes from memory.
func TestFullDisk(t *testing.T) {
	var down outage
	d := &diskModel{
		t: t, dir: smallDisk(t, 512<<10), m: &cdntest.Memory{Fault: down.fault}, down: &down,
		acked: map[string]string{}, maybe: map[string]map[string]bool{},
	}
	d.open()
	rng := rand.New(rand.NewPCG(5, 6))
	full := 0
	filler := filepath.Join(d.dir, "filler")
	for i := range 400 {
		key := fmt.Sprint("k", rng.IntN(12))
		var err error
		switch rng.IntN(12) {
		case 0:
			err = d.u.Delete(t.Context(), key)
			d.did(key, "", err)
		case 1:
			down.on.Store(rng.IntN(2) == 0)
		case 2:
			_ = os.WriteFile(filler, make([]byte, rng.IntN(400<<10)), 0o600) // as far as it fits
		case 3:
			_ = os.Remove(filler)
		case 4:
			_, err = d.u.Promote(t.Context())
		case 5:
			d.close()
			d.open()
		default:
			b := make([]byte, 1+rng.IntN(80<<10))
			for j := range b {
				b[j] = byte('a' + rng.IntN(26))
			}
			var r io.Reader = bytes.NewReader(b)
			if rng.IntN(2) == 0 {
				r = io.MultiReader(r)
			}
			_, err = d.u.Upload(t.Context(), "x.bin", r, cdn.UploadOptions{Key: key})
			d.did(key, string(b), err)
		}
		if errors.Is(err, cdn.ErrLocalFull) {
			full++
		} else if err != nil && !errors.Is(err, cdn.ErrUnavailable) {
			t.Fatalf("step %d: %v", i, err)
		}
		d.check(fmt.Sprint("step ", i))
	}
	_ = os.Remove(filler)
	down.on.Store(false)
	if _, err := d.u.Promote(t.Context()); err != nil {
		t.Errorf("Promote with room: %v", err)
	}
	d.check("at the end")
	if s := d.u.Stats(); s.Pending+s.Dead+s.Deletes != 0 {
		t.Errorf("Stats = %+v; want all of it promoted", s)
	}
	d.close()
	if full < 5 {
		t.Errorf("the disk was full %d times; want it more often", full)
	}
	t.Logf("ErrLocalFull %d times", full)
}

// TestFullDiskStarts opens a directory whose journal has a torn tail on a disk
// without a free byte. What is there must be readable, and promoted once there is room.
func TestFullDiskStarts(t *testing.T) {
	dir := smallDisk(t, 512<<10)
	var down outage
	m := &cdntest.Memory{Fault: down.fault}
	open := func() (*cdn.Local, *cdn.Uploader) {
		local, err := cdn.NewLocal(cdn.LocalOptions{Dir: dir})
		if err != nil {
			t.Fatal(err)
		}
		return local, newUploader(t, m, cdn.Options{Fallback: local})
	}
	local, u := open()
	down.on.Store(true)
	upload(t, u, "x.txt", []byte("content"), cdn.UploadOptions{Key: "k"})
	if err := errors.Join(u.Close(), local.Close()); err != nil {
		t.Fatal(err)
	}
	appendTo := func(name string, b []byte) error {
		f, err := os.OpenFile(filepath.Join(dir, name), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
		if err != nil {
			return err
		}
		_, err = f.Write(b)
		return errors.Join(err, f.Close())
	}
	if err := appendTo("journal", []byte("\xc5CDN torn")); err != nil {
		t.Fatal(err)
	}
	for appendTo("filler", make([]byte, 4096)) == nil {
	}
	local, u = open()
	wantContent(t, u, "k", []byte("content"))
	if _, err := u.Upload(t.Context(), "x.bin", bytes.NewReader(make([]byte, 9000)), cdn.UploadOptions{Key: "l"}); !errors.Is(err, cdn.ErrLocalFull) {
		t.Errorf("Upload to a full disk: %v; want ErrLocalFull", err)
	}
	if err := os.Remove(filepath.Join(dir, "filler")); err != nil {
		t.Fatal(err)
	}
	down.on.Store(false)
	if n, err := u.Promote(t.Context()); n != 1 || err != nil {
		t.Errorf("Promote = %d, %v; want 1", n, err)
	}
	wantContent(t, u, "k", []byte("content"))
	if err := errors.Join(u.Close(), local.Close()); err != nil {
		t.Fatal(err)
	}
}
