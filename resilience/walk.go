package resilience

import (
	"context"
	"io/fs"
	"net"
	"net/url"
	"os"
	"reflect"
)

// rank orders what can be found in one tree; the more specific finding wins.
type rank uint8

const (
	rankNone    rank = iota
	rankCarrier      // a wrapper such as *net.OpError
	rankGuess        // an interface such as Timeout() bool
	rankCode         // an errno, a sentinel, an HTTP status
	rankDriver       // a driver's or an API's own code
	rankContext      // the end of a context
	rankSelf         // Classified
)

// finding is what is known so far about an error and about what it wraps. A walk
// fills it from the outside in, so that of findings of one rank the outer stays.
type finding struct {
	info  Info
	rank  rank
	dial  bool // it happened while connecting
	local bool // it is about an alert that this side sent
	quiet bool // there is no other side
	over  overrides
}

// set replaces the info by a more specific one; plain facts add up anyway.
func (f *finding) set(i Info, r rank) {
	if r <= f.rank {
		f.facts(&i)
		return
	}
	facts := f.info
	f.info, f.rank = i, r
	f.facts(&facts)
}

// facts adds what only other knows, whatever the classes.
func (f *finding) facts(other *Info) {
	i := &f.info
	i.NotSent = i.NotSent || other.NotSent
	if i.RetryAfter == 0 {
		i.RetryAfter = other.RetryAfter
	}
	if i.HTTPStatus == 0 {
		i.HTTPStatus = other.HTTPStatus
	}
}

// finish resolves what the whole walk has shown, but for the marks.
func (f *finding) finish() {
	if f.rank == rankNone {
		f.info.Retryable, f.info.Counts = true, true // as ClassUnknown does
	}
	if f.local {
		f.localAlert()
	}
	if f.dial {
		f.connecting()
	}
	if f.quiet {
		f.info.Counts = false
	}
}

// connecting corrects the info of a failure before anything was sent.
func (f *finding) connecting() {
	i := &f.info
	i.NotSent = true
	if i.Class == ClassNotFound || i.Class == ClassUnknown { // No such socket.
		c := ClassUnavailable.defaults()
		i.Class, i.Retryable, i.Counts, i.Source = c.Class, c.Retryable, c.Counts, "net"
	}
}

// walker bounds one walk, also over a tree that is a cycle.
type walker struct {
	nodes   int
	guarded bool // each method of an error is called under its own recover
}

// visit finds out about err. Errors whose methods panic, as those of a nil pointer
// do, are rare: the first walk gives up at a panic, and only then a second one
// guards every call by itself and keeps what the others say.
func visit(err error, f *finding) {
	if !quick(err, f) {
		*f = finding{}
		w := walker{nodes: maxNodes, guarded: true}
		w.walk(err, f, 0)
	}
	f.finish()
}

// quick walks without guards and reports whether nothing panicked.
func quick(err error, f *finding) (ok bool) {
	defer func() { _ = recover() }()
	w := walker{nodes: maxNodes}
	w.walk(err, f, 0)
	return true
}

// walk follows a chain in a loop and enters itself for the branches of a join only.
func (w *walker) walk(err error, f *finding, depth int) {
	for ; err != nil && depth < maxDepth && w.nodes > 0; depth++ {
		w.nodes--
		var many []error
		if w.guarded {
			many, err = w.stepSafely(err, f)
		} else {
			many, err = w.step(err, f)
		}
		switch len(many) {
		case 0:
		case 1:
			err = many[0]
		default:
			w.join(many, f, depth+1)
			return
		}
	}
}

// stepSafely is step for errors that may be nil pointers.
func (w *walker) stepSafely(err error, f *finding) (many []error, next error) {
	defer func() { _ = recover() }()
	return w.step(err, f)
}

// step finds out about one error by itself and returns what it wraps. The types
// that carry most errors come first, so that they cost one comparison each.
func (w *walker) step(err error, f *finding) (many []error, next error) {
	switch err { //nolint:errorlint // The walk unwraps by itself.
	case context.DeadlineExceeded:
		f.set(timeoutInfo(), rankContext)
		return nil, nil
	case context.Canceled:
		f.set(canceledInfo(), rankContext)
		return nil, nil
	}
	switch e := err.(type) { //nolint:errorlint // The walk unwraps by itself.
	case *markedError:
		f.over.under(&e.overrides)
		return nil, e.err
	case *net.OpError:
		f.operation(e.Op)
		return nil, e.Err
	case *os.SyscallError:
		return nil, e.Err
	case *url.Error:
		f.request(e)
		return nil, e.Err
	case *fs.PathError:
		f.info.NotSent = f.info.NotSent || e.Op == "fork/exec" // Nothing was started.
		return nil, e.Err
	case *os.LinkError:
		return nil, e.Err
	case *net.DNSError:
		f.dial = true
		f.set(dnsInfo(e), dnsRank(e))
		return nil, e.UnwrapErr
	case timeoutError:
		f.set(timeoutInfo(), rankContext)
		return nil, nil
	}
	if i, ok := errnoInfo(err); ok {
		f.set(i, rankCode)
		return nil, nil
	}
	switch t := reflect.TypeOf(err); t {
	case wrapType:
		return nil, err.(interface{ Unwrap() error }).Unwrap()
	case textType:
		f.text(err)
		return nil, nil
	default:
		return w.foreign(planOf(t, err), err, f)
	}
}

// foreign asks an error of a type that is not imported for all it may know.
func (w *walker) foreign(p *plan, err error, f *finding) (many []error, next error) {
	f.dial = f.dial || p.dial
	f.info.NotSent = f.info.NotSent || p.unsent
	for rest := p.asks; rest != 0; rest &= rest - 1 {
		if w.guarded {
			p.askSafely(rest&-rest, err, f)
		} else {
			p.ask(rest&-rest, err, f)
		}
		if f.rank == rankSelf {
			return nil, nil
		}
	}
	switch p.wraps {
	case wrapsOne:
		return nil, err.(interface{ Unwrap() error }).Unwrap()
	case wrapsMany:
		return err.(interface{ Unwrap() []error }).Unwrap(), nil
	default:
		return nil, nil
	}
}

// join merges the branches of a joined error into f. Unknown branches are passed
// over; of the others the most specific says what it is, but repeating is
// possible, and nothing was sent, only if that holds for each of them.
func (w *walker) join(errs []error, f *finding, depth int) {
	var b, best finding
	first, retry, unsent := true, true, true
	for _, err := range errs {
		if w.nodes <= 0 { // Nobody knows what the rest is: promise nothing for it.
			retry, unsent = false, false
			break
		}
		b = finding{}
		w.walk(err, &b, depth)
		if b.rank == rankNone && b.over.bits == 0 && !b.dial {
			b.info.NotSent = false
			f.facts(&b.info)
			continue
		}
		b.finish()
		b.over.apply(&b.info)
		retry, unsent = retry && b.info.Retryable, unsent && b.info.NotSent
		if b.over.bits != 0 {
			b.rank = rankSelf
		}
		if first || b.rank > best.rank {
			best.info, best.rank = b.info, b.rank
		}
		first = false
	}
	if !first {
		best.info.Retryable, best.info.NotSent = retry, unsent
		f.set(best.info, best.rank)
	}
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
