package cdn_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/perfblocks/perfblocks/cdn"
	"github.com/perfblocks/perfblocks/cdn/cdntest"
)

func TestUploadTypes(t *testing.T) {
	jpeg := "\xff\xd8\xff\xe0\x00\x10JFIF\x00\x01"
	zip := "PK\x03\x04" + strings.Repeat("\x00", 40)
	for _, c := range []struct {
		name, body, claim string
		allow             string
		want              string // type, or "" for ErrType
		ext               string
	}{
		{name: "a.png", body: string(png), want: "image/png", ext: ".png"},
		{name: "a.PNG", body: string(png), claim: "image/png", want: "image/png", ext: ".png"},
		{name: "a", body: string(png), want: "image/png", ext: ".png"},
		{name: "a.jpg", body: string(png)},
		{name: "a.png", body: jpeg},
		{name: "a.png", body: ""},
		{name: "a.png", body: "<html><script>alert(1)</script>"},
		{name: "a.gif", body: "GIF89a/*<svg/onload=alert(1)>*/", want: "image/gif", ext: ".gif"},
		{name: "a.txt", body: "<!DOCTYPE html><script>alert(1)</script>"},
		{name: "a.txt", body: `<svg xmlns="http://www.w3.org/2000/svg" onload="alert(1)"/>`},
		{name: "a.png", body: `<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg"/>`},
		{name: "a.svg", body: `<svg xmlns="http://www.w3.org/2000/svg"/>`, want: "image/svg+xml", ext: ".svg"},
		{name: "a.svg", body: `<svg xmlns="http://www.w3.org/2000/svg"/>`, allow: "image/*"},
		{name: "a.svg", body: `<svg xmlns="http://www.w3.org/2000/svg"/>`, allow: "image/svg+xml", want: "image/svg+xml", ext: ".svg"},
		{name: "a.svg", body: "plain words"},
		{name: "README.md", body: "<p align=center>words</p>", want: "text/markdown; charset=utf-8", ext: ".md"},
		{name: "a.css", body: "body { color: red }", want: "text/css; charset=utf-8", ext: ".css"},
		{name: "a.js", body: "export const x = 1", want: "text/javascript; charset=utf-8", ext: ".js"},
		{name: "a.json", body: "{\"a\": 1}", want: "application/json", ext: ".json"},
		{name: "a.csv", body: "a,b\n1,2\n", want: "text/csv", ext: ".csv"},
		{name: "a.html", body: "<html><body>x", want: "text/html; charset=utf-8", ext: ".html"},
		{name: "a.docx", body: zip, want: "application/vnd.openxmlformats-officedocument.wordprocessingml.document", ext: ".docx"},
		{name: "a.zip", body: zip, want: "application/zip", ext: ".zip"},
		{name: "a.dat", body: "\x00\x01\x02\x03", want: "application/octet-stream", ext: ".dat"},
		{name: "a.tar.gz", body: "\x1f\x8b\x08\x00", want: "application/gzip", ext: ".gz"},
		{name: "a.png\x00.html", body: string(png)},
		{name: "a.<b>", body: string(png), want: "image/png", ext: ".png"},
		{name: "photo", body: string(png), claim: "image/jpeg"},
		{name: "photo", body: string(png), claim: "no type"},
		{name: "x", body: "words", claim: "text/html"},
		{name: "x", body: "a: b", claim: "text/yaml", want: "text/yaml; charset=utf-8", ext: ".txt"},
		{name: "a.png", body: string(png), allow: "image/*", want: "image/png", ext: ".png"},
		{name: "a.pdf", body: "%PDF-1.7", allow: "image/*"},
	} {
		u := newUploader(t, &cdntest.Memory{}, cdn.Options{})
		opts := cdn.UploadOptions{ContentType: c.claim}
		if c.allow != "" {
			opts.AllowTypes = []string{c.allow}
		}
		res, err := u.Upload(t.Context(), c.name, strings.NewReader(c.body), opts)
		switch {
		case c.want == "" && !errors.Is(err, cdn.ErrType):
			t.Errorf("Upload(%q, %.30q, claim %q, allow %q) = %+v, %v; want ErrType", c.name, c.body, c.claim, c.allow, res, err)
		case c.want != "" && err != nil:
			t.Errorf("Upload(%q, %.30q, claim %q) = %v; want %s", c.name, c.body, c.claim, err, c.want)
		case c.want != "" && (res.ContentType != c.want || !strings.HasSuffix(res.Key, c.ext)):
			t.Errorf("Upload(%q, %.30q) = %s as %s; want %s ending in %s", c.name, c.body, res.ContentType, res.Key, c.want, c.ext)
		}
	}
}

// TestUploadNames gives hostile file names; the key must be harmless.
func TestUploadNames(t *testing.T) {
	u := newUploader(t, &cdntest.Memory{}, cdn.Options{})
	sum := fmt.Sprintf("%x", sha256.Sum256(png))[:32]
	for name, want := range map[string]string{
		"../../etc/passwd":              sum + "-passwd.png",
		`..\..\boot.ini`:                "", // .ini is no image, but it is not known either
		"":                              sum + ".png",
		"...":                           sum + ".png",
		"/":                             sum + ".png",
		"CON.png":                       sum + "-con.png",
		"a\r\nSet-Cookie: x.png":        sum + "-a-set-cookie-x.png",
		"Trần Đức Thắng.png":            sum + "-tran-duc-thang.png",
		"Trâ\u0300n.png":                sum + "-tran.png",
		"日本語.png":                       sum + ".png",
		strings.Repeat("x", 5000):       sum + "-" + strings.Repeat("x", 64) + ".png",
		"\xff\xfe.png":                  sum + ".png",
		"a  b--__c.png":                 sum + "-a-b-c.png",
		"%2e%2e%2fx.png":                sum + "-2e-2e-2fx.png",
		"x." + strings.Repeat("e", 300): sum + "-x.png",
	} {
		res, err := u.Upload(t.Context(), name, bytes.NewReader(png), cdn.UploadOptions{Folder: "f"})
		if err != nil {
			t.Errorf("Upload(%q): %v", name, err)
		} else if want != "" && res.Key != "f/"+want || cdn.CheckKey(res.Key) != nil {
			t.Errorf("Upload(%q): Key = %q; want f/%s", name, res.Key, want)
		}
	}
	for _, o := range []cdn.UploadOptions{
		{Folder: "../x"}, {Folder: "/x"}, {Folder: "a/"}, {Key: "a/../b"}, {Key: "."}, {Key: `a\b`}, {Key: "a\x00"},
		{Key: strings.Repeat("k", 901)}, {Key: "\xff"}, {Key: "a/ b"}, {Key: "a./b"}, {Key: "\u202egnp.exe"}, {Folder: strings.Repeat("f/", 440) + "f"},
	} {
		if res, err := u.Upload(t.Context(), "a.png", bytes.NewReader(png), o); !errors.Is(err, cdn.ErrKey) {
			t.Errorf("Upload with %+v = %+v, %v; want ErrKey", o, res, err)
		}
	}
}

// onlyReader hides every other method of a reader.
type onlyReader struct{ io.Reader }

func TestUploadBodies(t *testing.T) {
	big := bytes.Repeat([]byte("0123456789abcdef"), 5<<20/16) // over the largest buffer
	file := filepath.Join(t.TempDir(), "f")
	if err := os.WriteFile(file, big, 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	f.Seek(16, io.SeekStart) // only what is left counts
	broken := errors.New("broken")
	for _, c := range []struct {
		name string
		r    io.Reader
		o    cdn.UploadOptions
		max  int64
		want []byte
		err  error
	}{
		{name: "small stream", r: onlyReader{bytes.NewReader(big[:100])}, want: big[:100]},
		{name: "one byte at a time", r: iotest.OneByteReader(bytes.NewReader(big[:70_000])), want: big[:70_000]},
		{name: "buffer to the brim", r: onlyReader{bytes.NewReader(big[:32<<10])}, want: big[:32<<10]},
		{name: "data with EOF", r: iotest.DataErrReader(bytes.NewReader(big[:100_000])), want: big[:100_000]},
		{name: "big stream", r: onlyReader{bytes.NewReader(big)}, want: big},
		{name: "file", r: f, want: big[16:]},
		{name: "empty", r: strings.NewReader(""), want: nil},
		{name: "announced", r: onlyReader{bytes.NewReader(big[:100])}, o: cdn.UploadOptions{Size: 100, SHA256: sha256.Sum256(big[:100])}, want: big[:100]},
		{name: "too short", r: onlyReader{bytes.NewReader(big[:99])}, o: cdn.UploadOptions{Size: 100}, err: cdn.ErrTruncated},
		{name: "too long", r: onlyReader{bytes.NewReader(big)}, o: cdn.UploadOptions{Size: 100}, err: cdn.ErrTooLarge},
		{name: "other content", r: strings.NewReader("x"), o: cdn.UploadOptions{SHA256: [32]byte{1}}, err: cdn.ErrChecksum},
		{name: "over the limit", r: onlyReader{bytes.NewReader(big[:101])}, max: 100, err: cdn.ErrTooLarge},
		{name: "over its own limit", r: bytes.NewReader(big[:101]), o: cdn.UploadOptions{MaxBytes: 100}, err: cdn.ErrTooLarge},
		{name: "at the limit", r: onlyReader{bytes.NewReader(big[:100])}, max: 100, want: big[:100]},
		{name: "cut off", r: io.MultiReader(bytes.NewReader(big[:100]), iotest.ErrReader(io.ErrUnexpectedEOF)), err: cdn.ErrTruncated},
		{name: "broken", r: io.MultiReader(bytes.NewReader(big), iotest.ErrReader(broken)), err: broken},
	} {
		for _, fallback := range []bool{false, true} {
			if s, ok := c.r.(io.Seeker); ok && c.r != f {
				s.Seek(0, io.SeekStart)
			} else if fallback && c.r != f {
				break // a stream can be had once
			} else if ok {
				s.Seek(16, io.SeekStart)
			}
			var down outage
			down.on.Store(fallback)
			o := cdn.Options{MaxBytes: c.max, MaxMemory: 1 << 20, TempDir: t.TempDir()}
			if fallback {
				o.Fallback = newLocal(t, cdn.LocalOptions{})
			}
			u := newUploader(t, &cdntest.Memory{Fault: down.fault}, o)
			res, err := u.Upload(t.Context(), "x.bin", c.r, withKey(c.o))
			if !errors.Is(err, c.err) || err != nil && c.err == nil {
				t.Errorf("%s: Upload = %v; want %v", c.name, err, c.err)
			} else if err == nil {
				wantContent(t, u, res.Key, c.want)
			}
			if s := u.Stats(); s.MemoryBytes != 0 {
				t.Errorf("%s: %d bytes of memory are held", c.name, s.MemoryBytes)
			}
			if left := files(t, o.TempDir, "*"); len(left) > 0 {
				t.Errorf("%s: left %q", c.name, left)
			}
		}
	}
}

func withKey(o cdn.UploadOptions) cdn.UploadOptions {
	o.Key = "body.bin"
	return o
}

// TestUploadBigFallback: what was spooled becomes the local file, and nothing is left.
func TestUploadBigFallback(t *testing.T) {
	big := bytes.Repeat([]byte("0123456789abcdef"), 5<<20/16)
	dir := t.TempDir()
	var down outage
	down.on.Store(true)
	local := newLocal(t, cdn.LocalOptions{Dir: dir})
	m := &cdntest.Memory{Fault: down.fault}
	u := newUploader(t, m, cdn.Options{Fallback: local})
	res, err := u.Upload(t.Context(), "x.bin", onlyReader{bytes.NewReader(big)}, cdn.UploadOptions{})
	if err != nil || res.Fallback == nil {
		t.Fatal(res, err)
	}
	wantContent(t, u, res.Key, big)
	if n := len(files(t, dir, "tmp/*")); n != 0 {
		t.Errorf("%d temporary files are left", n)
	}
	down.on.Store(false)
	if _, err := u.Promote(t.Context()); err != nil {
		t.Fatal(err)
	}
	if b, _ := m.Bytes(res.Key); !bytes.Equal(b, big) {
		t.Errorf("promoted %d bytes; want the content", len(b))
	}
}

// TestUploadKeepsNothing: a transport that reads on after its call returned must not
// see what becomes of the caller's buffer.
func TestUploadKeepsNothing(t *testing.T) {
	var late io.ReaderAt
	p := &lateReader{Memory: &cdntest.Memory{}, keep: func(r io.ReaderAt) { late = r }}
	u := newUploader(t, p, cdn.Options{})
	b := bytes.Clone(png)
	upload(t, u, "a.png", b, cdn.UploadOptions{})
	clear(b)
	if n, err := late.ReadAt(make([]byte, 10), 0); err == nil {
		t.Errorf("a late read got %d bytes; want an error", n)
	}
}

type lateReader struct {
	*cdntest.Memory
	keep func(io.ReaderAt)
}

func (p *lateReader) Put(ctx context.Context, obj cdn.Object, body io.ReaderAt) (cdn.Info, error) {
	p.keep(body)
	return p.Memory.Put(ctx, obj, body)
}

func TestUploadProcess(t *testing.T) {
	rendition := append([]byte("\xff\xd8\xff\xe0\x00\x10JFIF\x00\x01"), 1, 2, 3)
	var asked cdn.Transform
	fail := errors.New("not an image")
	process := func(ctx context.Context, w io.Writer, r io.Reader, t cdn.Transform) (string, error) {
		asked = t
		b, err := io.ReadAll(r)
		if err != nil || !bytes.Equal(b, png) {
			return "", fail
		}
		_, err = w.Write(rendition)
		return "image/jpeg", err
	}
	m := &cdntest.Memory{}
	u := newUploader(t, m, cdn.Options{Process: process})
	res := upload(t, u, "a.png", png, cdn.UploadOptions{Quality: 80, Format: "jpeg"})
	if b, _ := m.Bytes(res.Key); !bytes.Equal(b, rendition) || !strings.HasSuffix(res.Key, "-a.jpg") || res.ContentType != "image/jpeg" {
		t.Errorf("Upload = %+v with %d bytes stored; want the rendition", res, len(b))
	}
	if asked != (cdn.Transform{Quality: 80, Format: "jpeg"}) {
		t.Errorf("Process was asked for %+v", asked)
	}
	if _, err := u.Upload(t.Context(), "a.gif", strings.NewReader("GIF89a"), cdn.UploadOptions{Quality: 1}); !errors.Is(err, fail) {
		t.Errorf("Upload = %v; want the error of Process", err)
	}
	if s := u.Stats(); s.MemoryBytes != 0 {
		t.Errorf("%d bytes of memory are held", s.MemoryBytes)
	}
	plain := newUploader(t, m, cdn.Options{})
	if _, err := plain.Upload(t.Context(), "a.png", bytes.NewReader(png), cdn.UploadOptions{Quality: 80}); !errors.Is(err, cdn.ErrOptions) {
		t.Errorf("Upload with Quality and nobody to apply it = %v; want ErrOptions", err)
	}
	if _, err := plain.URL("a.png", cdn.Transform{Width: 100}); !errors.Is(err, cdn.ErrOptions) {
		t.Errorf("URL with a Transform = %v; want ErrOptions", err)
	}
}
