package resilience

import (
	"context"
	"errors"
)

const (
	maxDepth = 32  // levels of wrapping that are looked at
	maxNodes = 128 // errors of one tree that are looked at
)

// Rule is a user's knowledge about errors: it returns what err is, or false to
// leave it to others. It sees the whole error and must not panic or block; a rule
// that panics is passed over.
type Rule func(err error) (Info, bool)

// IsRule returns a rule that gives info for every error that matches target by
// errors.Is.
func IsRule(target error, info Info) Rule {
	return func(err error) (Info, bool) { return info, errors.Is(err, target) }
}

// AsRule returns a rule that gives what describe says of the first E in the
// error's tree.
func AsRule[E error](describe func(E) (Info, bool)) Rule {
	return func(err error) (Info, bool) {
		if e, ok := errors.AsType[E](err); ok {
			return describe(e)
		}
		return Info{}, false
	}
}

// Classifier says what errors are. It never changes and is safe for concurrent
// use. A nil *Classifier has no rules.
type Classifier struct{ rules []Rule }

// NewClassifier returns a classifier that asks the rules in order before it looks
// for what the package knows itself. Nil rules are passed over.
func NewClassifier(rules ...Rule) *Classifier {
	c := &Classifier{}
	for _, r := range rules {
		if r != nil {
			c.rules = append(c.rules, r)
		}
	}
	return c
}

// With returns a classifier that asks the given rules before those of c, which
// stays as it is.
func (c *Classifier) With(rules ...Rule) *Classifier {
	n := NewClassifier(rules...)
	if c != nil {
		n.rules = append(n.rules, c.rules...)
	}
	return n
}

// Classify says what err is. In order of precedence: marks ([Mark], [Permanent],
// …), the rules, [Classified] errors, built-in knowledge. Classify(nil) is the
// zero Info.
func (c *Classifier) Classify(err error) (info Info) {
	c.classify(err, &info)
	return info
}

// classify is Classify into info, whatever it held.
func (c *Classifier) classify(err error, info *Info) {
	rules := c != nil && len(c.rules) > 0
	if !rules && bare(err, info) {
		return
	}
	var f finding
	visit(err, &f)
	if rules && f.over.bits&markClass == 0 {
		for _, r := range c.rules {
			if i, ok := ask(r, err); ok {
				f.info = i
				break
			}
		}
	}
	f.over.apply(&f.info)
	*info = f.info
}

// bare knows the errors that come most often without anything around them.
func bare(err error, info *Info) bool {
	if _, ok := err.(timeoutError); ok { //nolint:errorlint // A wrapped one takes the walk.
		*info = timedOut
		return true
	}
	switch err { //nolint:errorlint // As before.
	case nil:
		*info = Info{}
	case context.DeadlineExceeded:
		*info = timedOut
	case context.Canceled:
		*info = canceledInfo()
	default:
		return false
	}
	return true
}

// ask calls a rule and survives its panic.
func ask(r Rule, err error) (info Info, ok bool) {
	defer func() {
		if recover() != nil {
			info, ok = Info{}, false
		}
	}()
	return r(err)
}

// Classify says what err is by what the package knows: one walk over the error's
// tree, at most 32 levels deep, that asks no driver package. Classify(nil) is the
// zero Info; an error that nothing recognises is ClassUnknown.
func Classify(err error) (info Info) {
	(*Classifier)(nil).classify(err, &info)
	return info
}
