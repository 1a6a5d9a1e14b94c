package cdn_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"maps"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/perfblocks/perfblocks/cdn"
	"github.com/perfblocks/perfblocks/cdn/cdntest"
)

// submit posts a form as a browser does, with the changes to its fields; an empty value
// takes a field away.
func submit(h http.Handler, up cdn.DirectUpload, file, body string, changes ...string) *httptest.ResponseRecorder {
	fields := maps.Clone(up.Fields)
	for i := 0; i < len(changes); i += 2 {
		fields[changes[i]] = changes[i+1]
	}
	var form bytes.Buffer
	m := multipart.NewWriter(&form)
	for _, k := range slices.Sorted(maps.Keys(fields)) {
		if fields[k] != "" {
			_ = m.WriteField(k, fields[k])
		}
	}
	f, _ := m.CreateFormFile(up.FileField, file)
	_, _ = f.Write([]byte(body))
	m.Close()
	r := httptest.NewRequest(up.Method, up.URL, &form)
	r.Header.Set("Content-Type", m.FormDataContentType())
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func presignForm(t *testing.T, p cdn.FormPresigner, req cdn.FormRequest) cdn.DirectUpload {
	t.Helper()
	up, err := p.PresignForm(t.Context(), req)
	if err != nil {
		t.Fatal(err)
	}
	return up
}

func TestLocalForm(t *testing.T) {
	l := newLocal(t, cdn.LocalOptions{URL: "/files/", SignKey: signKey})
	other := newLocal(t, cdn.LocalOptions{URL: "/files/", SignKey: []byte("another 16 bytes")})
	one := presignForm(t, l, cdn.FormRequest{Key: "a b.txt", ContentType: "text/plain", MinBytes: 2, MaxBytes: 5})
	folder := presignForm(t, l, cdn.FormRequest{Key: "u/7/", MaxBytes: 100, Status: 201})
	text, _ := base64.StdEncoding.DecodeString(one.Fields["policy"])
	wider := base64.StdEncoding.EncodeToString(bytes.Replace(text, []byte(`"max":5`), []byte(`"max":50`), 1))
	signedURL, err := l.PresignPut(t.Context(), cdn.PresignRequest{Key: "a b.txt"})
	if err != nil {
		t.Fatal(err)
	}
	_, urlSignature, _ := strings.Cut(signedURL.URL, "signature=")
	for _, c := range []struct {
		name    string
		up      cdn.DirectUpload
		file    string
		body    string
		changes []string
		status  int
		key     string // "": nothing is stored
	}{
		{"as permitted", one, "x.txt", "hello", nil, 204, "a b.txt"},
		{"too short", one, "x.txt", "h", nil, 400, ""},
		{"too long", one, "x.txt", "hello!", nil, 413, ""},
		{"other key", one, "x.txt", "hello", []string{"key", "b.txt"}, 403, ""},
		{"other type", one, "x.txt", "hello", []string{"Content-Type", "text/html"}, 403, ""},
		{"no type", one, "x.txt", "hello", []string{"Content-Type", ""}, 403, ""},
		{"other status", one, "x.txt", "hello", []string{"success_action_status", "200"}, 403, ""},
		{"additional field", one, "x.txt", "hello", []string{"acl", "public-read"}, 403, ""},
		{"ignored field", one, "x.txt", "hello", []string{"x-ignore-me", "1"}, 204, "a b.txt"},
		{"wider policy", one, "x.txt", "hello!", []string{"policy", wider}, 403, ""},
		{"no policy", one, "x.txt", "hello", []string{"policy", ""}, 403, ""},
		{"no signature", one, "x.txt", "hello", []string{"signature", ""}, 403, ""},
		{"signature of a URL", one, "x.txt", "hello", []string{"signature", urlSignature}, 403, ""},
		{"other secret", presignForm(t, other, cdn.FormRequest{Key: "k.txt"}), "x.txt", "hello", nil, 403, ""},
		{"huge field", one, "x.txt", "hello", []string{"x-ignore-me", strings.Repeat("x", 9000)}, 400, ""},
		{"content is another type", presignForm(t, l, cdn.FormRequest{Key: "x.png"}), "x.png", "<html><body>hi", nil, 415, ""},

		{"folder, by file name", folder, "photo.txt", "hi", nil, 201, "u/7/photo.txt"},
		{"folder, by a path", folder, `C:\pictures\photo.txt`, "hi", nil, 201, "u/7/photo.txt"},
		{"folder, key of the client", folder, "x", "hi", []string{"key", "u/7/sub/y.txt"}, 201, "u/7/sub/y.txt"},
		{"folder, another", folder, "x", "hi", []string{"key", "u/8/y.txt"}, 403, ""},
		{"folder, no key", folder, "x", "hi", []string{"key", ""}, 403, ""},
		{"folder, climbing out", folder, "x", "hi", []string{"key", "u/7/../8/y.txt"}, 400, ""},
		{"folder itself", folder, "x", "hi", []string{"key", "u/7/"}, 400, ""},
		{"hostile file name", folder, "..", "hi", nil, 400, ""},
	} {
		before := l.Stats().Records
		w := submit(l, c.up, c.file, c.body, c.changes...)
		if w.Code != c.status {
			t.Errorf("%s: POST = %d; want %d", c.name, w.Code, c.status)
		}
		if c.key == "" {
			if n := l.Stats().Records; n != before {
				t.Errorf("%s: it was stored", c.name)
			}
			continue
		}
		want, _ := l.URL(cdn.Ref{Key: c.key})
		if got := w.Header().Get("Location"); got != want || w.Header().Get("Etag") == "" {
			t.Errorf("%s: Location %q; want %q", c.name, got, want)
		}
		if xml := w.Body.String(); c.status == 201 && !strings.Contains(xml, "<Key>"+c.key+"</Key>") {
			t.Errorf("%s: body %q", c.name, xml)
		}
		if g := serve(l, "GET", want, ""); g.Body.String() != c.body {
			t.Errorf("%s: GET = %d %q", c.name, g.Code, g.Body)
		}
	}
	if w := submit(l, cdn.DirectUpload{Method: "POST", URL: "/files/a", FileField: "file", Fields: one.Fields}, "x", "hello"); w.Code != 405 {
		t.Errorf("POST elsewhere = %d; want 405", w.Code)
	}
}

// TestLocalFormTruncated: a form whose end is missing is not a file.
func TestLocalFormTruncated(t *testing.T) {
	l := newLocal(t, cdn.LocalOptions{SignKey: signKey})
	up := presignForm(t, l, cdn.FormRequest{Key: "k.txt"})
	var form bytes.Buffer
	m := multipart.NewWriter(&form)
	for k, v := range up.Fields {
		_ = m.WriteField(k, v)
	}
	f, _ := m.CreateFormFile("file", "k.txt")
	_, _ = f.Write([]byte("the first half"))
	for name, body := range map[string][]byte{"in the file": form.Bytes(), "in a field": form.Bytes()[:60], "nothing": nil} {
		r := httptest.NewRequest("POST", up.URL, bytes.NewReader(body))
		r.Header.Set("Content-Type", m.FormDataContentType())
		w := httptest.NewRecorder()
		l.ServeHTTP(w, r)
		if _, err := l.Head(t.Context(), cdn.Ref{Key: "k.txt"}); w.Code != 400 || !errors.Is(err, cdn.ErrNotFound) {
			t.Errorf("a form cut off %s = %d, %v; want 400 and nothing stored", name, w.Code, err)
		}
	}
	if w := serve(l, "POST", up.URL, "key=k.txt", "Content-Type", "application/x-www-form-urlencoded"); w.Code != 400 {
		t.Errorf("another kind of form = %d; want 400", w.Code)
	}
}

func TestLocalFormExpires(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, err := cdn.NewLocal(cdn.LocalOptions{Dir: t.TempDir(), SignKey: signKey})
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		up := presignForm(t, l, cdn.FormRequest{Key: "k.txt", Expiry: time.Minute})
		time.Sleep(time.Minute - time.Second)
		if w := submit(l, up, "k.txt", "hello"); w.Code != 204 {
			t.Errorf("POST before the expiry = %d", w.Code)
		}
		time.Sleep(time.Second)
		if w := submit(l, up, "k.txt", "hello"); w.Code != 403 {
			t.Errorf("POST at the expiry = %d; want 403", w.Code)
		}
	})
}

// TestFormRequestChecked: all providers refuse the same.
func TestFormRequestChecked(t *testing.T) {
	for _, c := range []struct {
		req  cdn.FormRequest
		kind error
	}{
		{cdn.FormRequest{}, cdn.ErrKey},
		{cdn.FormRequest{Key: "/"}, cdn.ErrKey},
		{cdn.FormRequest{Key: "../"}, cdn.ErrKey},
		{cdn.FormRequest{Key: "a//"}, cdn.ErrKey},
		{cdn.FormRequest{Key: "a/${filename}"}, cdn.ErrKey},
		{cdn.FormRequest{Key: "k", MinBytes: -1}, cdn.ErrInvalid},
		{cdn.FormRequest{Key: "k", MaxBytes: -1}, cdn.ErrInvalid},
		{cdn.FormRequest{Key: "k", MinBytes: 2, MaxBytes: 1}, cdn.ErrInvalid},
		{cdn.FormRequest{Key: "k", Status: 302}, cdn.ErrInvalid},
		{cdn.FormRequest{Key: "k", ContentType: "a/b\r\nc: d"}, cdn.ErrInvalid},
	} {
		if r, err := c.req.Checked(); !errors.Is(err, c.kind) {
			t.Errorf("Checked(%+v) = %+v, %v; want %v", c.req, r, err, c.kind)
		}
	}
	l := newLocal(t, cdn.LocalOptions{SignKey: signKey})
	for _, life := range []time.Duration{-1, time.Millisecond, 8 * 24 * time.Hour} {
		if _, err := l.PresignForm(t.Context(), cdn.FormRequest{Key: "k", Expiry: life}); !errors.Is(err, cdn.ErrInvalid) {
			t.Errorf("PresignForm for %v = %v; want ErrInvalid", life, err)
		}
	}
	if _, err := newLocal(t, cdn.LocalOptions{}).PresignForm(t.Context(), cdn.FormRequest{Key: "k"}); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("PresignForm without SignKey = %v", err)
	}
}

// TestLocalFormIsPromoted: what a fallback takes goes to the provider.
func TestLocalFormIsPromoted(t *testing.T) {
	m := &cdntest.Memory{}
	l := newLocal(t, cdn.LocalOptions{SignKey: signKey})
	u := newUploader(t, m, cdn.Options{Fallback: l})
	if w := submit(l, presignForm(t, l, cdn.FormRequest{Key: "in/"}), "k.txt", "hello"); w.Code != 204 {
		t.Fatalf("POST = %d", w.Code)
	}
	if n, err := u.Promote(t.Context()); n != 1 || err != nil {
		t.Errorf("Promote = %d, %v", n, err)
	}
	if b, _ := m.Bytes("in/k.txt"); string(b) != "hello" {
		t.Errorf("the provider has %q", b)
	}
}

// A page lets a user upload into a folder of its own without a script. s3cdn has the
// same method, so that development and production differ in nothing.
func ExampleLocal_PresignForm() {
	dir, _ := os.MkdirTemp("", "cdn-example-*")
	defer os.RemoveAll(dir)
	local, err := cdn.NewLocal(cdn.LocalOptions{Dir: dir, URL: "/files/", SignKey: []byte("sixteen bytes or more")})
	if err != nil {
		panic(err)
	}
	defer local.Close()
	up, err := local.PresignForm(context.Background(), cdn.FormRequest{Key: "users/7/", MaxBytes: 1 << 20})
	if err != nil {
		panic(err)
	}
	fmt.Printf("<form action=%q method=%q enctype=\"multipart/form-data\">\n", up.URL, up.Method)
	fmt.Println("key =", up.Fields["key"])
	w := submit(local, up, "cat.txt", "meow")
	fmt.Println(w.Code, w.Header().Get("Location"))
	// Output:
	// <form action="/files/" method="POST" enctype="multipart/form-data">
	// key = users/7/${filename}
	// 204 /files/users/7/cat.txt
}
