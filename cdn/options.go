package cdn

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// Options configures an [Uploader]. The zero value works: no fallback, 64 MiB of
// buffers, 3 attempts within 10 seconds. New copies what it keeps.
type Options struct {
	// Name labels metrics and log lines. Default "cdn".
	Name string
	// Fallback takes an upload when the provider is unavailable, and holds it until
	// [Uploader.Promote] or [Uploader.Run] has moved it. Nil: the error surfaces.
	// The Uploader does not close it; one Local serves one Uploader at a time.
	Fallback *Local
	// FallbackIf decides which provider errors fall back. Nil: [IsUnavailable], so
	// that configuration, authorization and validation errors surface. It is not
	// asked when the caller's own context has ended.
	FallbackIf func(error) bool
	// MaxWait bounds how long one call waits for the provider, all attempts
	// together; then the upload falls back or fails. An upload over 1 MiB gets one
	// second more for each 512 KiB that the provider has taken beyond that, but never
	// waits longer than MaxWait after the provider has last taken any of it. Reading
	// the caller's body does not count. A reader from Open waits as long for its next
	// bytes. Of an upload in parts each part is bounded so, by itself. Default 10 s;
	// negative: no bound.
	MaxWait time.Duration
	// MaxBytes bounds one upload, in bytes; beyond it is ErrTooLarge. Default 1 GiB;
	// negative: no bound.
	MaxBytes int64
	// MaxMemory bounds the buffers that hold bodies and parts of all uploads together, in bytes.
	// What does not fit is spooled to disk; an upload then copies with a chunk of up to
	// 128 KiB that is not counted. Default 64 MiB, at least 32 KiB.
	MaxMemory int64
	// PartSize is the size of the parts, all but the last, in which content of more
	// than two parts is sent to a [Multiparter], in bytes, and streams under an explicit
	// key of more than one. It grows where a provider's limits want that. Default a
	// sixth of MaxMemory in whole MiB, within 5 MiB to 8 MiB; at least 5 MiB.
	PartSize int64
	// PartWorkers is how many parts of one upload are sent at once, where the provider
	// takes more than one. Default 4.
	PartWorkers int
	// TempDir is where bodies are spooled when there is no Fallback (with one, its
	// directory is used) or the Fallback's disk takes no more. Default os.TempDir().
	TempDir string
	// AllowTypes lists the media types to accept, such as "image/*" or
	// "application/pdf". A wildcard does not admit types that browsers run, such as
	// image/svg+xml; those must be named. Empty: all. UploadOptions.AllowTypes
	// narrows it further.
	AllowTypes []string
	// Retry configures repeated attempts; the Uploader is their only owner.
	Retry RetryOptions
	// Retain is how long a local copy is kept after its promotion was verified.
	// Default 1 minute; negative: none.
	Retain time.Duration
	// Concurrency is how many promotions run at once. Default 4.
	Concurrency int
	// Process applies UploadOptions.Quality and Format when the provider is no
	// [Transformer]: it reads an image from r, writes the rendition to w and tells
	// its media type. It is called on the goroutine of Upload.
	Process func(ctx context.Context, w io.Writer, r io.Reader, t Transform) (contentType string, err error)
	// ImageURL is the address of an image endpoint for [Uploader.URL] with a Transform
	// when the provider is no [Transformer], such as
	// "/img?src={url}&w={width}&q={quality}". {url} is the escaped address of the original
	// and {key} the key, escaped but for its slashes; one of them is needed. {width},
	// {height}, {quality}, {format} and {fit} are empty where the Transform is zero.
	ImageURL string
	// Purge makes the provider's edge forget a key that UploadOptions.Key names after
	// each upload and promotion under it, and every key after its Delete. It costs one
	// more request each time, for which CloudFront may charge, and waits at most MaxWait
	// for it. Result.Unpurged and the error of Delete tell when it failed; a process that
	// is killed in between does not ask. It needs a provider that can purge; see
	// [Uploader.Purge].
	Purge bool
	// Hooks observes the work; see [Hooks].
	Hooks Hooks
	// Logger reports failed promotions, which nobody else receives. Nil: silent.
	Logger *slog.Logger
	// Disabled makes every call one plain attempt at the provider: no retry, no
	// verification, no fallback. Limits and type checks still hold.
	Disabled bool
}

// RetryOptions configures repeated attempts at the provider. Waits are drawn
// uniformly between zero and an exponentially growing bound (full jitter).
type RetryOptions struct {
	// MaxAttempts counts the first one too. Default 3; 1 turns retries off.
	MaxAttempts int
	// BaseDelay bounds the wait before the second attempt. Default 200 ms.
	BaseDelay time.Duration
	// MaxDelay bounds every wait that the provider did not ask for. Default 5 s.
	// A Retry-After is waited out in full if it ends within MaxWait; otherwise
	// there is no further attempt. Nor is there one, with a Fallback, when the
	// provider's HTTP client refuses to send and its error has a RetryAfter method, as
	// that of an open circuit breaker.
	MaxDelay time.Duration
}

// UploadOptions configures one upload. The zero value stores the content under a
// name derived from it, cacheable for ever.
type UploadOptions struct {
	// Key is the full key to store under; an existing object is replaced. Empty:
	// Folder + "/" + 32 hex digits of the content's hash + "-" + slug of the name +
	// extension, which makes equal uploads share one object.
	Key string
	// Folder prefixes a derived key, such as "avatars/2026". Ignored with Key.
	Folder string
	// CreateOnly refuses, with ErrExists, a Key that is taken by other content, as
	// far as the provider can tell. Derived keys are always create-only.
	CreateOnly bool
	// Dedupe asks the provider first whether it has the object (one more request),
	// and sends nothing if so. It applies to derived keys.
	Dedupe bool
	// ContentType is the media type that the caller claims. It is checked against
	// the content; empty: found by content and extension.
	ContentType string
	// CacheControl and Disposition become headers of the object. An empty
	// CacheControl is "public, max-age=31536000, immutable" for derived keys.
	CacheControl, Disposition string
	// Metadata is stored with the object where the provider can. Upload copies it
	// and makes the keys lower case. Keys are letters, digits, "-" and "_"; values are
	// UTF-8 without control characters, as are CacheControl and Disposition.
	Metadata map[string]string
	// MaxBytes bounds this upload if it is positive and below Options.MaxBytes.
	MaxBytes int64
	// AllowTypes narrows Options.AllowTypes for this upload. Empty: no change.
	AllowTypes []string
	// Size is the announced length in bytes: a body that ends before or goes on
	// after it is ErrTruncated or ErrTooLarge. Zero: not announced.
	Size int64
	// SHA256 is the expected hash; other content is ErrChecksum. Zero: not known.
	SHA256 [32]byte
	// Quality (1 to 100) and Format ("jpeg", "png", "webp", "avif", "auto") ask for a
	// rendition, by the provider if it is a [Transformer], else by Options.Process.
	// Without either they are ErrOptions.
	Quality int
	Format  string // "": as it is
	// NoFallback makes this upload fail rather than fall back.
	NoFallback bool
	// Progress is told at most ten times a second how many bytes the provider has taken,
	// and at the end that it was all; it never goes back. total is -1 while the length is
	// not known. It is called on one goroutine at a time, not always the same.
	Progress func(sent, total int64)
}

// Result describes an acknowledged upload: it is readable under Key from now on.
type Result struct {
	// Key is stable: promotion does not change it. Keep it, not the URL.
	Key string
	// URL is where the public reads it now: the provider's address, or the Local
	// one, which redirects after promotion.
	URL string
	// Provider names who holds it: the provider's name, or "local".
	Provider string
	// Handle is the provider's own locator, for calls to the provider itself.
	Handle string
	// Fallback is why it was stored locally; nil when the provider has it.
	Fallback error
	// Unpurged is why Options.Purge has not reached the edge, which may serve what was
	// there before for a while; nil when it has, or was not needed.
	Unpurged error
	// Deduped is set when equal content was there already and none was sent.
	Deduped bool
	Size    int64 // bytes stored
	// SHA256 is of what was sent. It is zero for a stream that went in parts while it was
	// read, each under its CRC-32C, unless UploadOptions.SHA256 told it.
	SHA256      [32]byte
	ContentType string        // as decided by content, name and claim
	ETag        string        // the holder's
	Attempts    int           // attempts at the provider
	Elapsed     time.Duration // of the whole call
}

// Hooks is a set of optional callbacks. They run on the goroutine that did the
// work, outside all locks, and must not block, nor call Close or Shutdown, which wait
// for it. Fields may be added in any release.
type Hooks struct {
	// Attempt is called after each call to the provider.
	Attempt func(AttemptEvent)
	// Fallback is called when an upload was acknowledged from local disk.
	Fallback func(FallbackEvent)
	// Promoted is called when a pending object was verified at the provider.
	Promoted func(PromoteEvent)
	// Dead is called when a pending object was given up; it stays readable.
	Dead func(PromoteEvent)
}

// AttemptEvent is one call to the provider. Bytes is what was sent or zero.
type AttemptEvent struct {
	Provider, Op, Key string        // such as "s3", "put", "photos/1.jpg"
	Attempt           int           // from 1
	Bytes             int64         // of the body
	Elapsed           time.Duration // of this attempt
	Err               error         // nil: it succeeded
}

// FallbackEvent is one upload that went to local disk because of Cause.
type FallbackEvent struct {
	Key   string // of the object
	Size  int64  // bytes
	Cause error  // what the provider said
}

// PromoteEvent is the end of a pending object. Age is the time since the upload;
// Err is nil for a promotion.
type PromoteEvent struct {
	Key  string        // of the object
	Size int64         // bytes
	Age  time.Duration // since the upload
	Err  error         // of the last attempt
}

// IsUnavailable reports whether err means that the provider cannot serve now, so
// that another place or time may: ErrUnavailable, ErrRateLimited, ErrChecksum and
// timeouts, but no refusal. It is the built-in rule for retries and fallback.
func IsUnavailable(err error) bool {
	if err == nil || isFinal(err) {
		return false
	}
	if errors.Is(err, ErrUnavailable) || errors.Is(err, ErrRateLimited) || errors.Is(err, ErrChecksum) {
		return true
	}
	_, timeout := errors.AsType[interface {
		error
		Timeout() bool
	}](err) // net.Error and context.DeadlineExceeded
	return timeout || errors.Is(err, io.ErrUnexpectedEOF)
}

// isFinal reports a refusal that repeats on every try.
func isFinal(err error) bool {
	return slices.ContainsFunc([]error{
		ErrOptions, ErrKey, ErrType, ErrTooLarge, ErrExists, ErrNotFound, ErrAuth, ErrInvalid, ErrClosed,
	}, func(k error) bool { return errors.Is(err, k) })
}

// withDefaults checks o and fills in what is zero.
func (o Options) withDefaults() (Options, error) {
	var errs []error
	bad := func(format string, a ...any) { errs = append(errs, fmt.Errorf(format, a...)) }
	if o.MaxMemory < 0 || o.MaxMemory > 0 && o.MaxMemory < minBuffer {
		bad("field MaxMemory: %d is under 32 KiB", o.MaxMemory)
	}
	if o.Concurrency < 0 || o.PartWorkers < 0 {
		bad("field Concurrency or PartWorkers: %d or %d is negative", o.Concurrency, o.PartWorkers)
	}
	if o.PartSize != 0 && o.PartSize < minPart {
		bad("field PartSize: %d is under 5 MiB", o.PartSize)
	}
	if r := o.Retry; r.MaxAttempts < 0 || r.BaseDelay < 0 || r.MaxDelay < 0 {
		bad("field Retry has a negative field")
	}
	for _, t := range o.AllowTypes {
		if !validPattern(t) {
			bad("field AllowTypes has %q, want type/subtype or type/*", t)
		}
	}
	if err := checkImageURL(o.ImageURL); err != nil {
		errs = append(errs, err)
	}
	if len(errs) > 0 {
		return o, fmt.Errorf("%w: %w", ErrOptions, errors.Join(errs...))
	}
	setDefault(&o.Name, "cdn")
	setDefault(&o.MaxWait, 10*time.Second)
	setDefault(&o.MaxBytes, 1<<30)
	setDefault(&o.MaxMemory, 64<<20)
	setDefault(&o.PartSize, min(max(o.MaxMemory/6&^(1<<20-1), minPart), 8<<20))
	setDefault(&o.PartWorkers, 4)
	setDefault(&o.TempDir, os.TempDir())
	setDefault(&o.Retry.MaxAttempts, 3)
	setDefault(&o.Retry.BaseDelay, 200*time.Millisecond)
	setDefault(&o.Retry.MaxDelay, 5*time.Second)
	setDefault(&o.Retain, time.Minute)
	setDefault(&o.Concurrency, 4)
	if o.FallbackIf == nil {
		o.FallbackIf = IsUnavailable
	}
	o.AllowTypes = slices.Clone(o.AllowTypes)
	return o, nil
}

// check reports what is wrong with o; folder and key are checked with the key.
func (o UploadOptions) check() error {
	var errs []error
	if o.Quality < 0 || o.Quality > 100 {
		errs = append(errs, fmt.Errorf("field Quality: %d is not within 0 to 100", o.Quality))
	}
	if !slices.Contains([]string{"", "jpeg", "png", "webp", "avif", "auto"}, o.Format) {
		errs = append(errs, fmt.Errorf("field Format: %q is unknown", o.Format))
	}
	if o.Size < 0 || o.MaxBytes < 0 {
		errs = append(errs, errors.New("field Size or MaxBytes is negative"))
	}
	errs = append(errs, o.checkHeaders()...)
	for _, t := range o.AllowTypes {
		if !validPattern(t) {
			errs = append(errs, fmt.Errorf("field AllowTypes has %q, want type/subtype or type/*", t))
		}
	}
	if len(errs) > 0 {
		return fmt.Errorf("%w: %w", ErrOptions, errors.Join(errs...))
	}
	return nil
}

// checkHeaders refuses what could not be sent, or not be kept, as it is.
func (o UploadOptions) checkHeaders() (errs []error) {
	if !isText(o.CacheControl) || !isText(o.Disposition) {
		errs = append(errs, errors.New("field CacheControl or Disposition has a control character"))
	}
	seen := make(map[string]bool, len(o.Metadata))
	for k, v := range o.Metadata {
		lower := strings.ToLower(k)
		bad := strings.IndexFunc(lower, func(r rune) bool {
			return (r < 'a' || r > 'z') && (r < '0' || r > '9') && r != '-' && r != '_'
		}) >= 0
		if k == "" || bad || seen[lower] || !isText(v) {
			errs = append(errs, fmt.Errorf("field Metadata: entry %q cannot be kept", k))
		}
		seen[lower] = true
	}
	return errs
}

// isText reports valid UTF-8 without control characters.
func isText(s string) bool {
	return utf8.ValidString(s) && strings.IndexFunc(s, unicode.IsControl) < 0
}

func setDefault[T comparable](p *T, v T) {
	var zero T
	if *p == zero {
		*p = v
	}
}

func validPattern(t string) bool {
	_, err := path.Match(t, "")
	typ, sub, ok := strings.Cut(t, "/")
	return err == nil && ok && typ != "" && sub != "" && !strings.Contains(sub, "/") && t == strings.ToLower(t)
}
