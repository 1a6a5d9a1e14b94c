package rediscache

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/perfblocks/perfblocks/cache"
	"github.com/redis/rueidis"
)

// disabledPosition is what a disabled Remote answers.
const disabledPosition = 1

// spread tells whether records may be in other slots than the hashes of tags, so
// that no script may touch both.
func (r *Remote) spread(c rueidis.Client) bool {
	return !r.oneSlot && c.Mode() == rueidis.ClientModeCluster
}

func (r *Remote) recordKey(key string) string { return r.opts.Prefix + "r:" + key }

// Position returns the position of the last invalidation by any node, always from
// Redis, in one round trip. Its upper 31 bits are the incarnation, its lower 32 the
// count within, so positions grow even when Redis has lost its own.
func (r *Remote) Position(ctx context.Context) (uint64, error) {
	if r.opts.Disabled {
		return disabledPosition, nil
	}
	rep, err := r.call(ctx, "position", func(ctx context.Context, c rueidis.Client) (reply, error) {
		return r.run(ctx, c, opPosition, nil)
	})
	return rep.pos, err
}

// Get returns the record of key if Redis has one that no invalidation has hit, else
// an error matching [cache.ErrNotFound]. It is one round trip, or two on a Redis
// Cluster with a prefix that has no hash tag. What is stored there but is no record of
// the key counts as not found.
func (r *Remote) Get(ctx context.Context, key string) (*cache.Record, error) {
	if r.opts.Disabled {
		return nil, cache.ErrNotFound
	}
	name := r.recordKey(key)
	rep, err := r.call(ctx, "get", func(ctx context.Context, c rueidis.Client) (reply, error) {
		if r.spread(c) {
			return r.getSpread(ctx, c, key)
		}
		return r.run(ctx, c, opGet, []string{name}, strconv.Itoa(r.opts.MaxRecordBytes))
	})
	if err != nil {
		return nil, err
	}
	var rec *cache.Record
	switch {
	case rep.status != statusOK:
	case rep.ttl == 0: // in its last millisecond
		rep.status = statusAbsent
	default:
		if rec, err = decodeRecord(key, rep.blob, rep.ttl); err != nil {
			rep.status = statusGarbage
		}
	}
	switch rep.status {
	case statusOK:
		r.n.hits.Add(1)
		r.n.read.Add(uint64(len(rep.blob)))
		return rec, nil
	case statusDead:
		r.n.invalid.Add(1)
	case statusGarbage:
		r.n.garbage.Add(1)
	}
	r.n.misses.Add(1)
	return nil, cache.ErrNotFound
}

// getSpread reads the record from its node, and then asks the node of the tags
// whether it is valid: an invalidation that returned before is seen there. PTTL goes
// first: should the record be replaced in between, it only seems older than it is.
func (r *Remote) getSpread(ctx context.Context, c rueidis.Client, key string) (reply, error) {
	name := r.recordKey(key)
	res := c.DoMulti(ctx, c.B().Pttl().Key(name).Build(),
		c.B().Getrange().Key(name).Start(0).End(int64(r.opts.MaxRecordBytes)).Build())
	ttl, err := res[0].AsInt64()
	if err != nil {
		return reply{}, err
	}
	blob, err := res[1].ToString()
	re, isReply := errors.AsType[*rueidis.RedisError](err)
	switch {
	case isReply && strings.HasPrefix(re.Error(), "WRONGTYPE"):
		return reply{status: statusGarbage}, nil
	case err != nil:
		return reply{}, err
	case blob == "" || ttl == 0 || ttl == -2:
		return reply{status: statusAbsent}, nil
	case len(blob) > r.opts.MaxRecordBytes:
		return reply{status: statusGarbage}, nil
	}
	rec, err := decodeRecord(key, blob, time.Duration(ttl)*time.Millisecond)
	if err != nil {
		return reply{status: statusGarbage}, nil
	}
	args := append([]string{strconv.FormatUint(rec.Position>>32, 10), strconv.FormatUint(rec.Position&(1<<32-1), 10)}, rec.Tags...)
	rep, err := r.run(ctx, c, opCheck, nil, args...)
	rep.blob, rep.ttl = blob, time.Duration(ttl)*time.Millisecond
	return rep, err
}

// Set stores rec for rec.Keep, in whole milliseconds and no longer. It refuses in
// silence, counted in [Stats].Refused, a record that is no longer valid, and one
// that is larger than Options.MaxRecordBytes; what was stored before stays then.
func (r *Remote) Set(ctx context.Context, key string, rec *cache.Record) error {
	if r.opts.Disabled {
		return nil
	}
	keep := rec.Keep.Milliseconds()
	if keep <= 0 || encodedSize(rec) > r.opts.MaxRecordBytes {
		r.n.refused.Add(1)
		return nil
	}
	name, blob := r.recordKey(key), encodeRecord(key, rec)
	rep, err := r.call(ctx, "set", func(ctx context.Context, c rueidis.Client) (reply, error) {
		if r.spread(c) {
			return reply{status: statusOK}, c.Do(ctx, c.B().Set().Key(name).Value(blob).PxMilliseconds(keep).Build()).Error()
		}
		return r.run(ctx, c, opSet, []string{name}, strconv.FormatInt(keep, 10), blob)
	})
	switch {
	case err != nil:
		return err
	case rep.status == statusOK:
		r.n.sets.Add(1)
		r.n.written.Add(uint64(len(blob)))
	default:
		r.n.refused.Add(1)
	}
	return nil
}

// Invalidate gives all tags one new position and publishes them, in one atomic step
// that also passes in a Redis that is full. No tags are no invalidation: it returns
// the current position. After an error it may have happened or not; doing it again
// is harmless.
func (r *Remote) Invalidate(ctx context.Context, tags []string, soft bool) (uint64, error) {
	switch {
	case r.opts.Disabled:
		return disabledPosition, nil
	case len(tags) == 0:
		return r.Position(ctx)
	}
	kind := "0"
	if soft {
		kind = "1"
	}
	args := append([]string{strconv.Itoa(r.opts.MaxTags), r.channel, kind}, tags...)
	rep, err := r.call(ctx, "invalidate", func(ctx context.Context, c rueidis.Client) (reply, error) {
		return r.run(ctx, c, opInvalidate, nil, args...)
	})
	if err != nil {
		return 0, err
	}
	r.n.invalidations.Add(uint64(len(tags)))
	return rep.pos, nil
}
