package cdn

import (
	"errors"
	"syscall"
)

// isFull reports a disk or a quota without room. The syscall package's ENOSPC is an
// invention that Windows never returns.
func isFull(err error) bool {
	const handleDiskFull, diskFull, quotaExceeded = 39, 112, 1295
	e, ok := errors.AsType[syscall.Errno](err)
	return ok && (e == handleDiskFull || e == diskFull || e == quotaExceeded)
}
