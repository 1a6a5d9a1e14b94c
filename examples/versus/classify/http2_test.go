package classify_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/perfblocks/perfblocks/resilience"
)

// frames is one connection of an HTTP/2 server that knows frames only.
type frames struct {
	*http2.Framer
	c net.Conn
}

// request reads frames to the end of the request's head and returns its stream.
func (f frames) request() uint32 {
	for {
		fr, err := f.ReadFrame()
		if err != nil {
			return 0
		}
		if s, isSettings := fr.(*http2.SettingsFrame); isSettings && !s.IsAck() {
			_ = f.WriteSettingsAck()
		}
		if h, isHead := fr.(*http2.HeadersFrame); isHead {
			return h.StreamID
		}
	}
}

// head answers 200 with more fields.
func (f frames) head(stream uint32, end bool, fields ...string) {
	var b bytes.Buffer
	e := hpack.NewEncoder(&b)
	_ = e.WriteField(hpack.HeaderField{Name: ":status", Value: "200"})
	for i := 0; i+1 < len(fields); i += 2 {
		_ = e.WriteField(hpack.HeaderField{Name: fields[i], Value: fields[i+1]})
	}
	_ = f.WriteHeaders(http2.HeadersFrameParam{StreamID: stream, BlockFragment: b.Bytes(), EndHeaders: true, EndStream: end})
}

// framed serves connections without TLS; serve goes on after the settings.
func framed(t *testing.T, settings []http2.Setting, serve func(frames)) string {
	return listen(t, func(c net.Conn) {
		if _, err := io.ReadFull(c, make([]byte, len(http2.ClientPreface))); err != nil {
			return
		}
		f := frames{http2.NewFramer(c, c), c}
		_ = f.WriteSettings(settings...)
		serve(f)
	})
}

// wait reads until the client goes.
func (f frames) wait() { _, _ = io.Copy(io.Discard, f.c) }

// hangUp ends the stream of bytes as a closing server does, without the reset that
// what it left unread would cause.
func (f frames) hangUp() { _ = f.c.(*net.TCPConn).CloseWrite(); f.wait() }

// trip is one request of golang.org/x/net/http2 on one connection: no second try.
func trip(t *testing.T, tr *http2.Transport, addr string) error {
	tr.AllowHTTP = true
	c := must[net.Conn](t)(net.Dial("tcp", addr))
	t.Cleanup(func() { c.Close() })
	cc := must[*http2.ClientConn](t)(tr.NewClientConn(c))
	return round(t, cc, addr)
}

func round(t *testing.T, rt http.RoundTripper, addr string) error {
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	t.Cleanup(cancel)
	resp, err := rt.RoundTrip(must[*http.Request](t)(http.NewRequestWithContext(ctx, "GET", "http://"+addr+"/", nil)))
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	_, err = io.Copy(io.Discard, resp.Body)
	return err
}

// bundled is one request of net/http's own HTTP/2.
func bundled(t *testing.T, tr *http.Transport, addr string) error {
	tr.Protocols = new(http.Protocols)
	tr.Protocols.SetUnencryptedHTTP2(true)
	cc := must[*http.ClientConn](t)(tr.NewClientConn(t.Context(), "http", addr))
	t.Cleanup(func() { cc.Close() })
	return round(t, cc, addr)
}

func reset(code http2.ErrCode) func(frames) {
	return func(f frames) { _ = f.WriteRSTStream(f.request(), code); f.wait() }
}

// away says GOAWAY; ours tells whether our stream is among those that were processed.
func away(code http2.ErrCode, ours bool) func(frames) {
	return func(f frames) {
		last := f.request()
		if !ours {
			last = 0
		}
		_ = f.WriteGoAway(last, code, []byte("told so"))
		if ours {
			f.hangUp()
		}
		f.wait()
	}
}

// http2Rows follows RFC 9113, 7 (codes) and 8.7 (what was not processed).
func http2Rows(t *testing.T) []row {
	const x = "golang.org/x/net/http2"
	up, unsent := is(resilience.ClassUnavailable, "", retry|counts), is(resilience.ClassUnavailable, "", retry|notSent|counts)
	inside, calm := is(resilience.ClassInternal, "", retry|counts), is(resilience.ClassThrottled, "", retry|counts)
	perm := is(resilience.ClassPermanent, "", none)
	with := func(name, ref, text string, w want, serve func(frames), settings ...http2.Setting) row {
		return row{name, ref, text, w, func(t *testing.T) error { return trip(t, &http2.Transport{}, framed(t, settings, serve)) }}
	}
	std := func(name, ref, text string, w want, serve func(frames), settings ...http2.Setting) row {
		return row{"net/http " + name, ref, text, w, func(t *testing.T) error {
			return bundled(t, &http.Transport{}, framed(t, settings, serve))
		}}
	}
	stray := func(f frames) { _ = f.WriteData(f.request()+2, false, []byte("x")); f.wait() }
	less := func(f frames) {
		s := f.request()
		f.head(s, false, "content-length", "9")
		_ = f.WriteData(s, true, []byte("ab"))
		f.wait()
	}
	mid := func(f frames) { f.head(f.request(), false); f.hangUp() }
	return []row{
		with("REFUSED_STREAM", "RFC 9113, 8.7: not processed", "REFUSED_STREAM", unsent, reset(http2.ErrCodeRefusedStream)),
		with("INTERNAL_ERROR", "RFC 9113, 7: an unexpected internal error", "INTERNAL_ERROR", inside, reset(http2.ErrCodeInternal)),
		with("ENHANCE_YOUR_CALM", "RFC 9113, 7: excessive load", "ENHANCE_YOUR_CALM", calm, reset(http2.ErrCodeEnhanceYourCalm)),
		with("CANCEL", "RFC 9113, 7: the server no longer needs the stream; no caller gave up", "CANCEL", up, reset(http2.ErrCodeCancel)),
		with("PROTOCOL_ERROR", "gRPC, PROTOCOL-HTTP2, errors: INTERNAL; the retry is left open", "PROTOCOL_ERROR", is(resilience.ClassInternal, "", counts|anyRetry), reset(http2.ErrCodeProtocol)),
		with("CONNECT_ERROR", "RFC 9113, 7 and 8.5: the tunnel was reset", "CONNECT_ERROR", up, reset(http2.ErrCodeConnect)),
		with("INADEQUATE_SECURITY", "RFC 9113, 7 and 9.2", "INADEQUATE_SECURITY", perm, reset(http2.ErrCodeInadequateSecurity)),
		with("HTTP_1_1_REQUIRED", "RFC 9113, 7: use HTTP/1.1 instead", "HTTP_1_1_REQUIRED", perm, reset(http2.ErrCodeHTTP11Required)),
		with("reset within the content", "RFC 9113, 7, INTERNAL_ERROR", "INTERNAL_ERROR", is(resilience.ClassInternal, "", retry|counts|variant), func(f frames) {
			s := f.request()
			f.head(s, false)
			_ = f.WriteRSTStream(s, http2.ErrCodeInternal)
			f.wait()
		}),
		with("GOAWAY before our stream", "RFC 9113, 6.8: streams above the last were not processed", "graceful shutdown", unsent, away(http2.ErrCodeNo, false)),
		with("GOAWAY and gone", "RFC 9113, 6.8, NO_ERROR: our stream may have been processed", "GOAWAY", up, away(http2.ErrCodeNo, true)),
		with("GOAWAY ENHANCE_YOUR_CALM", "RFC 9113, 6.8 and 7", "ENHANCE_YOUR_CALM", calm, away(http2.ErrCodeEnhanceYourCalm, true)),
		with("GOAWAY INTERNAL_ERROR", "RFC 9113, 6.8 and 7", "INTERNAL_ERROR", inside, away(http2.ErrCodeInternal, true)),
		with("GOAWAY calm before our stream", "RFC 9113, 6.8: not processed; 7", "ENHANCE_YOUR_CALM", is(resilience.ClassThrottled, "", retry|notSent|counts), away(http2.ErrCodeEnhanceYourCalm, false)),
		with("settings out of range", "RFC 9113, 6.5.2: the server broke the protocol", "FLOW_CONTROL_ERROR", inside, func(f frames) { f.request(); f.wait() }, http2.Setting{ID: http2.SettingInitialWindowSize, Val: 1 << 31}),
		with("data before the head", "RFC 9113, 8.1 and 6.1: the server broke the protocol", "PROTOCOL_ERROR", inside, stray),
		with("content shorter than declared", "RFC 9113, 8.1.1; go doc io.ErrUnexpectedEOF", "unexpected EOF", up, less),
		with("content longer than declared", "RFC 9113, 8.1.1: malformed response", "declared Content-Length", inside, func(f frames) {
			s := f.request()
			f.head(s, false, "content-length", "1")
			_ = f.WriteData(s, true, []byte("abcdef"))
			f.wait()
		}),
		with("head without a status", "RFC 9113, 8.3.2: malformed response", "status", inside, func(f frames) {
			var b bytes.Buffer
			_ = hpack.NewEncoder(&b).WriteField(hpack.HeaderField{Name: "a", Value: "b"})
			_ = f.WriteHeaders(http2.HeadersFrameParam{StreamID: f.request(), BlockFragment: b.Bytes(), EndHeaders: true, EndStream: true})
			f.wait()
		}),
		with("head compressed wrongly", "RFC 9113, 4.3; RFC 7541, 2.3.3", "COMPRESSION_ERROR", inside, func(f frames) {
			_ = f.WriteHeaders(http2.HeadersFrameParam{StreamID: f.request(), BlockFragment: []byte{0xff, 0xff, 0xff, 0xff}, EndHeaders: true})
			f.wait()
		}),
		with("frame too large", "RFC 9113, 4.2", "too large", inside, func(f frames) {
			s := f.request()
			_, _ = f.c.Write([]byte{0xff, 0xff, 0xff, 0, 0, 0, 0, 0, byte(s)})
			f.wait()
		}),
		{"head too large", x + ", Transport.MaxHeaderListSize: whose limit is wrong is left open", "header list", is(resilience.ClassInternal, "", counts|anyRetry), func(t *testing.T) error {
			return trip(t, &http2.Transport{MaxHeaderListSize: 1 << 10}, framed(t, nil, func(f frames) { f.head(f.request(), true, slices.Repeat([]string{"x", "y"}, 40)...); f.wait() }))
		}},
		{"ping unanswered", x + ", Transport.PingTimeout: the connection is closed", "connection lost", up, func(t *testing.T) error {
			return trip(t, &http2.Transport{ReadIdleTimeout: 50 * time.Millisecond, PingTimeout: 50 * time.Millisecond}, framed(t, nil, func(f frames) { f.wait() }))
		}},
		with("closed before the response", "RFC 9113, 5.4: without GOAWAY", "EOF", up, func(f frames) { f.request(); f.hangUp() }),
		with("closed within the content", "RFC 9113, 5.4: without GOAWAY or END_STREAM", "EOF", is(resilience.ClassUnavailable, "", retry|counts|variant), mid),
		{"server of HTTP/1.1", "RFC 9113, 3.4: an invalid preface", "HTTP/1.1", inside, func(t *testing.T) error {
			return trip(t, &http2.Transport{}, listen(t, func(c net.Conn) {
				_, _ = io.CopyN(io.Discard, c, int64(len(http2.ClientPreface)))
				// An answer before the request would leave it without a connection, which is another error.
				for f, r := http2.Frame(nil), http2.NewFramer(nil, c); ; {
					if f, _ = r.ReadFrame(); f == nil || f.Header().Type == http2.FrameHeaders {
						break
					}
				}
				_, _ = io.WriteString(c, "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
				_, _ = io.Copy(io.Discard, c)
			}))
		}},
		{"h2 not agreed", x + ", Transport: ALPN did not choose h2; RFC 9113, 3.2", "unexpected ALPN", is(resilience.ClassPermanent, "", notSent), func(t *testing.T) error {
			ca := newAuthority(t)
			cert := ca.sign(t, "a.test", nil)
			addr := listen(t, func(c net.Conn) {
				_ = tls.Server(c, &tls.Config{Certificates: []tls.Certificate{cert}}).Handshake()
				_, _ = io.Copy(io.Discard, c)
			})
			_, err := (&http2.Transport{TLSClientConfig: &tls.Config{RootCAs: ca.pool, ServerName: "a.test"}}).RoundTrip(must[*http.Request](t)(http.NewRequestWithContext(t.Context(), "GET", "https://"+addr, nil)))
			return err
		}},
		{"body sent already", x + ": REFUSED_STREAM, RFC 9113, 8.7, of a body that cannot be had again", "define Request.GetBody", unsent, func(t *testing.T) error {
			addr := framed(t, nil, reset(http2.ErrCodeRefusedStream))
			tr := &http2.Transport{AllowHTTP: true, DialTLSContext: func(ctx context.Context, network, addr string, _ *tls.Config) (net.Conn, error) {
				return (&net.Dialer{}).DialContext(ctx, network, addr)
			}}
			_, err := tr.RoundTrip(must[*http.Request](t)(http.NewRequestWithContext(t.Context(), "POST", "http://"+addr, io.MultiReader(strings.NewReader("abc")))))
			return err
		}},
		std("REFUSED_STREAM", "RFC 9113, 8.7: not processed", "REFUSED_STREAM", unsent, reset(http2.ErrCodeRefusedStream)),
		std("INTERNAL_ERROR", "RFC 9113, 7", "INTERNAL_ERROR", is(resilience.ClassInternal, "", retry|counts|variant), reset(http2.ErrCodeInternal)),
		std("GOAWAY before our stream", "RFC 9113, 6.8: not processed", "graceful shutdown", unsent, away(http2.ErrCodeNo, false)),
		std("GOAWAY ENHANCE_YOUR_CALM", "RFC 9113, 6.8 and 7", "ENHANCE_YOUR_CALM", calm, away(http2.ErrCodeEnhanceYourCalm, true)),
		std("data before the head", "RFC 9113, 8.1: the server broke the protocol", "PROTOCOL_ERROR", inside, stray),
		{"net/http ping unanswered", "go doc http.HTTP2Config.PingTimeout: the connection is closed", "connection lost", is(resilience.ClassUnavailable, "", retry|counts|variant), func(t *testing.T) error {
			return bundled(t, &http.Transport{HTTP2: &http.HTTP2Config{SendPingTimeout: 50 * time.Millisecond, PingTimeout: 50 * time.Millisecond}}, framed(t, nil, func(f frames) { f.wait() }))
		}},
	}
}
