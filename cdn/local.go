package cdn

import (
	"context"
	"io"
	"iter"
	"log/slog"
	"net/http"
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
	// MaxBytes bounds the files in Dir, in bytes; beyond it is ErrLocalFull.
	// Default 0: as much as the disk takes.
	MaxBytes int64
	// Logger reports damage that was found and what was saved. Nil: silent.
	Logger *slog.Logger
}

// LocalStats describes what a [Local] holds now and what it found when it opened.
type LocalStats struct {
	Objects      int   // readable from disk now
	Bytes        int64 // their size
	Pending      int   // of them, waiting for promotion
	PendingBytes int64
	Dead         int // of them, given up by promotion
	Deletes      int // deletes waiting for the provider
	Redirects    int // promoted keys that the handler redirects

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
}

// NewLocal opens or makes the directory, waits for its lock, and replays the
// journal; damage is repaired and reported by [Local.Stats]. Errors match ErrOptions
// or, naming the process, ErrLocked; others are the file system's.
func NewLocal(o LocalOptions) (*Local, error) { return nil, ErrOptions }

// ProviderName is "local".
func (l *Local) ProviderName() string { return "local" }

// Put stores body durably: it is synced to disk when Put returns, and verified.
func (l *Local) Put(ctx context.Context, obj Object, body io.ReaderAt) (Info, error) {
	return Info{}, ErrLocalFull
}

// Head describes the object if it can be read from disk now.
func (l *Local) Head(ctx context.Context, ref Ref) (Info, error) { return Info{}, ErrNotFound }

// Open reads length bytes from offset, or to the end if length is negative. An open
// reader keeps its content when the object is replaced or deleted.
func (l *Local) Open(ctx context.Context, ref Ref, offset, length int64) (io.ReadCloser, Info, error) {
	return nil, Info{}, ErrNotFound
}

// Delete removes the object durably. Deleting a missing one is not an error.
func (l *Local) Delete(ctx context.Context, ref Ref) error { return nil }

// URL is LocalOptions.URL with the escaped key appended.
func (l *Local) URL(ref Ref) (string, error) { return "", nil }

// List yields the objects that can be read from disk now, by key.
func (l *Local) List(ctx context.Context, prefix string) iter.Seq2[Info, error] { return nil }

// ServeHTTP serves objects by key below the path of LocalOptions.URL: GET and HEAD,
// with ranges and validators, never listing and never running as part of the site
// (nosniff, a sandbox policy, and attachment for active types). Promoted keys are
// redirected (302) to the provider.
func (l *Local) ServeHTTP(w http.ResponseWriter, r *http.Request) {}

// Stats describes what the Local holds.
func (l *Local) Stats() LocalStats { return LocalStats{} }

// Metrics yields each figure of [Local.Stats] under a Prometheus name.
func (l *Local) Metrics() iter.Seq2[string, float64] { return nil }

// Close waits for writes under way and unlocks the directory. Later calls are
// ErrClosed; Close itself may be repeated. Close the Uploader first.
func (l *Local) Close() error { return nil }
