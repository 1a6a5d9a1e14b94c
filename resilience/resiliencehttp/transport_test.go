package resiliencehttp_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/perfblocks/perfblocks/resilience"
	"github.com/perfblocks/perfblocks/resilience/resiliencehttp"
)

func newTransport(t *testing.T, base http.RoundTripper, o resiliencehttp.TransportOptions) *resiliencehttp.Transport {
	t.Helper()
	tr, err := resiliencehttp.NewTransport(base, o)
	if err != nil {
		t.Fatal(err)
	}
	return tr
}

// roundTripFunc is a base that answers without a network.
type roundTripFunc func(*http.Request) (*http.Response, error)

func (f roundTripFunc) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// body tells whether it was read to the end and closed.
type body struct {
	io.Reader
	closed, drained bool
}

func (b *body) Read(p []byte) (int, error) {
	n, err := b.Reader.Read(p)
	b.drained = b.drained || err == io.EOF
	return n, err
}
func (b *body) Close() error { b.closed = true; return nil }

func answer(status int, text string) (*http.Response, *body) {
	b := &body{Reader: strings.NewReader(text)}
	return &http.Response{StatusCode: status, Header: http.Header{}, Body: b}, b
}

var errReset = &net.OpError{Op: "read", Net: "tcp", Err: syscall.ECONNRESET}
var errRefused = &net.OpError{Op: "dial", Net: "tcp", Err: syscall.ECONNREFUSED}

func TestTransportOptions(t *testing.T) {
	_, err := resiliencehttp.NewTransport(nil, resiliencehttp.TransportOptions{
		AttemptTimeout: -1, Retry: resilience.RetryOptions{MaxAttempts: -1},
	})
	if !errors.Is(err, resiliencehttp.ErrOptions) || !strings.Contains(err.Error(), "AttemptTimeout") || !strings.Contains(err.Error(), "MaxAttempts") {
		t.Errorf("NewTransport = %v; want ErrOptions naming both fields", err)
	}
}

// TestTransportRepeats tells for each method and failure how often a request is sent.
func TestTransportRepeats(t *testing.T) {
	for _, c := range []struct {
		name, method string
		header       string
		body         bool
		noGetBody    bool
		status       int
		err          error
		sent         int
		retryAfter   string
	}{
		{name: "GET 503", method: "GET", status: 503, sent: 4},
		{name: "GET 500", method: "GET", status: 500, sent: 4},
		{name: "GET 404", method: "GET", status: 404, sent: 1},
		{name: "GET 501", method: "GET", status: 501, sent: 1},
		{name: "GET reset", method: "GET", err: errReset, sent: 4},
		{name: "PUT body", method: "PUT", body: true, status: 502, sent: 4},
		{name: "PUT body that cannot be replayed", method: "PUT", body: true, noGetBody: true, status: 502, sent: 1},
		{name: "PUT error, body that cannot be replayed", method: "PUT", body: true, noGetBody: true, err: errRefused, sent: 1},
		{name: "POST 503", method: "POST", body: true, status: 503, sent: 1},
		{name: "POST reset", method: "POST", body: true, err: errReset, sent: 1},
		{name: "POST refused", method: "POST", body: true, err: errRefused, sent: 4},
		{name: "POST 425", method: "POST", body: true, status: 425, sent: 4},
		{name: "POST with key", method: "POST", header: "Idempotency-Key", body: true, status: 503, sent: 4},
		{name: "PATCH", method: "PATCH", body: true, err: errReset, sent: 1},
		{name: "GET 429 for too long", method: "GET", status: 429, retryAfter: "3600", sent: 1},
		{name: "GET 503 with garbage", method: "GET", status: 503, retryAfter: "-5", sent: 4},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				sent := 0
				var bodies []*body
				base := roundTripFunc(func(r *http.Request) (*http.Response, error) {
					sent++
					if c.body {
						got, _ := io.ReadAll(r.Body)
						_ = r.Body.Close()
						if string(got) != "payload" {
							t.Errorf("attempt %d sent %q; want payload", sent, got)
						}
					}
					if c.err != nil {
						return nil, c.err
					}
					resp, b := answer(c.status, "sorry")
					if c.retryAfter != "" {
						resp.Header.Set("Retry-After", c.retryAfter)
					}
					bodies = append(bodies, b)
					return resp, nil
				})
				var payload io.Reader
				if c.body {
					payload = strings.NewReader("payload")
				}
				r, err := http.NewRequestWithContext(t.Context(), c.method, "http://up/x", payload)
				if err != nil {
					t.Fatal(err)
				}
				if c.noGetBody {
					r.GetBody = nil
				}
				if c.header != "" {
					r.Header.Set(c.header, "1")
				}
				before, beforeBody := *r, r.Body
				resp, err := newTransport(t, base, resiliencehttp.TransportOptions{}).RoundTrip(r)
				if sent != c.sent {
					t.Errorf("sent %d times; want %d", sent, c.sent)
				}
				if r.Body != beforeBody || r.URL != before.URL || len(r.Header) != len(before.Header) {
					t.Error("the request was modified")
				}
				if c.err != nil {
					if !errors.Is(err, c.err) {
						t.Errorf("RoundTrip = %v; want the cause in it", err)
					}
					return
				}
				checkLast(t, resp, err, c.status, bodies)
			})
		})
	}
}

// checkLast checks that the last answer is whole and the others were given back.
func checkLast(t *testing.T, resp *http.Response, err error, status int, bodies []*body) {
	t.Helper()
	if err != nil {
		t.Fatalf("RoundTrip = %v; want the answer", err)
	}
	if text, _ := io.ReadAll(resp.Body); resp.StatusCode != status || string(text) != "sorry" {
		t.Errorf("answer %d %q; want %d sorry", resp.StatusCode, text, status)
	}
	_ = resp.Body.Close()
	for i, b := range bodies {
		if !b.closed || !b.drained {
			t.Errorf("body %d: closed %v, drained %v; want both", i, b.closed, b.drained)
		}
	}
}

func TestTransportBreakerPerHost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sent := map[string]int{}
		base := roundTripFunc(func(r *http.Request) (*http.Response, error) {
			sent[r.URL.Host]++
			if r.URL.Host == "down" {
				return nil, errRefused
			}
			resp, _ := answer(200, "ok")
			return resp, nil
		})
		tr := newTransport(t, base, resiliencehttp.TransportOptions{MaxOpenWait: -1, Retry: resilience.RetryOptions{BaseDelay: -1}})
		client := &http.Client{Transport: tr}
		var last error
		for range 30 {
			_, last = client.Get("http://down/") //nolint:bodyclose // There is none.
			resp, err := client.Get("http://fine/")
			if err != nil {
				t.Fatalf("fine: %v", err)
			}
			_ = resp.Body.Close()
		}
		if !errors.Is(last, resilience.ErrOpen) || sent["down"] != 10 || sent["fine"] != 30 {
			t.Errorf("down: %v, sent %v; want ErrOpen, 10 to down and 30 to fine", last, sent)
		}
		states := map[string]resilience.State{}
		for name, b := range tr.Breakers() {
			states[name] = b.State()
		}
		if states["down"] != resilience.StateOpen || states["fine"] != resilience.StateClosed {
			t.Errorf("states %v", states)
		}
		if s := tr.Stats(); s.Calls != 60 || s.Successes != 30 || s.Rejected == 0 {
			t.Errorf("Stats = %+v", s)
		}
		n := 0
		for range tr.Metrics() {
			n++
		}
		if n < 40 {
			t.Errorf("%d metrics; want those of two hosts", n)
		}
	})
}

func TestTransportClosesBodyWhenRejected(t *testing.T) {
	reg, err := resilience.NewRegistry(resilience.RegistryOptions{})
	if err != nil {
		t.Fatal(err)
	}
	reg.Breaker("up").ForceOpen()
	tr := newTransport(t, roundTripFunc(func(*http.Request) (*http.Response, error) { panic("sent") }),
		resiliencehttp.TransportOptions{Registry: reg})
	b := &body{Reader: strings.NewReader("x")}
	r, _ := http.NewRequestWithContext(t.Context(), "POST", "http://up/", b)
	resp, err := tr.RoundTrip(r)
	if resp != nil || !errors.Is(err, resilience.ErrOpen) || !b.closed {
		t.Errorf("RoundTrip = %v; body closed: %v; want ErrOpen and a closed body", err, b.closed)
	}
}

func TestTransportAttemptTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		calls := 0
		base := roundTripFunc(func(r *http.Request) (*http.Response, error) {
			if calls++; calls == 1 {
				<-r.Context().Done()
				return nil, r.Context().Err()
			}
			resp, _ := answer(200, "ok")
			ctx := r.Context()
			resp.Body = io.NopCloser(readerFunc(func(p []byte) (int, error) {
				if ctx.Err() != nil {
					return 0, ctx.Err()
				}
				return copy(p, "ok"), io.EOF
			}))
			return resp, nil
		})
		tr := newTransport(t, base, resiliencehttp.TransportOptions{AttemptTimeout: time.Second})
		r, _ := http.NewRequestWithContext(t.Context(), "GET", "http://up/", nil)
		resp, err := tr.RoundTrip(r)
		if err != nil || calls != 2 {
			t.Fatalf("RoundTrip = %v after %d calls; want an answer at the second", err, calls)
		}
		time.Sleep(time.Minute) // The body may take its time.
		if text, err := io.ReadAll(resp.Body); string(text) != "ok" || err != nil {
			t.Errorf("body %q, %v; want ok", text, err)
		}
		_ = resp.Body.Close()
		hang := roundTripFunc(func(r *http.Request) (*http.Response, error) { <-r.Context().Done(); return nil, r.Context().Err() })
		tr = newTransport(t, hang, resiliencehttp.TransportOptions{AttemptTimeout: time.Second})
		_, err = tr.RoundTrip(r) //nolint:bodyclose // There is none.
		if !errors.Is(err, resilience.ErrTimeout) || resilience.Classify(err).Class != resilience.ClassTimeout {
			t.Errorf("RoundTrip = %v; want ErrTimeout", err)
		}
	})
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

func TestTransportCancel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		base := roundTripFunc(func(*http.Request) (*http.Response, error) { resp, _ := answer(503, ""); return resp, nil })
		tr := newTransport(t, base, resiliencehttp.TransportOptions{Retry: resilience.RetryOptions{BaseDelay: time.Second, Jitter: resilience.JitterNone}})
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Millisecond, cancel)
		r, _ := http.NewRequestWithContext(ctx, "GET", "http://up/", nil)
		if _, err := tr.RoundTrip(r); !errors.Is(err, context.Canceled) { //nolint:bodyclose // There is none.
			t.Errorf("RoundTrip = %v; want Canceled", err)
		}
	})
}

func TestTransportPlainServer(t *testing.T) {
	s := httptest.NewServer(http.NotFoundHandler())
	defer s.Close()
	tr := newTransport(t, &http.Transport{}, resiliencehttp.TransportOptions{})
	defer tr.CloseIdleConnections()
	r, _ := http.NewRequestWithContext(t.Context(), "POST", "https://"+strings.TrimPrefix(s.URL, "http://"), nil)
	_, err := tr.RoundTrip(r) //nolint:bodyclose // There is none.
	if i := resilience.Classify(err); i.Class != resilience.ClassPermanent || i.Retryable {
		t.Errorf("%v is %+v; want permanent", err, i)
	}
}

func TestTransportDisabled(t *testing.T) {
	sent := 0
	tr := newTransport(t, roundTripFunc(func(*http.Request) (*http.Response, error) { sent++; return nil, errRefused }),
		resiliencehttp.TransportOptions{Disabled: true})
	r, _ := http.NewRequestWithContext(t.Context(), "GET", "http://up/", nil)
	_, err := tr.RoundTrip(r)           //nolint:bodyclose // There is none.
	if err != errRefused || sent != 1 { //nolint:errorlint // Untouched.
		t.Errorf("RoundTrip = %v, sent %d; want the bare error once", err, sent)
	}
}
