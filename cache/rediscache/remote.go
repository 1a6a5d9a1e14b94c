package rediscache

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/perfblocks/perfblocks/cache"
	"github.com/redis/rueidis"
)

// maxUnderWay bounds the commands that were sent and not answered. It is below the
// length of the client's queues: putting into a full one would not heed a ctx.
const maxUnderWay = 256

var _ cache.Remote = (*Remote)(nil)

// Remote is a second level in Redis for [cache.Options].Remote. Several caches of
// one process may share one; each node of a service makes its own. It is safe for
// concurrent use, and must not be copied. Make it with [New], and call
// [Remote.Close] after the caches that use it were closed.
type Remote struct {
	opts    Options
	client  rueidis.ClientOption
	script  script
	tags    []string // names of the two hashes
	channel string
	oneSlot bool // records are in the slot of the hashes

	ctx    context.Context // ends with Close
	cancel context.CancelCauseFunc
	slots  chan struct{}
	seen   atomic.Uint64 // highest position that this node got from Redis
	n      counters
	wg     sync.WaitGroup

	mu     sync.Mutex
	closed bool   // guarded by mu
	dial   dialer // guarded by mu
}

// New makes a Remote. It does not wait for Redis, nor fail because Redis is down: the
// first operation connects, each later one tries again after a short pause, and until
// then they fail, which a cache bears. The error matches [ErrOptions] and tells of
// every bad field; a malformed URL is one, and is not repeated.
func New(o Options) (*Remote, error) {
	o, client, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	r := &Remote{opts: o, client: client, script: newScript(o.Prefix), slots: make(chan struct{}, maxUnderWay)}
	r.ctx, r.cancel = context.WithCancelCause(context.Background())
	if r.client.DialFn == nil { //nolint:staticcheck // a caller may still use it
		r.client.DialCtxFn = r.dialConn(r.client.DialCtxFn)
	}
	// Both names have the same text up to the closing brace, so the same slot.
	base := o.Prefix + "tags:{" + o.Prefix + "}"
	r.tags = []string{base, base + ":old"}
	r.channel = base + ":push"
	r.oneSlot = hasHashTag(o.Prefix)
	return r, nil
}

// hasHashTag tells whether all keys with the prefix share a slot of Redis Cluster.
func hasHashTag(prefix string) bool {
	_, after, ok := strings.Cut(prefix, "{")
	return ok && strings.Index(after, "}") > 0
}

// Close ends what is under way with [ErrClosed], closes all connections and waits
// for the goroutines. Later calls, of any method, do no more than report that;
// closing again returns nil. Records and positions stay in Redis.
func (r *Remote) Close() error {
	r.mu.Lock()
	r.closed = true
	client := r.dial.client
	r.mu.Unlock()
	r.cancel(ErrClosed)
	if client != nil {
		client.Close()
	}
	r.wg.Wait()
	r.mu.Lock()
	late := r.dial.client // of an attempt that was under way
	r.dial.client = nil
	r.mu.Unlock()
	if late != nil && late != client {
		late.Close()
	}
	return nil
}

// spawn runs fn on a goroutine that Close waits for, unless closed.
func (r *Remote) spawn(fn func()) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return false
	}
	r.wg.Go(fn)
	return true
}

// reply is what the script answered, apart from the position.
type reply struct {
	pos    uint64
	status int64
	ttl    time.Duration
	blob   string
}

// call runs one operation within ctx and Options.Timeout. fn is on a goroutine of
// its own and ends when Redis answers or the connection breaks, so that the count
// of commands under way is true, whatever the callers' patience.
func (r *Remote) call(ctx context.Context, op string, fn func(context.Context, rueidis.Client) (reply, error)) (reply, error) {
	start := time.Now()
	rep, err := r.callOnce(ctx, fn)
	r.n.operations.Add(1)
	r.n.nanos.Add(int64(time.Since(start)))
	if err != nil {
		r.n.errors.Add(1)
		return rep, r.fail(op, err)
	}
	return rep, nil
}

type outcome struct {
	rep reply
	err error
}

func (r *Remote) callOnce(ctx context.Context, fn func(context.Context, rueidis.Client) (reply, error)) (reply, error) {
	ctx, cancel := context.WithTimeout(ctx, r.opts.Timeout)
	defer cancel()
	if ctx.Err() != nil {
		return reply{}, ctxError(ctx)
	}
	select {
	case r.slots <- struct{}{}:
	case <-ctx.Done():
		return reply{}, ctxError(ctx)
	case <-r.ctx.Done():
		return reply{}, ErrClosed
	}
	done := make(chan outcome, 1)
	if !r.spawn(func() {
		defer func() { <-r.slots }()
		var out outcome
		out.rep, out.err = r.work(ctx, fn)
		done <- out
	}) {
		<-r.slots
		return reply{}, ErrClosed
	}
	select {
	case out := <-done:
		return out.rep, out.err
	case <-ctx.Done():
		return reply{}, ctxError(ctx)
	}
}

func (r *Remote) work(ctx context.Context, fn func(context.Context, rueidis.Client) (reply, error)) (rep reply, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("the client panicked with a %T", p)
		}
	}()
	client, err := r.connect(ctx)
	if err != nil {
		return reply{}, err
	}
	if ctx.Err() != nil {
		return reply{}, ctxError(ctx)
	}
	return fn(r.ctx, client)
}

// run executes the script: by its name, or by its full text where Redis does not
// have it yet.
func (r *Remote) run(ctx context.Context, c rueidis.CommandClient, op string, key []string, args ...string) (reply, error) {
	keys := append(r.tags[:len(r.tags):len(r.tags)], key...)
	argv := func(check string) []string {
		seen := r.seen.Load()
		return append([]string{op, check,
			strconv.FormatUint(seen>>32, 10), strconv.FormatUint(seen&(1<<32-1), 10),
			strconv.FormatUint(uint64(rand.Uint32N(1<<26)), 10), strconv.FormatUint(uint64(rand.Uint32N(1<<31)), 10)}, args...)
	}
	res := c.Do(ctx, c.B().Evalsha().Sha1(r.script.sha).Numkeys(int64(len(keys))).Key(keys...).Arg(argv(scriptTrust)...).Build())
	if re, ok := errors.AsType[*rueidis.RedisError](res.Error()); ok && re.IsNoScript() {
		res = c.Do(ctx, c.B().Eval().Script(r.script.text).Numkeys(int64(len(keys))).Key(keys...).Arg(argv(scriptCheck)...).Build())
	}
	return r.readReply(res)
}

func (r *Remote) readReply(res rueidis.RedisResult) (rep reply, err error) {
	arr, err := res.ToArray()
	if err != nil {
		return rep, err
	}
	if len(arr) < 3 {
		return rep, errReply
	}
	var n [4]int64
	for i := range min(len(arr), len(n)) {
		if n[i], err = arr[i].AsInt64(); err != nil {
			return rep, errReply
		}
	}
	if n[0] <= 0 || n[0] >= 1<<31 || n[1] < 0 || n[1] >= 1<<32 {
		return rep, errReply
	}
	rep = reply{pos: uint64(n[0])<<32 | uint64(n[1]), status: n[2], ttl: time.Duration(n[3]) * time.Millisecond}
	if len(arr) > 4 {
		if rep.blob, err = arr[4].ToString(); err != nil {
			return rep, errReply
		}
	}
	r.note(rep.pos)
	return rep, nil
}

// note remembers the highest position. A new incarnation means lost positions.
func (r *Remote) note(pos uint64) {
	for {
		seen := r.seen.Load()
		if pos <= seen {
			return
		}
		if !r.seen.CompareAndSwap(seen, pos) {
			continue
		}
		if seen != 0 && seen>>32 != pos>>32 {
			r.n.resets.Add(1)
			if h := r.opts.Hooks.Reset; h != nil {
				guard(func() { h(ResetEvent{Position: pos}) })
			}
			if l := r.opts.Logger; l != nil {
				l.Warn("rediscache: Redis has lost its positions; all records are invalid", "remote", r.opts.Name)
			}
		}
		return
	}
}
