package cloudinarycdn

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/perfblocks/perfblocks/cdn"
)

// Purge asks the edges to drop the objects and all their renditions, by one request of
// the explicit method each, or two when there is no Ref.Handle. It needs APISecret, and
// cannot purge all keys below one; the errors match errors.ErrUnsupported. Put and Delete
// ask for the same by themselves.
func (p *Provider) Purge(ctx context.Context, refs ...cdn.Ref) error {
	if p.opts.APISecret == "" {
		return p.call(ctx, "purge", "").Fail(cdn.ErrInvalid, fmt.Errorf("purging needs APISecret: %w", errors.ErrUnsupported))
	}
	ids := make([]string, len(refs))
	for i, ref := range refs {
		var err error
		c := p.call(ctx, "purge", ref.Key)
		if strings.HasSuffix(ref.Key, "/") {
			return c.Fail(cdn.ErrInvalid, fmt.Errorf("only single objects can be purged on Cloudinary: %w", errors.ErrUnsupported))
		}
		if ids[i], err = publicID(ref.Key); err != nil {
			return c.Fail(cdn.ErrKey, err)
		}
	}
	for i, ref := range refs {
		c := p.call(ctx, "purge", ref.Key)
		l, sure := p.locate(ref)
		err := c.explicit(l.kind, l.typ, ids[i])
		if !sure && l.kind != "raw" && errors.Is(err, cdn.ErrNotFound) { // its content type may have made it raw
			err = c.explicit("raw", l.typ, ids[i])
		}
		if err != nil && !errors.Is(err, cdn.ErrNotFound) {
			return err
		}
	}
	return nil
}

// explicit applies nothing to an object but the invalidation.
func (c call) explicit(kind, typ, id string) error {
	var rep reply
	if err := c.post(kind, "explicit", map[string]string{"public_id": id, "type": typ, "invalidate": "true"}, &rep); err != nil {
		return err
	}
	if rep.PublicID != id || rep.ResourceType != kind || rep.Type != typ {
		return c.Fail(cdn.ErrUnavailable, errors.New("the reply is about another object"))
	}
	return nil
}

// post signs m and sends it to a method of the API that takes no file.
func (c call) post(kind, method string, m map[string]string, v any) error {
	c.p.sign(m, time.Now())
	form := make(url.Values, len(m))
	for k, v := range m {
		form.Set(k, v)
	}
	u := c.p.opts.APIURL + "/v1_1/" + c.p.opts.CloudName + "/" + kind + "/" + method
	req, err := http.NewRequestWithContext(c.Ctx, http.MethodPost, u, strings.NewReader(form.Encode()))
	if err != nil {
		return c.Fail(cdn.ErrInvalid, errors.New("the API's URL is malformed"))
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return c.JSON(req, v)
}
