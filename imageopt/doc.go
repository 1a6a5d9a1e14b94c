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
// one the coefficients too that the size needs. JPEG results of a progressive one that
// are no larger than an eighth of it, at a quality below 90, come from the means of its
// blocks, for which a tenth of the file is decoded; they look as the filter Box makes
// them. [Optimizer.Process] keeps no more than that tenth of such a file in memory.
// Results are progressive with Huffman codes of their own, small ones sequential. Resampling runs in AVX2 where the
// processor has it; the tag purego builds without, with the same results to the bit.
// BenchmarkProcess and BenchmarkHandlerHit print time and allocations of a job and of a
// cached reply.
//
// # Formats
//
//	format   in                              out
//	JPEG     baseline, progressive; gray,    gray, 4:2:0, from quality 90 on 4:4:4;
//	         YCbCr, RGB, CMYK and YCCK       progressive, small files sequential
//	PNG      all kinds; APNG as a still      gray, palette, RGB, RGBA; 8 bits
//	GIF      still and animated              still and animated
//	WebP     still, lossy and lossless       lossless; lossy by Options.Encoders
//	AVIF     no                              by Options.Encoders
//	BMP      when in Options.Inputs          no
//	TIFF     when in Options.Inputs          no
//
// [FormatAuto] sends what takes the fewest bytes, each format weighed by its q-value
// in [Spec].Accept:
//
//	source                          candidates
//	JPEG, lossy WebP                JPEG and the encoders of Options.Encoders
//	drawing, or with transparency   PNG, WebP
//	photo without loss, opaque      PNG, WebP, JPEG
//	animated GIF                    GIF
//	any                             the source itself, see Optimizer.Process
//
// # Filters
//
//	FilterLanczos      photos made smaller; the sharpest, slight halos
//	FilterCatmullRom   as good for most photos, fewer halos, less to compute
//	FilterMitchell     photos made larger; soft, next to no halos
//	FilterLinear       quick and soft, no halos
//	FilterBox          large reductions of charts and dithered pictures
//	FilterNearest      pixel art and masks: makes no new colours
//
// The others are those of the module imaging, for whoever is used to them. Set
// [Spec].LinearLight for small bright things on dark ground, such as stars and lamps.
//
// # Coming from elsewhere
//
// From imaging: Resize(m, w, h, f) is Spec{Width: w, Height: h, Fit: FitFill, Filter: f},
// Fit is FitInside, Fill is FitCover with its Anchor, CropAnchor a Spec.Crop; enlarging
// needs AllowUpscale. Files go in and out instead of image.Image, orientation is
// always applied, and there are no blur, sharpen or colour effects.
//
// From bimg and govips: Options{Width, Height, Quality, Type} is a Spec with Format;
// Crop and Gravity are FitCover and Anchor, Embed is FitContain, Enlarge is
// AllowUpscale, Force is FitFill, StripMetadata is what always happens, Interlace what
// JPEGs are anyway. There is no watermark and no SVG, HEIF or PDF.
//
// From next/image: [Handler] takes the same url, w and q, and refuses what is not in
// HandlerOptions.Widths (deviceSizes and imageSizes) and Qualities. remotePatterns are
// RemoteOptions.Hosts, minimumCacheTTL is MaxAge, <Image> is [Picture], placeholder="blur"
// is [Optimizer.Placeholder] with PlaceholderLQIP. Nothing is written to disk:
// HandlerOptions.Cache keeps what you let it.
//
// # Limits
//
// Animation survives from GIF to GIF only; other results show the first frame, as
// do results of an animated PNG. Results have 8 bits per channel. Matrix ICC
// profiles (Display P3, Adobe RGB, ProPhoto) are converted to sRGB; pictures under
// other profiles are taken as they are, unless MetadataKeepICC keeps the profile. The
// chunks gAMA, cHRM and cICP of a PNG are not looked at. Of metadata survives what [Spec].Metadata
// says, and never a GPS position, unless the whole block is Disabled. Pictures in XYB
// colours are refused; those with a gain map come out as their base picture.
// Lossless WebP has no entropy image and no cross-colour transform. JPEG in gray and
// YCbCr is decoded here and looks at the context for each row of blocks; the decoders
// of image/jpeg (RGB and inks), image/png, image/gif and golang.org/x/image do the
// rest, so a cancelled context is seen when they read on, not inside their computing.
// Importing this package registers formats with package image, as those decoders do in
// any program; this package itself never asks that registry. A JPEG of more than 100 scans is refused.
//
// # Background
//
// Content negotiation follows RFC 9110 §12.5.1, orientation Exif 2.32, animation
// the GIF89a specification. Filters and anchors are those of
// github.com/disintegration/imaging. BlurHash is by Wolt, ThumbHash by Evan
// Wallace. The parameters of [Handler] are those of next/image.
package imageopt
