package imageopt

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
)

// Sentinels for errors.Is. Details come by errors.As: [LimitError] with
// ErrTooLarge, [DecodeError] with ErrUnsupported, ErrCorrupt and ErrTruncated,
// [BusyError] with ErrBusy.
var (
	// ErrOptions matches every error about a bad field of [Options], [Spec],
	// [Picture] or [HandlerOptions]. The message names all bad fields at once.
	ErrOptions = errors.New("imageopt: invalid options")
	// ErrTooLarge matches a source or a wanted result over a limit: bytes, pixels,
	// frames, scans, output side, or a job that alone needs more than Options.MaxMemory.
	ErrTooLarge = errors.New("imageopt: image too large")
	// ErrUnsupported matches a format or a variety of it that is not decoded (an
	// animated WebP, a lossless JPEG), not allowed, or that has no encoder.
	ErrUnsupported = errors.New("imageopt: unsupported image")
	// ErrCorrupt matches data that breaks the rules of its format. It also stands
	// for a decoder that panicked.
	ErrCorrupt = errors.New("imageopt: corrupt image")
	// ErrTruncated matches data that ends before the picture does.
	ErrTruncated = errors.New("imageopt: truncated image")
	// ErrBusy matches a job that was not admitted: the queue was full or
	// Options.MaxWait passed. Trying again later can work.
	ErrBusy = errors.New("imageopt: busy")
)

// LimitError tells which limit a source or a spec ran into. It matches
// [ErrTooLarge]. Nothing was allocated for the picture when it is returned.
type LimitError struct {
	// Limit names the limit: "bytes", "pixels", "frames", "frame pixels",
	// "output side", "memory", "target bytes" for a Spec.TargetBytes that even quality
	// 1 does not meet, or "scans" for a progressive JPEG of more than 100,
	// which would keep the decoder busy for hours.
	Limit string
	// Got is what the source or spec asks for, in the unit of the limit. Where
	// reading stopped early (bytes) it is the first value known to be too much; for
	// target bytes it is the length at quality 1.
	Got int64
	// Max is the limit that was set.
	Max int64
}

// Error gives the limit and both numbers.
func (e *LimitError) Error() string {
	return fmt.Sprintf("imageopt: image too large: %s %d over the limit %d", e.Limit, e.Got, e.Max)
}

// Is reports whether target is [ErrTooLarge].
func (e *LimitError) Is(target error) bool { return target == ErrTooLarge }

// DecodeError tells why a source could not be decoded. It matches exactly one of
// [ErrUnsupported], [ErrCorrupt] and [ErrTruncated], and unwraps to the cause.
type DecodeError struct {
	// Format is what the first bytes say, or FormatAuto when they say nothing.
	Format Format
	// Kind is ErrUnsupported, ErrCorrupt or ErrTruncated.
	Kind error
	// Err is the decoder's own error. It may be nil.
	Err error
}

// Error gives the format, the kind and the cause. It holds no image data.
func (e *DecodeError) Error() string {
	name := "unknown format"
	if e.Format != FormatAuto {
		name = e.Format.String()
	}
	kind := strings.TrimPrefix(e.Kind.Error(), "imageopt: ")
	if e.Err == nil {
		return fmt.Sprintf("imageopt: decode %s: %s", name, kind)
	}
	return fmt.Sprintf("imageopt: decode %s: %s: %v", name, kind, e.Err)
}

// Is reports whether target is the error's Kind.
func (e *DecodeError) Is(target error) bool { return target == e.Kind }

// Unwrap returns the decoder's own error.
func (e *DecodeError) Unwrap() error { return e.Err }

// BusyError tells that a job was not admitted. It matches [ErrBusy].
type BusyError struct {
	// Waiting is the number of jobs in the queue at that moment.
	Waiting int
	// Need is the memory that the job asked for, in bytes.
	Need int64
	// After is the advised pause before another try.
	After time.Duration
}

// Error gives the length of the queue and the need of the job.
func (e *BusyError) Error() string {
	return fmt.Sprintf("imageopt: busy: job of %d bytes not admitted, %d waiting", e.Need, e.Waiting)
}

// Is reports whether target is [ErrBusy].
func (e *BusyError) Is(target error) bool { return target == ErrBusy }

// RetryAfter returns the advised pause before another try, as retry policies
// and HTTP handlers ask for it. It is at least one second.
func (e *BusyError) RetryAfter() time.Duration { return max(e.After, time.Second) }

// fieldErrors gathers the complaints about one value.
type fieldErrors []string

func (f *fieldErrors) addf(format string, args ...any) {
	*f = append(*f, fmt.Sprintf(format, args...))
}

func (f *fieldErrors) check(ok bool, format string, args ...any) {
	if !ok {
		f.addf(format, args...)
	}
}

func (f fieldErrors) err() error {
	if len(f) == 0 {
		return nil
	}
	return fmt.Errorf("%w: %s", ErrOptions, strings.Join(f, "; "))
}

func corrupt(f Format, err error) error { return &DecodeError{Format: f, Kind: ErrCorrupt, Err: err} }
func truncated(f Format, err error) error {
	return &DecodeError{Format: f, Kind: ErrTruncated, Err: err}
}
func unsupported(f Format, err error) error {
	return &DecodeError{Format: f, Kind: ErrUnsupported, Err: err}
}

// ctxError returns an error that matches ctx.Err and carries its cause.
func ctxError(ctx context.Context) error {
	err, cause := ctx.Err(), context.Cause(ctx)
	if cause == nil || errors.Is(cause, err) && cause == err {
		return fmt.Errorf("imageopt: %w", err)
	}
	return fmt.Errorf("imageopt: %w: %w", err, cause)
}

// decoderError sorts an error of one of the named decoders.
func decoderError(ctx context.Context, f Format, err error) error {
	if ctx.Err() != nil {
		return ctxError(ctx)
	}
	if _, ok := errors.AsType[*DecodeError](err); ok {
		return err
	}
	// Several decoders print the reader's error instead of wrapping it, so the
	// text is the only trace of a stream that ended early.
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || strings.HasSuffix(err.Error(), "EOF") {
		return truncated(f, err)
	}
	if isUnsupported(err) {
		return unsupported(f, err)
	}
	return corrupt(f, err)
}
