package vercelcdn

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"

	"github.com/perfblocks/perfblocks/cdn"
)

// Open reads a range from the blob's URL, with the token if the store is private.
// Info.Size is the size of the whole object. Edges may serve content that was
// overwritten up to a minute ago. A reply that breaks off is an error of the reader
// that matches [cdn.ErrUnavailable].
func (p *Provider) Open(ctx context.Context, ref cdn.Ref, offset, length int64) (io.ReadCloser, cdn.Info, error) {
	c := p.call(ctx, "open", ref.Key)
	return c.Open(offset, length,
		func(byteRange string) (*http.Response, cdn.Info, error) { return c.fetch(ref, byteRange) },
		func() (cdn.Info, error) { return p.Head(ctx, ref) })
}

// fetch gets the blob's URL. The token goes to the store's own address only.
func (c call) fetch(ref cdn.Ref, byteRange string) (*http.Response, cdn.Info, error) {
	address := c.p.address(ref)
	req, err := http.NewRequestWithContext(c.Ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, cdn.Info{}, c.Fail(cdn.ErrInvalid, errors.New("the blob's URL is malformed"))
	}
	if c.p.opts.Private && strings.HasPrefix(address, c.p.opts.PublicURL+"/") {
		req.Header.Set("Authorization", "Bearer "+c.p.opts.Token)
	}
	return c.Fetch(req, cdn.Ref{Key: ref.Key, Handle: address}, byteRange)
}
