package cdnenv

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/perfblocks/perfblocks/cdn"
	"github.com/perfblocks/perfblocks/cdn/cloudinarycdn"
	"github.com/perfblocks/perfblocks/cdn/s3cdn"
	"github.com/perfblocks/perfblocks/cdn/vercelcdn"
)

// Options is what the environment cannot tell. The zero value is ready to use.
type Options struct {
	// HTTPClient is given to the provider; its Transport is the place for a circuit
	// breaker. Local storage has no use for it. Default: the provider's own.
	HTTPClient *http.Client
}

// Provider is [New] with zero Options; pass os.Getenv.
func Provider(getenv func(string) string) (cdn.Provider, error) { return New(getenv, Options{}) }

// New makes the provider that the environment describes; pass os.Getenv. The
// concrete type is *cdn.Local, *s3cdn.Provider, *cloudinarycdn.Provider or
// *vercelcdn.Provider, by CDN_PROVIDER; the caller closes it when it is an
// io.Closer. Every variable that is missing, malformed or in contradiction with
// another is named in one error matching [cdn.ErrOptions], which never repeats a
// value but that of CDN_PROVIDER. A nil getenv is such an error too.
func New(getenv func(string) string, o Options) (cdn.Provider, error) {
	if getenv == nil {
		return nil, fmt.Errorf("%w: cdnenv: getenv is nil", cdn.ErrOptions)
	}
	e := env{client: o.HTTPClient, get: func(name string) string { return strings.TrimSpace(getenv(name)) }}
	switch name := e.get("CDN_PROVIDER"); strings.ToLower(name) {
	case "", "local":
		return e.local()
	case "s3":
		return e.s3()
	case "cloudinary":
		return e.cloudinary()
	case "vercel":
		return e.vercel()
	default:
		e.bad("CDN_PROVIDER", fmt.Sprintf("is %q; want cloudinary, s3, vercel or local", clip(name)))
		return nil, e.err()
	}
}

// clip keeps a value that was put into the wrong variable, a token for example,
// from being printed.
func clip(s string) string {
	if len(s) > 12 {
		return s[:4] + "…"
	}
	return s
}

// env reads variables and collects what is wrong with them.
type env struct {
	get    func(string) string
	client *http.Client
	errs   []error
}

func (e *env) bad(name, what string) { e.errs = append(e.errs, errors.New(name+" "+what)) }

// need returns a variable that must be there.
func (e *env) need(name string) string {
	v := e.get(name)
	if v == "" {
		e.bad(name, "is missing")
	}
	return v
}

// url returns a variable that must be an http or https URL when it is there.
func (e *env) url(name string) string {
	v := e.get(name)
	if v == "" {
		return ""
	}
	u, err := url.Parse(v)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		e.bad(name, "is not an http or https URL")
	} else if u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		e.bad(name, "must not hold a user, a query or a fragment")
	}
	return v
}

// bool returns a variable that must be a boolean when it is there.
func (e *env) bool(name string) bool {
	v := e.get(name)
	if v == "" {
		return false
	}
	b, err := strconv.ParseBool(v)
	if err != nil {
		e.bad(name, "is not true or false")
	}
	return b
}

// pair reports two variables that need each other.
func (e *env) pair(a, b string) {
	switch {
	case e.get(a) != "" && e.get(b) == "":
		e.bad(b, "is missing, "+a+" needs it")
	case e.get(a) == "" && e.get(b) != "":
		e.bad(a, "is missing, "+b+" needs it")
	}
}

func (e *env) err() error {
	if len(e.errs) == 0 {
		return nil
	}
	return fmt.Errorf("%w: %w", cdn.ErrOptions, errors.Join(e.errs...))
}

// first returns the first of the variables that is set.
func (e *env) first(names ...string) string {
	for _, name := range names {
		if v := e.get(name); v != "" {
			return v
		}
	}
	return ""
}

func (e *env) local() (cdn.Provider, error) {
	o := cdn.LocalOptions{Dir: e.need("CDN_LOCAL_DIR"), URL: e.get("CDN_LOCAL_URL")}
	if u, err := url.Parse(o.URL); err != nil || !strings.HasPrefix(o.URL, "/") && o.URL != "" && (u.Host == "" || u.Scheme != "http" && u.Scheme != "https") {
		e.bad("CDN_LOCAL_URL", "is neither a path from the root nor an http or https URL")
	}
	if err := e.err(); err != nil {
		return nil, err
	}
	return made("CDN_LOCAL_*", cdn.NewLocal, o)
}

func (e *env) s3() (cdn.Provider, error) {
	e.pair("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
	o := s3cdn.Options{
		Bucket:    e.need("CDN_S3_BUCKET"),
		Region:    e.first("CDN_S3_REGION", "AWS_REGION", "AWS_DEFAULT_REGION"),
		Endpoint:  e.url("CDN_S3_ENDPOINT"),
		PathStyle: e.bool("CDN_S3_PATH_STYLE"),
		PublicURL: e.url("CDN_S3_PUBLIC_URL"),
		Prefix:    e.get("CDN_S3_PREFIX"),

		HTTPClient: e.client,
	}
	if strings.HasPrefix(o.Prefix, "/") {
		e.bad("CDN_S3_PREFIX", "starts with a slash")
	}
	if id := e.get("AWS_ACCESS_KEY_ID"); id != "" {
		o.AccessKeyID, o.SecretAccessKey = id, e.get("AWS_SECRET_ACCESS_KEY")
		o.SessionToken = e.get("AWS_SESSION_TOKEN")
	}
	if err := e.err(); err != nil {
		return nil, err
	}
	return made("CDN_S3_*, AWS_*", s3cdn.New, o)
}

func (e *env) cloudinary() (cdn.Provider, error) {
	var o cloudinarycdn.Options
	raw := e.get("CLOUDINARY_URL")
	if raw != "" {
		var err error
		if o, err = cloudinarycdn.ParseURL(raw); err != nil {
			e.bad("CLOUDINARY_URL", "is not of the form cloudinary://key:secret@cloud")
			raw = ""
		}
	}
	for _, f := range []struct {
		name string
		to   *string
	}{
		{"CLOUDINARY_CLOUD_NAME", &o.CloudName},
		{"CLOUDINARY_API_KEY", &o.APIKey},
		{"CLOUDINARY_API_SECRET", &o.APISecret},
		{"CLOUDINARY_UPLOAD_PRESET", &o.UploadPreset},
	} {
		v := e.get(f.name)
		if v != "" && *f.to != "" && v != *f.to {
			e.bad(f.name, "contradicts CLOUDINARY_URL")
		}
		if v != "" {
			*f.to = v
		}
	}
	if e.get("CLOUDINARY_URL") == "" || raw != "" {
		e.cloudinaryMissing(o)
	}
	if err := e.err(); err != nil {
		return nil, err
	}
	o.HTTPClient = e.client
	return made("CLOUDINARY_*", cloudinarycdn.New, o)
}

// cloudinaryMissing reports what neither CLOUDINARY_URL nor the single variables tell.
func (e *env) cloudinaryMissing(o cloudinarycdn.Options) {
	if o.CloudName == "" {
		e.bad("CLOUDINARY_CLOUD_NAME", "(or CLOUDINARY_URL) is missing")
	}
	switch {
	case o.APIKey == "" && o.APISecret == "" && o.UploadPreset == "":
		e.bad("CLOUDINARY_API_KEY", "and CLOUDINARY_API_SECRET are missing (or CLOUDINARY_UPLOAD_PRESET for unsigned uploads)")
	case o.APIKey == "" && o.APISecret != "":
		e.bad("CLOUDINARY_API_KEY", "is missing, CLOUDINARY_API_SECRET needs it")
	case o.APIKey != "" && o.APISecret == "":
		e.bad("CLOUDINARY_API_SECRET", "is missing, CLOUDINARY_API_KEY needs it")
	}
}

func (e *env) vercel() (cdn.Provider, error) {
	o := vercelcdn.Options{Token: e.need("BLOB_READ_WRITE_TOKEN"), APIURL: e.url("VERCEL_BLOB_API_URL"), HTTPClient: e.client}
	if err := e.err(); err != nil {
		return nil, err
	}
	return made("BLOB_READ_WRITE_TOKEN", vercelcdn.New, o)
}

// made calls a constructor. What it refuses has come from the variables named vars.
// A failed constructor must not become a non-nil interface around a nil pointer.
func made[O any, P cdn.Provider](vars string, construct func(O) (P, error), o O) (cdn.Provider, error) {
	p, err := construct(o)
	if err != nil {
		return nil, fmt.Errorf("cdnenv: %s: %w", vars, err)
	}
	return p, nil
}
