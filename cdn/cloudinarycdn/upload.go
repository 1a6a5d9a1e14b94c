package cloudinarycdn

import (
	"bytes"
	"context"
	"crypto/md5"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"maps"
	"mime/multipart"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/perfblocks/perfblocks/cdn"
	"github.com/perfblocks/perfblocks/cdn/internal/httpcall"
)

// maxPut is the largest content that Cloudinary takes in one request, in bytes.
const maxPut = 100_000_000

// reply is what the API answers to an upload.
type reply struct {
	PublicID     string    `json:"public_id"`
	Version      int64     `json:"version"`
	Signature    string    `json:"signature"`
	ResourceType string    `json:"resource_type"`
	Type         string    `json:"type"`
	Format       string    `json:"format"`
	Bytes        int64     `json:"bytes"`
	ETag         string    `json:"etag"`
	CreatedAt    time.Time `json:"created_at"`
	Existing     bool      `json:"existing"`
	Done         *bool     `json:"done"`
	Error        apiError  `json:"error"`
}

// Put stores body with one upload request of at most 100 MB; larger content needs
// parts. What has both the extension and the content type of an image or video is
// stored as such, all else raw. The reply's signature and length are checked; Info.Verified is
// set when its ETag is the MD5 of the body. CacheControl and Disposition cannot be
// stored. With CreateOnly an unsigned or signed upload to a taken key fails with
// [cdn.ErrExists]. The body is not read any more when Put has returned.
func (p *Provider) Put(ctx context.Context, obj cdn.Object, r io.ReaderAt) (cdn.Info, error) {
	sum := md5.New()
	c := p.sending(ctx, "put", obj.Key, httpcall.NewBody(r, obj.Size, sum, httpcall.ObjectCRC(obj)))
	defer c.Body.Release()
	if obj.Size < 0 || obj.Size > maxPut {
		return cdn.Info{}, c.Fail(cdn.ErrTooLarge, fmt.Errorf("%d bytes in one request, at most %d", obj.Size, int64(maxPut)))
	}
	rep, err := c.upload(obj, nil, obj.Size)
	if err != nil {
		return cdn.Info{}, err
	}
	info := p.infoOf(obj, rep)
	if err := c.Released(); err != nil {
		return cdn.Info{}, err
	}
	if info.Verified = p.opts.APISecret != "" && rep.ETag == hex.EncodeToString(sum.Sum(nil)); !info.Verified {
		info.ETag = "" // Head tells that of the delivery, which need not be the API's
	}
	return info, nil
}

// params are the form fields of an upload, signed when there is a secret.
func (p *Provider) params(obj cdn.Object) (map[string]string, error) {
	id, err := publicID(obj.Key)
	if err != nil {
		return nil, err
	}
	m := map[string]string{"public_id": id, "upload_preset": p.opts.UploadPreset, "context": contextOf(obj.Metadata)}
	if p.opts.APISecret == "" {
		return m, nil
	}
	if p.opts.Authenticated {
		m["type"] = "authenticated"
	}
	m["overwrite"] = strconv.FormatBool(!obj.CreateOnly)
	m["invalidate"] = "true"
	if !obj.Transform.IsZero() {
		t := obj.Transform
		if t.Format != "auto" {
			m["format"] = formatOf(t.Format)
		}
		t.Format = ""
		m["transformation"] = transformation(t)
	}
	p.sign(m, time.Now())
	return m, nil
}

// sign adds timestamp, signature and API key to the fields of a request.
func (p *Provider) sign(m map[string]string, now time.Time) {
	m["timestamp"] = strconv.FormatInt(now.Unix(), 10)
	m["signature"] = p.signParams(m)
	m["api_key"] = p.opts.APIKey
}

// contextOf writes metadata as Cloudinary's contextual metadata.
func contextOf(m map[string]string) string {
	var b strings.Builder
	for _, k := range slices.Sorted(maps.Keys(m)) {
		if b.Len() > 0 {
			b.WriteByte('|')
		}
		b.WriteString(k)
		b.WriteByte('=')
		for _, c := range []byte(m[k]) {
			if c == '=' || c == '|' {
				b.WriteByte('\\')
			}
			b.WriteByte(c)
		}
	}
	return b.String()
}

// upload sends c.Body as a form. header carries the range of a chunk. want is the
// length of the whole object once it is complete, or negative to skip that check.
func (c call) upload(obj cdn.Object, header http.Header, want int64) (*reply, error) {
	p := c.p
	kind := kindOf(obj.Key, obj.ContentType)
	if err := checkTransform(obj.Transform); err != nil {
		return nil, c.Fail(cdn.ErrInvalid, err)
	}
	if !obj.Transform.IsZero() && (kind != "image" || p.opts.APISecret == "") {
		return nil, c.Fail(cdn.ErrInvalid, errors.New("only signed uploads of images are transformed"))
	}
	params, err := p.params(obj)
	if err != nil {
		return nil, c.Fail(cdn.ErrKey, err)
	}
	req, err := p.form(c.Ctx, p.opts.APIURL+"/v1_1/"+p.opts.CloudName+"/"+kind+"/upload", params, c.Body)
	if err != nil {
		return nil, c.Fail(cdn.ErrInvalid, err)
	}
	maps.Copy(req.Header, header)
	var rep reply
	if err := c.JSON(req, &rep); err != nil {
		return nil, err
	}
	if rep.Error.Message != "" {
		return nil, c.Fail(cdn.ErrUnavailable, errors.New(p.redact(rep.Error.Message)))
	}
	if rep.Done != nil && !*rep.Done {
		return &rep, nil
	}
	return &rep, c.check(obj, params["public_id"], kind, want, &rep)
}

// check compares the reply with what was asked for.
func (c call) check(obj cdn.Object, id, kind string, want int64, rep *reply) error {
	p := c.p
	switch {
	case rep.PublicID != id || rep.ResourceType != kind || rep.Type != p.deliveryType():
		return c.Fail(cdn.ErrUnavailable, errors.New("the reply is about another object"))
	case p.opts.APISecret != "" && !p.validReply(rep.PublicID, rep.Version, rep.Signature):
		return c.Fail(cdn.ErrUnavailable, errors.New("the reply is not signed with our secret"))
	case rep.Existing && obj.CreateOnly:
		return c.Fail(cdn.ErrExists, nil)
	case rep.Existing && p.opts.APISecret == "":
		return c.Fail(cdn.ErrExists, errors.New("an unsigned upload does not overwrite"))
	case obj.Transform.IsZero() && want >= 0 && rep.Bytes != want:
		return c.Fail(cdn.ErrChecksum, fmt.Errorf("the reply tells of %d bytes, %d were sent", rep.Bytes, want))
	}
	if _, ok := parseLocator(locatorOf(rep).String()); !ok {
		return c.Fail(cdn.ErrUnavailable, errors.New("the reply names no format that a URL can hold"))
	}
	return nil
}

// form builds a multipart form of exactly known length around b.
func (p *Provider) form(ctx context.Context, url string, fields map[string]string, b *httpcall.Body) (*http.Request, error) {
	var head bytes.Buffer
	w := multipart.NewWriter(&head)
	for _, k := range slices.Sorted(maps.Keys(fields)) {
		if fields[k] == "" {
			continue
		}
		if err := w.WriteField(k, fields[k]); err != nil {
			return nil, err
		}
	}
	if _, err := w.CreateFormFile("file", "file"); err != nil {
		return nil, err
	}
	tail := "\r\n--" + w.Boundary() + "--\r\n"
	size := int64(head.Len()) + b.Size() + int64(len(tail))
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, io.MultiReader(&head, b, strings.NewReader(tail)))
	if err != nil {
		return nil, err
	}
	req.ContentLength = size
	req.Header.Set("Content-Type", w.FormDataContentType())
	return req, nil
}

func locatorOf(rep *reply) locator {
	l := locator{rep.ResourceType, rep.Type, rep.Version, rep.Format}
	if l.kind == "raw" {
		l.format = ""
	}
	return l
}

// infoOf describes what an upload has stored.
func (p *Provider) infoOf(obj cdn.Object, rep *reply) cdn.Info {
	info := cdn.Info{
		Ref:         cdn.Ref{Key: obj.Key, Handle: locatorOf(rep).String()},
		Size:        rep.Bytes,
		ContentType: obj.ContentType,
		Metadata:    obj.Metadata,
		ETag:        rep.ETag,
		ModTime:     rep.CreatedAt,
	}
	if obj.Transform.IsZero() {
		info.SHA256 = obj.SHA256
		return info
	}
	if ct := imageTypes[rep.Format]; ct != "" {
		info.ContentType = ct
	}
	return info
}

// PartLimits returns Cloudinary's limits of a chunked upload: chunks of 5 MB to
// 100 MB, in order, one at a time.
func (p *Provider) PartLimits() cdn.PartLimits {
	return cdn.PartLimits{MinSize: 5 << 20, MaxSize: maxPut, Sequential: true}
}

// Begin makes the identifier that all chunks of one upload share. It sends nothing.
func (p *Provider) Begin(ctx context.Context, obj cdn.Object) (string, error) {
	c := p.call(ctx, "begin", obj.Key)
	if ctx.Err() != nil {
		return "", c.Fail(httpcall.Cancelled(ctx))
	}
	if _, err := publicID(obj.Key); err != nil {
		return "", c.Fail(cdn.ErrKey, err)
	}
	return rand.Text(), nil
}

// PutPart sends one chunk, signed anew. Chunks go in order, and the reply to the
// last one is the object's, which is kept in PartInfo.ETag for Complete. The body
// is not read any more when PutPart has returned.
func (p *Provider) PutPart(ctx context.Context, obj cdn.Object, uploadID string, part cdn.Part, r io.ReaderAt) (cdn.PartInfo, error) {
	c := p.sending(ctx, "part", obj.Key, httpcall.NewBody(r, part.Size, nil, httpcall.PartCRC(part)))
	defer c.Body.Release()
	total := part.Total
	if part.Last {
		total = part.Offset + part.Size
	} else if total <= 0 {
		total = -1
	}
	switch {
	case part.Size <= 0 || part.Offset < 0 || uploadID == "":
		return cdn.PartInfo{}, c.Fail(cdn.ErrInvalid, errors.New("an empty part, or no upload"))
	case part.Size > maxPut:
		return cdn.PartInfo{}, c.Fail(cdn.ErrTooLarge, fmt.Errorf("a part of %d bytes, at most %d", part.Size, int64(maxPut)))
	}
	rep, err := c.upload(obj, http.Header{
		"X-Unique-Upload-Id": {uploadID},
		"Content-Range":      {fmt.Sprintf("bytes %d-%d/%d", part.Offset, part.Offset+part.Size-1, total)},
	}, total)
	if err != nil {
		return cdn.PartInfo{}, err
	}
	info := cdn.PartInfo{Number: part.Number, Size: part.Size}
	complete := rep.Done == nil || *rep.Done
	if complete != part.Last {
		return cdn.PartInfo{}, c.Fail(cdn.ErrUnavailable, fmt.Errorf("the reply to part %d tells done: %v", part.Number, complete))
	}
	if complete {
		info.ETag = locatorOf(rep).String() + " " + rep.ETag
	}
	return info, nil
}

// Parts fails: Cloudinary does not tell which chunks it holds. The error matches
// [cdn.ErrInvalid] and errors.ErrUnsupported.
func (p *Provider) Parts(ctx context.Context, obj cdn.Object, uploadID string) ([]cdn.PartInfo, error) {
	return nil, p.call(ctx, "parts", obj.Key).Fail(cdn.ErrInvalid, errors.ErrUnsupported)
}

// Complete describes the object that the last chunk has completed. It sends nothing.
func (p *Provider) Complete(ctx context.Context, obj cdn.Object, uploadID string, parts []cdn.PartInfo) (cdn.Info, error) {
	c := p.call(ctx, "complete", obj.Key)
	if ctx.Err() != nil {
		return cdn.Info{}, c.Fail(httpcall.Cancelled(ctx))
	}
	info := cdn.Info{ContentType: obj.ContentType, Metadata: obj.Metadata, SHA256: obj.SHA256}
	last := ""
	for _, part := range parts {
		info.Size += part.Size
		last = part.ETag
	}
	handle, _, _ := strings.Cut(last, " ") // the API's ETag is not the one that Head will tell
	if _, ok := parseLocator(handle); !ok {
		return cdn.Info{}, c.Fail(cdn.ErrInvalid, errors.New("the last part is missing"))
	}
	info.Ref = cdn.Ref{Key: obj.Key, Handle: handle}
	return info, nil
}

// Abort does nothing: Cloudinary forgets unfinished uploads by itself.
func (p *Provider) Abort(ctx context.Context, obj cdn.Object, uploadID string) error { return nil }
