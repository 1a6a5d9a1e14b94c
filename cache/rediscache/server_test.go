package rediscache_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/perfblocks/perfblocks/cache"
	"github.com/perfblocks/perfblocks/cache/rediscache"
	"github.com/redis/rueidis"
)

// server is a redis-server of this test's own, which can be killed and started
// again on the same port.
type server struct {
	t    *testing.T
	bin  string
	dir  string
	addr string
	conf string
	cmd  *exec.Cmd
	done chan struct{}
}

// newServer starts a server with extra lines of configuration.
func newServer(t *testing.T, conf string) *server {
	t.Helper()
	s := stoppedServer(t, conf)
	s.start()
	return s
}

func stoppedServer(t *testing.T, conf string) *server {
	t.Helper()
	bin, err := exec.LookPath("redis-server")
	if err != nil {
		if strings.Contains(os.Getenv("PERF_REQUIRE"), "redis") {
			t.Fatal("redis-server is required by PERF_REQUIRE and not on PATH; apt-get install redis-server")
		}
		t.Skip("no redis-server on PATH that could be stopped and started; apt-get install redis-server")
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	_ = l.Close()
	s := &server{t: t, bin: bin, dir: t.TempDir(), addr: addr, conf: conf}
	t.Cleanup(s.kill)
	return s
}

func (s *server) url() string { return "redis://" + s.addr }

// start starts the server and waits until it answers.
func (s *server) start() {
	s.t.Helper()
	_, port, _ := net.SplitHostPort(s.addr)
	s.cmd = exec.Command(s.bin, "-")
	s.cmd.Dir = s.dir
	s.cmd.Stdin = strings.NewReader("bind 127.0.0.1\nport " + port + "\ndir " + s.dir +
		"\nsave \"\"\nappendonly no\ndaemonize no\nprotected-mode no\n" + s.conf + "\n")
	var log bytes.Buffer
	s.cmd.Stdout, s.cmd.Stderr = &log, &log
	dieWithUs(s.cmd)
	s.done = make(chan struct{})
	started := make(chan error)
	go func() {
		// The thread that forked must live for as long as the process, see dieWithUs.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		defer close(s.done)
		err := s.cmd.Start()
		started <- err
		if err == nil {
			_ = s.cmd.Wait()
		}
	}()
	if err := <-started; err != nil {
		s.t.Fatal(err)
	}
	eventually(s.t, 60*time.Second, "redis-server answers", func() bool {
		select {
		case <-s.done:
			s.t.Fatalf("redis-server ended:\n%s", log.String())
		default:
		}
		c, err := net.DialTimeout("tcp", s.addr, time.Second)
		if err != nil {
			return false
		}
		defer c.Close()
		_ = c.SetDeadline(time.Now().Add(time.Second))
		_, _ = c.Write([]byte("PING\r\n"))
		line, _ := bufio.NewReader(c).ReadString('\n')
		return strings.HasPrefix(line, "+PONG") || strings.HasPrefix(line, "-NOAUTH")
	})
}

// kill ends the server without giving it a chance to save.
func (s *server) kill() {
	if s.cmd != nil && s.cmd.Process != nil {
		_ = s.cmd.Process.Kill()
		<-s.done
	}
}

// raw is a client beside the remote, to look at and to damage what is stored.
type raw struct {
	t *testing.T
	c rueidis.Client
}

func newRaw(t *testing.T, url string) raw {
	t.Helper()
	o, err := rueidis.ParseURL(url)
	if err != nil {
		t.Fatal(err)
	}
	o.DisableCache = true
	c, err := rueidis.NewClient(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return raw{t, c}
}

// do runs a command with its key as second word.
func (r raw) do(args ...string) rueidis.RedisResult {
	r.t.Helper()
	cmd := r.c.B().Arbitrary(args[0])
	if len(args) > 1 {
		cmd = cmd.Keys(args[1]).Args(args[2:]...)
	}
	res := r.c.Do(context.Background(), cmd.Build())
	if err := res.Error(); err != nil && !rueidis.IsRedisNil(err) {
		r.t.Fatalf("%s: %v", args[0], err)
	}
	return res
}

func (r raw) str(args ...string) string {
	r.t.Helper()
	s, err := r.do(args...).ToString()
	if err != nil {
		r.t.Fatalf("%v: %v", args, err)
	}
	return s
}

// newRemote makes a remote with enough patience for a loaded machine.
func newRemote(t *testing.T, o rediscache.Options) *rediscache.Remote {
	t.Helper()
	if o.Timeout == 0 {
		o.Timeout = 20 * time.Second
	}
	if o.PushTimeout == 0 {
		o.PushTimeout = 20 * time.Second
	}
	r, err := rediscache.New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.Close(); err != nil {
			t.Errorf("Close error = %v", err)
		}
	})
	return r
}

// record is one that is valid at pos.
func record(pos uint64, tags ...string) *cache.Record {
	return &cache.Record{Version: 2, Codec: "raw", Data: fmt.Append(nil, "data at ", pos), Tags: tags,
		Position: pos, Fresh: time.Minute, Keep: time.Hour}
}

// eventually waits for what another process does.
func eventually(t *testing.T, limit time.Duration, what string, ok func() bool) {
	t.Helper()
	deadline := time.NewTimer(limit)
	defer deadline.Stop()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-deadline.C:
			t.Fatalf("not within %v: %s", limit, what)
		case <-tick.C:
		}
	}
}

// unique is a prefix of the test's own, for a server that others use too.
func unique(t *testing.T) string {
	return fmt.Sprintf("%s-%d:", filepath.Base(t.Name()), time.Now().UnixNano())
}

// rawAt is a client for a server that is not yet what its settings say.
func rawAt(t *testing.T, s *server) raw {
	t.Helper()
	c, err := rueidis.NewClient(rueidis.ClientOption{InitAddress: []string{s.addr}, DisableCache: true, ForceSingleClient: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return raw{t, c}
}
