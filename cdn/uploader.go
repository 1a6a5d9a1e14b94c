package cdn

import (
	"context"
	"io"
	"iter"
	"sync"
	"time"
)

// Uploader stores files at a [Provider], falls back to a [Local], and promotes
// what fell back. It must not be copied. Create it with [New].
type Uploader struct {
	p      Provider
	name   string // of the provider
	opts   Options
	local  *Local // nil without a fallback
	memory *budget
	lanes  lanes
	count  counters

	wg     sync.WaitGroup // calls and attempts
	mu     sync.Mutex
	calls  map[*call]struct{} // guarded by mu
	state  lifecycle          // guarded by mu
	idle   chan struct{}      // guarded by mu; closed when draining and no upload is left
	wakeup chan struct{}      // capacity 1: something is pending
}

// Item is one upload of [Uploader.UploadBatch]. Body is read once; if it is an
// io.Closer it is closed after the upload.
type Item struct {
	Name    string
	Body    io.Reader
	Options UploadOptions
}

// BatchOptions configures [Uploader.UploadBatch].
type BatchOptions struct {
	// Concurrency is how many uploads run at once. Default 4.
	Concurrency int
}

// BatchResult is the outcome of one [Item]. Result is nil when it failed.
type BatchResult struct {
	Index  int // of the item, from 0
	Name   string
	Result *Result
}

// Pending is an object or a delete that waits for the provider.
type Pending struct {
	Key      string
	Size     int64     // 0 for a delete
	Since    time.Time // of the upload or delete
	Attempts int       // to promote it, since the Uploader was made
	NextTry  time.Time // when Run tries again; zero: at once
	Delete   bool      // a delete to carry out at the provider
	Dead     bool      // given up; kept and readable until deleted or replaced
	Err      string    // of the last attempt
}

// New returns an Uploader for p. Errors match [ErrOptions]: a nil provider, a field
// out of range, or a Fallback that is p itself or serves another Uploader.
func New(p Provider, o Options) (*Uploader, error) { return nil, ErrOptions }

// Upload reads r to its end, checks it, stores it and returns once it is safe: when
// the provider has confirmed the object or, if the provider is unavailable, when the
// local copy is durable. Result.Fallback tells which. The name is a client's file
// name: it only suggests extension and slug and may be hostile.
//
// A body that is an io.ReaderAt and io.Seeker is read in place and must not change
// during the call; none is kept afterwards. An error means that nothing was
// acknowledged, though the provider may have the object if it broke off late.
// Errors match ErrOptions, ErrKey, ErrType, ErrTooLarge, ErrTruncated, ErrChecksum,
// ErrExists, ErrAuth, ErrInvalid, ErrUnavailable, ErrRateLimited, ErrLocalFull,
// ErrClosed or the context's error.
func (u *Uploader) Upload(ctx context.Context, name string, r io.Reader, o UploadOptions) (*Result, error) {
	return nil, ErrUnavailable
}

// UploadBatch uploads items and yields each result as it is ready, in no particular
// order; the error belongs to that item alone. Items are pulled as workers become
// free. Breaking out of the loop or ending ctx cancels what is under way; the loop
// ends when all of it has ended.
func (u *Uploader) UploadBatch(ctx context.Context, items iter.Seq[Item], o BatchOptions) iter.Seq2[BatchResult, error] {
	return nil
}

// Delete removes key everywhere. It also wins over a promotion under way. If the
// provider is unavailable and there is a Fallback, the delete is journaled: Open,
// Head and the Local handler say at once that the object is gone, and Promote
// carries it out at the provider. Deleting a missing key is not an error.
func (u *Uploader) Delete(ctx context.Context, key string) error { return nil }

// Open reads the whole object. The caller closes the reader and keeps ctx alive
// until then. A missing object is ErrNotFound.
func (u *Uploader) Open(ctx context.Context, key string) (io.ReadCloser, Info, error) {
	return u.OpenRange(ctx, key, 0, -1)
}

// OpenRange is [Uploader.Open] for length bytes from offset; a negative length
// reads to the end. Info.Size is the size of the whole object.
func (u *Uploader) OpenRange(ctx context.Context, key string, offset, length int64) (io.ReadCloser, Info, error) {
	return nil, Info{}, ErrNotFound
}

// Head describes the object, from local disk while it is pending. A missing object
// is ErrNotFound.
func (u *Uploader) Head(ctx context.Context, key string) (Info, error) {
	return Info{}, ErrNotFound
}

// URL returns where the public reads key now, without I/O: the Local address while
// it is pending, else the provider's. A Transform needs a provider that is a
// [Transformer], else it is ErrOptions; while pending it is the original's address.
func (u *Uploader) URL(key string, t Transform) (string, error) { return "", nil }

// Pending yields what waits for the provider, dead objects included, by age.
func (u *Uploader) Pending() iter.Seq[Pending] { return nil }

// Promote makes one pass over all that is pending, whatever its back-off, and
// returns how many objects and deletes were carried out. It stops early when the
// provider turns out to be unavailable. The error joins what failed; nothing
// pending is ever dropped.
func (u *Uploader) Promote(ctx context.Context) (int, error) { return 0, nil }

// Run promotes as things become pending, with back-off while the provider is
// unavailable, until ctx ends or the Uploader is closed; then it returns nil. Without
// a Fallback it only waits. Calling it more than once is harmless but useless.
func (u *Uploader) Run(ctx context.Context) error { return nil }

// Shutdown refuses new uploads with ErrClosed, waits for those under way, promotes
// what is pending as far as ctx allows, and closes. The error tells what is left;
// that stays on disk for the next start.
func (u *Uploader) Shutdown(ctx context.Context) error { return nil }

// Close cancels what is under way, waits for it, and releases the Fallback, which
// it does not close. Nothing pending is dropped. It may be called more than once.
func (u *Uploader) Close() error { return nil }
