package cloudinarycdn

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/perfblocks/perfblocks/cdn"
)

const (
	defaultExpiry = 15 * time.Minute
	maxPutExpiry  = time.Hour           // how old a signed form may be
	maxGetExpiry  = 30 * 24 * time.Hour // our own bound
)

// PresignPut returns a form for one upload, valid for 15 minutes, or req.Expiry up
// to an hour. Without APISecret it is the preset's unsigned form, which does not
// expire. Cloudinary cannot bound the length of a signed upload, so that MaxBytes
// and Size need an UploadPreset that does; else the error matches [cdn.ErrInvalid].
// It does no I/O.
func (p *Provider) PresignPut(ctx context.Context, req cdn.PresignRequest) (cdn.DirectUpload, error) {
	c := p.call(ctx, "presign", req.Key)
	life := req.Expiry
	if life == 0 {
		life = defaultExpiry
	}
	if life < time.Second || life > maxPutExpiry {
		return cdn.DirectUpload{}, c.Fail(cdn.ErrInvalid, fmt.Errorf("expiry %v is not in 1s to %v", life, maxPutExpiry))
	}
	if (req.MaxBytes != 0 || req.Size != 0) && p.opts.UploadPreset == "" {
		return cdn.DirectUpload{}, c.Fail(cdn.ErrInvalid, errors.New("only an UploadPreset bounds the length of an upload"))
	}
	id, err := publicID(req.Key)
	if err != nil {
		return cdn.DirectUpload{}, c.Fail(cdn.ErrKey, err)
	}
	m := map[string]string{"public_id": id}
	if p.opts.UploadPreset != "" {
		m["upload_preset"] = p.opts.UploadPreset
	}
	up := cdn.DirectUpload{
		Method:    http.MethodPost,
		URL:       p.opts.APIURL + "/v1_1/" + p.opts.CloudName + "/" + kindOf(req.Key, req.ContentType) + "/upload",
		Fields:    m,
		FileField: "file",
	}
	if p.opts.APISecret == "" {
		return up, nil
	}
	if p.opts.Authenticated {
		m["type"] = "authenticated"
	}
	m["overwrite"], m["invalidate"] = "true", "true"
	// Cloudinary takes a form for one hour after its timestamp; an earlier timestamp
	// makes it expire earlier.
	up.Expires = time.Now().Add(life)
	p.sign(m, up.Expires.Add(-maxPutExpiry))
	return up, nil
}

// PresignGet returns a URL of the API that fetches the original for 15 minutes, or
// expiry up to 30 days. It holds the API key, which is no secret, and needs
// APISecret. It does no I/O.
func (p *Provider) PresignGet(ctx context.Context, ref cdn.Ref, expiry time.Duration) (string, error) {
	c := p.call(ctx, "presign", ref.Key)
	if p.opts.APISecret == "" {
		return "", c.Fail(cdn.ErrAuth, errors.New("signing needs APISecret"))
	}
	if expiry == 0 {
		expiry = defaultExpiry
	}
	if expiry < time.Second || expiry > maxGetExpiry {
		return "", c.Fail(cdn.ErrInvalid, fmt.Errorf("expiry %v is not in 1s to %v", expiry, maxGetExpiry))
	}
	id, err := publicID(ref.Key)
	if err != nil {
		return "", c.Fail(cdn.ErrKey, err)
	}
	l, _ := p.locate(ref)
	now := time.Now()
	m := map[string]string{
		"public_id":  id,
		"type":       l.typ,
		"expires_at": strconv.FormatInt(now.Add(expiry).Unix(), 10),
	}
	if l.format != "" {
		m["format"] = l.format
	}
	p.sign(m, now)
	q := make(url.Values, len(m))
	for k, v := range m {
		q.Set(k, v)
	}
	return p.opts.APIURL + "/v1_1/" + p.opts.CloudName + "/" + l.kind + "/download?" + q.Encode(), nil
}
