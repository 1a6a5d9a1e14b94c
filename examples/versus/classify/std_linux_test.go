package classify_test

import (
	"bufio"
	"compress/gzip"
	"context"
	"database/sql"
	"errors"
	"io"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/perfblocks/perfblocks/resilience"
)

func stdRows(t *testing.T) []row {
	return append(fsRows(), []row{
		{"context canceled", "go doc context.Canceled", "canceled", is(resilience.ClassCanceled, "", none), func(t *testing.T) error {
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			return ctx.Err()
		}},
		{"context deadline", "go doc context.DeadlineExceeded", "deadline", is(resilience.ClassTimeout, "", retry|counts), func(t *testing.T) error {
			ctx, cancel := context.WithTimeout(t.Context(), time.Nanosecond)
			defer cancel()
			<-ctx.Done()
			return ctx.Err()
		}},
		{"context cause of a signal", "go doc signal.NotifyContext: the cause matches context.Canceled", "signal", is(resilience.ClassCanceled, "", none), func(t *testing.T) error {
			ctx, stop := signal.NotifyContext(t.Context(), syscall.SIGUSR2)
			defer stop()
			ok(t, syscall.Kill(os.Getpid(), syscall.SIGUSR2))
			<-ctx.Done()
			return context.Cause(ctx)
		}},
		{"context cause joined", "go doc context.Cause, errors.Join", "drain", is(resilience.ClassCanceled, "", none), func(t *testing.T) error {
			ctx, cancel := context.WithCancelCause(t.Context())
			cancel(errors.Join(errors.New("drain"), context.Canceled))
			return context.Cause(ctx)
		}},
		{"pipe of io closed", "go doc io.ErrClosedPipe: closed by the reader", "closed pipe", is(resilience.ClassUnavailable, "", retry|counts), func(t *testing.T) error {
			r, w := io.Pipe()
			r.Close()
			_, err := w.Write([]byte("x"))
			return err
		}},
		{"scanner line too long", "go doc bufio.ErrTooLong", "too long", is(resilience.ClassInvalid, "", none), func(t *testing.T) error {
			s := bufio.NewScanner(strings.NewReader(strings.Repeat("x", 1<<17)))
			s.Scan()
			return s.Err()
		}},
		{"gzip header", "RFC 1952, 2.3.1: the reply is not gzip", "invalid header", is(resilience.ClassInternal, "", retry|counts), func(t *testing.T) error {
			_, err := gzip.NewReader(strings.NewReader("<html>no gzip</html>"))
			return err
		}},
		{"exec not found", "go doc exec.ErrNotFound: nothing was started", "not found", is(resilience.ClassNotFound, "", notSent), func(t *testing.T) error {
			return exec.CommandContext(t.Context(), "no-such-program-here").Run()
		}},
		{"exec exit status", "go doc exec.ExitError: says nothing of the reason", "exit status 3", is(resilience.ClassUnknown, "", retry|counts), func(t *testing.T) error {
			return exec.CommandContext(t.Context(), "sh", "-c", "exit 3").Run()
		}},
		{"exec wait delay", "go doc exec.ErrWaitDelay", "WaitDelay", is(resilience.ClassTimeout, "", retry|counts), func(t *testing.T) error {
			c := exec.CommandContext(t.Context(), "sh", "-c", "sleep 1 &")
			c.Stdout, c.WaitDelay = new(strings.Builder), time.Millisecond
			return c.Run()
		}},
		{"sql no rows", "go doc sql.ErrNoRows", "no rows", is(resilience.ClassNotFound, "", none), func(t *testing.T) error {
			return must[*sql.DB](t)(sql.Open("sqlite", ":memory:")).QueryRowContext(t.Context(), "SELECT 1 WHERE 0").Scan(new(int))
		}},
		{"sql transaction done", "go doc sql.ErrTxDone", "already been", is(resilience.ClassInvalid, "", notSent), func(t *testing.T) error {
			tx := must[*sql.Tx](t)(must[*sql.DB](t)(sql.Open("sqlite", ":memory:")).BeginTx(t.Context(), nil))
			ok(t, tx.Rollback())
			return tx.Commit()
		}},
		{"sql connection done", "go doc sql.ErrConnDone: returned to the pool", "already closed", is(resilience.ClassInvalid, "", notSent), func(t *testing.T) error {
			c := must[*sql.Conn](t)(must[*sql.DB](t)(sql.Open("sqlite", ":memory:")).Conn(t.Context()))
			ok(t, c.Close())
			return c.PingContext(t.Context())
		}},
		{"http body limit", "RFC 9110, 15.5.14", "too large", is(resilience.ClassInvalid, "", none), func(t *testing.T) error {
			_, err := io.ReadAll(http.MaxBytesReader(httptest.NewRecorder(), io.NopCloser(strings.NewReader("12345")), 3))
			return err
		}},
		{"http no cookie", "go doc http.ErrNoCookie", "not present", is(resilience.ClassNotFound, "", none), func(t *testing.T) error {
			_, err := httptest.NewRequest("GET", "/", nil).Cookie("x")
			return err
		}},
		{"http missing file", "go doc http.ErrMissingFile", "no such file", is(resilience.ClassNotFound, "", none), func(t *testing.T) error {
			r := httptest.NewRequest("POST", "/", strings.NewReader("--b\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n1\r\n--b--\r\n"))
			r.Header.Set("Content-Type", "multipart/form-data; boundary=b")
			_, _, err := r.FormFile("picture")
			return err
		}},
		{"http not multipart", "go doc http.ErrNotMultipart; RFC 9110, 15.5.16", "multipart", is(resilience.ClassInvalid, "", none), func(t *testing.T) error {
			_, err := httptest.NewRequest("POST", "/", nil).MultipartReader()
			return err
		}},
		{"http missing boundary", "go doc http.ErrMissingBoundary; RFC 2046, 5.1.1", "boundary", is(resilience.ClassInvalid, "", none), func(t *testing.T) error {
			r := httptest.NewRequest("POST", "/", nil)
			r.Header.Set("Content-Type", "multipart/form-data")
			_, err := r.MultipartReader()
			return err
		}},
		{"multipart too large", "go doc multipart.ErrMessageTooLarge", "too large", is(resilience.ClassInvalid, "", none), func(t *testing.T) error {
			body := "--b\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n" + strings.Repeat("x", 11<<20) + "\r\n--b--\r\n"
			_, err := multipart.NewReader(strings.NewReader(body), "b").ReadForm(1)
			return err
		}},
		{"unsupported", "go doc errors.ErrUnsupported", "not supported", is(resilience.ClassPermanent, "", none), func(t *testing.T) error {
			return http.NewResponseController(httptest.NewRecorder()).SetReadDeadline(time.Now())
		}},
		{"body not allowed", "RFC 9110, 15.3.5: 204 has no content", "not allow", is(resilience.ClassInvalid, "", none), func(t *testing.T) error {
			return serverSide(t, func(w http.ResponseWriter) error { w.WriteHeader(204); _, err := w.Write([]byte("x")); return err })
		}},
		{"content length exceeded", "RFC 9110, 8.6", "Content-Length", is(resilience.ClassInvalid, "", none), func(t *testing.T) error {
			return serverSide(t, func(w http.ResponseWriter) error {
				w.Header().Set("Content-Length", "1")
				_, err := w.Write([]byte("xyz"))
				return err
			})
		}},
		{"server closed", "go doc http.ErrServerClosed; there is no other side", "Server closed", is(resilience.ClassPermanent, "", none|anyNotSent), func(t *testing.T) error {
			s := &http.Server{}
			ok(t, s.Close())
			return s.ListenAndServe()
		}},
	}...)
}

func fsRows() []row {
	path := func(name string, err error) error { return err }
	return []row{
		{"file missing", "open(2) ENOENT", "no such file", is(resilience.ClassNotFound, "ENOENT", none), func(t *testing.T) error { _, err := os.Open(filepath.Join(t.TempDir(), "x")); return path("", err) }},
		{"folder exists", "mkdir(2) EEXIST", "exists", is(resilience.ClassInvalid, "EEXIST", none), func(t *testing.T) error { return os.Mkdir(t.TempDir(), 0o700) }},
		{"program not executable", "execve(2) EACCES: nothing was started", "permission denied", is(resilience.ClassUnauthorized, "EACCES", notSent), func(t *testing.T) error {
			f := filepath.Join(t.TempDir(), "x")
			ok(t, os.WriteFile(f, []byte("x"), 0o600))
			_, err := os.StartProcess(f, []string{f}, &os.ProcAttr{})
			return err
		}},
		{"program of no format", "execve(2) ENOEXEC: nothing was started", "format", is(resilience.ClassInvalid, "ENOEXEC", notSent), func(t *testing.T) error {
			f := filepath.Join(t.TempDir(), "x")
			ok(t, os.WriteFile(f, []byte("x"), 0o700))
			_, err := os.StartProcess(f, []string{f}, &os.ProcAttr{})
			return err
		}},
		{"read a folder", "read(2) EISDIR", "is a directory", is(resilience.ClassInvalid, "EISDIR", none), func(t *testing.T) error { _, err := os.ReadFile(t.TempDir()); return err }},
		{"file as folder", "open(2) ENOTDIR", "not a directory", is(resilience.ClassInvalid, "ENOTDIR", none), func(t *testing.T) error { _, err := os.Open("doc.go/x"); return err }},
		{"folder not empty", "rmdir(2) ENOTEMPTY", "not empty", is(resilience.ClassInvalid, "ENOTEMPTY", none), func(t *testing.T) error {
			d := t.TempDir()
			ok(t, os.WriteFile(filepath.Join(d, "x"), nil, 0o600))
			return os.Remove(d)
		}},
		{"name too long", "open(2) ENAMETOOLONG", "too long", is(resilience.ClassInvalid, "ENAMETOOLONG", none), func(t *testing.T) error { _, err := os.Open(strings.Repeat("x", 5000)); return err }},
		{"link loop", "open(2) ELOOP", "too many levels", is(resilience.ClassInvalid, "ELOOP", none), func(t *testing.T) error {
			f := filepath.Join(t.TempDir(), "x")
			ok(t, os.Symlink(f, f))
			_, err := os.Open(f)
			return err
		}},
		{"link to a folder", "link(2) EPERM", "not permitted", is(resilience.ClassUnauthorized, "EPERM", none), func(t *testing.T) error { d := t.TempDir(); return os.Link(d, d+"x") }},
		{"not a link", "readlink(2) EINVAL", "invalid argument", is(resilience.ClassInvalid, "EINVAL", none), func(t *testing.T) error { _, err := os.Readlink("doc.go"); return err }},
		{"disk full", "write(2) ENOSPC: whether space will come is left open", "no space", is(resilience.ClassOverloaded, "ENOSPC", anyRetry), func(t *testing.T) error { return os.WriteFile("/dev/full", []byte("x"), 0) }},
		{"text busy", "open(2) ETXTBSY", "busy", is(resilience.ClassConflict, "ETXTBSY", retry), func(t *testing.T) error { _, err := os.OpenFile("/proc/self/exe", os.O_WRONLY, 0); return err }},
		{"no such process", "kill(2) ESRCH", "no such process", is(resilience.ClassNotFound, "ESRCH", none), func(t *testing.T) error { return syscall.Kill(1<<30, 0) }},
		{"file closed", "go doc os.ErrClosed; there is no other side", "already closed", is(resilience.ClassPermanent, "", none|anyNotSent), func(t *testing.T) error {
			f := must[*os.File](t)(os.Open("doc.go"))
			f.Close()
			_, err := f.Read(make([]byte, 1))
			return err
		}},
		{"pipe broken", "write(2) EPIPE", "broken pipe", is(resilience.ClassUnavailable, "EPIPE", retry|counts), func(t *testing.T) error {
			r, w, err := os.Pipe()
			ok(t, err)
			r.Close()
			defer w.Close()
			_, err = w.Write([]byte("x"))
			return err
		}},
		{"pipe deadline", "go doc os.ErrDeadlineExceeded", "timeout", is(resilience.ClassTimeout, "", retry|counts), func(t *testing.T) error {
			r, w, err := os.Pipe()
			ok(t, err)
			defer r.Close()
			defer w.Close()
			ok(t, r.SetReadDeadline(time.Now()))
			_, err = r.Read(make([]byte, 1))
			return err
		}},
	}
}
