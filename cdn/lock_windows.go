//go:build windows

package cdn

import (
	"errors"
	"os"
	"syscall"
	"unsafe"
)

// tryLock takes the lock of a byte far beyond the text of f, which stays readable
// for the process that waits. The system lets go of it when the process ends.
func tryLock(f *os.File) (bool, error) {
	const exclusive, failImmediately = 2, 1
	overlapped := syscall.Overlapped{Offset: 1 << 30}
	proc := syscall.NewLazyDLL("kernel32.dll").NewProc("LockFileEx")
	ok, _, err := proc.Call(f.Fd(), exclusive|failImmediately, 0, 1, 0, uintptr(unsafe.Pointer(&overlapped)))
	switch {
	case ok != 0:
		return true, nil
	case errors.Is(err, syscall.Errno(33)): // ERROR_LOCK_VIOLATION
		return false, nil
	}
	return false, err
}
