package cdn

import (
	"context"
	"errors"
	"fmt"
	"io"
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

	tried map[string]*attempts // guarded by mu; by key: failed promotions
	logs  map[string]bool      // guarded by mu; of uploads in parts that are under way
}

// Item is one upload of [Uploader.UploadBatch]. Body is read once; if it is an
// io.Closer it is closed after the upload.
type Item struct {
	Name    string        // as in Upload
	Body    io.Reader     // as in Upload
	Options UploadOptions // of this upload
}

// BatchOptions configures [Uploader.UploadBatch].
type BatchOptions struct {
	// Concurrency is how many uploads run at once. Default 4.
	Concurrency int
}

// BatchResult is the outcome of one [Item]. Result is nil when it failed.
type BatchResult struct {
	Index  int     // of the item, from 0
	Name   string  // of the item
	Result *Result // nil: it failed
}

// Pending is an object or a delete that waits for the provider.
type Pending struct {
	Key      string    // of the object
	Size     int64     // 0 for a delete
	Since    time.Time // of the upload or delete
	Attempts int       // to promote it, since the Uploader was made
	NextTry  time.Time // when Run tries again; zero: at once
	Delete   bool      // a delete to carry out at the provider
	Dead     bool      // given up; kept and readable until uploaded again or deleted
	Err      string    // of the last attempt
}

// New returns an Uploader for p. Errors match [ErrOptions]: a nil provider, a field
// out of range, a Fallback that is p itself or serves another Uploader, or Purge with a
// provider that cannot.
func New(p Provider, o Options) (*Uploader, error) {
	full, err := o.withDefaults()
	if p == nil {
		err = errors.Join(fmt.Errorf("%w: the provider is nil", ErrOptions), err)
	}
	if err != nil {
		return nil, err
	}
	u := &Uploader{
		p: p, name: "provider", opts: full, local: o.Fallback,
		memory: &budget{limit: full.MaxMemory}, lanes: lanes{m: map[string]*lane{}},
		calls: map[*call]struct{}{}, wakeup: make(chan struct{}, 1), tried: map[string]*attempts{}, logs: map[string]bool{},
	}
	if n, ok := p.(Namer); ok {
		u.name = n.ProviderName()
	}
	if err := u.checkPurger(); err != nil {
		return nil, err
	}
	if u.local != nil {
		if err := u.local.attach(u); err != nil {
			return nil, err
		}
	}
	return u, nil
}

// attach makes u the one Uploader whose pending objects l holds.
func (l *Local) attach(u *Uploader) error {
	if other, ok := u.p.(*Local); ok && other == l {
		return fmt.Errorf("%w: Fallback is the provider itself", ErrOptions)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return fmt.Errorf("%w: Fallback: %w", ErrOptions, ErrClosed)
	}
	if l.owner != nil {
		return fmt.Errorf("%w: Fallback serves another Uploader", ErrOptions)
	}
	l.owner, l.primary = u, u.p
	return nil
}

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
	ctx, leave, err := u.enter(ctx, true)
	if err != nil {
		return nil, err
	}
	defer leave()
	u.count.active.Add(1)
	defer u.count.active.Add(-1)
	start := time.Now()
	sent := &progress{}
	stop := sent.report(o.Progress, o.Size)
	var res *Result
	defer func() { stop(res) }() // after a panic too
	res, err = u.upload(ctx, name, r, o, sent)
	switch {
	case err != nil:
		u.count.failed.Add(1)
		res = nil
		return nil, err
	case res.Deduped:
		u.count.deduped.Add(1)
	case res.Fallback != nil:
		u.count.fellBack.Add(1)
	default:
		u.count.stored.Add(1)
		if o.Key != "" {
			res.Unpurged = u.purgeChanged(ctx, Ref{Key: res.Key, Handle: res.Handle})
		}
	}
	res.Elapsed = time.Since(start)
	return res, nil
}

// Delete removes key everywhere. It also wins over a promotion under way. If the
// provider is unavailable and there is a Fallback, the delete is journaled: Open,
// Head and the Local handler say at once that the object is gone, and Promote
// carries it out at the provider. Deleting a missing key is not an error. With
// Options.Purge an error may also mean that the object is gone but its edge not purged;
// Delete may be repeated then.
func (u *Uploader) Delete(ctx context.Context, key string) error {
	if err := CheckKey(key); err != nil {
		return err
	}
	ctx, leave, err := u.enter(ctx, false)
	if err != nil {
		return err
	}
	defer leave()
	var seen uint64
	if u.local != nil && u.local.find(key) != nil {
		if seen, err = u.bury(key); err != nil {
			return err
		}
	}
	ref := u.handleOf(key)
	err = u.deleteRemote(ctx, key, seen)
	if err == nil {
		return u.purgeChanged(ctx, ref)
	}
	if u.local == nil {
		return err
	}
	if seen != 0 {
		u.wake()
		if u.opts.FallbackIf(err) || ctx.Err() != nil {
			return nil // journaled, which no reader can tell from done
		}
		return err
	}
	if ctx.Err() != nil || u.opts.Disabled || !u.opts.FallbackIf(err) {
		return err
	}
	if _, lerr := u.bury(key); lerr != nil {
		return errors.Join(err, lerr)
	}
	u.wake()
	return nil
}

// Open reads the whole object. The caller closes the reader and keeps ctx alive
// until then. A missing object is ErrNotFound; a provider that sends nothing for
// MaxWait while it is read is ErrUnavailable.
func (u *Uploader) Open(ctx context.Context, key string) (io.ReadCloser, Info, error) {
	return u.OpenRange(ctx, key, 0, -1)
}

// OpenRange is [Uploader.Open] for length bytes from offset; a negative length
// reads to the end. Info.Size is the size of the whole object.
func (u *Uploader) OpenRange(ctx context.Context, key string, offset, length int64) (io.ReadCloser, Info, error) {
	ref, there, err := u.locate(key)
	if err != nil {
		return nil, Info{}, err
	}
	if !there {
		r, info, err := u.openRemote(ctx, ref, offset, length)
		if err == nil || u.local == nil || errors.Is(err, ErrNotFound) && !u.isLocal(key) {
			return r, info, err
		}
		if r, info, lerr := u.local.Open(ctx, ref, offset, length); lerr == nil {
			return r, info, nil // retained, or came back to local disk meanwhile
		}
		return nil, info, err
	}
	r, info, err := u.local.Open(ctx, ref, offset, length)
	if errors.Is(err, ErrNotFound) { // promoted and dropped in between
		return u.openRemote(ctx, ref, offset, length)
	}
	return r, info, err
}

// Head describes the object, from local disk while it is pending. A missing object
// is ErrNotFound.
func (u *Uploader) Head(ctx context.Context, key string) (Info, error) {
	ref, there, err := u.locate(key)
	if err != nil {
		return Info{}, err
	}
	if there {
		if info, err := u.local.Head(ctx, ref); !errors.Is(err, ErrNotFound) {
			return info, err
		}
	}
	ctx, leave, err := u.enter(ctx, false)
	if err != nil {
		return Info{}, err
	}
	defer leave()
	wctx, w := u.bounded(ctx, "head", key)
	defer w.end()
	h := newHold(nil)
	info, _, err := retry(wctx, u, request{op: "head", key: key, tries: u.tries(), w: w, h: h},
		func(ctx context.Context) (Info, error) {
			u.count.reqHead.Add(1)
			return u.p.Head(ctx, ref)
		}, nil)
	if err != nil && u.local != nil {
		if info, lerr := u.local.Head(ctx, ref); lerr == nil {
			return info, nil
		}
	}
	return info, err
}

// URL returns where the public reads key now, without I/O: the Local address while
// it is pending, else the provider's. A Transform needs a provider that is a
// [Transformer], whose originals are served while they are pending, or
// Options.ImageURL; without either it is ErrOptions.
func (u *Uploader) URL(key string, t Transform) (string, error) {
	if err := CheckKey(key); err != nil {
		return "", err
	}
	tr, native := u.p.(Transformer)
	if !t.IsZero() && !native {
		if u.opts.ImageURL == "" {
			return "", fmt.Errorf("%w: the provider cannot transform, and there is no ImageURL", ErrOptions)
		}
		original, err := u.URL(key, Transform{})
		return imageURL(u.opts.ImageURL, original, key, t), err
	}
	ref := Ref{Key: key}
	if u.local != nil {
		switch e := u.local.lookup(key); {
		case e == nil:
		case e.State == stateStored || e.State == statePending || e.State == stateDead:
			return u.local.URL(ref)
		case e.State == stateDone:
			ref.Handle = e.Handle
		}
	}
	if !t.IsZero() {
		return tr.TransformURL(ref, t)
	}
	return u.p.URL(ref)
}

// Shutdown refuses new uploads with ErrClosed, waits for those under way, promotes
// what is pending as far as ctx allows, and closes. The error tells what is left;
// that stays on disk for the next start.
func (u *Uploader) Shutdown(ctx context.Context) error {
	u.mu.Lock()
	if u.state == open {
		u.state = draining
	}
	var idle chan struct{}
	if u.state == draining {
		if u.idle == nil {
			u.idle = make(chan struct{})
		}
		idle = u.idle
		u.checkIdleLocked()
	}
	u.mu.Unlock()
	var err error
	if idle != nil {
		select {
		case <-idle:
			err = u.drain(ctx)
		case <-ctx.Done():
			err = fmt.Errorf("cdn: shutdown: uploads still under way: %w", context.Cause(ctx))
		}
	}
	return errors.Join(err, u.Close())
}

// Close cancels what is under way, waits for it, and releases the Fallback, which
// it does not close. Nothing pending is dropped. It may be called more than once.
func (u *Uploader) Close() error {
	u.mu.Lock()
	was := u.state
	u.state = closed
	for c := range u.calls {
		c.cancel(ErrClosed)
	}
	u.mu.Unlock()
	u.wg.Wait()
	if was != closed && u.local != nil {
		u.local.mu.Lock()
		u.local.owner = nil // primary stays, for redirects
		u.local.mu.Unlock()
	}
	return nil
}
