package cloudinarycdn

import (
	"net/http"
	"time"

	"github.com/perfblocks/perfblocks/cdn"
	"github.com/perfblocks/perfblocks/cdn/internal/httpcall"
)

var (
	_ cdn.Provider    = (*Provider)(nil)
	_ cdn.Namer       = (*Provider)(nil)
	_ cdn.Multiparter = (*Provider)(nil)
	_ cdn.Presigner   = (*Provider)(nil)
	_ cdn.Transformer = (*Provider)(nil)
	_ cdn.Purger      = (*Provider)(nil)
)

// Provider stores objects in one Cloudinary product environment. It is a
// [cdn.Multiparter], [cdn.Presigner], [cdn.Transformer] and [cdn.Purger] too. It is safe
// for concurrent use and must not be copied.
type Provider struct {
	opts Options
	api  httpcall.API // its Client sends all requests
	own  bool         // the client was made by New
}

// New returns a Provider for one product environment. It sends nothing and starts
// no goroutine. Every invalid field is named in one error matching [cdn.ErrOptions].
func New(o Options) (*Provider, error) {
	if err := o.validate(); err != nil {
		return nil, err
	}
	var client *http.Client
	if o.HTTPClient == nil {
		client = httpcall.NewClient(120 * time.Second)
	} else {
		client = httpcall.WithoutRedirects(o.HTTPClient)
	}
	p := &Provider{opts: o, own: o.HTTPClient == nil}
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
