//go:build !plan9

package resilience

import (
	"runtime"
	"syscall"
)

// errnoInfo knows the error numbers of the operating system.
func errnoInfo(err error) (Info, bool) {
	errno, ok := err.(syscall.Errno) //nolint:errorlint // The walk unwraps by itself.
	if !ok {
		return Info{}, false
	}
	if runtime.GOOS == "windows" {
		errno = fromWinsock(errno)
	}
	switch errno {
	case syscall.ECONNREFUSED: // Only a connect is refused.
		i := with(ClassUnavailable, "ECONNREFUSED", "net")
		i.NotSent = true
		return i, true
	case syscall.EHOSTUNREACH: // Also met on a connection that stood.
		return with(ClassUnavailable, "EHOSTUNREACH", "net"), true
	case syscall.ENETUNREACH:
		return with(ClassUnavailable, "ENETUNREACH", "net"), true
	case syscall.ENETDOWN:
		return with(ClassUnavailable, "ENETDOWN", "net"), true
	case syscall.EHOSTDOWN:
		return with(ClassUnavailable, "EHOSTDOWN", "net"), true
	case syscall.ECONNRESET:
		return with(ClassUnavailable, "ECONNRESET", "net"), true
	case syscall.ECONNABORTED:
		return with(ClassUnavailable, "ECONNABORTED", "net"), true
	case syscall.EPIPE:
		return with(ClassUnavailable, "EPIPE", "net"), true
	case syscall.ENOTCONN:
		return with(ClassUnavailable, "ENOTCONN", "net"), true
	case syscall.ETIMEDOUT:
		return with(ClassTimeout, "ETIMEDOUT", "net"), true
	}
	return localErrno(errno)
}

// localErrno knows the numbers that speak of this machine, not of the other side.
func localErrno(errno syscall.Errno) (Info, bool) {
	var i Info
	switch errno {
	case syscall.EMFILE:
		i = with(ClassOverloaded, "EMFILE", "os")
	case syscall.ENFILE:
		i = with(ClassOverloaded, "ENFILE", "os")
	case syscall.ENOMEM:
		i = with(ClassOverloaded, "ENOMEM", "os")
	case syscall.ENOBUFS:
		i = with(ClassOverloaded, "ENOBUFS", "os")
	case syscall.EADDRNOTAVAIL:
		i = with(ClassOverloaded, "EADDRNOTAVAIL", "os")
	case syscall.EADDRINUSE: // Nothing leaves from an address that is not ours.
		i = with(ClassOverloaded, "EADDRINUSE", "os")
		i.NotSent = true
	case syscall.EAGAIN:
		i = with(ClassOverloaded, "EAGAIN", "os")
	case syscall.ENOSPC:
		i = with(ClassOverloaded, "ENOSPC", "os")
		i.Retryable = false
	case syscall.EDQUOT:
		i = with(ClassOverloaded, "EDQUOT", "os")
		i.Retryable = false
	case syscall.ENOENT:
		i = with(ClassNotFound, "ENOENT", "os")
	case syscall.EACCES:
		i = with(ClassUnauthorized, "EACCES", "os")
	case syscall.EPERM:
		i = with(ClassUnauthorized, "EPERM", "os")
	case syscall.EIO:
		i = with(ClassInternal, "EIO", "os")
	case syscall.ETXTBSY:
		i = with(ClassConflict, "ETXTBSY", "os")
	case syscall.ESRCH:
		i = with(ClassNotFound, "ESRCH", "os")
	default:
		name := wrongErrno(errno)
		if name == "" {
			return Info{}, false
		}
		i = with(ClassInvalid, name, "os")
	}
	i.Counts = false
	return i, true
}

// wrongErrno names the numbers that tell of a wrong request, "" for others.
func wrongErrno(errno syscall.Errno) string {
	switch errno {
	case syscall.EEXIST:
		return "EEXIST"
	case syscall.EINVAL:
		return "EINVAL"
	case syscall.EISDIR:
		return "EISDIR"
	case syscall.ENOTDIR:
		return "ENOTDIR"
	case syscall.ENOTEMPTY:
		return "ENOTEMPTY"
	case syscall.ENAMETOOLONG:
		return "ENAMETOOLONG"
	case syscall.ELOOP:
		return "ELOOP"
	case syscall.ENOEXEC:
		return "ENOEXEC"
	case syscall.EMSGSIZE:
		return "EMSGSIZE"
	case syscall.EPROTOTYPE:
		return "EPROTOTYPE"
	}
	return ""
}

// fromWinsock maps the numbers that Windows sockets give to the portable names.
func fromWinsock(errno syscall.Errno) syscall.Errno {
	switch uintptr(errno) {
	case 10048, 10049:
		return syscall.EADDRNOTAVAIL
	case 10050:
		return syscall.ENETDOWN
	case 10051:
		return syscall.ENETUNREACH
	case 10053:
		return syscall.ECONNABORTED
	case 10054:
		return syscall.ECONNRESET
	case 10055:
		return syscall.ENOBUFS
	case 10057:
		return syscall.ENOTCONN
	case 10060:
		return syscall.ETIMEDOUT
	case 10061:
		return syscall.ECONNREFUSED
	case 10064:
		return syscall.EHOSTDOWN
	case 10065:
		return syscall.EHOSTUNREACH
	}
	return errno
}
