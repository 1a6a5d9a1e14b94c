package cdn

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"sync"
)

// UploadBatch uploads items and yields each result as it is ready, in no particular
// order; the error belongs to that item alone. Items are pulled as workers become
// free. Breaking out of the loop or ending ctx cancels what is under way; the loop
// ends when all of it has ended.
func (u *Uploader) UploadBatch(ctx context.Context, items iter.Seq[Item], o BatchOptions) iter.Seq2[BatchResult, error] {
	return func(yield func(BatchResult, error) bool) {
		if o.Concurrency < 0 {
			yield(BatchResult{}, fmt.Errorf("%w: Concurrency %d is negative", ErrOptions, o.Concurrency))
			return
		}
		setDefault(&o.Concurrency, 4)
		ctx, cancel := context.WithCancel(ctx)
		next, stop := iter.Pull(items)
		type outcome struct {
			r   BatchResult
			err error
		}
		results := make(chan outcome)
		var (
			wg    sync.WaitGroup
			mu    sync.Mutex
			index int // guarded by mu, and next too
		)
		pull := func() (Item, int, bool) {
			mu.Lock()
			defer mu.Unlock()
			it, ok := next()
			index++
			return it, index - 1, ok
		}
		for range o.Concurrency {
			wg.Go(func() {
				for ctx.Err() == nil {
					it, i, ok := pull()
					if !ok {
						return
					}
					res, err := u.uploadItem(ctx, it)
					select {
					case results <- outcome{BatchResult{Index: i, Name: it.Name, Result: res}, err}:
					case <-ctx.Done():
						return
					}
				}
			})
		}
		go func() { wg.Wait(); close(results) }()
		defer func() {
			cancel()
			for range results { // ends when the workers have
			}
			stop()
		}()
		for out := range results {
			if !yield(out.r, out.err) {
				return
			}
		}
	}
}

// uploadItem uploads one item and closes its body.
func (u *Uploader) uploadItem(ctx context.Context, it Item) (*Result, error) {
	if c, ok := it.Body.(io.Closer); ok {
		defer c.Close() // it was read to its end or will not be read
	}
	if it.Body == nil {
		return nil, fmt.Errorf("%w: %w", ErrOptions, errors.New("Item.Body is nil"))
	}
	return u.Upload(ctx, it.Name, it.Body, it.Options)
}
