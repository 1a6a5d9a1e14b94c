package imageopt

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"html/template"
	"io"
	"io/fs"
	"iter"
	"math"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

type handlerCounters struct {
	requests, hits, made, shared, notModified  atomic.Uint64
	rejected, notFound, busy, canceled, failed atomic.Uint64
	sent                                       atomic.Int64
}

type fsSource struct{ fsys fs.FS }

// Open opens a regular file; everything else does not exist.
func (s fsSource) Open(ctx context.Context, name string) (io.ReadCloser, SourceInfo, error) {
	name = strings.TrimPrefix(name, "/")
	if !fs.ValidPath(name) || ctx.Err() != nil {
		return nil, SourceInfo{}, fs.ErrNotExist
	}
	if stat, ok := s.fsys.(fs.StatFS); ok { // opening a named pipe would wait for its other end
		if st, err := stat.Stat(name); err == nil && !st.Mode().IsRegular() {
			return nil, SourceInfo{}, fs.ErrNotExist
		}
	}
	f, err := s.fsys.Open(name)
	if err != nil {
		return nil, SourceInfo{}, err
	}
	st, err := f.Stat()
	if err != nil || !st.Mode().IsRegular() {
		return nil, SourceInfo{}, errors.Join(fs.ErrNotExist, f.Close())
	}
	var i SourceInfo
	if !st.ModTime().IsZero() {
		i.Version = fmt.Sprintf("%d-%d", st.ModTime().UnixNano(), st.Size())
	}
	return f, i, nil
}

func newHandler(o *Optimizer, src Source, opts HandlerOptions) (*Handler, error) {
	var bad fieldErrors
	bad.check(o != nil, "Optimizer is nil")
	bad.check(src != nil && src != Source(fsSource{}), "Source is nil")
	maxSide := maxOutputSide
	if o != nil {
		maxSide = o.opts.Limits.OutputSide
	}
	if len(opts.Widths) == 0 {
		opts.Widths = []int{64, 128, 256, 320, 384, 480, 640, 750, 828, 960, 1080, 1200, 1280, 1600, 1920, 2048, 2560, 3840}
		opts.Widths = slices.DeleteFunc(opts.Widths, func(w int) bool { return w > maxSide })
	}
	if len(opts.Qualities) == 0 {
		opts.Qualities = []int{80, 50, 75, 90}
	}
	opts.Widths, opts.Qualities = slices.Clone(opts.Widths), slices.Clone(opts.Qualities)
	opts.Secret = bytes.Clone(opts.Secret)
	bad.check(len(opts.Widths) > 0, "Widths: none is within Limits.OutputSide %d", maxSide)
	for _, w := range opts.Widths {
		bad.check(w > 0 && w <= maxSide, "Widths: %d is not in 1..%d", w, maxSide)
	}
	for _, q := range opts.Qualities {
		bad.check(q > 0 && q <= 100, "Qualities: %d is not in 1..100", q)
	}
	bad.check(opts.Secret == nil || len(opts.Secret) >= 16, "Secret is shorter than 16 bytes")
	setDefaultString(&opts.Path, "/img/")
	bad.check(safeURL(opts.Path) && !strings.ContainsAny(opts.Path, "?#"), "Path %q is not a path", opts.Path)
	setDefaultString(&opts.Name, "imageopt")
	bad.check(strings.ToValidUTF8(opts.Name, "") == opts.Name, "Name is not UTF-8")
	if opts.MaxAge == 0 {
		opts.MaxAge = 4 * time.Hour
	}
	opts.Spec.validate(&bad, maxSide)
	bad.check(o == nil || o.opts.Disabled || opts.Spec.Format == FormatAuto || o.encodes(opts.Spec.Format),
		"Spec: no encoder for %v", opts.Spec.Format)
	if err := bad.err(); err != nil {
		return nil, err
	}
	h := &Handler{o: o, src: src, opts: opts, base: opts.Name + "\n" + opts.Spec.key()}
	h.flights.init()
	return h, nil
}

func setDefaultString(p *string, v string) {
	if *p == "" {
		*p = v
	}
}

// request is a request whose parameters have been checked.
type request struct {
	name string
	spec Spec
	key  string // of the result but for the source's version
}

// httpError is an error with the status it becomes.
type httpError struct {
	status int
	title  string
}

// Error returns the title, which holds nothing of the request.
func (e *httpError) Error() string { return e.title }

func (h *Handler) parse(r *http.Request) (request, error) {
	if len(r.URL.RawQuery) > 4096 {
		return request{}, &httpError{http.StatusRequestURITooLong, "query too long"}
	}
	q, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return request{}, &httpError{http.StatusBadRequest, "malformed query"}
	}
	for _, k := range []string{"url", "w", "q", "s"} {
		if len(q[k]) > 1 {
			return request{}, &httpError{http.StatusBadRequest, "parameter " + k + " is there twice"}
		}
	}
	name := q.Get("url")
	urls, _ := h.src.(interface{ OpensURLs() bool })
	away := strings.Contains(name, "://") || strings.HasPrefix(name, "//")
	if name == "" || strings.ContainsRune(name, 0) || away && (urls == nil || !urls.OpensURLs()) {
		return request{}, &httpError{http.StatusBadRequest, "url must name a picture of this site"}
	}
	w, err := strconv.Atoi(q.Get("w"))
	if err != nil || !slices.Contains(h.opts.Widths, w) {
		return request{}, &httpError{http.StatusBadRequest, "w is not one of the widths on offer"}
	}
	quality := h.opts.Qualities[0]
	if s := q.Get("q"); s != "" {
		if quality, err = strconv.Atoi(s); err != nil || !slices.Contains(h.opts.Qualities, quality) {
			return request{}, &httpError{http.StatusBadRequest, "q is not one of the qualities on offer"}
		}
	}
	if h.opts.Secret != nil {
		got, err := base64.RawURLEncoding.DecodeString(q.Get("s"))
		if err != nil || !hmac.Equal(got, h.sign(name, w, quality)) {
			return request{}, &httpError{http.StatusForbidden, "signature does not match"}
		}
	}
	req := request{name: name, spec: h.opts.Spec}
	req.spec.Width, req.spec.Quality = w, quality
	if req.spec.Format == FormatAuto {
		// The header is brought to one of few forms, so that the cache is not
		// filled with one result for each way to write it.
		req.spec.Accept = parseAccept(strings.Join(r.Header.Values("Accept"), ",")).coarse(h.o.encodes).header()
	}
	req.key = fmt.Sprintf("%s\n%d\n%d\n%s\n%s", name, w, quality, req.spec.Accept, h.base)
	return req, nil
}

func (h *Handler) sign(name string, w, q int) []byte {
	m := hmac.New(sha256.New, h.opts.Secret)
	fmt.Fprintf(m, "%d\n%d\n%s", w, q, name)
	return m.Sum(nil)
}

func (h *Handler) url(src string, width, quality int) string {
	if quality == 0 {
		quality = h.opts.Qualities[0]
	}
	s := fmt.Sprintf("%s?url=%s&w=%d&q=%d", h.opts.Path, url.QueryEscape(src), width, quality)
	if h.opts.Secret != nil {
		s += "&s=" + base64.RawURLEncoding.EncodeToString(h.sign(src, width, quality))
	}
	return s
}

func (h *Handler) html(p Picture) (template.HTML, error) {
	var bad fieldErrors
	bad.check(p.Quality == 0 || slices.Contains(h.opts.Qualities, p.Quality), "Quality %d is not on offer", p.Quality)
	for _, w := range p.Widths {
		bad.check(slices.Contains(h.opts.Widths, w), "Widths: %d is not on offer", w)
	}
	if err := bad.err(); err != nil {
		return "", err
	}
	if len(p.Widths) == 0 {
		p.Widths = h.opts.Widths
	}
	return p.HTML(func(src string, width int) string { return h.url(src, width, p.Quality) })
}

func (h *Handler) close() error {
	h.flights.close()
	return nil
}

func (h *Handler) serve(w http.ResponseWriter, r *http.Request) {
	h.stats.requests.Add(1)
	hd := w.Header()
	hd.Set("X-Content-Type-Options", "nosniff")
	hd.Set("Content-Security-Policy", "default-src 'none'; sandbox")
	if h.opts.Spec.Format == FormatAuto {
		hd.Add("Vary", "Accept")
	}
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		hd.Set("Allow", "GET, HEAD")
		h.fail(w, r, &httpError{http.StatusMethodNotAllowed, "only GET and HEAD"})
		return
	}
	req, err := h.parse(r)
	if err != nil {
		h.fail(w, r, err)
		return
	}
	res, err := h.find(r, req)
	if errors.Is(err, errChanged) {
		res, err = h.find(r, req) // the source knows the new version now
	}
	if err != nil {
		h.fail(w, r, err)
		return
	}
	hd.Set("ETag", res.etag)
	if h.opts.MaxAge > 0 {
		hd.Set("Cache-Control", "public, max-age="+strconv.FormatInt(int64(math.Ceil(h.opts.MaxAge.Seconds())), 10))
	} else {
		hd.Set("Cache-Control", "no-cache")
	}
	if res.notModified {
		h.stats.notModified.Add(1)
		w.WriteHeader(http.StatusNotModified)
		return
	}
	hd.Set("Content-Type", Sniff(res.data).ContentType())
	hd.Set("Content-Length", strconv.Itoa(len(res.data)))
	if r.Method == http.MethodHead {
		return
	}
	n, _ := w.Write(res.data)
	h.stats.sent.Add(int64(n))
}

type reply struct {
	data        []byte
	etag        string
	notModified bool
}

// find opens the source, and takes the result from the client, the cache, a job in
// flight or a new one.
func (h *Handler) find(r *http.Request, req request) (reply, error) {
	f, version, err := h.open(r.Context(), req.name)
	if err != nil {
		return reply{}, err
	}
	defer f.Close()
	if version == "" {
		if version, err = f.hash(h.o); err != nil {
			return reply{}, err
		}
	}
	sum := sha256.Sum256([]byte(version + "\n" + req.key))
	key := "imageopt:" + base64.RawURLEncoding.EncodeToString(sum[:18])
	// Weak, because another release may encode the same picture in other bytes.
	rep := reply{etag: `W/"` + key[len("imageopt:"):] + `"`}
	if matches(r.Header.Values("If-None-Match"), rep.etag) {
		rep.notModified = true
		return rep, nil
	}
	if h.opts.Cache != nil {
		if data, ok := h.opts.Cache.Get(key); ok && Sniff(data) != FormatAuto {
			h.stats.hits.Add(1)
			rep.data = data
			return rep, nil
		}
	}
	data, shared, err := h.flights.do(r.Context(), key, func() makeFunc {
		mine := f.take()
		if mine == nil {
			return nil
		}
		return func(ctx context.Context) ([]byte, error) { return h.make(ctx, key, mine, req) }
	})
	if err == nil {
		if shared {
			h.stats.shared.Add(1)
		} else {
			h.stats.made.Add(1)
		}
	}
	rep.data = data
	return rep, err
}

func (h *Handler) make(ctx context.Context, key string, f *opened, req request) ([]byte, error) {
	defer f.Close()
	defer context.AfterFunc(ctx, f.cancel)()
	var b bytes.Buffer
	if _, err := h.o.Process(ctx, &b, f.reader(), req.spec); err != nil {
		return nil, err
	}
	if h.opts.Cache != nil {
		_ = h.opts.Cache.Set(key, b.Bytes()) // a cache that refuses costs time only
	}
	return b.Bytes(), nil
}

// opened is a source that is closed by whoever has it last.
type opened struct {
	rc     io.ReadCloser
	read   *source            // set when it was read for its hash
	cancel context.CancelFunc // ends the context that it was opened with
	untie  func() bool        // takes that context off the request's; false: too late
}

// open opens a source under a context that ends with the request, until a job takes
// the source over.
func (h *Handler) open(ctx context.Context, name string) (f *opened, version string, err error) {
	own, cancel := context.WithCancel(context.WithoutCancel(ctx))
	f = &opened{cancel: cancel, untie: context.AfterFunc(ctx, cancel)}
	rc, info, err := h.src.Open(own, name)
	if err == nil && rc == nil {
		err = errors.New("imageopt: source opened without a reader")
	}
	if err != nil {
		f.untie()
		cancel()
		return nil, "", err
	}
	f.rc = rc
	return f, info.Version, nil
}

// hash reads the source for a version of its own. What cannot seek is kept.
func (f *opened) hash(o *Optimizer) (string, error) {
	limit := o.opts.Limits.Bytes
	if !seeks(f.rc) {
		f.read = &source{rest: f.rc, queue: o.queue}
		if err := f.read.load(limit); err != nil {
			return "", err
		}
		sum := sha256.Sum256(f.read.data)
		return string(sum[:]), nil
	}
	s := f.rc.(io.Seeker)
	start, err := s.Seek(0, io.SeekCurrent)
	if err != nil {
		return "", err
	}
	sum := sha256.New()
	n, err := io.Copy(sum, io.LimitReader(f.rc, limit+1))
	if err == nil && n > limit {
		err = &LimitError{Limit: "bytes", Got: n, Max: limit}
	}
	if err == nil {
		_, err = s.Seek(start, io.SeekStart)
	}
	return string(sum.Sum(nil)), err
}

// take hands the source to a job; nil when its context has ended with the request.
func (f *opened) take() *opened {
	if !f.untie() {
		return nil
	}
	t := *f
	f.rc = nil
	return &t
}

func (f *opened) reader() io.Reader {
	if f.read != nil {
		return bytes.NewReader(f.read.data)
	}
	return f.rc
}

// Close closes the source unless it was taken.
func (f *opened) Close() error {
	if f.rc == nil {
		return nil
	}
	f.untie()
	defer f.cancel()
	if f.read != nil {
		f.read.drop()
	}
	return f.rc.Close()
}

// matches reports whether If-None-Match names etag, compared weakly.
func matches(values []string, etag string) bool {
	for _, v := range values {
		for part := range strings.SplitSeq(v, ",") {
			part = strings.Trim(part, " \t")
			if part == "*" || strings.TrimPrefix(part, "W/") == strings.TrimPrefix(etag, "W/") {
				return true
			}
		}
	}
	return false
}

func (h *Handler) fail(w http.ResponseWriter, r *http.Request, err error) {
	status, title := http.StatusInternalServerError, "internal error"
	count := &h.stats.failed
	he, _ := errors.AsType[*httpError](err)
	switch {
	case he != nil:
		status, title = he.status, he.title
		if status < http.StatusInternalServerError {
			count = &h.stats.rejected
		}
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, fs.ErrInvalid):
		status, title, count = http.StatusNotFound, "no such picture", &h.stats.notFound
	case errors.Is(err, ErrTooLarge):
		status, title = http.StatusRequestEntityTooLarge, "picture too large"
	case errors.Is(err, ErrUnsupported):
		status, title = http.StatusUnsupportedMediaType, "not a picture that can be shown"
	case errors.Is(err, ErrCorrupt), errors.Is(err, ErrTruncated):
		status, title = http.StatusUnprocessableEntity, "picture is damaged"
	case errors.Is(err, ErrBusy), errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		status, title, count = http.StatusServiceUnavailable, "busy", &h.stats.canceled
		if errors.Is(err, ErrBusy) {
			count = &h.stats.busy
		}
	}
	count.Add(1)
	if status == http.StatusServiceUnavailable {
		after := time.Second
		if ra, ok := errors.AsType[interface {
			error
			RetryAfter() time.Duration
		}](err); ok {
			after = ra.RetryAfter()
		}
		w.Header().Set("Retry-After", strconv.Itoa(int(math.Ceil(after.Seconds()))))
	}
	w.Header().Set("Content-Type", "application/problem+json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	body, _ := json.Marshal(map[string]any{"type": "about:blank", "title": title, "status": status})
	_, _ = w.Write(body)
	if f := h.opts.Hooks.Failed; f != nil {
		f(HandlerEvent{Request: r, Status: status, Err: err})
	}
}

func (h *Handler) snapshot() HandlerStats {
	c := &h.stats
	return HandlerStats{
		Requests: c.requests.Load(), Hits: c.hits.Load(), Made: c.made.Load(), Shared: c.shared.Load(),
		NotModified: c.notModified.Load(), Rejected: c.rejected.Load(), NotFound: c.notFound.Load(),
		Busy: c.busy.Load(), Canceled: c.canceled.Load(), Failed: c.failed.Load(), BytesSent: c.sent.Load(),
	}
}

func (h *Handler) metrics() iter.Seq2[string, float64] {
	return func(yield func(string, float64) bool) {
		s := h.snapshot()
		for _, m := range []struct {
			outcome string
			v       uint64
		}{
			{"hit", s.Hits}, {"made", s.Made}, {"shared", s.Shared}, {"not_modified", s.NotModified},
			{"rejected", s.Rejected}, {"not_found", s.NotFound}, {"busy", s.Busy}, {"canceled", s.Canceled}, {"failed", s.Failed},
		} {
			if !yield(metricName("imageopt_requests_total", "imageopt", h.opts.Name, "outcome", m.outcome), float64(m.v)) {
				return
			}
		}
		yield(metricName("imageopt_sent_bytes_total", "imageopt", h.opts.Name), float64(s.BytesSent))
	}
}
