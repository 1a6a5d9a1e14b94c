package memory

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"syscall"
	"time"
)

const (
	hostPressure = "/proc/pressure/memory"
	psiSpan      = 2 * time.Second
)

// osReader reads /proc and the control groups. A keeping one holds the files open
// and reads them again from their start, which the kernel answers afresh.
type osReader struct {
	keep bool
	open map[string]*os.File
	buf  []byte
	page int64

	groups  hierarchy
	foundAt time.Time // when groups was found; zero: never
	lost    bool      // a file of the groups that was there then is not any more
	hostPSI bool      // there was a file of the host's stalls then
	psi     PSI       // the host's, as of psiAt
	psiAt   time.Time
	total   int64 // memory of the machine
}

func newOSReader(keep bool) osReader {
	return osReader{keep: keep, open: map[string]*os.File{}, page: int64(os.Getpagesize())}
}

func (o *osReader) close() {
	for _, f := range o.open {
		f.Close() // read only: nothing can be lost
	}
	clear(o.open)
}

// file reads name into the reader's buffer, which the next call overwrites.
func (o *osReader) file(name string) ([]byte, error) {
	f := o.open[name]
	if f == nil {
		var err error
		if f, err = os.Open(name); err != nil {
			return nil, err
		}
		if o.keep {
			o.open[name] = f
		} else {
			defer f.Close()
		}
	}
	if o.buf == nil {
		o.buf = make([]byte, 8<<10)
	}
	n := 0
	for {
		m, err := pread(f, o.buf[n:], int64(n))
		if err != nil {
			o.forget(name)
			return nil, &fs.PathError{Op: "read", Path: name, Err: err}
		}
		// A second read only to be told of the end would have the kernel put the whole
		// text together again: most files come whole or not at all.
		if n += m; m == 0 || n < len(o.buf) && name != selfMountinfo {
			return o.buf[:n], nil
		}
		if n == len(o.buf) {
			o.buf = append(o.buf, make([]byte, len(o.buf))...)
		}
	}
}

// pread reads once, where f.ReadAt would go on to the end.
func pread(f *os.File, buf []byte, at int64) (n int, err error) {
	for {
		if n, err = syscall.Pread(int(f.Fd()), buf, at); err != syscall.EINTR {
			return max(0, n), err
		}
	}
}

// forget drops a file that can no longer be read, such as that of a removed group.
func (o *osReader) forget(name string) {
	if f := o.open[name]; f != nil {
		f.Close()
		delete(o.open, name)
	}
}

// read takes one reading. Absent files are normal; the error tells of others.
func (o *osReader) read(now time.Time) (osReading, error) {
	var r osReading
	var failed error
	if o.foundAt.IsZero() || now.Sub(o.foundAt) >= rediscoverAfter {
		failed = o.discover(now)
	}
	r.systemTotal = o.total
	data, err := o.file("/proc/self/statm")
	if err == nil {
		r.rss = parseStatm(data) * o.page
	}
	if err = unlessAbsent(err); err != nil {
		failed = errors.Join(failed, err)
	}
	if o.groups.version > 0 {
		r.cgroup = o.groups.read(o.groupFile)
	}
	if o.lost { // the group was removed, so the process was moved before
		failed = errors.Join(failed, o.discover(now))
		r.cgroup = o.groups.read(o.file)
	}
	if !r.cgroup.hasPSI && o.hostPSI {
		r.hostPSI = o.readHostPSI(now)
	}
	return r, failed
}

// groupFile is file for those of the groups, none of which is known to be absent.
func (o *osReader) groupFile(name string) ([]byte, error) {
	data, err := o.file(name)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENODEV) {
		o.lost = true
	}
	return data, err
}

// readHostPSI reads what the kernel works out anew every two seconds, and nobody
// judges by, no more often than that.
func (o *osReader) readHostPSI(now time.Time) PSI {
	if o.psiAt.IsZero() || now.Sub(o.psiAt) >= psiSpan {
		if data, err := o.file(hostPressure); err == nil {
			o.psi, _ = parsePSI(data)
			o.psi.Host = true
			o.psiAt = now
		}
	}
	return o.psi
}

// discover finds the control groups of the process and the size of the machine.
func (o *osReader) discover(now time.Time) error {
	o.close() // the process may have moved: the open files are another group's
	groups, err := findHierarchy(o.file)
	o.foundAt, o.lost = now, false
	if err == nil {
		groups.prune(o.file)
		o.groups = groups
	}
	_, psi := o.file(hostPressure)
	o.hostPSI = psi == nil
	if data, err := o.file("/proc/meminfo"); err == nil {
		o.total = parseMemTotal(data)
	}
	return unlessAbsent(err)
}

func unlessAbsent(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// parseStatm returns the second field of /proc/self/statm, resident pages.
func parseStatm(data []byte) int64 {
	_, rest, _ := bytes.Cut(data, []byte(" "))
	field, _, _ := bytes.Cut(rest, []byte(" "))
	n, _ := parseInt(field)
	return n
}

// parseMemTotal returns the MemTotal line of /proc/meminfo in bytes.
func parseMemTotal(data []byte) int64 {
	for line := range bytes.Lines(data) {
		if rest, ok := bytes.CutPrefix(line, []byte("MemTotal:")); ok {
			n, _ := parseInt(bytes.TrimSuffix(bytes.TrimSpace(rest), []byte(" kB")))
			return n << 10
		}
	}
	return 0
}
