package resiliencehttp

import (
	"container/list"
	"crypto/sha256"
	"encoding/hex"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"time"

	"github.com/failsafe-go/failsafe-go/ratelimiter"
)

// RateLimitOptions bounds the requests of each client.
type RateLimitOptions struct {
	// Requests are allowed in each Per, also all at once. 1 to 1e6; required.
	Requests int
	// Per is the period. Default 1 s; at least 1 ms.
	Per time.Duration
	// Key names the client of a request. Default: [ClientAddress] without proxies.
	// Behind a proxy give ClientAddress its addresses: to every client that sends
	// X-Forwarded-For a header believed blindly is a new name for each request. A
	// key longer than 64 bytes is kept as its SHA-256.
	Key func(*http.Request) string
	// MaxClients is how many clients are told apart; the one unseen for longest is
	// forgotten. Default 16384.
	MaxClients int
}

func (l *RateLimitOptions) normalize(check func(bool, string, ...any)) {
	if l.Per == 0 {
		l.Per = time.Second
	}
	if l.MaxClients == 0 {
		l.MaxClients = 16384
	}
	if l.Key == nil {
		l.Key = ClientAddress()
	}
	check(l.Requests >= 1 && l.Requests <= 1e6, "RateLimit.Requests %d is not in 1 to 1e6", l.Requests)
	check(l.Per >= time.Millisecond, "RateLimit.Per %v is less than 1ms", l.Per)
	check(l.MaxClients > 0, "RateLimit.MaxClients %d is negative", l.MaxClients)
}

// ClientAddress returns a function that names a client by its address, an IPv6
// address by its /64. Without proxies that is the address the connection comes from.
// Of a request that comes from one of the proxies, it is the last address in
// X-Forwarded-For that is not itself one of them: each proxy must append the address
// it was called from, and what a client writes there itself is then never taken. An
// entry that is no address ends the search at the proxy that sent it.
func ClientAddress(proxies ...netip.Prefix) func(*http.Request) string {
	trusted := func(a netip.Addr) bool {
		for _, p := range proxies {
			if p.Contains(a) {
				return true
			}
		}
		return false
	}
	proxies = append([]netip.Prefix(nil), proxies...)
	return func(r *http.Request) string {
		host, _, err := net.SplitHostPort(r.RemoteAddr)
		if err != nil {
			return r.RemoteAddr
		}
		addr, err := netip.ParseAddr(host)
		if err != nil {
			return host
		}
		addr = addr.Unmap().WithZone("")
		if len(proxies) == 0 || !trusted(addr) {
			return network(addr)
		}
		hops := strings.Join(r.Header.Values("X-Forwarded-For"), ",")
		for hops != "" {
			i := strings.LastIndexByte(hops, ',')
			next, ok := hop(hops[i+1:])
			if !ok {
				break
			}
			hops = hops[:max(i, 0)]
			if addr = next; !trusted(addr) {
				break
			}
		}
		return network(addr)
	}
}

// hop reads an entry of X-Forwarded-For, which may have a port.
func hop(s string) (netip.Addr, bool) {
	s = strings.Trim(s, " \t")
	a, err := netip.ParseAddr(strings.Trim(s, "[]"))
	if err != nil {
		ap, err := netip.ParseAddrPort(s)
		if err != nil {
			return a, false
		}
		a = ap.Addr()
	}
	return a.Unmap().WithZone(""), true
}

// network names a client by its address: IPv6 clients have a /64 to choose from.
func network(a netip.Addr) string {
	if a.Is4() {
		return a.String()
	}
	return netip.PrefixFrom(a, 64).Masked().String()
}

// clients keeps one rate limiter for each of the clients seen last.
type clients struct {
	opts RateLimitOptions

	mu    sync.Mutex
	byKey map[string]*list.Element // guarded by mu; values are *client
	order list.List                // guarded by mu; seen last first
}

type client struct {
	key     string
	since   time.Time // when the first period began
	limiter ratelimiter.RateLimiter[any]
}

func newClients(o RateLimitOptions) *clients {
	return &clients{opts: o, byKey: make(map[string]*list.Element)}
}

// take counts a request of the client and returns 0 if it may pass, or the time
// until the client's next period.
func (c *clients) take(key string, now time.Time) time.Duration {
	cl := c.find(key, now)
	if cl.limiter.TryAcquirePermit() {
		return 0
	}
	return c.opts.Per - max(0, now.Sub(cl.since))%c.opts.Per
}

// maxKey bounds the length of the keys that are kept.
const maxKey = 64

func (c *clients) find(key string, now time.Time) *client {
	if len(key) > maxKey {
		sum := sha256.Sum256([]byte(key))
		key = hex.EncodeToString(sum[:])
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if el, ok := c.byKey[key]; ok {
		c.order.MoveToFront(el)
		return el.Value.(*client)
	}
	if len(c.byKey) >= c.opts.MaxClients {
		oldest := c.order.Back()
		delete(c.byKey, oldest.Value.(*client).key)
		c.order.Remove(oldest)
	}
	cl := &client{key: key, since: now, limiter: ratelimiter.NewBursty[any](uint(c.opts.Requests), c.opts.Per)}
	c.byKey[key] = c.order.PushFront(cl)
	return cl
}
