package cdn

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"
)

const (
	defaultExpiry = 15 * time.Minute
	maxExpiry     = 7 * 24 * time.Hour
)

// signed is what a signed URL of a Local permits.
type signed struct {
	method, key, contentType string
	expires, size, most      int64 // size and most: 0 when they do not bind
}

// signature covers all of it, so that no part can be changed.
func (l *Local) signature(s signed) string {
	mac := hmac.New(sha256.New, l.opts.SignKey)
	fmt.Fprintf(mac, "%q %q %q %d %d %d", s.method, s.key, s.contentType, s.expires, s.size, s.most)
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

// signURL is the object's address with the permission.
func (l *Local) signURL(op string, s signed, life time.Duration) (string, time.Time, error) {
	setDefault(&life, defaultExpiry)
	switch {
	case len(l.opts.SignKey) == 0:
		return "", time.Time{}, l.opError(op, s.key, fmt.Errorf("%w: LocalOptions.SignKey is empty: %w", ErrInvalid, errors.ErrUnsupported))
	case life < time.Second || life > maxExpiry:
		return "", time.Time{}, l.opError(op, s.key, fmt.Errorf("%w: expiry %v is not in 1s to %v", ErrInvalid, life, maxExpiry))
	}
	plain, err := l.URL(Ref{Key: s.key})
	if err != nil {
		return "", time.Time{}, err
	}
	expires := time.Now().Add(life).Truncate(time.Second)
	s.expires = expires.Unix()
	q := url.Values{"expires": {strconv.FormatInt(s.expires, 10)}, "signature": {l.signature(s)}}
	if s.contentType != "" {
		q.Set("type", s.contentType)
	}
	if s.size > 0 {
		q.Set("size", strconv.FormatInt(s.size, 10))
	}
	if s.most > 0 {
		q.Set("max", strconv.FormatInt(s.most, 10))
	}
	return plain + "?" + q.Encode(), expires, nil
}

// PresignPut permits one client to PUT the object to the handler, as the clouds have it,
// for 15 minutes or req.Expiry up to 7 days. Without LocalOptions.SignKey it fails with
// an error matching [ErrInvalid] and errors.ErrUnsupported.
func (l *Local) PresignPut(ctx context.Context, req PresignRequest) (DirectUpload, error) {
	switch {
	case req.Size < 0 || req.MaxBytes < 0:
		return DirectUpload{}, l.opError("presign", req.Key, fmt.Errorf("%w: a size is negative", ErrInvalid))
	case req.MaxBytes > 0 && req.Size > req.MaxBytes:
		return DirectUpload{}, l.opError("presign", req.Key, fmt.Errorf("%w: %d bytes, over %d", ErrTooLarge, req.Size, req.MaxBytes))
	}
	s := signed{method: http.MethodPut, key: req.Key, contentType: req.ContentType, size: req.Size, most: req.MaxBytes}
	u, expires, err := l.signURL("presign", s, req.Expiry)
	if err != nil {
		return DirectUpload{}, err
	}
	up := DirectUpload{Method: http.MethodPut, URL: u, Header: map[string]string{}, Expires: expires}
	if req.ContentType != "" {
		up.Header["Content-Type"] = req.ContentType
	}
	return up, nil
}

// PresignGet is an address that reads the object for 15 minutes, or expiry up to 7 days,
// which a Local with LocalOptions.Private wants.
func (l *Local) PresignGet(ctx context.Context, ref Ref, expiry time.Duration) (string, error) {
	u, _, err := l.signURL("presign", signed{method: http.MethodGet, key: ref.Key}, expiry)
	return u, err
}

// permitted checks the permission that a request carries.
func (l *Local) permitted(r *http.Request, key string) (s signed, ok bool) {
	q := r.URL.Query()
	number := func(name string) int64 {
		n, err := strconv.ParseInt(q.Get(name), 10, 64)
		if err != nil || n < 0 {
			return 0
		}
		return n
	}
	s = signed{
		method: r.Method, key: key, contentType: q.Get("type"), expires: number("expires"), size: number("size"), most: number("max"),
	}
	if s.method == http.MethodHead {
		s.method = http.MethodGet
	}
	ok = len(l.opts.SignKey) > 0 && hmac.Equal([]byte(q.Get("signature")), []byte(l.signature(s)))
	return s, ok && time.Now().Unix() < s.expires
}

// cors answers browsers of other origins; done tells that it was all they asked.
func (l *Local) cors(w http.ResponseWriter, r *http.Request) (done bool) {
	if len(l.opts.AllowOrigins) == 0 {
		return false
	}
	h, origin := w.Header(), r.Header.Get("Origin")
	h.Add("Vary", "Origin")
	any := slices.Contains(l.opts.AllowOrigins, "*")
	if origin == "" || !any && !slices.Contains(l.opts.AllowOrigins, origin) {
		return false
	}
	if any {
		origin = "*"
	}
	h.Set("Access-Control-Allow-Origin", origin)
	h.Set("Access-Control-Expose-Headers", "ETag, Content-Length, Content-Range, Location")
	if r.Method != http.MethodOptions || r.Header.Get("Access-Control-Request-Method") == "" {
		return false
	}
	h.Set("Access-Control-Allow-Methods", "GET, HEAD, PUT, POST")
	h.Set("Access-Control-Allow-Headers", "Content-Type, Range, If-None-Match, If-Range")
	h.Set("Access-Control-Max-Age", "600")
	w.WriteHeader(http.StatusNoContent)
	return true
}

// receivePut takes a direct upload that PresignPut has permitted.
func (l *Local) receivePut(w http.ResponseWriter, r *http.Request, key string) {
	s, ok := l.permitted(r, key)
	if !ok {
		l.refuse(w, http.StatusForbidden)
		return
	}
	in := intake{
		key: key, claim: r.Header.Get("Content-Type"), body: r.Body, length: r.ContentLength, least: s.size, most: s.most,
	}
	if s.size > 0 {
		in.most = s.size
	}
	var e *entry
	err := fmt.Errorf("%w: not what was permitted", ErrType)
	if s.contentType == "" || in.claim == s.contentType {
		e, err = l.take(r.Context(), in)
	}
	if err != nil {
		l.refuseUpload(w, err)
		return
	}
	w.Header().Set("Etag", e.etag())
	w.WriteHeader(http.StatusOK)
}

// refuseUpload answers a direct upload that cannot be taken.
func (l *Local) refuseUpload(w http.ResponseWriter, err error) {
	status := http.StatusServiceUnavailable
	switch kindOf(err) {
	case ErrAuth:
		status = http.StatusForbidden
	case ErrTooLarge:
		status = http.StatusRequestEntityTooLarge
	case ErrType:
		status = http.StatusUnsupportedMediaType
	case ErrTruncated, ErrKey, ErrInvalid:
		status = http.StatusBadRequest
	case ErrLocalFull:
		status = http.StatusInsufficientStorage
	}
	l.refuse(w, status)
}

// intake is a direct upload that was permitted.
type intake struct {
	key, claim  string // claim is the media type that the client or the policy names
	body        io.Reader
	length      int64 // that the client announces; -1: none
	least, most int64 // bytes; 0: no bound
}

// take stores a direct upload. What a Local that is a Fallback takes is promoted like
// everything else there.
func (l *Local) take(ctx context.Context, in intake) (*entry, error) {
	done, err := l.begin("put", in.key)
	if err != nil {
		return nil, err
	}
	defer done()
	if in.most > 0 && in.length > in.most {
		return nil, fmt.Errorf("%w: %d bytes, %d permitted", ErrTooLarge, in.length, in.most)
	}
	f, err := l.newTemp()
	if err != nil {
		return nil, err
	}
	size, head, sum, crc, err := spoolRequest(f, in.body, in.most)
	switch {
	case err != nil:
	case in.length >= 0 && size != in.length, size < in.least:
		err = fmt.Errorf("%w: %d bytes", ErrTruncated, size)
	}
	var ctype string
	if err == nil {
		ctype, _, err = decideType(in.key, in.claim, head)
	}
	if err != nil {
		l.dropTemp(f)
		return nil, err
	}
	l.mu.Lock()
	owner, state := l.owner, stateStored
	l.mu.Unlock()
	if owner != nil {
		state = statePending
	}
	e := newEntry(Object{Key: in.key, Size: size, ContentType: ctype, SHA256: sum, CRC32C: crc}, state)
	if err := l.store(ctx, e, false, nil, f); err != nil {
		return nil, err
	}
	if owner != nil {
		owner.wake()
	}
	return e, nil
}

// spoolRequest writes at most limit bytes of r to f, or all if limit is 0.
func spoolRequest(f io.WriterAt, r io.Reader, limit int64) (size int64, head []byte, sum [32]byte, crc uint32, err error) {
	if limit > 0 {
		r = io.LimitReader(r, limit+1)
	}
	h := newHasher()
	size, err = io.Copy(io.MultiWriter(io.NewOffsetWriter(f, 0), h, (*headWriter)(&head)), r)
	switch {
	case err != nil:
		if !isFull(err) {
			err = bodyError(err)
		}
		err = localError("receive upload", err)
	case limit > 0 && size > limit:
		err = fmt.Errorf("%w: over %d bytes", ErrTooLarge, limit)
	}
	s, crc := h.sums()
	return size, head, s, crc, err
}

// headWriter keeps the first sniffLen bytes.
type headWriter []byte

// Write never fails.
func (h *headWriter) Write(p []byte) (int, error) {
	*h = append(*h, p[:min(len(p), max(sniffLen-len(*h), 0))]...)
	return len(p), nil
}
