package cache

import (
	"errors"
	"fmt"
)

var (
	// ErrOptions matches every error that [New] and [Add] return for a bad
	// field; the text lists all bad fields at once.
	ErrOptions = errors.New("cache: invalid options")
	// ErrNotFound says that a thing does not exist. A loader returns an error
	// matching it to have the absence cached for [Strategy.NegativeTTL]; [Remote.Get]
	// returns it for a key that it does not hold.
	ErrNotFound = errors.New("cache: not found")
	// ErrClosed is returned by writes after [Cache.Close], and to the waiters of a
	// load that Close cancelled.
	ErrClosed = errors.New("cache: closed")
	// ErrTooLarge is returned by [View.Set] for a value that is larger than the
	// whole cache may be. A loaded value of that size is returned, not stored.
	ErrTooLarge = errors.New("cache: value larger than the bound")
	// ErrCycle is returned by [Cache.Depend] for an edge that would close a cycle,
	// and by a Load inside a loader that would wait for itself.
	ErrCycle = errors.New("cache: dependency cycle")
	// ErrTimeout is returned by a load that exceeded [Strategy.HardTimeout].
	ErrTimeout = errors.New("cache: load timed out")
	// ErrDecode says that stored bytes could not be decoded. Reads count it as a
	// miss; it appears in [Hooks] and from [Codec] implementations only.
	ErrDecode = errors.New("cache: stored bytes cannot be decoded")
)

// PanicError is what every waiter of a load gets when its loader panicked or called
// runtime.Goexit. The cache stays usable. Find it with errors.As or errors.AsType.
type PanicError struct {
	Value any    // what was given to panic; nil after runtime.Goexit
	Stack []byte // the stack of the loader's goroutine; nil after runtime.Goexit
}

// Error names the panic without its stack. A value that is not an error shows only
// its type, since it may hold a payload.
func (e *PanicError) Error() string {
	switch v := e.Value.(type) {
	case nil:
		return "cache: load: loader called runtime.Goexit"
	case error:
		return "cache: load: loader panicked: " + v.Error()
	default:
		return fmt.Sprintf("cache: load: loader panicked with a %T", v)
	}
}

// Unwrap returns the panic value if it is an error, or nil.
func (e *PanicError) Unwrap() error {
	err, _ := e.Value.(error)
	return err
}
