package vercelcdn

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"hash/crc32"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/perfblocks/perfblocks/cdn"
)

// maxReply bounds what is read of a reply of the API, in bytes.
const maxReply = 1 << 20

// call is one request to the API or a blob's URL, and what its errors say.
type call struct {
	p       *Provider
	ctx     context.Context
	op, key string
	body    *body // nil without a caller's content
}

// do sends the request. A reply of any status but 2xx becomes an error, whatever
// its body says; the caller closes the body of any other.
func (c call) do(req *http.Request) (*http.Response, error) {
	resp, err := c.p.http.Do(req)
	if err != nil {
		return nil, c.lost(err)
	}
	if resp.StatusCode/100 == 2 {
		return resp, nil
	}
	defer resp.Body.Close()
	text, _ := io.ReadAll(io.LimitReader(resp.Body, maxReply))
	var reply struct{ Error apiError }
	if json.Unmarshal(text, &reply) != nil {
		reply.Error = apiError{}
	}
	e := c.fail(kindOf(resp.StatusCode, reply.Error), nil)
	if msg := c.p.redact(reply.Error.Message); msg != "" {
		e.Err = errors.New(msg)
	}
	e.Status, e.Code, e.RequestID, e.Wait = resp.StatusCode, reply.Error.Code, resp.Header.Get("X-Vercel-Id"), retryAfter(resp.Header)
	if c.ctx.Err() != nil {
		e.Kind, e.Err = cancelled(c.ctx)
	}
	return nil, e
}

// json sends the request and decodes a reply of the API into v; nil wants none.
func (c call) json(req *http.Request, v any) error {
	resp, err := c.do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, maxReply))
	if err != nil {
		return c.lost(err)
	}
	if v == nil {
		v = new(json.RawMessage)
	}
	if err := json.Unmarshal(text, v); err != nil {
		e := c.fail(cdn.ErrUnavailable, errors.New("the reply is not Vercel's"))
		e.Status, e.RequestID = resp.StatusCode, resp.Header.Get("X-Vercel-Id")
		return e
	}
	return nil
}

func (c call) fail(kind, cause error) *cdn.OpError {
	return &cdn.OpError{Provider: c.p.opts.Name, Op: c.op, Key: c.key, Kind: kind, Err: cause}
}

// lost is the error of a request without a whole reply: the caller's cancellation,
// else a body that could not be read, else the network.
func (c call) lost(err error) error {
	if c.ctx.Err() != nil {
		return c.fail(cancelled(c.ctx))
	}
	if c.body != nil {
		if berr := c.body.release(); berr != nil {
			return c.fail(bodyKind(berr), berr)
		}
	}
	if ue, ok := errors.AsType[*url.Error](err); ok {
		err = ue.Err
	}
	return c.fail(cdn.ErrUnavailable, err)
}

// cancelled is the kind and cause of a call whose context ended. A deadline counts
// as unavailability, a cancellation as nobody's fault.
func cancelled(ctx context.Context) (kind, cause error) {
	err := ctx.Err()
	if errors.Is(err, context.DeadlineExceeded) {
		kind = cdn.ErrUnavailable
	}
	if c := context.Cause(ctx); c != nil && !errors.Is(c, err) {
		err = errors.Join(err, c)
	}
	return kind, err
}

type apiError struct {
	Code    string `json:"code"`
	Message string `json:"message"`
}

// redact keeps what a message says and drops what it repeats of the request.
func (p *Provider) redact(msg string) string {
	if _, secret, ok := strings.Cut(strings.TrimPrefix(p.opts.Token, tokenPrefix), "_"); ok {
		msg = strings.ReplaceAll(msg, secret, "***")
	}
	if len(msg) > 200 {
		msg = strings.ToValidUTF8(msg[:200], "") + "…"
	}
	return msg
}

// kindOf classifies a reply by its code, which is finer, and else by its status. Some
// refusals share the code bad_request and differ in their message only.
func kindOf(status int, e apiError) error {
	switch e.Code {
	case "not_found":
		return cdn.ErrNotFound
	case "forbidden", "access", "client_token_expired", "store_suspended":
		return cdn.ErrAuth
	case "store_not_found", "not_allowed", "content_type_not_allowed", "client_token_pathname_mismatch":
		return cdn.ErrInvalid
	case "precondition_failed":
		return cdn.ErrExists
	case "file_too_large":
		return cdn.ErrTooLarge
	case "rate_limited":
		return cdn.ErrRateLimited
	case "unknown_error", "service_unavailable", "internal_server_error":
		return cdn.ErrUnavailable
	case "bad_request":
		switch {
		case strings.Contains(e.Message, "already exists"):
			return cdn.ErrExists
		case strings.Contains(e.Message, "the file length cannot be greater than"):
			return cdn.ErrTooLarge
		}
	}
	switch {
	case status == http.StatusUnauthorized, status == http.StatusForbidden:
		return cdn.ErrAuth
	case status == http.StatusNotFound:
		return cdn.ErrNotFound
	case status == http.StatusConflict, status == http.StatusPreconditionFailed:
		return cdn.ErrExists
	case status == http.StatusRequestEntityTooLarge:
		return cdn.ErrTooLarge
	case status == http.StatusTooManyRequests:
		return cdn.ErrRateLimited
	case status == http.StatusRequestTimeout, status >= 500:
		return cdn.ErrUnavailable
	}
	return cdn.ErrInvalid
}

// retryAfter reads the header in both of its forms; 0 when absent, malformed or past.
func retryAfter(h http.Header) time.Duration {
	v := h.Get("Retry-After")
	if n, err := strconv.ParseUint(v, 10, 31); err == nil {
		return time.Duration(n) * time.Second
	}
	if t, err := http.ParseTime(v); err == nil {
		return max(time.Until(t), 0)
	}
	return 0
}

// body reads a part of a caller's ReaderAt for one request. net/http may still be
// reading a request's body when the call has returned; release ends that, so that
// the caller may reuse its buffer at once.
type body struct {
	size int64
	sum  hash.Hash // sees what is read; may be nil
	want *uint32   // CRC32C of the whole; nil: unknown

	mu  sync.Mutex
	r   io.ReaderAt // nil once released; guarded by mu
	off int64       // guarded by mu
	crc uint32      // CRC32C of what was read; guarded by mu
	err error       // first failure to read the body; guarded by mu
}

// Read implements io.Reader. An early end of the body is an error, and so is a body
// that is not what its checksum says: its last bytes are then withheld, so that the
// server never has a whole request.
func (b *body) Read(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.r == nil {
		return 0, errors.New("vercelcdn: body read after the call")
	}
	if b.off >= b.size {
		return 0, io.EOF
	}
	if rest := b.size - b.off; int64(len(p)) > rest {
		p = p[:rest]
	}
	n, err := b.r.ReadAt(p, b.off)
	b.off += int64(n)
	if b.sum != nil {
		b.sum.Write(p[:n])
	}
	if b.want != nil {
		b.crc = crc32.Update(b.crc, crc32.MakeTable(crc32.Castagnoli), p[:n])
		if b.off == b.size && b.crc != *b.want {
			b.err = fmt.Errorf("%w: the body is not what its CRC32C says", cdn.ErrChecksum)
			return 0, b.err
		}
	}
	if err == nil || n == len(p) {
		return n, nil
	}
	if errors.Is(err, io.EOF) {
		err = fmt.Errorf("%w: %d of %d bytes", cdn.ErrTruncated, b.off, b.size)
	}
	b.err = err
	return n, err
}

// checksum returns where obj's CRC32C is, nil when it is unknown.
func checksum(obj cdn.Object) *uint32 {
	if !obj.HasCRC32C {
		return nil
	}
	return &obj.CRC32C
}

// partChecksum is checksum for a part, in which 0 is unknown.
func partChecksum(part cdn.Part) *uint32 {
	if part.CRC32C == 0 {
		return nil
	}
	return &part.CRC32C
}

// release waits for a read in progress, forbids further ones and returns the
// body's own failure, if it had one.
func (b *body) release() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.r = nil
	return b.err
}

func bodyKind(err error) error {
	switch {
	case errors.Is(err, cdn.ErrTruncated):
		return cdn.ErrTruncated
	case errors.Is(err, cdn.ErrChecksum):
		return cdn.ErrChecksum
	}
	return nil
}
