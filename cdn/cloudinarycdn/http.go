package cloudinarycdn

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"

	"github.com/perfblocks/perfblocks/cdn"
	"github.com/perfblocks/perfblocks/cdn/internal/httpcall"
)

// call is one request to the API or a delivery URL.
type call struct {
	httpcall.Call
	p *Provider
}

func (p *Provider) call(ctx context.Context, op, key string) call {
	return call{httpcall.Call{API: &p.api, Ctx: ctx, Op: op, Key: key}, p}
}

// sending is a call with a body, which the caller of the provider must get back by
// Released.
func (p *Provider) sending(ctx context.Context, op, key string, b *httpcall.Body) call {
	c := p.call(ctx, op, key)
	c.Body = b
	return c
}

// refuse is the error of what is not sent at all.
func (p *Provider) refuse(op, key string, kind, cause error) error {
	return &cdn.OpError{Provider: p.opts.Name, Op: op, Key: key, Kind: kind, Err: cause}
}

func (p *Provider) newAPI(client *http.Client) httpcall.API {
	return httpcall.API{
		Name: p.opts.Name, Service: "Cloudinary", RequestID: "X-Request-Id", Client: client, Refuse: refusal, Redact: p.redact,
	}
}

// refusal reads a reply that is not 2xx, which is Cloudinary's JSON or anything.
func refusal(h http.Header, status int, text []byte) httpcall.Refusal {
	msg := h.Get("X-Cld-Error")
	var reply struct{ Error apiError }
	if json.Unmarshal(text, &reply) == nil && reply.Error.Message != "" {
		msg = reply.Error.Message
	}
	after := h.Get("Retry-After")
	if after == "" {
		after = h.Get("X-FeatureRateLimit-Reset")
	}
	return httpcall.Refusal{
		Kind: kindOfStatus(status, msg), Message: msg, Wait: httpcall.RetryAfter(after, "2006-01-02 15:04:05 MST"),
	}
}

type apiError struct {
	Message string `json:"message"`
}

// redact keeps what a message says and drops what it repeats of the request.
func (p *Provider) redact(msg string) string {
	if strings.Contains(strings.ToLower(msg), "signature") {
		return "invalid signature"
	}
	for _, secret := range []string{p.opts.APISecret, p.opts.APIKey} {
		if secret != "" {
			msg = strings.ReplaceAll(msg, secret, "***")
		}
	}
	if before, signed, ok := strings.Cut(msg, "/s--"); ok { // a signed delivery URL, whose signature never expires
		_, after, _ := strings.Cut(signed, "--")
		after, _, _ = strings.Cut(after, "/s--")
		msg = before + "/***" + after
	}
	return msg
}

func kindOfStatus(status int, msg string) error {
	switch {
	case status == 420:
		return cdn.ErrRateLimited
	case status == http.StatusBadRequest && strings.HasPrefix(msg, "File size too large"):
		return cdn.ErrTooLarge
	case status == http.StatusBadRequest && strings.HasPrefix(msg, "Stale request"):
		return cdn.ErrAuth
	}
	return httpcall.KindOfStatus(status)
}
