package s3cdn_test

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"io"
	"mime/multipart"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"crypto"

	"github.com/perfblocks/perfblocks/cdn"
	"github.com/perfblocks/perfblocks/cdn/s3cdn"
)

// direct plays the browser that got a DirectUpload.
func direct(t *testing.T, hc *http.Client, up cdn.DirectUpload, body []byte, change func(*http.Request)) int {
	t.Helper()
	content, contentType := io.Reader(bytes.NewReader(body)), ""
	if up.Fields != nil {
		var form bytes.Buffer
		w := multipart.NewWriter(&form)
		for k, v := range up.Fields {
			_ = w.WriteField(k, v)
		}
		f, _ := w.CreateFormFile(up.FileField, "x")
		_, _ = f.Write(body)
		w.Close()
		content, contentType = &form, w.FormDataContentType()
	}
	req, err := http.NewRequestWithContext(t.Context(), up.Method, up.URL, content)
	if err != nil {
		t.Fatal(err)
	}
	for k, v := range up.Header {
		req.Header.Set(k, v)
	}
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	if change != nil {
		change(req)
	}
	resp, err := hc.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	_, _ = io.Copy(io.Discard, resp.Body)
	return resp.StatusCode
}

func TestPresignPut(t *testing.T) {
	s, ts := newServer(t, true)
	p := newProvider(t, ts, func(o *s3cdn.Options) { o.Prefix = "up/" })
	b := []byte("from the browser")
	for _, c := range []struct {
		name   string
		req    cdn.PresignRequest
		body   []byte
		change func(*http.Request)
		want   int
	}{
		{"exact", cdn.PresignRequest{Key: "a b+ü.txt", ContentType: "text/plain", Size: int64(len(b)), MaxBytes: 100}, b, nil, 200},
		{"no type", cdn.PresignRequest{Key: "k", Size: int64(len(b))}, b, nil, 200},
		{"longer", cdn.PresignRequest{Key: "k", ContentType: "text/plain", Size: 3}, b, nil, 403},
		{"other type", cdn.PresignRequest{Key: "k", ContentType: "text/plain", Size: int64(len(b))}, b,
			func(r *http.Request) { r.Header.Set("Content-Type", "text/html") }, 403},
		{"other type, any size", cdn.PresignRequest{Key: "k", ContentType: "text/plain"}, b,
			func(r *http.Request) { r.Header.Set("Content-Type", "text/html") }, 403},
		{"any size", cdn.PresignRequest{Key: "k", ContentType: "text/plain"}, b, nil, 200},
		{"other key", cdn.PresignRequest{Key: "k", Size: int64(len(b))}, b, func(r *http.Request) { r.URL.Path += "x" }, 403},
		{"form", cdn.PresignRequest{Key: "form", ContentType: "text/plain", MaxBytes: 100}, b, nil, 204},
		{"form too large", cdn.PresignRequest{Key: "form", ContentType: "text/plain", MaxBytes: 10}, b, nil, 400},
	} {
		up, err := p.PresignPut(t.Context(), c.req)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		if left := time.Until(up.Expires); left <= 14*time.Minute || left > 15*time.Minute {
			t.Errorf("%s: expires in %v; want 15 minutes", c.name, left)
		}
		if got := direct(t, ts.Client(), up, c.body, c.change); got != c.want {
			t.Errorf("%s: status %d; want %d", c.name, got, c.want)
		}
	}
	if o := s.stored()["up/a b+ü.txt"]; string(o.data) != string(b) || o.header.Get("Content-Type") != "text/plain" {
		t.Errorf("stored %q %v; want the browser's file", o.data, o.header)
	}
	if o := s.stored()["up/form"]; string(o.data) != string(b) || o.header.Get("Content-Type") != "text/plain" {
		t.Errorf("stored %q %v by form; want the browser's file", o.data, o.header)
	}
	for _, c := range []struct {
		req  cdn.PresignRequest
		want error
	}{
		{cdn.PresignRequest{Key: "k", Size: 11, MaxBytes: 10}, cdn.ErrTooLarge},
		{cdn.PresignRequest{Key: "k", Size: -1}, cdn.ErrInvalid},
		{cdn.PresignRequest{Key: "k", Expiry: 8 * 24 * time.Hour}, cdn.ErrInvalid},
		{cdn.PresignRequest{Key: "k", Expiry: -1}, cdn.ErrInvalid},
		{cdn.PresignRequest{}, cdn.ErrKey},
		{cdn.PresignRequest{Key: strings.Repeat("k", 1025)}, cdn.ErrKey},
	} {
		if _, err := p.PresignPut(t.Context(), c.req); !errors.Is(err, c.want) {
			t.Errorf("PresignPut(%.80v) = %v; want %v", c.req, err, c.want)
		}
	}
}

func TestPresignGet(t *testing.T) {
	s, ts := newServer(t, true)
	p := newProvider(t, ts)
	s.objects["a b/ü+%.txt"] = object{data: []byte("private")}
	u, err := p.PresignGet(t.Context(), cdn.Ref{Key: "a b/ü+%.txt"}, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	if b, err := fetch(t.Context(), ts.Client(), u); err != nil || string(b) != "private" {
		t.Errorf("fetch = %q, %v; want the object", b, err)
	}
	if _, err := fetch(t.Context(), ts.Client(), strings.Replace(u, "X-Amz-Expires=60", "X-Amz-Expires=600", 1)); err == nil {
		t.Error("a changed expiry was accepted")
	}
	if _, err := p.PresignGet(t.Context(), cdn.Ref{Key: "k"}, 8*24*time.Hour); !errors.Is(err, cdn.ErrInvalid) {
		t.Errorf("PresignGet for 8 days = %v; want ErrInvalid", err)
	}
}

func TestCloudFrontSignedURL(t *testing.T) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for kind, der := range map[string][]byte{"RSA PRIVATE KEY": x509.MarshalPKCS1PrivateKey(key), "PRIVATE KEY": pkcs8} {
		_, ts := newServer(t, false)
		p := newProvider(t, ts, func(o *s3cdn.Options) {
			o.PublicURL, o.CloudFrontKeyID = "https://d1.cloudfront.net", "K2JCJMDEHXQW5F"
			o.CloudFrontKey = pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
		})
		signed, err := p.PresignGet(t.Context(), cdn.Ref{Key: "a b.png"}, time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		u, err := url.Parse(signed)
		if err != nil {
			t.Fatal(err)
		}
		q := u.Query()
		policy := `{"Statement":[{"Resource":"https://d1.cloudfront.net/a%20b.png","Condition":{"DateLessThan":{"AWS:EpochTime":` + q.Get("Expires") + `}}}]}`
		sig, err := base64.StdEncoding.DecodeString(strings.NewReplacer("-", "+", "_", "=", "~", "/").Replace(q.Get("Signature")))
		if err != nil {
			t.Fatal(err)
		}
		sum := sha1.Sum([]byte(policy))
		if err := rsa.VerifyPKCS1v15(&key.PublicKey, crypto.SHA1, sum[:], sig); err != nil {
			t.Errorf("%s: signature of %s: %v", kind, signed, err)
		}
		if q.Get("Key-Pair-Id") != "K2JCJMDEHXQW5F" || u.EscapedPath() != "/a%20b.png" {
			t.Errorf("%s: URL = %s", kind, signed)
		}
	}
}

// newClient has connections of its own, which end with the test.
func newClient(t *testing.T) *http.Client {
	tr := &http.Transport{}
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr}
}
