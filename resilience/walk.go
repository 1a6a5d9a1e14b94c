package resilience

import (
	"context"
	"errors"
	"time"
)

// rank orders what can be found in one tree; the more specific finding wins.
type rank uint8

const (
	rankNone    rank = iota
	rankGuess        // an interface such as Timeout() bool
	rankCarrier      // a wrapper such as *net.OpError
	rankCode         // an errno, a sentinel, an HTTP status
	rankDriver       // a driver's or an API's own code
	rankContext      // the end of a context
	rankSelf         // Classified
)

// finding is what is known about an error and all that it wraps.
type finding struct {
	info Info
	rank rank
	over overrides
	dial bool // it happened while connecting
}

// walker bounds one walk, also over a tree that is a cycle.
type walker struct{ nodes int }

func visit(err error) finding {
	w := walker{nodes: maxNodes}
	f := w.visit(err, 0)
	if f.rank == rankNone {
		f.info = mergeFacts(ClassUnknown.defaults(), f.info)
	}
	if f.dial {
		f.info = connecting(f.info)
	}
	return f
}

// connecting corrects an info for a failure before anything was sent.
func connecting(i Info) Info {
	i.NotSent = true
	if i.Class == ClassNotFound || i.Class == ClassUnknown { // No such socket.
		code := i.Code
		i = mergeFacts(ClassUnavailable.defaults(), i)
		i.Code, i.Source, i.NotSent = code, "net", true
	}
	return i
}

// mergeFacts adds to info what only other knows, whatever the classes.
func mergeFacts(info, other Info) Info {
	info.NotSent = info.NotSent || other.NotSent
	if info.RetryAfter == 0 {
		info.RetryAfter = other.RetryAfter
	}
	if info.HTTPStatus == 0 {
		info.HTTPStatus = other.HTTPStatus
	}
	return info
}

func (w *walker) visit(err error, depth int) finding {
	if err == nil || depth >= maxDepth || w.nodes <= 0 {
		return finding{}
	}
	w.nodes--
	if m, ok := err.(*markedError); ok { //nolint:errorlint // The walk unwraps by itself.
		f := w.visit(m.err, depth+1)
		over := overrides{}
		over.under(overrides{bits: m.bits, info: m.info, retry: m.retry})
		over.under(f.over)
		f.over = over
		return f
	}
	here := look(err)
	if here.rank == rankSelf {
		return here
	}
	many, one := unwrap(err)
	switch {
	case one != nil:
		return deeper(here, w.visit(one, depth+1))
	case many != nil:
		return deeper(here, w.join(many, depth+1))
	default:
		return here
	}
}

// deeper merges a finding with that of the error it wraps: the higher rank says
// what it is, the outer one if equal, and plain facts add up.
func deeper(outer, inner finding) finding {
	f := outer
	if inner.rank > outer.rank {
		f.info, f.rank = mergeFacts(inner.info, outer.info), inner.rank
	} else {
		f.info = mergeFacts(outer.info, inner.info)
	}
	f.over = inner.over
	f.dial = outer.dial || inner.dial
	return f
}

// join merges the branches of a joined error. Unknown branches are passed over;
// of the others the most specific says what it is, but repeating is possible, and
// nothing was sent, only if that holds for each of them.
func (w *walker) join(errs []error, depth int) finding {
	var best finding
	first, retry, unsent := true, true, true
	for _, err := range errs {
		f := w.visit(err, depth)
		if f.rank == rankNone && f.over.bits == 0 && !f.dial {
			best.info = mergeFacts(best.info, Info{RetryAfter: f.info.RetryAfter, HTTPStatus: f.info.HTTPStatus})
			continue
		}
		resolved := f.info
		if f.dial {
			resolved = connecting(resolved)
		}
		if f.rank == rankNone {
			resolved = mergeFacts(ClassUnknown.defaults(), resolved)
		}
		resolved = f.over.apply(resolved)
		retry, unsent = retry && resolved.Retryable, unsent && resolved.NotSent
		if f.over.bits != 0 {
			f.rank = rankSelf
		}
		if first || f.rank > best.rank {
			best.info, best.rank = resolved, f.rank
		}
		first = false
	}
	if !first {
		best.info.Retryable, best.info.NotSent = retry, unsent
	}
	return best
}

// unwrap looks one level deeper and survives an Unwrap that panics.
func unwrap(err error) (many []error, one error) {
	defer func() {
		if recover() != nil {
			many, one = nil, nil
		}
	}()
	switch u := err.(type) { //nolint:errorlint // The walk unwraps by itself.
	case interface{ Unwrap() error }:
		return nil, u.Unwrap()
	case interface{ Unwrap() []error }:
		return u.Unwrap(), nil
	}
	return nil, nil
}

// look finds out about one error by itself. It survives methods that panic, those
// of a nil pointer in particular, and keeps what was found before.
func look(err error) (f finding) {
	defer func() { _ = recover() }()
	if standard(err, &f) {
		return f
	}
	probe(err, &f)
	return f
}

// probe asks an error of a type we do not import for what it knows, by interface.
func probe(err error, f *finding) {
	if e, ok := err.(Classified); ok {
		f.info, f.rank = e.ResilienceInfo(), rankSelf
		return
	}
	if e, ok := err.(interface{ RetryAfter() time.Duration }); ok {
		f.info.RetryAfter = max(0, e.RetryAfter())
	}
	if e, ok := err.(interface{ Timeout() bool }); ok && e.Timeout() {
		f.set(timeoutOf("net"), rankGuess)
	}
	if e, ok := err.(interface{ Is(error) bool }); ok {
		switch {
		case e.Is(context.Canceled):
			f.set(Info{Class: ClassCanceled, Code: "canceled", Source: "ctx"}, rankContext)
		case e.Is(context.DeadlineExceeded):
			f.set(timeoutInfo(), rankContext)
		case e.Is(errors.ErrUnsupported):
			f.set(with(ClassPermanent, "unsupported", "os"), rankCode)
		}
	}
	if status := statusOf(err); status != 0 {
		f.set(ClassifyHTTP(status, ""), rankCode)
	}
	probeDrivers(err, f)
	if f.rank >= rankDriver {
		return
	}
	if i, ok := foreignInfo(err); ok {
		f.set(i, rankDriver)
	}
}

func timeoutOf(source string) Info {
	i := ClassTimeout.defaults()
	i.Source = source
	return i
}

// set replaces the info by a more specific one and keeps plain facts.
func (f *finding) set(i Info, r rank) {
	if r > f.rank {
		f.info, f.rank = mergeFacts(i, f.info), r
	}
}

// statusOf returns the HTTP status that err tells of, or 0.
func statusOf(err error) (status int) {
	defer func() {
		if recover() != nil { // A response error without a response.
			status = 0
		}
	}()
	switch e := err.(type) { //nolint:errorlint // The walk unwraps by itself.
	case interface{ HTTPStatusCode() int }:
		status = e.HTTPStatusCode()
	case interface{ StatusCode() int }:
		status = e.StatusCode()
	case interface{ HTTPStatus() int }:
		status = e.HTTPStatus()
	}
	if status < 400 || status > 599 {
		return 0
	}
	return status
}

// probeDrivers asks for codes of databases and APIs.
func probeDrivers(err error, f *finding) {
	switch e := err.(type) { //nolint:errorlint // The walk unwraps by itself.
	case interface{ SQLState() string }:
		if code := e.SQLState(); code != "" {
			f.set(ClassifySQLState(code), rankDriver)
		}
	case interface {
		ErrorCode() string
		ErrorMessage() string
	}:
		if i := classifyAPICode(e.ErrorCode()); i.Class != ClassUnknown {
			f.set(i, rankDriver)
		}
	case interface{ RedisError() }:
		if i := classifyRedis(err.Error()); i.Class != ClassUnknown {
			f.set(i, rankDriver)
		}
	case interface {
		IsNil() bool
		IsClusterDown() bool
	}:
		if e.IsNil() {
			f.set(with(ClassNotFound, "nil", "redis"), rankDriver)
		} else if i := classifyRedis(err.Error()); i.Class != ClassUnknown {
			f.set(i, rankDriver)
		}
	case interface{ HasErrorLabel(string) bool }:
		switch {
		case e.HasErrorLabel("TransientTransactionError"):
			f.set(with(ClassConflict, "TransientTransactionError", "mongo"), rankDriver)
		case e.HasErrorLabel("RetryableWriteError"), e.HasErrorLabel("NetworkError"):
			f.set(with(ClassUnavailable, "", "mongo"), rankDriver)
		}
	}
}
