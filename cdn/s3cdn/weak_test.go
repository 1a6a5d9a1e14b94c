package s3cdn_test

import (
	"bytes"
	"errors"
	"net"
	"net/http"
	"os/exec"
	"testing"
	"time"

	"github.com/perfblocks/perfblocks/cdn"
	"github.com/perfblocks/perfblocks/cdn/s3cdn"
	"github.com/perfblocks/perfblocks/internal/realtest"
)

// s3rver starts a server that lacks much of S3: it lists no parts, and overlooks
// checksums and If-None-Match.
const s3rver = `
const S3rver = require('s3rver')
new S3rver({ address: '127.0.0.1', port: +process.argv[1], directory: process.argv[2], silent: true, configureBuckets: [{ name: 'weak' }] }).run()
`

// TestWeakServer uploads to it, small and in parts, and resumes there by the log alone.
func TestWeakServer(t *testing.T) {
	dir := realtest.NPM(t, "s3rver")
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	l.Close()
	_, port, _ := net.SplitHostPort(addr)
	cmd := exec.Command("node", "-e", s3rver, port, t.TempDir())
	cmd.Dir = dir
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _, _ = cmd.Process.Kill(), cmd.Wait() }()
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		if resp, err := http.Get("http://" + addr); err == nil {
			resp.Body.Close()
			break
		} else if time.Now().After(deadline) {
			t.Fatal(err)
		}
	}
	p, err := s3cdn.New(s3cdn.Options{
		Bucket: "weak", Region: "us-east-1", Endpoint: "http://" + addr, PathStyle: true, AccessKeyID: "S3RVER", SecretAccessKey: "S3RVER",
	})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	local, err := cdn.NewLocal(cdn.LocalOptions{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	up, err := cdn.New(p, cdn.Options{Fallback: local, PartSize: 5 << 20})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := errors.Join(up.Close(), local.Close()); err != nil {
			t.Error(err)
		}
	}()
	for _, n := range []int{0, 100, 16 << 20} {
		for _, seed := range []byte{1, 2} { // the second time it is overwritten by content of the same length
			b := bytes.Repeat([]byte{seed}, n)
			res, err := up.Upload(t.Context(), "x.bin", bytes.NewReader(b), cdn.UploadOptions{Key: "dir/a b+\u00fc&=.bin"})
			if err != nil || res.Fallback != nil {
				t.Fatalf("Upload of %d bytes = %+v, %v", n, res, err)
			}
			reads(t, p, res.Key, b)
		}
	}
	if _, err := p.Parts(t.Context(), cdn.Object{Key: "k"}, "c.never"); err == nil {
		t.Error("Parts of an unknown upload succeeded")
	}
	if err := up.Delete(t.Context(), "dir/a b+\u00fc&=.bin"); err != nil {
		t.Errorf("Delete = %v", err)
	}
	if _, err := up.Head(t.Context(), "dir/a b+\u00fc&=.bin"); !errors.Is(err, cdn.ErrNotFound) {
		t.Errorf("Head after Delete = %v", err)
	}
}
