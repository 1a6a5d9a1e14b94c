package realtest

import (
	"bufio"
	"fmt"
	"net"
	"net/url"
	"os/exec"
	"strings"
	"syscall"
	"testing"
)

// Redis returns the URL of a Redis server, redis://user:password@host:port/0.
// It is PERF_REDIS_URL where that is set, else an empty server of this test's
// own that writes nothing to disk. Without redis-server (or valkey-server) the
// test is skipped, or fails under PERF_REQUIRE=redis.
func Redis(t testing.TB) string {
	t.Helper()
	if addr, ok := begin(t, "redis", "PERF_REDIS_URL"); ok {
		return addr
	}
	server, ok := lookup([]string{"redis-server", "valkey-server"})
	if !ok {
		missing(t, "redis", "PERF_REDIS_URL", "redis-server not found on PATH", "apt-get install redis-server")
	}
	h := newHome(t, "nobody", "redis")
	password := secret()
	addr := h.serve(t, spec{
		name: "redis",
		stop: syscall.SIGTERM,
		cmd: func(port string) *exec.Cmd {
			cmd := h.command(syscall.SIGKILL, server, "-") // "-": settings from standard input, out of sight of ps.
			cmd.Stdin = strings.NewReader("bind 127.0.0.1\nport " + port + "\nrequirepass " + password +
				"\ndaemonize no\nsave \"\"\nappendonly no\ndatabases 16\n")
			return cmd
		},
		ready: func(c net.Conn) error { return pingRedis(c, password) },
	})
	u := url.URL{Scheme: "redis", User: url.UserPassword("default", password), Host: addr, Path: "/0"}
	return u.String()
}

// pingRedis presents the password, which only the server of this test takes.
func pingRedis(c net.Conn, password string) error {
	if _, err := c.Write([]byte("AUTH default " + password + "\r\nPING\r\n")); err != nil {
		return err
	}
	in := bufio.NewReader(c)
	for _, want := range []string{"+OK", "+PONG"} {
		line, err := in.ReadString('\n')
		if err != nil {
			return err
		}
		if got := strings.TrimSpace(line); got != want {
			return fmt.Errorf("answered %q: %w", got, errNotReady)
		}
	}
	return nil
}
