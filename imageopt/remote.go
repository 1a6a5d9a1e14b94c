package imageopt

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

// RemoteOptions configures a [RemoteSource].
type RemoteOptions struct {
	// Hosts lists the hosts that pictures may come from, required: "cdn.example.com",
	// "*.example.com" for what lies below it, or either with a port.
	Hosts []string
	// AllowHTTP permits http beside https. Without a port in Hosts only 443 and, if
	// permitted, 80 are used.
	AllowHTTP bool
	// AllowPrivate permits addresses that are not public: for tests, and for sites
	// whose originals lie in their own network. Every host in Hosts is trusted then.
	AllowPrivate bool
	// Timeout bounds a fetch from its beginning to the end of the body. Default 10 s.
	Timeout time.Duration
	// MaxRedirects is how many redirects are followed, each to a host in Hosts.
	// Default 3; negative means none.
	MaxRedirects int
	// TrustFor is how long the version of a picture, its ETag or time of modification,
	// is taken to be the current one without asking. Default 1 minute; negative asks
	// for each request.
	TrustFor time.Duration
}

// RemoteSource is a [Source] that fetches originals over HTTP. Its names are
// absolute URLs. The address is checked when a connection is made, after the name was
// resolved, so no DNS answer and no redirect leads to a loopback, private, shared
// (CGNAT), link-local, reserved, multicast or translated (NAT64, 6to4, Teredo,
// mapped) address. It uses no proxy. Make it with [NewRemoteSource]; call Close when
// it is no longer used.
type RemoteSource struct {
	opts     RemoteOptions
	hosts    []string
	client   *http.Client
	versions versions
	public   func(netip.Addr) bool
}

// NewRemoteSource returns a RemoteSource. Its error matches [ErrOptions] and names
// every bad field.
func NewRemoteSource(o RemoteOptions) (*RemoteSource, error) {
	var bad fieldErrors
	bad.check(len(o.Hosts) > 0, "Hosts is empty")
	s := &RemoteSource{opts: o}
	for _, h := range o.Hosts {
		name := strings.TrimPrefix(strings.ToLower(h), "*.")
		u, err := url.Parse("https://" + name + "/")
		bad.check(err == nil && u.Host == name && u.Hostname() != "" && !strings.Contains(name, "*"), "Hosts: %q is not a host", h)
		s.hosts = append(s.hosts, strings.ToLower(h))
	}
	bad.check(o.Timeout >= 0, "Timeout %v is negative", o.Timeout)
	bad.check(o.MaxRedirects <= 20, "MaxRedirects %d is over 20", o.MaxRedirects)
	if err := bad.err(); err != nil {
		return nil, err
	}
	s.opts.Hosts = nil
	if o.Timeout == 0 {
		s.opts.Timeout = 10 * time.Second
	}
	setDefault(&s.opts.MaxRedirects, 3)
	if o.TrustFor == 0 {
		s.opts.TrustFor = time.Minute
	}
	refused := refusedPrefixes()
	s.public = func(a netip.Addr) bool { return o.AllowPrivate || public(a, refused) }
	dialer := &net.Dialer{Timeout: 5 * time.Second, ControlContext: s.check}
	s.client = &http.Client{
		CheckRedirect: s.redirect,
		Transport: &http.Transport{
			DialContext: dialer.DialContext, ForceAttemptHTTP2: true, DisableCompression: true,
			MaxIdleConnsPerHost: 4, IdleConnTimeout: 30 * time.Second, TLSHandshakeTimeout: 5 * time.Second,
			MaxResponseHeaderBytes: 64 << 10,
		},
	}
	return s, nil
}

// Close closes idle connections. Running fetches go on. It returns nil.
func (s *RemoteSource) Close() error {
	s.client.CloseIdleConnections()
	return nil
}

// OpensURLs tells [Handler] that names may be absolute URLs. It returns true.
func (s *RemoteSource) OpensURLs() bool { return true }

// errRefused is the cause when an address or a host is not allowed.
var errRefused = errors.New("imageopt: address refused")

// errChanged is the cause when the bytes are of another version than the one that was
// trusted. To ask again helps.
var errChanged = errors.New("imageopt: picture has changed")

// check is called for each connection with the address that it would go to.
func (s *RemoteSource) check(_ context.Context, _, address string, _ syscall.RawConn) error {
	a, err := netip.ParseAddrPort(address)
	if err != nil || !s.public(a.Addr()) {
		return errRefused // without the address, which an attacker may want to know
	}
	return nil
}

func (s *RemoteSource) redirect(r *http.Request, via []*http.Request) error {
	if len(via) > max(s.opts.MaxRedirects, 0) {
		return fmt.Errorf("%w: too many redirects", errRefused)
	}
	return s.allowed(r.URL)
}

// allowed checks what can be seen of a URL before its name is resolved.
func (s *RemoteSource) allowed(u *url.URL) error {
	port := map[string]string{"https": "443", "http": "80"}[u.Scheme]
	if port == "" || u.Scheme == "http" && !s.opts.AllowHTTP || u.User != nil || u.Opaque != "" {
		return errRefused
	}
	host := strings.TrimSuffix(strings.ToLower(u.Hostname()), ".")
	if p := u.Port(); p != "" && p != port {
		host = net.JoinHostPort(host, p)
	} else if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	if !slices.ContainsFunc(s.hosts, func(h string) bool {
		below, wild := strings.CutPrefix(h, "*")
		return h == host || wild && strings.HasSuffix(host, below) && len(host) > len(below)
	}) {
		return errRefused
	}
	return nil
}

// Open returns the picture at an absolute URL. While the version of an earlier answer
// is trusted, nothing is fetched before the reader is read. What the host does not
// have, and what is not allowed, matches [fs.ErrNotExist].
func (s *RemoteSource) Open(ctx context.Context, name string) (io.ReadCloser, SourceInfo, error) {
	u, err := url.Parse(name)
	if err != nil || s.allowed(u) != nil {
		return nil, SourceInfo{}, fs.ErrNotExist
	}
	u.Fragment = ""
	if v, ok := s.versions.get(u.String()); ok {
		return &lazyBody{fetch: func() (io.ReadCloser, error) {
			body, now, err := s.fetch(ctx, u)
			if err == nil && now != v {
				err = errors.Join(errChanged, &httpError{http.StatusServiceUnavailable, "picture has changed"}, body.Close())
			}
			return body, err
		}}, SourceInfo{Version: v}, nil
	}
	body, v, err := s.fetch(ctx, u)
	return body, SourceInfo{Version: v}, err
}

func (s *RemoteSource) fetch(caller context.Context, u *url.URL) (io.ReadCloser, string, error) {
	ctx, cancel := context.WithTimeout(caller, s.opts.Timeout)
	fault := func(err error) error {
		if caller.Err() != nil {
			return ctxError(caller)
		}
		if e, ok := errors.AsType[net.Error](err); ok && e.Timeout() {
			return &httpError{http.StatusGatewayTimeout, "picture takes too long to fetch"}
		}
		return &httpError{http.StatusBadGateway, "picture cannot be fetched"}
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		cancel()
		return nil, "", fs.ErrNotExist
	}
	r.Header.Set("Accept", "image/*")
	r.Header.Set("User-Agent", "perfblocks-imageopt")
	res, err := s.client.Do(r)
	if err != nil {
		cancel()
		if errors.Is(err, errRefused) {
			return nil, "", fmt.Errorf("%w: %w", fs.ErrNotExist, errRefused)
		}
		return nil, "", fault(err)
	}
	if res.StatusCode != http.StatusOK {
		err := fault(nil)
		if c := res.StatusCode; c == http.StatusNotFound || c == http.StatusGone || c == http.StatusForbidden {
			err = fs.ErrNotExist
		}
		err = errors.Join(err, res.Body.Close())
		cancel()
		return nil, "", err
	}
	version := res.Header.Get("ETag")
	if version == "" && res.Header.Get("Last-Modified") != "" {
		version = res.Header.Get("Last-Modified") + " " + res.Header.Get("Content-Length")
	}
	if len(version) > 256 {
		version = ""
	}
	s.versions.set(u.String(), version, s.opts.TrustFor)
	return &body{res.Body, fault, cancel}, version, nil
}

// body ends the fetch's context when it is closed.
type body struct {
	io.ReadCloser
	fault  func(error) error // what a broken transfer becomes
	cancel context.CancelFunc
}

// Read reads, and tells a transfer that broke off from the picture's end.
func (b *body) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		err = b.fault(err)
	}
	return n, err
}

// Close closes the body and ends its context.
func (b *body) Close() error {
	defer b.cancel()
	return b.ReadCloser.Close()
}

// lazyBody fetches when it is first read.
type lazyBody struct {
	fetch func() (io.ReadCloser, error)
	rc    io.ReadCloser
	err   error
}

// Read fetches at first, and then reads.
func (l *lazyBody) Read(p []byte) (int, error) {
	if l.rc == nil && l.err == nil {
		l.rc, l.err = l.fetch()
	}
	if l.err != nil {
		return 0, l.err
	}
	return l.rc.Read(p)
}

// Close closes what was fetched.
func (l *lazyBody) Close() error {
	if l.rc == nil || l.err != nil {
		return nil
	}
	return l.rc.Close()
}

// versions remembers for a while what version URLs had.
type versions struct {
	mu sync.Mutex
	m  map[string]versionUntil // guarded by mu
}

type versionUntil struct {
	version string
	until   time.Time
}

// maxVersions bounds what versions remembers.
const maxVersions = 10_000

func (v *versions) get(u string) (string, bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	e, ok := v.m[u]
	return e.version, ok && time.Now().Before(e.until)
}

func (v *versions) set(u, version string, d time.Duration) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if version == "" || d < 0 {
		delete(v.m, u)
		return
	}
	if v.m == nil {
		v.m = make(map[string]versionUntil)
	}
	for k := range v.m { // one out for one in; which one does not matter
		if len(v.m) < maxVersions {
			break
		}
		delete(v.m, k)
	}
	v.m[u] = versionUntil{version, time.Now().Add(d)}
}
