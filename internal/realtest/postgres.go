package realtest

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
)

// Postgres returns the URL of a PostgreSQL server, in the form that pgx and
// psql take, with a superuser and an empty database. It is PERF_POSTGRES_URL
// where that is set, else a server of this test's own, with pg_stat_statements
// preloaded and the extensions installed on the machine ready to create.
// Without PostgreSQL the test is skipped, or fails under PERF_REQUIRE=postgres.
func Postgres(t testing.TB) string {
	t.Helper()
	if addr, ok := begin(t, "postgres", "PERF_POSTGRES_URL"); ok {
		return addr
	}
	initdb, ok := lookup([]string{"initdb"}, "/usr/lib/postgresql/*/bin", "/usr/local/pgsql/bin")
	if !ok {
		missing(t, "postgres", "PERF_POSTGRES_URL", "initdb not found", "apt-get install postgresql")
	}
	server, err := sibling(initdb, "postgres")
	if err != nil {
		t.Fatalf("realtest: find postgres: %v", err)
	}
	h := newHome(t, "postgres", "nobody")
	password, data := secret(), filepath.Join(h.dir, "data")
	h.run(t, initdb, "--pgdata="+data, "--username=postgres", "--pwfile="+h.write(t, "password", password),
		"--auth=scram-sha-256", "--encoding=UTF8", "--locale=C", "--no-sync")
	settings := []string{"-D", data, "-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories=",
		"-c", "fsync=off", "-c", "full_page_writes=off", "-c", "shared_buffers=32MB", "-c", "max_connections=60"}
	if _, err := os.Stat(filepath.Join(filepath.Dir(server), "..", "lib", "pg_stat_statements.so")); err == nil {
		settings = append(settings, "-c", "shared_preload_libraries=pg_stat_statements")
	}
	addr := h.serve(t, spec{
		name: "postgres",
		// SIGQUIT ends all of its processes at once and frees its shared
		// memory; nothing is written that anyone would read again.
		stop: syscall.SIGQUIT,
		cmd: func(port string) *exec.Cmd {
			return h.command(syscall.SIGQUIT, server, append(settings, "-p", port)...)
		},
		ready: func(c net.Conn) error {
			// The file is in our folder, so it speaks of our server.
			if status, err := os.ReadFile(filepath.Join(data, "postmaster.pid")); err != nil || !bytes.Contains(status, []byte("ready")) {
				return errNotReady
			}
			return pingPostgres(c)
		},
	})
	u := url.URL{Scheme: "postgres", User: url.UserPassword("postgres", password), Host: addr, Path: "/postgres", RawQuery: "sslmode=disable"}
	return u.String()
}

// pingPostgres begins a session: a server that is up asks for a password, one
// that still starts answers with an error.
func pingPostgres(c net.Conn) error {
	const version = 3 << 16
	body := "user\x00postgres\x00database\x00postgres\x00\x00"
	msg := binary.BigEndian.AppendUint32(nil, uint32(8+len(body)))
	msg = binary.BigEndian.AppendUint32(msg, version)
	if _, err := c.Write(append(msg, body...)); err != nil {
		return err
	}
	var kind [1]byte
	if _, err := io.ReadFull(c, kind[:]); err != nil {
		return err
	}
	if kind[0] != 'R' {
		return fmt.Errorf("answered %q: %w", kind[0], errNotReady)
	}
	return nil
}
