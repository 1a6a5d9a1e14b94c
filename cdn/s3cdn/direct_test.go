package s3cdn_test

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/perfblocks/perfblocks/cdn"
	"github.com/perfblocks/perfblocks/cdn/s3cdn"
)

// TestRedirectsAreNotFollowed: a client of the caller's follows redirects by default. It
// would GET what was to be PUT, take the answer for success, and carry the session token
// to wherever it is sent.
func TestRedirectsAreNotFollowed(t *testing.T) {
	for _, status := range []int{301, 302, 303, 307, 308} {
		for _, body := range []string{"content", ""} {
			var followed atomic.Int32
			elsewhere := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				followed.Add(1)
				w.Header().Set("Etag", `"e"`)
			}))
			defer elsewhere.Close()
			ts := httptest.NewServer(http.RedirectHandler(elsewhere.URL+"/x", status))
			defer ts.Close()
			client := &http.Client{}
			p := newProvider(t, ts, func(o *s3cdn.Options) { o.HTTPClient, o.SessionToken = client, "token" })
			for name, call := range calls {
				if err := call(t.Context(), p); err == nil {
					t.Errorf("%d: %s succeeded by way of a redirect", status, name)
				}
			}
			if _, err := p.Put(t.Context(), objectOf("k", []byte(body)), strings.NewReader(body)); err == nil {
				t.Errorf("%d: Put of %q succeeded by way of a redirect", status, body)
			}
			if n := followed.Load(); n != 0 {
				t.Errorf("%d: %d redirects were followed", status, n)
			}
			if client.CheckRedirect != nil {
				t.Error("the caller's client was changed")
			}
		}
	}
}

// TestPutNeedsETag: every S3 names the object that it has stored. A reply without is
// somebody else's.
func TestPutNeedsETag(t *testing.T) {
	s, ts := newServer(t, false)
	s.setFault(send(200, nil, ""))
	p := newProvider(t, ts)
	b := []byte("content")
	if info, err := p.Put(t.Context(), objectOf("k", b), bytes.NewReader(b)); !errors.Is(err, cdn.ErrUnavailable) {
		t.Errorf("Put = %+v, %v; want ErrUnavailable", info, err)
	}
}

// TestDowngradeByStatus: a 501 says the same without a code of S3's.
func TestDowngradeByStatus(t *testing.T) {
	s, ts := newServer(t, false)
	s.ignoreCRC = true
	s.setFault(func(w http.ResponseWriter, r *http.Request, serve func(http.ResponseWriter)) bool {
		if r.Header.Get("X-Amz-Checksum-Crc32c") == "" {
			return false
		}
		return send(http.StatusNotImplemented, nil, "")(w, r, serve)
	})
	p := newProvider(t, ts)
	b := []byte("content")
	if _, err := p.Put(t.Context(), objectOf("k", b), bytes.NewReader(b)); err != nil {
		t.Errorf("Put = %v; want it without the checksum", err)
	}
}

// hosts notes where requests go, and sends none.
type hosts struct{ seen []string }

func (h *hosts) RoundTrip(r *http.Request) (*http.Response, error) {
	h.seen = append(h.seen, r.Method+" "+r.URL.Host)
	if r.Body != nil {
		_, _ = io.Copy(io.Discard, r.Body)
	}
	return nil, errors.New("not sent")
}

// TestEndpointsAgree: the requests that are made here go where the SDK's go, and are
// signed for the same region.
func TestEndpointsAgree(t *testing.T) {
	for _, c := range []struct{ env, want string }{
		{"", "pictures.s3.us-west-2.amazonaws.com"},
		{"AWS_USE_FIPS_ENDPOINT", "pictures.s3-fips.us-west-2.amazonaws.com"},
		{"AWS_USE_DUALSTACK_ENDPOINT", "pictures.s3.dualstack.us-west-2.amazonaws.com"},
	} {
		t.Run(c.env, func(t *testing.T) {
			clean(t)
			if c.env != "" {
				t.Setenv(c.env, "true")
			}
			h := &hosts{}
			t.Setenv("AWS_REGION", "us-west-2")
			p, err := s3cdn.New(s3cdn.Options{
				Bucket: testBucket, AccessKeyID: testID, SecretAccessKey: testSecret, HTTPClient: &http.Client{Transport: h},
			})
			if err != nil {
				t.Fatal(err)
			}
			_, _ = p.Put(t.Context(), cdn.Object{Key: "k", Size: 1}, strings.NewReader("x"))
			_, _ = p.Head(t.Context(), cdn.Ref{Key: "k"})
			u, _ := p.URL(cdn.Ref{Key: "k"})
			if len(h.seen) != 2 || h.seen[0] != "PUT "+c.want || h.seen[1] != "HEAD "+c.want || u != "https://"+c.want+"/k" {
				t.Errorf("requests %v, URL %s; want %s", h.seen, u, c.want)
			}
		})
	}
}
