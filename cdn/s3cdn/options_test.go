package s3cdn_test

import (
	"bytes"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/perfblocks/perfblocks/cdn"
	"github.com/perfblocks/perfblocks/cdn/s3cdn"
)

// clean takes the machine's own AWS settings away.
func clean(t *testing.T) {
	none := filepath.Join(t.TempDir(), "none")
	for _, name := range []string{
		"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_REGION", "AWS_DEFAULT_REGION", "AWS_PROFILE",
		"AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_ROLE_ARN", "AWS_CONTAINER_CREDENTIALS_FULL_URI", "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
		"AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_MAX_ATTEMPTS", "AWS_RETRY_MODE",
	} {
		t.Setenv(name, "")
	}
	t.Setenv("AWS_CONFIG_FILE", none)
	t.Setenv("AWS_SHARED_CREDENTIALS_FILE", none)
	t.Setenv("AWS_EC2_METADATA_DISABLED", "true")
}

func TestOptionsErrors(t *testing.T) {
	clean(t)
	for _, c := range []struct {
		o    s3cdn.Options
		want []string
	}{
		{s3cdn.Options{}, []string{"Bucket is empty"}},
		{s3cdn.Options{Bucket: "b"}, []string{"no Region"}},
		{s3cdn.Options{
			Bucket: "a/b", Endpoint: "minio:9000", PublicURL: "https://u:hunter2@x/?q", Prefix: "/p", AccessKeyID: "id",
			CloudFrontKey: []byte("hunter2"),
		}, []string{"Bucket", "Endpoint is not", "PublicURL must not", "Prefix starts", "SecretAccessKey need each other",
			"CloudFrontKeyID and CloudFrontKey", "CloudFrontKey: is not PEM"}},
		{s3cdn.Options{Bucket: "b", Region: "r", SessionToken: "hunter2"}, []string{"SessionToken needs"}},
		{s3cdn.Options{Bucket: "b", Region: "r", CloudFrontKeyID: "k", CloudFrontKey: []byte("x")}, []string{"needs PublicURL"}},
		{s3cdn.Options{Bucket: "b", Region: "r", Config: &aws.Config{}}, []string{"no AccessKeyID"}},
	} {
		p, err := s3cdn.New(c.o)
		if !errors.Is(err, cdn.ErrOptions) || p != nil {
			t.Errorf("New(%+v) = %v, %v; want ErrOptions", c.o, p, err)
			continue
		}
		for _, want := range c.want {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("New = %v; want %q in it", err, want)
			}
		}
		if strings.Contains(err.Error(), "hunter2") {
			t.Errorf("New = %v; it repeats a secret", err)
		}
	}
}

// TestDefaultChain takes credentials and region from the environment, and does not
// let it turn the SDK's retries on.
func TestDefaultChain(t *testing.T) {
	clean(t)
	t.Setenv("AWS_ACCESS_KEY_ID", testID)
	t.Setenv("AWS_SECRET_ACCESS_KEY", testSecret)
	t.Setenv("AWS_REGION", testRegion)
	t.Setenv("AWS_MAX_ATTEMPTS", "5")
	t.Setenv("AWS_RETRY_MODE", "adaptive")
	s, ts := newServer(t, false)
	p := newProvider(t, ts, func(o *s3cdn.Options) {
		o.AccessKeyID, o.SecretAccessKey, o.Region, o.Config, o.Name = "", "", "", nil, "mine"
	})
	b := []byte("by environment")
	if _, err := p.Put(t.Context(), objectOf("k", b), bytes.NewReader(b)); err != nil {
		t.Fatal(err)
	}
	var n atomic.Int32
	s.setFault(func(w http.ResponseWriter, r *http.Request, serve func(http.ResponseWriter)) bool {
		n.Add(1)
		return send(500, nil, "")(w, r, serve)
	})
	if _, err := p.Head(t.Context(), cdn.Ref{Key: "k"}); !errors.Is(err, cdn.ErrUnavailable) || n.Load() != 1 {
		t.Errorf("Head = %v after %d requests; want one", err, n.Load())
	}
	if p.ProviderName() != "mine" {
		t.Errorf("ProviderName = %q; want mine", p.ProviderName())
	}
}

// TestOwnClient: without an HTTPClient the provider makes one and Close ends its
// connections, and with them their goroutines.
func TestOwnClient(t *testing.T) {
	s := &server{pageSize: 3, objects: map[string]object{}, uploads: map[string]*upload{}}
	ts := httptest.NewUnstartedServer(s)
	closed := make(chan struct{}, 8)
	ts.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateClosed {
			closed <- struct{}{}
		}
	}
	ts.Start()
	defer ts.Close()
	p := newProvider(t, ts, func(o *s3cdn.Options) { o.HTTPClient = nil })
	if err := p.Delete(t.Context(), cdn.Ref{Key: "k"}); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := p.Close(); err != nil {
			t.Errorf("Close = %v", err)
		}
	}
	select {
	case <-closed:
	case <-time.After(10 * time.Second):
		t.Error("the connection is still open 10 s after Close")
	}
}

func TestSweep(t *testing.T) {
	s, ts := newServer(t, false)
	p := newProvider(t, ts, func(o *s3cdn.Options) { o.Prefix = "mine/" })
	for _, key := range []string{"old", "young"} {
		if _, err := p.Begin(t.Context(), objectOf(key, nil)); err != nil {
			t.Fatal(err)
		}
	}
	s.mu.Lock()
	s.uploads["upload-1"].at = time.Now().Add(-48 * time.Hour)
	s.uploads["other"] = &upload{key: "not-mine", at: time.Now().Add(-48 * time.Hour)}
	s.mu.Unlock()
	n, err := p.Sweep(t.Context(), 24*time.Hour)
	s.mu.Lock()
	defer s.mu.Unlock()
	if n != 1 || err != nil || len(s.uploads) != 2 || s.uploads["upload-1"] != nil {
		t.Errorf("Sweep = %d, %v with %d uploads left; want the old one of ours gone", n, err, len(s.uploads))
	}
}

// TestParts pages, and takes up in a second provider what a first one began.
func TestParts(t *testing.T) {
	s, ts := newServer(t, false)
	s.minPart = 1
	p := newProvider(t, ts)
	obj := objectOf("k", nil)
	id, err := p.Begin(t.Context(), obj)
	if err != nil {
		t.Fatal(err)
	}
	var want []cdn.PartInfo
	for i := range 7 {
		b := []byte(strings.Repeat("x", i+1))
		part, err := p.PutPart(t.Context(), obj, id, cdn.Part{Number: i + 1, Size: int64(len(b))}, bytes.NewReader(b))
		if err != nil {
			t.Fatal(err)
		}
		want = append(want, part)
	}
	q := newProvider(t, ts, func(o *s3cdn.Options) { o.DisableChecksums = true })
	got, err := q.Parts(t.Context(), obj, id)
	if err != nil || len(got) != len(want) {
		t.Fatalf("Parts = %+v, %v; want %+v", got, err, want)
	}
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("Parts[%d] = %+v; want %+v", i, got[i], want[i])
		}
	}
	info, err := q.Complete(t.Context(), obj, id, got)
	if err != nil || !info.Verified || info.Size != 28 {
		t.Errorf("Complete = %+v, %v; want 28 bytes, verified", info, err)
	}
	if _, err := q.Parts(t.Context(), obj, id); !errors.Is(err, cdn.ErrNotFound) {
		t.Errorf("Parts of a completed upload = %v; want ErrNotFound", err)
	}
	if _, err := q.Parts(t.Context(), obj, "foreign"); !errors.Is(err, cdn.ErrInvalid) {
		t.Errorf("Parts of a foreign ID = %v; want ErrInvalid", err)
	}
}
