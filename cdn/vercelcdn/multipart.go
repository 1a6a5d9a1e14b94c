package vercelcdn

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/perfblocks/perfblocks/cdn"
	"github.com/perfblocks/perfblocks/cdn/internal/httpcall"
)

// PartLimits returns Vercel's limits: parts of at least 5 MiB but the last, all of
// one size, at most 10,000, in any order.
func (p *Provider) PartLimits() cdn.PartLimits {
	return cdn.PartLimits{MinSize: 5 << 20, MaxSize: 5 << 30, MaxParts: 10_000}
}

// mpu builds one of the multipart calls.
func (c call) mpu(action, uploadID string, obj cdn.Object, body io.Reader) (*http.Request, error) {
	req, err := c.request(http.MethodPost, "/mpu", url.Values{"pathname": {obj.Key}}, body)
	if err != nil {
		return nil, err
	}
	c.p.describe(req.Header, obj)
	req.Header.Set("X-Mpu-Action", action)
	if action == "create" {
		return req, nil
	}
	id, key, ok := strings.Cut(uploadID, " ")
	if !ok || id == "" || key == "" {
		return nil, c.Fail(cdn.ErrInvalid, errors.New("not an upload of this provider"))
	}
	req.Header.Set("X-Mpu-Upload-Id", id)
	req.Header.Set("X-Mpu-Key", key)
	return req, nil
}

// Begin opens a multipart upload by one request.
func (p *Provider) Begin(ctx context.Context, obj cdn.Object) (string, error) {
	c := p.call(ctx, "begin", obj.Key)
	if err := c.check(obj); err != nil {
		return "", err
	}
	req, err := c.mpu("create", "", obj, nil)
	if err != nil {
		return "", err
	}
	var up struct {
		UploadID string `json:"uploadId"`
		Key      string `json:"key"`
	}
	if err := c.JSON(req, &up); err != nil {
		return "", err
	}
	if up.UploadID == "" || up.Key == "" || strings.ContainsAny(up.UploadID, " \r\n") {
		return "", c.Fail(cdn.ErrUnavailable, errors.New("the reply names no upload"))
	}
	// The key travels in a header from now on, escaped with its slashes.
	return up.UploadID + " " + strings.ReplaceAll(httpcall.EscapePath(up.Key), "/", "%2F"), nil
}

// PutPart stores one part by one request. The body is not read any more when
// PutPart has returned.
func (p *Provider) PutPart(ctx context.Context, obj cdn.Object, uploadID string, part cdn.Part, r io.ReaderAt) (cdn.PartInfo, error) {
	c := p.sending(ctx, "part", obj.Key, httpcall.NewBody(r, part.Size, nil, httpcall.PartCRC(part)))
	defer c.Body.Release()
	if part.Number < 1 || part.Number > 10_000 || part.Size < 0 {
		return cdn.PartInfo{}, c.Fail(cdn.ErrInvalid, fmt.Errorf("part %d of %d bytes", part.Number, part.Size))
	}
	req, err := c.mpu("upload", uploadID, obj, c.Content())
	if err != nil {
		return cdn.PartInfo{}, err
	}
	req.ContentLength = part.Size
	req.Header.Set("X-Mpu-Part-Number", strconv.Itoa(part.Number))
	var reply struct {
		ETag string `json:"etag"`
	}
	if err := c.JSON(req, &reply); err != nil {
		return cdn.PartInfo{}, err
	}
	if err := c.Released(); err != nil {
		return cdn.PartInfo{}, err
	}
	if reply.ETag == "" {
		return cdn.PartInfo{}, c.Fail(cdn.ErrUnavailable, errors.New("the reply confirms no part"))
	}
	return cdn.PartInfo{Number: part.Number, Size: part.Size, ETag: reply.ETag}, nil
}

// Parts fails: Vercel does not tell which parts it holds. The error matches
// [cdn.ErrInvalid] and errors.ErrUnsupported.
func (p *Provider) Parts(ctx context.Context, obj cdn.Object, uploadID string) ([]cdn.PartInfo, error) {
	return nil, p.call(ctx, "parts", obj.Key).Fail(cdn.ErrInvalid, errors.ErrUnsupported)
}

// Complete joins the parts by one request.
func (p *Provider) Complete(ctx context.Context, obj cdn.Object, uploadID string, parts []cdn.PartInfo) (cdn.Info, error) {
	c := p.call(ctx, "complete", obj.Key)
	type part struct {
		Number int    `json:"partNumber"`
		ETag   string `json:"etag"`
	}
	obj.Size = 0
	list := make([]part, len(parts))
	for i, v := range parts {
		list[i] = part{v.Number, v.ETag}
		obj.Size += v.Size
	}
	slices.SortFunc(list, func(a, b part) int { return cmp.Compare(a.Number, b.Number) })
	text, err := json.Marshal(list)
	if err != nil {
		return cdn.Info{}, c.Fail(cdn.ErrInvalid, err)
	}
	req, err := c.mpu("complete", uploadID, obj, bytes.NewReader(text))
	if err != nil {
		return cdn.Info{}, err
	}
	req.Header.Set("Content-Type", "application/json")
	var b blob
	if err := c.JSON(req, &b); err != nil {
		return cdn.Info{}, err
	}
	return c.stored(obj, b)
}

// Abort does nothing: the API has no call for it, and Vercel drops what is never
// completed.
func (p *Provider) Abort(ctx context.Context, obj cdn.Object, uploadID string) error { return nil }
