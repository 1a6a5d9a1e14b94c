package resilience

import (
	"time"

	"github.com/perfblocks/perfblocks/resilience/internal/errtree"
)

// markBits says which answers a mark overrides.
type markBits uint8

const (
	markClass markBits = 1 << iota
	markRetry
	markCode
	markAfter
	markPublic
)

// markedError is err with answers that override what the walk finds in it.
type markedError struct {
	err error
	overrides
	text string
}

func (m *markedError) Error() string { return m.err.Error() }
func (m *markedError) Unwrap() error { return m.err }

// Timeout is for callers that look for it without unwrapping, as url.Error does.
func (m *markedError) Timeout() bool {
	if m.bits&markClass != 0 {
		return m.info.Class == ClassTimeout
	}
	t, ok := errtree.As[interface {
		error
		Timeout() bool
	}](m.err)
	return ok && t.Timeout()
}

// Mark says that err is of class c, with the default answers of that class,
// whatever else could be found out about it. The text stays the same and err
// stays in the chain. The outermost mark wins. Mark(nil, c) is nil.
func Mark(err error, c Class) error {
	if err == nil {
		return nil
	}
	info := c.defaults()
	info.Source = "mark"
	return &markedError{err: err, overrides: overrides{bits: markClass, info: info}}
}

// Permanent says that repeating the call cannot help; class and code stay as
// found. Permanent(nil) is nil.
func Permanent(err error) error {
	if err == nil {
		return nil
	}
	return &markedError{err: err, overrides: overrides{bits: markRetry}}
}

// Retryable says that repeating the call may help; class and code stay as found.
// A pipeline for calls that are not idempotent still repeats only what was not
// sent. Retryable(nil) is nil.
func Retryable(err error) error {
	if err == nil {
		return nil
	}
	return &markedError{err: err, overrides: overrides{bits: markRetry, retry: true}}
}

// WithCode gives err the application's own code, such as "quota_exceeded", for
// logs, fingerprints and problem bodies. WithCode(nil, code) is nil.
func WithCode(err error, code string) error {
	if err == nil {
		return nil
	}
	return &markedError{err: err, overrides: overrides{bits: markCode, info: Info{Code: code}}}
}

// WithRetryAfter says that err may be retried, but not before d has passed; a d
// of 0 or less takes the wait away. WithRetryAfter(nil, d) is nil.
func WithRetryAfter(err error, d time.Duration) error {
	if err == nil {
		return nil
	}
	return &markedError{err: err, overrides: overrides{
		bits: markAfter | markRetry, retry: true, info: Info{RetryAfter: max(0, d)},
	}}
}

// Public gives err a text that may be shown to the caller of the service, who
// otherwise sees none of the error's own text. Public(nil, text) is nil.
func Public(err error, text string) error {
	if err == nil {
		return nil
	}
	return &markedError{err: err, overrides: overrides{bits: markPublic}, text: text}
}

// PublicCode returns the outermost code given by [WithCode] in err's chain, and
// whether there is one. Codes found by [Classify] itself are not public.
func PublicCode(err error) (code string, ok bool) {
	m, ok := outermost(err, markCode)
	if !ok {
		return "", false
	}
	return m.info.Code, true
}

// PublicText returns the outermost text given by [Public] in err's chain, and
// whether there is one.
func PublicText(err error) (text string, ok bool) {
	m, ok := outermost(err, markPublic)
	if !ok {
		return "", false
	}
	return m.text, true
}

// outermost finds the first mark of the given kind.
func outermost(err error, kind markBits) (*markedError, bool) {
	var found *markedError
	ok := errtree.Search(err, func(e error) bool {
		m, is := e.(*markedError) //nolint:errorlint // Search unwraps.
		if is && m.bits&kind != 0 {
			found = m
		}
		return found != nil
	})
	return found, ok
}

// overrides are the answers that marks gave, the outermost first.
type overrides struct {
	bits  markBits
	retry bool
	info  Info // the fields that bits name
}

// under adds the answers of an inner mark where no outer one gave any.
func (o *overrides) under(m *overrides) {
	if m.bits&markClass != 0 && o.bits&markClass == 0 {
		code, after := o.info.Code, o.info.RetryAfter
		o.info = m.info
		if o.bits&markCode != 0 {
			o.info.Code = code
		}
		if o.bits&markAfter != 0 {
			o.info.RetryAfter = after
		}
	}
	if m.bits&markRetry != 0 && o.bits&(markRetry|markClass) == 0 {
		o.retry = m.retry
		o.bits |= markRetry
	}
	if m.bits&markCode != 0 && o.bits&markCode == 0 {
		o.info.Code = m.info.Code
	}
	if m.bits&markAfter != 0 && o.bits&markAfter == 0 {
		o.info.RetryAfter = m.info.RetryAfter
	}
	o.bits |= m.bits &^ markRetry
}

// apply puts the answers of the marks into base.
func (o *overrides) apply(base *Info) {
	if o.bits == 0 {
		return
	}
	if o.bits&markClass != 0 {
		keep := *base
		*base = o.info
		if base.Code == "" {
			base.Code = keep.Code
		}
		if base.RetryAfter == 0 && o.bits&markAfter == 0 {
			base.RetryAfter = keep.RetryAfter
		}
		if base.HTTPStatus == 0 {
			base.HTTPStatus = keep.HTTPStatus
		}
		base.NotSent = base.NotSent || keep.NotSent
	}
	if o.bits&markRetry != 0 {
		base.Retryable = o.retry
	}
	if o.bits&markCode != 0 {
		base.Code = o.info.Code
	}
	if o.bits&markAfter != 0 {
		base.RetryAfter = o.info.RetryAfter
	}
}
