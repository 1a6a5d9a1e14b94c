package memory

import (
	"context"
	"iter"
)

// Defaults of the stream functions.
const (
	defaultBatchItems  = 1000
	defaultBatchBytes  = 1 << 20
	defaultStreamBytes = 64 << 20
)

// BatchOptions configures [Batches]. The zero value makes batches of at most 1000
// items and 1 MiB.
type BatchOptions[T any] struct {
	// MaxItems is the most items in one batch. Default 1000; negative is an error.
	MaxItems int
	// MaxBytes is the most bytes in one batch; an item that is larger alone makes a
	// batch of its own. Default 1 MiB; negative is an error.
	MaxBytes int64
	// SizeOf reports the size of an item in bytes. Default: the function [SizeOf].
	SizeOf func(T) int64
	// Monitor makes batches smaller while memory is short: half at LevelHigh, an
	// eighth at LevelCritical, at least one item. nil means always full size.
	Monitor *Monitor
}

func (o BatchOptions[T]) withDefaults() (BatchOptions[T], error) {
	var p problems
	p.check(o.MaxItems >= 0, "MaxItems %d is negative", o.MaxItems)
	p.check(o.MaxBytes >= 0, "MaxBytes %d is negative", o.MaxBytes)
	setDefault(&o.MaxItems, defaultBatchItems)
	setDefault(&o.MaxBytes, int64(defaultBatchBytes))
	if o.SizeOf == nil {
		o.SizeOf = SizeOf[T]
	}
	return o, p.err("batches")
}

// bounds returns the bounds of a batch at the present level.
func (o BatchOptions[T]) bounds() (items int, bytes int64) {
	items, bytes = o.MaxItems, o.MaxBytes
	if o.Monitor != nil {
		switch o.Monitor.Level() {
		case LevelHigh:
			items, bytes = items/2, bytes/2
		case LevelCritical:
			items, bytes = items/8, bytes/8
		}
	}
	return max(1, items), max(1, bytes)
}

// Batches groups the items of src, in order, into slices that are bounded by count
// and bytes. Each slice is new and the consumer's to keep. It reads no further than
// the item that no longer fits. An error of src, the end of ctx or bad options
// (matching [ErrOptions]) is yielded last, with a nil slice, after the items before
// it. Everything runs on the consumer's goroutine.
func Batches[T any](ctx context.Context, src iter.Seq2[T, error], o BatchOptions[T]) iter.Seq2[[]T, error] {
	return func(yield func([]T, error) bool) {
		o, err := o.withDefaults()
		if err != nil {
			yield(nil, err)
			return
		}
		var batch []T
		var bytes int64
		emit := func() bool {
			full := batch
			batch, bytes = nil, 0
			return len(full) == 0 || yield(full, nil)
		}
		for item, srcErr := range src {
			if err = srcErr; err == nil && ctx.Err() != nil {
				err = contextError(ctx, "batches")
			}
			if err != nil {
				break
			}
			size := max(0, o.SizeOf(item))
			maxItems, maxBytes := o.bounds()
			if len(batch) > 0 && (len(batch) >= maxItems || size > maxBytes-bytes) && !emit() {
				return
			}
			batch = append(batch, item)
			bytes += size
			if (len(batch) >= maxItems || bytes >= maxBytes) && !emit() {
				return
			}
		}
		if err == nil && ctx.Err() != nil {
			err = contextError(ctx, "batches") // src may have ended because of it
		}
		if emit() && err != nil {
			yield(nil, err)
		}
	}
}
