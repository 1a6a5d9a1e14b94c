package cdn

import (
	"context"
	"io"
	"time"
)

// locate tells where key is to be read: there means on local disk.
func (u *Uploader) locate(key string) (ref Ref, there bool, err error) {
	ref = Ref{Key: key}
	if err := CheckKey(key); err != nil || u.local == nil {
		return ref, false, err
	}
	e := u.local.lookup(key)
	switch {
	case e == nil:
	case e.State == stateDelete:
		return ref, false, u.local.opError("open", key, ErrNotFound)
	case e.State == stateDone:
		ref.Handle = e.Handle
	default:
		there = e.Blob
	}
	return ref, there, nil
}

// openRemote opens an object at the provider. Its context lives until the reader is
// closed; the bound on waiting ends when there is a reader.
func (u *Uploader) openRemote(ctx context.Context, ref Ref, offset, length int64) (io.ReadCloser, Info, error) {
	type opened struct {
		r    io.ReadCloser
		info Info
	}
	cctx, leave, err := u.enter(ctx, false)
	if err != nil {
		return nil, Info{}, err
	}
	defer leave()
	wctx, w := u.bounded(ctx, "open", ref.Key)
	defer context.AfterFunc(cctx, func() { w.cancel(ErrClosed) })() // Close ends the wait, not the reader
	q := request{op: "open", key: ref.Key, tries: u.tries(), w: w, h: newHold(nil)}
	o, _, err := retry(wctx, u, q, func(ctx context.Context) (opened, error) {
		u.count.reqOpen.Add(1)
		r, info, err := u.p.Open(ctx, ref, offset, length)
		return opened{r, info}, err
	}, func(o opened) { o.r.Close() })
	if err != nil {
		w.end()
		return nil, Info{}, err
	}
	w.pause()
	return &remoteReader{o.r, wctx, w}, o.info, nil
}

// remoteReader keeps the context of an open object alive, and ends it when the
// provider stalls.
type remoteReader struct {
	io.ReadCloser
	ctx context.Context // of the provider's call that opened it; ends with the caller's
	w   *wait
}

// Read reads from the provider, waiting no longer than MaxWait for some bytes.
func (r *remoteReader) Read(p []byte) (int, error) {
	if r.w.bound < 0 {
		return r.ReadCloser.Read(p)
	}
	stall := time.AfterFunc(r.w.bound, func() { r.w.cancel(r.w.err) })
	n, err := r.ReadCloser.Read(p)
	if stall.Stop(); err != nil && err != io.EOF && context.Cause(r.ctx) == error(r.w.err) {
		err = r.w.err
	}
	return n, err
}

// Close closes the provider's reader.
func (r *remoteReader) Close() error {
	defer r.w.end()
	return r.ReadCloser.Close()
}

// bury journals the delete of key and returns its generation.
func (u *Uploader) bury(key string) (uint64, error) {
	done, err := u.local.begin("delete", key)
	if err != nil {
		return 0, err
	}
	defer done()
	e := &entry{Key: key, Gen: u.local.lastGen.Add(1), State: stateDelete, Time: moment(time.Now())}
	if old := u.local.lookup(key); old != nil {
		e.Handle = old.Handle
	}
	if _, err := u.local.commit(false, e); err != nil {
		return 0, u.local.opError("delete", key, err)
	}
	return e.Gen, nil
}

// deleteRemote deletes key at the provider and forgets tombstone gen, if there is one.
// It does nothing when the tombstone is no longer the last word on the key.
func (u *Uploader) deleteRemote(ctx context.Context, key string, gen uint64) error {
	wctx, w := u.bounded(ctx, "delete", key)
	defer w.end()
	release, err := u.lanes.acquire(wctx, key)
	if err != nil {
		return ended(wctx, err)
	}
	lane := newHold(release)
	defer lane.done()
	ref := Ref{Key: key}
	if gen != 0 {
		e := u.local.lookup(key)
		if e == nil || e.Gen != gen {
			return nil
		}
		ref.Handle = e.Handle
	}
	q := request{op: "delete", key: key, tries: u.tries(), w: w, h: lane}
	_, _, err = retry(wctx, u, q, func(ctx context.Context) (struct{}, error) {
		u.count.reqDelete.Add(1)
		return struct{}{}, u.p.Delete(ctx, ref)
	}, nil)
	if err != nil || gen == 0 {
		return err
	}
	done, err := u.local.begin("delete", key)
	if err != nil {
		return err
	}
	defer done()
	_, err = u.local.commit(false, &entry{Key: key, Gen: gen, If: gen, State: stateGone, Time: moment(time.Now())})
	return err
}

// isLocal reports whether the bytes of key are on local disk.
func (u *Uploader) isLocal(key string) bool {
	it := u.local.find(key)
	return it != nil && it.servable()
}
