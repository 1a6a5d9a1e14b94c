package vercelcdn

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"

	"github.com/perfblocks/perfblocks/cdn"
)

// Open reads a range from the blob's URL, with the token if the store is private.
// Info.Size is the size of the whole object. Edges may serve content that was
// overwritten up to a minute ago. A reply that breaks off is an error of the reader
// that matches [cdn.ErrUnavailable].
func (p *Provider) Open(ctx context.Context, ref cdn.Ref, offset, length int64) (io.ReadCloser, cdn.Info, error) {
	c := call{p: p, ctx: ctx, op: "open", key: ref.Key}
	if offset < 0 {
		return nil, cdn.Info{}, c.fail(cdn.ErrInvalid, errors.New("the offset is negative"))
	}
	if length == 0 {
		info, err := p.Head(ctx, ref)
		return http.NoBody, info, err
	}
	want := byteRange(offset, length)
	resp, info, err := c.fetch(ref, want)
	if err != nil {
		if oe, ok := errors.AsType[*cdn.OpError](err); ok && oe.Status == http.StatusRequestedRangeNotSatisfiable {
			if info, err2 := p.Head(ctx, ref); err2 == nil && offset == info.Size {
				return http.NoBody, info, nil
			}
		}
		return nil, cdn.Info{}, err
	}
	rc := &reader{c: c, body: resp.Body}
	if want == "" {
		return rc, info, nil
	}
	if resp.StatusCode == http.StatusPartialContent {
		total, ok := totalOf(resp.Header.Get("Content-Range"), offset)
		if !ok {
			rc.Close()
			return nil, cdn.Info{}, c.fail(cdn.ErrUnavailable, errors.New("the reply is another range"))
		}
		info.Size = total
		return rc, info, nil
	}
	if offset > info.Size {
		rc.Close()
		return nil, cdn.Info{}, c.fail(cdn.ErrInvalid, errors.New("the offset is past the end"))
	}
	if _, err := io.CopyN(io.Discard, rc, offset); err != nil {
		rc.Close()
		return nil, cdn.Info{}, err
	}
	if length > 0 {
		rc.left, rc.limited = length, true
	}
	return rc, info, nil
}

// fetch gets the blob's URL. The token goes to the store's own address only.
func (c call) fetch(ref cdn.Ref, byteRange string) (*http.Response, cdn.Info, error) {
	address := c.p.address(ref)
	req, err := http.NewRequestWithContext(c.ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, cdn.Info{}, c.fail(cdn.ErrInvalid, errors.New("the blob's URL is malformed"))
	}
	if c.p.opts.Private && strings.HasPrefix(address, c.p.opts.PublicURL+"/") {
		req.Header.Set("Authorization", "Bearer "+c.p.opts.Token)
	}
	req.Header.Set("Accept-Encoding", "identity") // lengths and ranges are those of the original
	if byteRange != "" {
		req.Header.Set("Range", byteRange)
	}
	resp, err := c.do(req)
	if err != nil {
		return nil, cdn.Info{}, err
	}
	if resp.ContentLength < 0 {
		resp.Body.Close()
		return nil, cdn.Info{}, c.fail(cdn.ErrUnavailable, errors.New("the reply tells no length"))
	}
	info := cdn.Info{
		Ref:          cdn.Ref{Key: ref.Key, Handle: address},
		Size:         resp.ContentLength,
		ContentType:  resp.Header.Get("Content-Type"),
		CacheControl: resp.Header.Get("Cache-Control"),
		Disposition:  resp.Header.Get("Content-Disposition"),
		ETag:         resp.Header.Get("ETag"),
	}
	info.ModTime, _ = http.ParseTime(resp.Header.Get("Last-Modified"))
	return resp, info, nil
}

// byteRange is the Range header for length bytes from offset, "" for everything.
func byteRange(offset, length int64) string {
	switch {
	case length < 0 && offset == 0:
		return ""
	case length < 0:
		return fmt.Sprintf("bytes=%d-", offset)
	}
	return fmt.Sprintf("bytes=%d-%d", offset, offset+length-1)
}

// totalOf reads the object's size from a Content-Range that starts at offset.
func totalOf(header string, offset int64) (int64, bool) {
	rest, ok := strings.CutPrefix(header, "bytes "+strconv.FormatInt(offset, 10)+"-")
	if !ok {
		return 0, false
	}
	_, total, ok := strings.Cut(rest, "/")
	n, err := strconv.ParseInt(total, 10, 64)
	return n, ok && err == nil
}

// reader is the body of a reply with this package's errors.
type reader struct {
	c       call // its context bounds the reader's life
	body    io.ReadCloser
	left    int64 // counts when limited
	limited bool
}

// Read implements io.Reader.
func (r *reader) Read(b []byte) (int, error) {
	if r.limited {
		if r.left <= 0 {
			return 0, io.EOF
		}
		b = b[:min(int64(len(b)), r.left)]
	}
	n, err := r.body.Read(b)
	r.left -= int64(n)
	if err != nil && err != io.EOF {
		err = r.c.lost(err)
	}
	return n, err
}

// Close implements io.Closer.
func (r *reader) Close() error { return r.body.Close() }
