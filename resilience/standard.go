package resilience

import (
	"database/sql"
	"database/sql/driver"
	"errors"
	"io"
	"io/fs"
	"net"
	"net/url"
	"os"
	"reflect"

	"github.com/failsafe-go/failsafe-go"
	"github.com/failsafe-go/failsafe-go/adaptivelimiter"
	"github.com/failsafe-go/failsafe-go/adaptivethrottler"
	"github.com/failsafe-go/failsafe-go/budget"
	"github.com/failsafe-go/failsafe-go/bulkhead"
	"github.com/failsafe-go/failsafe-go/circuitbreaker"
	"github.com/failsafe-go/failsafe-go/ratelimiter"
	"github.com/failsafe-go/failsafe-go/timeout"
)

// effect corrects the answers that a class gives by default.
type effect uint8

const (
	unsent effect = 1 << iota // the request did not reach the other side
	final                     // repeating does not help
	quiet                     // it does not speak against the other side
	counts                    // it does
)

// known is a row of what the package knows.
type known struct {
	class  Class
	effect effect
	code   string
	source string
}

func (k known) info() Info {
	i := with(k.class, k.code, k.source)
	i.NotSent = i.NotSent || k.effect&unsent != 0
	i.Retryable = i.Retryable && k.effect&final == 0
	i.Counts = i.Counts && k.effect&quiet == 0 || k.effect&counts != 0
	return i
}

func with(c Class, code, source string) Info {
	i := c.defaults()
	i.Code, i.Source = code, source
	return i
}

func canceledInfo() Info { return Info{Class: ClassCanceled, Code: "canceled", Source: "ctx"} }

// sentinel is an error value with what it means.
type sentinel struct {
	err   error
	asked bool // errors of other types are asked whether they are this one
	known
}

// sentinels are values that are told by identity. Those of failsafe-go are what the
// policies beside ours say of themselves, not of the other side: a rate limit of our
// own must not open the breaker.
var sentinels = [...]sentinel{
	{io.EOF, true, known{ClassUnavailable, 0, "eof", "io"}},
	{io.ErrUnexpectedEOF, true, known{ClassUnavailable, 0, "eof", "io"}},
	{io.ErrClosedPipe, false, known{ClassUnavailable, 0, "closed", "net"}},
	{net.ErrClosed, true, known{ClassUnavailable, 0, "closed", "net"}},
	{os.ErrDeadlineExceeded, true, known{ClassTimeout, 0, "io_timeout", "net"}},
	{sql.ErrNoRows, true, known{ClassNotFound, 0, "no_rows", "sql"}},
	{sql.ErrTxDone, true, known{ClassInvalid, unsent, "tx_done", "sql"}}, // We ended it ourselves, as with the next.
	{sql.ErrConnDone, true, known{ClassInvalid, unsent, "conn_done", "sql"}},
	{driver.ErrBadConn, true, known{ClassUnavailable, unsent, "bad_conn", "sql"}}, // Its contract: the server has not seen the statement.
	{driver.ErrSkip, false, known{ClassPermanent, 0, "unsupported", "sql"}},
	{driver.ErrRemoveArgument, false, known{ClassInvalid, 0, "argument", "sql"}},
	{fs.ErrNotExist, true, known{ClassNotFound, 0, "not_exist", "os"}},
	{fs.ErrExist, true, known{ClassInvalid, 0, "exist", "os"}},
	{fs.ErrPermission, true, known{ClassUnauthorized, 0, "permission", "os"}},
	{fs.ErrInvalid, true, known{ClassInvalid, 0, "invalid", "os"}},
	{fs.ErrClosed, true, known{ClassPermanent, 0, "closed", "os"}},
	{fs.SkipDir, false, known{ClassPermanent, 0, "skip", "os"}},
	{fs.SkipAll, false, known{ClassPermanent, 0, "skip", "os"}},
	{os.ErrNoDeadline, false, known{ClassPermanent, 0, "no_deadline", "os"}},
	{os.ErrProcessDone, false, known{ClassPermanent, 0, "process_done", "os"}},
	{os.ErrNoHandle, false, known{ClassPermanent, 0, "no_handle", "os"}},
	{net.ErrWriteToConnected, false, known{ClassInvalid, unsent, "connected", "net"}},
	{errors.ErrUnsupported, false, known{ClassPermanent, 0, "unsupported", "os"}},
	{io.ErrShortWrite, false, known{ClassInternal, 0, "short_write", "io"}},
	{io.ErrShortBuffer, false, known{ClassInvalid, 0, "short_buffer", "io"}},
	{io.ErrNoProgress, false, known{ClassPermanent, 0, "no_progress", "io"}},
	{bulkhead.ErrFull, false, known{ClassRejected, 0, "policy", "resilience"}},
	{ratelimiter.ErrExceeded, false, known{ClassRejected, 0, "policy", "resilience"}},
	{adaptivelimiter.ErrExceeded, false, known{ClassRejected, 0, "policy", "resilience"}},
	{adaptivethrottler.ErrExceeded, false, known{ClassRejected, 0, "policy", "resilience"}},
	{circuitbreaker.ErrOpen, false, known{ClassRejected, final, "policy", "resilience"}},
	{budget.ErrExceeded, false, known{ClassRejected, final, "policy", "resilience"}},
	{failsafe.ErrExecutionCanceled, false, known{ClassCanceled, 0, "canceled", "resilience"}},
	{timeout.ErrExceeded, false, known{ClassTimeout, 0, "policy_timeout", "resilience"}},
}

// sentinelTexts finds the sentinels of errors.New by text, which is cheaper than
// to compare with each; the value is compared with the one that is found.
var sentinelTexts = textsOf(sentinels[:])

func textsOf(all []sentinel) map[string]int {
	byText := make(map[string]int, len(all))
	for i, s := range all {
		if reflect.TypeOf(s.err) == textType {
			byText[s.err.Error()] = i
		}
	}
	return byText
}

// operation notes that a network operation failed, and whether it was one before
// anything can be sent.
func (f *finding) operation(op string) {
	switch op {
	case "dial", "proxyconnect", "socks connect", "socks bind":
		f.dial = true
	case "local error":
		f.local = true
	case "accept": // There is no other side.
		f.quiet = true
	}
	if f.rank == rankNone {
		i := &f.info // as ClassUnavailable does, in place: most errors have more to say
		i.Class, i.Source, i.Retryable, i.Counts = ClassUnavailable, "net", true, true
		f.rank = rankCarrier
	}
}

// request knows what net/http says of a request in no other way: a URL that cannot
// be read, and the status text of a proxy that would not connect (RFC 9110, 9.3.6).
func (f *finding) request(e *url.Error) {
	if e.Op == "parse" {
		i := with(ClassInvalid, "url", "http")
		i.NotSent = true
		f.set(i, rankCode)
		return
	}
	if reflect.TypeOf(e.Err) != textType {
		return
	}
	if k, ok := proxyRefusals[e.Err.Error()]; ok {
		f.set(k.info(), rankCode)
	}
}

// proxyRefusals are the texts of the statuses with which a proxy refuses a tunnel.
var proxyRefusals = map[string]known{
	"Bad Request":                   {ClassInvalid, unsent, "proxy_400", "http"},
	"Forbidden":                     {ClassUnauthorized, unsent, "proxy_403", "http"},
	"Method Not Allowed":            {ClassInvalid, unsent, "proxy_405", "http"},
	"Proxy Authentication Required": {ClassUnauthorized, unsent, "proxy_407", "http"},
	"Too Many Requests":             {ClassThrottled, unsent, "proxy_429", "http"},
	"Internal Server Error":         {ClassInternal, unsent, "proxy_500", "http"},
	"Bad Gateway":                   {ClassUnavailable, unsent, "proxy_502", "http"},
	"Service Unavailable":           {ClassUnavailable, unsent, "proxy_503", "http"},
	"Gateway Timeout":               {ClassTimeout, unsent, "proxy_504", "http"},
}

// dnsRank puts a lookup that ran out of time above the end of a context that it
// wraps: that context may be the resolver's own.
func dnsRank(e *net.DNSError) rank {
	if e.IsTimeout {
		return rankContext
	}
	return rankCode
}

func dnsInfo(e *net.DNSError) Info {
	switch {
	case e.IsNotFound:
		i := with(ClassUnavailable, "no_such_host", "dns")
		i.Retryable = false
		return i
	case e.IsTimeout:
		return with(ClassUnavailable, "lookup_timeout", "dns")
	}
	switch e.Err { // Nobody was asked.
	case "unrecognized address", "invalid address", "unknown network", "SRV header name is invalid":
		return with(ClassInvalid, "lookup", "dns")
	}
	return with(ClassUnavailable, "lookup", "dns") // SERVFAIL and answers that cannot be read
}
