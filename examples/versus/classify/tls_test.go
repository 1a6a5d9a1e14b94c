package classify_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"io"
	"math/big"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/perfblocks/perfblocks/resilience"
)

// authority signs certificates.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pool *x509.CertPool
}

func template(name string) *x509.Certificate {
	now := time.Now()
	return &x509.Certificate{
		SerialNumber: big.NewInt(now.UnixNano()), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name},
		NotBefore: now.Add(-time.Hour), NotAfter: now.Add(time.Hour), BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
}

func newAuthority(t *testing.T) *authority {
	a := &authority{key: must[*ecdsa.PrivateKey](t)(ecdsa.GenerateKey(elliptic.P256(), rand.Reader)), pool: x509.NewCertPool()}
	c := template("authority.test")
	c.IsCA, c.KeyUsage, c.ExtKeyUsage = true, x509.KeyUsageCertSign, nil
	der := must[[]byte](t)(x509.CreateCertificate(rand.Reader, c, c, a.key.Public(), a.key))
	a.cert = must[*x509.Certificate](t)(x509.ParseCertificate(der))
	a.pool.AddCert(a.cert)
	return a
}

// sign makes a certificate of the authority; change may spoil it.
func (a *authority) sign(t *testing.T, name string, change func(*x509.Certificate)) tls.Certificate {
	c := template(name)
	if change != nil {
		change(c)
	}
	key := must[*ecdsa.PrivateKey](t)(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	der := must[[]byte](t)(x509.CreateCertificate(rand.Reader, c, a.cert, key.Public(), a.key))
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// shake meets a server of one configuration with a client of another, and reads one
// byte, since TLS 1.3 tells a client of its certificate only then.
func shake(t *testing.T, server, client *tls.Config) error {
	addr := listen(t, func(c net.Conn) {
		s := tls.Server(c, server)
		if s.Handshake() == nil {
			_, _ = s.Write([]byte("x"))
		}
		_, _ = io.Copy(io.Discard, c)
	})
	return meet(t, addr, client)
}

func meet(t *testing.T, addr string, client *tls.Config) error {
	c, err := (&tls.Dialer{Config: client}).DialContext(t.Context(), "tcp", addr)
	if err != nil {
		return err
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(5 * time.Second))
	_, err = c.Read(make([]byte, 1))
	return err
}

// alert answers a ClientHello with one fatal alert, RFC 8446, 6.
func alert(t *testing.T, n byte) error {
	addr := listen(t, func(c net.Conn) {
		_, _ = c.Read(make([]byte, 1<<12))
		_, _ = c.Write([]byte{21, 3, 3, 0, 2, 2, n})
		_, _ = io.Copy(io.Discard, c)
	})
	return meet(t, addr, &tls.Config{ServerName: "a.test"})
}

// tlsRows expects the trust that fails here to be permanent, and what the server says
// of the client's certificate to be a matter of credentials. Nothing is sent before
// the handshake ends. RFC 5280 does not say whose fault an untrusted path is, so
// whether those rows count is left open.
func tlsRows(t *testing.T) []row {
	ca := newAuthority(t)
	good, server := ca.sign(t, "a.test", nil), func(c tls.Certificate) *tls.Config { return &tls.Config{Certificates: []tls.Certificate{c}} }
	client := func() *tls.Config { return &tls.Config{RootCAs: ca.pool, ServerName: "a.test"} }
	perm, open, cred := is(resilience.ClassPermanent, "", notSent), is(resilience.ClassPermanent, "", notSent|anyCounts), is(resilience.ClassUnauthorized, "", notSent)
	trust := func(name, ref, text string, w want, spoil func(*x509.Certificate), change func(*tls.Config)) row {
		return row{name, ref, text, w, func(t *testing.T) error {
			c := client()
			if change != nil {
				change(c)
			}
			return shake(t, server(ca.sign(t, "a.test", spoil)), c)
		}}
	}
	mutual := func(name, ref, text string, certs ...tls.Certificate) row {
		return row{name, ref, text, cred, func(t *testing.T) error {
			s, c := server(good), client()
			s.ClientAuth, s.ClientCAs, c.Certificates = tls.RequireAndVerifyClientCert, ca.pool, certs
			return shake(t, s, c)
		}}
	}
	told := func(name, ref, text string, n byte, w want) row {
		return row{name, ref, text, w, func(t *testing.T) error { return alert(t, n) }}
	}
	old := ca.sign(t, "client.test", func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) })
	rows := []row{
		trust("expired", "RFC 5280, 4.1.2.5 and 6.1.3; who is to blame is left open", "expired", open, func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) }, nil),
		trust("wrong host", "RFC 9525, 6; who is to blame is left open", "valid for", open, nil, func(c *tls.Config) { c.ServerName = "b.test" }),
		trust("unknown authority", "RFC 5280, 6.1; who is to blame is left open", "unknown authority", open, nil, func(c *tls.Config) { c.RootCAs = x509.NewCertPool() }),
		trust("wrong usage", "RFC 5280, 4.2.1.12; go doc x509.IncompatibleUsage; who is to blame is left open", "incompatible key usage", open, func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning} }, nil),
		trust("no version in common", "RFC 8446, 4.2.1 and 6.2, protocol_version", "protocol version", perm, nil, func(c *tls.Config) { c.MinVersion, c.MaxVersion = tls.VersionTLS11, tls.VersionTLS11 }),
		trust("pinned otherwise", "go doc tls.Config.VerifyConnection: the caller's own error ends the handshake", "not our pin", is(resilience.ClassUnknown, "", retry|counts), nil, func(c *tls.Config) {
			c.VerifyConnection = func(tls.ConnectionState) error { return errors.New("not our pin") }
		}),
		{"no cipher in common", "RFC 5246, 7.2.2, handshake_failure", "handshake failure", perm, func(t *testing.T) error {
			s, c := server(good), client()
			s.MaxVersion, s.CipherSuites = tls.VersionTLS12, []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256}
			c.MaxVersion, c.CipherSuites = tls.VersionTLS12, []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384}
			return shake(t, s, c)
		}},
		{"no application protocol", "RFC 7301, 3.2, no_application_protocol", "no application protocol", perm, func(t *testing.T) error {
			s, c := server(good), client()
			s.NextProtos, c.NextProtos = []string{"h2"}, []string{"x"}
			return shake(t, s, c)
		}},
		mutual("certificate required", "RFC 8446, 6.2, certificate_required", "certificate required"),
		{"certificate required, TLS 1.2", "RFC 5246, 7.4.6: handshake_failure, the alert of no cipher in common too", "handshake failure", is(resilience.ClassPermanent, "", notSent|variant), func(t *testing.T) error {
			s, c := server(good), client()
			s.ClientAuth, s.ClientCAs, c.MaxVersion = tls.RequireAndVerifyClientCert, ca.pool, tls.VersionTLS12
			return shake(t, s, c)
		}},
		mutual("certificate of a stranger", "RFC 8446, 6.2, unknown_ca", "unknown certificate authority", newAuthority(t).sign(t, "client.test", nil)),
		mutual("certificate of a client expired", "RFC 8446, 6.2, certificate_expired", "expired certificate", old),
		told("access denied", "RFC 8446, 6.2, access_denied: a valid certificate, no access", "access denied", 49, cred),
		told("unknown PSK identity", "RFC 8446, 6.2, unknown_psk_identity", "unknown PSK identity", 115, cred),
		told("unrecognized name", "RFC 6066, 3: no server of that name", "unrecognized name", 112, perm),
		told("insufficient security", "RFC 8446, 6.2, insufficient_security", "insufficient security", 71, perm),
		told("decode error", "RFC 8446, 6.2, decode_error", "error decoding", 50, is(resilience.ClassPermanent, "", notSent|variant)),
		told("internal error", "RFC 8446, 6.2, internal_error: unrelated to the peer, such as no memory", "internal error", 80, is(resilience.ClassInternal, "", retry|notSent|counts)),
		{"server without TLS", "go doc tls.RecordHeaderError; RFC 8446, 5.1", "first record", perm, func(t *testing.T) error {
			return meet(t, listen(t, func(c net.Conn) { _, _ = c.Write([]byte("220 mail.test ready\r\n")); _, _ = io.Copy(io.Discard, c) }), client())
		}},
		{"HTTP answer to an HTTPS client", "go doc http.ErrSchemeMismatch", "HTTP response to HTTPS", perm, func(t *testing.T) error {
			addr := listen(t, func(c net.Conn) {
				_, _ = c.Write([]byte("HTTP/1.1 400 Bad Request\r\n\r\n"))
				_, _ = io.Copy(io.Discard, c)
			})
			return get(t, &http.Transport{}, "https://"+addr)
		}},
		{"HTTP client at a TLS port", "RFC 9112, 4: an alert is no status line", "malformed HTTP response", is(resilience.ClassInternal, "", retry|counts|variant), func(t *testing.T) error {
			return get(t, &http.Transport{}, raw(t, "\x15\x03\x03\x00\x02\x02\x0a"))
		}},
		{"handshake timeout", "go doc http.Transport.TLSHandshakeTimeout", "handshake timeout", is(resilience.ClassTimeout, "", retry|notSent|counts), func(t *testing.T) error {
			return get(t, &http.Transport{TLSHandshakeTimeout: 50 * time.Millisecond}, "https://"+listen(t, func(c net.Conn) { _, _ = io.Copy(io.Discard, c) }))
		}},
		{"closed in the handshake", "RFC 8446, 6.1: the peer went away; io.EOF does not say in which phase", "EOF", is(resilience.ClassUnavailable, "", retry|counts|anyNotSent), func(t *testing.T) error {
			return meet(t, listen(t, func(c net.Conn) { _, _ = c.Read(make([]byte, 1<<12)) }), client())
		}},
		{"closed without close_notify", "RFC 8446, 6.1: truncation; io.ErrUnexpectedEOF", "EOF", is(resilience.ClassUnavailable, "", retry|counts), func(t *testing.T) error { return spoiled(t, server(good), client(), nil) }},
		{"record corrupt", "RFC 8446, 6.2, bad_record_mac: never seen but when corrupted in the network", "bad record MAC", is(resilience.ClassUnavailable, "", retry|counts), func(t *testing.T) error {
			return spoiled(t, server(good), client(), append([]byte{23, 3, 3, 0, 32}, make([]byte, 32)...))
		}},
		{"record too long", "RFC 8446, 5.2, record_overflow, after the handshake; who is to blame is left open", "oversized", is(resilience.ClassPermanent, "", anyCounts), func(t *testing.T) error {
			return spoiled(t, server(good), client(), append([]byte{23, 3, 3, 0xff, 0xff}, make([]byte, 32)...))
		}},
		{"certificate malformed", "RFC 5280, 4.1; RFC 8446, 6.2, bad_certificate; who is to blame is left open", "certificate", open, func(t *testing.T) error {
			c := good
			c.Certificate = [][]byte{[]byte("no certificate")}
			return shake(t, server(c), client())
		}},
	}
	return rows
}

// spoiled ends the handshake and then writes bytes past the server's TLS, and goes.
func spoiled(t *testing.T, server, client *tls.Config, raw []byte) error {
	return meet(t, listen(t, func(c net.Conn) {
		if tls.Server(c, server).Handshake() == nil {
			_, _ = c.Write(raw)
		}
	}), client)
}
