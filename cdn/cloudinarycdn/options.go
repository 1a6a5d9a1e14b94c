package cloudinarycdn

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/perfblocks/perfblocks/cdn"
	"github.com/perfblocks/perfblocks/cdn/internal/httpcall"
)

const (
	defaultAPI      = "https://api.cloudinary.com"
	defaultDelivery = "https://res.cloudinary.com"
)

// Options configures a [Provider]. CloudName is required, and either APIKey with
// APISecret or UploadPreset. New copies what it needs.
type Options struct {
	// Name is the provider's name in results, errors, logs and metric labels.
	// Default "cloudinary".
	Name string

	// CloudName is the account's product environment, the first part of every URL.
	CloudName string
	// APIKey and APISecret sign requests, both or neither. The secret is used for
	// signatures only and is never sent.
	APIKey, APISecret string
	// UploadPreset names an upload preset of the account. Without APISecret uploads
	// are unsigned, which Cloudinary permits for unsigned presets only: nothing can
	// be deleted or overwritten then. With APISecret it is one more signed parameter.
	UploadPreset string

	// Authenticated stores objects with delivery type "authenticated", so that only
	// signed URLs reach them. It needs APISecret and implies SignURLs.
	Authenticated bool
	// SignURLs signs every delivery URL, as accounts with strict transformations
	// need it. It needs APISecret. The signature does not expire.
	SignURLs bool
	// SHA256 signs with SHA-256 instead of SHA-1, for accounts that are set so.
	SHA256 bool

	// APIURL is the base of the upload API, without version and cloud name. Default
	// "https://api.cloudinary.com"; the EU and AP hosts and tests set another.
	APIURL string
	// DeliveryURL is the base of delivery URLs, for a private CDN or a host name of
	// one's own. Default "https://res.cloudinary.com/" and the CloudName.
	DeliveryURL string

	// HTTPClient sends the requests; its Transport is the place for a circuit
	// breaker. It should bound the wait for a reply's header. Redirects are not
	// followed, whatever its CheckRedirect says. Default: a client of
	// the provider's own, with 5 s to connect and 120 s from the last byte of the
	// request to the first of the reply, whose idle connections Close closes.
	HTTPClient *http.Client
}

// ParseURL reads a CLOUDINARY_URL, cloudinary://key:secret@cloud, as Cloudinary's
// console shows it. The query may hold upload_prefix (APIURL), secure_distribution
// (the host of DeliveryURL), private_cdn=true, upload_preset, sign_url=true and
// signature_algorithm=sha256; others are ignored, as Cloudinary's own clients do.
// Its error matches [cdn.ErrOptions] and never repeats the value.
func ParseURL(raw string) (Options, error) {
	var o Options
	u, err := url.Parse(raw)
	if err != nil || u.Scheme != "cloudinary" || u.Host == "" {
		return o, optionsError(errors.New("CLOUDINARY_URL is not of the form cloudinary://key:secret@cloud"))
	}
	o.CloudName = u.Host
	if u.User != nil {
		o.APIKey = u.User.Username()
		o.APISecret, _ = u.User.Password()
	}
	q, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return o, optionsError(errors.New("CLOUDINARY_URL has a malformed query"))
	}
	o.APIURL = q.Get("upload_prefix")
	o.UploadPreset = q.Get("upload_preset")
	o.SignURLs = q.Get("sign_url") == "true"
	o.SHA256 = q.Get("signature_algorithm") == "sha256"
	host, private := q.Get("secure_distribution"), q.Get("private_cdn") == "true"
	switch {
	case host != "" && private:
		o.DeliveryURL = "https://" + host
	case host != "":
		o.DeliveryURL = "https://" + host + "/" + o.CloudName
	case private:
		o.DeliveryURL = "https://" + o.CloudName + "-res.cloudinary.com"
	}
	return o, nil
}

// validate fills the defaults in and reports every bad field.
func (o *Options) validate() error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if o.CloudName == "" {
		bad("CloudName is empty")
	} else if strings.ContainsAny(o.CloudName, "/?#%@ ") {
		bad("CloudName is not a cloud name")
	}
	if (o.APIKey == "") != (o.APISecret == "") {
		bad("APIKey and APISecret need each other")
	}
	if o.APISecret == "" && o.UploadPreset == "" {
		bad("neither APIKey and APISecret nor UploadPreset is set")
	}
	if o.APISecret == "" && (o.Authenticated || o.SignURLs) {
		bad("Authenticated and SignURLs need APISecret")
	}
	if o.APIURL == "" {
		o.APIURL = defaultAPI
	} else if _, err := httpcall.ParseBase(o.APIURL); err != nil {
		bad("APIURL %w", err)
	}
	if o.DeliveryURL == "" {
		o.DeliveryURL = defaultDelivery + "/" + o.CloudName
	} else if _, err := httpcall.ParseBase(o.DeliveryURL); err != nil {
		bad("DeliveryURL %w", err)
	}
	o.APIURL = strings.TrimRight(o.APIURL, "/")
	o.DeliveryURL = strings.TrimRight(o.DeliveryURL, "/")
	if o.Name == "" {
		o.Name = "cloudinary"
	}
	o.SignURLs = o.SignURLs || o.Authenticated
	return optionsError(errs...)
}

// optionsError joins errs into one error that matches cdn.ErrOptions, or is nil.
func optionsError(errs ...error) error {
	if len(errs) == 0 {
		return nil
	}
	return fmt.Errorf("%w: cloudinarycdn: %w", cdn.ErrOptions, errors.Join(errs...))
}
