package cdn

import (
	"context"
	"fmt"
	"io"
	"iter"
	"sync"
)

// UploadBatch uploads items and yields each result as it is ready, in no particular
// order; the error belongs to that item alone. An item is pulled when it can be
// uploaded, on a goroutine of the batch. Breaking out of the loop or ending ctx
// cancels what is under way and pulls no more; the loop ends when all of it has
// ended, and yields until then unless it was broken out of. A panic of the sequence,
// a body or a hook ends the batch and goes on in the loop.
func (u *Uploader) UploadBatch(ctx context.Context, items iter.Seq[Item], o BatchOptions) iter.Seq2[BatchResult, error] {
	return func(yield func(BatchResult, error) bool) {
		if o.Concurrency < 0 {
			yield(BatchResult{}, fmt.Errorf("%w: Concurrency %d is negative", ErrOptions, o.Concurrency))
			return
		}
		slots := o.Concurrency
		setDefault(&slots, 4)
		ctx, cancel := context.WithCancel(ctx)
		b := &batch{u: u, cancel: cancel, slots: make(chan struct{}, slots), results: make(chan outcome)}
		go b.feed(ctx, items)
		defer func() {
			cancel()
			for range b.results { // ends when all goroutines have
			}
			if b.panicked != nil {
				panic(b.panicked)
			}
		}()
		for out := range b.results {
			if !yield(out.r, out.err) {
				return
			}
		}
	}
}

// batch is one call of UploadBatch. Its loop receives all results until the channel
// is closed, so that none of them is lost.
type batch struct {
	u        *Uploader
	cancel   context.CancelFunc
	slots    chan struct{} // held by each upload
	results  chan outcome
	wg       sync.WaitGroup // uploads
	once     sync.Once
	panicked any // set by once; to be read after results is closed
}

// outcome is what the loop is given for one item.
type outcome struct {
	r   BatchResult
	err error
}

// feed pulls the items, starts an upload for each, and closes results after the last.
func (b *batch) feed(ctx context.Context, items iter.Seq[Item]) {
	defer close(b.results)
	defer b.wg.Wait()
	defer b.caught()
	index := 0
	if !b.slot(ctx) {
		return
	}
	for it := range items {
		i := index
		index++
		b.wg.Go(func() {
			defer func() { <-b.slots }()
			defer b.caught()
			res, err := b.u.uploadItem(ctx, it)
			b.results <- outcome{BatchResult{Index: i, Name: it.Name, Result: res}, err}
		})
		if !b.slot(ctx) {
			return
		}
	}
}

// slot waits until one more upload may start; false means that ctx has ended.
func (b *batch) slot(ctx context.Context) bool {
	select {
	case b.slots <- struct{}{}:
		return ctx.Err() == nil
	case <-ctx.Done():
		return false
	}
}

// caught keeps a panic of the caller's code for the loop.
func (b *batch) caught() {
	if p := recover(); p != nil {
		b.once.Do(func() { b.panicked = p })
		b.cancel()
	}
}

// uploadItem uploads one item and closes its body.
func (u *Uploader) uploadItem(ctx context.Context, it Item) (*Result, error) {
	if c, ok := it.Body.(io.Closer); ok {
		defer c.Close() // it was read to its end or will not be read
	}
	if it.Body == nil {
		return nil, fmt.Errorf("%w: Item.Body is nil", ErrOptions)
	}
	return u.Upload(ctx, it.Name, it.Body, it.Options)
}
