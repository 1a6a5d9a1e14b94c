package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/perfblocks/perfblocks/examples/chatserver/internal/store"
)

// program starts the program as a child and returns it with the address that it serves.
func program(t *testing.T, tmp string, args ...string) (cmd *exec.Cmd, base string, stderr *lockedBuffer) {
	t.Helper()
	cmd = exec.Command(os.Args[0], append([]string{"-addr", "127.0.0.1:0"}, args...)...)
	cmd.Env = append(os.Environ(), "CHATSERVER_TEST_MAIN=1", "TMPDIR="+tmp, "DATABASE_URL=", "REDIS_URL=", "CDN_PROVIDER=")
	stderr = &lockedBuffer{}
	cmd.Stderr = stderr
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill() })
	lines := bufio.NewScanner(stdout)
	for base == "" && lines.Scan() {
		if _, u, ok := strings.Cut(lines.Text(), "chat         "); ok {
			base = strings.TrimSuffix(u, "/")
		}
	}
	if base == "" {
		t.Fatalf("the program did not say where it listens: %s", stderr.String())
	}
	go io.Copy(io.Discard, stdout)
	return cmd, base, stderr
}

// TestKilled: a killed program has stored every message that it acknowledged, and what
// answers cost, but for the last second.
func TestKilled(t *testing.T) {
	data := t.TempDir()
	cmd, base, _ := program(t, t.TempDir(), "-users", "40", "-data", data, "-demo=false", "-faults=false")
	s := &service{t: t, url: base}
	db, err := store.Open(t.Context(), "", data)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	var list struct{ Conversations []store.Conversation }
	user := store.UserID(1)
	s.get("/api/conversations?user="+user, 200, &list)
	conv := list.Conversations[0].ID
	s.post("/api/ask", map[string]string{"user": user, "prompt": "what is a cache"}, 200, nil)
	eventually(t, "what the answer cost is written", func() bool {
		days, err := db.UsageDaily(t.Context(), user)
		return err == nil && len(days) > 0 && days[0].Model == "emulated-1"
	})
	acknowledged := map[string]bool{}
	for i := range 30 {
		var m store.Message
		s.post("/api/conversations/"+conv+"/messages", map[string]any{"content": fmt.Sprint("message ", i)}, 200, &m)
		acknowledged[m.ID] = true
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	msgs, err := db.Messages(t.Context(), conv, store.Cursor{}, 50)
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range msgs {
		delete(acknowledged, m.ID)
	}
	if len(acknowledged) > 0 {
		t.Errorf("%d messages are lost: %v", len(acknowledged), acknowledged)
	}
}

// TestProgram runs the program itself as a child: visitors use it, then it is told
// to stop, and must leave with 0 and nothing behind.
func TestProgram(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("SIGTERM cannot be sent on Windows")
	}
	tmp, data := t.TempDir(), t.TempDir()
	cmd, base, stderr := program(t, tmp, "-users", "40", "-data", data)
	eventually(t, "visitors come", func() bool {
		res, err := http.Get(base + "/metrics")
		if err != nil {
			return false
		}
		defer res.Body.Close()
		b, _ := io.ReadAll(res.Body)
		return strings.Contains(string(b), `chat_requests_total{route="GET /api/users/{id}"}`) && !strings.Contains(string(b), `chat_requests_total{route="GET /api/users/{id}"} 0`)
	})
	viewer, err := http.Get(base + "/debug/performance/events") // an endless stream must not hold it up
	if err != nil {
		t.Fatal(err)
	}
	defer viewer.Body.Close()
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	select {
	case err := <-ended:
		if err != nil {
			t.Errorf("exit after SIGTERM: %v; want 0: %s", err, stderr.String())
		}
	case <-time.After(20 * time.Second):
		t.Error("still running 20 s after SIGTERM")
	}
	if left, _ := os.ReadDir(tmp); len(left) > 0 {
		t.Errorf("files left outside the data directory: %v", left)
	}
	if _, err := os.Stat(filepath.Join(data, "chat.db")); err != nil {
		t.Errorf("the data is not kept: %v", err)
	}
}

func TestStartErrors(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		args []string
		env  map[string]string
		want string // in the one line
	}{
		"port in use":      {args: []string{"-addr", taken.Addr().String()}, want: "address already in use"},
		"bad address":      {args: []string{"-addr", "8080"}, want: "-addr"},
		"bad flag":         {args: []string{"-nope"}, want: "-nope"},
		"bad block":        {args: []string{"-off", "cash"}, want: "cash"},
		"bad engine":       {args: []string{"-engine", "lru"}, want: "-engine"},
		"bad users":        {args: []string{"-users", "0"}, want: "-users"},
		"argument":         {args: []string{"start"}, want: "start"},
		"no database":      {env: map[string]string{"DATABASE_URL": "postgres://u:hunter2@127.0.0.1:1/x"}, want: "PostgreSQL"},
		"wrong database":   {env: map[string]string{"DATABASE_URL": "mysql://u:hunter2@h/x"}, want: "DATABASE_URL"},
		"wrong redis":      {env: map[string]string{"REDIS_URL": "http://u:hunter2@h/x"}, want: "REDIS_URL"},
		"unknown provider": {env: map[string]string{"CDN_PROVIDER": "ftp"}, want: "CDN_PROVIDER"},
		"missing variable": {env: map[string]string{"CDN_PROVIDER": "vercel"}, want: "BLOB_READ_WRITE_TOKEN"},
		"data is a file":   {args: []string{"-data", file}, want: "data directory"},
	} {
		t.Run(name, func(t *testing.T) {
			var stdout, stderr lockedBuffer
			args := append([]string{"-addr", "127.0.0.1:0", "-users", "5", "-demo=false"}, c.args...)
			code := run(t.Context(), args, func(k string) string { return c.env[k] }, &stdout, &stderr)
			lines := strings.Split(strings.TrimSpace(stderr.String()), "\n")
			last := lines[len(lines)-1]
			if code != 1 || !strings.Contains(last, c.want) || strings.Contains(stderr.String(), "hunter2") {
				t.Errorf("exit %d, %q; want 1 and a line with %q", code, last, c.want)
			}
			if plain := slices.DeleteFunc(lines, func(l string) bool { return strings.HasPrefix(l, "{") }); len(plain) != 1 {
				t.Errorf("%d lines besides the log: %q; want one", len(plain), plain)
			}
		})
	}
}

func TestHelp(t *testing.T) {
	var stdout, stderr bytes.Buffer
	if code := run(t.Context(), []string{"-help"}, os.Getenv, &stdout, &stderr); code != 0 || !strings.Contains(stdout.String(), "-off") {
		t.Errorf("-help: exit %d, %q", code, stdout.String())
	}
}

func TestMigrations(t *testing.T) {
	write := func() fs.FS {
		dir := t.TempDir()
		if code := run(t.Context(), []string{"-migrations", dir}, os.Getenv, io.Discard, os.Stderr); code != 0 {
			t.Fatalf("exit %d", code)
		}
		return os.DirFS(dir)
	}
	a, b := write(), write()
	count := map[string]int{}
	err := fs.WalkDir(a, ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		x, err1 := fs.ReadFile(a, path)
		y, err2 := fs.ReadFile(b, path)
		if err1 != nil || err2 != nil || !bytes.Equal(x, y) {
			t.Errorf("%s differs between two runs", path)
		}
		tool, _, _ := strings.Cut(path, "/")
		count[tool] += strings.Count(string(x), "CREATE ")
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, tool := range []string{"prisma", "goose", "golang-migrate"} {
		if count[tool] < len(chatIndexes()) {
			t.Errorf("%s: %d CREATE; want one for each of %d indexes", tool, count[tool], len(chatIndexes()))
		}
	}
	dir := t.TempDir()
	for want := range 2 {
		if code := run(context.Background(), []string{"-migrations", dir}, os.Getenv, io.Discard, io.Discard); code != want {
			t.Errorf("run %d into the same directory: exit %d; want %d", want+1, code, want)
		}
	}
}
