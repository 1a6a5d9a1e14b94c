package cdn

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"hash/crc32"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"strings"
	"time"
)

// The directory of a Local:
//
//	LOCK          held while open; names the process
//	journal       records, see record.go
//	blobs/a/      content with manifest, named by hash and generation
//	tmp/          files being written; emptied at start
//	parts/        uploads in parts under way at the provider, see partlog.go
//	quarantine/   damaged journals and blobs, never read again

// openDir prepares the directory and takes its lock.
func (l *Local) openDir() error {
	if err := mkdirAll(l.opts.Dir); err != nil {
		return err
	}
	root, err := os.OpenRoot(l.opts.Dir)
	if err != nil {
		return err
	}
	l.root = root
	if l.lock, err = root.OpenFile("LOCK", os.O_RDWR|os.O_CREATE, 0o600); err != nil {
		return err
	}
	if err := l.waitLock(); err != nil {
		return err
	}
	for _, d := range []string{"tmp", "blobs", "parts", "quarantine"} {
		if err := mkdir(root, d); err != nil {
			return err
		}
	}
	for i := range 16 {
		if err := mkdir(root, fmt.Sprintf("blobs/%x", i)); err != nil {
			return err
		}
	}
	return l.syncDir("blobs")
}

// mkdirAll makes dir and what is missing above it, durably.
func mkdirAll(dir string) error {
	dir = filepath.Clean(dir)
	var parents []string // of what is missing
	for d := dir; ; {
		if _, err := os.Stat(d); err == nil || !errors.Is(err, fs.ErrNotExist) {
			break
		}
		up := filepath.Dir(d)
		if parents = append(parents, up); up == d {
			break
		}
		d = up
	}
	if err := os.MkdirAll(dir, 0o700); err != nil || runtime.GOOS == "windows" {
		return err
	}
	for _, p := range parents {
		d, err := os.Open(p)
		if errors.Is(err, fs.ErrPermission) {
			continue // it may be made in but not read
		}
		if err != nil {
			return err
		}
		if err := errors.Join(d.Sync(), d.Close()); err != nil {
			return err
		}
	}
	return nil
}

func mkdir(root *os.Root, name string) error {
	if err := root.Mkdir(name, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return nil
}

// waitLock polls for the lock, since no system waits for one with a time limit.
func (l *Local) waitLock() error {
	deadline := time.Now().Add(l.opts.LockWait)
	for {
		ok, err := tryLock(l.lock)
		if err != nil {
			return err
		}
		if ok {
			// Of one length, so that it needs no room when the disk is full; and if
			// it fails, a process that waits is not told whom it waits for.
			_, _ = fmt.Fprintf(io.NewOffsetWriter(l.lock, 0), "%-20d\n", os.Getpid())
			return nil
		}
		if !time.Now().Before(deadline) {
			b := make([]byte, 32)
			n, _ := l.lock.ReadAt(b, 0)
			return fmt.Errorf("%w: %s, by pid %s", ErrLocked, l.opts.Dir, strings.TrimSpace(string(b[:n])))
		}
		time.Sleep(min(20*time.Millisecond, max(time.Until(deadline), time.Millisecond)))
	}
}

// syncDir makes the names in a directory durable. Windows has no such call; there
// the file system orders its own journal.
func (l *Local) syncDir(name string) error {
	if runtime.GOOS == "windows" {
		return nil
	}
	d, err := l.root.Open(name)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// newTemp creates a file for content on its way to blobs/.
func (l *Local) newTemp() (*os.File, error) {
	name := fmt.Sprintf("tmp/%d-%d", os.Getpid(), l.temps.Add(1))
	f, err := l.root.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, localError("create file", err)
	}
	return f, nil
}

// tempName is the name below the root of a file made by newTemp.
func tempName(f *os.File) string { return "tmp/" + path.Base(strings.ReplaceAll(f.Name(), `\`, "/")) }

// dropTemp closes and removes a file made by newTemp.
func (l *Local) dropTemp(f *os.File) {
	f.Close()
	_ = l.root.Remove(tempName(f)) // what cannot be removed now is removed at the next start
}

// reserve counts size against MaxBytes.
func (l *Local) reserve(size int64) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.opts.MaxBytes > 0 && size > l.opts.MaxBytes-l.used {
		return fmt.Errorf("%w: %d bytes held, %d more asked, %d allowed", ErrLocalFull, l.used, size, l.opts.MaxBytes)
	}
	l.used += size
	return nil
}

func (l *Local) unreserve(size int64) {
	l.mu.Lock()
	l.used -= size
	l.mu.Unlock()
}

// store writes content as a blob and commits e, whose Gen it sets. If temp is not
// nil it is a file of newTemp that holds the content already; store consumes it.
func (l *Local) store(ctx context.Context, e *entry, createOnly bool, body io.ReaderAt, temp *os.File) error {
	if err := l.reserve(e.Size); err != nil {
		if temp != nil {
			l.dropTemp(temp)
		}
		return err
	}
	e.Gen, e.Blob, e.Time = l.lastGen.Add(1), true, moment(time.Now())
	err := l.writeBlob(ctx, e, body, temp)
	if err == nil {
		_, err = l.commit(createOnly, e)
		if err != nil {
			_ = l.root.Remove(e.blobName())
		}
	}
	if err != nil {
		l.unreserve(e.Size)
	}
	return err
}

// writeBlob makes the file of e durable under its final name.
func (l *Local) writeBlob(ctx context.Context, e *entry, body io.ReaderAt, temp *os.File) (err error) {
	f := temp
	if f == nil {
		if f, err = l.newTemp(); err != nil {
			return err
		}
	}
	defer func() {
		if err != nil {
			l.dropTemp(f)
		}
	}()
	if temp == nil {
		if err := copyChecked(ctx, f, body, e); err != nil {
			return err
		}
	}
	manifest, err := appendManifest(nil, e)
	if err != nil {
		return err
	}
	if _, err := f.WriteAt(manifest, e.Size); err != nil {
		return localError("write file", err)
	}
	if err := f.Sync(); err != nil {
		return localError("sync file", err)
	}
	if err := f.Close(); err != nil {
		return localError("close file", err)
	}
	name := e.blobName()
	if err := l.root.Rename(tempName(f), name); err != nil {
		return localError("rename file", err)
	}
	if err := l.syncDir(path.Dir(name)); err != nil {
		_ = l.root.Remove(name)
		return localError("sync directory", err)
	}
	return nil
}

// copyChecked writes e.Size bytes of body to f and compares the checksum, or fills
// it in where e has none.
func copyChecked(ctx context.Context, f *os.File, body io.ReaderAt, e *entry) error {
	h := newHasher()
	buf := make([]byte, min(max(e.Size, 1), 128<<10))
	for off := int64(0); off < e.Size; {
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("cdn: local put %q: %w", e.Key, errors.Join(err, context.Cause(ctx)))
		}
		p := buf[:min(int64(len(buf)), e.Size-off)]
		n, err := body.ReadAt(p, off)
		if n < len(p) {
			if err == nil || errors.Is(err, io.EOF) {
				err = fmt.Errorf("%w: %d of %d bytes", ErrTruncated, off+int64(n), e.Size)
			}
			return fmt.Errorf("cdn: read body of %q: %w", e.Key, err)
		}
		h.Write(p)
		if _, err := f.WriteAt(p, off); err != nil {
			return localError("write file", err)
		}
		off += int64(len(p))
	}
	sum, crc := h.sums()
	if e.Sum != (hexSum{}) && e.Sum != sum {
		return fmt.Errorf("%w: body of %q is not the announced content", ErrChecksum, e.Key)
	}
	e.Sum, e.CRC = sum, crc
	return nil
}

// hasher computes both checksums of an object.
type hasher struct {
	sha hash.Hash // nil: not wanted
	crc uint32
}

func newHasher() *hasher { return &hasher{sha: sha256.New()} }

// Write adds p; it never fails.
func (h *hasher) Write(p []byte) (int, error) {
	h.crc = crc32.Update(h.crc, castagnoli, p)
	if h.sha != nil {
		h.sha.Write(p)
	}
	return len(p), nil
}

func (h *hasher) sums() (sum hexSum, crc uint32) {
	if h.sha != nil {
		h.sha.Sum(sum[:0])
	}
	return sum, h.crc
}

// apply makes a committed entry visible and notes the file it made garbage.
func (l *Local) apply(e *entry) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	old, now, ok := e.applyTo(l.items)
	if ok {
		l.tally(old, -1)
		l.tally(now, 1)
		if old != nil && old.blob && !(e.Blob && e.Gen == old.gen) {
			l.garbage[old.file().name()] = old.size
		}
	}
	return ok
}

// collect removes the files that no entry names. A file that cannot be removed now
// is tried again by the next call; it returns how many those are.
func (l *Local) collect() (left int) {
	l.mu.Lock()
	var names []string
	for name := range l.garbage {
		names = append(names, name)
	}
	l.mu.Unlock()
	for _, name := range names {
		err := l.root.Remove(name)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			left++
			continue
		}
		l.mu.Lock()
		if size, ok := l.garbage[name]; ok {
			delete(l.garbage, name)
			l.used -= size
			l.unsynced[path.Dir(name)] = struct{}{}
		}
		l.mu.Unlock()
	}
	return left
}

// syncDirs makes the removals so far durable.
func (l *Local) syncDirs() error {
	l.mu.Lock()
	dirs := l.unsynced
	l.unsynced = map[string]struct{}{}
	l.mu.Unlock()
	var errs []error
	for d := range dirs {
		if err := l.syncDir(d); err != nil {
			errs = append(errs, err)
			l.mu.Lock()
			l.unsynced[d] = struct{}{}
			l.mu.Unlock()
		}
	}
	return errors.Join(errs...)
}
