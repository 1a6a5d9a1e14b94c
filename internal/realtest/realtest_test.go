package realtest_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/perfblocks/perfblocks/internal/realtest"
)

// fake stands in for the test that asks for a server, and keeps its verdict.
type fake struct {
	testing.TB // panics when a method that is not overridden is used
	verdict    string
}

func (f *fake) Helper() {}

func (f *fake) Skipf(format string, args ...any) { f.end("skip: "+format, args) }

func (f *fake) Fatalf(format string, args ...any) { f.end("fatal: "+format, args) }

func (f *fake) end(format string, args []any) {
	f.verdict = fmt.Sprintf(format, args...)
	runtime.Goexit()
}

// ask calls get with a fake test and returns how it ended.
func ask(get func(testing.TB)) string {
	f := &fake{verdict: "returned"}
	done := make(chan struct{})
	go func() {
		defer close(done)
		get(f)
	}()
	<-done
	return f.verdict
}

// services lists what does not depend on folders of the machine: Postgres and
// MariaDB are found in Debian's usual places whatever PATH says.
var services = []struct {
	name, env, install string
	get                func(testing.TB)
}{
	{"redis", "PERF_REDIS_URL", "redis-server", func(t testing.TB) { realtest.Redis(t) }},
	{"s3", "PERF_S3_URL", "versitygw", func(t testing.TB) { realtest.S3(t) }},
	{"chromium", "CHROME_PATH", "chromium", func(t testing.TB) { realtest.Chromium(t) }},
	{"npm", "PERF_NPM", "npm install", func(t testing.TB) { realtest.NPM(t) }},
}

// barren makes a machine on which nothing is installed.
func barren(t *testing.T) {
	t.Helper()
	if runtime.GOOS != "linux" {
		t.Skip("browsers have places of their own on this system")
	}
	empty := t.TempDir()
	for _, env := range []string{"PATH", "GOBIN", "GOPATH"} {
		t.Setenv(env, empty)
	}
	for _, env := range []string{"PERF_REQUIRE", "PERF_REDIS_URL", "PERF_S3_URL", "CHROME_PATH", "PERF_NPM"} {
		t.Setenv(env, "")
	}
}

func TestMissingSkips(t *testing.T) {
	barren(t)
	for _, s := range services {
		got := ask(s.get)
		if !strings.HasPrefix(got, "skip: ") || !strings.Contains(got, s.install) || !strings.Contains(got, s.env) {
			t.Errorf("%s on a machine without it: %q; want a skip that names %s and %s", s.name, got, s.install, s.env)
		}
	}
}

func TestRequireFails(t *testing.T) {
	barren(t)
	for _, s := range services {
		t.Setenv("PERF_REQUIRE", "mariadb, "+s.name)
		if got := ask(s.get); !strings.HasPrefix(got, "fatal: ") || !strings.Contains(got, s.install) {
			t.Errorf("%s required and missing: %q; want a failure that names %s", s.name, got, s.install)
		}
		t.Setenv("PERF_REQUIRE", "mariadb")
		if got := ask(s.get); !strings.HasPrefix(got, "skip: ") {
			t.Errorf("%s missing while mariadb is required: %q; want a skip", s.name, got)
		}
	}
}

func TestRequireUnknownFails(t *testing.T) {
	barren(t)
	t.Setenv("PERF_REQUIRE", "redis,postgresql")
	t.Setenv("PERF_REDIS_URL", "redis://127.0.0.1:1/0") // even where an address is set
	for _, s := range services {
		if got := ask(s.get); !strings.HasPrefix(got, "fatal: ") || !strings.Contains(got, `"postgresql"`) {
			t.Errorf("%s with a misspelt PERF_REQUIRE: %q; want a failure that names postgresql", s.name, got)
		}
	}
}

func TestAddressFromEnvironment(t *testing.T) {
	for _, tt := range []struct {
		env, value string
		get        func(testing.TB) string
	}{
		{"PERF_POSTGRES_URL", "postgres://u:p@db/x", realtest.Postgres},
		{"PERF_REDIS_URL", "redis://u:p@db/1", realtest.Redis},
		{"PERF_MARIADB_DSN", "u:p@tcp(db)/x", realtest.MariaDB},
		{"PERF_S3_URL", "https://k:s@store:9/?region=eu", func(t testing.TB) string {
			s := realtest.S3(t)
			return strings.Replace(s.Endpoint, "//", "//"+s.AccessKey+":"+s.SecretKey+"@", 1) + "/?region=" + s.Region
		}},
	} {
		t.Setenv(tt.env, tt.value)
		if got := tt.get(t); got != tt.value {
			t.Errorf("with %s=%s: got %s", tt.env, tt.value, got)
		}
	}
	t.Setenv("CHROME_PATH", filepath.Join(t.TempDir(), "gone"))
	if got := ask(func(t testing.TB) { realtest.Chromium(t) }); !strings.HasPrefix(got, "fatal: ") {
		t.Errorf("CHROME_PATH of no file: %q; want a failure", got)
	}
	for _, bad := range []string{"http://127.0.0.1:9", "http://key@127.0.0.1:9", "http://key:%zzsecret@x"} {
		t.Setenv("PERF_S3_URL", bad)
		got := ask(func(t testing.TB) { realtest.S3(t) })
		if !strings.HasPrefix(got, "fatal: ") || strings.Contains(got, "secret@x") {
			t.Errorf("PERF_S3_URL=%s: %q; want a failure without the keys", bad, got)
		}
	}
}

// TestServers starts each server, uses it, and looks for what is left.
func TestServers(t *testing.T) {
	for _, tt := range []struct {
		name string
		use  func(*testing.T) (addr string)
	}{
		{"postgres", usePostgres},
		{"redis", useRedis},
		{"mariadb", useMariaDB},
		{"s3", useS3},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tmp := sharedTemp(t)
			t.Setenv("TMPDIR", tmp)
			var addr string
			t.Run("use", func(t *testing.T) { addr = tt.use(t) })
			if addr == "" {
				t.Skip("not started")
			}
			if left, err := os.ReadDir(tmp); err != nil || len(left) > 0 {
				t.Errorf("files left: %v, %v", left, err)
			}
			if left := processesIn(tmp); len(left) > 0 {
				t.Errorf("processes left: %q", left)
			}
			if c, err := net.Dial("tcp", addr); err == nil {
				c.Close()
				t.Errorf("%s still listens", addr)
			}
		})
	}
}

func usePostgres(t *testing.T) string {
	t.Setenv("PERF_POSTGRES_URL", "")
	u := parse(t, realtest.Postgres(t))
	if out, ok := client(t, "psql", "-X", "-At", "-c", "CREATE TABLE t (x int)", "-c", "SELECT current_user, count(*) FROM t", u.String()); ok && !strings.Contains(out, "postgres|0") {
		t.Errorf("psql printed %q; want postgres|0", out)
	}
	u.User = url.UserPassword("postgres", "wrong")
	if psql, err := exec.LookPath("psql"); err == nil {
		if out, err := exec.Command(psql, "-X", "-c", "SELECT 1", u.String()).CombinedOutput(); err == nil {
			t.Errorf("psql with a wrong password: %s; want a refusal", out)
		}
	}
	return u.Host
}

func useRedis(t *testing.T) string {
	t.Setenv("PERF_REDIS_URL", "")
	u := parse(t, realtest.Redis(t))
	password, _ := u.User.Password()
	c, err := net.Dial("tcp", u.Host)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	fmt.Fprintf(c, "GET k\r\nAUTH default %s\r\nSET k v\r\nGET k\r\n", password)
	in := bufio.NewScanner(c)
	for _, want := range []string{"-NOAUTH Authentication required.", "+OK", "+OK", "$1", "v"} {
		if !in.Scan() || in.Text() != want {
			t.Fatalf("answer %q, %v; want %q", in.Text(), in.Err(), want)
		}
	}
	return u.Host
}

func useMariaDB(t *testing.T) string {
	t.Setenv("PERF_MARIADB_DSN", "")
	dsn := realtest.MariaDB(t)
	rest, ok1 := strings.CutPrefix(dsn, "perf:")
	password, rest, ok2 := strings.Cut(rest, "@tcp(")
	addr, ok3 := strings.CutSuffix(rest, ")/perf")
	if !ok1 || !ok2 || !ok3 {
		t.Fatalf("MariaDB() = %q; want perf:…@tcp(…)/perf", dsn)
	}
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		t.Fatal(err)
	}
	if out, ok := client(t, "mariadb", "--no-defaults", "-h"+host, "-P"+port, "-uperf", "-p"+password, "-N",
		"-e", "CREATE TABLE t (x int); SELECT count(*), database() FROM t", "perf"); ok && strings.TrimSpace(out) != "0\tperf" {
		t.Errorf("mariadb printed %q; want 0 and perf", out)
	}
	return addr
}

func useS3(t *testing.T) string {
	t.Setenv("PERF_S3_URL", "")
	s := realtest.S3(t)
	for _, step := range []struct{ method, path, body, want string }{
		{http.MethodPut, "/bucket", "", ""},
		{http.MethodPut, "/bucket/a/b.txt", "content", ""},
		{http.MethodGet, "/bucket/a/b.txt", "", "content"},
	} {
		if status, got := signed(t, s, step.method, step.path, step.body); status != http.StatusOK || got != step.want {
			t.Fatalf("%s %s: %d %q; want 200 %q", step.method, step.path, status, got, step.want)
		}
	}
	stranger := s
	stranger.SecretKey += "x"
	if status, _ := signed(t, stranger, http.MethodGet, "/bucket/a/b.txt", ""); status != http.StatusForbidden {
		t.Errorf("with a wrong key: %d; want 403", status)
	}
	return parse(t, s.Endpoint).Host
}

// TestChromium runs the browser that was found.
func TestChromium(t *testing.T) {
	path := realtest.Chromium(t)
	out, err := exec.Command(path, "--version").Output()
	if err != nil || !strings.Contains(string(out), "Chrom") {
		t.Errorf("%s --version = %q, %v", path, out, err)
	}
}

// TestKilledBinary kills a test binary that has servers, and expects them to
// end too.
func TestKilledBinary(t *testing.T) {
	if os.Getenv("REALTEST_CHILD") != "" {
		fmt.Printf("servers %s %s\n", parse(t, realtest.Redis(t)).Host, parse(t, realtest.Postgres(t)).Host)
		_, _ = io.Copy(io.Discard, os.Stdin) // until killed
		return
	}
	if runtime.GOOS != "linux" {
		t.Skip("servers outlive a killed test binary on this system")
	}
	for _, env := range []string{"PERF_REDIS_URL", "PERF_POSTGRES_URL"} {
		t.Setenv(env, "")
	}
	if _, err := exec.LookPath("redis-server"); err != nil {
		t.Skip("redis-server is not installed")
	}
	tmp := sharedTemp(t)
	cmd := exec.Command(os.Args[0], "-test.run=^TestKilledBinary$", "-test.v")
	cmd.Env = append(os.Environ(), "REALTEST_CHILD=1", "TMPDIR="+tmp)
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	defer stdin.Close()
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	addrs := started(t, stdout)
	if err := cmd.Process.Kill(); err != nil {
		t.Error(err)
	}
	_ = cmd.Wait() // "killed" is what we asked for
	if addrs == nil {
		t.Skip("PostgreSQL is not installed")
	}
	tick, deadline := time.NewTicker(10*time.Millisecond), time.Now().Add(30*time.Second)
	defer tick.Stop()
	for len(processesIn(tmp)) > 0 && time.Now().Before(deadline) {
		<-tick.C
	}
	if left := processesIn(tmp); len(left) > 0 {
		t.Errorf("processes left by a killed binary: %q", left)
	}
	for _, addr := range addrs {
		if c, err := net.Dial("tcp", addr); err == nil {
			c.Close()
			t.Errorf("%s still listens", addr)
		}
	}
}

// sharedTemp makes a temporary folder that servers of other users may enter.
func sharedTemp(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.Chmod(filepath.Dir(dir), 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

// started reads the child's line with the addresses; nil if it skipped.
func started(t *testing.T, r io.Reader) []string {
	t.Helper()
	in := bufio.NewScanner(r)
	for in.Scan() {
		if rest, ok := strings.CutPrefix(in.Text(), "servers "); ok {
			return strings.Fields(rest)
		}
		if strings.Contains(in.Text(), "FAIL") {
			t.Errorf("child: %s", in.Text())
		}
	}
	return nil
}

func parse(t *testing.T, s string) *url.URL {
	t.Helper()
	u, err := url.Parse(s)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// client runs a command-line client if it is installed.
func client(t *testing.T, name string, args ...string) (string, bool) {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		t.Logf("%s is not installed: only the server's start and end are tested", name)
		return "", false
	}
	out, err := exec.Command(path, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v: %s", name, err, out)
	}
	return string(out), true
}

// processesIn returns the command lines of processes that work inside a
// folder; it sees them on Linux only.
func processesIn(dir string) []string {
	var found []string
	links, _ := filepath.Glob("/proc/[0-9]*/cwd")
	for _, link := range links {
		if cwd, err := os.Readlink(link); err == nil && strings.HasPrefix(cwd, dir+"/") {
			line, _ := os.ReadFile(filepath.Join(filepath.Dir(link), "cmdline"))
			found = append(found, strings.ReplaceAll(string(line), "\x00", " "))
		}
	}
	slices.Sort(found)
	return found
}
