package vercelcdn

import (
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/perfblocks/perfblocks/cdn"
	"github.com/perfblocks/perfblocks/cdn/internal/httpcall"
)

const (
	defaultAPI  = "https://vercel.com/api/blob"
	tokenPrefix = "vercel_blob_rw_"
)

// Options configures a [Provider]. Only Token has no default. New copies what it
// needs.
type Options struct {
	// Name is the provider's name in results, errors, logs and metric labels.
	// Default "vercel".
	Name string

	// Token is the store's read-write token, vercel_blob_rw_<store>_<secret>, as in
	// the variable BLOB_READ_WRITE_TOKEN of a Vercel project.
	Token string
	// Private stores objects with access "private": their URLs need the token, so
	// that the public cannot fetch them. The store must have been made private.
	Private bool

	// APIURL is the base of the API. Default "https://vercel.com/api/blob".
	APIURL string
	// PublicURL is the address under which the store is served. Default: the store's
	// own host, https://<store>.public.blob.vercel-storage.com.
	PublicURL string

	// HTTPClient sends the requests; its Transport is the place for a circuit
	// breaker. It should bound the wait for a reply's header. Redirects are not
	// followed, whatever its CheckRedirect says. Default: a client of
	// the provider's own, with 5 s to connect and 60 s from the last byte of the
	// request to the first of the reply, whose idle connections Close closes.
	HTTPClient *http.Client
}

// validate fills the defaults in, reports every bad field and returns the store's
// identifier, which is a part of the token.
func (o *Options) validate() (store string, err error) {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if o.Token == "" {
		bad("Token is empty")
	} else if store = storeOf(o.Token); store == "" {
		bad("Token is not of the form %s<store>_<secret>", tokenPrefix)
	}
	if o.APIURL == "" {
		o.APIURL = defaultAPI
	} else if _, err := httpcall.ParseBase(o.APIURL); err != nil {
		bad("APIURL %w", err)
	}
	if o.PublicURL == "" {
		access := "public"
		if o.Private {
			access = "private"
		}
		o.PublicURL = "https://" + strings.ToLower(store) + "." + access + ".blob.vercel-storage.com"
	} else if _, err := httpcall.ParseBase(o.PublicURL); err != nil {
		bad("PublicURL %w", err)
	}
	o.APIURL = strings.TrimRight(o.APIURL, "/")
	o.PublicURL = strings.TrimRight(o.PublicURL, "/")
	if o.Name == "" {
		o.Name = "vercel"
	}
	if len(errs) > 0 {
		return "", fmt.Errorf("%w: vercelcdn: %w", cdn.ErrOptions, errors.Join(errs...))
	}
	return store, nil
}

// storeOf returns the store's identifier in a read-write token, or "".
func storeOf(token string) string {
	rest, ok := strings.CutPrefix(token, tokenPrefix)
	store, secret, ok2 := strings.Cut(rest, "_")
	if !ok || !ok2 || secret == "" {
		return ""
	}
	for i := range len(token) {
		c := token[i]
		if !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '_') {
			return ""
		}
	}
	return store
}
