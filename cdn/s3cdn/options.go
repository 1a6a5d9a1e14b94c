package s3cdn

import (
	"context"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/perfblocks/perfblocks/cdn"
	"github.com/perfblocks/perfblocks/cdn/internal/httpcall"
)

// Options configures a [Provider]. Only Bucket has no default. New copies what it
// needs and keeps no reference to the struct.
type Options struct {
	// Name is the provider's name in results, errors, logs and metric labels.
	// Default "s3".
	Name string

	// Bucket is the bucket's name. It must exist; New does not look.
	Bucket string
	// Region is where the bucket is, such as "eu-central-1". Default: the region of
	// Config or of the SDK's default chain (AWS_REGION, the shared config file), and
	// "us-east-1" when Endpoint is set and nothing else tells.
	Region string
	// Endpoint is the base URL of a service other than AWS, such as
	// "https://<account>.r2.cloudflarestorage.com" or "http://127.0.0.1:9000".
	// Default: AWS, by Region.
	Endpoint string
	// PathStyle puts the bucket into the path instead of the host name, as MinIO,
	// Ceph and most servers without wildcard DNS need it.
	PathStyle bool

	// Prefix is put before every key, as it is: "uploads/" stores the key "a.png"
	// as "uploads/a.png". It does not start with a slash. Default none.
	Prefix string
	// PublicURL is the address under which the bucket is served to the public, such
	// as "https://cdn.example.com"; the escaped Prefix and key are appended to it.
	// Default: the bucket's own address at the endpoint.
	PublicURL string

	// AccessKeyID and SecretAccessKey are static credentials, both or neither, with
	// an optional SessionToken. Default: those of Config, or the SDK's default chain
	// (environment, shared files, SSO, web identity, container and instance roles).
	// With them and a Region nothing is read from the machine.
	AccessKeyID, SecretAccessKey, SessionToken string
	// Config is a ready configuration of the SDK, for credentials or a region that
	// the default chain cannot find. Its retryer, endpoint and checksum settings are
	// not used. Default: config.LoadDefaultConfig.
	Config *aws.Config

	// HTTPClient sends the requests; its Transport is the place for a circuit
	// breaker. It should bound the wait for a reply's header. Redirects are not
	// followed, whatever its CheckRedirect says. Default: a client of
	// the provider's own, with 5 s to connect and 60 s from the last byte of the
	// request to the first of the reply, whose idle connections Close closes.
	HTTPClient *http.Client

	// DisableChecksums sends no checksum header, for servers that refuse even that.
	// Without it the provider finds out by itself, at the price of one failed request.
	DisableChecksums bool

	// CloudFrontKeyID names the key pair of CloudFrontKey. Both or neither; with them
	// PresignGet returns URLs of PublicURL, which they need, signed for CloudFront.
	CloudFrontKeyID string
	// CloudFrontKey is an RSA private key in PEM, PKCS #1 or #8. Default none.
	CloudFrontKey []byte
	// CloudFrontDistribution is the identifier of the distribution that serves PublicURL,
	// which it needs, such as "E1A2B3C4D5E6F7"; then [Provider.Purge] works. Requests are
	// signed with the bucket's credentials, which need the permissions
	// cloudfront:CreateInvalidation and, for Purging, cloudfront:ListInvalidations.
	// Default none.
	CloudFrontDistribution string
}

// settings is what New makes of Options.
type settings struct {
	endpoint  *url.URL // nil: AWS
	publicURL string   // without trailing slash; "": the bucket's address
	rsa       *rsa.PrivateKey
}

func (o *Options) validate() (settings, error) {
	var s settings
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if o.Bucket == "" {
		bad("Bucket is empty")
	} else if strings.ContainsAny(o.Bucket, "/?# ") {
		bad("Bucket %q is not a bucket name", o.Bucket)
	}
	var err error
	if o.Endpoint != "" {
		if s.endpoint, err = httpcall.ParseBase(o.Endpoint); err != nil {
			bad("Endpoint %w", err)
		}
	}
	if o.PublicURL != "" {
		if _, err = httpcall.ParseBase(o.PublicURL); err != nil {
			bad("PublicURL %w", err)
		}
		s.publicURL = strings.TrimRight(o.PublicURL, "/")
	}
	if strings.HasPrefix(o.Prefix, "/") {
		bad("Prefix starts with a slash")
	}
	if (o.AccessKeyID == "") != (o.SecretAccessKey == "") {
		bad("AccessKeyID and SecretAccessKey need each other")
	}
	if o.SessionToken != "" && o.AccessKeyID == "" {
		bad("SessionToken needs AccessKeyID and SecretAccessKey")
	}
	if (o.CloudFrontKeyID == "") != (len(o.CloudFrontKey) == 0) {
		bad("CloudFrontKeyID and CloudFrontKey need each other")
	}
	if o.CloudFrontKeyID != "" && o.PublicURL == "" {
		bad("CloudFrontKeyID needs PublicURL")
	}
	if id := o.CloudFrontDistribution; id != "" {
		if strings.ContainsFunc(id, func(r rune) bool { return (r < 'A' || r > 'Z') && (r < '0' || r > '9') }) {
			bad("CloudFrontDistribution %q is not the identifier of a distribution", id)
		}
		if o.PublicURL == "" {
			bad("CloudFrontDistribution needs PublicURL")
		}
	}
	if len(o.CloudFrontKey) > 0 {
		if s.rsa, err = parseKey(o.CloudFrontKey); err != nil {
			bad("CloudFrontKey: %w", err)
		}
	}
	return s, optionsError(errs...)
}

// optionsError joins errs into one error that matches cdn.ErrOptions, or is nil.
func optionsError(errs ...error) error {
	if len(errs) == 0 {
		return nil
	}
	return fmt.Errorf("%w: s3cdn: %w", cdn.ErrOptions, errors.Join(errs...))
}

// parseKey reads an RSA private key in PEM. Its errors never repeat the key.
func parseKey(b []byte) (*rsa.PrivateKey, error) {
	block, _ := pem.Decode(b)
	if block == nil {
		return nil, errors.New("is not PEM")
	}
	if k, err := x509.ParsePKCS1PrivateKey(block.Bytes); err == nil {
		return k, nil
	}
	k, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, errors.New("is not a private key in PKCS #1 or PKCS #8")
	}
	r, ok := k.(*rsa.PrivateKey)
	if !ok {
		return nil, errors.New("is not an RSA key")
	}
	return r, nil
}

// awsConfig returns the SDK's configuration: Config, or the default chain.
func (o *Options) awsConfig() (aws.Config, error) {
	var cfg aws.Config
	switch {
	case o.Config != nil:
		cfg = o.Config.Copy()
	case o.AccessKeyID != "" && o.Region != "":
	default:
		var load []func(*config.LoadOptions) error
		if o.Region != "" {
			load = append(load, config.WithRegion(o.Region))
		}
		if o.AccessKeyID != "" {
			load = append(load, config.WithCredentialsProvider(o.static()))
		}
		var err error
		if cfg, err = config.LoadDefaultConfig(context.Background(), load...); err != nil {
			return cfg, fmt.Errorf("the SDK's default configuration: %w", err)
		}
	}
	if o.AccessKeyID != "" {
		cfg.Credentials = o.static()
	}
	if o.Region != "" {
		cfg.Region = o.Region
	}
	if cfg.Region == "" && o.Endpoint != "" {
		cfg.Region = "us-east-1"
	}
	switch {
	case cfg.Region == "":
		return cfg, errors.New("no Region is set, and neither Config nor the environment tells one")
	case cfg.Credentials == nil:
		return cfg, errors.New("no AccessKeyID is set, and Config has no Credentials")
	}
	cfg.Credentials = credentialsProvider{cfg.Credentials}
	return cfg, nil
}

func (o *Options) static() aws.CredentialsProvider {
	return credentials.NewStaticCredentialsProvider(o.AccessKeyID, o.SecretAccessKey, o.SessionToken)
}

// client makes the SDK's client: one attempt per call, checksums only where we
// set them, so that no request is sent in aws-chunked encoding.
func (o *Options) client(cfg aws.Config, hc *http.Client) *s3.Client {
	return s3.NewFromConfig(cfg, func(so *s3.Options) {
		so.HTTPClient = hc
		so.Retryer = aws.NopRetryer{}
		so.RetryMaxAttempts = 0
		so.UsePathStyle = o.PathStyle
		so.BaseEndpoint = nil
		if o.Endpoint != "" {
			so.BaseEndpoint = aws.String(o.Endpoint)
		}
		so.RequestChecksumCalculation = aws.RequestChecksumCalculationWhenRequired
		so.ResponseChecksumValidation = aws.ResponseChecksumValidationWhenRequired
		so.DisableLogOutputChecksumValidationSkipped = true
		so.ClientLogMode = 0
	})
}
