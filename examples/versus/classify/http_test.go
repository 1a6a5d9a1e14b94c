package classify_test

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/perfblocks/perfblocks/resilience"
)

// fetch does the request with a transport of its own and reads the body to its end.
func fetch(t *testing.T, c *http.Client, r *http.Request) error {
	if tr, isTransport := c.Transport.(*http.Transport); isTransport {
		t.Cleanup(tr.CloseIdleConnections)
	}
	resp, err := c.Do(r.WithContext(t.Context()))
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	_, err = io.Copy(io.Discard, resp.Body)
	return err
}

func get(t *testing.T, tr *http.Transport, url string) error {
	return fetch(t, &http.Client{Transport: tr}, must[*http.Request](t)(http.NewRequest("GET", url, nil)))
}

// raw is a server that reads one request's head and answers with the text.
func raw(t *testing.T, text string) string {
	return "http://" + listen(t, func(c net.Conn) {
		if _, err := http.ReadRequest(bufio.NewReader(c)); err == nil {
			_, _ = io.WriteString(c, text)
		}
	})
}

// stall answers with the text and then waits for the client to go.
func stall(t *testing.T, text string) string {
	return "http://" + listen(t, func(c net.Conn) {
		in := bufio.NewReader(c)
		if _, err := http.ReadRequest(in); err == nil {
			_, _ = io.WriteString(c, text)
			_, _ = io.Copy(io.Discard, in)
		}
	})
}

// reused posts on a connection that the server closes at the second request; the
// body cannot be had again.
func reused(t *testing.T) error {
	addr := listen(t, func(c net.Conn) {
		in := bufio.NewReader(c)
		r, err := http.ReadRequest(in)
		if err != nil {
			return
		}
		_, _ = io.Copy(io.Discard, r.Body)
		_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
		if r, err = http.ReadRequest(in); err == nil {
			_, _ = io.Copy(io.Discard, r.Body)
		}
	})
	tr := &http.Transport{}
	ok(t, get(t, tr, "http://"+addr))
	r := must[*http.Request](t)(http.NewRequest("POST", "http://"+addr, io.MultiReader(strings.NewReader("abc"))))
	return fetch(t, &http.Client{Transport: tr}, r)
}

// broken is a gzip stream with a wrong checksum.
func broken(t *testing.T) string {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_ = must[int](t)(w.Write([]byte("some text")))
	ok(t, w.Close())
	b.Bytes()[b.Len()-8] ^= 0xff
	return b.String()
}

// timedOut writes in a handler that http.TimeoutHandler has ended.
func timedOut(t *testing.T) error {
	out := make(chan error, 1)
	h := http.TimeoutHandler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		<-r.Context().Done()
		for { // the handler of the timeout may not have answered yet.
			if _, err := w.Write([]byte("x")); err != nil {
				out <- err
				return
			}
		}
	}), time.Millisecond, "late")
	h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", "/", nil).WithContext(t.Context()))
	return <-out
}

// httpRows expects a reply that breaks the protocol to be a failure inside the other
// side, as a gateway would tell by 502 (RFC 9110, 15.6.3); a reply beyond a limit of
// ours is left open for the retry, since no document says whose limit is wrong.
func httpRows(t *testing.T) []row {
	up, down := is(resilience.ClassUnavailable, "", retry|counts), is(resilience.ClassUnavailable, "", retry|notSent|counts)
	late, inside := is(resilience.ClassTimeout, "", retry|counts), is(resilience.ClassInternal, "", retry|counts)
	bad := is(resilience.ClassInvalid, "", notSent)
	reply := func(name, ref, text string, w want, answer string) row {
		return row{name, ref, text, w, func(t *testing.T) error { return get(t, &http.Transport{}, raw(t, answer)) }}
	}
	asked := func(name, ref, text string, w want, method, url, body string, change func(*http.Request)) row {
		return row{name, ref, text, w, func(t *testing.T) error {
			r, err := http.NewRequest(method, url, io.MultiReader(strings.NewReader(body)))
			if err != nil {
				return err
			}
			if change != nil {
				change(r)
			}
			return fetch(t, &http.Client{Transport: &http.Transport{}}, r)
		}}
	}
	const head = "HTTP/1.1 200 OK\r\n"
	site := raw(t, head+"Content-Length: 0\r\n\r\n")
	return []row{
		reply("closed before the response", "RFC 9112, 9.5: closed by the server", "EOF", up, ""),
		reply("closed within the head", "RFC 9112, 8: incomplete message", "unexpected EOF", up, head+"Content-Length: 5\r\n"),
		reply("closed within the content", "RFC 9112, 8: shorter than its Content-Length", "unexpected EOF", up, head+"Content-Length: 10\r\n\r\nabc"),
		reply("closed within a chunk", "RFC 9112, 8: no zero-sized chunk", "unexpected EOF", up, head+"Transfer-Encoding: chunked\r\n\r\n5\r\nab"),
		reply("status line malformed", "RFC 9112, 4", "malformed HTTP", inside, "SSH-2.0-OpenSSH_9\r\n\r\n"),
		reply("status code malformed", "RFC 9110, 15: three digits", "malformed HTTP status code", inside, "HTTP/1.1 abc OK\r\n\r\n"),
		reply("version malformed", "RFC 9112, 2.3", "malformed HTTP version", inside, "HTTP/x 200 OK\r\n\r\n"),
		reply("field line malformed", "RFC 9112, 5.1", "malformed MIME header", inside, head+"no colon here\r\n\r\n"),
		reply("content length malformed", "RFC 9110, 8.6; RFC 9112, 6.3", "bad Content-Length", inside, head+"Content-Length: x\r\n\r\n"),
		reply("transfer coding unknown", "RFC 9112, 6.1 and 7", "unsupported transfer encoding", inside, head+"Transfer-Encoding: foo\r\n\r\n"),
		reply("chunk size malformed", "RFC 9112, 7.1", "invalid byte in chunk length", inside, head+"Transfer-Encoding: chunked\r\n\r\nxyz\r\n"),
		reply("chunk line too long", "go doc http.ErrLineTooLong; RFC 9112, 7.1.1", "too long", inside, head+"Transfer-Encoding: chunked\r\n\r\n1;"+strings.Repeat("x", 9000)+"\r\n"),
		reply("trailer too long", "RFC 9112, 7.1.2", "suspiciously long trailer", inside, head+"Transfer-Encoding: chunked\r\nTrailer: X\r\n\r\n0\r\nX: "+strings.Repeat("x", 5000)+"\r\n\r\n"),
		reply("gzip checksum", "RFC 1952, 2.3.1, CRC32", "invalid checksum", inside, head+"Content-Encoding: gzip\r\n\r\n"+broken(t)),
		reply("location malformed", "RFC 9110, 10.2.2", "Location", inside, "HTTP/1.1 302 Found\r\nLocation: http://[::1\r\nContent-Length: 0\r\n\r\n"),
		reply("redirects in a circle", "RFC 9110, 15.4: cyclical redirections; whether they count is left open", "stopped after 10", is(resilience.ClassPermanent, "", anyCounts), "HTTP/1.1 302 Found\r\nLocation: /\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"),
		{"head too large", "go doc http.Transport.MaxResponseHeaderBytes: whose limit is wrong is left open", "headers exceeded", is(resilience.ClassInternal, "", counts|anyRetry), func(t *testing.T) error {
			return get(t, &http.Transport{MaxResponseHeaderBytes: 1 << 10}, raw(t, head+"X: "+strings.Repeat("x", 1<<14)+"\r\n\r\n"))
		}},
		{"POST on a reused connection", "RFC 9112, 9.3.1 and 9.5: the server may have acted", "EOF", up, reused},
		{"response header timeout", "go doc http.Transport.ResponseHeaderTimeout", "awaiting response headers", late, func(t *testing.T) error {
			return get(t, &http.Transport{ResponseHeaderTimeout: 50 * time.Millisecond}, stall(t, ""))
		}},
		{"client timeout before the head", "go doc http.Client.Timeout", "awaiting headers", late, func(t *testing.T) error {
			return fetch(t, &http.Client{Timeout: 50 * time.Millisecond, Transport: &http.Transport{}}, must[*http.Request](t)(http.NewRequest("GET", stall(t, ""), nil)))
		}},
		{"client timeout within the content", "go doc http.Client.Timeout: interrupts reading of the body", "reading body", late, func(t *testing.T) error {
			return fetch(t, &http.Client{Timeout: 200 * time.Millisecond, Transport: &http.Transport{}}, must[*http.Request](t)(http.NewRequest("GET", stall(t, head+"Content-Length: 9\r\n\r\nab"), nil)))
		}},
		{"canceled by the caller", "go doc http.NewRequestWithContext", "canceled", is(resilience.ClassCanceled, "", none), func(t *testing.T) error {
			ctx, cancel := context.WithCancel(t.Context())
			time.AfterFunc(50*time.Millisecond, cancel)
			_, err := (&http.Transport{}).RoundTrip(must[*http.Request](t)(http.NewRequestWithContext(ctx, "GET", stall(t, ""), nil)))
			return err
		}},
		asked("scheme unknown", "go doc http.Transport.RegisterProtocol; RFC 9110, 4.2", "unsupported protocol scheme", bad, "GET", "gopher://a.test/", "", nil),
		asked("no host", "RFC 9110, 4.2.1: an empty host is invalid", "no Host", bad, "GET", "http:///x", "", nil),
		asked("method malformed", "RFC 9110, 9.1: a token", "invalid method", bad, "A B", site, "", nil),
		asked("field name malformed", "RFC 9110, 5.1: a token", "invalid header field name", bad, "GET", site, "", func(r *http.Request) { r.Header["a b"] = []string{"x"} }),
		asked("address malformed", "RFC 3986, 3.2.2", "missing ']'", bad, "GET", "http://[::1", "", nil),
		asked("body shorter than declared", "RFC 9110, 8.6: Content-Length is the content's", "Body length", is(resilience.ClassInvalid, "", none), "POST", stall(t, ""), "abc", func(r *http.Request) { r.ContentLength = 10 }),
		{"proxy refused", "RFC 9110, 9.3.6; connect(2) ECONNREFUSED", "proxyconnect", is(resilience.ClassUnavailable, "ECONNREFUSED", retry|notSent|counts), func(t *testing.T) error {
			return get(t, &http.Transport{Proxy: proxy("http://" + refused(t))}, "https://a.test/")
		}},
		{"proxy wants credentials", "RFC 9110, 15.5.8 and 9.3.6: no tunnel, nothing sent", "Proxy Authentication Required", is(resilience.ClassUnauthorized, "", notSent), func(t *testing.T) error {
			return get(t, &http.Transport{Proxy: proxy(raw(t, "HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n"))}, "https://a.test/")
		}},
		{"proxy has no way", "RFC 9110, 15.6.3 and 9.3.6: no tunnel, nothing sent", "Bad Gateway", down, func(t *testing.T) error {
			return get(t, &http.Transport{Proxy: proxy(raw(t, "HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n"))}, "https://a.test/")
		}},
		{"SOCKS host unreachable", "RFC 1928, 6, REP 4", "host unreachable", down, func(t *testing.T) error {
			addr := listen(t, func(c net.Conn) {
				_, _ = io.ReadFull(c, make([]byte, 3))
				_, _ = c.Write([]byte{5, 0})
				_, _ = c.Read(make([]byte, 1<<8))
				_, _ = c.Write([]byte{5, 4, 0, 1, 0, 0, 0, 0, 0, 0})
			})
			return get(t, &http.Transport{Proxy: proxy("socks5://" + addr)}, "http://a.test/")
		}},
		{"request body read after close", "go doc http.ErrBodyReadAfterClose", "closed Body", is(resilience.ClassInvalid, "", none), func(t *testing.T) error {
			out := make(chan error, 1)
			s := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
				r.Body.Close()
				_, err := r.Body.Read(make([]byte, 1))
				out <- err
			}))
			defer s.Close()
			ok(t, fetch(t, &http.Client{Transport: &http.Transport{}}, must[*http.Request](t)(http.NewRequest("POST", s.URL, strings.NewReader("abc")))))
			return <-out
		}},
		{"write after hijack", "go doc http.ErrHijacked", "hijacked", is(resilience.ClassInvalid, "", none), func(t *testing.T) error {
			return serverSide(t, func(w http.ResponseWriter) error {
				c, _, err := w.(http.Hijacker).Hijack()
				ok(t, err)
				c.Close()
				_, err = w.Write([]byte("x"))
				return err
			})
		}},
		{"write after the handler's timeout", "go doc http.ErrHandlerTimeout", "timeout", late, timedOut},
	}
}

func proxy(address string) func(*http.Request) (*url.URL, error) {
	u, err := url.Parse(address)
	return func(*http.Request) (*url.URL, error) { return u, err }
}

// serverSide runs f in a handler and returns its error.
func serverSide(t *testing.T, f func(http.ResponseWriter) error) error {
	out := make(chan error, 1)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { out <- f(w) }))
	defer s.Close()
	if resp, err := s.Client().Get(s.URL); err == nil {
		resp.Body.Close()
	}
	return <-out
}
