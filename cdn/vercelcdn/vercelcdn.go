package vercelcdn

import (
	"net"
	"net/http"
	"time"

	"github.com/perfblocks/perfblocks/cdn"
)

var (
	_ cdn.Provider    = (*Provider)(nil)
	_ cdn.Namer       = (*Provider)(nil)
	_ cdn.Lister      = (*Provider)(nil)
	_ cdn.Copier      = (*Provider)(nil)
	_ cdn.Multiparter = (*Provider)(nil)
	_ cdn.Presigner   = (*Provider)(nil)
)

// Provider stores objects in one Vercel Blob store. It is a [cdn.Lister],
// [cdn.Copier], [cdn.Multiparter] and [cdn.Presigner] too. It is safe for
// concurrent use and must not be copied.
type Provider struct {
	opts  Options
	store string
	http  *http.Client
	own   bool // http was made by New
}

// New returns a Provider for the store that the token names. It sends nothing and
// starts no goroutine. Every invalid field is named in one error matching
// [cdn.ErrOptions].
func New(o Options) (*Provider, error) {
	store, err := o.validate()
	if err != nil {
		return nil, err
	}
	p := &Provider{opts: o, store: store, http: o.HTTPClient}
	if p.http == nil {
		p.http, p.own = newHTTPClient(), true
	}
	return p, nil
}

// newHTTPClient returns a client for many parallel requests to one host that
// follows no redirect, so that the token goes nowhere else.
func newHTTPClient() *http.Client {
	return &http.Client{
		Transport: &http.Transport{
			Proxy:                 http.ProxyFromEnvironment,
			DialContext:           (&net.Dialer{Timeout: 5 * time.Second, KeepAlive: 30 * time.Second}).DialContext,
			ForceAttemptHTTP2:     true,
			MaxIdleConns:          128,
			MaxIdleConnsPerHost:   64,
			IdleConnTimeout:       90 * time.Second,
			TLSHandshakeTimeout:   10 * time.Second,
			ResponseHeaderTimeout: 60 * time.Second,
			WriteBufferSize:       64 << 10,
			ReadBufferSize:        32 << 10,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// ProviderName returns Options.Name.
func (p *Provider) ProviderName() string { return p.opts.Name }

// Close closes idle connections of the client that New made; a client given in
// Options is left alone. Calls after Close still work. It never fails.
func (p *Provider) Close() error {
	if p.own {
		p.http.CloseIdleConnections()
	}
	return nil
}
