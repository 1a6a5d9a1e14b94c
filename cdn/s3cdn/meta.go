package s3cdn

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"mime"
	"strings"

	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/smithy-go/middleware"

	"github.com/perfblocks/perfblocks/cdn"
)

// infoOf is what is known of an object that has just been stored.
func infoOf(obj cdn.Object) cdn.Info {
	return cdn.Info{
		Ref:          cdn.Ref{Key: obj.Key},
		Size:         obj.Size,
		ContentType:  obj.ContentType,
		CacheControl: obj.CacheControl,
		Disposition:  obj.Disposition,
		Metadata:     obj.Metadata,
		SHA256:       obj.SHA256,
	}
}

func optional(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

// payloadHash gives the SDK a known SHA-256, so that a body over plain http is not
// read twice. Over https the SDK sends UNSIGNED-PAYLOAD, which servers need not hash.
func (p *Provider) payloadHash(sum [32]byte) func(*s3.Options) {
	if p.https || sum == ([32]byte{}) {
		return func(*s3.Options) {}
	}
	set := middleware.InitializeMiddlewareFunc("perfblocks:PayloadHash",
		func(ctx context.Context, in middleware.InitializeInput, next middleware.InitializeHandler) (middleware.InitializeOutput, middleware.Metadata, error) {
			return next.HandleInitialize(v4.SetPayloadHash(ctx, hex.EncodeToString(sum[:])), in)
		})
	return s3.WithAPIOptions(func(s *middleware.Stack) error { return s.Initialize.Add(set, middleware.Before) })
}

// encodeMeta makes header values of metadata: what is not plain ASCII, or would not
// survive as a header, becomes an RFC 2047 word, as S3 itself writes them.
func encodeMeta(m map[string]string) (map[string]string, error) {
	if len(m) == 0 {
		return nil, nil
	}
	out := make(map[string]string, len(m))
	for k, v := range m {
		if !token(k) {
			return nil, fmt.Errorf("metadata key %q is not a lower-case header name", k)
		}
		if !plain(v) {
			v = "=?utf-8?b?" + base64.StdEncoding.EncodeToString([]byte(v)) + "?="
		}
		out[k] = v
	}
	return out, nil
}

// decodeMeta undoes encodeMeta.
func decodeMeta(m map[string]string) map[string]string {
	if len(m) == 0 {
		return nil
	}
	var dec mime.WordDecoder
	out := make(map[string]string, len(m))
	for k, v := range m {
		if strings.Contains(v, "=?") {
			if d, err := dec.DecodeHeader(v); err == nil {
				v = d
			}
		}
		out[strings.ToLower(k)] = v
	}
	return out
}

// headerValue reports whether v can be sent; net/http's refusal of it would look
// like a network failure.
func headerValue(v string) bool {
	for i := range len(v) {
		if v[i] < ' ' && v[i] != '\t' || v[i] == 0x7f {
			return false
		}
	}
	return true
}

func token(k string) bool {
	for i := range len(k) {
		c := k[i]
		if !('a' <= c && c <= 'z' || '0' <= c && c <= '9' || c == '-' || c == '_' || c == '.') {
			return false
		}
	}
	return k != ""
}

func plain(v string) bool {
	for i := range len(v) {
		if v[i] < ' ' || v[i] > '~' {
			return false
		}
	}
	return v == strings.TrimSpace(v) && !strings.Contains(v, "=?")
}
