package vercelcdn

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/perfblocks/perfblocks/cdn"
)

const (
	defaultExpiry = 15 * time.Minute
	maxExpiry     = 7 * 24 * time.Hour // our own bound
)

// grant is the payload of a client token.
type grant struct {
	Pathname        string   `json:"pathname"`
	ValidUntil      int64    `json:"validUntil"` // milliseconds
	ContentTypes    []string `json:"allowedContentTypes,omitempty"`
	MaxSize         int64    `json:"maximumSizeInBytes,omitempty"`
	AddRandomSuffix bool     `json:"addRandomSuffix"`
	AllowOverwrite  bool     `json:"allowOverwrite"`
}

// PresignPut permits one client to PUT one object for 15 minutes, or req.Expiry up
// to 7 days: the header Authorization of the result is a client token that names
// key, type and greatest length (Size, else MaxBytes). It does no I/O.
func (p *Provider) PresignPut(ctx context.Context, req cdn.PresignRequest) (cdn.DirectUpload, error) {
	c := p.call(ctx, "presign", req.Key)
	life := req.Expiry
	if life == 0 {
		life = defaultExpiry
	}
	switch {
	case life < time.Second || life > maxExpiry:
		return cdn.DirectUpload{}, c.Fail(cdn.ErrInvalid, fmt.Errorf("expiry %v is not in 1s to %v", life, maxExpiry))
	case req.Size < 0 || req.MaxBytes < 0:
		return cdn.DirectUpload{}, c.Fail(cdn.ErrInvalid, errors.New("a size is negative"))
	case req.MaxBytes > 0 && req.Size > req.MaxBytes:
		return cdn.DirectUpload{}, c.Fail(cdn.ErrTooLarge, fmt.Errorf("%d bytes, over %d", req.Size, req.MaxBytes))
	}
	if err := c.check(cdn.Object{Key: req.Key}); err != nil {
		return cdn.DirectUpload{}, err
	}
	g := grant{Pathname: req.Key, MaxSize: req.MaxBytes, AllowOverwrite: true}
	if req.Size > 0 {
		g.MaxSize = req.Size
	}
	header := map[string]string{
		"X-Api-Version":        apiVersion,
		"X-Vercel-Blob-Access": p.access(),
	}
	if req.ContentType != "" {
		g.ContentTypes = []string{req.ContentType}
		header["X-Content-Type"] = req.ContentType
	}
	expires := time.Now().Add(life)
	g.ValidUntil = expires.UnixMilli()
	token, err := p.clientToken(g)
	if err != nil {
		return cdn.DirectUpload{}, c.Fail(cdn.ErrInvalid, err)
	}
	header["Authorization"] = "Bearer " + token
	return cdn.DirectUpload{
		Method:  http.MethodPut,
		URL:     p.opts.APIURL + "/?" + url.Values{"pathname": {req.Key}}.Encode(),
		Header:  header,
		Expires: expires,
	}, nil
}

// clientToken signs a grant with the store's token, as the official client does.
func (p *Provider) clientToken(g grant) (string, error) {
	text, err := json.Marshal(g)
	if err != nil {
		return "", err
	}
	payload := base64.StdEncoding.EncodeToString(text)
	mac := hmac.New(sha256.New, []byte(p.opts.Token))
	mac.Write([]byte(payload))
	signed := hex.EncodeToString(mac.Sum(nil)) + "." + payload
	return "vercel_blob_client_" + p.store + "_" + base64.StdEncoding.EncodeToString([]byte(signed)), nil
}

// PresignGet fails: public blobs need no signature, and delegated reading of private
// ones is not supported. The error matches [cdn.ErrInvalid] and errors.ErrUnsupported.
func (p *Provider) PresignGet(ctx context.Context, ref cdn.Ref, expiry time.Duration) (string, error) {
	return "", p.call(ctx, "presign", ref.Key).Fail(cdn.ErrInvalid, errors.ErrUnsupported)
}
