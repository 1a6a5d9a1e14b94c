package errtree

const (
	maxDepth = 32  // levels of wrapping
	maxNodes = 128 // errors of one tree
)

// Search calls visit for err and what it wraps, in the order of errors.Is, until
// one call returns true, and reports whether one did.
func Search(err error, visit func(error) bool) bool {
	nodes := maxNodes
	return search(err, visit, maxDepth, &nodes)
}

// Is is errors.Is within bounds. A comparison that panics is no match.
func Is(err, target error) bool {
	return Search(err, func(e error) bool { return same(e, target) })
}

// As is errors.AsType within bounds, without the As methods.
func As[E error](err error) (found E, ok bool) {
	ok = Search(err, func(e error) bool {
		f, is := e.(E)
		if is {
			found = f
		}
		return is
	})
	return found, ok
}

func search(err error, visit func(error) bool, depth int, nodes *int) bool {
	for ; err != nil && depth > 0 && *nodes > 0; depth-- {
		*nodes--
		if visit(err) {
			return true
		}
		many, one := unwrap(err)
		for _, e := range many {
			if search(e, visit, depth-1, nodes) {
				return true
			}
		}
		err = one
	}
	return false
}

func unwrap(err error) (many []error, one error) {
	defer func() {
		if recover() != nil {
			many, one = nil, nil
		}
	}()
	switch u := err.(type) { //nolint:errorlint // The search unwraps.
	case interface{ Unwrap() error }:
		return nil, u.Unwrap()
	case interface{ Unwrap() []error }:
		return u.Unwrap(), nil
	}
	return nil, nil
}

// same compares two errors as errors.Is does, without unwrapping.
func same(err, target error) (ok bool) {
	defer func() {
		if recover() != nil {
			ok = false
		}
	}()
	if err == target { //nolint:errorlint // The search unwraps.
		return true
	}
	x, is := err.(interface{ Is(error) bool })
	return is && x.Is(target)
}
