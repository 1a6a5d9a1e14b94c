package resiliencehttp

import (
	"container/list"
	"sync"

	"github.com/failsafe-go/failsafe-go/ratelimiter"
)

// clients keeps one rate limiter for each of the clients seen last.
type clients struct {
	opts RateLimitOptions

	mu    sync.Mutex
	byKey map[string]*list.Element // guarded by mu; values are *client
	order list.List                // guarded by mu; seen last first
}

type client struct {
	key     string
	limiter ratelimiter.RateLimiter[any]
}

func newClients(o RateLimitOptions) *clients {
	return &clients{opts: o, byKey: make(map[string]*list.Element)}
}

// allow counts a request of the client and reports whether it may pass.
func (c *clients) allow(key string) bool { return c.limiter(key).TryAcquirePermit() }

func (c *clients) limiter(key string) ratelimiter.RateLimiter[any] {
	c.mu.Lock()
	defer c.mu.Unlock()
	if el, ok := c.byKey[key]; ok {
		c.order.MoveToFront(el)
		return el.Value.(*client).limiter
	}
	if len(c.byKey) >= c.opts.MaxClients {
		oldest := c.order.Back()
		delete(c.byKey, oldest.Value.(*client).key)
		c.order.Remove(oldest)
	}
	l := ratelimiter.NewBursty[any](uint(c.opts.Requests), c.opts.Per)
	c.byKey[key] = c.order.PushFront(&client{key: key, limiter: l})
	return l
}
