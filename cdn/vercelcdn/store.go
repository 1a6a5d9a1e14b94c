package vercelcdn

import (
	"bytes"
	"context"
	"crypto/md5"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/perfblocks/perfblocks/cdn"
	"github.com/perfblocks/perfblocks/cdn/internal/httpcall"
)

const (
	apiVersion = "12"
	maxKey     = 950 // bytes of a pathname
	minMaxAge  = 60  // seconds
	maxMaxAge  = 365 * 24 * 60 * 60
)

// blob is how the API describes an object, in the replies of several calls.
type blob struct {
	URL                string    `json:"url"`
	Pathname           string    `json:"pathname"`
	ContentType        string    `json:"contentType"`
	ContentDisposition string    `json:"contentDisposition"`
	CacheControl       string    `json:"cacheControl"`
	ETag               string    `json:"etag"`
	Size               int64     `json:"size"`
	UploadedAt         time.Time `json:"uploadedAt"`
}

func (b blob) info() cdn.Info {
	return cdn.Info{
		Ref:          cdn.Ref{Key: b.Pathname, Handle: b.URL},
		Size:         b.Size,
		ContentType:  b.ContentType,
		CacheControl: b.CacheControl,
		Disposition:  b.ContentDisposition,
		ETag:         b.ETag,
		ModTime:      b.UploadedAt,
	}
}

// request builds a call of the API. path is "" or begins with a slash.
func (c call) request(method, path string, query url.Values, body io.Reader) (*http.Request, error) {
	u := c.p.opts.APIURL + path
	if path == "" {
		u += "/"
	}
	if len(query) > 0 {
		u += "?" + query.Encode()
	}
	req, err := http.NewRequestWithContext(c.Ctx, method, u, body)
	if err != nil {
		return nil, c.Fail(cdn.ErrInvalid, errors.New("the API's URL is malformed"))
	}
	h := req.Header
	h.Set("Authorization", "Bearer "+c.p.opts.Token)
	h.Set("X-Api-Version", apiVersion)
	h.Set("X-Vercel-Blob-Store-Id", c.p.store)
	h.Set("X-Api-Blob-Request-Id", fmt.Sprintf("%s:%d:%s", c.p.store, time.Now().UnixMilli(), rand.Text()))
	h.Set("X-Api-Blob-Request-Attempt", "0")
	return req, nil
}

// describe sets the headers that tell how an object is to be stored. Suffix and
// overwriting are always told, since their defaults differ between API versions.
func (p *Provider) describe(h http.Header, obj cdn.Object) {
	h.Set("X-Vercel-Blob-Access", p.access())
	h.Set("X-Add-Random-Suffix", "0")
	h.Set("X-Allow-Overwrite", "1")
	if obj.CreateOnly {
		h.Set("X-Allow-Overwrite", "0")
	}
	if obj.ContentType != "" {
		h.Set("X-Content-Type", obj.ContentType)
	}
	if age, ok := maxAge(obj.CacheControl); ok {
		h.Set("X-Cache-Control-Max-Age", strconv.Itoa(age))
	}
}

func (p *Provider) access() string {
	if p.opts.Private {
		return "private"
	}
	return "public"
}

// maxAge reads the one directive that Vercel stores, within Vercel's bounds.
func maxAge(cacheControl string) (seconds int, ok bool) {
	for d := range strings.SplitSeq(cacheControl, ",") {
		name, value, _ := strings.Cut(strings.ToLower(strings.TrimSpace(d)), "=")
		switch name {
		case "no-store", "no-cache":
			return minMaxAge, true
		case "max-age":
			n, err := strconv.ParseInt(strings.Trim(value, `"`), 10, 64)
			if err != nil {
				return 0, false
			}
			return int(min(max(n, minMaxAge), maxMaxAge)), true
		}
	}
	return 0, false
}

// check refuses what Vercel would refuse, before a byte is sent.
func (c call) check(obj cdn.Object) error {
	switch {
	case obj.Key == "":
		return c.Fail(cdn.ErrKey, errors.New("the key is empty"))
	case len(obj.Key) > maxKey:
		return c.Fail(cdn.ErrKey, fmt.Errorf("the key has %d bytes, over %d", len(obj.Key), maxKey))
	case strings.Contains(obj.Key, "//"):
		return c.Fail(cdn.ErrKey, errors.New("the key has an empty path element"))
	case !obj.Transform.IsZero():
		return c.Fail(cdn.ErrInvalid, errors.New("transforming images is not supported"))
	case strings.ContainsFunc(obj.ContentType, func(r rune) bool { return r < ' ' || r == 0x7f }):
		return c.Fail(cdn.ErrInvalid, errors.New("a control character in the content type"))
	}
	return nil
}

// stored checks the reply to a call that has made an object.
func (c call) stored(obj cdn.Object, b blob) (cdn.Info, error) {
	if b.Pathname != obj.Key || b.URL == "" {
		return cdn.Info{}, c.Fail(cdn.ErrUnavailable, errors.New("the reply is about another object"))
	}
	info := b.info()
	info.Size, info.SHA256 = obj.Size, obj.SHA256
	if info.ContentType == "" {
		info.ContentType = obj.ContentType
	}
	return info, nil
}

// Put stores body with one request. Of CacheControl Vercel keeps max-age, of 60 s at
// least; Disposition and Metadata it does not keep. Info.Verified is set when the
// reply's ETag is the MD5 of the body; it tells no length otherwise. The body is not
// read any more when Put has returned.
func (p *Provider) Put(ctx context.Context, obj cdn.Object, r io.ReaderAt) (cdn.Info, error) {
	sum := md5.New()
	c := p.sending(ctx, "put", obj.Key, httpcall.NewBody(r, obj.Size, sum, httpcall.ObjectCRC(obj)))
	defer c.Body.Release()
	if err := c.check(obj); err != nil {
		return cdn.Info{}, err
	}
	if obj.Size < 0 {
		return cdn.Info{}, c.Fail(cdn.ErrInvalid, errors.New("the size is negative"))
	}
	req, err := c.request(http.MethodPut, "", url.Values{"pathname": {obj.Key}}, c.Content())
	if err != nil {
		return cdn.Info{}, err
	}
	req.ContentLength = obj.Size
	req.Header.Set("X-Content-Length", strconv.FormatInt(obj.Size, 10))
	p.describe(req.Header, obj)
	var b blob
	if err := c.JSON(req, &b); err != nil {
		return cdn.Info{}, err
	}
	if err := c.Released(); err != nil {
		return cdn.Info{}, err
	}
	info, err := c.stored(obj, b)
	info.Verified = err == nil && strings.Trim(b.ETag, `"`) == hex.EncodeToString(sum.Sum(nil))
	return info, err
}

// address is the object's URL: its handle, or what the key makes without a suffix.
func (p *Provider) address(ref cdn.Ref) string {
	if ref.Handle != "" {
		return ref.Handle
	}
	return p.opts.PublicURL + "/" + httpcall.EscapePath(ref.Key)
}

// URL returns the blob's address, Ref.Handle or what the key makes of PublicURL. That
// of a private store needs the token. It does no I/O and never fails.
func (p *Provider) URL(ref cdn.Ref) (string, error) { return p.address(ref), nil }

// Head describes the object by one request. Vercel tells no metadata and no SHA-256.
func (p *Provider) Head(ctx context.Context, ref cdn.Ref) (cdn.Info, error) {
	c := p.call(ctx, "head", ref.Key)
	req, err := c.request(http.MethodGet, "", url.Values{"url": {p.address(ref)}}, nil)
	if err != nil {
		return cdn.Info{}, err
	}
	var b blob
	if err := c.JSON(req, &b); err != nil {
		return cdn.Info{}, err
	}
	if b.Pathname != ref.Key || b.URL == "" {
		return cdn.Info{}, c.Fail(cdn.ErrUnavailable, errors.New("the reply is about another object"))
	}
	return b.info(), nil
}

// Delete removes the object by one request. A missing object is no error. Edges may
// serve it for a minute more.
func (p *Provider) Delete(ctx context.Context, ref cdn.Ref) error {
	c := p.call(ctx, "delete", ref.Key)
	text, err := json.Marshal(map[string][]string{"urls": {p.address(ref)}})
	if err != nil {
		return c.Fail(cdn.ErrInvalid, err)
	}
	req, err := c.request(http.MethodPost, "/delete", nil, bytes.NewReader(text))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	err = c.JSON(req, nil)
	if oe, ok := errors.AsType[*cdn.OpError](err); ok && oe.Code == "not_found" {
		return nil
	}
	return err
}

// Copy makes a copy within the store by one request.
func (p *Provider) Copy(ctx context.Context, from cdn.Ref, to cdn.Object) (cdn.Info, error) {
	c := p.call(ctx, "copy", to.Key)
	if err := c.check(to); err != nil {
		return cdn.Info{}, err
	}
	req, err := c.request(http.MethodPut, "", url.Values{"pathname": {to.Key}, "fromUrl": {p.address(from)}}, nil)
	if err != nil {
		return cdn.Info{}, err
	}
	p.describe(req.Header, to)
	var b blob
	if err := c.JSON(req, &b); err != nil {
		return cdn.Info{}, err
	}
	return c.stored(to, b)
}

// List yields the objects whose key starts with prefix, a thousand per request, in
// Vercel's order. It tells no content type. It ends after the first error.
func (p *Provider) List(ctx context.Context, prefix string) iter.Seq2[cdn.Info, error] {
	return func(yield func(cdn.Info, error) bool) {
		c := p.call(ctx, "list", prefix)
		q := url.Values{"limit": {"1000"}, "mode": {"expanded"}}
		if prefix != "" {
			q.Set("prefix", prefix)
		}
		for {
			var page struct {
				Blobs   *[]blob `json:"blobs"`
				Cursor  string  `json:"cursor"`
				HasMore bool    `json:"hasMore"`
			}
			req, err := c.request(http.MethodGet, "", q, nil)
			if err == nil {
				err = c.JSON(req, &page)
			}
			if err == nil && (page.Blobs == nil || page.HasMore && (page.Cursor == "" || page.Cursor == q.Get("cursor"))) {
				err = c.Fail(cdn.ErrUnavailable, errors.New("the reply is not a page of a list"))
			}
			if err != nil {
				yield(cdn.Info{}, err)
				return
			}
			for _, b := range *page.Blobs {
				if strings.HasPrefix(b.Pathname, prefix) && !yield(b.info(), nil) {
					return
				}
			}
			if !page.HasMore {
				return
			}
			q.Set("cursor", page.Cursor)
		}
	}
}
