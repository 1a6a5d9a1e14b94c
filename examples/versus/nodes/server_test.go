package nodes

import (
	"context"
	"io"
	"net"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/rueidis"
)

// server is a redis-server that can be killed and started again, empty.
type server struct {
	t    *testing.T
	bin  string
	addr string
	cmd  *exec.Cmd
}

// proxy stands before a server, and can turn its answers into garbage, or keep them
// back with the connections open.
type proxy struct {
	addr    string // of the server
	l       net.Listener
	garbage atomic.Bool
	hole    atomic.Bool
	conns   sync.WaitGroup
	stop    chan struct{}
}

func newServer(t *testing.T) *server {
	t.Helper()
	bin, err := exec.LookPath("redis-server")
	if err != nil {
		t.Skip("no redis-server on PATH that could be killed; apt-get install redis-server")
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &server{t: t, bin: bin, addr: l.Addr().String()}
	_ = l.Close()
	s.start()
	t.Cleanup(s.kill)
	return s
}

// newProxy makes a way to s that ends with the test, after the nodes.
func (s *server) newProxy() *proxy {
	s.t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		s.t.Fatal(err)
	}
	p := &proxy{addr: s.addr, l: l, stop: make(chan struct{})}
	p.conns.Go(p.serve)
	s.t.Cleanup(func() {
		_ = l.Close()
		close(p.stop)
		s.kill() // ends what is still connected
		p.conns.Wait()
	})
	return p
}

func (p *proxy) url() string { return "redis://" + p.l.Addr().String() }

func (s *server) start() {
	s.t.Helper()
	_, port, _ := net.SplitHostPort(s.addr)
	s.cmd = exec.Command(s.bin, "-")
	s.cmd.Stdin = strings.NewReader("bind 127.0.0.1\nport " + port + "\nsave \"\"\nappendonly no\ndaemonize no\nmaxmemory-policy noeviction\n")
	if err := s.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	deadline := time.Now().Add(30 * time.Second)
	for time.Now().Before(deadline) {
		if c, err := net.Dial("tcp", s.addr); err == nil {
			_ = c.Close()
			return
		}
		time.Sleep(5 * time.Millisecond)
	}
	s.t.Fatal("redis-server does not listen")
}

// kill ends the server at once, and with it all it had.
func (s *server) kill() {
	_ = s.cmd.Process.Kill()
	_ = s.cmd.Wait()
}

// do runs a command past the proxy.
func (s *server) do(args ...string) {
	s.t.Helper()
	c, err := rueidis.NewClient(rueidis.ClientOption{InitAddress: []string{s.addr}, DisableCache: true, ForceSingleClient: true})
	if err != nil {
		s.t.Fatal(err)
	}
	defer c.Close()
	if err := c.Do(context.Background(), c.B().Arbitrary(args...).Build()).Error(); err != nil {
		s.t.Errorf("%v: %v", args, err)
	}
}

func (p *proxy) serve() {
	for {
		in, err := p.l.Accept()
		if err != nil {
			return
		}
		out, err := net.Dial("tcp", p.addr)
		if err != nil {
			_ = in.Close()
			continue
		}
		p.conns.Go(func() { p.pipe(out, in, false) })
		p.conns.Go(func() { p.pipe(in, out, true) })
	}
}

// pipe copies until one side ends, and then ends both.
func (p *proxy) pipe(to io.WriteCloser, from io.ReadCloser, answers bool) {
	defer to.Close()
	defer from.Close()
	buf := make([]byte, 32<<10)
	for {
		n, err := from.Read(buf)
		if err != nil {
			return
		}
		for p.hole.Load() {
			select {
			case <-p.stop:
				return
			case <-time.After(time.Millisecond):
			}
		}
		if answers && p.garbage.Load() {
			for i := range n {
				buf[i] ^= byte(i*7 + 1)
			}
		}
		if _, err := to.Write(buf[:n]); err != nil {
			return
		}
	}
}
