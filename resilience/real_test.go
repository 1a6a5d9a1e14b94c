package resilience_test

import (
	"archive/tar"
	"archive/zip"
	"bufio"
	"bytes"
	"compress/flate"
	"compress/gzip"
	"context"
	"crypto/tls"
	"crypto/x509"
	"database/sql"
	"encoding/base64"
	"encoding/binary"
	"encoding/csv"
	"encoding/hex"
	"encoding/json"
	"encoding/xml"
	"io"
	"log"
	"mime"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/textproto"
	"net/url"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/perfblocks/perfblocks/resilience"
)

// real is an error that the standard library made, with what its document says.
type real struct {
	name  string
	err   error
	class resilience.Class
	flags string
	code  string
}

func checkReal(t *testing.T, rows []real) {
	t.Helper()
	for _, c := range rows {
		if c.err == nil {
			t.Errorf("%s: no error", c.name)
			continue
		}
		if i := resilience.Classify(c.err); i.Class != c.class || flags(i) != c.flags || i.Code != c.code {
			t.Errorf("%s (%v, %T) = %v %q %q; want %v %q %q", c.name, c.err, c.err, i.Class, flags(i), i.Code, c.class, c.flags, c.code)
		}
	}
}

func second[T any](_ T, err error) error { return err }

// TestClassifyData covers decoders: bytes that are not what they should be stay so.
func TestClassifyData(t *testing.T) {
	var v struct{ A int }
	_, gz := gzip.NewReader(strings.NewReader("not gzip at all"))
	_, tr := tar.NewReader(strings.NewReader(strings.Repeat("x", 1024))).Next()
	_, zr := zip.NewReader(strings.NewReader("no zip"), 6)
	line := bufio.NewScanner(strings.NewReader(strings.Repeat("x", 1<<17)))
	for line.Scan() {
	}
	_, _, media := mime.ParseMediaType("text/html; charset")
	rows := []real{
		{"json syntax", json.Unmarshal([]byte("{"), &v), resilience.ClassInvalid, "", "json"},
		{"json type", json.Unmarshal([]byte(`{"A":"x"}`), &v), resilience.ClassInvalid, "", "json"},
		{"json target", json.NewDecoder(strings.NewReader("{} x")).Decode((*int)(nil)), resilience.ClassInvalid, "", "json"},
		{"json value", second(json.Marshal(map[string]any{"a": make(chan int)})), resilience.ClassInvalid, "", "json"},
		{"xml", xml.Unmarshal([]byte("<a><b></a>"), &v), resilience.ClassInvalid, "", "xml"},
		{"csv", second(csv.NewReader(strings.NewReader("a,b\nc\n")).ReadAll()), resilience.ClassInvalid, "", "csv"},
		{"number", second(strconv.Atoi("x")), resilience.ClassInvalid, "", "number"},
		{"number range", second(strconv.ParseInt("999", 10, 8)), resilience.ClassInvalid, "", "number"},
		{"time", second(time.Parse(time.RFC3339, "x")), resilience.ClassInvalid, "", "time"},
		{"hex", second(hex.DecodeString("zz")), resilience.ClassInvalid, "", "hex"},
		{"hex length", second(hex.DecodeString("abc")), resilience.ClassInvalid, "", "hex"},
		{"base64", second(base64.StdEncoding.DecodeString("*")), resilience.ClassInvalid, "", "base64"},
		{"gzip", gz, resilience.ClassInternal, "rc", "gzip"},
		{"flate", second(io.ReadAll(flate.NewReader(strings.NewReader("\xff\xff\xff")))), resilience.ClassInternal, "rc", "flate"},
		{"tar", tr, resilience.ClassInvalid, "", "tar"},
		{"zip", zr, resilience.ClassInvalid, "", "zip"},
		{"line", line.Err(), resilience.ClassInvalid, "", "too_long"},
		{"media type", media, resilience.ClassInvalid, "", "mime"},
		{"address", second(netip.ParseAddr("x")), resilience.ClassInvalid, "", "address"},
		{"escape", second(url.PathUnescape("%zz")), resilience.ClassInvalid, "", "url"},
		{"command", second(exec.LookPath("no-such-command-here")), resilience.ClassNotFound, "n", "executable"},
		{"driver", second(sql.Open("nobody", "")), resilience.ClassInvalid, "", "scan"},
	}
	checkReal(t, rows)
}

// TestClassifySMTPReplies follows RFC 5321, 4.2.1: 4yz may succeed later.
func TestClassifySMTPReplies(t *testing.T) {
	checkReal(t, []real{
		{"421", &textproto.Error{Code: 421}, resilience.ClassUnavailable, "rc", "421"},
		{"452", &textproto.Error{Code: 452}, resilience.ClassOverloaded, "rc", "452"},
		{"535", &textproto.Error{Code: 535}, resilience.ClassUnauthorized, "", "535"},
		{"550", &textproto.Error{Code: 550}, resilience.ClassNotFound, "", "550"},
		{"554", &textproto.Error{Code: 554}, resilience.ClassPermanent, "", "554"},
	})
}

// TestClassifyRequests covers what net/http says before and without a server.
func TestClassifyRequests(t *testing.T) {
	client := &http.Client{Transport: &http.Transport{}}
	do := func(change func(*http.Request)) error {
		r, err := http.NewRequest(http.MethodGet, "http://127.0.0.1:1/", nil)
		if err != nil {
			t.Fatal(err)
		}
		change(r)
		resp, err := client.Do(r)
		if err == nil {
			_ = resp.Body.Close()
		}
		return err
	}
	form := httptest.NewRequest(http.MethodPost, "/", strings.NewReader("x"))
	_, noBoundary := form.MultipartReader()
	_, noCookie := form.Cookie("x")
	checkReal(t, []real{
		{"scheme", do(func(r *http.Request) { r.URL.Scheme = "foo" }), resilience.ClassInvalid, "n", "request"},
		{"method", do(func(r *http.Request) { r.Method = "A B" }), resilience.ClassInvalid, "n", "request"},
		{"host", do(func(r *http.Request) { r.URL.Host = "" }), resilience.ClassInvalid, "n", "request"},
		{"header", do(func(r *http.Request) { r.Header = http.Header{"A B": {"c"}} }), resilience.ClassInvalid, "n", "request"},
		{"uri", do(func(r *http.Request) { r.RequestURI = "/" }), resilience.ClassInvalid, "n", "request"},
		{"not multipart", noBoundary, resilience.ClassInvalid, "", "form"},
		{"cookie", noCookie, resilience.ClassNotFound, "", "header"},
		{"abort", http.ErrAbortHandler, resilience.ClassCanceled, "", "canceled"},
		{"server closed", http.ErrServerClosed, resilience.ClassPermanent, "", "closed"},
		{"boundary", http.ErrMissingBoundary, resilience.ClassInvalid, "", "form"},
	})
}

// serve answers each connection by talk.
func serve(t *testing.T, l net.Listener, talk func(net.Conn)) string {
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() { defer c.Close(); talk(c) }()
		}
	}()
	return l.Addr().String()
}

func listen(t *testing.T) net.Listener {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// TestClassifyResponses covers servers that break HTTP/1.1.
func TestClassifyResponses(t *testing.T) {
	answer := func(text string) error {
		addr := serve(t, listen(t), func(c net.Conn) {
			if _, err := http.ReadRequest(bufio.NewReader(c)); err == nil {
				_, _ = io.WriteString(c, text)
			}
		})
		client := &http.Client{Transport: &http.Transport{}, Timeout: 5 * time.Second}
		defer client.CloseIdleConnections()
		resp, err := client.Get("http://" + addr)
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		_, err = io.Copy(io.Discard, resp.Body)
		return err
	}
	redirect := "HTTP/1.1 302 Found\r\nLocation: /\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
	checkReal(t, []real{
		{"not http", answer("SSH-2.0-OpenSSH_9\r\n\r\n"), resilience.ClassInternal, "rc", "malformed"},
		{"status", answer("HTTP/1.1 xxx OK\r\n\r\n"), resilience.ClassInternal, "rc", "malformed"},
		{"header", answer("HTTP/1.1 200 OK\r\nnonsense\r\n\r\n"), resilience.ClassInternal, "rc", "malformed"},
		{"length", answer("HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n"), resilience.ClassInternal, "rc", "malformed"},
		{"chunk", answer("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"), resilience.ClassInternal, "rc", "malformed"},
		{"coding", answer("HTTP/1.1 200 OK\r\nTransfer-Encoding: weird\r\n\r\n"), resilience.ClassInternal, "rc", "malformed"},
		{"cut body", answer("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nx"), resilience.ClassUnavailable, "rc", "eof"},
		{"nothing", answer(""), resilience.ClassUnavailable, "rc", "eof"},
		{"redirects", answer(redirect), resilience.ClassPermanent, "", "redirects"},
	})
}

// certificates returns those of httptest, which clients do not trust by themselves.
func certificates(t *testing.T) ([]tls.Certificate, *x509.CertPool) {
	s := httptest.NewUnstartedServer(http.NotFoundHandler())
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.StartTLS()
	defer s.Close()
	pool := x509.NewCertPool()
	pool.AddCert(s.Certificate())
	return s.TLS.Certificates, pool
}

// TestClassifyTLS makes both sides fail in real handshakes.
func TestClassifyTLS(t *testing.T) {
	certs, roots := certificates(t)
	get := func(server, client *tls.Config) error {
		server.Certificates = certs
		addr := serve(t, tls.NewListener(listen(t), server), func(c net.Conn) {
			if _, err := http.ReadRequest(bufio.NewReader(c)); err == nil {
				_, _ = io.WriteString(c, "HTTP/1.1 204 No Content\r\n\r\n")
			}
		})
		hc := &http.Client{Transport: &http.Transport{TLSClientConfig: client}, Timeout: 5 * time.Second}
		defer hc.CloseIdleConnections()
		resp, err := hc.Get("https://" + addr)
		if err == nil {
			_ = resp.Body.Close()
		}
		return err
	}
	plain := serve(t, listen(t), func(c net.Conn) { _, _ = io.WriteString(c, "HTTP/1.1 400 Bad Request\r\n\r\n") })
	silent := serve(t, listen(t), func(c net.Conn) { _, _ = io.Copy(io.Discard, c) })
	hasty := &http.Client{Transport: &http.Transport{TLSHandshakeTimeout: 20 * time.Millisecond}}
	trusting := func() *tls.Config { return &tls.Config{RootCAs: roots} }
	wrongName := trusting()
	wrongName.ServerName = "other.example"
	old := trusting()
	old.MaxVersion = tls.VersionTLS12
	odd := trusting()
	odd.NextProtos = []string{"odd"}
	checkReal(t, []real{
		{"unknown authority", get(&tls.Config{}, &tls.Config{}), resilience.ClassPermanent, "nc", "certificate"},
		{"hostname", get(&tls.Config{}, wrongName), resilience.ClassPermanent, "nc", "certificate"},
		{"version", get(&tls.Config{MinVersion: tls.VersionTLS13}, old), resilience.ClassPermanent, "n", "protocol_version"},
		{"alpn", get(&tls.Config{NextProtos: []string{"other"}}, odd), resilience.ClassPermanent, "n", "no_application_protocol"},
		{"client certificate", get(&tls.Config{ClientAuth: tls.RequireAnyClientCert}, trusting()), resilience.ClassUnauthorized, "n", "certificate_required"},
		{"not tls", get2(t, "https://"+plain, nil), resilience.ClassPermanent, "n", "not_tls"},
		{"handshake timeout", get2(t, "https://"+silent, hasty), resilience.ClassTimeout, "rnc", "handshake_timeout"},
		{"no name", second(tls.Dial("tcp", silent, &tls.Config{MinVersion: tls.VersionTLS13, MaxVersion: tls.VersionTLS12})), resilience.ClassPermanent, "nc", "handshake"},
		{"remote alert", &net.OpError{Op: "remote error", Err: tls.AlertError(40)}, resilience.ClassPermanent, "n", "handshake_failure"},
		{"remote unknown ca", &net.OpError{Op: "remote error", Err: tls.AlertError(48)}, resilience.ClassUnauthorized, "n", "unknown_ca"},
		{"local unknown ca", &net.OpError{Op: "local error", Err: tls.AlertError(48)}, resilience.ClassPermanent, "nc", "unknown_ca"},
		{"remote damage", &net.OpError{Op: "remote error", Err: tls.AlertError(20)}, resilience.ClassUnavailable, "rc", "bad_record_mac"},
	})
}

func get2(t *testing.T, address string, c *http.Client) error {
	if c == nil {
		c = &http.Client{Transport: &http.Transport{}}
	}
	defer c.CloseIdleConnections()
	resp, err := c.Get(address)
	if err == nil {
		_ = resp.Body.Close()
	}
	return err
}

// frame makes an HTTP/2 frame (RFC 9113, 4.1).
func frame(kind, flags byte, stream uint32, payload ...byte) []byte {
	b := []byte{byte(len(payload) >> 16), byte(len(payload) >> 8), byte(len(payload)), kind, flags}
	return append(binary.BigEndian.AppendUint32(b, stream), payload...)
}

// TestClassifyHTTP2 makes a server answer a request by a frame that refuses it.
func TestClassifyHTTP2(t *testing.T) {
	certs, roots := certificates(t)
	code := func(n byte) []byte { return []byte{0, 0, 0, n} }
	ask := func(answer []byte) error {
		conf := &tls.Config{Certificates: certs, NextProtos: []string{"h2"}}
		addr := serve(t, tls.NewListener(listen(t), conf), func(c net.Conn) {
			preface := make([]byte, 24)
			_, _ = io.ReadFull(c, preface)
			_, _ = c.Write(frame(4, 0, 0))
			for {
				h := make([]byte, 9)
				if _, err := io.ReadFull(c, h); err != nil {
					return
				}
				_, _ = io.CopyN(io.Discard, c, int64(h[0])<<16|int64(h[1])<<8|int64(h[2]))
				if h[3] == 1 { // HEADERS: the request.
					_, _ = c.Write(answer)
					if answer[3] == 7 {
						return
					}
				}
			}
		})
		hc := &http.Client{
			Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}, ForceAttemptHTTP2: true},
			Timeout:   5 * time.Second,
		}
		return get2(t, "https://"+addr, hc)
	}
	goAway := func(n byte) []byte { return frame(7, 0, 0, append([]byte{0, 0, 0, 1}, code(n)...)...) }
	checkReal(t, []real{
		{"cancel", ask(frame(3, 0, 1, code(8)...)), resilience.ClassUnavailable, "rc", "CANCEL"},
		{"internal", ask(frame(3, 0, 1, code(2)...)), resilience.ClassInternal, "rc", "INTERNAL_ERROR"},
		{"calm", ask(frame(3, 0, 1, code(11)...)), resilience.ClassThrottled, "rc", "ENHANCE_YOUR_CALM"},
		{"downgrade", ask(frame(3, 0, 1, code(13)...)), resilience.ClassPermanent, "", "HTTP_1_1_REQUIRED"},
		{"goaway", ask(goAway(0)), resilience.ClassUnavailable, "rc", "NO_ERROR"},
		{"goaway calm", ask(goAway(11)), resilience.ClassThrottled, "rc", "ENHANCE_YOUR_CALM"},
	})
}

// TestClassifyDNS uses a real resolver over a dialer that gives the answers.
func TestClassifyDNS(t *testing.T) {
	lookup := func(ctx context.Context, rcode byte) error {
		r := &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			here, there := net.Pipe()
			go answerDNS(there, rcode)
			return here, nil
		}}
		_, err := r.LookupHost(ctx, "host.example.")
		return err
	}
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	checkReal(t, []real{
		{"NXDOMAIN", lookup(context.Background(), 3), resilience.ClassUnavailable, "nc", "no_such_host"},
		{"SERVFAIL", lookup(context.Background(), 2), resilience.ClassUnavailable, "rnc", "lookup"},
		{"REFUSED", lookup(context.Background(), 5), resilience.ClassUnavailable, "rnc", "lookup"},
		{"canceled", lookup(ended, 2), resilience.ClassCanceled, "n", "canceled"},
		{"reverse", second(net.LookupAddr("x")), resilience.ClassInvalid, "n", "lookup"},
		{"network", second(net.Dial("odd", "x:1")), resilience.ClassInvalid, "n", "address"},
		{"port", second(net.Dial("tcp", "x")), resilience.ClassInvalid, "n", "address"},
	})
}

// answerDNS answers queries over a stream (RFC 1035, 4.2.2) with no records.
func answerDNS(c net.Conn, rcode byte) {
	defer c.Close()
	for {
		var size [2]byte
		if _, err := io.ReadFull(c, size[:]); err != nil {
			return
		}
		q := make([]byte, binary.BigEndian.Uint16(size[:]))
		if _, err := io.ReadFull(c, q); err != nil {
			return
		}
		q[2], q[3] = q[2]|0x80, 0x80|rcode
		if _, err := c.Write(append(size[:], bytes.Clone(q)...)); err != nil {
			return
		}
	}
}
