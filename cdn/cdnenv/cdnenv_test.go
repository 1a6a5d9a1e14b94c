package cdnenv_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"

	"github.com/perfblocks/perfblocks/cdn"
	"github.com/perfblocks/perfblocks/cdn/cdnenv"
)

const secret = "hunter2-very-secret"

func env(vars map[string]string) func(string) string {
	return func(name string) string { return vars[name] }
}

// clean takes the machine's own AWS settings away from the SDK.
func clean(t *testing.T) {
	none := filepath.Join(t.TempDir(), "none")
	for _, name := range []string{
		"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_REGION", "AWS_DEFAULT_REGION", "AWS_PROFILE",
		"AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_ROLE_ARN", "AWS_CONTAINER_CREDENTIALS_FULL_URI", "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
	} {
		t.Setenv(name, "")
	}
	t.Setenv("AWS_CONFIG_FILE", none)
	t.Setenv("AWS_SHARED_CREDENTIALS_FILE", none)
	t.Setenv("AWS_EC2_METADATA_DISABLED", "true")
}

func TestProviderMakes(t *testing.T) {
	clean(t)
	for _, c := range []struct {
		vars      map[string]string
		name, url string
	}{
		{map[string]string{"CDN_LOCAL_DIR": t.TempDir(), "CDN_LOCAL_URL": "/files/"}, "local", "/files/a%20b.png"},
		{map[string]string{"CDN_PROVIDER": " Local ", "CDN_LOCAL_DIR": t.TempDir(), "CDN_LOCAL_URL": "https://x.example/f/"}, "local", "https://x.example/f/a%20b.png"},
		{map[string]string{
			"CDN_PROVIDER": "s3", "CDN_S3_BUCKET": "pictures", "AWS_REGION": "eu-central-1",
			"AWS_ACCESS_KEY_ID": "AKID", "AWS_SECRET_ACCESS_KEY": secret, "CDN_S3_PREFIX": "up/",
		}, "s3", "https://pictures.s3.eu-central-1.amazonaws.com/up/a%20b.png"},
		{map[string]string{
			"CDN_PROVIDER": "S3", "CDN_S3_BUCKET": "pictures", "AWS_REGION": "eu-central-1", "CDN_S3_REGION": "auto",
			"AWS_ACCESS_KEY_ID": "AKID", "AWS_SECRET_ACCESS_KEY": secret, "AWS_SESSION_TOKEN": "t",
			"CDN_S3_ENDPOINT": "http://127.0.0.1:9000", "CDN_S3_PATH_STYLE": "true",
		}, "s3", "http://127.0.0.1:9000/pictures/a%20b.png"},
		{map[string]string{
			"CDN_PROVIDER": "s3", "CDN_S3_BUCKET": "pictures", "AWS_DEFAULT_REGION": "eu-central-1",
			"AWS_ACCESS_KEY_ID": "AKID", "AWS_SECRET_ACCESS_KEY": secret, "CDN_S3_PUBLIC_URL": "https://cdn.example.com",
		}, "s3", "https://cdn.example.com/a%20b.png"},
		{map[string]string{"CDN_PROVIDER": "cloudinary", "CLOUDINARY_URL": "cloudinary://1:" + secret + "@demo"},
			"cloudinary", "https://res.cloudinary.com/demo/image/upload/a%20b.png.png"},
		{map[string]string{
			"CDN_PROVIDER": "cloudinary", "CLOUDINARY_CLOUD_NAME": "demo", "CLOUDINARY_API_KEY": "1", "CLOUDINARY_API_SECRET": secret,
			"CLOUDINARY_URL": "cloudinary://1:" + secret + "@demo",
		}, "cloudinary", "https://res.cloudinary.com/demo/image/upload/a%20b.png.png"},
		{map[string]string{"CDN_PROVIDER": "cloudinary", "CLOUDINARY_CLOUD_NAME": "demo", "CLOUDINARY_UPLOAD_PRESET": "open"},
			"cloudinary", "https://res.cloudinary.com/demo/image/upload/a%20b.png.png"},
		{map[string]string{"CDN_PROVIDER": "vercel", "BLOB_READ_WRITE_TOKEN": "vercel_blob_rw_STORE_x1"},
			"vercel", "https://store.public.blob.vercel-storage.com/a%20b.png"},
	} {
		p, err := cdnenv.Provider(env(c.vars))
		if err != nil {
			t.Errorf("Provider(%v) = %v", c.vars, err)
			continue
		}
		if got := p.(cdn.Namer).ProviderName(); got != c.name {
			t.Errorf("Provider(%v) is %q; want %q", c.vars, got, c.name)
		}
		if got, err := p.URL(cdn.Ref{Key: "a b.png"}); got != c.url || err != nil {
			t.Errorf("Provider(%v).URL = %q, %v; want %q", c.vars, got, err, c.url)
		}
		if cl, ok := p.(io.Closer); !ok || cl.Close() != nil {
			t.Errorf("Provider(%v) does not close", c.vars)
		}
	}
}

func TestProviderErrors(t *testing.T) {
	clean(t)
	for _, c := range []struct {
		vars map[string]string
		want []string
		not  []string
	}{
		{nil, []string{"CDN_LOCAL_DIR is missing"}, nil},
		{map[string]string{"CDN_PROVIDER": "azure"}, []string{`CDN_PROVIDER is "azure"`, "cloudinary, s3, vercel or local"}, nil},
		{map[string]string{"CDN_PROVIDER": "vercel_blob_rw_store_" + secret}, []string{"CDN_PROVIDER"}, nil},
		{map[string]string{"CDN_LOCAL_DIR": "x", "CDN_LOCAL_URL": "files"}, []string{"CDN_LOCAL_URL"}, []string{"CDN_LOCAL_DIR"}},
		{map[string]string{"CDN_PROVIDER": "s3"}, []string{"CDN_S3_BUCKET is missing"}, nil},
		{map[string]string{"CDN_PROVIDER": "s3", "CDN_S3_BUCKET": "b"}, []string{"AWS_*", "Region"}, nil},
		{map[string]string{
			"CDN_PROVIDER": "s3", "AWS_SECRET_ACCESS_KEY": secret, "CDN_S3_ENDPOINT": "minio", "CDN_S3_PATH_STYLE": "perhaps",
			"CDN_S3_PUBLIC_URL": "https://u:" + secret + "@h", "CDN_S3_PREFIX": "/x",
		}, []string{"CDN_S3_BUCKET", "AWS_ACCESS_KEY_ID is missing", "CDN_S3_ENDPOINT", "CDN_S3_PATH_STYLE", "CDN_S3_PUBLIC_URL", "CDN_S3_PREFIX"}, nil},
		{map[string]string{"CDN_PROVIDER": "cloudinary"}, []string{"CLOUDINARY_CLOUD_NAME", "CLOUDINARY_URL", "CLOUDINARY_API_KEY", "CLOUDINARY_API_SECRET"}, nil},
		{map[string]string{"CDN_PROVIDER": "cloudinary", "CLOUDINARY_API_SECRET": secret},
			[]string{"CLOUDINARY_CLOUD_NAME", "CLOUDINARY_API_KEY is missing"}, nil},
		{map[string]string{"CDN_PROVIDER": "cloudinary", "CLOUDINARY_URL": "https://" + secret}, []string{"CLOUDINARY_URL is not"}, []string{"CLOUD_NAME"}},
		{map[string]string{
			"CDN_PROVIDER": "cloudinary", "CLOUDINARY_URL": "cloudinary://1:" + secret + "@demo", "CLOUDINARY_CLOUD_NAME": "other",
			"CLOUDINARY_API_SECRET": "different",
		}, []string{"CLOUDINARY_CLOUD_NAME contradicts", "CLOUDINARY_API_SECRET contradicts"}, []string{"different", "API_KEY"}},
		{map[string]string{"CDN_PROVIDER": "vercel", "VERCEL_BLOB_API_URL": "ftp://x"}, []string{"BLOB_READ_WRITE_TOKEN is missing", "VERCEL_BLOB_API_URL"}, nil},
		{map[string]string{"CDN_PROVIDER": "vercel", "BLOB_READ_WRITE_TOKEN": secret}, []string{"BLOB_READ_WRITE_TOKEN"}, nil},
	} {
		p, err := cdnenv.Provider(env(c.vars))
		if !errors.Is(err, cdn.ErrOptions) || p != nil {
			t.Errorf("Provider(%v) = %v, %v; want nil, ErrOptions", c.vars, p, err)
			continue
		}
		for _, want := range c.want {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("Provider(%v) = %v; want %q in it", c.vars, err, want)
			}
		}
		for _, not := range append(c.not, secret) {
			if strings.Contains(err.Error(), not) {
				t.Errorf("Provider(%v) = %v; want no %q in it", c.vars, err, not)
			}
		}
	}
	if _, err := cdnenv.Provider(nil); !errors.Is(err, cdn.ErrOptions) {
		t.Errorf("Provider(nil) = %v; want ErrOptions", err)
	}
}

// counting is an http.RoundTripper as a service would give it, for a breaker.
type counting struct{ n int }

func (c *counting) RoundTrip(*http.Request) (*http.Response, error) {
	c.n++
	return nil, errors.New("the breaker is open")
}

func TestNewGivesClient(t *testing.T) {
	clean(t)
	for name, vars := range map[string]map[string]string{
		"s3":         {"CDN_S3_BUCKET": "b", "CDN_S3_REGION": "r", "AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "s"},
		"cloudinary": {"CLOUDINARY_URL": "cloudinary://1:2@demo"},
		"vercel":     {"BLOB_READ_WRITE_TOKEN": "vercel_blob_rw_store_x"},
	} {
		vars["CDN_PROVIDER"] = name
		var rt counting
		p, err := cdnenv.New(env(vars), cdnenv.Options{HTTPClient: &http.Client{Transport: &rt}})
		if err != nil {
			t.Fatal(err)
		}
		_, err = p.Put(t.Context(), cdn.Object{Key: "k", Size: 1, ContentType: "text/plain"}, strings.NewReader("x"))
		if !errors.Is(err, cdn.ErrUnavailable) || rt.n != 1 {
			t.Errorf("%s: Put = %v after %d round trips; want ErrUnavailable after one", name, err, rt.n)
		}
	}
}

// TestVercelFromEnvironment makes a real request with what the variables told.
func TestVercelFromEnvironment(t *testing.T) {
	ts := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer vercel_blob_rw_store_x" || r.URL.Path != "/api/blob/" {
			w.WriteHeader(http.StatusForbidden)
			return
		}
		fmt.Fprint(w, `{"url":"https://store.public.blob.vercel-storage.com/k","pathname":"k"}`)
	}))
	defer ts.Close()
	p, err := cdnenv.Provider(env(map[string]string{
		"CDN_PROVIDER": "vercel", "BLOB_READ_WRITE_TOKEN": "vercel_blob_rw_store_x", "VERCEL_BLOB_API_URL": ts.URL + "/api/blob",
	}))
	if err != nil {
		t.Fatal(err)
	}
	defer p.(io.Closer).Close()
	if _, err := p.Put(context.Background(), cdn.Object{Key: "k", Size: 1, ContentType: "text/plain"}, bytes.NewReader([]byte("x"))); err != nil {
		t.Errorf("Put = %v", err)
	}
}
