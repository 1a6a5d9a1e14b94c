package rediscache

import (
	"context"
	"encoding/binary"
	"errors"
	"time"

	"github.com/perfblocks/perfblocks/cache"
	"github.com/redis/rueidis"
)

// A message on the channel, numbers big-endian: 4 magic "PBi1", 4 incarnation and
// 4 count of the position, 4 soft (0 or 1), 4 number of tags, then for each 4 length
// and its bytes. The script writes it.
const (
	messageMagic = "PBi1"
	messageHead  = 4 + 4 + 4 + 4 + 4
)

// message is an invalidation as it was published.
type message struct {
	pos  uint64
	soft bool
	tags []string
}

func decodeMessage(text string) (m message, ok bool) {
	if len(text) < messageHead || text[:4] != messageMagic {
		return m, false
	}
	b := []byte(text[4:])
	m.pos = binary.BigEndian.Uint64(b)
	m.soft = binary.BigEndian.Uint32(b[8:]) == 1
	n := binary.BigEndian.Uint32(b[12:])
	b = b[16:]
	if uint64(n)*4 > uint64(len(b)) {
		return m, false
	}
	m.tags = make([]string, n)
	for i := range m.tags {
		if m.tags[i], b, ok = cutString(b); !ok {
			return m, false
		}
	}
	return m, len(b) == 0
}

// watcher is one call of Watch.
type watcher struct {
	r    *Remote
	conn rueidis.DedicatedClient
	fn   func(cache.RemoteEvent)
	msgs chan string
	errs chan error // from the goroutines; each sends one at most
	last uint64     // position of the last message
	up   bool       // RemoteReady was told
}

// Watch listens for the invalidations of all nodes on a connection of its own, which
// it pings: it returns when ctx ends, when the connection is lost, or when it was
// silent for Options.PushTimeout. Positions that do not follow one another are told
// as RemoteLost and RemoteReady. Only the goroutine of the caller runs fn. With
// Options.DisablePush it waits for ctx to end; disabled, it is ready at once.
func (r *Remote) Watch(ctx context.Context, fn func(cache.RemoteEvent)) error {
	if r.opts.Disabled || r.opts.DisablePush {
		if r.opts.Disabled {
			fn(cache.RemoteEvent{Kind: cache.RemoteReady})
		}
		select {
		case <-ctx.Done():
			return ctxError(ctx)
		case <-r.ctx.Done():
			return r.fail("watch", ErrClosed)
		}
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer context.AfterFunc(r.ctx, func() { cancel(ErrClosed) })()
	conn, err := r.dedicate(ctx)
	if err != nil {
		return r.fail("watch", err)
	}
	w := &watcher{r: r, conn: conn, fn: fn, msgs: make(chan string, 64), errs: make(chan error, 2)}
	err = w.run(ctx)
	w.tellDown(err)
	// Its end may take a second when Redis is silent.
	if !r.spawn(conn.Close) {
		conn.Close()
	}
	if ctx.Err() != nil && !errors.Is(err, errSilent) {
		err = ctxError(ctx)
	}
	return r.fail("watch", err)
}

// dedicate makes a connection to the node that publishes. It is on a goroutine of
// its own, since the client makes connections without heeding a ctx.
func (r *Remote) dedicate(ctx context.Context) (rueidis.DedicatedClient, error) {
	type result struct {
		conn rueidis.DedicatedClient
		err  error
	}
	done := make(chan result)
	if !r.spawn(func() {
		var res result
		_, res.err = r.work(ctx, func(_ context.Context, c rueidis.Client) (reply, error) {
			res.conn, _ = c.Dedicate()
			tctx, cancel := context.WithTimeout(ctx, r.opts.Timeout)
			defer cancel()
			// On a cluster the keys choose the node.
			return r.run(tctx, res.conn, opPosition, nil)
		})
		if res.err == nil {
			select {
			case done <- res:
				return
			case <-ctx.Done():
			}
		}
		if res.conn != nil {
			res.conn.Close()
		}
		if res.err != nil {
			select {
			case done <- res:
			case <-ctx.Done():
			}
		}
	}) {
		return nil, ErrClosed
	}
	select {
	case res := <-done:
		return res.conn, res.err
	case <-ctx.Done():
		return nil, ctxError(ctx)
	}
}

// run subscribes, and passes on what comes until something fails.
func (w *watcher) run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	confirmed := make(chan struct{}, 1)
	ready := make(chan uint64, 1)
	if !w.r.spawn(func() { w.errs <- w.receive(ctx, confirmed) }) {
		return ErrClosed
	}
	timeout := time.NewTimer(w.r.opts.Timeout)
	defer timeout.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctxError(ctx)
		case err := <-w.errs:
			return err
		case <-confirmed:
			if !w.r.spawn(func() { w.errs <- w.beat(ctx, ready) }) {
				return ErrClosed
			}
		case <-timeout.C:
			return errSilent
		case pos := <-ready:
			timeout.Stop()
			w.last = pos
			w.tellUp()
		case text := <-w.msgs:
			if w.up { // what came before is older than what ready promises
				w.tell(text)
			}
		}
	}
}

// receive hands over the messages, and when the subscription is there.
func (w *watcher) receive(ctx context.Context, confirmed chan<- struct{}) error {
	hooked := rueidis.WithOnSubscriptionHook(ctx, func(s rueidis.PubSubSubscription) {
		if s.Kind == "subscribe" {
			select {
			case confirmed <- struct{}{}:
			default:
			}
		}
	})
	err := w.conn.Receive(hooked, w.conn.B().Subscribe().Channel(w.r.channel).Build(), func(m rueidis.PubSubMessage) {
		select {
		case w.msgs <- m.Message:
		case <-ctx.Done():
		}
	})
	if err == nil {
		err = errEnded
	}
	return err
}

// beat asks for the position, so that Redis is not behind what this node has seen,
// and then makes sure that the connection still answers.
func (w *watcher) beat(ctx context.Context, ready chan<- uint64) error {
	rep, err := w.r.run(ctx, w.conn, opPosition, nil)
	if err != nil {
		return err
	}
	ready <- rep.pos
	every := w.r.opts.PushTimeout / 3
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctxError(ctx)
		case <-tick.C:
		}
		pctx, cancel := context.WithTimeoutCause(ctx, w.r.opts.PushTimeout-every, errSilent)
		err := w.conn.Do(pctx, w.conn.B().Ping().Build()).Error()
		if err != nil && pctx.Err() != nil && ctx.Err() == nil {
			err = errSilent
		}
		cancel()
		if err != nil {
			return err
		}
	}
}

// tell passes a message on, after a gap if there is one.
func (w *watcher) tell(text string) {
	m, ok := decodeMessage(text)
	switch {
	case !ok: // not ours, or worse
		w.gap()
		return
	case m.pos > w.last+1 || m.pos>>32 < w.last>>32:
		w.gap()
	}
	if m.pos > w.last || m.pos>>32 < w.last>>32 {
		w.last = m.pos
	}
	if m.pos>>32 < w.r.seen.Load()>>32 {
		m.pos = 0 // of a Redis that had lost its positions: not to be compared with older ones
	}
	w.r.n.pushed.Add(uint64(len(m.tags)))
	w.fn(cache.RemoteEvent{Kind: cache.RemoteInvalidated, Tags: m.tags, Soft: m.soft, Position: m.pos})
}

func (w *watcher) gap() {
	w.r.n.losses.Add(1)
	w.fn(cache.RemoteEvent{Kind: cache.RemoteLost})
	w.fn(cache.RemoteEvent{Kind: cache.RemoteReady})
}

func (w *watcher) tellUp() {
	w.up = true
	w.r.n.listening.Add(1)
	w.fn(cache.RemoteEvent{Kind: cache.RemoteReady})
	if h := w.r.opts.Hooks.Push; h != nil {
		guard(func() { h(PushEvent{Ready: true}) })
	}
	if l := w.r.opts.Logger; l != nil {
		l.Info("rediscache: push connection ready", "remote", w.r.opts.Name)
	}
}

// tellDown tells the hooks; the caller of Watch learns it from the return.
func (w *watcher) tellDown(err error) {
	if !w.up {
		return
	}
	w.up = false
	w.r.n.listening.Add(-1)
	if w.r.ctx.Err() != nil || errors.Is(err, context.Canceled) {
		return // asked for
	}
	w.r.n.losses.Add(1)
	err = cleanError(err)
	if h := w.r.opts.Hooks.Push; h != nil {
		guard(func() { h(PushEvent{Err: err}) })
	}
	if l := w.r.opts.Logger; l != nil {
		l.Warn("rediscache: push connection lost", "remote", w.r.opts.Name, "error", err)
	}
}
