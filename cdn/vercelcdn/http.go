package vercelcdn

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"

	"github.com/perfblocks/perfblocks/cdn"
	"github.com/perfblocks/perfblocks/cdn/internal/httpcall"
)

// call is one request to the API or a blob's URL.
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

func (p *Provider) newAPI(client *http.Client) httpcall.API {
	return httpcall.API{
		Name: p.opts.Name, Service: "Vercel", RequestID: "X-Vercel-Id", Client: client, Refuse: refusal, Redact: p.redact,
	}
}

// refusal reads a reply that is not 2xx, which is Vercel's JSON or anything.
func refusal(h http.Header, status int, text []byte) httpcall.Refusal {
	var reply struct{ Error apiError }
	if json.Unmarshal(text, &reply) != nil {
		reply.Error = apiError{}
	}
	return httpcall.Refusal{
		Kind: kindOf(status, reply.Error), Code: reply.Error.Code, Message: reply.Error.Message,
		Wait: httpcall.RetryAfter(h.Get("Retry-After")),
	}
}

type apiError struct {
	Code    string `json:"code"`
	Message string `json:"message"`
}

// redact keeps what a message says and drops what it repeats of the token.
func (p *Provider) redact(msg string) string {
	if _, secret, ok := strings.Cut(strings.TrimPrefix(p.opts.Token, tokenPrefix), "_"); ok {
		msg = strings.ReplaceAll(msg, secret, "***")
	}
	return msg
}

// kindOf classifies a reply by its code, which is finer, and else by its status. Some
// refusals share the code bad_request and differ in their message only.
func kindOf(status int, e apiError) error {
	switch e.Code {
	case "not_found":
		return cdn.ErrNotFound
	case "forbidden", "access", "client_token_expired", "store_suspended":
		return cdn.ErrAuth
	case "store_not_found", "not_allowed", "content_type_not_allowed", "client_token_pathname_mismatch":
		return cdn.ErrInvalid
	case "precondition_failed":
		return cdn.ErrExists
	case "file_too_large":
		return cdn.ErrTooLarge
	case "rate_limited":
		return cdn.ErrRateLimited
	case "unknown_error", "service_unavailable", "internal_server_error":
		return cdn.ErrUnavailable
	case "bad_request":
		switch {
		case strings.Contains(e.Message, "already exists"):
			return cdn.ErrExists
		case strings.Contains(e.Message, "the file length cannot be greater than"):
			return cdn.ErrTooLarge
		}
	}
	return httpcall.KindOfStatus(status)
}
