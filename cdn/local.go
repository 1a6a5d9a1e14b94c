package cdn

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"log/slog"
	"maps"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// LocalOptions configures a [Local]. Only Dir is required.
type LocalOptions struct {
	// Dir is the directory that the Local owns; it is made when missing. Its whole
	// content belongs to the Local.
	Dir string
	// URL is where the public reaches the handler: a path such as "/files/" or an
	// absolute http(s) address. Its path is the pattern to mount the handler at,
	// without http.StripPrefix. Default "/".
	URL string
	// LockWait is how long NewLocal waits for another process to let go of Dir.
	// Default 10 s, for rolling restarts; negative: not at all.
	LockWait time.Duration
	// MaxBytes bounds the content that is kept in Dir, in bytes; beyond it is
	// ErrLocalFull. Bodies that are spooled while they are read, and the journal, are
	// not counted. Default 0: as much as the disk takes.
	MaxBytes int64
	// SignKey is the secret of signed URLs, at least 16 bytes, for direct uploads and
	// private reading; see [Local.PresignPut]. Default none: neither is possible.
	SignKey []byte
	// Private makes the handler serve only to URLs of PresignGet. It needs SignKey.
	Private bool
	// AllowOrigins lists the origins, such as "https://app.example", whose pages may
	// read and, with a signed URL, upload by script (CORS); "*" is all. Default none.
	AllowOrigins []string
	// Logger reports damage that was found and what was saved. Nil: silent.
	Logger *slog.Logger
}

// LocalStats describes what a [Local] holds now and what it found when it opened.
type LocalStats struct {
	Objects      int   // readable from disk now
	Bytes        int64 // their size
	Pending      int   // of them, waiting for promotion
	PendingBytes int64 // their size
	Dead         int   // of them, given up by promotion
	Deletes      int   // deletes waiting for the provider
	Redirects    int   // promoted keys that the handler redirects

	JournalBytes int64  // length of the journal now
	Syncs        uint64 // of the journal, since NewLocal
	Records      uint64 // written to the journal, since NewLocal
	TornBytes    int64  // cut from the journal's end by NewLocal
	Damaged      bool   // the journal was damaged and has been rebuilt by NewLocal
	Adopted      int    // objects that only their files told of
	Missing      int    // journaled objects whose file was gone
}

// Local stores objects in a directory. It is a [Provider] for development and small
// sites, the fallback of an [Uploader], and an http.Handler that serves what it
// holds. Create it with [NewLocal]; one process at a time owns a directory.
type Local struct {
	opts LocalOptions
	base *url.URL // of opts.URL; its path ends in a slash
	root *os.Root
	lock *os.File

	journal     journal
	lastGen     atomic.Uint64
	temps       atomic.Uint64
	syncs       atomic.Uint64
	written     atomic.Uint64 // records
	journalSize atomic.Int64

	mu       sync.Mutex
	items    map[string]*item    // guarded by mu; by key
	active   map[*item]struct{}  // guarded by mu; of the items, those that promotion must look at
	garbage  map[string]int64    // guarded by mu; files to remove and their content size
	unsynced map[string]struct{} // guarded by mu; directories with removals not yet durable
	used     int64               // guarded by mu; bytes of content on disk and being written
	stats    LocalStats          // guarded by mu; the gauges
	primary  Provider            // guarded by mu; of the Uploader, for redirects
	owner    *Uploader           // guarded by mu
	users    sync.WaitGroup      // calls that write; Add happens under mu while not closed
	closed   bool                // guarded by mu

	torn             int64 // found by NewLocal
	damaged          bool
	adopted, missing int
}

// NewLocal opens or makes the directory, waits for its lock, and replays the
// journal; damage is repaired and reported by [Local.Stats]. Errors match ErrOptions
// or, naming the process, ErrLocked; others are the file system's.
func NewLocal(o LocalOptions) (*Local, error) {
	setDefault(&o.LockWait, 10*time.Second)
	setDefault(&o.URL, "/")
	base, err := parseBase(o.URL)
	if o.Dir == "" {
		err = errors.Join(errors.New("field Dir is empty"), err)
	}
	if n := len(o.SignKey); n > 0 && n < 16 {
		err = errors.Join(err, fmt.Errorf("field SignKey has %d bytes, at least 16 are wanted", n))
	}
	if o.Private && len(o.SignKey) == 0 {
		err = errors.Join(err, errors.New("field Private needs SignKey"))
	}
	o.SignKey, o.AllowOrigins = slices.Clone(o.SignKey), slices.Clone(o.AllowOrigins)
	if o.MaxBytes < 0 {
		err = errors.Join(err, fmt.Errorf("field MaxBytes: %d is negative", o.MaxBytes))
	}
	if err != nil {
		return nil, fmt.Errorf("%w: local: %w", ErrOptions, err)
	}
	l := &Local{
		opts: o, base: base,
		items: map[string]*item{}, active: map[*item]struct{}{}, garbage: map[string]int64{}, unsynced: map[string]struct{}{},
	}
	err = l.openDir()
	if err == nil {
		err = errors.Join(l.clearTemps(), l.recoverState())
	}
	if err != nil {
		l.release()
		return nil, fmt.Errorf("cdn: open local directory: %w", err)
	}
	l.collect()
	return l, nil
}

// parseBase checks LocalOptions.URL.
func parseBase(s string) (*url.URL, error) {
	u, err := url.Parse(s)
	if err != nil {
		return nil, errors.New("field URL cannot be parsed") // the error would repeat a password
	}
	switch {
	case u.User != nil || u.RawQuery != "" || u.Fragment != "" || u.Opaque != "":
		return nil, errors.New("field URL has more than scheme, host and path")
	case u.Scheme == "" && u.Host == "" && strings.HasPrefix(u.Path, "/"):
	case (u.Scheme == "http" || u.Scheme == "https") && u.Host != "":
	default:
		return nil, fmt.Errorf("field URL: %q is neither a path nor an http address", s)
	}
	if !strings.HasSuffix(u.Path, "/") {
		u.Path += "/"
	}
	u.RawPath = ""
	return u, nil
}

// ProviderName is "local".
func (l *Local) ProviderName() string { return "local" }

// Put stores body durably: it is synced to disk when Put returns, and verified.
func (l *Local) Put(ctx context.Context, obj Object, body io.ReaderAt) (Info, error) {
	done, err := l.begin("put", obj.Key)
	if err != nil {
		return Info{}, err
	}
	defer done()
	if obj.Size < 0 {
		return Info{}, l.opError("put", obj.Key, fmt.Errorf("%w: size %d", ErrInvalid, obj.Size))
	}
	e := newEntry(obj, stateStored)
	if err := l.store(ctx, e, obj.CreateOnly, body, nil); err != nil {
		return Info{}, l.opError("put", obj.Key, err)
	}
	return e.info(), nil
}

// newEntry is the entry of an object that store is about to write.
func newEntry(obj Object, s objState) *entry {
	e := &entry{
		Key: obj.Key, State: s, Size: obj.Size, Sum: obj.SHA256, CRC: obj.CRC32C, Type: obj.ContentType,
		Cache: obj.CacheControl, Disposition: obj.Disposition, Meta: maps.Clone(obj.Metadata), CreateOnly: obj.CreateOnly,
	}
	setDefault(&e.Type, "application/octet-stream")
	if !obj.Transform.IsZero() {
		e.Transform = new(obj.Transform)
	}
	return e
}

// Head describes the object if it can be read from disk now.
func (l *Local) Head(ctx context.Context, ref Ref) (Info, error) {
	if err := l.checkCall(ctx, ref.Key); err != nil {
		return Info{}, l.opError("head", ref.Key, err)
	}
	it := l.find(ref.Key)
	if it == nil || !it.servable() {
		return Info{}, l.opError("head", ref.Key, ErrNotFound)
	}
	return it.entry().info(), nil
}

// Open reads length bytes from offset, or to the end if length is negative. An open
// reader keeps its content when the object is replaced or deleted. A range outside
// the object is cut to it; a negative offset is ErrInvalid.
func (l *Local) Open(ctx context.Context, ref Ref, offset, length int64) (io.ReadCloser, Info, error) {
	err := l.checkCall(ctx, ref.Key)
	if err == nil && offset < 0 {
		err = fmt.Errorf("%w: offset %d", ErrInvalid, offset)
	}
	if err != nil {
		return nil, Info{}, l.opError("open", ref.Key, err)
	}
	f, e, err := l.openKey(ref.Key)
	if err != nil {
		return nil, Info{}, l.opError("open", ref.Key, err)
	}
	offset = min(offset, e.Size)
	if left := e.Size - offset; length < 0 || length > left {
		length = left
	}
	return &blobReader{SectionReader: io.NewSectionReader(f, offset, length), f: f}, e.info(), nil
}

// blobReader reads a part of a blob file and closes it.
type blobReader struct {
	*io.SectionReader
	f *os.File
}

// Close closes the file.
func (r *blobReader) Close() error { return r.f.Close() }

// openKey opens the file of key. A file that vanished was replaced in between, so
// that the next look finds another entry.
func (l *Local) openKey(key string) (*os.File, *entry, error) {
	for range 8 {
		it := l.find(key)
		if it == nil || !it.servable() {
			return nil, nil, ErrNotFound
		}
		f, err := l.root.Open(it.file().name())
		if err == nil {
			return f, it.entry(), nil
		}
		if !errors.Is(err, fs.ErrNotExist) || l.find(key) == it {
			return nil, nil, localError("open file", err)
		}
	}
	return nil, nil, fmt.Errorf("%w: %q changes too often to be read", ErrUnavailable, key)
}

// Delete removes the object durably. Deleting a missing one is not an error.
func (l *Local) Delete(ctx context.Context, ref Ref) error {
	done, err := l.begin("delete", ref.Key)
	if err != nil {
		return err
	}
	defer done()
	if err := ctx.Err(); err != nil {
		return l.opError("delete", ref.Key, errors.Join(err, context.Cause(ctx)))
	}
	if l.find(ref.Key) == nil {
		return nil
	}
	if _, err := l.commit(false, &entry{Key: ref.Key, Gen: l.lastGen.Add(1), State: stateGone, Time: moment(time.Now())}); err != nil {
		return l.opError("delete", ref.Key, err)
	}
	return nil
}

// URL is LocalOptions.URL with the escaped key appended.
func (l *Local) URL(ref Ref) (string, error) {
	if err := CheckKey(ref.Key); err != nil {
		return "", l.opError("url", ref.Key, err)
	}
	u := *l.base
	u.Path += ref.Key
	return u.String(), nil
}

// List yields the objects that can be read from disk now, by key.
func (l *Local) List(ctx context.Context, prefix string) iter.Seq2[Info, error] {
	return func(yield func(Info, error) bool) {
		l.mu.Lock()
		var found []*item
		for key, it := range l.items {
			if it.servable() && strings.HasPrefix(key, prefix) {
				found = append(found, it)
			}
		}
		l.mu.Unlock()
		slices.SortFunc(found, func(a, b *item) int { return strings.Compare(a.key, b.key) })
		for _, it := range found {
			if err := ctx.Err(); err != nil {
				yield(Info{}, l.opError("list", prefix, errors.Join(err, context.Cause(ctx))))
				return
			}
			if !yield(it.entry().info(), nil) {
				return
			}
		}
	}
}

// Close waits for writes under way and unlocks the directory. Later calls are
// ErrClosed; Close itself may be repeated. Close the Uploader first.
func (l *Local) Close() error {
	l.mu.Lock()
	was := l.closed
	l.closed = true
	l.mu.Unlock()
	l.users.Wait()
	if was {
		return nil
	}
	l.journal.mu.Lock()
	l.journal.closed = true
	l.journal.mu.Unlock()
	return l.release()
}

// release closes the files; the lock goes last.
func (l *Local) release() error {
	var errs []error
	if f := l.journal.file; f != nil {
		errs = append(errs, f.Close())
	}
	if l.root != nil {
		errs = append(errs, l.root.Close())
	}
	if l.lock != nil {
		errs = append(errs, l.lock.Close())
	}
	return errors.Join(errs...)
}

// begin enters a call that writes.
func (l *Local) begin(op, key string) (done func(), err error) {
	if err := CheckKey(key); err != nil {
		return nil, l.opError(op, key, err)
	}
	if done, err = l.use(); err != nil {
		return nil, l.opError(op, key, err)
	}
	return done, nil
}

// use keeps the Local open until done is called.
func (l *Local) use() (done func(), err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return nil, ErrClosed
	}
	l.users.Add(1)
	return l.users.Done, nil
}

// checkCall is begin for a call that only reads.
func (l *Local) checkCall(ctx context.Context, key string) error {
	if err := ctx.Err(); err != nil {
		return errors.Join(err, context.Cause(ctx))
	}
	l.mu.Lock()
	closed := l.closed
	l.mu.Unlock()
	if closed {
		return ErrClosed
	}
	return CheckKey(key)
}

// find returns the current item of key, or nil.
func (l *Local) find(key string) *item {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.items[key]
}

// lookup returns the current entry of key, or nil.
func (l *Local) lookup(key string) *entry {
	if it := l.find(key); it != nil {
		return it.entry()
	}
	return nil
}

func (l *Local) itemCount() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.items)
}

// opError wraps err with the sentinel that it matches as its kind.
func (l *Local) opError(op, key string, err error) error {
	if _, ok := errors.AsType[*OpError](err); ok {
		return err
	}
	kind := kindOf(err)
	if err == kind {
		err = nil
	}
	return &OpError{Provider: "local", Op: op, Key: key, Kind: kind, Err: err}
}
