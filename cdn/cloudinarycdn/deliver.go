package cloudinarycdn

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

// URL returns the delivery URL of the original. With a Ref.Handle it names the
// version, and so is never stale; with a key alone its extension decides between
// image, video and raw. Images and videos end in their format, after the key's own
// extension. It does no I/O.
func (p *Provider) URL(ref cdn.Ref) (string, error) {
	l, _ := p.locate(ref)
	return p.url("url", ref.Key, l, "")
}

// TransformURL returns the delivery URL of a rendition, which Cloudinary makes at
// the first request for it. Fit "" never enlarges, "contain" fits into the box and
// "cover" fills and crops it. It does no I/O; the error matches [cdn.ErrInvalid] for
// content that is no image and for values out of range.
func (p *Provider) TransformURL(ref cdn.Ref, t cdn.Transform) (string, error) {
	const op = "url"
	if err := checkTransform(t); err != nil {
		return "", p.refuse(op, ref.Key, cdn.ErrInvalid, err)
	}
	l, _ := p.locate(ref)
	if t.IsZero() {
		return p.url(op, ref.Key, l, "")
	}
	if l.kind != "image" {
		return "", p.refuse(op, ref.Key, cdn.ErrInvalid, errors.New("not an image"))
	}
	if t.Format != "auto" && t.Format != "" {
		l.format, t.Format = formatOf(t.Format), ""
	}
	return p.url(op, ref.Key, l, transformation(t))
}

func (p *Provider) url(op, key string, l locator, transform string) (string, error) {
	id, err := publicID(key)
	if err != nil {
		return "", p.refuse(op, key, cdn.ErrKey, err)
	}
	source := escape(id)
	if l.format != "" {
		source += "." + l.format
	}
	var b strings.Builder
	b.WriteString(p.opts.DeliveryURL + "/" + l.kind + "/" + l.typ + "/")
	if p.opts.SignURLs || l.typ == "authenticated" && p.opts.APISecret != "" {
		b.WriteString(p.signPath(transform, source) + "/")
	}
	if transform != "" {
		b.WriteString(transform + "/")
	}
	if l.version == 0 && strings.Contains(source, "/") {
		l.version = 1 // tells a folder from a transformation
	}
	if l.version > 0 {
		b.WriteString("v" + strconv.FormatInt(l.version, 10) + "/")
	}
	b.WriteString(source)
	return b.String(), nil
}

// checkTransform refuses what the contract of cdn.Transform does not know.
func checkTransform(t cdn.Transform) error {
	switch {
	case t.Width < 0 || t.Height < 0:
		return errors.New("a negative width or height")
	case t.Quality < 0 || t.Quality > 100:
		return fmt.Errorf("quality %d is not in 1 to 100", t.Quality)
	case t.Fit != "" && t.Fit != "contain" && t.Fit != "cover":
		return fmt.Errorf("fit %q is unknown", t.Fit)
	}
	switch t.Format {
	case "", "auto", "jpeg", "png", "webp", "avif":
		return nil
	}
	return fmt.Errorf("format %q is unknown", t.Format)
}

func formatOf(format string) string {
	if format == "jpeg" {
		return "jpg"
	}
	return format
}

// transformation writes t in Cloudinary's syntax, sorted as its clients do.
func transformation(t cdn.Transform) string {
	var f []string
	if t.Width > 0 || t.Height > 0 {
		switch t.Fit {
		case "cover":
			f = append(f, "c_fill")
		case "contain":
			f = append(f, "c_fit")
		default:
			f = append(f, "c_limit")
		}
	}
	if t.Format != "" {
		f = append(f, "f_"+formatOf(t.Format))
	}
	if t.Height > 0 {
		f = append(f, "h_"+strconv.Itoa(t.Height))
	}
	if t.Quality > 0 {
		f = append(f, "q_"+strconv.Itoa(t.Quality))
	}
	if t.Width > 0 {
		f = append(f, "w_"+strconv.Itoa(t.Width))
	}
	return strings.Join(f, ",")
}

// fetch sends a request to the delivery URL of ref. What a key's extension calls an
// image or video may have been stored raw for its content type.
func (c call) fetch(method string, ref cdn.Ref, byteRange string) (*http.Response, cdn.Info, error) {
	l, sure := c.p.locate(ref)
	resp, info, err := c.fetchAs(method, ref, l, byteRange)
	if !sure && l.kind != "raw" && errors.Is(err, cdn.ErrNotFound) {
		return c.fetchAs(method, ref, locator{kind: "raw", typ: l.typ}, byteRange)
	}
	return resp, info, err
}

func (c call) fetchAs(method string, ref cdn.Ref, l locator, byteRange string) (*http.Response, cdn.Info, error) {
	u, err := c.p.url(c.Op, ref.Key, l, "")
	if err != nil {
		return nil, cdn.Info{}, err
	}
	req, err := http.NewRequestWithContext(c.Ctx, method, u, nil)
	if err != nil {
		return nil, cdn.Info{}, c.Fail(cdn.ErrInvalid, errors.New("the delivery URL is malformed"))
	}
	resp, info, err := c.Fetch(req, cdn.Ref{Key: ref.Key, Handle: l.String()}, byteRange)
	info.ETag = strings.Trim(info.ETag, `"`)
	return resp, info, err
}

// Head asks the delivery URL for the object's headers. It tells no metadata, and
// what it tells without a Ref.Handle may come from an edge's cache and be stale.
func (p *Provider) Head(ctx context.Context, ref cdn.Ref) (cdn.Info, error) {
	resp, info, err := p.call(ctx, "head", ref.Key).fetch(http.MethodHead, ref, "")
	if err != nil {
		return cdn.Info{}, err
	}
	resp.Body.Close()
	return info, nil
}

// Open reads a range from the delivery URL. Info.Size is the size of the whole
// object. A reply that breaks off is an error of the reader that matches
// [cdn.ErrUnavailable].
func (p *Provider) Open(ctx context.Context, ref cdn.Ref, offset, length int64) (io.ReadCloser, cdn.Info, error) {
	c := p.call(ctx, "open", ref.Key)
	return c.Open(offset, length,
		func(byteRange string) (*http.Response, cdn.Info, error) {
			return c.fetch(http.MethodGet, ref, byteRange)
		},
		func() (cdn.Info, error) { return p.Head(ctx, ref) })
}

// Delete destroys the object and asks the edges to drop it. It needs APISecret. With
// a Ref.Handle that is one request; with a key alone one for each of Cloudinary's
// resource types. A missing object is no error.
func (p *Provider) Delete(ctx context.Context, ref cdn.Ref) error {
	c := p.call(ctx, "delete", ref.Key)
	if p.opts.APISecret == "" {
		return c.Fail(cdn.ErrAuth, errors.New("deleting needs APISecret"))
	}
	id, err := publicID(ref.Key)
	if err != nil {
		return c.Fail(cdn.ErrKey, err)
	}
	l, sure := p.locate(ref)
	kinds := []string{"image", "video", "raw"}
	if sure {
		kinds = []string{l.kind}
	}
	for _, kind := range kinds {
		if err := c.destroy(kind, l.typ, id); err != nil {
			return err
		}
	}
	return nil
}

func (c call) destroy(kind, typ, id string) error {
	var rep struct {
		Result string   `json:"result"`
		Error  apiError `json:"error"`
	}
	m := map[string]string{"public_id": id, "type": typ, "invalidate": "true"}
	if err := c.post(kind, "destroy", m, &rep); err != nil {
		return err
	}
	if rep.Result != "ok" && rep.Result != "not found" {
		return c.Fail(cdn.ErrUnavailable, errors.New("the reply confirms nothing"))
	}
	return nil
}
