package classify_test

import (
	"context"
	"errors"
	"io"
	"net"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/perfblocks/perfblocks/resilience"
)

// platformGroups are the groups whose errors, by text or by number, are Linux's.
func platformGroups() map[string]func(*testing.T) []row {
	return map[string]func(*testing.T) []row{"std": stdRows, "socket": socketRows}
}

// limitRows takes all descriptors away for a moment.
func limitRows() []row {
	return []row{{"too many files", "socket(2) EMFILE: a limit of this process", "too many open files", is(resilience.ClassOverloaded, "EMFILE", retry|notSent), func(t *testing.T) error {
		var old syscall.Rlimit
		ok(t, syscall.Getrlimit(syscall.RLIMIT_NOFILE, &old))
		low := old
		low.Cur = 3
		ok(t, syscall.Setrlimit(syscall.RLIMIT_NOFILE, &low))
		_, err := net.Dial("tcp", "127.0.0.1:1")
		ok(t, syscall.Setrlimit(syscall.RLIMIT_NOFILE, &old))
		return err
	}}}
}

func dialRow(name, ref, text string, w want, network, addr string) row {
	return row{name, ref, text, w, func(t *testing.T) error {
		_, err := (&net.Dialer{Timeout: 2 * time.Second}).DialContext(t.Context(), network, addr)
		return err
	}}
}

// talk dials a server that does serve and returns what client makes of it.
func talk(t *testing.T, serve func(*net.TCPConn), client func(*net.TCPConn) error) error {
	done := make(chan struct{})
	addr := listen(t, func(c net.Conn) {
		_, _ = c.Read(make([]byte, 1)) // no answer overtakes the handshake.
		serve(c.(*net.TCPConn))
		<-done
	})
	defer close(done)
	c := must[net.Conn](t)(net.Dial("tcp", addr)).(*net.TCPConn)
	defer c.Close()
	_ = must[int](t)(c.Write([]byte("x")))
	return client(c)
}

func read(c net.Conn) error { _, err := c.Read(make([]byte, 8)); return err }

// flood writes until an error comes.
func flood(c net.Conn) error {
	for {
		if _, err := c.Write(make([]byte, 1<<16)); err != nil {
			return err
		}
	}
}

// full is the address of a listener whose queue takes nobody in.
func full(t *testing.T) string {
	fd := must[int](t)(syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0))
	t.Cleanup(func() { syscall.Close(fd) })
	ok(t, syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}))
	ok(t, syscall.Listen(fd, 0))
	sa := must[syscall.Sockaddr](t)(syscall.Getsockname(fd)).(*syscall.SockaddrInet4)
	addr := (&net.TCPAddr{IP: sa.Addr[:], Port: sa.Port}).String()
	for range 4 {
		c, err := net.DialTimeout("tcp", addr, 50*time.Millisecond)
		if err == nil {
			t.Cleanup(func() { c.Close() })
		}
	}
	return addr
}

func socketRows(t *testing.T) []row {
	reset := func(c *net.TCPConn) { _ = c.SetLinger(0); c.Close() }
	idle := func(*net.TCPConn) {}
	down, up := retry|notSent|counts, retry|counts
	return []row{
		dialRow("dial refused", "connect(2) ECONNREFUSED; RFC 9293, 3.10.7.1", "refused", is(resilience.ClassUnavailable, "ECONNREFUSED", down), "tcp", refused(t)),
		dialRow("dial unix missing", "unix(7); connect(2) ENOENT", "no such file", is(resilience.ClassUnavailable, "ENOENT", down), "unix", "/tmp/no/such/socket"),
		dialRow("dial without a port", "go doc net.AddrError", "missing port", is(resilience.ClassInvalid, "", notSent), "tcp", "127.0.0.1"),
		dialRow("dial unknown network", "go doc net.UnknownNetworkError", "unknown network", is(resilience.ClassInvalid, "", notSent), "tcp9", "127.0.0.1:1"),
		dialRow("dial multicast", "connect(2) ENETUNREACH", "unreachable", is(resilience.ClassUnavailable, "ENETUNREACH", down), "tcp", "224.0.0.1:9"),
		dialRow("dial unix path too long", "unix(7) EINVAL", "invalid argument", is(resilience.ClassInvalid, "EINVAL", notSent), "unix", "/tmp/"+strings.Repeat("x", 200)),
		{"dial unix stale", "unix(7) ECONNREFUSED", "refused", is(resilience.ClassUnavailable, "ECONNREFUSED", down), func(t *testing.T) error {
			p := filepath.Join(t.TempDir(), "s")
			l := must[*net.UnixListener](t)(net.ListenUnix("unix", &net.UnixAddr{Name: p, Net: "unix"}))
			l.SetUnlinkOnClose(false)
			l.Close()
			_, err := net.Dial("unix", p)
			return err
		}},
		{"dial unix of another type", "unix(7) EPROTOTYPE", "wrong type", is(resilience.ClassInvalid, "EPROTOTYPE", notSent), func(t *testing.T) error {
			p := filepath.Join(t.TempDir(), "s")
			l := must[*net.UnixConn](t)(net.ListenUnixgram("unixgram", &net.UnixAddr{Name: p, Net: "unixgram"}))
			defer l.Close()
			_, err := net.Dial("unix", p)
			return err
		}},
		{"dial timeout", "go doc net.Dialer.Timeout; the handshake did not end", "timeout", is(resilience.ClassTimeout, "", down), func(t *testing.T) error {
			_, err := net.DialTimeout("tcp", full(t), 50*time.Millisecond)
			return err
		}},
		{"dial deadline of context", "go doc net.Dialer.DialContext", "timeout", is(resilience.ClassTimeout, "", down), func(t *testing.T) error {
			ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
			defer cancel()
			_, err := (&net.Dialer{}).DialContext(ctx, "tcp", full(t))
			return err
		}},
		{"dial timeout of kernel", "connect(2) ETIMEDOUT; tcp(7) TCP_SYNCNT", "timed out", is(resilience.ClassTimeout, "ETIMEDOUT", down), func(t *testing.T) error {
			d := net.Dialer{Control: func(_, _ string, c syscall.RawConn) error {
				return c.Control(func(fd uintptr) { _ = syscall.SetsockoptInt(int(fd), syscall.IPPROTO_TCP, 7, 1) })
			}}
			_, err := d.Dial("tcp", full(t))
			return err
		}},
		{"dial canceled", "go doc net.Dialer.DialContext", "canceled", is(resilience.ClassCanceled, "", notSent), func(t *testing.T) error {
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			_, err := (&net.Dialer{}).DialContext(ctx, "tcp", "127.0.0.1:1")
			return err
		}},
		{"dial from a foreign address", "bind(2) EADDRNOTAVAIL: here, not there", "cannot assign", is(resilience.ClassOverloaded, "EADDRNOTAVAIL", retry|notSent), func(t *testing.T) error {
			_, err := (&net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1)}}).Dial("tcp", "127.0.0.1:1")
			return err
		}},
		{"listen on a used port", "bind(2) EADDRINUSE: here, not there", "in use", is(resilience.ClassOverloaded, "EADDRINUSE", retry|notSent), func(t *testing.T) error {
			_, err := net.Listen("tcp", listen(t, func(net.Conn) {}))
			return err
		}},
		{"read reset", "recv(2) ECONNRESET; RFC 9293, 3.10.7.4", "reset", is(resilience.ClassUnavailable, "ECONNRESET", up), func(t *testing.T) error { return talk(t, reset, func(c *net.TCPConn) error { return read(c) }) }},
		{"write after reset", "send(2) EPIPE", "broken pipe", is(resilience.ClassUnavailable, "EPIPE", up), func(t *testing.T) error {
			return talk(t, reset, func(c *net.TCPConn) error { _ = read(c); _ = read(c); return flood(c) })
		}},
		{"shut down after reset", "shutdown(2) ENOTCONN", "not connected", is(resilience.ClassUnavailable, "ENOTCONN", up), func(t *testing.T) error {
			return talk(t, reset, func(c *net.TCPConn) error { _ = read(c); return c.CloseWrite() })
		}},
		{"read half-closed", "RFC 9293, 3.6: FIN", "EOF", is(resilience.ClassUnavailable, "", up), func(t *testing.T) error {
			return talk(t, func(c *net.TCPConn) { _ = c.CloseWrite() }, func(c *net.TCPConn) error { return read(c) })
		}},
		{"read cut short", "go doc io.ErrUnexpectedEOF", "unexpected EOF", is(resilience.ClassUnavailable, "", up), func(t *testing.T) error {
			return talk(t, func(c *net.TCPConn) { _, _ = c.Write([]byte("ab")); _ = c.CloseWrite() }, func(c *net.TCPConn) error { _, err := io.ReadFull(c, make([]byte, 8)); return err })
		}},
		{"read timeout", "go doc net.Conn.SetReadDeadline", "timeout", is(resilience.ClassTimeout, "", up), func(t *testing.T) error {
			return talk(t, idle, func(c *net.TCPConn) error { _ = c.SetReadDeadline(time.Now()); return read(c) })
		}},
		{"write timeout", "go doc net.Conn.SetWriteDeadline", "timeout", is(resilience.ClassTimeout, "", up), func(t *testing.T) error {
			return talk(t, idle, func(c *net.TCPConn) error {
				_ = c.SetWriteDeadline(time.Now().Add(50 * time.Millisecond))
				return flood(c)
			})
		}},
		{"user timeout", "tcp(7) TCP_USER_TIMEOUT; RFC 5482", "timed out", is(resilience.ClassTimeout, "ETIMEDOUT", up), func(t *testing.T) error {
			return talk(t, idle, func(c *net.TCPConn) error {
				ok(t, must[syscall.RawConn](t)(c.SyscallConn()).Control(func(fd uintptr) { _ = syscall.SetsockoptInt(int(fd), syscall.IPPROTO_TCP, 18, 100) }))
				return flood(c)
			})
		}},
		{"accept deadline", "go doc net.TCPListener.SetDeadline: no other side that it could count against", "timeout", is(resilience.ClassTimeout, "", retry), func(t *testing.T) error {
			l := must[*net.TCPListener](t)(net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)}))
			defer l.Close()
			ok(t, l.SetDeadline(time.Now()))
			_, err := l.Accept()
			return err
		}},
		{"read own closed", "go doc net.ErrClosed: closed by ourselves, which the error does not say", "use of closed", is(resilience.ClassUnavailable, "", retry|anyCounts), func(t *testing.T) error {
			return talk(t, idle, func(c *net.TCPConn) error { c.Close(); return read(c) })
		}},
		{"net.Pipe closed", "go doc net.Pipe, io.ErrClosedPipe", "closed pipe", is(resilience.ClassUnavailable, "", up), func(t *testing.T) error {
			a, b := net.Pipe()
			b.Close()
			_, err := a.Write([]byte("x"))
			return err
		}},
		{"datagram refused", "udp(7) ECONNREFUSED; RFC 1122, 4.1.3.3: it may speak of an earlier datagram", "refused", is(resilience.ClassUnavailable, "ECONNREFUSED", up|anyNotSent), func(t *testing.T) error {
			p := must[net.PacketConn](t)(net.ListenPacket("udp", "127.0.0.1:0"))
			p.Close()
			c := must[net.Conn](t)(net.Dial("udp", p.LocalAddr().String()))
			defer c.Close()
			_, _ = c.Write([]byte("x"))
			return read(c)
		}},
		{"datagram too long", "udp(7) EMSGSIZE", "too long", is(resilience.ClassInvalid, "EMSGSIZE", none), func(t *testing.T) error {
			c := must[net.Conn](t)(net.Dial("udp", "127.0.0.1:9"))
			defer c.Close()
			_, err := c.Write(make([]byte, 1<<17))
			return err
		}},
		{"datagram to a second address", "go doc net.ErrWriteToConnected", "pre-connected", is(resilience.ClassInvalid, "", notSent), func(t *testing.T) error {
			c := must[net.Conn](t)(net.Dial("udp", "127.0.0.1:9")).(*net.UDPConn)
			defer c.Close()
			_, err := c.WriteTo([]byte("x"), c.LocalAddr())
			return err
		}},
		{"join of two", "go doc errors.Join: one of the two answers refused, the other is silent", "refused", is(resilience.ClassUnavailable, "ECONNREFUSED", up|anyNotSent), func(t *testing.T) error {
			_, err := net.Dial("tcp", refused(t))
			return errors.Join(errors.New("both replicas"), err)
		}},
	}
}
