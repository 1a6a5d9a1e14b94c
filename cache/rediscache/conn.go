package rediscache

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"time"

	"github.com/redis/rueidis"
)

const (
	dialPauseMin = 50 * time.Millisecond
	dialPauseMax = time.Second
)

// dialer makes the client when it is first needed, and again after a pause when
// that failed: a client of rueidis cannot be had while Redis is down, but once made
// it connects again by itself. Its fields are guarded by Remote.mu.
type dialer struct {
	client  rueidis.Client
	running chan struct{} // closed when the attempt under way has ended; nil: none
	err     error         // of the last attempt
	pause   time.Duration
	next    time.Time // no attempt before
}

// connect returns the client, waiting for an attempt under way.
func (r *Remote) connect(ctx context.Context) (rueidis.Client, error) {
	r.mu.Lock()
	d := &r.dial
	if d.client != nil || r.closed {
		defer r.mu.Unlock()
		return d.client, r.closedErrLocked()
	}
	if d.running == nil {
		if d.err != nil && time.Now().Before(d.next) {
			defer r.mu.Unlock()
			return nil, d.err
		}
		d.running = make(chan struct{})
		r.wg.Go(r.dialOnce)
	}
	running := d.running
	r.mu.Unlock()
	select {
	case <-running:
	case <-ctx.Done():
		return nil, ctxError(ctx)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := r.closedErrLocked(); err != nil {
		return nil, err
	}
	return d.client, d.err
}

func (r *Remote) closedErrLocked() error {
	if r.closed {
		return ErrClosed
	}
	return nil
}

// dialOnce makes one attempt.
func (r *Remote) dialOnce() {
	client, err := r.newClient()
	r.mu.Lock()
	d := &r.dial
	d.client, d.err = client, err
	if err != nil {
		d.client = nil
		d.pause = min(max(2*d.pause, dialPauseMin), dialPauseMax)
		d.next = time.Now().Add(d.pause)
	}
	close(d.running)
	d.running = nil
	r.mu.Unlock()
}

func (r *Remote) newClient() (client rueidis.Client, err error) {
	defer func() {
		if recover() != nil {
			client, err = nil, errors.New("the options of the client made it panic")
		}
	}()
	return rueidis.NewClient(r.client)
}

// dialConn replaces the client's way to make a connection, so that Close can end
// all of them, and an attempt as well.
func (r *Remote) dialConn(given func(context.Context, string, *net.Dialer, *tls.Config) (net.Conn, error)) func(context.Context, string, *net.Dialer, *tls.Config) (net.Conn, error) {
	return func(ctx context.Context, addr string, nd *net.Dialer, tc *tls.Config) (net.Conn, error) {
		ctx, cancel := context.WithCancelCause(ctx)
		defer cancel(nil)
		defer context.AfterFunc(r.ctx, func() { cancel(ErrClosed) })()
		var conn net.Conn
		var err error
		switch {
		case given != nil:
			conn, err = given(ctx, addr, nd, tc)
		case tc != nil:
			conn, err = (&tls.Dialer{NetDialer: nd, Config: tc}).DialContext(ctx, "tcp", addr)
		default:
			conn, err = nd.DialContext(ctx, "tcp", addr)
		}
		if err != nil {
			return nil, err
		}
		r.n.connects.Add(1)
		return &ownedConn{Conn: conn, stop: context.AfterFunc(r.ctx, func() { _ = conn.Close() })}, nil
	}
}

// ownedConn is a connection that Close of its Remote closes.
type ownedConn struct {
	net.Conn
	stop func() bool
}

// Close closes the connection.
func (c *ownedConn) Close() error {
	c.stop()
	return c.Conn.Close()
}
