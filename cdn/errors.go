package cdn

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// Kinds of failure, for errors.Is. An [OpError] matches the one in its Kind.
var (
	// ErrOptions matches every error about an option or an environment variable.
	ErrOptions = errors.New("cdn: invalid options")
	// ErrKey is a key that is empty, too long or unsafe.
	ErrKey = errors.New("cdn: invalid key")
	// ErrType is content whose type is not allowed or contradicts its name.
	ErrType = errors.New("cdn: content type not allowed")
	// ErrTooLarge is content over a limit, ours or the provider's.
	ErrTooLarge = errors.New("cdn: content too large")
	// ErrTruncated is a body that ended before its announced length.
	ErrTruncated = errors.New("cdn: content truncated")
	// ErrChecksum is content that arrived or came back changed.
	ErrChecksum = errors.New("cdn: checksum mismatch")
	// ErrExists is a create-only write to a key that is taken.
	ErrExists = errors.New("cdn: object exists")
	// ErrNotFound is a missing object.
	ErrNotFound = errors.New("cdn: object not found")
	// ErrAuth is a refusal: wrong credentials, signature or permission.
	ErrAuth = errors.New("cdn: access denied")
	// ErrInvalid is a request that the provider will never take.
	ErrInvalid = errors.New("cdn: request refused")
	// ErrRateLimited is a provider that asks for fewer requests.
	ErrRateLimited = errors.New("cdn: rate limited")
	// ErrUnavailable is a provider that cannot be reached or cannot serve now:
	// network failure, timeout, stall, 5xx, or a reply that is not its protocol.
	ErrUnavailable = errors.New("cdn: provider unavailable")
	// ErrLocalFull is a local directory without room.
	ErrLocalFull = errors.New("cdn: local storage full")
	// ErrLocked is a local directory in use by another process.
	ErrLocked = errors.New("cdn: directory locked by another process")
	// ErrClosed is a call after Close or Shutdown.
	ErrClosed = errors.New("cdn: closed")
)

// OpError is a failed call to a provider. It matches Kind and Err by errors.Is.
// It never holds credentials, query strings or content.
type OpError struct {
	Provider  string        // such as "s3"
	Op        string        // such as "put"
	Key       string        // of the object
	Kind      error         // one of the sentinels of this package
	Status    int           // HTTP status, 0 without a reply
	Code      string        // the provider's own error code, if it gave one
	RequestID string        // for the provider's support
	Wait      time.Duration // what the provider asked for (Retry-After), 0: nothing
	Err       error         // the cause, may be nil
}

// Error describes the failure in one line.
func (e *OpError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "cdn: %s %s %q", e.Provider, e.Op, e.Key)
	if e.Status != 0 {
		fmt.Fprintf(&b, ": status %d", e.Status)
	}
	if e.Code != "" {
		fmt.Fprintf(&b, " %s", e.Code)
	}
	if e.RequestID != "" {
		fmt.Fprintf(&b, " (request %s)", e.RequestID)
	}
	switch {
	case e.Err != nil:
		fmt.Fprintf(&b, ": %s", strings.TrimPrefix(e.Err.Error(), "cdn: "))
	case e.Kind != nil:
		fmt.Fprintf(&b, ": %s", strings.TrimPrefix(e.Kind.Error(), "cdn: "))
	}
	return b.String()
}

// Unwrap makes errors.Is and errors.As see both the kind and the cause.
func (e *OpError) Unwrap() []error { return []error{e.Kind, e.Err} }

// RetryAfter is how long the provider asked to wait, or, without a reply of it, whatever
// refused to send the request, such as a circuit breaker; 0 when nobody did.
func (e *OpError) RetryAfter() time.Duration {
	if e.Wait > 0 || e.Status != 0 {
		return e.Wait
	}
	if by, ok := errors.AsType[interface {
		error
		RetryAfter() time.Duration
	}](e.Err); ok {
		return by.RetryAfter()
	}
	return 0
}

// refused reports a request that was not even sent because the caller's own HTTP client,
// that is a breaker or a limiter in it, knows when it may be.
func refused(err error) bool {
	e, ok := errors.AsType[*OpError](err)
	return ok && e.Status == 0 && e.Wait == 0 && e.RetryAfter() > 0
}

// HTTPStatusCode is the status of the provider's reply, 0 without one.
func (e *OpError) HTTPStatusCode() int { return e.Status }
