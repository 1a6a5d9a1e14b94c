package httpcall

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/perfblocks/perfblocks/cdn"
)

// maxReply bounds what is read of a reply of an API, in bytes.
const maxReply = 1 << 20

// API is what the calls of one provider have in common.
type API struct {
	Name      string // of the provider, for errors
	Service   string // such as "Vercel", for errors
	RequestID string // header with the identifier of a request
	Client    *http.Client
	// Refuse reads a reply that is not 2xx.
	Refuse func(header http.Header, status int, text []byte) Refusal
	// Redact takes the secrets out of a message.
	Redact func(msg string) string
}

// Refusal is what a reply says that is not 2xx. Code and Message may still hold
// secrets and any characters.
type Refusal struct {
	Kind          error
	Code, Message string
	Wait          time.Duration // that it asks for
}

// Call is one request to an API or to where objects are served, and what its errors
// say.
type Call struct {
	*API
	Ctx     context.Context
	Op, Key string
	Body    *Body // nil without a caller's content
}

// Do sends the request. A reply of any status but 2xx becomes an error, whatever
// its body says; the caller closes the body of any other.
func (c Call) Do(req *http.Request) (*http.Response, error) {
	resp, err := c.Client.Do(req)
	if err != nil {
		return nil, c.Lost(err)
	}
	if resp.StatusCode/100 == 2 {
		return resp, nil
	}
	defer resp.Body.Close()
	text, _ := io.ReadAll(io.LimitReader(resp.Body, maxReply))
	said := c.Refuse(resp.Header, resp.StatusCode, text)
	e := c.Fail(said.Kind, nil)
	if msg := Clip(c.Redact(said.Message), 200); msg != "" {
		e.Err = errors.New(msg)
	}
	e.Status, e.Code, e.Wait = resp.StatusCode, Clip(c.Redact(said.Code), 64), said.Wait
	e.RequestID = Clip(resp.Header.Get(c.RequestID), 128)
	if c.Ctx.Err() != nil {
		e.Kind, e.Err = Cancelled(c.Ctx)
	}
	return nil, e
}

// JSON sends the request and decodes a reply of the API into v; nil wants none.
func (c Call) JSON(req *http.Request, v any) error {
	resp, err := c.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, maxReply))
	if err != nil {
		return c.Lost(err)
	}
	if v == nil {
		v = new(json.RawMessage)
	}
	if err := json.Unmarshal(text, v); err != nil {
		e := c.Fail(cdn.ErrUnavailable, errors.New("the reply is not "+c.Service+"'s"))
		e.Status, e.RequestID = resp.StatusCode, Clip(resp.Header.Get(c.RequestID), 128)
		return e
	}
	return nil
}

// Fail is an error of the call.
func (c Call) Fail(kind, cause error) *cdn.OpError {
	return &cdn.OpError{Provider: c.Name, Op: c.Op, Key: c.Key, Kind: kind, Err: cause}
}

// Lost is the error of a request without a whole reply: the caller's cancellation,
// else a body that could not be read, else the network.
func (c Call) Lost(err error) error {
	if c.Ctx.Err() != nil {
		return c.Fail(Cancelled(c.Ctx))
	}
	if c.Body != nil {
		if berr := c.Released(); berr != nil {
			return berr
		}
	}
	if ue, ok := errors.AsType[*url.Error](err); ok {
		err = ue.Err // without the URL, which may be signed
	}
	return c.Fail(cdn.ErrUnavailable, err)
}

// Released lets go of the body and returns its failure as one of the call, or nil.
func (c Call) Released() error {
	if be, ok := errors.AsType[*BodyError](c.Body.Release()); ok {
		return c.Fail(be.Kind(), be.err)
	}
	return nil
}

// Content is the body as a request wants it.
func (c Call) Content() io.Reader {
	if c.Body.size == 0 {
		return http.NoBody
	}
	return c.Body
}

// Cancelled is the kind and cause of a call whose context ended. A deadline counts
// as unavailability, a cancellation as nobody's fault.
func Cancelled(ctx context.Context) (kind, cause error) {
	err := ctx.Err()
	if errors.Is(err, context.DeadlineExceeded) {
		kind = cdn.ErrUnavailable
	}
	if c := context.Cause(ctx); c != nil && !errors.Is(c, err) {
		err = errors.Join(err, c)
	}
	return kind, err
}

// Clip makes one line of at most most bytes of what a server says.
func Clip(s string, most int) string {
	cut := len(s) > most
	if cut {
		s = s[:most]
	}
	s = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s, ""))
	if cut {
		s += "…"
	}
	return s
}

// KindOfStatus classifies a reply by its status alone.
func KindOfStatus(status int) error {
	switch {
	case status == http.StatusUnauthorized, status == http.StatusForbidden:
		return cdn.ErrAuth
	case status == http.StatusNotFound:
		return cdn.ErrNotFound
	case status == http.StatusConflict, status == http.StatusPreconditionFailed:
		return cdn.ErrExists
	case status == http.StatusRequestEntityTooLarge:
		return cdn.ErrTooLarge
	case status == http.StatusTooManyRequests:
		return cdn.ErrRateLimited
	case status == http.StatusRequestTimeout, status >= 500:
		return cdn.ErrUnavailable
	}
	return cdn.ErrInvalid
}

// RetryAfter reads the value of a Retry-After in both of its forms, or in that of
// layouts; 0 when absent, malformed or past.
func RetryAfter(v string, layouts ...string) time.Duration {
	if n, err := strconv.ParseUint(v, 10, 31); err == nil {
		return time.Duration(n) * time.Second
	}
	for _, layout := range append([]string{http.TimeFormat, time.RFC850, time.ANSIC}, layouts...) {
		if t, err := time.Parse(layout, v); err == nil {
			return max(time.Until(t), 0)
		}
	}
	return 0
}

// NewClient returns a client for many parallel requests to one host. wait is from the
// last byte of a request to the first of its reply.
func NewClient(wait time.Duration) *http.Client {
	return WithoutRedirects(&http.Client{
		Transport: &http.Transport{
			Proxy:                 http.ProxyFromEnvironment,
			DialContext:           (&net.Dialer{Timeout: 5 * time.Second, KeepAlive: 30 * time.Second}).DialContext,
			ForceAttemptHTTP2:     true,
			MaxIdleConns:          128,
			MaxIdleConnsPerHost:   64,
			IdleConnTimeout:       90 * time.Second,
			TLSHandshakeTimeout:   10 * time.Second,
			ResponseHeaderTimeout: wait,
			ExpectContinueTimeout: time.Second,
			WriteBufferSize:       64 << 10,
			ReadBufferSize:        32 << 10,
		},
	})
}

// WithoutRedirects is c with redirects as replies like others, whatever c makes of them.
// Following one would make a GET of a PUT or a DELETE, whose success is none, and send
// tokens in headers elsewhere.
func WithoutRedirects(c *http.Client) *http.Client {
	own := *c
	own.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &own
}

// ParseBase accepts an absolute http or https URL. Its errors never repeat the
// value, which may hold a password.
func ParseBase(raw string) (*url.URL, error) {
	u, err := url.Parse(raw)
	switch {
	case err != nil:
		return nil, errors.New("is not a URL")
	case u.Scheme != "http" && u.Scheme != "https":
		return nil, errors.New("is not an http or https URL")
	case u.Host == "":
		return nil, errors.New("has no host")
	case u.User != nil:
		return nil, errors.New("must not hold a user or password")
	case u.RawQuery != "" || u.Fragment != "":
		return nil, errors.New("must not have a query or fragment")
	}
	return u, nil
}

// Escape escapes all but letters, digits and the bytes of safe.
func Escape(s, safe string) string {
	const upperHex = "0123456789ABCDEF"
	b := make([]byte, 0, len(s)+8)
	for i := range len(s) {
		c := s[i]
		if 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.IndexByte(safe, c) >= 0 {
			b = append(b, c)
		} else {
			b = append(b, '%', upperHex[c>>4], upperHex[c&15])
		}
	}
	return string(b)
}

// EscapePath escapes all but RFC 3986's unreserved characters and the slash.
func EscapePath(s string) string { return Escape(s, "-._~/") }
