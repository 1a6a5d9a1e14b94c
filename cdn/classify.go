package cdn

import "errors"

// kindOf is the sentinel that err matches, or nil.
func kindOf(err error) error {
	for _, k := range []error{
		ErrOptions, ErrKey, ErrType, ErrTooLarge, ErrTruncated, ErrChecksum, ErrExists, ErrNotFound,
		ErrAuth, ErrInvalid, ErrRateLimited, ErrLocalFull, ErrLocked, ErrClosed, ErrUnavailable,
	} {
		if errors.Is(err, k) {
			return k
		}
	}
	return nil
}
