package cdn

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"math"
)

// multiparter is the provider's power to take parts, or nil.
func (u *Uploader) multiparter() Multiparter {
	m, _ := u.p.(Multiparter)
	if u.opts.Disabled { // one plain attempt
		return nil
	}
	return m
}

// firstPart is how much of a stream is read before anything is sent: one part of it if
// it may go in parts, else all. A derived key stands for the whole content, so that
// such a stream must end first; and so it must before Process.
func (u *Uploader) firstPart(o UploadOptions, lim limits) int64 {
	m := u.multiparter()
	_, native := u.p.(Transformer)
	if m == nil || o.Key == "" || !native && (o.Quality != 0 || o.Format != "") {
		return math.MaxInt64
	}
	return u.partSize(m.PartLimits(), lim.bytes())
}

// bytes is the most that the content can have, or negative.
func (lim limits) bytes() int64 {
	if lim.size > 0 {
		return lim.size
	}
	return lim.max
}

// stream is content that is sent in parts while it is read. With a Fallback it is
// written to disk at the same time, unsynced, so that it is not lost with the provider.
type stream struct {
	u      *Uploader
	r      *ahead
	lim    limits
	size   int64     // of a part
	first  *body     // already read; nil once it was given
	off    int64     // of what was given
	sha    hash.Hash // of what was read; nil if no hash is expected
	kept   *body     // all that was read, in a file; nil if it is not kept
	stale  *body     // was kept until the disk was full; parts may be read from it yet
	full   error     // why it is not kept any more
	failed error     // of the caller's reader, or what was announced
	done   bool      // the last part was given
	buf    []byte
}

// openStream goes on with b, whose first part was read.
func (u *Uploader) openStream(b *body, lim limits, keep bool) (*stream, error) {
	s := &stream{u: u, r: b.more, lim: lim, size: b.size, first: b}
	if keep {
		s.kept = &body{tape: true}
	}
	if lim.sum == [32]byte{} {
		return s, nil
	}
	s.sha = sha256.New()
	if _, err := io.Copy(s.sha, io.NewSectionReader(b, 0, b.size)); err != nil {
		return nil, localError("read spool", err)
	}
	s.sha.Write(s.r.next[:]) // which is how it is known that there is more
	s.r.r = io.TeeReader(s.r.r, s.sha)
	return s, nil
}

// next implements source.
func (s *stream) next(ctx context.Context, wait func() bool) (b *body, last bool, err error) {
	more := true
	switch first := s.first; {
	case first != nil:
		b, s.first = first, nil
		s.keepFirst(b)
	case s.kept != nil:
		var disk error
		if b, more, disk, err = s.spooled(ctx); disk == nil {
			break
		}
		s.giveUp(disk)
		fallthrough
	default:
		b = &body{mem: &blocks{memory: s.u.memory, long: true, wait: wait}}
		lim := s.lim
		lim.base = s.off
		h := hasher{}
		more, err = s.u.readStream(ctx, b, s.r, lim, s.size, &h)
	}
	if err == nil {
		s.off += b.size
		if s.done = !more; s.done {
			err = s.ended()
		}
	}
	if err != nil {
		if ctx.Err() == nil {
			s.failed = err
		} else {
			err = context.Cause(ctx)
		}
		if b != nil {
			b.close()
		}
	}
	return b, !more, err
}

// keepFirst writes the first part to disk too.
func (s *stream) keepFirst(b *body) {
	if s.kept == nil {
		return
	}
	if _, err := io.Copy(keeper{s}, io.NewSectionReader(b, 0, b.size)); err != nil {
		s.full, s.stale, s.kept = err, s.kept, nil
	}
}

// keeper appends to what is kept.
type keeper struct{ s *stream }

// Write implements io.Writer.
func (k keeper) Write(p []byte) (int, error) {
	b := k.s.kept
	if err := k.s.u.spool(b, p, b.size); err != nil {
		return 0, err
	}
	b.size += int64(len(p))
	return len(p), nil
}

// giveUp goes on without a copy on disk, since a full disk must not fail an upload that
// the provider takes. What was read of the present part is read once more.
func (s *stream) giveUp(err error) {
	b := s.kept
	again := []io.Reader{bytes.NewReader(s.buf), s.r}
	if b.file != nil {
		again = append([]io.Reader{io.NewSectionReader(b.file, s.off, b.size-s.off)}, again...)
	}
	s.r = &ahead{strictReader: strictReader{r: io.MultiReader(again...)}}
	s.full, s.stale, s.kept = err, b, nil
}

// spooled reads one part to disk, and reads it from there. When the disk fails, s.buf is
// what could not be written.
func (s *stream) spooled(ctx context.Context) (b *body, more bool, disk, err error) {
	if s.buf == nil {
		s.buf = make([]byte, 128<<10)
	}
	start, h := s.kept.size, hasher{}
	for more = true; more && s.kept.size-start < s.size; {
		if err := ctx.Err(); err != nil {
			return nil, false, nil, context.Cause(ctx)
		}
		p := s.buf[:min(int64(cap(s.buf)), s.size-(s.kept.size-start))]
		n, err := s.r.Read(p)
		h.Write(p[:n])
		if _, disk := (keeper{s}).Write(p[:n]); disk != nil {
			s.buf = p[:n:n]
			return nil, true, disk, nil
		}
		if err := s.lim.tooLarge(s.kept.size); err != nil {
			return nil, false, nil, err
		}
		if more = err != io.EOF; more && err != nil {
			return nil, false, nil, bodyError(err)
		}
	}
	if more {
		if more, err = s.r.goesOn(ctx); err != nil {
			return nil, false, nil, err
		}
	}
	n := s.kept.size - start
	return &body{size: n, crc: h.crc, at: io.NewSectionReader(s.kept.file, start, n)}, more, nil, nil
}

// ended checks the whole against what was announced.
func (s *stream) ended() error {
	if s.lim.size > 0 && s.off < s.lim.size {
		return fmt.Errorf("%w: %d of %d bytes", ErrTruncated, s.off, s.lim.size)
	}
	if s.sha != nil && [32]byte(s.sha.Sum(nil)) != s.lim.sum {
		return fmt.Errorf("%w: the body is not the expected content", ErrChecksum)
	}
	return nil
}

// rest reads the stream to its end and returns all of it, on disk.
func (s *stream) rest(ctx context.Context) (*body, error) {
	if b := s.first; b != nil { // the upload could not even begin
		s.first = nil
		s.keepFirst(b)
		b.close()
	}
	if s.kept == nil {
		return nil, s.full
	}
	for more := !s.done; more; {
		var disk, err error
		_, more, disk, err = s.spooled(ctx)
		if err = errors.Join(disk, err); err != nil {
			return nil, err
		}
	}
	b := s.kept
	s.off = b.size
	if err := s.ended(); err != nil {
		return nil, err
	}
	h := newHasher()
	if _, err := io.Copy(h, io.NewSectionReader(b.file, 0, b.size)); err != nil {
		return nil, localError("read spool", err)
	}
	b.sum, b.crc = h.sums()
	b.at = io.NewSectionReader(b.file, 0, b.size)
	return b, nil
}

// close gives back what the stream holds.
func (s *stream) close() {
	for _, b := range []*body{s.first, s.kept, s.stale} {
		if b != nil {
			b.close()
		}
	}
}

// placeStream sends b and the rest of its stream in parts or, failing that, keeps it
// locally.
func (u *Uploader) placeStream(ctx context.Context, obj Object, b *body, o UploadOptions, lim limits, sent *progress) (*Result, error) {
	obj.Size, obj.SHA256, obj.HasCRC32C, obj.CRC32C = -1, lim.sum, false, 0
	if lim.size > 0 {
		obj.Size = lim.size
	}
	if u.local != nil && obj.CreateOnly {
		if _, taken := u.heldLocally(obj); taken {
			return nil, u.local.opError("put", obj.Key, ErrExists)
		}
	}
	s, err := u.openStream(b, lim, u.local != nil && !o.NoFallback)
	if err != nil {
		return nil, err
	}
	defer s.close()
	res := &Result{Key: obj.Key, SHA256: lim.sum, ContentType: obj.ContentType}
	info, n, err := u.sendStream(ctx, obj, s, sent)
	res.Attempts, res.Size = n, s.off
	u.count.bytesIn.Add(uint64(max(s.off-b.size, 0)))
	if err == nil {
		res.Provider, res.Handle, res.ETag = u.name, info.Ref.Handle, info.ETag
		res.URL, err = u.p.URL(Ref{Key: res.Key, Handle: res.Handle})
		return res, err
	}
	switch {
	case s.failed != nil:
		return nil, s.failed
	case ctx.Err() != nil:
		return nil, ended(ctx, err)
	case u.local == nil || o.NoFallback || !u.opts.FallbackIf(err):
		return nil, err
	}
	all, lerr := s.rest(ctx)
	if lerr == nil {
		obj.Size, obj.SHA256, obj.CRC32C, obj.HasCRC32C = all.size, all.sum, all.crc, true
		lerr = u.keep(ctx, obj, all, false)
	}
	if lerr != nil {
		return nil, errors.Join(err, lerr)
	}
	res.Size, res.SHA256 = obj.Size, obj.SHA256
	return res, u.fellBack(obj, res, err)
}

// sendStream sends a stream in its turn among the writes of its key.
func (u *Uploader) sendStream(ctx context.Context, obj Object, s *stream, sent *progress) (info Info, n int, err error) {
	lane, seen, err := u.claim(ctx, "put", obj.Key)
	if err != nil {
		return info, 0, err
	}
	defer lane.done()
	log := u.openLog(obj, s.size)
	defer u.closeLog(log)
	if info, n, err = u.sendParts(ctx, u.multiparter(), obj, s, lane, log, sent); err == nil && seen != 0 {
		err = u.supersede(obj.Key, seen, info)
	}
	return info, n, err
}

// claim waits for the key's turn at the provider, and tells which generation of it is
// on local disk, or 0.
func (u *Uploader) claim(ctx context.Context, op, key string) (lane *hold, seen uint64, err error) {
	wctx, w := u.bounded(ctx, op, key)
	defer w.end()
	release, err := u.lanes.acquire(wctx, key)
	if err != nil {
		return nil, 0, ended(wctx, err)
	}
	if u.local != nil {
		if it := u.local.find(key); it != nil {
			seen = it.gen
		}
	}
	return newHold(release), seen, nil
}

// openLog is the log of an upload in parts, or nil where there is no place for one.
func (u *Uploader) openLog(obj Object, size int64) *partLog {
	if u.local == nil {
		return nil
	}
	log := u.local.openPartLog(u.name, obj, size)
	u.mu.Lock()
	u.logs[log.name] = true
	u.mu.Unlock()
	return log
}

func (u *Uploader) closeLog(log *partLog) {
	if log == nil {
		return
	}
	log.close()
	u.mu.Lock()
	delete(u.logs, log.name)
	u.mu.Unlock()
}

// sendSections sends content that can be read anywhere in parts. What the provider has
// of it from an earlier try is not sent again; if it turns out not to have it, all is.
func (u *Uploader) sendSections(ctx context.Context, obj Object, b *body, lane *hold, sent *progress) (info Info, n int, err error) {
	m := u.multiparter()
	size := u.partSize(m.PartLimits(), obj.Size)
	log := u.openLog(obj, size)
	defer u.closeLog(log)
	resumed := log != nil && log.id != ""
	info, n, err = u.sendParts(ctx, m, obj, &sections{b: b, size: size}, lane, log, sent)
	if resumed && isFinal(err) && ctx.Err() == nil {
		again := u.openLog(obj, size)
		defer u.closeLog(again)
		info, n, err = u.sendParts(ctx, m, obj, &sections{b: b, size: size}, lane, again, nil)
	}
	return info, n, err
}

// inParts reports whether content of this size that can be read anywhere goes in parts.
func (u *Uploader) inParts(size int64) bool {
	m := u.multiparter()
	return m != nil && size > 2*u.partSize(m.PartLimits(), size)
}
