package s3cdn

import (
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/feature/cloudfront/sign"

	"github.com/perfblocks/perfblocks/cdn"
	"github.com/perfblocks/perfblocks/cdn/internal/httpcall"
)

// CookieRequest says which objects the cookies of [Provider.SignCookies] open, to whom,
// and for how long.
type CookieRequest struct {
	// Key is one object, or, when it ends in a slash, all below it; "/" is all.
	Key string
	// Expiry is how long CloudFront accepts the cookies. 0: 15 minutes; at most 7 days.
	Expiry time.Duration
	// NotBefore is when CloudFront begins to accept them. Zero: at once.
	NotBefore time.Time
	// Client is the range of IPv4 addresses that may use them. Zero: all.
	Client netip.Prefix
	// Domain is the cookies' Domain attribute: a parent that the host of PublicURL
	// shares with the host of the pages, such as "example.com", so that the pages can
	// set them. Empty: only the host that sets them receives them.
	Domain string
}

// SignCookies returns three cookies that open objects behind CloudFront to a browser, by
// a canned policy for one object and a custom one for everything else; PresignGet does
// the same for one address. It needs CloudFrontKey and does no I/O. The cookies end with
// the browser's session; they are Secure where PublicURL is https, HttpOnly, and
// SameSite=Lax, which lets pages of the same site embed the objects. Their Path is as
// narrow as what they open. The caller may change them and sets each by http.SetCookie.
func (p *Provider) SignCookies(req CookieRequest) ([]*http.Cookie, error) {
	life, err := expiry(req.Expiry)
	expires := time.Now().Add(life)
	resource, path := p.resource(req.Key)
	base, perr := url.Parse(p.base)
	switch {
	case err != nil:
	case p.set.rsa == nil:
		err = fmt.Errorf("no CloudFrontKey is set: %w", errors.ErrUnsupported)
	case perr != nil:
		err = errors.New("the public URL is malformed")
	case !req.NotBefore.IsZero() && !req.NotBefore.Before(expires):
		err = errors.New("NotBefore is not before the expiry")
	case req.Client != (netip.Prefix{}) && (!req.Client.IsValid() || !req.Client.Addr().Is4()):
		err = errors.New("the field Client is not a range of IPv4 addresses")
	case req.Domain != "" && !covers(req.Domain, base.Hostname()):
		err = fmt.Errorf("domain %q is not one of the public URL's host", req.Domain)
	}
	if err != nil {
		return nil, p.refuse("sign", req.Key, cdn.ErrInvalid, err)
	}
	if key := strings.TrimSuffix(req.Key, "/"); req.Key != "/" {
		if err := cdn.CheckKey(key); err != nil {
			return nil, p.refuse("sign", req.Key, cdn.ErrKey, err)
		}
	}
	policy := sign.NewCannedPolicy(resource, expires)
	condition := &policy.Statements[0].Condition
	if !req.NotBefore.IsZero() {
		condition.DateGreaterThan = sign.NewAWSEpochTime(req.NotBefore)
	}
	if req.Client.IsValid() {
		condition.IPAddress = &sign.IPAddress{SourceIP: req.Client.Masked().String()}
	}
	signature, encoded, err := policy.Sign(p.set.rsa)
	if err != nil {
		return nil, p.refuse("sign", req.Key, cdn.ErrInvalid, err)
	}
	first := &http.Cookie{Name: "CloudFront-Policy", Value: string(encoded)}
	if !strings.HasSuffix(req.Key, "/") && req.NotBefore.IsZero() && !req.Client.IsValid() {
		// CloudFront makes the policy anew, of the address that is asked for and this.
		first = &http.Cookie{Name: "CloudFront-Expires", Value: strconv.FormatInt(expires.Unix(), 10)}
	}
	cookies := []*http.Cookie{
		first, {Name: "CloudFront-Signature", Value: string(signature)}, {Name: "CloudFront-Key-Pair-Id", Value: p.opts.CloudFrontKeyID},
	}
	for _, c := range cookies {
		c.Path, c.Domain = path, req.Domain
		c.Secure, c.HttpOnly, c.SameSite = base.Scheme == "https", true, http.SameSiteLaxMode
	}
	return cookies, nil
}

// resource is what a policy calls the objects of key, and the path that all of them
// have in common. No key has wildcards of its own, since URLs escape them.
func (p *Provider) resource(key string) (resource, path string) {
	name, folder := strings.CutSuffix(key, "/")
	if folder && name != "" {
		name += "/"
	}
	resource = p.base + "/" + httpcall.EscapePath(p.opts.Prefix+name)
	if u, err := url.Parse(resource); err == nil {
		path = u.EscapedPath()
	}
	if folder {
		return resource + "*", path[:strings.LastIndexByte(path, '/')+1]
	}
	return resource, path
}

// covers reports that a cookie for domain is sent to host.
func covers(domain, host string) bool {
	domain, host = strings.ToLower(domain), strings.ToLower(host)
	if !strings.Contains(domain, ".") || strings.HasPrefix(domain, ".") {
		return false
	}
	if _, err := netip.ParseAddr(host); err == nil {
		return domain == host
	}
	return domain == host || strings.HasSuffix(host, "."+domain)
}
