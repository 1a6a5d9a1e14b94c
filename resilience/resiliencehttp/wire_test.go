package resiliencehttp_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/perfblocks/perfblocks/resilience"
	"github.com/perfblocks/perfblocks/resilience/resiliencehttp"
)

// retryNow repeats at once.
func retryNow() resiliencehttp.TransportOptions {
	return resiliencehttp.TransportOptions{AttemptTimeout: time.Minute, Retry: resilience.RetryOptions{BaseDelay: -1}}
}

// TestTransportStatuses tells for each status and method how often a request is sent.
func TestTransportStatuses(t *testing.T) {
	for _, c := range []struct {
		status    int
		get, post int
	}{
		{200, 1, 1},
		{301, 1, 1}, {304, 1, 1}, // http.Client follows, not we.
		{400, 1, 1}, {401, 1, 1}, {404, 1, 1}, {409, 1, 1}, {410, 1, 1}, {422, 1, 1},
		{408, 4, 1}, // RFC 9110, 15.5.9: it may be repeated; whether it was executed is not said.
		{425, 4, 4}, // RFC 8470, 5.2: not processed.
		{429, 4, 1}, // RFC 6585, 4
		{500, 4, 1}, {502, 4, 1}, {503, 4, 1}, {504, 4, 1}, {507, 4, 1}, {599, 4, 1},
		{501, 1, 1}, {505, 1, 1}, {511, 1, 1}, // No other time helps.
	} {
		for _, h2 := range []bool{false, true} {
			var sent atomic.Int32
			s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				sent.Add(1)
				if text, err := io.ReadAll(r.Body); err != nil || r.Method == "POST" && string(text) != "payload" {
					t.Errorf("the server read %q, %v", text, err)
				}
				w.WriteHeader(c.status)
			}))
			if s.EnableHTTP2 = h2; h2 {
				s.StartTLS()
			} else {
				s.Start()
			}
			tr := newTransport(t, s.Client().Transport, retryNow())
			for method, want := range map[string]int{"GET": c.get, "POST": c.post} {
				sent.Store(0)
				var body io.Reader = http.NoBody
				if method == "POST" {
					body = strings.NewReader("payload")
				}
				resp, err := tr.RoundTrip(must(http.NewRequestWithContext(t.Context(), method, s.URL, body)))
				if err != nil || resp.StatusCode != c.status || int(sent.Load()) != want {
					t.Fatalf("%s %d, HTTP/2 %v: %v, %v after %d attempts; want %d", method, c.status, h2, resp, err, sent.Load(), want)
				}
				_ = resp.Body.Close()
			}
			s.Close()
		}
	}
}

// TestTransportUsersRules checks that Retry.If and a classifier see every status of
// 400 and more.
func TestTransportUsersRules(t *testing.T) {
	missing := func() (http.RoundTripper, *int) {
		sent := new(int)
		return roundTripFunc(func(*http.Request) (*http.Response, error) {
			*sent++
			resp, _ := answer(404, "not yet")
			return resp, nil
		}), sent
	}
	o := retryNow()
	o.Retry.If = func(err error, _ resilience.Info) bool {
		e, ok := errors.AsType[*resiliencehttp.StatusError](err)
		return ok && e.Status == 404
	}
	p := retryNow()
	p.Classifier = resilience.NewClassifier(resilience.AsRule(func(e *resiliencehttp.StatusError) (resilience.Info, bool) {
		return resilience.Info{Class: resilience.ClassUnavailable, Retryable: true}, e.Status == 404
	}))
	for name, o := range map[string]resiliencehttp.TransportOptions{"If": o, "Classifier": p} {
		base, sent := missing()
		resp, err := newTransport(t, base, o).RoundTrip(must(http.NewRequest("GET", "http://up/", nil)))
		if err != nil || resp.StatusCode != 404 || *sent != 4 {
			t.Errorf("%s: %v, %v after %d attempts; want the 404 after 4", name, resp, err, *sent)
			continue
		}
		if text, err := io.ReadAll(resp.Body); string(text) != "not yet" || err != nil {
			t.Errorf("%s: body %q, %v", name, text, err)
		}
	}
}

// TestTransportRetryAfter checks how long is waited for what the server asked.
func TestTransportRetryAfter(t *testing.T) {
	for _, c := range []struct {
		value    string
		min, max time.Duration // of the wait
		sent     int
	}{
		{"2", 2 * time.Second, 2200 * time.Millisecond, 2},
		{" 2 ", 2 * time.Second, 2200 * time.Millisecond, 2},
		{"Sat, 01 Jan 2000 00:00:05 GMT", 5 * time.Second, 5500 * time.Millisecond, 2},
		{"Fri, 31 Dec 1999 23:00:00 GMT", 0, time.Second, 2}, // Past.
		{"30", 30 * time.Second, 33 * time.Second, 2},
		{"31", 0, 0, 1}, // Longer than MaxRetryAfter: an earlier attempt is unwelcome.
		{"99999999999", 0, 0, 1},
		{"-5", 0, time.Second, 2}, {"soon", 0, time.Second, 2}, {"1.5", 0, time.Second, 2}, {"", 0, time.Second, 2},
	} {
		for _, status := range []int{429, 503} {
			synctest.Test(t, func(t *testing.T) {
				sent := 0
				start := time.Now()
				tr := newTransport(t, roundTripFunc(func(*http.Request) (*http.Response, error) {
					if sent++; sent == 2 {
						resp, _ := answer(200, "")
						return resp, nil
					}
					resp, _ := answer(status, "wait")
					resp.Header.Set("Retry-After", c.value)
					return resp, nil
				}), resiliencehttp.TransportOptions{})
				resp, err := tr.RoundTrip(must(http.NewRequest("GET", "http://up/", nil)))
				if took := time.Since(start); err != nil || sent != c.sent || took < c.min || took > c.max {
					t.Errorf("%d, Retry-After %q: %v, %v; %d attempts in %v; want %d in %v to %v", status, c.value, resp, err, sent, took, c.sent, c.min, c.max)
				}
			})
		}
	}
}

type ctxKey struct{}

// TestTransportPassesTheRequestOn checks that each attempt has what the request had:
// the values of its context, its length or the lack of one, its trailer.
func TestTransportPassesTheRequestOn(t *testing.T) {
	for _, c := range []struct {
		name   string
		body   func() io.Reader
		length int64
	}{
		{"nil body", func() io.Reader { return nil }, 0},
		{"NoBody", func() io.Reader { return http.NoBody }, 0},
		{"bytes", func() io.Reader { return strings.NewReader("payload") }, 7},
		{"unknown length", func() io.Reader { return struct{ io.Reader }{strings.NewReader("payload")} }, -1},
	} {
		sent := 0
		tr := newTransport(t, roundTripFunc(func(r *http.Request) (*http.Response, error) {
			sent++
			if r.Context().Value(ctxKey{}) != "v" || r.ContentLength != c.length || r.Trailer.Get("X-Sum") != "1" || r.Host != "virtual" {
				t.Errorf("%s: attempt %d got %+v", c.name, sent, r)
			}
			if (r.Body == nil) != (c.name == "nil body") || (r.Body == http.NoBody) != (c.name == "NoBody") {
				t.Errorf("%s: attempt %d has body %v", c.name, sent, r.Body)
			}
			if r.Body != nil {
				text, _ := io.ReadAll(r.Body)
				_ = r.Body.Close()
				if c.length != 0 && string(text) != "payload" {
					t.Errorf("%s: attempt %d sent %q", c.name, sent, text)
				}
			}
			resp, _ := answer(503, "")
			return resp, nil
		}), retryNow())
		ctx := context.WithValue(t.Context(), ctxKey{}, "v")
		r := must(http.NewRequestWithContext(ctx, http.MethodPut, "http://up/", c.body()))
		r.Host, r.Trailer = "virtual", http.Header{"X-Sum": {"1"}}
		if c.length < 0 {
			r.ContentLength = -1
			r.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(c.body()), nil }
		}
		if resp, err := tr.RoundTrip(r); err != nil || resp.StatusCode != 503 || sent != 4 {
			t.Errorf("%s: %v, %v after %d attempts; want 4", c.name, resp, err, sent)
		}
	}
}

// TestTransportOverTheWire checks redirects, 100-continue, chunked bodies and trailers
// of answers through a retry, over HTTP/1.1 and HTTP/2.
func TestTransportOverTheWire(t *testing.T) {
	for _, h2 := range []bool{false, true} {
		var n atomic.Int32
		s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/old" {
				http.Redirect(w, r, "/new", http.StatusTemporaryRedirect)
				return
			}
			if n.Add(1) == 1 { // Before the body was asked for.
				http.Error(w, "busy", http.StatusServiceUnavailable)
				return
			}
			w.Header().Set("Trailer", "X-Sum")
			text, _ := io.ReadAll(r.Body)
			fmt.Fprintf(w, "%s %d %s", text, r.ContentLength, r.Proto)
			w.Header().Set("X-Sum", "42")
		}))
		if s.EnableHTTP2 = h2; h2 {
			s.StartTLS()
		} else {
			s.Start()
		}
		client := s.Client()
		client.Transport.(*http.Transport).ExpectContinueTimeout = 10 * time.Second
		client.Transport = newTransport(t, client.Transport, retryNow())
		r := must(http.NewRequestWithContext(t.Context(), http.MethodPut, s.URL+"/old", struct{ io.Reader }{strings.NewReader("payload")}))
		r.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader("payload")), nil }
		r.Header.Set("Expect", "100-continue")
		resp, err := client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		proto := map[bool]string{false: "HTTP/1.1", true: "HTTP/2.0"}[h2]
		if string(text) != "payload -1 "+proto || err != nil || resp.Trailer.Get("X-Sum") != "42" || n.Load() != 2 {
			t.Errorf("%q, %v, trailer %v after %d attempts", text, err, resp.Trailer, n.Load())
		}
		s.Close()
	}
}

// TestTransportDripBody checks that an error body that comes byte by byte, and so never
// hangs, does not hold up the retry, and that the end of the request's context ends the
// drain.
func TestTransportDripBody(t *testing.T) {
	var n atomic.Int32
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if n.Add(1) > 1 {
			return
		}
		w.WriteHeader(http.StatusServiceUnavailable)
		for r.Context().Err() == nil {
			_, _ = io.WriteString(w, "x")
			_ = http.NewResponseController(w).Flush()
			time.Sleep(10 * time.Millisecond)
		}
	}))
	defer s.Close()
	base := &http.Transport{}
	defer base.CloseIdleConnections()
	o := retryNow()
	tr := newTransport(t, base, o)
	start := time.Now()
	resp, err := tr.RoundTrip(must(http.NewRequestWithContext(t.Context(), "GET", s.URL, nil)))
	if took := time.Since(start); err != nil || resp.StatusCode != 200 || took > 5*time.Second {
		t.Fatalf("RoundTrip = %v, %v after %v", resp, err, took)
	}
	_ = resp.Body.Close()
	n.Store(0)
	ctx, cancel := context.WithCancel(t.Context())
	o.Hooks.Retry = func(resilience.RetryEvent) { cancel() }
	tr = newTransport(t, base, o)
	if _, err := tr.RoundTrip(must(http.NewRequestWithContext(ctx, "GET", s.URL, nil))); !errors.Is(err, context.Canceled) { //nolint:bodyclose // There is none.
		t.Errorf("RoundTrip = %v; want Canceled", err)
	}
}

// TestTransportDoesNotHedge checks that a slow answer is waited for.
func TestTransportDoesNotHedge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sent := 0
		tr := newTransport(t, roundTripFunc(func(*http.Request) (*http.Response, error) {
			sent++
			time.Sleep(time.Hour)
			resp, _ := answer(200, "")
			return resp, nil
		}), resiliencehttp.TransportOptions{})
		if _, err := tr.RoundTrip(must(http.NewRequest("GET", "http://up/", nil))); err != nil || sent != 1 { //nolint:bodyclose // It is empty.
			t.Errorf("%v after %d attempts; want 1", err, sent)
		}
	})
}

// TestTransportManyHosts checks that names from outside do not fill the memory.
func TestTransportManyHosts(t *testing.T) {
	tr := newTransport(t, still(), resiliencehttp.TransportOptions{})
	for i := range 3000 {
		if _, err := tr.RoundTrip(must(http.NewRequest("GET", fmt.Sprintf("http://h%d/", i), nil))); err != nil { //nolint:bodyclose // It is empty.
			t.Fatal(err)
		}
	}
	n := 0
	for range tr.Breakers() {
		n++
	}
	if calls := tr.Stats().Calls; n > 1024 || calls > 1024 {
		t.Errorf("%d breakers and %d calls are kept; want at most 1024", n, calls)
	}
}

// TestTransportUpgrade checks that a switched connection can be written to behind an
// AttemptTimeout, as websocket clients and httputil.ReverseProxy do.
func TestTransportUpgrade(t *testing.T) {
	s := httptest.NewServer(echo())
	defer s.Close()
	tr := newTransport(t, &http.Transport{}, retryNow())
	checkEcho(t, tr, s.URL)
}

// echo takes over the connection and sends back a line.
func echo() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		conn, rw, err := http.NewResponseController(w).Hijack()
		if err != nil {
			http.Error(w, err.Error(), 500)
			return
		}
		defer conn.Close()
		_, _ = rw.WriteString("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
		_ = rw.Flush()
		line, _ := rw.ReadString('\n')
		_, _ = io.WriteString(conn, line)
	})
}

func checkEcho(t *testing.T, tr http.RoundTripper, url string) {
	t.Helper()
	r := must(http.NewRequestWithContext(t.Context(), "GET", url, nil))
	r.Header.Set("Connection", "Upgrade")
	r.Header.Set("Upgrade", "echo")
	resp, err := tr.RoundTrip(r)
	if err != nil || resp.StatusCode != http.StatusSwitchingProtocols {
		t.Fatalf("RoundTrip = %v, %v; want 101", resp, err)
	}
	conn, ok := resp.Body.(io.ReadWriteCloser)
	if !ok {
		t.Fatalf("the body %T cannot be written to", resp.Body)
	}
	defer conn.Close()
	_, _ = io.WriteString(conn, "hello\n")
	if line, err := bufio.NewReader(conn).ReadString('\n'); line != "hello\n" {
		t.Errorf("echo %q, %v", line, err)
	}
}
