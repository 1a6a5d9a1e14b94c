package s3cdn

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/perfblocks/perfblocks/cdn"
)

// PresignForm permits uploads by a form with a POST policy, which S3, MinIO, Ceph and
// versitygw take and R2 does not, for 15 minutes or req.Expiry up to 7 days. The policy
// binds bucket, key or folder, length, content type and status, and the credentials that
// sign it, which may end it earlier. Without req.ContentType the client can name none and
// S3 stores binary/octet-stream. Below a folder a script should set the field "key":
// versitygw 1.8.0 does not put the name of the file there, as S3 does. It makes no
// request to the bucket.
func (p *Provider) PresignForm(ctx context.Context, req cdn.FormRequest) (cdn.DirectUpload, error) {
	const op = "presign"
	req, err := req.Checked()
	if err != nil {
		kind := cdn.ErrInvalid
		if errors.Is(err, cdn.ErrKey) {
			kind = cdn.ErrKey
		}
		return cdn.DirectUpload{}, p.refuse(op, req.Key, kind, err)
	}
	life, err := expiry(req.Expiry)
	if err != nil {
		return cdn.DirectUpload{}, p.refuse(op, req.Key, cdn.ErrInvalid, err)
	}
	if err := p.check(op, cdn.Object{Key: req.Key, ContentType: req.ContentType}, max(req.MinBytes, req.MaxBytes)); err != nil {
		return cdn.DirectUpload{}, err
	}
	name := *p.name(req.Key)
	if strings.Contains(name, "${") {
		return cdn.DirectUpload{}, p.refuse(op, req.Key, cdn.ErrKey, errors.New("the key of a form holds ${"))
	}
	creds, err := p.creds.Retrieve(ctx)
	if err != nil {
		return cdn.DirectUpload{}, p.fail(ctx, op, req.Key, err)
	}
	now := time.Now()
	server := now.Add(time.Duration(p.skew.Load())).UTC()
	date := server.Format("20060102")
	most := req.MaxBytes
	if most == 0 {
		most = maxPut
	}
	fields := map[string]string{
		"key":                   name,
		"success_action_status": strconv.Itoa(req.Status),
		"X-Amz-Algorithm":       "AWS4-HMAC-SHA256",
		"X-Amz-Credential":      creds.AccessKeyID + "/" + date + "/" + p.region + "/s3/aws4_request",
		"X-Amz-Date":            server.Format("20060102T150405Z"),
	}
	if req.ContentType != "" {
		fields["Content-Type"] = req.ContentType
	}
	if creds.SessionToken != "" {
		fields["X-Amz-Security-Token"] = creds.SessionToken
	}
	conditions := []any{map[string]string{"bucket": p.opts.Bucket}, []any{"content-length-range", req.MinBytes, most}}
	for k, v := range fields {
		if k == "key" && strings.HasSuffix(v, "/") {
			conditions = append(conditions, []string{"starts-with", "$key", v})
			fields[k] += "${filename}"
			continue
		}
		conditions = append(conditions, map[string]string{k: v})
	}
	text, err := json.Marshal(struct {
		Expiration string `json:"expiration"`
		Conditions []any  `json:"conditions"`
	}{server.Add(life).Format("2006-01-02T15:04:05.000Z"), conditions})
	if err != nil {
		return cdn.DirectUpload{}, p.refuse(op, req.Key, cdn.ErrInvalid, err)
	}
	fields["policy"] = base64.StdEncoding.EncodeToString(text)
	fields["X-Amz-Signature"] = signPolicy(creds.SecretAccessKey, date, p.region, fields["policy"])
	return cdn.DirectUpload{Method: http.MethodPost, URL: p.form, Fields: fields, FileField: "file", Expires: now.Add(life)}, nil
}

// signPolicy is the signature of an encoded policy, which is the string to sign.
func signPolicy(secret, date, region, policy string) string {
	sum := []byte("AWS4" + secret)
	for _, s := range []string{date, region, "s3", "aws4_request", policy} {
		mac := hmac.New(sha256.New, sum)
		mac.Write([]byte(s))
		sum = mac.Sum(nil)
	}
	return hex.EncodeToString(sum)
}
