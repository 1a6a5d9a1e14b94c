//go:build !plan9 && !windows

package cdn

import (
	"errors"
	"syscall"
)

// isFull reports a disk or a quota without room.
func isFull(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
}
