package resilience_test

import (
	"context"
	"crypto/x509"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/perfblocks/perfblocks/resilience"
)

type sqlState string

func (e sqlState) Error() string    { return "pg: " + string(e) }
func (e sqlState) SQLState() string { return string(e) }

type apiError struct{ code string }

func (e apiError) Error() string        { return e.code }
func (e apiError) ErrorCode() string    { return e.code }
func (e apiError) ErrorMessage() string { return "" }

type statusErr struct {
	status int
	err    error
}

func (e statusErr) Error() string       { return "status" }
func (e statusErr) HTTPStatusCode() int { return e.status }
func (e statusErr) Unwrap() error       { return e.err }

type redisErr string

func (e redisErr) Error() string { return string(e) }
func (redisErr) RedisError()     {}

// rueidisErr has the methods of rueidis.RedisError.
type rueidisErr string

func (e rueidisErr) Error() string       { return string(e) }
func (e rueidisErr) IsNil() bool         { return e == "redis nil message" }
func (e rueidisErr) IsClusterDown() bool { return strings.HasPrefix(string(e), "CLUSTERDOWN") }

type mongoErr string

func (mongoErr) Error() string                     { return "mongo" }
func (e mongoErr) HasErrorLabel(label string) bool { return string(e) == label }

type panicky struct{ where string }

func (p panicky) Error() string { panic("Error") }
func (p panicky) Unwrap() error {
	if p.where == "Unwrap" {
		panic("Unwrap")
	}
	return io.EOF
}
func (p panicky) Is(error) bool {
	if p.where == "Is" {
		panic("Is")
	}
	return false
}
func (p panicky) HTTPStatusCode() int {
	if p.where == "status" {
		panic("nil response")
	}
	return 0
}

type loop struct{}

func (l loop) Error() string   { return "loop" }
func (l loop) Unwrap() []error { return []error{l, l} }

type own struct{ info resilience.Info }

func (o own) Error() string                   { return "own" }
func (o own) ResilienceInfo() resilience.Info { return o.info }

// flags renders the answers in one word: r(etryable) n(ot sent) c(ounts).
func flags(i resilience.Info) string {
	var b strings.Builder
	for _, f := range []struct {
		on   bool
		name string
	}{{i.Retryable, "r"}, {i.NotSent, "n"}, {i.Counts, "c"}} {
		if f.on {
			b.WriteString(f.name)
		}
	}
	return b.String()
}

func wrapped(err error) error { return fmt.Errorf("outer: %w", fmt.Errorf("inner: %w", err)) }

func dial(err error) error {
	return &url.Error{Op: "Get", URL: "http://x", Err: &net.OpError{Op: "dial", Net: "tcp", Err: os.NewSyscallError("connect", err)}}
}

func TestClassify(t *testing.T) {
	read := func(err error) error { return &net.OpError{Op: "read", Net: "tcp", Err: err} }
	for _, c := range []struct {
		name  string
		err   error
		class resilience.Class
		flags string
		code  string
	}{
		{"nil", nil, resilience.ClassUnknown, "", ""},
		{"unknown", errBoom, resilience.ClassUnknown, "rc", ""},
		{"canceled", context.Canceled, resilience.ClassCanceled, "", "canceled"},
		{"deadline", context.DeadlineExceeded, resilience.ClassTimeout, "rc", "deadline_exceeded"},
		{"canceled over the net", &url.Error{Op: "Get", Err: context.Canceled}, resilience.ClassCanceled, "", "canceled"},
		{"refused", dial(syscall.ECONNREFUSED), resilience.ClassUnavailable, "rnc", "ECONNREFUSED"},
		{"unreachable while dialing", dial(syscall.EHOSTUNREACH), resilience.ClassUnavailable, "rnc", "EHOSTUNREACH"},
		{"unreachable later", read(syscall.EHOSTUNREACH), resilience.ClassUnavailable, "rc", "EHOSTUNREACH"},
		{"no such socket", dial(syscall.ENOENT), resilience.ClassUnavailable, "rnc", "ENOENT"},
		{"dial timeout", &net.OpError{Op: "dial", Err: os.ErrDeadlineExceeded}, resilience.ClassTimeout, "rnc", "io_timeout"},
		{"dial deadline", &net.OpError{Op: "dial", Err: context.DeadlineExceeded}, resilience.ClassTimeout, "rnc", "deadline_exceeded"},
		{"reset", read(syscall.ECONNRESET), resilience.ClassUnavailable, "rc", "ECONNRESET"},
		{"pipe", &net.OpError{Op: "write", Err: syscall.EPIPE}, resilience.ClassUnavailable, "rc", "EPIPE"},
		{"out of descriptors", dial(syscall.EMFILE), resilience.ClassOverloaded, "rn", "EMFILE"},
		{"host unknown", dialDNS(&net.DNSError{IsNotFound: true}), resilience.ClassUnavailable, "nc", "no_such_host"},
		{"lookup timeout", dialDNS(&net.DNSError{IsTimeout: true}), resilience.ClassUnavailable, "rnc", "lookup_timeout"},
		{"eof", &url.Error{Op: "Get", Err: io.EOF}, resilience.ClassUnavailable, "rc", "eof"},
		{"closed", read(net.ErrClosed), resilience.ClassUnavailable, "rc", "closed"},
		{"certificate", x509.UnknownAuthorityError{}, resilience.ClassPermanent, "nc", "unknown_authority"},
		{"no rows", sql.ErrNoRows, resilience.ClassNotFound, "", "no_rows"},
		{"bad conn", driver.ErrBadConn, resilience.ClassUnavailable, "rnc", "bad_conn"},
		{"serialization", sqlState("40001"), resilience.ClassConflict, "r", "40001"},
		{"deadlock", sqlState("40P01"), resilience.ClassConflict, "r", "40P01"},
		{"too many connections", sqlState("53300"), resilience.ClassOverloaded, "rnc", "53300"},
		{"shutting down", sqlState("57P01"), resilience.ClassUnavailable, "rc", "57P01"},
		{"starting up", sqlState("57P03"), resilience.ClassUnavailable, "rnc", "57P03"},
		{"unique violation", sqlState("23505"), resilience.ClassInvalid, "", "23505"},
		{"undefined table", sqlState("42P01"), resilience.ClassInvalid, "", "42P01"},
		{"insufficient privilege", sqlState("42501"), resilience.ClassUnauthorized, "", "42501"},
		{"password", sqlState("28P01"), resilience.ClassUnauthorized, "n", "28P01"},
		{"query canceled", sqlState("57014"), resilience.ClassTimeout, "rc", "57014"},
		{"not a state", sqlState("x"), resilience.ClassUnknown, "rc", "x"},
		{"api code in a status", statusErr{400, apiError{code: "ThrottlingException"}}, resilience.ClassThrottled, "rc", "ThrottlingException"},
		{"api code unknown", statusErr{503, apiError{code: "Odd"}}, resilience.ClassUnavailable, "rc", "503"},
		{"redis loading", redisErr("LOADING Redis is loading"), resilience.ClassUnavailable, "rnc", "LOADING"},
		{"redis nil", redisErr("redis: nil"), resilience.ClassNotFound, "", "nil"},
		{"rueidis nil", rueidisErr("redis nil message"), resilience.ClassNotFound, "", "nil"},
		{"rueidis down", rueidisErr("CLUSTERDOWN The cluster is down"), resilience.ClassUnavailable, "rnc", "CLUSTERDOWN"},
		{"mongo transaction", mongoErr("TransientTransactionError"), resilience.ClassConflict, "r", "TransientTransactionError"},
		{"mongo write", mongoErr("RetryableWriteError"), resilience.ClassUnavailable, "rc", ""},
		{"file", &fs.PathError{Op: "open", Path: "x", Err: syscall.ENOENT}, resilience.ClassNotFound, "", "ENOENT"},
		{"disk full", &fs.PathError{Op: "write", Path: "x", Err: syscall.ENOSPC}, resilience.ClassOverloaded, "", "ENOSPC"},
		{"own", own{resilience.Info{Class: resilience.ClassThrottled, Code: "mine"}}, resilience.ClassThrottled, "", "mine"},
		{"joined with an unknown", errors.Join(errBoom, sqlState("40001")), resilience.ClassConflict, "r", "40001"},
		{"joined, one is permanent", errors.Join(sqlState("40001"), sqlState("23505")), resilience.ClassConflict, "", "40001"},
		{"joined, one was sent", errors.Join(dial(syscall.ECONNREFUSED), syscall.ECONNRESET), resilience.ClassUnavailable, "rc", "ECONNREFUSED"},
		{"panics in Is", panicky{"Is"}, resilience.ClassUnavailable, "rc", "eof"},
		{"panics in the status", panicky{"status"}, resilience.ClassUnavailable, "rc", "eof"},
		{"panics in Unwrap", panicky{"Unwrap"}, resilience.ClassUnknown, "rc", ""},
		{"loop", loop{}, resilience.ClassUnknown, "rc", ""},
		{"breaker", &resilience.BreakerOpenError{}, resilience.ClassRejected, "n", "breaker_open"},
		{"bulkhead", resilience.ErrFull, resilience.ClassRejected, "rn", "bulkhead"},
		{"timeout of ours", resilience.ErrTimeout, resilience.ClassTimeout, "rc", "deadline_exceeded"},
	} {
		errs := []error{c.err}
		if c.err != nil {
			errs = append(errs, wrapped(c.err))
		}
		for _, err := range errs {
			i := resilience.Classify(err)
			if i.Class != c.class || flags(i) != c.flags || i.Code != c.code {
				t.Errorf("%s: %v %q %q; want %v %q %q", c.name, i.Class, flags(i), i.Code, c.class, c.flags, c.code)
			}
		}
	}
}

func dialDNS(e *net.DNSError) error { return &net.OpError{Op: "dial", Net: "tcp", Err: e} }

func TestClassifyHTTP(t *testing.T) {
	for _, c := range []struct {
		status int
		class  resilience.Class
		flags  string
	}{
		{200, resilience.ClassUnknown, ""}, {304, resilience.ClassUnknown, ""},
		{400, resilience.ClassInvalid, ""}, {401, resilience.ClassUnauthorized, ""}, {403, resilience.ClassUnauthorized, ""},
		{404, resilience.ClassNotFound, ""}, {408, resilience.ClassTimeout, "rc"}, {409, resilience.ClassInvalid, ""},
		{410, resilience.ClassNotFound, ""}, {422, resilience.ClassInvalid, ""}, {425, resilience.ClassUnavailable, "rn"},
		{429, resilience.ClassThrottled, "rc"}, {500, resilience.ClassInternal, "rc"}, {501, resilience.ClassPermanent, ""},
		{502, resilience.ClassUnavailable, "rc"}, {503, resilience.ClassUnavailable, "rc"}, {504, resilience.ClassTimeout, "rc"},
		{505, resilience.ClassPermanent, ""}, {507, resilience.ClassOverloaded, "rc"}, {511, resilience.ClassPermanent, ""},
		{599, resilience.ClassInternal, "rc"},
	} {
		i := resilience.ClassifyHTTP(c.status, "7")
		if i.Class != c.class || flags(i) != c.flags || i.HTTPStatus != c.status {
			t.Errorf("ClassifyHTTP(%d) = %v %q; want %v %q", c.status, i.Class, flags(i), c.class, c.flags)
		}
		if want := 7 * time.Second; c.status >= 400 && i.RetryAfter != want {
			t.Errorf("ClassifyHTTP(%d).RetryAfter = %v; want %v", c.status, i.RetryAfter, want)
		}
	}
}

// TestClassifyRealErrors classifies what real sockets and files give.
func TestClassifyRealErrors(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	gone := "http://" + l.Addr().String()
	_ = l.Close()
	tlsServer := httptest.NewUnstartedServer(http.NotFoundHandler())
	tlsServer.Config.ErrorLog = log.New(io.Discard, "", 0)
	tlsServer.StartTLS()
	defer tlsServer.Close()
	cut := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }))
	defer cut.Close()
	slow := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }))
	defer slow.Close()
	get := func(client *http.Client, url string) error {
		resp, err := client.Get(url)
		if err == nil {
			_ = resp.Body.Close()
		}
		return err
	}
	plain := &http.Client{Transport: &http.Transport{}}
	_, noSocket := net.Dial("unix", filepath.Join(t.TempDir(), "none"))
	_, noFile := os.Open(filepath.Join(t.TempDir(), "none"))
	for _, c := range []struct {
		name  string
		err   error
		class resilience.Class
		flags string
	}{
		{"refused", get(plain, gone), resilience.ClassUnavailable, "rnc"},
		{"untrusted certificate", get(plain, tlsServer.URL), resilience.ClassPermanent, "nc"},
		{"cut connection", get(plain, cut.URL), resilience.ClassUnavailable, "rc"},
		{"client timeout", get(&http.Client{Transport: plain.Transport, Timeout: 50 * time.Millisecond}, slow.URL), resilience.ClassTimeout, "rc"},
		{"no unix socket", noSocket, resilience.ClassUnavailable, "rnc"},
		{"no file", noFile, resilience.ClassNotFound, ""},
	} {
		if i := resilience.Classify(c.err); i.Class != c.class || flags(i) != c.flags {
			t.Errorf("%s: %v (%v) = %v %q; want %v %q", c.name, c.err, i, i.Class, flags(i), c.class, c.flags)
		}
	}
	plain.CloseIdleConnections()
}

func TestMarks(t *testing.T) {
	base := sqlState("40001")
	for _, c := range []struct {
		name  string
		err   error
		class resilience.Class
		flags string
		code  string
		after time.Duration
	}{
		{"permanent", resilience.Permanent(base), resilience.ClassConflict, "", "40001", 0},
		{"retryable", resilience.Retryable(sqlState("23505")), resilience.ClassInvalid, "r", "23505", 0},
		{"class", resilience.Mark(base, resilience.ClassNotFound), resilience.ClassNotFound, "", "40001", 0},
		{"outermost class", resilience.Mark(wrapped(resilience.Mark(base, resilience.ClassNotFound)), resilience.ClassThrottled), resilience.ClassThrottled, "rc", "40001", 0},
		{"outer permanent, inner class", resilience.Permanent(resilience.Mark(base, resilience.ClassThrottled)), resilience.ClassThrottled, "c", "40001", 0},
		{"outer class, inner permanent", resilience.Mark(resilience.Permanent(base), resilience.ClassThrottled), resilience.ClassThrottled, "rc", "40001", 0},
		{"code", resilience.WithCode(wrapped(base), "busy"), resilience.ClassConflict, "r", "busy", 0},
		{"code over class", resilience.WithCode(resilience.Mark(base, resilience.ClassInvalid), "bad"), resilience.ClassInvalid, "", "bad", 0},
		{"class over code", resilience.Mark(resilience.WithCode(base, "bad"), resilience.ClassInvalid), resilience.ClassInvalid, "", "bad", 0},
		{"retry after", resilience.WithRetryAfter(errBoom, time.Minute), resilience.ClassUnknown, "rc", "", time.Minute},
		{"not sent stays", resilience.Mark(dial(syscall.ECONNREFUSED), resilience.ClassOverloaded), resilience.ClassOverloaded, "rnc", "ECONNREFUSED", 0},
		{"public", resilience.Public(base, "try later"), resilience.ClassConflict, "r", "40001", 0},
		{"joined", errors.Join(errBoom, resilience.Permanent(errBoom)), resilience.ClassUnknown, "c", "", 0},
	} {
		i := resilience.Classify(c.err)
		if i.Class != c.class || flags(i) != c.flags || i.Code != c.code || i.RetryAfter != c.after {
			t.Errorf("%s: %v %q %q %v; want %v %q %q %v", c.name, i.Class, flags(i), i.Code, i.RetryAfter, c.class, c.flags, c.code, c.after)
		}
	}
	if resilience.Mark(nil, resilience.ClassInvalid) != nil || resilience.Permanent(nil) != nil || resilience.Retryable(nil) != nil ||
		resilience.WithCode(nil, "x") != nil || resilience.WithRetryAfter(nil, 1) != nil || resilience.Public(nil, "x") != nil {
		t.Error("a mark made an error of nil")
	}
	err := wrapped(resilience.WithCode(resilience.Public(resilience.Permanent(base), "try later"), "busy"))
	text, ok := resilience.PublicText(err)
	code, ok2 := resilience.PublicCode(err)
	if !ok || !ok2 || text != "try later" || code != "busy" || !errors.Is(err, base) {
		t.Errorf("PublicText, PublicCode = %q, %q; want try later, busy", text, code)
	}
	if _, ok := resilience.PublicText(base); ok {
		t.Error("PublicText of an unmarked error")
	}
}

func TestClassifierRules(t *testing.T) {
	info := resilience.Info{Class: resilience.ClassThrottled, Code: "rule"}
	c := resilience.NewClassifier(nil,
		resilience.Rule(func(error) (resilience.Info, bool) { panic("rule") }),
		resilience.IsRule(errBoom, info),
		resilience.AsRule(func(e sqlState) (resilience.Info, bool) { return resilience.Info{Code: "as"}, e == "40001" }),
	)
	for _, tc := range []struct {
		err  error
		code string
	}{
		{wrapped(errBoom), "rule"},
		{sqlState("40001"), "as"},
		{sqlState("40P01"), "40P01"},
		{resilience.WithCode(errBoom, "mark"), "mark"},
		{resilience.Mark(errBoom, resilience.ClassInvalid), ""},
	} {
		if i := c.Classify(tc.err); i.Code != tc.code {
			t.Errorf("Classify(%v).Code = %q; want %q", tc.err, i.Code, tc.code)
		}
	}
	first := c.With(resilience.IsRule(errBoom, resilience.Info{Code: "first"}))
	if i := first.Classify(errBoom); i.Code != "first" {
		t.Errorf("With: %q; want first", i.Code)
	}
	if i := c.Classify(errBoom); i.Code != "rule" {
		t.Errorf("With changed its receiver: %q", i.Code)
	}
	var none *resilience.Classifier
	if i := none.Classify(io.EOF); i.Code != "eof" {
		t.Errorf("nil classifier: %q; want eof", i.Code)
	}
}

func TestClassifyAllocs(t *testing.T) {
	for _, err := range []error{
		context.DeadlineExceeded, dial(syscall.ECONNREFUSED), wrapped(sqlState("40001")), sql.ErrNoRows, errBoom,
	} {
		if n := testing.AllocsPerRun(100, func() { _ = resilience.Classify(err) }); n != 0 {
			t.Errorf("Classify(%v) allocates %v times; want 0", err, n)
		}
	}
}

func TestInfoLogValue(t *testing.T) {
	got := resilience.ClassifyHTTP(503, "7").LogValue().String()
	if want := "[class=unavailable code=503 source=http retry_after=7s http_status=503]"; got != want {
		t.Errorf("LogValue = %s; want %s", got, want)
	}
}

func TestParseRetryAfter(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for _, c := range []struct {
		value string
		want  time.Duration
		ok    bool
	}{
		{"120", 2 * time.Minute, true}, {" 0\t", 0, true}, {"0005", 5 * time.Second, true},
		{"99999999999999999999", 365 * 24 * time.Hour, true},
		{"Fri, 02 Jan 2026 03:05:05 GMT", time.Minute, true},
		{"Friday, 02-Jan-26 03:05:05 GMT", time.Minute, true},
		{"Fri Jan  2 03:05:05 2026", time.Minute, true},
		{"Fri, 02 Jan 2026 03:03:05 GMT", 0, true},
		{"", 0, false}, {"-5", 0, false}, {"+5", 0, false}, {"1.5", 0, false}, {"5s", 0, false}, {"soon", 0, false},
		{"Fri, 02 Jan 2026 03:05:05 CET", 0, false},
	} {
		if d, ok := resilience.ParseRetryAfter(c.value, now); d != c.want || ok != c.ok {
			t.Errorf("ParseRetryAfter(%q) = %v, %v; want %v, %v", c.value, d, ok, c.want, c.ok)
		}
	}
}

func FuzzParseRetryAfter(f *testing.F) {
	for _, s := range []string{"120", "-1", "Fri, 02 Jan 2026 03:05:05 GMT", "Friday, 02-Jan-26 03:05:05 GMT", "9e9", "\x00"} {
		f.Add(s)
	}
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	f.Fuzz(func(t *testing.T, s string) {
		d, ok := resilience.ParseRetryAfter(s, now)
		if d < 0 || d > 365*24*time.Hour || !ok && d != 0 {
			t.Fatalf("ParseRetryAfter(%q) = %v, %v", s, d, ok)
		}
		if at, err := http.ParseTime(strings.TrimSpace(s)); err == nil && ok && strings.HasSuffix(s, "GMT") {
			if want := min(max(0, at.Sub(now)), 365*24*time.Hour); d != want {
				t.Fatalf("ParseRetryAfter(%q) = %v; net/http says %v", s, d, want)
			}
		}
	})
}
