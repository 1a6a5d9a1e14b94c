package imageopt

import (
	"context"
	"html/template"
	"io"
	"io/fs"
	"iter"
	"net/http"
	"time"
)

// Source opens originals for a [Handler] by the name in the url parameter. The
// name is untrusted. Open may be called from many goroutines; its error matches
// [fs.ErrNotExist] when there is no such picture, which becomes 404. The reader is
// closed after use. It may be bound to ctx, which is not the request's own: it lasts
// as long as anyone waits for the picture, and ends with the last client.
//
// A Handler refuses names that are absolute URLs with 400, unless the Source has the
// method OpensURLs() bool and it returns true, as that of [RemoteSource].
type Source interface {
	// Open returns the original's bytes from their beginning. A reader that can seek
	// is read inside the memory bound of the Optimizer.
	Open(ctx context.Context, name string) (io.ReadCloser, SourceInfo, error)
}

// SourceInfo describes an opened original.
type SourceInfo struct {
	// Version changes whenever the content does: a modification time with size, a
	// generation, a checksum. Empty means unknown; then every request reads and hashes
	// the content, and holds it meanwhile if the reader cannot seek; see
	// Options.MaxMemory.
	Version string
}

// Cache keeps finished files for a [Handler]; memory.Cache[string, []byte] fits.
// The bytes are shared: neither side changes them. An error of Set is ignored.
type Cache interface {
	// Get returns the bytes that were set for key, or false.
	Get(key string) ([]byte, bool)
	// Set keeps value for key as long as the cache likes; it may refuse.
	Set(key string, value []byte) error
}

// HandlerOptions configures a [Handler]. The zero value works.
type HandlerOptions struct {
	// Name is the label of this object in Metrics, and part of the keys in Cache:
	// handlers that share a Cache over different sources need different names.
	// Default "imageopt".
	Name string
	// Widths is the allow-list for w, in pixels. Default 64, 128, 256, 320, 384, 480,
	// 640, 750, 828, 960, 1080, 1200, 1280, 1600, 1920, 2048, 2560 and 3840.
	Widths []int
	// Qualities is the allow-list for q; the first is the default. Default 80, 50, 75
	// and 90.
	Qualities []int
	// Spec is what every result has in common: Fit, Filter, Background and so on.
	// Width, Quality and Accept of it are overwritten.
	Spec Spec
	// Secret, when set, makes every request carry s, an HMAC-SHA256 of the other
	// parameters, as [Handler.URL] writes it. At least 16 bytes.
	Secret []byte
	// Path is the path that URL and HTML write in front of the query. Default
	// "/img/".
	Path string
	// Cache keeps finished files. Nil means none.
	Cache Cache
	// MaxAge is how long clients may keep a result without asking. Default 4 hours;
	// negative makes them ask every time.
	MaxAge time.Duration
	// Hooks observes the handler. A nil func costs one branch.
	Hooks HandlerHooks
}

// HandlerEvent describes a request whose answer is an error, for [HandlerHooks].
type HandlerEvent struct {
	// Request is the request, for the duration of the call.
	Request *http.Request
	// Status is the HTTP status that the client got, 400 or above.
	Status int
	// Err is the cause, of which the client sees nothing but the status. It may hold
	// what the Source says.
	Err error
}

// HandlerHooks is a set of optional callbacks. They run on the goroutine of the
// request, outside all locks, and must be safe for concurrent use. Fields may be added.
type HandlerHooks struct {
	// Failed is called for each answer that is an error, after it was written.
	Failed func(HandlerEvent)
}

// Handler serves resized pictures over HTTP: GET ?url=NAME&w=WIDTH&q=QUALITY. It
// is an [http.Handler]. Make it with [NewHandler]; do not copy it.
type Handler struct {
	o    *Optimizer
	src  Source
	opts HandlerOptions // defaults filled in; never changes
	base string         // what all keys have in common

	flights flightGroup
	stats   handlerCounters
}

// NewHandler returns a Handler that makes pictures of src with o. Its error
// matches [ErrOptions] and names every bad field. It starts no goroutine;
// requests do.
func NewHandler(o *Optimizer, src Source, opts HandlerOptions) (*Handler, error) {
	return newHandler(o, src, opts)
}

// SourceFS returns a Source of the regular files in fsys. Names are cleaned of a
// leading slash and must be valid by [fs.ValidPath]; anything else does not exist.
// The version is the modification time and size, or unknown without a time. Links are
// followed as fsys does: [os.DirFS] follows them out of its folder, the FS of an
// [os.Root] does not.
func SourceFS(fsys fs.FS) Source { return fsSource{fsys} }

// ServeHTTP answers GET and HEAD. Equal requests in flight share one job; a job
// ends when all its clients have gone. Replies carry ETag, Vary: Accept,
// Cache-Control, nosniff and a CSP that forbids everything; errors are
// application/problem+json: 400 for bad parameters, 403 for a bad signature, 404,
// 413 too large, 415 unsupported, 422 corrupt, 503 with Retry-After when busy.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) { h.serve(w, r) }

// URL returns the address of a picture at a width in pixels and a quality, signed
// when there is a Secret. It does not check the allow-lists; quality 0 is the
// default.
func (h *Handler) URL(src string, width, quality int) string { return h.url(src, width, quality) }

// HTML returns p's element with addresses of this handler, signed if need be. A
// zero p.Quality is the handler's default; p.Widths, when set, and p.Quality must be
// on the allow-lists. The error matches [ErrOptions].
func (h *Handler) HTML(p Picture) (template.HTML, error) { return h.html(p) }

// Close refuses new requests with 503 and returns when running jobs have ended.
// It can be called again. It does not close the Optimizer, Source or Cache.
func (h *Handler) Close() error { return h.close() }

// Stats returns the counters as they are now.
func (h *Handler) Stats() HandlerStats { return h.snapshot() }

// HandlerStats counts requests of a [Handler] since NewHandler.
type HandlerStats struct {
	// Requests is all of them. Hits came from the Cache, Made from a job of their
	// own, Shared from the job of another request, NotModified had no body.
	Requests, Hits, Made, Shared, NotModified uint64
	// Rejected were refused by their parameters or signature, NotFound had no source,
	// Busy found the queue full, Canceled lost their client before the answer, Failed is
	// every other error.
	Rejected, NotFound, Busy, Canceled, Failed uint64
	// BytesSent is the sum of the bodies, in bytes.
	BytesSent int64
}

// Metrics yields the figures of Stats like [Optimizer.Metrics], such as
// `imageopt_requests_total{imageopt="avatars",outcome="hit"}`.
func (h *Handler) Metrics() iter.Seq2[string, float64] { return h.metrics() }
