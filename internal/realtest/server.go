package realtest

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"
)

const (
	startTimeout = 90 * time.Second // a loaded machine with two cores needs room
	stopTimeout  = 15 * time.Second
	pollEvery    = 10 * time.Millisecond
)

// home is the temporary folder and the user of one server.
type home struct {
	dir  string
	cred *credential // nil: the test's own user
}

// newHome makes a folder that its Cleanup removes. As root the folder belongs
// to the first of the users that exists, and the server runs as that user.
func newHome(t testing.TB, users ...string) *home {
	t.Helper()
	cred, err := dropTo(users)
	if err != nil {
		t.Fatalf("realtest: choose a user: %v", err)
	}
	base := os.TempDir()
	if cred != nil {
		base = reachable(base, "/tmp", "/var/tmp")
	}
	dir, err := os.MkdirTemp(base, "perf-")
	if err != nil {
		t.Fatalf("realtest: make a folder: %v", err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Errorf("realtest: remove the server's folder: %v", err)
		}
	})
	h := &home{dir: dir, cred: cred}
	h.own(t, dir)
	return h
}

// reachable returns the first folder that every user may enter, or the first.
func reachable(dirs ...string) string {
	for _, dir := range dirs {
		if openToAll(dir) {
			return dir
		}
	}
	return dirs[0]
}

func openToAll(dir string) bool {
	dir, err := filepath.EvalSymlinks(dir)
	if err != nil {
		return false
	}
	for {
		fi, err := os.Stat(dir)
		if err != nil || !fi.IsDir() || fi.Mode()&0o001 == 0 {
			return false
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return true
		}
		dir = parent
	}
}

// own gives a path to the server's user.
func (h *home) own(t testing.TB, path string) {
	t.Helper()
	if h.cred == nil {
		return
	}
	if err := os.Chown(path, h.cred.uid, h.cred.gid); err != nil {
		t.Fatalf("realtest: give %s to the server's user: %v", filepath.Base(path), err)
	}
}

// write puts a file that only the server's user may read, and returns its path.
func (h *home) write(t testing.TB, name, text string) string {
	t.Helper()
	path := filepath.Join(h.dir, name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatalf("realtest: write %s: %v", name, err)
	}
	h.own(t, path)
	return path
}

// mkdir makes a folder inside and returns its path.
func (h *home) mkdir(t testing.TB, name string) string {
	t.Helper()
	path := filepath.Join(h.dir, name)
	if err := os.Mkdir(path, 0o700); err != nil {
		t.Fatalf("realtest: make %s: %v", name, err)
	}
	h.own(t, path)
	return path
}

// program returns a path by which the server's user may run a program: the
// path itself, or that of a copy where a folder above it is closed to others,
// as root's home with "go install" in it is.
func (h *home) program(t testing.TB, path string) string {
	t.Helper()
	if h.cred == nil || openToAll(filepath.Dir(path)) {
		return path
	}
	data, err := os.ReadFile(path)
	if err == nil {
		path = filepath.Join(h.dir, filepath.Base(path))
		err = os.WriteFile(path, data, 0o755)
	}
	if err != nil {
		t.Fatalf("realtest: copy %s to where it may run: %v", filepath.Base(path), err)
	}
	return path
}

// command prepares a program that runs in the folder as the server's user,
// with an environment that holds nothing of the test's own settings.
func (h *home) command(deathSignal syscall.Signal, path string, args ...string) *exec.Cmd {
	cmd := exec.Command(path, args...)
	cmd.Dir = h.dir
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + h.dir, "TMPDIR=" + h.dir, "LC_ALL=C", "TZ=UTC"}
	if runtime.GOOS == "windows" {
		cmd.Env = os.Environ()
	}
	cmd.SysProcAttr = processAttr(h.cred, deathSignal)
	return cmd
}

// run executes a set-up program to its end.
func (h *home) run(t testing.TB, path string, args ...string) {
	t.Helper()
	var out bytes.Buffer
	cmd := h.command(syscall.SIGKILL, path, args...)
	cmd.Stdout, cmd.Stderr = &out, &out
	p := begun(cmd)
	select {
	case <-p.done:
	case <-time.After(startTimeout):
		p.stop(syscall.SIGKILL)
	}
	if p.err != nil {
		t.Fatalf("realtest: %s: %v\n%s", filepath.Base(path), p.err, tail(out.Bytes()))
	}
}

// process is a started program; err may be read once done is closed.
type process struct {
	cmd  *exec.Cmd
	done chan struct{}
	err  error
}

// begun starts the command and waits for it in a goroutine of its own. The
// goroutine keeps its thread for as long as the process lives: Linux sends the
// parent-death signal when the thread that forked ends, not the process.
func begun(cmd *exec.Cmd) *process {
	p := &process{cmd: cmd, done: make(chan struct{})}
	started := make(chan struct{})
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		defer close(p.done)
		p.err = cmd.Start()
		close(started)
		if p.err == nil {
			p.err = cmd.Wait()
		}
	}()
	<-started
	return p
}

// stop ends the process, by force if it does not follow the signal, and waits.
func (p *process) stop(sig syscall.Signal) {
	if p.cmd.Process == nil {
		return
	}
	if err := p.cmd.Process.Signal(sig); err != nil && !errors.Is(err, os.ErrProcessDone) {
		_ = p.cmd.Process.Kill() // Windows knows no other signal.
	}
	select {
	case <-p.done:
	case <-time.After(stopTimeout):
		_ = p.cmd.Process.Kill()
		<-p.done
	}
}

// spec says how to start a server that listens on a loopback port.
type spec struct {
	name  string
	stop  syscall.Signal              // asks for a quick and complete end
	cmd   func(port string) *exec.Cmd // may be asked again, for another port
	ready func(c net.Conn) error      // one try; nil when this very server answers
}

// serve starts the server on a free port, waits until it answers, and returns
// its address, host:port. A port that another process took between its choice
// and its use is replaced, a few times; spec.ready tells our server from one
// of the same kind that took the port.
func (h *home) serve(t testing.TB, s spec) string {
	t.Helper()
	for attempt := 1; ; attempt++ {
		addr, err := freeAddr()
		if err != nil {
			t.Fatalf("realtest: choose a port for %s: %v", s.name, err)
		}
		log, err := h.start(t, s, addr)
		if err == nil {
			return addr
		}
		taken := bytes.Contains(bytes.ToLower(log), []byte("already in use"))
		if !taken || attempt == 5 {
			t.Fatalf("realtest: start %s: %v\n%s", s.name, err, tail(log))
		}
	}
}

func (h *home) start(t testing.TB, s spec, addr string) (log []byte, err error) {
	t.Helper()
	_, port, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, err
	}
	out, err := os.Create(filepath.Join(h.dir, "server.log"))
	if err != nil {
		return nil, err
	}
	defer out.Close()
	cmd := s.cmd(port)
	cmd.Stdout, cmd.Stderr = out, out
	p := begun(cmd)
	if err := p.await(addr, s.ready); err != nil {
		p.stop(syscall.SIGKILL)
		log, _ = os.ReadFile(out.Name())
		return log, err
	}
	t.Cleanup(func() { p.stop(s.stop) })
	return nil, nil
}

// await polls until the server answers, ends, or takes too long.
func (p *process) await(addr string, ready func(net.Conn) error) error {
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	deadline := time.After(startTimeout)
	err := errors.New("not tried")
	for {
		select {
		case <-p.done:
			if p.err != nil {
				return fmt.Errorf("ended early: %w", p.err)
			}
			return errors.New("ended early")
		case <-deadline:
			return fmt.Errorf("not ready after %v: %w", startTimeout, err)
		case <-tick.C:
		}
		if err = try(addr, ready); err == nil {
			return nil
		}
	}
}

func try(addr string, ready func(net.Conn) error) error {
	c, err := net.DialTimeout("tcp", addr, time.Second)
	if err != nil {
		return err
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(5 * time.Second)); err != nil {
		return err
	}
	return ready(c)
}

func freeAddr() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	return l.Addr().String(), nil
}

// tail returns the last lines of a log.
func tail(log []byte) string {
	const most = 2000
	text := strings.TrimSpace(string(log))
	if len(text) > most {
		text = "…" + text[len(text)-most:]
	}
	return text
}

// sibling returns the program of that name beside another, as Debian keeps
// the programs of one PostgreSQL version in one folder.
func sibling(path, name string) (string, error) {
	real, err := filepath.EvalSymlinks(path)
	if err != nil {
		return "", err
	}
	for _, p := range []string{real, path} {
		if s := filepath.Join(filepath.Dir(p), name+filepath.Ext(p)); isExecutable(s) {
			return s, nil
		}
	}
	return "", fmt.Errorf("%s beside %s: %w", name, filepath.Base(path), fs.ErrNotExist)
}
