package resilience

import (
	"fmt"
	"log/slog"
	"time"
)

// Class says what kind of failure an error is, apart from who reported it. The
// zero value is ClassUnknown.
type Class uint8

// The classes of failure. Each has default answers for retry and for the
// breaker, which [Classify] refines by code.
const (
	// ClassUnknown is an error that nothing recognised. It counts as a failure
	// and may be repeated where repeating is safe.
	ClassUnknown Class = iota
	// ClassCanceled means that a caller gave up. Neutral: never retried, never counted.
	ClassCanceled
	// ClassTimeout means that no answer came in time; the work may have been done.
	ClassTimeout
	// ClassUnavailable means that the other side could not be reached or went away.
	ClassUnavailable
	// ClassThrottled means that the other side asked for fewer calls from us.
	ClassThrottled
	// ClassOverloaded means that a resource ran out, there or here.
	ClassOverloaded
	// ClassConflict means that a concurrent change won; repeating the whole
	// transaction may succeed.
	ClassConflict
	// ClassNotFound means that the thing asked for does not exist.
	ClassNotFound
	// ClassInvalid means that the request is wrong and stays wrong.
	ClassInvalid
	// ClassUnauthorized means that credentials are missing, wrong or insufficient.
	ClassUnauthorized
	// ClassPermanent means that repeating cannot help, for another reason.
	ClassPermanent
	// ClassInternal means that the other side failed inside.
	ClassInternal
	// ClassRejected means that we did not call: an open breaker, a full bulkhead
	// or a spent budget refused.
	ClassRejected
)

// classNames is immutable and indexed by Class.
var classNames = [...]string{
	"unknown", "canceled", "timeout", "unavailable", "throttled", "overloaded", "conflict",
	"not_found", "invalid", "unauthorized", "permanent", "internal", "rejected",
}

// String returns the lower-case name of the class, such as "not_found", as used
// in logs and labels; an undefined value gives "class(N)".
func (c Class) String() string {
	if int(c) < len(classNames) {
		return classNames[c]
	}
	return fmt.Sprintf("class(%d)", uint8(c))
}

// MarshalText returns the name that String gives, so that a Class can stand in
// JSON and in configuration. An undefined value is an error.
func (c Class) MarshalText() ([]byte, error) {
	if int(c) >= len(classNames) {
		return nil, fmt.Errorf("resilience: marshal class %d: undefined", uint8(c))
	}
	return []byte(classNames[c]), nil
}

// UnmarshalText accepts exactly the names that String gives. Anything else is an
// error matching [ErrOptions] and leaves c as it was.
func (c *Class) UnmarshalText(text []byte) error {
	for i, name := range classNames {
		if name == string(text) {
			*c = Class(i)
			return nil
		}
	}
	return fmt.Errorf("%w: class %q is unknown", ErrOptions, text)
}

// Info is what is known about an error. It is a plain value: compare, copy and
// log it freely; it holds no part of the error's text.
type Info struct {
	// Class is the kind of failure.
	Class Class
	// Code is the most specific code found: an errno name, a SQLSTATE, an API
	// error code or an HTTP status in digits. Empty when there is none.
	Code string
	// Source tells whose code it is: "ctx", "net", "dns", "tls", "os", "io",
	// "http", "sql", "api", "grpc", "connect", "redis", "mongo", "smtp", "data" (what a
	// decoder could not read), "mark" or "resilience".
	Source string
	// Retryable reports that the same call may succeed if repeated later.
	Retryable bool
	// NotSent reports that the request certainly did not reach the other side, so
	// that repeating it cannot do the work twice.
	NotSent bool
	// Counts reports that the failure speaks against the health of the other side
	// and so counts in a breaker.
	Counts bool
	// RetryAfter is the wait that the other side asked for; 0 when it did not.
	RetryAfter time.Duration
	// HTTPStatus is the HTTP status behind the error; 0 when there is none.
	HTTPStatus int
}

// LogValue renders the non-zero fields as a slog group, so that
// slog.Any("failure", info) logs class, code and source but no error text.
func (i Info) LogValue() slog.Value {
	attrs := make([]slog.Attr, 0, 6)
	attrs = append(attrs, slog.String("class", i.Class.String()))
	if i.Code != "" {
		attrs = append(attrs, slog.String("code", i.Code))
	}
	if i.Source != "" {
		attrs = append(attrs, slog.String("source", i.Source))
	}
	if i.RetryAfter > 0 {
		attrs = append(attrs, slog.Duration("retry_after", i.RetryAfter))
	}
	if i.HTTPStatus != 0 {
		attrs = append(attrs, slog.Int("http_status", i.HTTPStatus))
	}
	return slog.GroupValue(attrs...)
}

// Classified is implemented by errors that know what they are. [Classify] takes
// the outermost answer in preference to everything it could find out itself.
type Classified interface {
	error
	// ResilienceInfo describes the error. It must be pure and must not block.
	ResilienceInfo() Info
}

// defaults returns the Info that a bare class implies.
func (c Class) defaults() Info {
	i := Info{Class: c}
	switch c {
	case ClassUnknown, ClassTimeout, ClassUnavailable, ClassInternal:
		i.Retryable, i.Counts = true, true
	case ClassThrottled, ClassOverloaded:
		i.Retryable, i.Counts = true, true
	case ClassConflict:
		i.Retryable = true
	case ClassRejected:
		i.Retryable, i.NotSent = true, true
	default: // Canceled, NotFound, Invalid, Unauthorized, Permanent: the answer stands.
	}
	return i
}
