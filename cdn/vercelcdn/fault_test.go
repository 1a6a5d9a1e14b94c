package vercelcdn_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/perfblocks/perfblocks/cdn"
	"github.com/perfblocks/perfblocks/cdn/vercelcdn"
)

var ref = cdn.Ref{Key: "k.txt"}

// calls are all that sends a request.
var calls = map[string]func(context.Context, *vercelcdn.Provider) error{
	"put": func(ctx context.Context, p *vercelcdn.Provider) error {
		b := []byte("content of the fault test")
		_, err := p.Put(ctx, objectOf("k.txt", b), bytes.NewReader(b))
		return err
	},
	"head": func(ctx context.Context, p *vercelcdn.Provider) error {
		_, err := p.Head(ctx, ref)
		return err
	},
	"open": func(ctx context.Context, p *vercelcdn.Provider) error {
		r, _, err := p.Open(ctx, ref, 0, -1)
		if err != nil {
			return err
		}
		defer r.Close()
		_, err = io.ReadAll(r)
		return err
	},
	"delete": func(ctx context.Context, p *vercelcdn.Provider) error { return p.Delete(ctx, ref) },
	"list": func(ctx context.Context, p *vercelcdn.Provider) error {
		for _, err := range p.List(ctx, "") {
			return err
		}
		return nil
	},
	"copy": func(ctx context.Context, p *vercelcdn.Provider) error {
		_, err := p.Copy(ctx, ref, objectOf("to", nil))
		return err
	},
	"begin": func(ctx context.Context, p *vercelcdn.Provider) error {
		_, err := p.Begin(ctx, objectOf("k.txt", nil))
		return err
	},
	"part": func(ctx context.Context, p *vercelcdn.Provider) error {
		_, err := p.PutPart(ctx, objectOf("k.txt", nil), "id key", cdn.Part{Number: 1, Size: 4, Last: true}, strings.NewReader("part"))
		return err
	},
	"complete": func(ctx context.Context, p *vercelcdn.Provider) error {
		_, err := p.Complete(ctx, objectOf("k.txt", nil), "id key", []cdn.PartInfo{{Number: 1, Size: 4, ETag: "e"}})
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

func TestErrorKinds(t *testing.T) {
	said := func(code, message string) string {
		return fmt.Sprintf(`{"error":{"code":%q,"message":%q}}`, code, message)
	}
	for _, c := range []struct {
		status int
		header map[string]string
		body   string
		want   error
		wait   time.Duration
	}{
		{500, nil, said("unknown_error", "as told"), cdn.ErrUnavailable, 0},
		{500, nil, `{"url":"https://x/k.txt","pathname":"k.txt"}`, cdn.ErrUnavailable, 0},
		{502, map[string]string{"Content-Type": "text/html"}, "<html><h1>502 Bad Gateway</h1>", cdn.ErrUnavailable, 0},
		{503, map[string]string{"Retry-After": "7"}, said("service_unavailable", ""), cdn.ErrUnavailable, 7 * time.Second},
		{429, map[string]string{"Retry-After": "1"}, said("rate_limited", ""), cdn.ErrRateLimited, time.Second},
		{403, nil, said("forbidden", ""), cdn.ErrAuth, 0},
		{403, nil, said("store_suspended", ""), cdn.ErrAuth, 0},
		{401, nil, "", cdn.ErrAuth, 0},
		{400, nil, said("bad_request", "no"), cdn.ErrInvalid, 0},
		{400, nil, said("bad_request", "This blob already exists, use `allowOverwrite: true`"), cdn.ErrExists, 0},
		{400, nil, said("bad_request", "the file length cannot be greater than 5"), cdn.ErrTooLarge, 0},
		{412, nil, said("precondition_failed", ""), cdn.ErrExists, 0},
		{413, nil, "", cdn.ErrTooLarge, 0},
		{404, nil, said("store_not_found", ""), cdn.ErrInvalid, 0},
		{302, map[string]string{"Location": "http://127.0.0.1:1/"}, "", cdn.ErrInvalid, 0},
	} {
		s, ts := newServer(t)
		s.setFault(send(c.status, c.header, c.body))
		p := newProvider(t, ts, func(o *vercelcdn.Options) { o.HTTPClient = nil })
		for name, call := range calls {
			err := call(t.Context(), p)
			oe, ok := errors.AsType[*cdn.OpError](err)
			if !ok {
				t.Errorf("%d: %s = %v (%T); want an *OpError", c.status, name, err, err)
				continue
			}
			if !errors.Is(err, c.want) || oe.Status != c.status || oe.Wait != c.wait {
				t.Errorf("%d: %s = %v (kind %v, wait %v); want %v, %v", c.status, name, err, oe.Kind, oe.Wait, c.want, c.wait)
			}
		}
		p.Close()
	}
}

// TestForeignReplies: status 200 with anything but a whole reply about the object.
func TestForeignReplies(t *testing.T) {
	for name, fault := range map[string]faultFunc{
		"html":       send(200, nil, "<html>please log in"),
		"empty":      send(200, nil, ""),
		"cut":        send(200, nil, `{"public_id":"k.txt","vers`),
		"error":      send(200, nil, `{"error":{"code":"unknown_error","message":"nope"}}`),
		"other":      send(200, nil, `{"url":"https://x/other","pathname":"other","uploadId":"","etag":""}`),
		"other json": send(200, nil, `{"hello":"world"}`),
		"null":       send(200, nil, "null"),
		"reset": func(_ http.ResponseWriter, r *http.Request, _ func(http.ResponseWriter)) bool {
			_, _ = io.Copy(io.Discard, r.Body)
			panic(http.ErrAbortHandler)
		},
		"short": func(w http.ResponseWriter, r *http.Request, _ func(http.ResponseWriter)) bool {
			_, _ = io.Copy(io.Discard, r.Body)
			w.Header().Set("Content-Length", "1000")
			_, _ = io.WriteString(w, `{"public_id":"k.txt"`)
			_ = http.NewResponseController(w).Flush()
			panic(http.ErrAbortHandler)
		},
	} {
		s, ts := newServer(t)
		s.setFault(fault)
		p := newProvider(t, ts)
		for op, call := range calls {
			if op == "open" && name != "reset" && name != "short" {
				continue // what a blob's URL serves is the content
			}
			if op == "delete" && (name == "null" || strings.HasPrefix(name, "other") || name == "error") {
				continue // its reply says nothing, and the status is the truth
			}
			if err := call(t.Context(), p); !errors.Is(err, cdn.ErrUnavailable) {
				t.Errorf("%s: %s = %v; want ErrUnavailable", name, op, err)
			}
		}
	}
}

// TestErrorsKeepSecrets: the test server repeats a token that it does not know.
func TestErrorsKeepSecrets(t *testing.T) {
	s, ts := newServer(t)
	wrong := "vercel_blob_rw_" + testStore + "_" + "wrongSecret"
	p := newProvider(t, ts, func(o *vercelcdn.Options) { o.Token = wrong })
	for name, call := range calls {
		if name == "open" {
			continue // a public URL needs no token
		}
		err := call(t.Context(), p)
		if !errors.Is(err, cdn.ErrAuth) || strings.Contains(fmt.Sprintf("%v %+v", err, errors.Unwrap(err)), "wrongSecret") {
			t.Errorf("%s = %v; want ErrAuth without the token", name, err)
		}
	}
	s.setFault(send(400, nil, fmt.Sprintf(`{"error":{"code":"bad_request","message":"%s and %s"}}`, testSecret, strings.Repeat("é", 300))))
	err := calls["put"](t.Context(), newProvider(t, ts))
	if text := err.Error(); strings.Contains(text, testSecret) || len(text) > 400 {
		t.Errorf("error of %d bytes: %s", len(text), text)
	}
}

func TestContextEnds(t *testing.T) {
	s, ts := newServer(t)
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

func TestUnreachable(t *testing.T) {
	_, ts := newServer(t)
	p := newProvider(t, ts)
	ts.Close()
	for name, call := range calls {
		err := call(t.Context(), p)
		if !errors.Is(err, cdn.ErrUnavailable) || strings.Contains(err.Error(), "http://") {
			t.Errorf("%s with the server gone = %v; want ErrUnavailable without a URL", name, err)
		}
	}
}

func TestBodyFailures(t *testing.T) {
	s, ts := newServer(t)
	p := newProvider(t, ts)
	boom := errors.New("disk on fire")
	obj := cdn.Object{Key: "k", Size: 200_000, ContentType: "text/plain"}
	if _, err := p.Put(t.Context(), obj, bytes.NewReader(make([]byte, 150_000))); !errors.Is(err, cdn.ErrTruncated) || errors.Is(err, cdn.ErrUnavailable) {
		t.Errorf("Put of a short body = %v; want ErrTruncated alone", err)
	}
	if _, err := p.Put(t.Context(), obj, failing{boom}); !errors.Is(err, boom) || errors.Is(err, cdn.ErrUnavailable) {
		t.Errorf("Put of an unreadable body = %v; want its own error alone", err)
	}
	if len(s.blobs) != 0 {
		t.Errorf("the server stored %d objects; want none", len(s.blobs))
	}
}

type failing struct{ err error }

func (f failing) ReadAt(b []byte, off int64) (int, error) {
	if off > 100_000 {
		return 0, f.err
	}
	return len(b), nil
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
	_, ts := newServer(t)
	rt := &late{}
	p := newProvider(t, ts, func(o *vercelcdn.Options) { o.HTTPClient = &http.Client{Transport: rt} })
	for name, call := range map[string]func(io.ReaderAt) error{
		"Put": func(r io.ReaderAt) error {
			_, err := p.Put(t.Context(), cdn.Object{Key: "k", Size: 1 << 20, ContentType: "text/plain"}, r)
			return err
		},
		"PutPart": func(r io.ReaderAt) error {
			_, err := p.PutPart(t.Context(), cdn.Object{Key: "k", ContentType: "text/plain"}, "id key", cdn.Part{Number: 1, Size: 1 << 20, Last: true}, r)
			return err
		},
	} {
		over := false
		if err := call(watched{t, &over}); !errors.Is(err, cdn.ErrUnavailable) {
			t.Errorf("%s = %v; want ErrUnavailable", name, err)
		}
		over = true
		if n, err := io.Copy(io.Discard, rt.body); err == nil || n >= 1<<20 {
			t.Errorf("%s: the transport read %d bytes after the call, %v; want an error", name, n, err)
		}
	}
}

// TestServerWithoutRanges: the bytes before the range are read and dropped.
func TestServerWithoutRanges(t *testing.T) {
	s, ts := newServer(t)
	s.setFault(send(200, nil, "0123456789"))
	p := newProvider(t, ts)
	for _, c := range []struct {
		off, n int64
		want   string
	}{{2, 3, "234"}, {7, -1, "789"}, {8, 5, "89"}, {10, 1, ""}} {
		r, info, err := p.Open(t.Context(), ref, c.off, c.n)
		if err != nil {
			t.Errorf("Open(%d, %d) = %v", c.off, c.n, err)
			continue
		}
		b, err := io.ReadAll(r)
		if r.Close(); string(b) != c.want || err != nil || info.Size != 10 {
			t.Errorf("Open(%d, %d) = %q, %v of %d bytes; want %q of 10", c.off, c.n, b, err, info.Size, c.want)
		}
	}
	if _, _, err := p.Open(t.Context(), ref, 11, 1); !errors.Is(err, cdn.ErrInvalid) {
		t.Errorf("Open past the end = %v; want ErrInvalid", err)
	}
}
