package rediscache

import (
	"context"
	"time"

	"github.com/redis/rueidis"
)

// unleaseScript deletes a lease that is still the caller's.
const unleaseScript = `if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('UNLINK', KEYS[1]) end return 0`

func (r *Remote) leaseKey(key string) string { return r.opts.Prefix + "l:" + key }

// Lease takes the lease of key for d, in whole milliseconds and at least one, and
// tells whether it did: not while another token has it. It is one round trip. A lease
// protects nothing; it only spares work: it is lost with Redis, and two may be held on
// both sides of a failover.
func (r *Remote) Lease(ctx context.Context, key, token string, d time.Duration) (bool, error) {
	if r.opts.Disabled {
		return true, nil
	}
	rep, err := r.call(ctx, "lease", func(ctx context.Context, c rueidis.Client) (reply, error) {
		err := c.Do(ctx, c.B().Set().Key(r.leaseKey(key)).Value(token).Nx().PxMilliseconds(max(d.Milliseconds(), 1)).Build()).Error()
		if rueidis.IsRedisNil(err) {
			return reply{status: statusAbsent}, nil
		}
		return reply{status: statusOK}, err
	})
	if err != nil {
		return false, err
	}
	if rep.status != statusOK {
		r.n.leasesHeld.Add(1)
		return false, nil
	}
	r.n.leases.Add(1)
	return true, nil
}

// Unlease gives back a lease that Lease took with the same token. One that has ended,
// or that another token has by now, stays as it is. It is one round trip.
func (r *Remote) Unlease(ctx context.Context, key, token string) error {
	if r.opts.Disabled {
		return nil
	}
	_, err := r.call(ctx, "unlease", func(ctx context.Context, c rueidis.Client) (reply, error) {
		return reply{}, c.Do(ctx, c.B().Eval().Script(unleaseScript).Numkeys(1).Key(r.leaseKey(key)).Arg(token).Build()).Error()
	})
	return err
}
