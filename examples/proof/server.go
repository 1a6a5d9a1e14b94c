package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// build makes the service's program in dir.
func build(ctx context.Context, dir string) (string, error) {
	bin := filepath.Join(dir, "chatserver")
	cmd := exec.CommandContext(ctx, "go", "build", "-o", bin, "github.com/perfblocks/perfblocks/examples/chatserver")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build of chatserver: %w\n%s", err, out)
	}
	return bin, nil
}

// server is a running child process.
type server struct {
	cmd  *exec.Cmd
	url  string
	mem  *meter
	logs *os.File
	done chan error
}

// startServer runs the service, with its logs and data in dir, until it is ready.
func startServer(ctx context.Context, bin, dir string, limit int64, args ...string) (_ *server, err error) {
	s := &server{done: make(chan error, 1)}
	if s.logs, err = os.Create(filepath.Join(dir, "log")); err != nil {
		return nil, err
	}
	if s.mem, err = newMeter(limit); err != nil {
		return nil, errors.Join(err, s.logs.Close())
	}
	s.cmd = exec.Command(bin, append([]string{"-addr", "127.0.0.1:0", "-demo=false", "-faults=false", "-data", dir}, args...)...)
	s.cmd.Env = append(os.Environ(), fmt.Sprintf("GOMEMLIMIT=%d", limit*9/10), "DATABASE_URL=", "REDIS_URL=", "CDN_PROVIDER=")
	s.cmd.Stderr = s.logs
	stdout, err := s.cmd.StdoutPipe()
	if err == nil {
		err = s.cmd.Start()
	}
	if err != nil {
		return nil, errors.Join(err, s.mem.close(), s.logs.Close())
	}
	grouped := s.mem.add(s.cmd.Process.Pid)
	ready := make(chan string, 1)
	go func() {
		defer close(ready)
		lines := bufio.NewScanner(stdout)
		for lines.Scan() {
			if _, url, ok := strings.Cut(lines.Text(), "chat         "); ok {
				ready <- strings.TrimSuffix(url, "/")
			}
		}
	}()
	go func() { s.done <- s.cmd.Wait() }()
	select {
	case url, ok := <-ready:
		if s.url = url; ok && grouped == nil {
			return s, nil
		}
		err = grouped
		if !ok {
			err = fmt.Errorf("chatserver ended before it was ready; its log is in %s", s.logs.Name())
		}
	case <-time.After(3 * time.Minute):
		err = errors.New("chatserver was not ready in three minutes")
	case <-ctx.Done():
		err = ctx.Err()
	}
	return nil, errors.Join(err, s.stop(ctx))
}

// stop ends the child, as an operator would; with less patience once ctx has ended,
// since then somebody waits for this program.
func (s *server) stop(ctx context.Context) error {
	s.cmd.Process.Signal(syscall.SIGTERM)
	patience, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	var err error
	select {
	case err = <-s.done:
	case <-patience.Done():
		select {
		case err = <-s.done:
		case <-time.After(time.Second):
			s.cmd.Process.Kill()
			err = errors.Join(errors.New("chatserver did not end when it was told to"), <-s.done)
		}
	}
	return errors.Join(err, s.mem.close(), s.logs.Close())
}

// died tells whether the child has ended by itself.
func (s *server) died() bool {
	select {
	case err := <-s.done:
		s.done <- err
		return true
	default:
		return false
	}
}

// statement is what the queries of one kind cost the database.
type statement struct {
	Name    string  `json:"name"`
	Queries int64   `json:"queries"`
	Seconds float64 `json:"seconds"`
}

// figures are what the service says of itself.
type figures struct {
	Cache struct {
		HitRate float64 `json:"hitRate"`
		Hits    uint64  `json:"hits"`
		Misses  uint64  `json:"misses"`
	} `json:"cache"`
	CDN struct {
		Fallback uint64 `json:"fallback"`
		Promoted uint64 `json:"promoted"`
		Pending  int    `json:"pending"`
	} `json:"cdn"`
	Database struct {
		Queries    int64       `json:"queries"`
		Seconds    float64     `json:"seconds"`
		Wait       float64     `json:"waitSeconds"`
		Statements []statement `json:"statements"`
	} `json:"database"`
}

// databaseSeconds is how long the database worked: the queries' time without what they
// waited for a connection, which a service that is overloaded has without bound.
func (f figures) databaseSeconds() float64 { return max(f.Database.Seconds-f.Database.Wait, 0) }

func (s *server) figures(ctx context.Context) (f figures, err error) {
	body, err := s.call(ctx, http.MethodGet, "/debug/performance")
	if err == nil {
		err = json.Unmarshal(body, &f)
	}
	return f, err
}

// zero sets the service's counters to zero.
func (s *server) zero(ctx context.Context) error {
	_, err := s.call(ctx, http.MethodDelete, "/debug/performance")
	return err
}

// call asks for something that must work.
func (s *server) call(ctx context.Context, method, path string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, s.url+path, nil)
	if err != nil {
		return nil, err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err == nil && res.StatusCode >= 300 {
		err = fmt.Errorf("%s %s: %s: %.200s", method, path, res.Status, body)
	}
	return body, err
}
