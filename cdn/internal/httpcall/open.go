package httpcall

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"

	"github.com/perfblocks/perfblocks/cdn"
)

// Open reads length bytes from offset, or to the end if length is negative. fetch
// sends a GET with a header Range, or without one for "", by Fetch; head describes
// the object. A server that ignores ranges costs the bytes before offset.
func (c Call) Open(
	offset, length int64, fetch func(byteRange string) (*http.Response, cdn.Info, error), head func() (cdn.Info, error),
) (io.ReadCloser, cdn.Info, error) {
	if offset < 0 {
		return nil, cdn.Info{}, c.Fail(cdn.ErrInvalid, errors.New("the offset is negative"))
	}
	if length == 0 {
		info, err := head()
		return http.NoBody, info, err
	}
	want := ByteRange(offset, length)
	resp, info, err := fetch(want)
	if err != nil {
		if oe, ok := errors.AsType[*cdn.OpError](err); ok && oe.Status == http.StatusRequestedRangeNotSatisfiable {
			if info, err2 := head(); err2 == nil && offset == info.Size {
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
		n, total, ok := RangeOf(resp.Header.Get("Content-Range"), offset, length)
		if !ok || n != resp.ContentLength {
			rc.Close()
			return nil, cdn.Info{}, c.Fail(cdn.ErrUnavailable, errors.New("the reply is another range"))
		}
		info.Size = total
		return rc, info, nil
	}
	if offset > info.Size {
		rc.Close()
		return nil, cdn.Info{}, c.Fail(cdn.ErrInvalid, errors.New("the offset is past the end"))
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

// Fetch sends a request for an object and describes it by the reply's headers.
func (c Call) Fetch(req *http.Request, ref cdn.Ref, byteRange string) (*http.Response, cdn.Info, error) {
	req.Header.Set("Accept-Encoding", "identity") // lengths and ranges are those of the original
	if byteRange != "" {
		req.Header.Set("Range", byteRange)
	}
	resp, err := c.Do(req)
	if err != nil {
		return nil, cdn.Info{}, err
	}
	if resp.ContentLength < 0 {
		resp.Body.Close()
		return nil, cdn.Info{}, c.Fail(cdn.ErrUnavailable, errors.New("the reply tells no length"))
	}
	info := cdn.Info{
		Ref:          ref,
		Size:         resp.ContentLength,
		ContentType:  resp.Header.Get("Content-Type"),
		CacheControl: resp.Header.Get("Cache-Control"),
		Disposition:  resp.Header.Get("Content-Disposition"),
		ETag:         resp.Header.Get("ETag"),
	}
	info.ModTime, _ = http.ParseTime(resp.Header.Get("Last-Modified"))
	return resp, info, nil
}

// ByteRange is the Range header for length bytes from offset, "" for everything.
func ByteRange(offset, length int64) string {
	switch {
	case length < 0 && offset == 0:
		return ""
	case length < 0 || offset+length < offset: // an overflow is past any end
		return fmt.Sprintf("bytes=%d-", offset)
	}
	return fmt.Sprintf("bytes=%d-%d", offset, offset+length-1)
}

// RangeOf reads a Content-Range that answers ByteRange(offset, length). It returns
// the bytes in the reply and the object's size; ok is false for any other range.
func RangeOf(header string, offset, length int64) (n, total int64, ok bool) {
	rest, ok := strings.CutPrefix(header, "bytes "+strconv.FormatInt(offset, 10)+"-")
	last, size, ok2 := strings.Cut(rest, "/")
	end, err := strconv.ParseInt(last, 10, 64)
	total, err2 := strconv.ParseInt(size, 10, 64)
	if !ok || !ok2 || err != nil || err2 != nil || end < offset || end >= total {
		return 0, 0, false
	}
	if n = end - offset + 1; end != total-1 && n != length {
		return 0, 0, false
	}
	return n, total, length < 0 || n <= length
}

// reader is the body of a reply with the call's errors.
type reader struct {
	c       Call // its context bounds the reader's life
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
		err = r.c.Lost(err)
	}
	return n, err
}

// Close implements io.Closer.
func (r *reader) Close() error { return r.body.Close() }
