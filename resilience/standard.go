package resilience

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"database/sql"
	"database/sql/driver"
	"errors"
	"io"
	"io/fs"
	"net"
	"net/url"
	"os"

	"github.com/failsafe-go/failsafe-go/bulkhead"
	"github.com/failsafe-go/failsafe-go/ratelimiter"
)

// standard knows the errors of the standard library. It is false for an error
// that should be asked by interface.
func standard(err error, f *finding) (known bool) {
	if i, ok := sentinel(err); ok {
		f.set(i, rankFor(i))
		return true
	}
	if i, ok := errnoInfo(err); ok {
		f.set(i, rankCode)
		return true
	}
	switch e := err.(type) { //nolint:errorlint // The walk unwraps by itself.
	case *net.OpError:
		f.dial = e.Op == "dial"
		f.carrier(e.Timeout())
	case *net.DNSError:
		f.dial = true
		f.set(dnsInfo(e), rankCode)
	case *url.Error:
		if e.Timeout() {
			f.set(timeoutOf("net"), rankGuess)
		}
	case *os.SyscallError, *fs.PathError, *os.LinkError:
	case *net.AddrError, net.InvalidAddrError, net.UnknownNetworkError, *net.ParseError:
		f.set(with(ClassInvalid, "address", "net"), rankCode)
	default:
		return tlsError(err, f)
	}
	return true
}

// rankFor ranks a sentinel: the end of a context says more than a code.
func rankFor(i Info) rank {
	if i.Source == "ctx" {
		return rankContext
	}
	return rankCode
}

// carrier notes that a network operation failed.
func (f *finding) carrier(timeout bool) {
	if timeout {
		f.set(timeoutOf("net"), rankCarrier)
		return
	}
	f.set(with(ClassUnavailable, "", "net"), rankCarrier)
}

func with(c Class, code, source string) Info {
	i := c.defaults()
	i.Code, i.Source = code, source
	return i
}

// sentinel knows error values by identity.
func sentinel(err error) (Info, bool) {
	switch err { //nolint:errorlint // The walk unwraps by itself.
	case context.Canceled:
		return Info{Class: ClassCanceled, Code: "canceled", Source: "ctx"}, true
	case context.DeadlineExceeded, ErrTimeout:
		return timeoutInfo(), true
	case io.EOF, io.ErrUnexpectedEOF:
		return with(ClassUnavailable, "eof", "io"), true
	case io.ErrClosedPipe, net.ErrClosed:
		return with(ClassUnavailable, "closed", "net"), true
	case os.ErrDeadlineExceeded:
		return with(ClassTimeout, "io_timeout", "net"), true
	case sql.ErrNoRows:
		return with(ClassNotFound, "no_rows", "sql"), true
	case sql.ErrTxDone: // We ended it ourselves, as with the next.
		return with(ClassInvalid, "tx_done", "sql"), true
	case sql.ErrConnDone:
		return with(ClassInvalid, "conn_done", "sql"), true
	case driver.ErrBadConn: // Its contract: the server has not seen the statement.
		i := with(ClassUnavailable, "bad_conn", "sql")
		i.NotSent = true
		return i, true
	case fs.ErrNotExist:
		return with(ClassNotFound, "not_exist", "os"), true
	case fs.ErrExist:
		return with(ClassInvalid, "exist", "os"), true
	case net.ErrWriteToConnected:
		return with(ClassInvalid, "connected", "net"), true
	case fs.ErrClosed:
		return with(ClassPermanent, "closed", "os"), true
	case errors.ErrUnsupported:
		return with(ClassPermanent, "unsupported", "os"), true
	case fs.ErrPermission:
		return with(ClassUnauthorized, "permission", "os"), true
	case bulkhead.ErrFull, ratelimiter.ErrExceeded:
		return rejectedInfo("policy", 0), true
	}
	return Info{}, false
}

func dnsInfo(e *net.DNSError) Info {
	switch {
	case e.IsNotFound:
		i := with(ClassUnavailable, "no_such_host", "dns")
		i.Retryable = false
		return i
	case e.IsTimeout:
		return with(ClassTimeout, "lookup_timeout", "dns")
	default:
		return with(ClassUnavailable, "lookup", "dns")
	}
}

// tlsError knows the failures of a TLS handshake, before which no request is sent.
func tlsError(err error, f *finding) (known bool) {
	code := ""
	switch err.(type) { //nolint:errorlint // The walk unwraps by itself.
	case *tls.CertificateVerificationError:
		code = "certificate"
	case x509.UnknownAuthorityError, *x509.UnknownAuthorityError:
		code = "unknown_authority"
	case x509.HostnameError, *x509.HostnameError:
		code = "hostname"
	case x509.CertificateInvalidError, *x509.CertificateInvalidError:
		code = "certificate_invalid"
	case x509.SystemRootsError, *x509.SystemRootsError:
		code = "system_roots"
	case tls.RecordHeaderError, *tls.RecordHeaderError:
		code = "not_tls"
	default:
		return false
	}
	i := with(ClassPermanent, code, "tls")
	i.NotSent, i.Counts = true, true
	f.set(i, rankCode)
	return true
}
