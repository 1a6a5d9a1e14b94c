// Package imageopt makes web pictures out of uploaded ones: resized, upright,
// stripped of metadata, in the format that the client takes, without cgo and with
// every limit checked before memory is spent.
//
// # Getting started
//
// Make one [Optimizer] with [New] and call [Optimizer.Process], or mount a
// [Handler]:
//
//	o, err := imageopt.New(imageopt.Options{})
//	if err != nil {
//		return err
//	}
//	res, err := o.Process(ctx, w, r, imageopt.Spec{Width: 640, Quality: 80})
//	if err != nil {
//		return err
//	}
//	fmt.Println(res.Format, res.Width, res.Height, res.Bytes)
//
// [Optimizer.Variants] makes a set of sizes from one decode,
// [Optimizer.Placeholder] what a page shows before the picture, and
// [Picture.HTML] the element that offers the sizes.
//
// # Units
//
// Sizes of pictures are in pixels of the upright picture, lengths and memory in
// bytes (int64), waiting times are a [time.Duration], qualities run from 1 to 100.
//
// # Concurrency
//
// [Optimizer] and [Handler] are safe for concurrent use. A job runs on the
// goroutine that called, and [Hooks] are called there, outside all locks. With
// [Options].Workers some more share its resampling and end with it. The decoder of
// WebP, which cannot be stopped, has a goroutine that a cancelled job leaves behind,
// and its memory stays booked until it ends. The Handler runs each job on a goroutine that ends
// with the job, or soon after the last client has gone; [Handler.Close] waits for
// them. Jobs wait for memory in the order of their arrival.
//
// # Errors
//
// [ErrOptions] is a mistake of the caller. [ErrTooLarge], [ErrUnsupported],
// [ErrCorrupt] and [ErrTruncated] speak of the source, [ErrBusy] of the moment;
// the types [LimitError], [DecodeError] and [BusyError] carry the details. A
// cancelled context gives an error that matches its Err and its Cause. No source,
// however damaged, makes this package panic: a decoder's panic is ErrCorrupt.
//
// # Cost
//
// Time is linear in the pixels of the source, with one decode per call and one
// resampling pass per size. Memory is booked before it is taken, under one mutex
// that is held for a few instructions. A JPEG stays in its Y, Cb and Cr planes
// from the decoder to the encoder; conversions between colour models happen at the
// size of the result. It is decoded at once to a half, a quarter or an eighth of its
// size, whichever still leaves the largest result of the call 1.5 times what it
// needs; a sequential one never has more than these planes in memory, a progressive
// one two bytes more for each of its samples, but at an eighth, for which only the
// scans with the means of the blocks are read. Results are progressive with Huffman
// codes of their own, small ones sequential. Resampling runs in AVX2 where the
// processor has it; the tag purego builds without, with the same results to the bit.
// BenchmarkProcess and BenchmarkHandlerHit print time and allocations of a job and of a
// cached reply.
//
// # Limits
//
// Reads JPEG, PNG, GIF and still WebP, and BMP and TIFF when asked; writes JPEG
// (4:2:0, from quality 90 on 4:4:4), PNG, GIF and lossless WebP, and what [Options].Encoders adds.
// Animation survives from GIF to GIF only; other results show the first frame, as
// do results of an animated PNG. Results have 8 bits per channel. Matrix ICC
// profiles (Display P3, Adobe RGB, ProPhoto) are converted to sRGB; pictures under
// other profiles are taken as they are. Of metadata survives what [Spec].Metadata
// says, and never a GPS position, unless the whole block is Disabled. Pictures in XYB
// colours are refused; those with a gain map come out as their base picture.
// Lossless WebP has no entropy image and no cross-colour transform. JPEG in gray and
// YCbCr is decoded here and looks at the context for each row of blocks; the decoders
// of image/jpeg (RGB and inks), image/png, image/gif and golang.org/x/image do the
// rest, so a cancelled context is seen when they read on, not inside their computing.
// Importing this package registers
// formats with package image, as those decoders do in any program; this package
// itself never asks that registry. A JPEG of more than 100 scans is refused.
//
// # Background
//
// Content negotiation follows RFC 9110 §12.5.1, orientation Exif 2.32, animation
// the GIF89a specification. Filters and anchors are those of
// github.com/disintegration/imaging. BlurHash is by Wolt, ThumbHash by Evan
// Wallace. The parameters of [Handler] are those of next/image.
package imageopt
