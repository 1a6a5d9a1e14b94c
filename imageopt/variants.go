package imageopt

import (
	"context"
	"iter"
)

// Variant is one result of [Optimizer.Variants].
type Variant struct {
	// Index is the place of Spec in the slice given to Variants.
	Index int
	// Spec is the spec as it was given.
	Spec Spec
	// Result describes Data.
	Result Result
	// Data is the file. It belongs to the receiver.
	Data []byte
}

// Variants makes one result for each spec from a single decode of src, largest
// first, so that a consumer can stop early and no two files are in memory at once.
// The pixels of all results of a JPEG are made during the decode, where they take
// less memory than those of the source: a consumer that stops early spares the encoding
// of the rest, but not their resampling. src must not change until the iteration
// ends; its memory stays booked under MaxMemory that long, so the loop body should
// not wait for slow things.
//
// When no spec is valid to run or src cannot be decoded, the sequence is one
// error with Variant.Index -1; ctx ends it the same way. An error of one spec comes with its Index and does
// not end the sequence. The sequence can be ranged over again; that decodes again.
func (o *Optimizer) Variants(ctx context.Context, src []byte, specs []Spec) iter.Seq2[Variant, error] {
	return func(yield func(Variant, error) bool) { o.variants(ctx, src, specs, yield) }
}
