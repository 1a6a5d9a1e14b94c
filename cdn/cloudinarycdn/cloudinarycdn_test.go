package cloudinarycdn_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"mime/multipart"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/perfblocks/perfblocks/cdn"
	"github.com/perfblocks/perfblocks/cdn/cdntest"
	"github.com/perfblocks/perfblocks/cdn/cloudinarycdn"
)

var contract = cdntest.Options{NoMetadata: true, NoCacheControl: true, NoDisposition: true, NoContentType: true}

func TestProviderConforms(t *testing.T) {
	for name, change := range map[string]func(*cloudinarycdn.Options){
		"public":        func(*cloudinarycdn.Options) {},
		"signed":        func(o *cloudinarycdn.Options) { o.SignURLs = true },
		"authenticated": func(o *cloudinarycdn.Options) { o.Authenticated = true },
	} {
		t.Run(name, func(t *testing.T) {
			_, ts := newServer(t)
			o := contract
			o.Fetch = func(ctx context.Context, url string) ([]byte, error) { return fetch(ctx, url) }
			cdntest.Run(t, func(t *testing.T) cdn.Provider { return newProvider(t, ts, change) }, o)
		})
	}
}

func fetch(ctx context.Context, url string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("status %d", resp.StatusCode)
	}
	return io.ReadAll(resp.Body)
}

func objectOf(key, contentType string, b []byte) cdn.Object {
	return cdn.Object{
		Key: key, Size: int64(len(b)), ContentType: contentType, SHA256: sha256.Sum256(b),
		CRC32C: crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli)), HasCRC32C: true,
	}
}

var png = append([]byte("\x89PNG\r\n\x1a\n"), "the rest of a picture"...)

// TestImages: two names that differ in their extension are two objects, and the
// type that Cloudinary decided on is needed to find and delete them.
func TestImages(t *testing.T) {
	s, ts := newServer(t)
	p := newProvider(t, ts)
	a, err := p.Put(t.Context(), objectOf("logos/a b+ü.png", "image/png", png), bytes.NewReader(png))
	if err != nil || !a.Verified {
		t.Fatalf("Put = %+v, %v; want it verified", a, err)
	}
	if want := "image/upload/v1700000001/png"; a.Ref.Handle != want {
		t.Errorf("Handle = %q; want %q", a.Ref.Handle, want)
	}
	other := append(slices.Clone(png), '!')
	if _, err := p.Put(t.Context(), objectOf("logos/a b+ü.webp", "image/png", other), bytes.NewReader(other)); err != nil {
		t.Fatal(err)
	}
	if n := len(s.assets); n != 2 {
		t.Fatalf("%d assets; want 2", n)
	}
	u, err := p.URL(a.Ref)
	if want := ts.URL + "/demo/image/upload/v1700000001/logos/a%20b%2B%C3%BC.png.png"; u != want || err != nil {
		t.Errorf("URL = %s, %v; want %s", u, err, want)
	}
	for _, ref := range []cdn.Ref{a.Ref, {Key: a.Ref.Key}} {
		info, err := p.Head(t.Context(), ref)
		if err != nil || info.Size != int64(len(png)) || info.ContentType != "image/png" {
			t.Errorf("Head(%+v) = %+v, %v; want the picture", ref, info, err)
		}
	}
	if err := p.Delete(t.Context(), a.Ref); err != nil || len(s.assets) != 1 {
		t.Errorf("Delete = %v with %d assets left; want 1", err, len(s.assets))
	}
	if err := p.Delete(t.Context(), cdn.Ref{Key: "logos/a b+ü.webp"}); err != nil || len(s.assets) != 0 {
		t.Errorf("Delete by key = %v with %d assets left; want 0", err, len(s.assets))
	}
}

// TestKindByKey: whatever the content type, the key alone finds the object again.
func TestKindByKey(t *testing.T) {
	_, ts := newServer(t)
	p := newProvider(t, ts)
	for _, c := range []struct{ key, contentType, handle string }{
		{"a.png", "image/png", "image/upload/"},
		{"b.png", "application/octet-stream", "raw/upload/"},
		{"c", "image/png", "raw/upload/"},
		{"d.PNG", "IMAGE/PNG", "image/upload/"},
		{"e.txt", "image/png", "raw/upload/"},
	} {
		info, err := p.Put(t.Context(), objectOf(c.key, c.contentType, png), bytes.NewReader(png))
		if err != nil || !strings.HasPrefix(info.Ref.Handle, c.handle) {
			t.Errorf("Put(%q, %s) = %+v, %v; want it as %s", c.key, c.contentType, info.Ref, err, c.handle)
		}
		r, _, err := p.Open(t.Context(), cdn.Ref{Key: c.key}, 0, -1)
		if err != nil {
			t.Errorf("Open(%q) = %v", c.key, err)
			continue
		}
		if b, err := io.ReadAll(r); err != nil || !bytes.Equal(b, png) {
			t.Errorf("Open(%q) = %q, %v", c.key, b, err)
		}
		r.Close()
	}
}

func TestUploadTransform(t *testing.T) {
	s, ts := newServer(t)
	p := newProvider(t, ts)
	obj := objectOf("a.png", "image/png", png)
	obj.Transform = cdn.Transform{Width: 400, Quality: 80, Format: "webp"}
	info, err := p.Put(t.Context(), obj, bytes.NewReader(png))
	if err != nil || info.ContentType != "image/webp" || info.SHA256 != [32]byte{} {
		t.Fatalf("Put = %+v, %v; want a WebP of unknown hash", info, err)
	}
	f := s.assets["image/upload/a.png"].fields
	if f["transformation"] != "c_limit,q_80,w_400" || f["format"] != "webp" {
		t.Errorf("fields = %v; want the transformation", f)
	}
	obj.ContentType = "text/plain"
	if _, err := p.Put(t.Context(), obj, bytes.NewReader(png)); !errors.Is(err, cdn.ErrInvalid) {
		t.Errorf("Put of text with a Transform = %v; want ErrInvalid", err)
	}
}

func TestTransformURL(t *testing.T) {
	p, err := cloudinarycdn.New(cloudinarycdn.Options{CloudName: "demo", UploadPreset: "x"})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		ref  cdn.Ref
		t    cdn.Transform
		want string
	}{
		{cdn.Ref{Key: "a.jpeg"}, cdn.Transform{}, "https://res.cloudinary.com/demo/image/upload/a.jpeg.jpg"},
		{cdn.Ref{Key: "f/a.jpg"}, cdn.Transform{Width: 400, Format: "auto"}, "https://res.cloudinary.com/demo/image/upload/c_limit,f_auto,w_400/v1/f/a.jpg.jpg"},
		{cdn.Ref{Key: "a.jpg", Handle: "image/upload/v7/jpg"}, cdn.Transform{Width: 40, Height: 30, Fit: "cover", Quality: 75, Format: "avif"},
			"https://res.cloudinary.com/demo/image/upload/c_fill,h_30,q_75,w_40/v7/a.jpg.avif"},
		{cdn.Ref{Key: "a.jpg"}, cdn.Transform{Height: 30, Fit: "contain", Format: "jpeg"}, "https://res.cloudinary.com/demo/image/upload/c_fit,h_30/a.jpg.jpg"},
	} {
		if got, err := p.TransformURL(c.ref, c.t); got != c.want || err != nil {
			t.Errorf("TransformURL(%+v, %+v) = %s, %v; want %s", c.ref, c.t, got, err, c.want)
		}
	}
	for _, c := range []struct {
		key string
		t   cdn.Transform
	}{
		{"a.txt", cdn.Transform{Width: 1}}, {"a.jpg", cdn.Transform{Width: -1}}, {"a.jpg", cdn.Transform{Quality: 101}},
		{"a.jpg", cdn.Transform{Format: "exe"}}, {"a.jpg", cdn.Transform{Fit: "l_text:x"}},
	} {
		if got, err := p.TransformURL(cdn.Ref{Key: c.key}, c.t); !errors.Is(err, cdn.ErrInvalid) {
			t.Errorf("TransformURL(%s, %+v) = %s, %v; want ErrInvalid", c.key, c.t, got, err)
		}
	}
}

func TestSignedTransformURLIsServed(t *testing.T) {
	_, ts := newServer(t)
	p := newProvider(t, ts, func(o *cloudinarycdn.Options) { o.SignURLs = true })
	info, err := p.Put(t.Context(), objectOf("x/a b.png", "image/png", png), bytes.NewReader(png))
	if err != nil {
		t.Fatal(err)
	}
	u, err := p.TransformURL(info.Ref, cdn.Transform{Width: 100, Format: "auto"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := fetch(t.Context(), u); err != nil || !strings.Contains(u, "/s--") {
		t.Errorf("fetch(%s) = %v; want it served", u, err)
	}
	if _, err := fetch(t.Context(), strings.Replace(u, "w_100", "w_999", 1)); err == nil {
		t.Error("a changed transformation was served")
	}
}

func TestUnsigned(t *testing.T) {
	_, ts := newServer(t)
	p := newProvider(t, ts, func(o *cloudinarycdn.Options) { o.APIKey, o.APISecret, o.UploadPreset = "", "", testPreset })
	obj := objectOf("a.txt", "text/plain", []byte("once"))
	if info, err := p.Put(t.Context(), obj, strings.NewReader("once")); err != nil || info.Verified {
		t.Fatalf("Put = %+v, %v; want it stored, not verified", info, err)
	}
	if _, err := p.Put(t.Context(), obj, strings.NewReader("once")); !errors.Is(err, cdn.ErrExists) {
		t.Errorf("second Put = %v; want ErrExists", err)
	}
	if err := p.Delete(t.Context(), cdn.Ref{Key: "a.txt"}); !errors.Is(err, cdn.ErrAuth) {
		t.Errorf("Delete = %v; want ErrAuth", err)
	}
	if _, err := p.PresignGet(t.Context(), cdn.Ref{Key: "a.txt"}, 0); !errors.Is(err, cdn.ErrAuth) {
		t.Errorf("PresignGet = %v; want ErrAuth", err)
	}
	up, err := p.PresignPut(t.Context(), cdn.PresignRequest{Key: "b.txt", ContentType: "text/plain", MaxBytes: 10})
	if err != nil || direct(t, up, []byte("x")) != 200 {
		t.Errorf("PresignPut = %+v, %v; want a form that works", up, err)
	}
}

// direct plays the browser that got a DirectUpload.
func direct(t *testing.T, up cdn.DirectUpload, body []byte) int {
	t.Helper()
	var form bytes.Buffer
	w := multipart.NewWriter(&form)
	for k, v := range up.Fields {
		_ = w.WriteField(k, v)
	}
	f, _ := w.CreateFormFile(up.FileField, "x")
	_, _ = f.Write(body)
	w.Close()
	resp, err := http.Post(up.URL, w.FormDataContentType(), &form)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	return resp.StatusCode
}

func TestPresign(t *testing.T) {
	s, ts := newServer(t)
	p := newProvider(t, ts)
	up, err := p.PresignPut(t.Context(), cdn.PresignRequest{Key: "p/ü&.png", ContentType: "image/png", Expiry: time.Minute})
	if err != nil || direct(t, up, png) != 200 || s.assets["image/upload/p/ü~26.png"] == nil {
		t.Fatalf("PresignPut = %+v, %v; want a form that works", up, err)
	}
	if left := time.Until(up.Expires); left < 50*time.Second || left > time.Minute {
		t.Errorf("the form expires in %v; want a minute", left)
	}
	up.Fields["public_id"] = "elsewhere"
	if got := direct(t, up, png); got != 401 {
		t.Errorf("a changed form = status %d; want 401", got)
	}
	u, err := p.PresignGet(t.Context(), cdn.Ref{Key: "p/ü&.png"}, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	if b, err := fetch(t.Context(), u); err != nil || !bytes.Equal(b, png) {
		t.Errorf("fetch(PresignGet) = %q, %v; want the picture", b, err)
	}
	if _, err := fetch(t.Context(), strings.Replace(u, "expires_at=1", "expires_at=2", 1)); err == nil {
		t.Error("a changed expiry was served")
	}
	for _, req := range []cdn.PresignRequest{{Key: "k", MaxBytes: 10}, {Key: "k", Expiry: 2 * time.Hour}, {Key: "k", Expiry: -1}} {
		if _, err := p.PresignPut(t.Context(), req); !errors.Is(err, cdn.ErrInvalid) {
			t.Errorf("PresignPut(%+v) = %v; want ErrInvalid", req, err)
		}
	}
}

func TestChunksOfUnknownLength(t *testing.T) {
	s, ts := newServer(t)
	p := newProvider(t, ts)
	b := bytes.Repeat([]byte("0123456789abcdef"), 700_000)
	obj := cdn.Object{Key: "big.bin", Size: -1, ContentType: "application/octet-stream"}
	id, err := p.Begin(t.Context(), obj)
	if err != nil {
		t.Fatal(err)
	}
	var parts []cdn.PartInfo
	const size = 5 << 20
	for off := int64(0); off < int64(len(b)); off += size {
		chunk := b[off:min(off+size, int64(len(b)))]
		last := off+size >= int64(len(b))
		part := cdn.Part{Number: len(parts) + 1, Offset: off, Size: int64(len(chunk)), Last: last, Total: -1}
		info, err := p.PutPart(t.Context(), obj, id, part, bytes.NewReader(chunk))
		if err != nil {
			t.Fatal(err)
		}
		parts = append(parts, info)
	}
	if _, err := p.Complete(t.Context(), obj, id, parts[:1]); !errors.Is(err, cdn.ErrInvalid) {
		t.Errorf("Complete without the last part = %v; want ErrInvalid", err)
	}
	info, err := p.Complete(t.Context(), obj, id, parts)
	if err != nil || info.Size != int64(len(b)) || !bytes.Equal(s.assets["raw/upload/big.bin"].data, b) {
		t.Errorf("Complete = %+v, %v; want all bytes", info, err)
	}
	if got, err := p.Head(t.Context(), info.Ref); err != nil || got.Size != info.Size {
		t.Errorf("Head = %+v, %v", got, err)
	}
}

func TestMetadataBecomesContext(t *testing.T) {
	s, ts := newServer(t)
	obj := objectOf("a.txt", "text/plain", nil)
	obj.Metadata = map[string]string{"b": "x=y|z", "a": "1"}
	if _, err := newProvider(t, ts).Put(t.Context(), obj, bytes.NewReader(nil)); err != nil {
		t.Fatal(err)
	}
	if got, want := s.assets["raw/upload/a.txt"].fields["context"], `a=1|b=x\=y\|z`; got != want {
		t.Errorf("context = %q; want %q", got, want)
	}
}

func TestURLKeepsVersionOut(t *testing.T) {
	p, err := cloudinarycdn.New(cloudinarycdn.Options{CloudName: "demo", UploadPreset: "x"})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ key, handle, want string }{
		{"a.txt", "", "raw/upload/a.txt"},
		{"d/a.txt", "", "raw/upload/v1/d/a.txt"},
		{"d/a.txt", "raw/upload/v42/", "raw/upload/v42/d/a.txt"},
		{"film.MOV", "", "video/upload/film.MOV.mov"},
		{"noext", "image/upload/v3/png", "image/upload/v3/noext.png"},
		{"a.jpg", "../../evil", "image/upload/a.jpg.jpg"},
		{"(a)!'*.txt", "", "raw/upload/(a)!'*.txt"},
	} {
		if got, err := p.URL(cdn.Ref{Key: c.key, Handle: c.handle}); got != "https://res.cloudinary.com/demo/"+c.want || err != nil {
			t.Errorf("URL(%q, %q) = %s, %v; want …%s", c.key, c.handle, got, err, c.want)
		}
	}
}
