package s3cdn_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/perfblocks/perfblocks/cdn"
	"github.com/perfblocks/perfblocks/cdn/s3cdn"
)

// calls are all that sends a request, with what a server has to be prepared with.
var calls = map[string]func(context.Context, *s3cdn.Provider) error{
	"put": func(ctx context.Context, p *s3cdn.Provider) error {
		b := []byte("content of the fault test")
		_, err := p.Put(ctx, objectOf("k", b), bytes.NewReader(b))
		return err
	},
	"head": func(ctx context.Context, p *s3cdn.Provider) error {
		_, err := p.Head(ctx, cdn.Ref{Key: "k"})
		return err
	},
	"open": func(ctx context.Context, p *s3cdn.Provider) error {
		r, _, err := p.Open(ctx, cdn.Ref{Key: "k"}, 0, -1)
		if err != nil {
			return err
		}
		defer r.Close()
		_, err = io.ReadAll(r)
		return err
	},
	"delete": func(ctx context.Context, p *s3cdn.Provider) error { return p.Delete(ctx, cdn.Ref{Key: "k"}) },
	"list": func(ctx context.Context, p *s3cdn.Provider) error {
		for _, err := range p.List(ctx, "") {
			return err
		}
		return nil
	},
	"copy": func(ctx context.Context, p *s3cdn.Provider) error {
		_, err := p.Copy(ctx, cdn.Ref{Key: "k"}, objectOf("to", nil))
		return err
	},
	"begin": func(ctx context.Context, p *s3cdn.Provider) error {
		_, err := p.Begin(ctx, objectOf("k", nil))
		return err
	},
	"part": func(ctx context.Context, p *s3cdn.Provider) error {
		_, err := p.PutPart(ctx, objectOf("k", nil), "c.upload-1", cdn.Part{Number: 1, Size: 4}, strings.NewReader("part"))
		return err
	},
	"parts": func(ctx context.Context, p *s3cdn.Provider) error {
		_, err := p.Parts(ctx, objectOf("k", nil), "c.upload-1")
		return err
	},
	"complete": func(ctx context.Context, p *s3cdn.Provider) error {
		_, err := p.Complete(ctx, objectOf("k", nil), "c.upload-1", []cdn.PartInfo{{Number: 1, Size: 4, ETag: `"e"`}})
		return err
	},
	"abort": func(ctx context.Context, p *s3cdn.Provider) error {
		return p.Abort(ctx, objectOf("k", nil), "c.upload-1")
	},
	"sweep": func(ctx context.Context, p *s3cdn.Provider) error {
		_, err := p.Sweep(ctx, time.Hour)
		return err
	},
}

// send answers every request with this, after its body was read.
func send(status int, header map[string]string, body string) faultFunc {
	return func(w http.ResponseWriter, r *http.Request, _ func(http.ResponseWriter)) bool {
		_, _ = io.Copy(io.Discard, r.Body)
		for k, v := range header {
			w.Header().Set(k, v)
		}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
		return true
	}
}

const errorBody = `<?xml version="1.0"?><Error><Code>%s</Code><Message>as told</Message><RequestId>R</RequestId></Error>`

func TestErrorKinds(t *testing.T) {
	for _, c := range []struct {
		name   string
		status int
		header map[string]string
		code   string
		want   error
		wait   time.Duration
	}{
		{"internal", 500, nil, "InternalError", cdn.ErrUnavailable, 0},
		{"slow down", 503, map[string]string{"Retry-After": "7"}, "SlowDown", cdn.ErrRateLimited, 7 * time.Second},
		{"unavailable", 503, map[string]string{"Retry-After": "3"}, "ServiceUnavailable", cdn.ErrUnavailable, 3 * time.Second},
		{"too many", 429, map[string]string{"Retry-After": "1"}, "TooManyRequests", cdn.ErrRateLimited, time.Second},
		{"denied", 403, nil, "AccessDenied", cdn.ErrAuth, 0},
		{"signature", 403, nil, "SignatureDoesNotMatch", cdn.ErrAuth, 0},
		{"expired token", 400, nil, "ExpiredToken", cdn.ErrAuth, 0},
		{"unauthorized", 401, nil, "Unauthorized", cdn.ErrAuth, 0},
		{"bad request", 400, nil, "InvalidURI", cdn.ErrInvalid, 0},
		{"no bucket", 404, nil, "NoSuchBucket", cdn.ErrInvalid, 0},
		{"elsewhere", 301, nil, "PermanentRedirect", cdn.ErrInvalid, 0},
		{"too large", 400, nil, "EntityTooLarge", cdn.ErrTooLarge, 0},
		{"length", 413, nil, "", cdn.ErrTooLarge, 0},
		{"digest", 400, nil, "BadDigest", cdn.ErrChecksum, 0},
		{"body timeout", 400, nil, "RequestTimeout", cdn.ErrUnavailable, 0},
		{"exists", 412, nil, "PreconditionFailed", cdn.ErrExists, 0},
	} {
		s, ts := newServer(t, false)
		s.setFault(send(c.status, c.header, fmt.Sprintf(errorBody, c.code)))
		p := newProvider(t, ts)
		for name, call := range calls {
			err := call(t.Context(), p)
			oe, ok := errors.AsType[*cdn.OpError](err)
			if !ok {
				t.Errorf("%s: %s = %v (%T); want an *OpError", c.name, name, err, err)
				continue
			}
			want, code := c.want, c.code
			if name == "head" { // a HEAD has no body: the status alone tells
				code = oe.Code
				switch {
				case c.status == 400 || c.status == 301:
					want = cdn.ErrInvalid
				case c.status == 404:
					want = cdn.ErrNotFound
				case c.status == 503:
					want = cdn.ErrUnavailable
				}
			}
			if !errors.Is(err, want) || oe.Status != c.status || oe.Wait != c.wait || code != "" && oe.Code != code {
				t.Errorf("%s: %s = %v (kind %v, status %d, code %q, wait %v); want %v, %d, %q, %v",
					c.name, name, err, oe.Kind, oe.Status, oe.Code, oe.Wait, want, c.status, code, c.wait)
			}
			leaks(t, err)
		}
	}
}

// leaks fails the test when an error repeats what it must not.
func leaks(t *testing.T, err error) {
	t.Helper()
	text := fmt.Sprintf("%v %+v %#v", err, err, errors.Unwrap(err))
	for _, secret := range []string{testSecret, testID, "Signature=", "X-Amz-Signature", "uploadId", "x-id="} {
		if strings.Contains(text, secret) {
			t.Errorf("error holds %q: %s", secret, text)
		}
	}
}

// TestForeignReplies: whatever is not S3's protocol is an outage, never a success.
func TestForeignReplies(t *testing.T) {
	html := "<!DOCTYPE html><html><head><title>502 Bad Gateway</title></head><body>nginx"
	for name, fault := range map[string]faultFunc{
		"html 502":       send(502, map[string]string{"Content-Type": "text/html"}, html),
		"200 with error": send(200, nil, fmt.Sprintf(errorBody, "InternalError")),
		"reset": func(_ http.ResponseWriter, r *http.Request, _ func(http.ResponseWriter)) bool {
			_, _ = io.Copy(io.Discard, r.Body)
			panic(http.ErrAbortHandler)
		},
	} {
		s, ts := newServer(t, false)
		s.setFault(fault)
		ts.Config.ErrorLog = nil
		p := newProvider(t, ts)
		for op, call := range calls {
			if name == "200 with error" && (op == "head" || op == "abort" || op == "open" || op == "delete") {
				continue // their success has no XML body: the status is all there is
			}
			err := call(t.Context(), p)
			if !errors.Is(err, cdn.ErrUnavailable) {
				t.Errorf("%s: %s = %v; want ErrUnavailable", name, op, err)
			}
			leaks(t, err)
		}
	}
}

// TestCompleteNeedsWholeReply: status 200 comes before S3 has joined the parts.
func TestCompleteNeedsWholeReply(t *testing.T) {
	whole := `<?xml version="1.0"?><CompleteMultipartUploadResult><Location>l</Location><Bucket>b</Bucket><Key>k</Key><ETag>"e-1"</ETag></CompleteMultipartUploadResult>`
	for name, body := range map[string]string{
		"empty":        "",
		"spaces":       strings.Repeat(" \n", 20),
		"header only":  `<?xml version="1.0"?>`,
		"cut":          whole[:len(whole)-8],
		"cut mid etag": whole[:strings.Index(whole, `e-1`)],
		"no etag":      strings.Replace(whole, `<ETag>"e-1"</ETag>`, "", 1),
		"html":         "<html><body>Please log in</body></html>",
		"late error":   strings.Repeat(" ", 64) + fmt.Sprintf(errorBody, "InternalError"),
	} {
		s, ts := newServer(t, false)
		s.setFault(send(200, nil, body))
		err := calls["complete"](t.Context(), newProvider(t, ts))
		if !errors.Is(err, cdn.ErrUnavailable) {
			t.Errorf("%s: Complete = %v; want ErrUnavailable", name, err)
		}
	}
	s, ts := newServer(t, false)
	s.setFault(send(200, nil, whole))
	if err := calls["complete"](t.Context(), newProvider(t, ts)); err != nil {
		t.Errorf("Complete with a whole reply = %v", err)
	}
}

// TestCompleteWithLostReply: the second Complete finds the object instead.
func TestCompleteWithLostReply(t *testing.T) {
	for _, overwritten := range []bool{false, true} {
		s, ts := newServer(t, false)
		p := newProvider(t, ts)
		b := []byte("a single part")
		obj := objectOf("k", b)
		id, err := p.Begin(t.Context(), obj)
		if err != nil {
			t.Fatal(err)
		}
		part, err := p.PutPart(t.Context(), obj, id, cdn.Part{Number: 1, Size: obj.Size, Last: true}, bytes.NewReader(b))
		if err != nil {
			t.Fatal(err)
		}
		s.setFault(func(w http.ResponseWriter, r *http.Request, serve func(http.ResponseWriter)) bool {
			serve(httptest.NewRecorder())
			panic(http.ErrAbortHandler)
		})
		if _, err := p.Complete(t.Context(), obj, id, []cdn.PartInfo{part}); !errors.Is(err, cdn.ErrUnavailable) {
			t.Fatalf("Complete without a reply = %v; want ErrUnavailable", err)
		}
		s.setFault(nil)
		if overwritten {
			if _, err := p.Put(t.Context(), obj, bytes.NewReader(b)); err != nil {
				t.Fatal(err)
			}
		}
		info, err := p.Complete(t.Context(), obj, id, []cdn.PartInfo{part})
		switch {
		case overwritten && !errors.Is(err, cdn.ErrNotFound):
			t.Errorf("Complete again, over another object = %v; want ErrNotFound", err)
		case !overwritten && (err != nil || !info.Verified || info.Size != obj.Size):
			t.Errorf("Complete again = %+v, %v; want the object, verified", info, err)
		}
	}
}

func TestOpenTruncatedReply(t *testing.T) {
	s, ts := newServer(t, false)
	s.setFault(func(w http.ResponseWriter, _ *http.Request, _ func(http.ResponseWriter)) bool {
		w.Header().Set("Content-Length", "1000")
		_, _ = io.WriteString(w, "only this")
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	})
	r, _, err := newProvider(t, ts).Open(t.Context(), cdn.Ref{Key: "k"}, 0, -1)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	b, err := io.ReadAll(r)
	if !errors.Is(err, cdn.ErrUnavailable) || string(b) != "only this" {
		t.Errorf("reading a truncated reply = %q, %v; want ErrUnavailable", b, err)
	}
}

func TestContextEnds(t *testing.T) {
	s, ts := newServer(t, false)
	started := make(chan struct{}, 1)
	s.setFault(func(_ http.ResponseWriter, r *http.Request, _ func(http.ResponseWriter)) bool {
		_, _ = io.Copy(io.Discard, r.Body)
		started <- struct{}{}
		<-r.Context().Done()
		return true
	})
	p := newProvider(t, ts)
	stop := errors.New("the user left")
	for name, call := range calls {
		ctx, cancel := context.WithCancelCause(t.Context())
		go func() { <-started; cancel(stop) }()
		err := call(ctx, p)
		if !errors.Is(err, context.Canceled) || !errors.Is(err, stop) || errors.Is(err, cdn.ErrUnavailable) {
			t.Errorf("%s, cancelled = %v; want context.Canceled and its cause, and no kind", name, err)
		}
		short, cancelShort := context.WithTimeout(t.Context(), 20*time.Millisecond)
		err = call(short, p)
		cancelShort()
		if !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, cdn.ErrUnavailable) {
			t.Errorf("%s past its deadline = %v; want ErrUnavailable and DeadlineExceeded", name, err)
		}
		select {
		case <-started:
		default:
		}
	}
}

func TestBodyFailures(t *testing.T) {
	boom := errors.New("disk on fire")
	for _, useTLS := range []bool{false, true} {
		s, ts := newServer(t, useTLS)
		p := newProvider(t, ts)
		obj := cdn.Object{Key: "k", Size: 200_000, HasCRC32C: true}
		_, err := p.Put(t.Context(), obj, bytes.NewReader(make([]byte, 150_000)))
		if !errors.Is(err, cdn.ErrTruncated) || errors.Is(err, cdn.ErrUnavailable) {
			t.Errorf("Put of a short body = %v; want ErrTruncated alone", err)
		}
		_, err = p.Put(t.Context(), obj, failing{boom})
		if !errors.Is(err, boom) || errors.Is(err, cdn.ErrUnavailable) {
			t.Errorf("Put of an unreadable body = %v; want its own error alone", err)
		}
		if n := len(s.stored()); n != 0 {
			t.Errorf("the server stored %d objects; want none", n)
		}
	}
}

type failing struct{ err error }

func (f failing) ReadAt(b []byte, off int64) (int, error) {
	if off > 100_000 {
		return 0, f.err
	}
	return len(b), nil
}

func TestCredentialsFailure(t *testing.T) {
	_, ts := newServer(t, false)
	for _, c := range []struct {
		err  error
		want error
	}{{errors.New("no role in this container"), cdn.ErrAuth}, {context.DeadlineExceeded, cdn.ErrAuth}} {
		p := newProvider(t, ts, func(o *s3cdn.Options) {
			o.AccessKeyID, o.SecretAccessKey = "", ""
			o.Config = &aws.Config{Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
				return aws.Credentials{}, c.err
			})}
		})
		for name, call := range calls {
			if err := call(t.Context(), p); !errors.Is(err, c.want) {
				t.Errorf("%s without credentials (%v) = %v; want %v", name, c.err, err, c.want)
			}
		}
	}
}

func TestWrongSecret(t *testing.T) {
	_, ts := newServer(t, false)
	p := newProvider(t, ts, func(o *s3cdn.Options) { o.SecretAccessKey = "not-the-secret" })
	for name, call := range calls {
		if err := call(t.Context(), p); !errors.Is(err, cdn.ErrAuth) || strings.Contains(err.Error(), "not-the-secret") {
			t.Errorf("%s with a wrong secret = %v; want ErrAuth", name, err)
		}
	}
}

func TestUnreachable(t *testing.T) {
	_, ts := newServer(t, false)
	p := newProvider(t, ts)
	ts.Close()
	for name, call := range calls {
		err := call(t.Context(), p)
		if !errors.Is(err, cdn.ErrUnavailable) {
			t.Errorf("%s with the server gone = %v; want ErrUnavailable", name, err)
		}
		leaks(t, err)
	}
}

// late is a transport that replies before it has read the body, and keeps it, as
// net/http's may.
type late struct{ body io.Reader }

func (l *late) RoundTrip(r *http.Request) (*http.Response, error) {
	l.body = r.Body
	return &http.Response{StatusCode: http.StatusServiceUnavailable, Header: http.Header{}, Body: http.NoBody, Request: r}, nil
}

// watched fails the test when it is read after the call that it was given to.
type watched struct {
	t    *testing.T
	over *bool
}

func (w watched) ReadAt(b []byte, _ int64) (int, error) {
	if *w.over {
		w.t.Error("the body was read after the call")
	}
	return len(b), nil
}

func TestBodyNotReadAfterReturn(t *testing.T) {
	_, ts := newServer(t, true)
	rt := &late{}
	p := newProvider(t, ts, func(o *s3cdn.Options) { o.HTTPClient = &http.Client{Transport: rt} })
	for name, call := range map[string]func(io.ReaderAt) error{
		"Put": func(r io.ReaderAt) error {
			_, err := p.Put(t.Context(), cdn.Object{Key: "k", Size: 1 << 20, ContentType: "text/plain", HasCRC32C: true}, r)
			return err
		},
		"PutPart": func(r io.ReaderAt) error {
			_, err := p.PutPart(t.Context(), cdn.Object{Key: "k", ContentType: "text/plain"}, "p.id", cdn.Part{Number: 1, Size: 1 << 20, Last: true}, r)
			return err
		},
	} {
		over := false
		if err := call(watched{t, &over}); !errors.Is(err, cdn.ErrUnavailable) {
			t.Errorf("%s = %v; want ErrUnavailable", name, err)
		}
		over = true
		if n, _ := io.Copy(io.Discard, rt.body); n > 0 {
			t.Errorf("%s: the transport read %d bytes after the call; want none", name, n)
		}
	}
}
