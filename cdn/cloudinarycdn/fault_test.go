package cloudinarycdn_test

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
	"github.com/perfblocks/perfblocks/cdn/cloudinarycdn"
)

var ref = cdn.Ref{Key: "k.txt", Handle: "raw/upload/v1/"}

// calls are all that sends a request.
var calls = map[string]func(context.Context, *cloudinarycdn.Provider) error{
	"put": func(ctx context.Context, p *cloudinarycdn.Provider) error {
		b := []byte("content of the fault test")
		_, err := p.Put(ctx, objectOf("k.txt", "text/plain", b), bytes.NewReader(b))
		return err
	},
	"head": func(ctx context.Context, p *cloudinarycdn.Provider) error {
		_, err := p.Head(ctx, ref)
		return err
	},
	"open": func(ctx context.Context, p *cloudinarycdn.Provider) error {
		r, _, err := p.Open(ctx, ref, 0, -1)
		if err != nil {
			return err
		}
		defer r.Close()
		_, err = io.ReadAll(r)
		return err
	},
	"delete": func(ctx context.Context, p *cloudinarycdn.Provider) error { return p.Delete(ctx, ref) },
	"part": func(ctx context.Context, p *cloudinarycdn.Provider) error {
		_, err := p.PutPart(ctx, objectOf("k.txt", "text/plain", nil), "id", cdn.Part{Number: 1, Size: 4, Last: true}, strings.NewReader("part"))
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
	const message = `{"error":{"message":"as told"}}`
	// What the official Go client takes for a success: fields of one, status of none.
	const lie = `{"public_id":"k.txt","version":1,"bytes":25,"resource_type":"raw","type":"upload","signature":"x"}`
	for _, c := range []struct {
		status int
		header map[string]string
		body   string
		want   error
		wait   time.Duration
	}{
		{500, nil, message, cdn.ErrUnavailable, 0},
		{500, nil, lie, cdn.ErrUnavailable, 0},
		{502, map[string]string{"Content-Type": "text/html"}, "<html><h1>502 Bad Gateway</h1>", cdn.ErrUnavailable, 0},
		{503, map[string]string{"Retry-After": "7"}, message, cdn.ErrUnavailable, 7 * time.Second},
		{429, map[string]string{"Retry-After": "1"}, message, cdn.ErrRateLimited, time.Second},
		{420, nil, `{"error":{"message":"Rate Limit Exceeded"}}`, cdn.ErrRateLimited, 0},
		{401, nil, message, cdn.ErrAuth, 0},
		{403, nil, message, cdn.ErrAuth, 0},
		{400, nil, message, cdn.ErrInvalid, 0},
		{400, nil, `{"error":{"message":"File size too large. Got 11. Maximum is 10."}}`, cdn.ErrTooLarge, 0},
		{413, nil, "", cdn.ErrTooLarge, 0},
		{409, nil, message, cdn.ErrExists, 0},
		{302, map[string]string{"Location": "http://127.0.0.1:1/"}, "", cdn.ErrInvalid, 0},
	} {
		s, ts := newServer(t)
		s.setFault(send(c.status, c.header, c.body))
		p := newProvider(t, ts, func(o *cloudinarycdn.Options) { o.HTTPClient = nil })
		for name, call := range calls {
			err := call(t.Context(), p)
			oe, ok := errors.AsType[*cdn.OpError](err)
			if !ok {
				t.Errorf("%d: %s = %v (%T); want an *OpError", c.status, name, err, err)
				continue
			}
			want := c.want
			if name == "head" && want == cdn.ErrTooLarge && c.status == 400 {
				want = cdn.ErrInvalid // no body, no message
			}
			if !errors.Is(err, want) || oe.Status != c.status || oe.Wait != c.wait {
				t.Errorf("%d: %s = %v (kind %v, wait %v); want %v, %v", c.status, name, err, oe.Kind, oe.Wait, want, c.wait)
			}
		}
		p.Close()
	}
}

// TestForeignReplies: status 200 with anything but a whole, signed reply.
func TestForeignReplies(t *testing.T) {
	for name, fault := range map[string]faultFunc{
		"html":       send(200, nil, "<html>please log in"),
		"empty":      send(200, nil, ""),
		"cut":        send(200, nil, `{"public_id":"k.txt","vers`),
		"error":      send(200, nil, `{"error":{"message":"nope"}}`),
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
			if name != "reset" && op == "head" || op == "open" && name != "reset" && name != "short" {
				continue // what a delivery URL serves is the content
			}
			if err := call(t.Context(), p); !errors.Is(err, cdn.ErrUnavailable) {
				t.Errorf("%s: %s = %v; want ErrUnavailable", name, op, err)
			}
		}
	}
}

func TestReplyIsVerified(t *testing.T) {
	b := []byte("content")
	for name, c := range map[string]struct {
		tamper func(map[string]any)
		want   error
	}{
		"signature":  {func(m map[string]any) { m["signature"] = sha("forged") }, cdn.ErrUnavailable},
		"no sig":     {func(m map[string]any) { delete(m, "signature") }, cdn.ErrUnavailable},
		"version":    {func(m map[string]any) { m["version"] = 1 }, cdn.ErrUnavailable},
		"id":         {func(m map[string]any) { m["public_id"] = "other" }, cdn.ErrUnavailable},
		"kind":       {func(m map[string]any) { m["resource_type"] = "image" }, cdn.ErrUnavailable},
		"bytes":      {func(m map[string]any) { m["bytes"] = 6 }, cdn.ErrChecksum},
		"etag":       {func(m map[string]any) { m["etag"] = "00000000000000000000000000000000" }, nil},
		"everything": {func(map[string]any) {}, nil},
	} {
		s, ts := newServer(t)
		s.tamper = c.tamper
		info, err := newProvider(t, ts).Put(t.Context(), objectOf("k.txt", "text/plain", b), bytes.NewReader(b))
		if !errors.Is(err, c.want) || info.Verified != (name == "everything") {
			t.Errorf("%s: Put = Verified %v, %v; want %v", name, info.Verified, err, c.want)
		}
	}
}

// TestErrorsKeepSecrets: Cloudinary repeats key and signature of a bad request.
func TestErrorsKeepSecrets(t *testing.T) {
	s, ts := newServer(t)
	for _, change := range []func(*cloudinarycdn.Options){
		func(o *cloudinarycdn.Options) { o.APISecret = "wrong-secret" },
		func(o *cloudinarycdn.Options) { o.APIKey = "999999" },
	} {
		p := newProvider(t, ts, change)
		for _, op := range []string{"put", "delete", "part"} {
			err := calls[op](t.Context(), p)
			if !errors.Is(err, cdn.ErrAuth) {
				t.Errorf("%s = %v; want ErrAuth", op, err)
			}
			hidden(t, err)
		}
	}
	s.setFault(send(400, nil, fmt.Sprintf(`{"error":{"message":"who is %s with %s? %s"}}`, testKey, testSecret, strings.Repeat("é", 300))))
	err := calls["put"](t.Context(), newProvider(t, ts))
	if hidden(t, err); len(err.Error()) > 400 {
		t.Errorf("error of %d bytes", len(err.Error()))
	}
}

func hidden(t *testing.T, err error) {
	t.Helper()
	text := fmt.Sprintf("%v %+v", err, errors.Unwrap(err))
	for _, secret := range []string{testSecret, testKey, "wrong-secret", "999999", "String to sign", "timestamp="} {
		if strings.Contains(text, secret) {
			t.Errorf("error holds %q: %s", secret, text)
		}
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
	obj.Size = 100_000_001
	if _, err := p.Put(t.Context(), obj, failing{boom}); !errors.Is(err, cdn.ErrTooLarge) {
		t.Errorf("Put of over 100 MB = %v; want ErrTooLarge", err)
	}
	if len(s.assets) != 0 {
		t.Errorf("the server stored %d objects; want none", len(s.assets))
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
	p := newProvider(t, ts, func(o *cloudinarycdn.Options) { o.HTTPClient = &http.Client{Transport: rt} })
	for name, call := range map[string]func(io.ReaderAt) error{
		"Put": func(r io.ReaderAt) error {
			_, err := p.Put(t.Context(), cdn.Object{Key: "k", Size: 1 << 20, ContentType: "text/plain"}, r)
			return err
		},
		"PutPart": func(r io.ReaderAt) error {
			_, err := p.PutPart(t.Context(), cdn.Object{Key: "k", ContentType: "text/plain"}, "id", cdn.Part{Number: 1, Size: 1 << 20, Last: true}, r)
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
