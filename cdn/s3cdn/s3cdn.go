package s3cdn

import (
	"context"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"

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
	_ cdn.Purger      = (*Provider)(nil)

	_ cdn.FormPresigner = (*Provider)(nil)
)

// Provider stores objects in one bucket of S3 or of a compatible service. It is a
// [cdn.Lister], [cdn.Copier], [cdn.Multiparter], [cdn.Presigner],
// [cdn.FormPresigner] and [cdn.Purger] too.
// It is safe for concurrent use and must not be copied.
type Provider struct {
	opts    Options
	set     settings
	client  *s3.Client
	presign *s3.PresignClient
	base    string       // URL of the bucket for the public, without trailing slash
	https   bool         // the endpoint is reached by TLS: payloads go unsigned
	own     *http.Client // nil when the caller gave one
	direct  *direct      // nil: content goes by the SDK too
	skew    atomic.Int64 // nanoseconds by which the server's clock is ahead of ours

	cloudFront *cloudFront // nil without a distribution

	creds  aws.CredentialsProvider // that sign forms
	region string                  // that they are signed for
	form   string                  // URL that they are posted to

	// plain is set once the server has refused checksum headers and then took the
	// same request without them.
	plain atomic.Bool
}

// New returns a Provider for one bucket. It reads the SDK's environment and shared
// files unless Config, or both credentials and Region are given, sends nothing and starts no
// goroutine. Every invalid field is named in one error matching [cdn.ErrOptions].
func New(o Options) (*Provider, error) {
	set, err := o.validate()
	if err != nil {
		return nil, err
	}
	if o.Name == "" {
		o.Name = "s3"
	}
	cfg, err := o.awsConfig()
	if err != nil {
		return nil, optionsError(err)
	}
	p := &Provider{opts: o, set: set}
	var hc *http.Client
	if o.HTTPClient == nil {
		hc = httpcall.NewClient(60 * time.Second)
		p.own = hc
	} else {
		hc = httpcall.WithoutRedirects(o.HTTPClient)
	}
	p.client = o.client(cfg, hc)
	p.presign = s3.NewPresignClient(p.client)
	bucket, err := bucketURL(&o, p.client.Options())
	if err != nil {
		return nil, optionsError(err)
	}
	p.https = bucket.Scheme == "https"
	p.direct = newDirect(&o, cfg, hc, bucket)
	p.creds, p.region, p.form = aws.NewCredentialsCache(cfg.Credentials), cfg.Region, strings.TrimRight(bucket.String(), "/")
	if strings.Trim(bucket.Path, "/") == "" {
		p.form += "/"
	}
	p.cloudFront = newCloudFront(&o, set, cfg, hc)
	p.base = set.publicURL
	if p.base == "" {
		p.base = strings.TrimRight(bucket.String(), "/")
	}
	p.plain.Store(o.DisableChecksums)
	p.opts.Config, p.opts.CloudFrontKey, p.opts.SecretAccessKey, p.opts.SessionToken = nil, nil, "", ""
	return p, nil
}

// bucketURL asks the SDK's own endpoint rules for the address of the bucket, with what
// the SDK has found in the environment: it is to be where the SDK's own requests go.
func bucketURL(o *Options, so s3.Options) (*url.URL, error) {
	params := s3.EndpointParameters{
		Bucket:         aws.String(o.Bucket),
		Region:         aws.String(so.Region),
		ForcePathStyle: aws.Bool(o.PathStyle),
		UseFIPS:        aws.Bool(so.EndpointOptions.UseFIPSEndpoint == aws.FIPSEndpointStateEnabled),
		UseDualStack:   aws.Bool(so.EndpointOptions.UseDualStackEndpoint == aws.DualStackEndpointStateEnabled),
		Accelerate:     aws.Bool(false),

		UseGlobalEndpoint:              aws.Bool(false),
		DisableMultiRegionAccessPoints: aws.Bool(false),
	}
	if o.Endpoint != "" {
		params.Endpoint = aws.String(o.Endpoint)
	}
	ep, err := s3.NewDefaultEndpointResolverV2().ResolveEndpoint(context.Background(), params)
	if err != nil {
		return nil, err
	}
	return &ep.URI, nil
}

// ProviderName returns Options.Name.
func (p *Provider) ProviderName() string { return p.opts.Name }

// Close closes idle connections of the client that New made; a client given in
// Options is left alone. Calls after Close still work. It never fails.
func (p *Provider) Close() error {
	if p.own != nil {
		p.own.CloseIdleConnections()
	}
	return nil
}

// URL returns the public address of the object: Options.PublicURL or the bucket's
// own address, then Prefix and key, escaped segment by segment. It does no I/O and
// never fails.
func (p *Provider) URL(ref cdn.Ref) (string, error) {
	return p.base + "/" + httpcall.EscapePath(p.opts.Prefix+ref.Key), nil
}

// name is the key in the bucket.
func (p *Provider) name(key string) *string { return aws.String(p.opts.Prefix + key) }
