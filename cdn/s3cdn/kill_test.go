package s3cdn_test

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"sync/atomic"
	"testing"

	"github.com/perfblocks/perfblocks/cdn"
)

const killWorkers = 2

// TestKilledChild is the process that TestKilledUploadResumes kills.
func TestKilledChild(t *testing.T) {
	dir := os.Getenv("S3CDN_KILL_DIR")
	if dir == "" {
		t.Skip("only as a child of TestKilledUploadResumes")
	}
	local, err := cdn.NewLocal(cdn.LocalOptions{Dir: filepath.Join(dir, "local")})
	if err != nil {
		t.Fatal(err)
	}
	p := newProvider(t, &httptest.Server{URL: os.Getenv("S3CDN_KILL_URL"), Config: &http.Server{}})
	up, err := cdn.New(p, cdn.Options{Fallback: local, PartSize: 5 << 20, PartWorkers: killWorkers, MaxWait: -1})
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(filepath.Join(dir, "file"))
	if err != nil {
		t.Fatal(err)
	}
	res, err := up.Upload(t.Context(), "file.bin", f, cdn.UploadOptions{Key: "big.bin"})
	if err != nil || res.Fallback != nil {
		t.Fatalf("Upload = %+v, %v", res, err)
	}
	if err := errors.Join(up.Close(), local.Close()); err != nil {
		t.Fatal(err)
	}
}

// TestKilledUploadResumes kills a process with SIGKILL while it uploads a file in parts,
// three times, and lets the next one go on: at most what was under way is sent again.
func TestKilledUploadResumes(t *testing.T) {
	const parts = 9
	dir := t.TempDir()
	body := make([]byte, parts*5<<20-100)
	rng := rand.NewChaCha8([32]byte{1})
	_, _ = rng.Read(body)
	if err := os.WriteFile(filepath.Join(dir, "file"), body, 0o600); err != nil {
		t.Fatal(err)
	}
	s, ts := newServer(t, false)
	var arrived, last atomic.Int32 // parts that the server has taken, and how many it takes before the kill
	kill := make(chan struct{}, 16)
	s.setFault(func(w http.ResponseWriter, r *http.Request, serve func(http.ResponseWriter)) bool {
		if r.Method != http.MethodPut || !r.URL.Query().Has("uploadId") {
			return false
		}
		if arrived.Add(1) > last.Load() {
			arrived.Add(-1)
			kill <- struct{}{}
			_, _ = io.Copy(io.Discard, r.Body) // only then the server notices that the client is gone
			<-r.Context().Done()
			return true
		}
		serve(w)
		return true
	})
	run := func(dies bool) {
		cmd := exec.Command(os.Args[0], "-test.run=^TestKilledChild$", "-test.v")
		cmd.Env = append(os.Environ(), "S3CDN_KILL_DIR="+dir, "S3CDN_KILL_URL="+ts.URL)
		var said bytes.Buffer
		cmd.Stdout, cmd.Stderr = &said, &said
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		ended := make(chan error, 1)
		go func() { ended <- cmd.Wait() }()
		select {
		case <-kill:
			_ = cmd.Process.Kill()
			<-ended
			if !dies {
				t.Fatalf("more than %d parts were sent in the last run", last.Load())
			}
		case err := <-ended:
			if err != nil || dies {
				t.Fatalf("the child ended: %v\n%s", err, said.Bytes())
			}
		}
	}
	for _, n := range []int32{2, 4, 7} {
		last.Store(n)
		run(true)
	}
	last.Store(parts + 3*(killWorkers+1))
	run(false)
	begun := 0
	for _, action := range s.requests() {
		if action == "POST uploads" {
			begun++
		}
	}
	if again := arrived.Load() - parts; again > 3*(killWorkers+1) || begun != 1 {
		t.Errorf("%d parts sent again after 3 kills, %d uploads begun; want at most %d, 1", again, begun, 3*(killWorkers+1))
	}
	if got := s.stored()["big.bin"].data; !bytes.Equal(got, body) {
		t.Errorf("the server has %d bytes; want the file's %d", len(got), len(body))
	}
	t.Logf("%d parts of %d arrived", arrived.Load(), parts)
}
