package classify_test

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"

	"github.com/perfblocks/perfblocks/resilience"
)

// resolver asks a server of this test, over UDP or over TCP, that answers a query
// with reply's bytes, or not at all.
func resolver(t *testing.T, network string, reply func(query dnsmessage.Message) []byte) *net.Resolver {
	t.Helper()
	pack := func(b []byte) []byte {
		var q dnsmessage.Message
		if q.Unpack(b) != nil {
			return nil
		}
		return reply(q)
	}
	addr := ""
	if network == "tcp" {
		addr = listen(t, func(c net.Conn) { answerStream(c, pack) })
	} else {
		p := must[net.PacketConn](t)(net.ListenPacket("udp", "127.0.0.1:0"))
		t.Cleanup(func() { p.Close() })
		go answerPackets(p, pack)
		addr = p.LocalAddr().String()
	}
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, network, addr)
	}}
}

func answerPackets(p net.PacketConn, reply func([]byte) []byte) {
	buf := make([]byte, 1<<12)
	for {
		n, from, err := p.ReadFrom(buf)
		if err != nil {
			return
		}
		if b := reply(buf[:n]); b != nil {
			_, _ = p.WriteTo(b, from)
		}
	}
}

// answerStream frames each message by its length, RFC 1035, 4.2.2.
func answerStream(c net.Conn, reply func([]byte) []byte) {
	var size [2]byte
	for {
		if _, err := io.ReadFull(c, size[:]); err != nil {
			return
		}
		buf := make([]byte, binary.BigEndian.Uint16(size[:]))
		if _, err := io.ReadFull(c, buf); err != nil {
			return
		}
		b := reply(buf)
		if b == nil {
			return
		}
		_, _ = c.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(b))), b...))
	}
}

// code answers with an RCODE and no records.
func code(r dnsmessage.RCode) func(dnsmessage.Message) []byte {
	return func(q dnsmessage.Message) []byte {
		m := dnsmessage.Message{Header: dnsmessage.Header{ID: q.ID, Response: true, RCode: r, RecursionAvailable: true}, Questions: q.Questions}
		b, _ := m.Pack()
		return b
	}
}

// lame answers that it knows nothing and asks nobody.
func lame(q dnsmessage.Message) []byte {
	m := dnsmessage.Message{Header: dnsmessage.Header{ID: q.ID, Response: true}, Questions: q.Questions}
	b, _ := m.Pack()
	return b
}

// cut is a header that promises an answer which does not follow.
func cut(q dnsmessage.Message) []byte {
	b := code(dnsmessage.RCodeSuccess)(q)
	binary.BigEndian.PutUint16(b[6:], 1)
	return b
}

func lookUp(r *net.Resolver, name string, wait time.Duration) func(*testing.T) error {
	return func(t *testing.T) error {
		ctx, cancel := context.WithTimeout(t.Context(), wait)
		defer cancel()
		_, err := r.LookupHost(ctx, name)
		return err
	}
}

// dnsRows expects a failed lookup to be an other side that cannot be reached and to
// which nothing was sent. RFC 9520 lists the failures that a resolver asks again
// after a moment; a name that does not exist is none of them (RFC 2308).
func dnsRows(t *testing.T) []row {
	const down = retry | notSent | counts
	const wait = 20 * time.Second
	gone, away := is(resilience.ClassUnavailable, "", notSent|anyCounts), is(resilience.ClassUnavailable, "", down)
	udp := func(reply func(dnsmessage.Message) []byte) *net.Resolver { return resolver(t, "udp", reply) }
	silent := func(dnsmessage.Message) []byte { return nil }
	to := func(network, addr string) *net.Resolver {
		return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, network, addr)
		}}
	}
	return []row{
		{"NXDOMAIN", "RFC 1035, 4.1.1, RCODE 3; RFC 2308, 2.1; that a missing name counts is left open", "no such host", gone, lookUp(udp(code(dnsmessage.RCodeNameError)), "gone.test.", wait)},
		{"NODATA", "RFC 2308, 2.2: the name has no such record; whether it counts is left open", "no such host", gone, lookUp(udp(code(dnsmessage.RCodeSuccess)), "empty.test.", wait)},
		{"no domain name", "RFC 1035, 2.3.4: an empty label; no server was asked", "no such host", is(resilience.ClassUnavailable, "", notSent|anyCounts), lookUp(udp(silent), "a..test.", wait)},
		{"SERVFAIL", "RFC 1035, 4.1.1, RCODE 2; RFC 9520, 2.1", "misbehaving", away, lookUp(udp(code(dnsmessage.RCodeServerFailure)), "ill.test.", wait)},
		{"REFUSED", "RFC 1035, 4.1.1, RCODE 5; RFC 9520, 2.2", "misbehaving", away, lookUp(udp(code(dnsmessage.RCodeRefused)), "policy.test.", wait)},
		{"NOTIMP", "RFC 1035, 4.1.1, RCODE 4; go doc net.DNSError: not IsNotFound", "misbehaving", away, lookUp(udp(code(dnsmessage.RCodeNotImplemented)), "kind.test.", wait)},
		{"lame referral", "RFC 1912, 2.8; RFC 9520, 2.4", "lame", away, lookUp(udp(lame), "lame.test.", wait)},
		{"cut answer", "RFC 1035, 4.1: the counts of the header", "cannot unmarshal", away, lookUp(resolver(t, "tcp", cut), "cut.test.", wait)},
		{"server closes", "RFC 7766, 6.2.4", "EOF", away, lookUp(resolver(t, "tcp", silent), "close.test.", wait)},
		{"server refuses the connection", "RFC 9520, 2.3; connect(2) ECONNREFUSED", "refused", away, lookUp(to("tcp", refused(t)), "down.test.", wait)},
		{"server's port unreachable", "RFC 9520, 2.3; udp(7) ECONNREFUSED", "refused", away, lookUp(to("udp", refused(t)), "down.test.", wait)},
		{"server silent", "RFC 9520, 2.3; go doc net.DNSError.IsTimeout", "timeout", away, lookUp(udp(silent), "slow.test.", 100*time.Millisecond)},
		{"lookup canceled", "go doc net.DNSError.Unwrap: the context's error", "cancel", is(resilience.ClassCanceled, "", notSent), func(t *testing.T) error {
			ctx, cancel := context.WithCancel(t.Context())
			time.AfterFunc(50*time.Millisecond, cancel)
			_, err := udp(silent).LookupHost(ctx, "cancel.test.")
			return err
		}},
		{"dial by name NXDOMAIN", "RFC 2308, 2.1, within go doc net.OpError; whether it counts is left open", "no such host", is(resilience.ClassUnavailable, "", notSent|anyCounts|variant), func(t *testing.T) error {
			_, err := (&net.Dialer{Resolver: udp(code(dnsmessage.RCodeNameError))}).DialContext(t.Context(), "tcp", "gone.test.:80")
			return err
		}},
		{"dial by name SERVFAIL", "RFC 9520, 2.1, within go doc net.OpError", "misbehaving", is(resilience.ClassUnavailable, "", down|variant), func(t *testing.T) error {
			_, err := (&net.Dialer{Resolver: udp(code(dnsmessage.RCodeServerFailure))}).DialContext(t.Context(), "tcp", "ill.test.:80")
			return err
		}},
		{"service without a port", "go doc net.LookupPort; RFC 6335: no such service", "unknown port", is(resilience.ClassUnavailable, "", notSent|anyCounts), func(t *testing.T) error {
			_, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", "127.0.0.1:nosuchservice")
			return err
		}},
		{"address of another family", "go doc net.Dial: tcp4 is IPv4 only", "no suitable address", is(resilience.ClassInvalid, "", notSent), func(t *testing.T) error {
			_, err := (&net.Dialer{}).DialContext(t.Context(), "tcp4", "[::1]:80")
			return err
		}},
		{"resolver's dial fails", "go doc net.Resolver.Dial; RFC 9520, 2.3", "no route", away, func(t *testing.T) error {
			r := &net.Resolver{PreferGo: true, Dial: func(context.Context, string, string) (net.Conn, error) { return nil, errors.New("no route") }}
			return lookUp(r, "route.test.", wait)(t)
		}},
	}
}
