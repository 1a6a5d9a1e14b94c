package cdn

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// minPart is the least size of a part that Options.PartSize may ask for, and what most
// providers demand.
const minPart = 5 << 20

// partSize is the size of all parts of an object but the last, so that limit bytes of
// content need no more parts than are allowed. A negative limit is no limit.
func (u *Uploader) partSize(l PartLimits, limit int64) int64 {
	size := max(u.opts.PartSize, l.MinSize)
	if n := int64(l.MaxParts); n > 0 && limit > size*n {
		size = ((limit+n-1)/n + 1<<20 - 1) &^ (1<<20 - 1)
	}
	if l.MaxSize > 0 {
		size = min(size, l.MaxSize)
	}
	return size
}

// source gives content as parts, in order.
type source interface {
	// next returns the next part, which the receiver closes, and whether it is the
	// last. It may call wait to let some part under way end; false: there is none.
	next(ctx context.Context, wait func() bool) (b *body, last bool, err error)
}

// sections is content that can be read anywhere, as parts.
type sections struct {
	b         *body
	size, off int64
}

func (s *sections) next(context.Context, func() bool) (*body, bool, error) {
	n := min(s.size, s.b.size-s.off)
	b := &body{size: n, at: io.NewSectionReader(s.b, s.off, n)}
	s.off += n
	return b, s.off == s.b.size, nil
}

// partUpload sends one object in parts.
type partUpload struct {
	u      *Uploader
	m      Multiparter
	limits PartLimits
	obj    Object
	id     string
	log    *partLog // nil: a later process cannot go on with it
	h      *hold    // of the key's lane
	sent   *progress

	flying  atomic.Int64  // parts under way
	landed  chan struct{} // told when one of them has ended
	retries atomic.Int64

	broken bool  // the content itself could not be had
	total  int64 // bytes of the whole, once it was read

	mu   sync.Mutex
	done map[int]PartInfo // guarded by mu
}

// piece is one part on its way to a worker.
type piece struct {
	part Part
	b    *body
}

// sendParts stores the object in parts and makes sure that it is there. It returns the
// number of attempts that its worst part took. What it began and could not complete is
// aborted, unless log keeps it for another try.
func (u *Uploader) sendParts(
	ctx context.Context, m Multiparter, obj Object, src source, h *hold, log *partLog, sent *progress,
) (info Info, n int, err error) {
	p := &partUpload{
		u: u, m: m, limits: m.PartLimits(), obj: obj, log: log, h: h, sent: sent,
		landed: make(chan struct{}, 1), done: map[int]PartInfo{},
	}
	whole := false
	defer func() {
		if !whole {
			p.abandon(ctx, err)
		}
	}()
	if err = p.begin(ctx); err == nil {
		err = p.transfer(ctx, src)
	}
	if err == nil {
		info, err = p.complete(ctx)
	}
	whole = err == nil
	return info, 1 + int(p.retries.Load()), err
}

// begin opens the upload, or goes on with the one that was logged.
func (p *partUpload) begin(ctx context.Context) error {
	if p.log != nil && p.log.id != "" {
		p.id = p.log.id
		p.resume(ctx)
		return nil
	}
	wctx, w := p.u.bounded(ctx, "begin", p.obj.Key)
	defer w.end()
	q := request{op: "begin", key: p.obj.Key, tries: p.u.tries(), w: w, h: p.h}
	id, n, err := retry(wctx, p.u, q, func(ctx context.Context) (string, error) {
		p.u.count.reqPut.Add(1)
		return p.m.Begin(ctx, p.copyObject())
	}, p.abortLater)
	p.retries.Add(int64(n - 1))
	if err != nil {
		return err
	}
	p.id = id
	if p.log != nil {
		// What cannot be logged is only not resumed.
		p.log.begin(id)
	}
	return nil
}

// resume takes over the logged parts that the provider still has. One that cannot list
// them is believed to have them all; Complete tells otherwise.
func (p *partUpload) resume(ctx context.Context) {
	wctx, w := p.u.bounded(ctx, "parts", p.obj.Key)
	defer w.end()
	there, err := try(wctx, p.u, p.h, func(ctx context.Context) ([]PartInfo, error) {
		p.u.count.reqHead.Add(1)
		return p.m.Parts(ctx, p.copyObject(), p.id)
	}, nil)
	maps.Copy(p.done, p.log.parts)
	if err != nil {
		return
	}
	maps.DeleteFunc(p.done, func(n int, have PartInfo) bool {
		return !slices.ContainsFunc(there, func(v PartInfo) bool {
			return v.Number == n && v.ETag == have.ETag && (v.Size == have.Size || v.Size == 0)
		})
	})
}

func (p *partUpload) copyObject() Object {
	obj := p.obj
	obj.Metadata = maps.Clone(obj.Metadata)
	return obj
}

// transfer reads the parts on the caller's goroutine and sends them on workers.
func (p *partUpload) transfer(ctx context.Context, src source) error {
	ctx, cancel := context.WithCancelCause(ctx)
	work := make(chan piece)
	var wg sync.WaitGroup
	defer func() { // after a panic of the caller's reader too
		cancel(context.Canceled)
		close(work)
		wg.Wait()
	}()
	workers := p.u.opts.PartWorkers
	if p.limits.Sequential {
		workers = 1
	}
	for range workers {
		wg.Go(func() {
			for pc := range work {
				if err := p.put(ctx, pc); err != nil {
					cancel(err)
				}
				pc.b.close()
				p.land()
			}
		})
	}
	if err := p.feed(ctx, src, work); err != nil {
		return err
	}
	for p.flying.Load() > 0 {
		select {
		case <-p.landed:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return nil
}

// land notes that a part has ended.
func (p *partUpload) land() {
	p.flying.Add(-1)
	select {
	case p.landed <- struct{}{}:
	default:
	}
}

// feed gives the parts of src to the workers.
func (p *partUpload) feed(ctx context.Context, src source, work chan<- piece) error {
	wait := func() bool {
		if p.flying.Load() == 0 {
			return false
		}
		select {
		case <-p.landed:
			return true
		case <-ctx.Done():
			return false
		}
	}
	for part := (Part{Number: 1, Total: p.obj.Size}); ; part.Number++ {
		if p.limits.MaxParts > 0 && part.Number > p.limits.MaxParts {
			return fmt.Errorf("%w: more than %d parts; set Options.PartSize", ErrTooLarge, p.limits.MaxParts)
		}
		b, last, err := src.next(ctx, wait)
		if err != nil {
			p.broken = ctx.Err() == nil
			return err
		}
		part.Size, part.CRC32C, part.Last = b.size, b.crc, last
		if last {
			part.Total = part.Offset + part.Size
		}
		if p.has(part) {
			p.sent.add(part.Size)
			b.close()
		} else {
			p.flying.Add(1)
			select {
			case work <- piece{part, b}:
			case <-ctx.Done():
				b.close()
				p.land()
				return context.Cause(ctx)
			}
		}
		part.Offset += part.Size
		if last {
			p.total = part.Offset
			return nil
		}
	}
}

// has reports that the provider has the part from before.
func (p *partUpload) has(part Part) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	have, ok := p.done[part.Number]
	return ok && have.Size == part.Size
}

// put sends one part, with a bound and retries of its own.
func (p *partUpload) put(ctx context.Context, pc piece) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	wctx, w := p.u.bounded(ctx, "part", p.obj.Key)
	defer w.end()
	r := progressReader{b: pc.b, w: w, sent: p.sent}
	q := request{op: "part", key: p.obj.Key, bytes: pc.part.Size, tries: p.u.tries(), w: w, h: p.h}
	info, n, err := retry(wctx, p.u, q, func(ctx context.Context) (PartInfo, error) {
		p.u.count.reqPut.Add(1)
		info, err := p.m.PutPart(ctx, p.copyObject(), p.id, pc.part, r)
		if err == nil {
			p.u.count.bytesSent.Add(uint64(pc.part.Size))
		}
		return info, err
	}, nil)
	p.retries.Add(int64(n - 1))
	if err != nil {
		return err
	}
	info.Number, info.Size = pc.part.Number, pc.part.Size
	p.mu.Lock()
	p.done[info.Number] = info
	p.mu.Unlock()
	if p.log != nil {
		p.log.add(info)
	}
	return nil
}

// complete joins the parts and returns once the provider has proved that it has the
// whole.
func (p *partUpload) complete(ctx context.Context) (Info, error) {
	p.mu.Lock()
	all := slices.SortedFunc(maps.Values(p.done), func(a, b PartInfo) int { return a.Number - b.Number })
	p.mu.Unlock()
	wctx, w := p.u.bounded(ctx, "complete", p.obj.Key)
	defer w.end()
	q := request{op: "complete", key: p.obj.Key, tries: p.u.tries(), w: w, h: p.h}
	info, n, err := retry(wctx, p.u, q, func(ctx context.Context) (Info, error) {
		p.u.count.reqPut.Add(1)
		obj := p.copyObject() // attempts that were given up may still read p.obj
		obj.Size = p.total
		info, err := p.m.Complete(ctx, obj, p.id, all)
		if err != nil {
			return info, err
		}
		return p.u.proved(ctx, obj, info)
	}, nil)
	p.retries.Add(int64(n - 1))
	if err == nil && p.log != nil {
		p.log.remove()
	}
	return info, err
}

// abandon aborts what was begun, unless the log keeps it for another try. Nobody waits
// for a provider that has just shown that it does not answer.
func (p *partUpload) abandon(ctx context.Context, err error) {
	if p.id == "" {
		return
	}
	if p.log != nil && p.log.resumable {
		if !p.broken && (!isFinal(err) || errors.Is(err, ErrClosed)) {
			return
		}
		p.log.remove() // now, since another upload of the same content may begin at once
		p.log = nil
	}
	if ctx.Err() == nil && (p.broken || !IsUnavailable(err)) {
		p.abort(ctx, p.id)
		return
	}
	p.abortLater(p.id)
}

// abortLater aborts on a goroutine of its own, which Close ends.
func (p *partUpload) abortLater(id string) {
	ctx, leave, err := p.u.enter(context.Background(), false)
	if err != nil {
		return
	}
	go func() {
		defer leave()
		p.abort(ctx, id)
	}()
}

// abort makes the provider forget an upload. Where that fails the log, if there is one,
// lets a later pass try again.
func (p *partUpload) abort(ctx context.Context, id string) {
	wctx, w := p.u.bounded(ctx, "abort", p.obj.Key)
	defer w.end()
	obj := p.copyObject()
	_, err := try(wctx, p.u, newHold(nil), func(ctx context.Context) (struct{}, error) {
		p.u.count.reqDelete.Add(1)
		return struct{}{}, p.m.Abort(ctx, obj, id)
	}, nil)
	if err == nil && p.log != nil {
		p.log.remove()
	}
}

// progress counts what the provider has taken of an upload. It only grows: what is
// sent again does not count again.
type progress struct{ n atomic.Int64 }

func (p *progress) add(n int64) {
	if p != nil {
		p.n.Add(n)
	}
}

// report calls f with the progress until stop is called with the result, or nil.
func (p *progress) report(f func(sent, total int64), total int64) (stop func(*Result)) {
	if f == nil {
		return func(*Result) {}
	}
	if total == 0 {
		total = -1
	}
	end, ended := make(chan struct{}), make(chan struct{})
	var panicked any
	go func() {
		defer close(ended)
		defer func() { panicked = recover() }()
		tick := time.NewTicker(progressEvery)
		defer tick.Stop()
		last := int64(0)
		for {
			select {
			case <-end:
				return
			case <-tick.C:
			}
			if n := p.n.Load(); n > last {
				last = n
				f(n, total)
			}
		}
	}()
	return func(res *Result) {
		close(end)
		if <-ended; panicked != nil {
			panic(panicked)
		}
		if res != nil {
			f(res.Size, res.Size)
		}
	}
}

const progressEvery = 100 * time.Millisecond
