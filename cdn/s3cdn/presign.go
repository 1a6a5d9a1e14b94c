package s3cdn

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/feature/cloudfront/sign"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/perfblocks/perfblocks/cdn"
)

const (
	defaultExpiry = 15 * time.Minute
	maxExpiry     = 7 * 24 * time.Hour
)

// expiry checks how long a signature is to live.
func expiry(d time.Duration) (time.Duration, error) {
	switch {
	case d == 0:
		return defaultExpiry, nil
	case d < time.Second || d > maxExpiry:
		return 0, fmt.Errorf("expiry %v is not in 1s to %v", d, maxExpiry)
	}
	return d, nil
}

// PresignPut permits one upload for 15 minutes, or req.Expiry up to 7 days. With a
// Size it is a PUT whose signature covers length and type. With MaxBytes alone it
// is the form of PresignForm, which R2 does not take; with neither it is a PUT of any
// length. It makes no request to the bucket.
func (p *Provider) PresignPut(ctx context.Context, req cdn.PresignRequest) (cdn.DirectUpload, error) {
	const op = "presign"
	life, err := expiry(req.Expiry)
	if err != nil {
		return cdn.DirectUpload{}, p.refuse(op, req.Key, cdn.ErrInvalid, err)
	}
	if err := p.check(op, cdn.Object{Key: req.Key, ContentType: req.ContentType}, max(req.Size, 0)); err != nil {
		return cdn.DirectUpload{}, err
	}
	if req.Size < 0 || req.MaxBytes < 0 {
		return cdn.DirectUpload{}, p.refuse(op, req.Key, cdn.ErrInvalid, errors.New("a size is negative"))
	}
	if req.MaxBytes > 0 && req.Size > req.MaxBytes {
		return cdn.DirectUpload{}, p.refuse(op, req.Key, cdn.ErrTooLarge, fmt.Errorf("%d bytes, over %d", req.Size, req.MaxBytes))
	}
	if req.Size == 0 && req.MaxBytes > 0 {
		return p.PresignForm(ctx, cdn.FormRequest{Key: req.Key, ContentType: req.ContentType, MaxBytes: req.MaxBytes, Expiry: life})
	}
	in := &s3.PutObjectInput{Bucket: &p.opts.Bucket, Key: p.name(req.Key), ContentType: optional(req.ContentType)}
	if req.Size > 0 {
		in.ContentLength = aws.Int64(req.Size)
	}
	expires := time.Now().Add(life)
	out, err := p.presign.PresignPutObject(ctx, in, func(o *s3.PresignOptions) {
		o.Expires = life
		if req.ContentType != "" {
			// The SDK drops the type of a request without length, and so would not sign it.
			o.ClientOptions = append(o.ClientOptions, s3.WithAPIOptions(smithyhttp.SetHeaderValue("Content-Type", req.ContentType)))
		}
	})
	if err != nil {
		return cdn.DirectUpload{}, p.fail(ctx, op, req.Key, err)
	}
	header := make(map[string]string, len(out.SignedHeader))
	for k, v := range out.SignedHeader {
		if !strings.EqualFold(k, "Host") && !strings.EqualFold(k, "Content-Length") {
			header[k] = strings.Join(v, ",")
		}
	}
	return cdn.DirectUpload{Method: out.Method, URL: out.URL, Header: header, Expires: expires}, nil
}

// PresignGet returns a URL that fetches the object for 15 minutes, or expiry up to
// 7 days: one of the bucket's endpoint, or of PublicURL signed for CloudFront when
// its key is set. It makes no request to the bucket.
func (p *Provider) PresignGet(ctx context.Context, ref cdn.Ref, life time.Duration) (string, error) {
	const op = "presign"
	life, err := expiry(life)
	if err != nil {
		return "", p.refuse(op, ref.Key, cdn.ErrInvalid, err)
	}
	if p.set.rsa != nil {
		plain, _ := p.URL(ref)
		signed, err := sign.NewURLSigner(p.opts.CloudFrontKeyID, p.set.rsa).Sign(plain, time.Now().Add(life))
		if err != nil {
			return "", p.refuse(op, ref.Key, cdn.ErrInvalid, err)
		}
		return signed, nil
	}
	out, err := p.presign.PresignGetObject(ctx,
		&s3.GetObjectInput{Bucket: &p.opts.Bucket, Key: p.name(ref.Key)},
		s3.WithPresignExpires(life))
	if err != nil {
		return "", p.fail(ctx, op, ref.Key, err)
	}
	return out.URL, nil
}
