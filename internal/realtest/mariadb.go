package realtest

import (
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// MariaDB returns a data source name of go-sql-driver/mysql's form,
// user:password@tcp(host:port)/perf, of a user with all rights and an empty
// database. It is PERF_MARIADB_DSN where that is set, else a server of this
// test's own. Without mariadb-server the test is skipped, or fails under
// PERF_REQUIRE=mariadb.
func MariaDB(t testing.TB) string {
	t.Helper()
	if dsn, ok := begin(t, "mariadb", "PERF_MARIADB_DSN"); ok {
		return dsn
	}
	server, ok1 := lookup([]string{"mariadbd"}, "/usr/sbin", "/usr/local/sbin")
	install, ok2 := lookup([]string{"mariadb-install-db"}, "/usr/bin", "/usr/local/bin")
	if !ok1 || !ok2 {
		missing(t, "mariadb", "PERF_MARIADB_DSN", "mariadbd or mariadb-install-db not found", "apt-get install mariadb-server")
	}
	h := newHome(t, "mysql", "nobody")
	password, data := secret(), h.mkdir(t, "data")
	h.run(t, install, "--no-defaults", "--datadir="+data, "--auth-root-authentication-method=normal", "--skip-test-db",
		"--innodb-flush-log-at-trx-commit=0", "--innodb-log-file-size=8M")
	// The server reads these statements before it takes connections.
	initFile := h.write(t, "init.sql", strings.Join([]string{
		"ALTER USER root@localhost IDENTIFIED BY '" + password + "';",
		"CREATE USER perf@'%' IDENTIFIED BY '" + password + "';",
		"GRANT ALL PRIVILEGES ON *.* TO perf@'%' WITH GRANT OPTION;",
		"CREATE DATABASE perf CHARACTER SET utf8mb4;",
	}, "\n")+"\n")
	pidFile := filepath.Join(h.dir, "pid")
	addr := h.serve(t, spec{
		name: "mariadbd",
		stop: syscall.SIGKILL, // an orderly end takes a second and keeps what nobody reads
		cmd: func(port string) *exec.Cmd {
			return h.command(syscall.SIGKILL, server, "--no-defaults", "--datadir="+data,
				"--bind-address=127.0.0.1", "--port="+port, "--socket="+filepath.Join(h.dir, "sock"),
				"--pid-file="+pidFile, "--tmpdir="+h.dir, "--init-file="+initFile,
				"--skip-name-resolve", "--skip-log-bin", "--skip-ssl", "--innodb-flush-log-at-trx-commit=0",
				"--innodb-buffer-pool-size=64M", "--innodb-log-file-size=8M",
				"--innodb-flush-method=nosync", "--debug-no-sync=1") // nothing is kept, so nothing need reach the disk
		},
		ready: func(c net.Conn) error {
			// Written once our server has its port; read by nobody else.
			if _, err := os.Stat(pidFile); err != nil {
				return errNotReady
			}
			return pingMariaDB(c)
		},
	})
	return fmt.Sprintf("perf:%s@tcp(%s)/perf", password, addr)
}

// pingMariaDB reads the greeting, which the server sends first.
func pingMariaDB(c net.Conn) error {
	var head [5]byte // length (3 bytes), sequence, protocol version
	if _, err := io.ReadFull(c, head[:]); err != nil {
		return err
	}
	if head[4] != 10 {
		return fmt.Errorf("greeted with %d: %w", head[4], errNotReady)
	}
	return nil
}
