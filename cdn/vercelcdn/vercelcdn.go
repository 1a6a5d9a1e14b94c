package vercelcdn

import (
	"net/http"
	"time"

	"github.com/perfblocks/perfblocks/cdn"
	"github.com/perfblocks/perfblocks/cdn/internal/httpcall"
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
	api   httpcall.API // its Client sends all requests
	store string
	own   bool // the client was made by New
}

// New returns a Provider for the store that the token names. It sends nothing and
// starts no goroutine. Every invalid field is named in one error matching
// [cdn.ErrOptions].
func New(o Options) (*Provider, error) {
	store, err := o.validate()
	if err != nil {
		return nil, err
	}
	var client *http.Client
	if o.HTTPClient == nil {
		client = httpcall.NewClient(60 * time.Second)
	} else {
		client = httpcall.WithoutRedirects(o.HTTPClient)
	}
	p := &Provider{opts: o, store: store, own: o.HTTPClient == nil}
	p.api = p.newAPI(client)
	return p, nil
}

// ProviderName returns Options.Name.
func (p *Provider) ProviderName() string { return p.opts.Name }

// Close closes idle connections of the client that New made; a client given in
// Options is left alone. Calls after Close still work. It never fails.
func (p *Provider) Close() error {
	if p.own {
		p.api.Client.CloseIdleConnections()
	}
	return nil
}
