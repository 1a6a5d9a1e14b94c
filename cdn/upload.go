package cdn

import (
	"context"
	"crypto/md5"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"mime"
	"path"
	"strings"
	"time"
)

const immutable = "public, max-age=31536000, immutable"

// upload is Upload between its counters.
func (u *Uploader) upload(ctx context.Context, name string, r io.Reader, o UploadOptions, sent *progress) (*Result, error) {
	if err := u.checkUpload(o); err != nil {
		return nil, err
	}
	if r == nil {
		return nil, fmt.Errorf("%w: the body is nil", ErrOptions)
	}
	lim := limits{max: u.opts.MaxBytes, size: o.Size, sum: o.SHA256}
	if o.MaxBytes > 0 && (lim.max < 0 || o.MaxBytes < lim.max) {
		lim.max = o.MaxBytes
	}
	b, err := u.receive(ctx, r, lim, u.firstPart(o, lim))
	if err != nil {
		return nil, err
	}
	defer func() { b.close() }()
	u.count.bytesIn.Add(uint64(b.size))
	ctype, ext, err := decideType(name, o.ContentType, b.head, u.opts.AllowTypes, o.AllowTypes)
	if err != nil {
		return nil, err
	}
	t := Transform{Quality: o.Quality, Format: o.Format}
	if _, native := u.p.(Transformer); !native && !t.IsZero() {
		made, claim, err := u.process(ctx, b, t, lim.max)
		if err != nil {
			return nil, err
		}
		b.close()
		b, t = made, Transform{}
		if ctype, ext, err = decideType("", claim, b.head, u.opts.AllowTypes, o.AllowTypes); err != nil {
			return nil, err
		}
	}
	obj, derived := makeObject(name, ctype, ext, b, t, o)
	if err := CheckKey(obj.Key); err != nil {
		return nil, err
	}
	if b.more != nil {
		return u.placeStream(ctx, obj, b, o, lim, sent)
	}
	return u.place(ctx, obj, b, o, derived, sent)
}

// checkUpload refuses what no body could make right.
func (u *Uploader) checkUpload(o UploadOptions) error {
	if err := o.check(); err != nil {
		return err
	}
	if _, native := u.p.(Transformer); !native && u.opts.Process == nil && (o.Quality != 0 || o.Format != "") {
		return fmt.Errorf("%w: Quality or Format needs Options.Process, or a provider that transforms", ErrOptions)
	}
	if o.Key != "" {
		return CheckKey(o.Key)
	}
	if o.Folder != "" {
		return CheckKey(o.Folder)
	}
	return nil
}

// process makes the rendition of b.
func (u *Uploader) process(ctx context.Context, b *body, t Transform, limit int64) (made *body, ctype string, err error) {
	pr, pw := io.Pipe()
	received := make(chan struct{})
	var readErr error
	go func() {
		defer close(received)
		made, readErr = u.receive(ctx, pr, limits{max: limit}, math.MaxInt64)
		pr.CloseWithError(io.ErrClosedPipe)
	}()
	panicked := true
	defer func() { // a panic goes on to the caller, but leaves nothing behind
		if panicked {
			pw.CloseWithError(errors.New("cdn: Options.Process panicked"))
			<-received
		}
		if (panicked || err != nil) && made != nil {
			made.close()
		}
	}()
	ctype, err = u.opts.Process(ctx, pw, io.NewSectionReader(b, 0, b.size), t)
	panicked = false
	pw.CloseWithError(err)
	<-received
	switch {
	case err == nil || errors.Is(err, io.ErrClosedPipe) && readErr != nil:
		err = readErr
	default:
		err = fmt.Errorf("cdn: process image: %w", err)
	}
	return made, ctype, err
}

// makeObject names and describes what is to be stored.
func makeObject(name, ctype, ext string, b *body, t Transform, o UploadOptions) (obj Object, derived bool) {
	obj = Object{
		Key: o.Key, Size: b.size, ContentType: ctype, CacheControl: o.CacheControl, Disposition: o.Disposition,
		SHA256: b.sum, CRC32C: b.crc, HasCRC32C: true, CreateOnly: o.CreateOnly, Transform: t,
	}
	if len(o.Metadata) > 0 {
		obj.Metadata = make(map[string]string, len(o.Metadata))
		for k, v := range o.Metadata {
			obj.Metadata[strings.ToLower(k)] = v
		}
	}
	if derived = o.Key == ""; derived {
		sum := [32]byte(b.sum)
		if !t.IsZero() { // the same original in another rendition is other content
			sum = sha256.Sum256(fmt.Appendf(sum[:], " q%d %s", t.Quality, t.Format))
			if t.Format != "" && t.Format != "auto" {
				ext = "." + strings.Replace(t.Format, "jpeg", "jpg", 1)
			}
		}
		obj.Key, obj.CreateOnly = derivedKey(o.Folder, name, sum, ext), true
		setDefault(&obj.CacheControl, immutable)
	}
	if obj.Disposition == "" && isActive(ctype) {
		obj.Disposition = mime.FormatMediaType("attachment", map[string]string{"filename": path.Base(obj.Key)})
	}
	return obj, derived
}

// place stores the object at the provider or, failing that, locally.
func (u *Uploader) place(ctx context.Context, obj Object, b *body, o UploadOptions, derived bool, sent *progress) (*Result, error) {
	res := &Result{Key: obj.Key, Size: obj.Size, SHA256: obj.SHA256, ContentType: obj.ContentType}
	if u.local != nil {
		switch held, taken := u.heldLocally(obj); {
		case held:
			res.Deduped = true
			return res, u.setLocal(res)
		case taken && obj.CreateOnly && !derived: // the provider cannot know of it
			return nil, u.local.opError("put", obj.Key, ErrExists)
		}
	}
	info, n, deduped, err := u.send(ctx, obj, b, o.Dedupe && derived, derived, sent)
	res.Attempts = n
	if err == nil {
		res.Deduped, res.Provider, res.Handle, res.ETag = deduped, u.name, info.Ref.Handle, info.ETag
		res.URL, err = u.p.URL(Ref{Key: res.Key, Handle: res.Handle})
		return res, err
	}
	if ctx.Err() != nil {
		return nil, ended(ctx, err)
	}
	if u.local == nil || u.opts.Disabled || o.NoFallback || !u.opts.FallbackIf(err) {
		return nil, err
	}
	if lerr := u.keep(ctx, obj, b, derived); lerr != nil {
		return nil, errors.Join(err, lerr)
	}
	return res, u.fellBack(obj, res, err)
}

// fellBack tells that the object is on local disk because of cause.
func (u *Uploader) fellBack(obj Object, res *Result, cause error) error {
	res.Fallback = cause
	if hook := u.opts.Hooks.Fallback; hook != nil {
		hook(FallbackEvent{Key: obj.Key, Size: obj.Size, Cause: cause})
	}
	return u.setLocal(res)
}

// setLocal tells that the Local holds the object.
func (u *Uploader) setLocal(res *Result) (err error) {
	res.Provider, res.ETag = u.local.ProviderName(), (&entry{Sum: res.SHA256}).etag()
	res.URL, err = u.local.URL(Ref{Key: res.Key})
	return err
}

// heldLocally reports that the very same object waits for promotion already, and
// whether the key is taken by what only local disk has. What promotion has given up
// is taken but not held, so that uploading it again is one more try.
func (u *Uploader) heldLocally(obj Object) (held, taken bool) {
	e := u.local.lookup(obj.Key)
	if e == nil || !e.Blob || e.State == stateDone {
		return false, false
	}
	have := e.object()
	same := have.SHA256 == obj.SHA256 && have.Size == obj.Size && have.ContentType == obj.ContentType &&
		have.CacheControl == obj.CacheControl && have.Disposition == obj.Disposition &&
		have.Transform == obj.Transform && maps.Equal(have.Metadata, obj.Metadata)
	return same && e.State == statePending, !same
}

// keep stores the object locally, durably, to be promoted. A spooled body becomes
// the local file; nothing is copied then.
func (u *Uploader) keep(ctx context.Context, obj Object, b *body, derived bool) error {
	done, err := u.local.begin("put", obj.Key)
	if err != nil {
		return err
	}
	defer done()
	e := newEntry(obj, statePending)
	e.Derived = derived
	createOnly := obj.CreateOnly && !derived // a derived key can only be taken by this very content
	if temp := b.file; temp != nil && b.local == u.local {
		b.detach() // an abandoned attempt must not read a file that grows a manifest
		b.file = nil
		err = u.local.store(ctx, e, createOnly, nil, temp)
	} else {
		err = u.local.store(ctx, e, createOnly, b, nil)
	}
	if err != nil {
		return u.local.opError("put", obj.Key, err)
	}
	u.count.bytesLocal.Add(uint64(obj.Size))
	u.wake()
	return nil
}

// send puts the object at the provider and makes sure that it is there.
func (u *Uploader) send(
	ctx context.Context, obj Object, b *body, headFirst, derived bool, sent *progress,
) (info Info, n int, deduped bool, err error) {
	lane, seen, err := u.claim(ctx, "put", obj.Key)
	if err != nil {
		return info, 0, false, err
	}
	defer lane.done()
	wctx, w := u.bounded(ctx, "put", obj.Key)
	defer w.end()
	if headFirst {
		info, err = try(wctx, u, lane, func(ctx context.Context) (Info, error) { return u.sameThere(ctx, obj) }, nil)
		deduped = err == nil
	}
	put := u.putter(ctx, wctx, w, "put", obj, b, lane, sent)
	if !deduped {
		info, n, err = put(obj)
	}
	if errors.Is(err, ErrExists) && (derived || n > 1) {
		var more int
		info, more, err = u.resolveExists(wctx, lane, obj, b, put, derived, err)
		n, deduped = n+more, err == nil && more == 0
	}
	if err == nil && seen != 0 {
		err = u.supersede(obj.Key, seen, info)
	}
	return info, n, deduped, err
}

// putter returns what stores b and tells how many attempts that took: in one request
// within wctx, or in parts, each of which has a bound of its own.
func (u *Uploader) putter(
	ctx, wctx context.Context, w *wait, op string, obj Object, b *body, lane *hold, sent *progress,
) func(Object) (Info, int, error) {
	if u.inParts(obj.Size) {
		w.pause()
		return func(obj Object) (Info, int, error) { return u.sendSections(ctx, obj, b, lane, sent) }
	}
	tries := u.tries()
	if op == "promote" {
		tries = 1 // the next pass is the next try
	}
	q := request{op: "put", key: obj.Key, bytes: obj.Size, tries: tries, w: w, h: lane}
	r := progressReader{b: b, w: w, sent: sent}
	return func(obj Object) (Info, int, error) {
		return retry(wctx, u, q, func(ctx context.Context) (Info, error) { return u.putVerified(ctx, obj, r) }, nil)
	}
}

// resolveExists looks at what has taken the key of a create-only object. The same
// content is what an earlier attempt has stored without being able to say so; under a
// key that anybody may have taken the same length is not enough to tell. Other content
// under a derived key was damaged on its way: nothing but this object belongs there, so
// that it is replaced. It returns how many attempts that took.
func (u *Uploader) resolveExists(
	ctx context.Context, lane *hold, obj Object, b *body, put func(Object) (Info, int, error), derived bool, exists error,
) (info Info, n int, err error) {
	info, err = try(ctx, u, lane, func(ctx context.Context) (Info, error) { return u.sameThere(ctx, obj) }, nil)
	if err == nil && !derived && !proves(info, b) {
		err = exists
	}
	switch {
	case err == nil:
	case errors.Is(err, ErrChecksum) && derived:
		obj.CreateOnly = false
		info, n, err = put(obj)
	case errors.Is(err, ErrNotFound), errors.Is(err, ErrChecksum):
		err = exists
	}
	return info, n, err
}

// proves reports that info, which contradicts nothing, also says that the object has the
// content of b: by a checksum, or by an ETag that is its MD5.
func proves(info Info, b *body) bool {
	if info.SHA256 != [32]byte{} || info.HasCRC32C {
		return true
	}
	tag := bareTag(info.ETag)
	if len(tag) != 2*md5.Size {
		return false
	}
	h := md5.New()
	_, err := io.Copy(h, io.NewSectionReader(b, 0, b.size))
	return err == nil && hex.EncodeToString(h.Sum(nil)) == tag
}

// bareTag is an ETag without what servers write around it in one reply and not in another.
func bareTag(etag string) string { return strings.Trim(strings.TrimPrefix(etag, "W/"), `"`) }

// supersede notes that the provider has newer content of key than generation seen.
// If the key was written locally in the meantime, that is newer still and stays.
func (u *Uploader) supersede(key string, seen uint64, info Info) error {
	done, err := u.local.begin("put", key)
	if err != nil {
		return err
	}
	defer done()
	url, _ := u.p.URL(Ref{Key: key, Handle: info.Ref.Handle})
	_, err = u.local.commit(false, &entry{
		Key: key, Gen: u.local.lastGen.Add(1), If: seen, State: stateDone, Time: moment(time.Now()),
		Handle: info.Ref.Handle, URL: url,
	})
	return err
}

func (u *Uploader) tries() int {
	if u.opts.Disabled {
		return 1
	}
	return u.opts.Retry.MaxAttempts
}

// progressReader tells the wait how far the provider has read.
type progressReader struct {
	b    *body
	w    *wait
	sent *progress
}

// ReadAt reads the body.
func (r progressReader) ReadAt(p []byte, off int64) (int, error) {
	n, err := r.b.ReadAt(p, off)
	for end := off + int64(n); ; {
		old := r.w.progress.Load()
		if end <= old {
			return n, err
		}
		if r.w.progress.CompareAndSwap(old, end) {
			r.w.last.Store(int64(time.Since(r.w.start)))
			r.sent.add(end - old)
			return n, err
		}
	}
}

// putVerified stores the object and returns once the provider has proved that it has
// it, by its answer or by Head.
func (u *Uploader) putVerified(ctx context.Context, obj Object, body io.ReaderAt) (Info, error) {
	u.count.reqPut.Add(1)
	obj.Metadata = maps.Clone(obj.Metadata)
	info, err := u.p.Put(ctx, obj, body)
	if err != nil {
		return info, err
	}
	u.count.bytesSent.Add(uint64(obj.Size))
	return u.proved(ctx, obj, info)
}

// proved looks whether an object is there as it was sent, unless its provider has
// proved that already.
func (u *Uploader) proved(ctx context.Context, obj Object, info Info) (Info, error) {
	setDefault(&info.Ref.Key, obj.Key)
	if info.Verified || u.opts.Disabled {
		return info, nil
	}
	head, err := u.verify(ctx, obj, info.Ref)
	if err == nil && info.ETag != "" && head.ETag != "" && bareTag(info.ETag) != bareTag(head.ETag) { // what was there before may have the same length
		err = fmt.Errorf("%w: ETag of %q differs", ErrChecksum, obj.Key)
	}
	if errors.Is(err, ErrNotFound) || errors.Is(err, ErrChecksum) {
		return info, &OpError{
			Provider: u.name, Op: "verify", Key: obj.Key, Kind: ErrUnavailable,
			Err: fmt.Errorf("stored object is not there as sent: %s", strings.TrimPrefix(err.Error(), "cdn: ")),
		}
	}
	if err != nil {
		return info, err
	}
	setDefault(&head.Ref.Handle, info.Ref.Handle)
	setDefault(&head.ETag, info.ETag)
	return head, nil
}

// sameThere returns what the provider has under a key if it is this object.
func (u *Uploader) sameThere(ctx context.Context, obj Object) (Info, error) {
	return u.verify(ctx, obj, Ref{Key: obj.Key})
}

// verify looks at the stored object; other content is ErrChecksum.
func (u *Uploader) verify(ctx context.Context, obj Object, ref Ref) (Info, error) {
	u.count.reqHead.Add(1)
	info, err := u.p.Head(ctx, ref)
	if err != nil {
		return info, err
	}
	setDefault(&info.Ref.Key, obj.Key)
	switch {
	case !obj.Transform.IsZero(): // what is stored is not what was sent
	case info.Size != obj.Size:
		err = fmt.Errorf("%w: %q has %d bytes, want %d", ErrChecksum, obj.Key, info.Size, obj.Size)
	case info.SHA256 != [32]byte{} && obj.SHA256 != [32]byte{} && info.SHA256 != obj.SHA256:
		err = fmt.Errorf("%w: SHA-256 of %q differs", ErrChecksum, obj.Key)
	case info.HasCRC32C && obj.HasCRC32C && info.CRC32C != obj.CRC32C:
		err = fmt.Errorf("%w: CRC-32C of %q differs", ErrChecksum, obj.Key)
	}
	return info, err
}
