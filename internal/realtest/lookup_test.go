package realtest

import (
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"
)

func TestLookup(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("executables are told by their extension on this system")
	}
	root := t.TempDir()
	file := func(mode os.FileMode, parts ...string) string {
		path := filepath.Join(append([]string{root}, parts...)...)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte("#!/bin/sh\n"), mode); err != nil {
			t.Fatal(err)
		}
		return path
	}
	onPath := file(0o755, "path", "both")
	file(0o755, "pg", "15", "bin", "both")
	newest := file(0o755, "pg", "17", "bin", "initdb")
	file(0o755, "pg", "15", "bin", "initdb")
	file(0o644, "pg", "18", "bin", "initdb")
	t.Setenv("PATH", filepath.Join(root, "path"))
	usual := filepath.Join(root, "pg", "*", "bin")
	for _, tt := range []struct {
		names []string
		want  string
	}{
		{[]string{"both"}, onPath},
		{[]string{"initdb"}, newest},
		{[]string{"none", "initdb"}, newest},
		{[]string{"none"}, ""},
	} {
		got, ok := lookup(tt.names, usual)
		if got != tt.want || ok != (tt.want != "") {
			t.Errorf("lookup(%v) = %q, %v; want %q", tt.names, got, ok, tt.want)
		}
	}
}

func TestReachable(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("folders have no such bits on this system")
	}
	root := t.TempDir()
	if err := os.Chmod(filepath.Dir(root), 0o755); err != nil {
		t.Fatal(err)
	}
	shut := filepath.Join(root, "shut")
	within := filepath.Join(shut, "within")
	open := filepath.Join(root, "open")
	for dir, mode := range map[string]os.FileMode{shut: 0o700, open: 0o755} {
		if err := os.Mkdir(dir, mode); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(within, 0o755); err != nil {
		t.Fatal(err)
	}
	if openToAll(within) {
		t.Error("a folder below one of mode 0700 is open to all")
	}
	if !openToAll(open) {
		t.Skipf("%s itself is private", os.TempDir())
	}
	if got := reachable(within, open); got != open {
		t.Errorf("reachable = %s; want %s", got, open)
	}
	if got := reachable(within, shut); got != within {
		t.Errorf("reachable = %s; want the first, %s", got, within)
	}
}

// TestPings sends each ping what a server answers while it still starts.
func TestPings(t *testing.T) {
	redis := func(c net.Conn) error { return pingRedis(c, "secret") }
	http := func(c net.Conn) error { return pingHTTP(c, "/secret") }
	for _, tt := range []struct {
		name, answer string
		ping         func(net.Conn) error
		ok           bool
	}{
		{"postgres up", "R", pingPostgres, true},
		{"postgres starting", "E", pingPostgres, false},
		{"redis up", "+OK\r\n+PONG\r\n", redis, true},
		{"redis of others", "-WRONGPASS invalid username-password pair or user is disabled.\r\n-NOAUTH Authentication required.\r\n", redis, false},
		{"redis loading", "+OK\r\n-LOADING Redis is loading the dataset in memory\r\n", redis, false},
		{"mariadb up", "\x4a\x00\x00\x00\x0a", pingMariaDB, true},
		{"mariadb refusing", "\x4a\x00\x00\x00\xff", pingMariaDB, false},
		{"http up", "HTTP/1.1 200 OK\r\n\r\n", http, true},
		{"http of others", "HTTP/1.1 403 Forbidden\r\n\r\n", http, false},
		{"closed", "", pingPostgres, false},
	} {
		ours, theirs := net.Pipe()
		go func() {
			defer theirs.Close()
			_ = theirs.SetDeadline(time.Now().Add(10 * time.Second))
			if !strings.HasPrefix(tt.name, "mariadb") { // the client speaks first
				_, _ = theirs.Read(make([]byte, 1024))
			}
			_, _ = theirs.Write([]byte(tt.answer))
		}()
		if err := tt.ping(ours); (err == nil) != tt.ok {
			t.Errorf("%s: ping = %v; want ok = %v", tt.name, err, tt.ok)
		}
		ours.Close()
	}
}
