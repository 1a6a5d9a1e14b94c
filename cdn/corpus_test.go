package cdn_test

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"mime"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/perfblocks/perfblocks/cdn"
)

// hostileNames are names that lead out of a directory somewhere, or mean a device, a
// stream or another file to some system.
func hostileNames() (names []string) {
	for _, up := range []string{
		"../", "../../../", `..\`, `..\..\..\`, "..%2f", "%2e%2e/", "%2e%2e%2f", "%252e%252e%252f", "..%5c", "..%c0%af", "%c0%ae%c0%ae/",
		"..%u2215", "....//", "..././", ".../", "..;/", "/", "//", `\\host\share\`, "C:/", `C:\`, "c:", "file:///", "~/", "./", "a/../../",
		"a/./../", "a/b/../../../", "\u2025/", "\uff0e\uff0e/", "..\u2215", "..\uff0f", "..\u2044", "\x00../", "../\x00", "..\r\n/", " ../", "../ ",
		"..\t/", "$(id)/", "`id`/", "|id;", "-rf ", "\u202e", "\u200b../", "\ufeff../",
	} {
		for _, target := range []string{"etc/passwd", "journal", "LOCK", "blobs/a/x"} {
			names = append(names, up+target)
		}
	}
	for _, device := range []string{"CON", "prn", "AUX.txt", "NUL", "COM1.png", "LPT9", "CONIN$", "a.txt::$DATA", "a.txt:stream", "a.", "a ", "a.png. ."} {
		names = append(names, device, "d/"+device)
	}
	return append(names, "", ".", "..", "/", `\`, "\x00", "\xff\xfe", "\xc0\xaf", ".htaccess", "web.config", "index.html", "a//b", "a/", "/a", "a/b/",
		"tmp", "tmp/1-1", "parts", "quarantine/x", "blobs", "journal.new", strings.Repeat("a/", 600), strings.Repeat("x", 256), strings.Repeat("é", 400))
}

// TestCorpusOfNames uploads under each of them, as a key, a folder and a file name, and
// asks the handler for it. Nothing is written or read outside, and what is accepted is
// one object that has this name and no other.
func TestCorpusOfNames(t *testing.T) {
	top := t.TempDir()
	canary := filepath.Join(top, "etc", "passwd")
	if err := errors.Join(os.MkdirAll(filepath.Dir(canary), 0o700), os.WriteFile(canary, []byte("canary"), 0o600)); err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(top, "a", "b", "local")
	l, err := cdn.NewLocal(cdn.LocalOptions{Dir: dir, URL: "/files/"})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	u := newUploader(t, l, cdn.Options{})
	names := hostileNames()
	if len(names) < 200 {
		t.Fatalf("%d names; want 200", len(names))
	}
	stored := map[string]string{}
	for i, name := range names {
		body := fmt.Appendf(nil, "object %d", i)
		for _, o := range []cdn.UploadOptions{{Key: name}, {Folder: name}, {Folder: "f"}} {
			res, err := u.Upload(t.Context(), name, bytes.NewReader(body), o)
			if err != nil {
				if o.Folder == "f" && !errors.Is(err, cdn.ErrType) || o.Folder != "f" && !errors.Is(err, cdn.ErrKey) && !errors.Is(err, cdn.ErrType) {
					t.Errorf("Upload(%q, %+v) = %v; want ErrKey or ErrType", name, o, err)
				}
				continue
			}
			if cdn.CheckKey(res.Key) != nil || o.Folder == "f" && strings.Count(res.Key, "/") != 1 {
				t.Errorf("Upload(%q, %+v): Key = %q", name, o, res.Key)
			}
			stored[res.Key] = string(body)
		}
		for _, path := range []string{"/files/" + name, "/files/" + url.PathEscape(name), "/" + name} {
			r := httptest.NewRequest("GET", "/", nil)
			r.URL = &url.URL{Path: path}
			if p, err := url.PathUnescape(path); err == nil {
				r.URL.Path = p
			}
			w := httptest.NewRecorder()
			l.ServeHTTP(w, r)
			key := strings.TrimPrefix(r.URL.Path, "/files/")
			if got := w.Body.String(); w.Code == 200 && got != stored[key] || w.Code != 200 && w.Code != 404 || strings.Contains(got, "canary") {
				t.Errorf("GET %q = %d %q; want %q or 404", r.URL.Path, w.Code, got, stored[key])
			}
		}
	}
	for key, body := range stored {
		wantContent(t, u, key, []byte(body))
	}
	err = filepath.WalkDir(top, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() && path != canary && !strings.HasPrefix(path, dir+string(filepath.Separator)) {
			t.Errorf("written outside: %s", path)
		}
		return err
	})
	if b, err2 := os.ReadFile(canary); err != nil || err2 != nil || string(b) != "canary" {
		t.Errorf("the file outside is %q, %v, %v", b, err, err2)
	}
	t.Logf("%d names, %d objects", len(names), len(stored))
}

// TestSymlinksStayInside puts links to elsewhere where the Local writes.
func TestSymlinksStayInside(t *testing.T) {
	dir, outside := t.TempDir(), t.TempDir()
	l := newLocal(t, cdn.LocalOptions{Dir: dir})
	for i := range 16 {
		name := filepath.Join(dir, "blobs", fmt.Sprintf("%x", i))
		if err := errors.Join(os.Remove(name), os.Symlink(outside, name)); err != nil {
			t.Skipf("no symbolic links here: %v", err)
		}
	}
	if _, err := l.Put(t.Context(), cdn.Object{Key: "k", Size: 1}, strings.NewReader("x")); err == nil {
		t.Error("Put through a symbolic link to elsewhere succeeded")
	}
	if left := files(t, outside, "*"); len(left) != 0 {
		t.Errorf("written outside: %v", left)
	}
}

// polyglots are contents that are harmless as one type and run as another.
var polyglots = map[string]string{
	"html":         "<!DOCTYPE html><script>alert(1)</script>",
	"html late":    strings.Repeat(" ", 2000) + "<html><script>alert(1)</script>",
	"html bom":     "\xef\xbb\xbf<html><script>alert(1)</script>",
	"html utf16":   "\xff\xfe<\x00h\x00t\x00m\x00l\x00>\x00",
	"html comment": "<!-- x --><body onload=alert(1)>",
	"body":         "<body onload=alert(1)>",
	"iframe":       "<iframe src=javascript:alert(1)>",
	"img":          "<img src=x onerror=alert(1)>",
	"text, html":   "hello\n<script>alert(1)</script>",
	"svg":          `<svg xmlns="http://www.w3.org/2000/svg" onload="alert(1)"/>`,
	"svg xml":      `<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>`,
	"svg doctype":  `<!DOCTYPE svg [<!ENTITY x "y">]><svg xmlns="http://www.w3.org/2000/svg"/>`,
	"xml":          `<?xml version="1.0"?><x:script xmlns:x="http://www.w3.org/1999/xhtml">alert(1)</x:script>`,
	"xslt":         `<?xml version="1.0"?><?xml-stylesheet type="text/xsl" href="#s"?><x/>`,
	"xhtml":        `<?xml version="1.0"?><html xmlns="http://www.w3.org/1999/xhtml"><script>alert(1)</script></html>`,
	"rss":          `<?xml version="1.0"?><rss version="2.0"><channel/></rss>`,
	"mathml":       `<math xmlns="http://www.w3.org/1998/Math/MathML" href="javascript:alert(1)"/>`,
	"js":           "alert(document.domain)",
	"js shebang":   "#!/usr/bin/env node\nalert(1)",
	"css":          "@import url(//evil.example); body{}",
	"json":         `{"a":"<script>alert(1)</script>"}`,
	"hta":          "<HTA:APPLICATION><script>alert(1)</script>",
	"pdf":          "%PDF-1.7\n1 0 obj<</OpenAction<</S/JavaScript/JS(app.alert(1))>>>>endobj",
	"swf":          "FWS\x0a" + strings.Repeat("\x00", 60),
	"swf lzma":     "ZWS\x0a" + strings.Repeat("\x00", 60),
	"gif, js":      "GIF89a/*" + strings.Repeat("\x00", 20) + "*/=alert(1)",
	"gif, svg":     "GIF89a<svg xmlns='http://www.w3.org/2000/svg' onload=alert(1)>",
	"png, html":    string(png) + "<script>alert(1)</script>",
	"jpeg, html":   "\xff\xd8\xff\xe0\x00\x10JFIF<script>alert(1)</script>",
	"jpeg, js":     "\xff\xd8\xff\xe0\x2f\x2aJFIF*/=alert(1)",
	"bmp, js":      "BM/*" + strings.Repeat("\x00", 50) + "*/=alert(1)",
	"webp, html":   "RIFF\x24\x00\x00\x00WEBPVP8 <script>alert(1)</script>",
	"zip, html":    "PK\x03\x04" + strings.Repeat("\x00", 30) + "<html><script>alert(1)</script>",
	"mhtml":        "MIME-Version: 1.0\nContent-Type: multipart/related; boundary=x\n\n--x\nContent-Type: text/html\n\n<script>alert(1)</script>",
	"eml":          "From: a@b\nContent-Type: text/html\n\n<script>alert(1)</script>",
	"mixed":        "--x\r\nContent-Type: text/html\r\n\r\n<script>alert(1)</script>\r\n--x--",
	"wasm":         "\x00asm\x01\x00\x00\x00",
	"php":          "<?php system($_GET['c']); ?>",
	"exe":          "MZ" + strings.Repeat("\x00", 60),
	"bytes":        "\x00\x01\x02<script>alert(1)</script>",
	"utf7":         "+ADw-script+AD4-alert(1)+ADw-/script+AD4-",
	"iso2022":      "\x1b$@<script>alert(1)</script>",
	"manifest":     "CACHE MANIFEST\n/\n",
	"vtt":          "WEBVTT\n\n00:00.000 --> 00:01.000\n<script>alert(1)</script>",
}

// inline are the types that browsers show and never run, with nosniff.
func inline(contentType string) bool {
	t, _, err := mime.ParseMediaType(contentType)
	if err != nil {
		return false
	}
	switch typ, sub, _ := strings.Cut(t, "/"); typ {
	case "image":
		return !strings.Contains(sub, "svg") && !strings.Contains(sub, "xml")
	case "audio", "video", "font":
		return true
	}
	switch t {
	case "text/plain", "text/csv", "application/json", "application/octet-stream", "application/zip":
		return true
	}
	return false
}

// TestCorpusOfContent uploads each polyglot under each name and claim, with what the
// caller may say of disposition, and looks at what a browser would be told.
func TestCorpusOfContent(t *testing.T) {
	l := newLocal(t, cdn.LocalOptions{SignKey: signKey})
	u := newUploader(t, l, cdn.Options{})
	n, kept := 0, 0
	for what, body := range polyglots {
		for _, ext := range []string{"", ".png", ".gif", ".svg", ".html", ".txt", ".pdf", ".xyz", ".md", ".xht"} {
			for _, claim := range []string{"", "image/png", "text/html", "text/plain", "IMAGE/PNG; x=<script>"} {
				n++
				key := fmt.Sprintf("c/%d%s", n, ext)
				res, err := u.Upload(t.Context(), "file"+ext, strings.NewReader(body), cdn.UploadOptions{Key: key, ContentType: claim, Disposition: "inline"})
				if err == nil {
					kept++
				} else if !errors.Is(err, cdn.ErrType) {
					t.Errorf("%s as %q, %q: %v; want ErrType or success", what, ext, claim, err)
				}
				up, err2 := l.PresignPut(t.Context(), cdn.PresignRequest{Key: "d" + key})
				if err2 != nil {
					t.Fatal(err2)
				}
				serve(l, "PUT", up.URL, body, "Content-Type", claim)
				for _, k := range []string{key, "d" + key} {
					w := serve(l, "GET", "/"+k, "")
					h := w.Header()
					if h.Get("X-Content-Type-Options") != "nosniff" || !strings.Contains(h.Get("Content-Security-Policy"), "sandbox") {
						t.Fatalf("%s as %s: %v", what, k, h)
					}
					saved := strings.HasPrefix(h.Get("Content-Disposition"), "attachment")
					if w.Code == 200 && !saved && !inline(h.Get("Content-Type")) {
						t.Errorf("%s as %q, %q (%+v) is shown as %q", what, ext, claim, res, h.Get("Content-Type"))
					}
				}
			}
		}
	}
	t.Logf("%d uploads, %d kept", n, kept)
}
