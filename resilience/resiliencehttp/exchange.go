package resiliencehttp

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/perfblocks/perfblocks/resilience"
	"github.com/perfblocks/perfblocks/resilience/internal/errtree"
)

// exchange is one request with all its attempts.
type exchange struct {
	t    *Transport
	fn   func(context.Context) (*http.Response, error) // attempt, made once
	req  *http.Request
	sent bool           // the original body went to the base, which closes it
	last *http.Response // of a failed status, not yet discarded
	fail *failedStatus  // of the last attempt
}

// How much of a discarded body is read to keep the connection, and for how long.
const (
	maxDrain     = 64 << 10
	maxDrainTime = 100 * time.Millisecond
)

// settle reads the rest of the last failed response into memory and closes it, so
// that its connection serves others while this request waits. What is too long or too
// slow for that is given up, and the connection with it.
func (x *exchange) settle() {
	resp := x.last
	if resp == nil {
		return
	}
	body := resp.Body
	timer := time.AfterFunc(maxDrainTime, func() {
		if b, ok := body.(*attemptBody); ok {
			b.cancel(nil) // Reaches also a Read that holds Close up.
			return
		}
		_ = body.Close() // The bodies of net/http end a Read by it.
	})
	var text bytes.Buffer
	_, err := io.CopyN(&text, body, maxDrain+1)
	timer.Stop()
	_ = body.Close()
	if !errors.Is(err, io.EOF) {
		x.last = nil
		return
	}
	resp.Body = io.NopCloser(&text)
}

// abandon closes what is open when an option of the user panicked. The exchange is
// not used again.
func (x *exchange) abandon() {
	if !x.sent {
		closeBody(x.req)
	}
	if x.last != nil {
		_ = x.last.Body.Close()
	}
}

// reset gives up a failed response that nobody gets, and its connection, and makes
// the exchange ready for another request.
func (x *exchange) reset() {
	if x.last != nil {
		_ = x.last.Body.Close()
	}
	x.forget()
	x.req, x.sent, x.last = nil, false, nil
}

// failedStatus is the failure of an attempt that was answered. It leads the retry
// hook to the exchange, and no further once the exchange is over: a breaker keeps
// the failure for longer.
type failedStatus struct {
	*StatusError
	x *exchange
}

func (e *failedStatus) Unwrap() error { return e.StatusError }

// beforeRetry settles the exchange behind the failure, then calls the user's hook.
func beforeRetry(user func(resilience.RetryEvent)) func(resilience.RetryEvent) {
	return func(e resilience.RetryEvent) {
		if f, ok := errtree.As[*failedStatus](e.Err); ok && f.x != nil {
			f.x.settle()
		}
		if user != nil {
			user(e)
		}
	}
}

// finalError is a failure after which the body cannot be sent again.
type finalError struct{ error }

func (e *finalError) Unwrap() error { return e.error }

// forget cuts the way from the last failure to the exchange.
func (x *exchange) forget() {
	if x.fail != nil {
		x.fail.x, x.fail = nil, nil
	}
}

// failed returns the error of an attempt, marked if it must be the last one.
func (x *exchange) failed(err error) error {
	if x.replayable() {
		return err
	}
	return resilience.Permanent(&finalError{err})
}

func (x *exchange) attempt(ctx context.Context) (*http.Response, error) {
	x.forget()
	x.last = nil // Settled, if there was one.
	r, err := x.request()
	if err != nil {
		return nil, err
	}
	var resp *http.Response
	if d := x.t.opts.AttemptTimeout; d > 0 {
		resp, err = x.timed(ctx, r, d)
	} else {
		resp, err = x.t.base.RoundTrip(r)
	}
	switch {
	case err != nil:
		return nil, x.failed(err)
	case resp == nil:
		return nil, resilience.Permanent(errNoResponse)
	case resp.Body == nil: // http.Client puts up with it as well.
		resp.Body = http.NoBody
	}
	if resp.StatusCode < 400 {
		return resp, nil
	}
	failure := &StatusError{Status: resp.StatusCode, RetryAfter: resp.Header.Get("Retry-After")}
	x.last = resp // In case that an option of the user panics.
	if !x.t.fails(failure) {
		x.last = nil
		return resp, nil
	}
	x.fail = &failedStatus{StatusError: failure, x: x}
	return nil, x.failed(x.fail)
}

// errNoResponse is the answer to a base that breaks its contract.
var errNoResponse = errors.New("resiliencehttp: base returned neither response nor error")

func (x *exchange) replayable() bool {
	return x.req.Body == nil || x.req.Body == http.NoBody || x.req.GetBody != nil
}

// request returns the request for the next attempt; the caller's stays as it is.
func (x *exchange) request() (*http.Request, error) {
	if !x.sent {
		x.sent = true
		return x.req, nil
	}
	r := x.req.WithContext(x.req.Context())
	if x.req.Body != nil && x.req.GetBody != nil {
		body, err := x.req.GetBody()
		if err != nil {
			err = fmt.Errorf("resiliencehttp: replay body: %w", err)
			return nil, resilience.Permanent(resilience.Mark(err, resilience.ClassRejected)) // Not the host's fault.
		}
		r.Body = body
	}
	return r, nil
}

// timed bounds the attempt up to the response's header. The attempt's context
// lives on until the body is read or closed.
func (x *exchange) timed(ctx context.Context, r *http.Request, d time.Duration) (*http.Response, error) {
	inner, cancel := context.WithCancelCause(ctx)
	timer := time.AfterFunc(d, func() { cancel(resilience.ErrTimeout) })
	resp, err := x.t.base.RoundTrip(r.WithContext(inner))
	late := !timer.Stop()
	if late && err == nil { // The body could not be read any more.
		if resp != nil && resp.Body != nil {
			_ = resp.Body.Close()
		}
		resp, err = nil, context.Canceled
	}
	if err != nil || resp == nil || resp.Body == nil {
		cancel(nil)
		if late && ctx.Err() == nil {
			err = resilience.Mark(fmt.Errorf("%w: %w", resilience.ErrTimeout, err), resilience.ClassTimeout)
		}
		return resp, err
	}
	body := &attemptBody{ReadCloser: resp.Body, cancel: cancel}
	resp.Body = body
	if w, ok := body.ReadCloser.(io.Writer); ok { // 101 Switching Protocols
		resp.Body = struct {
			*attemptBody
			io.Writer
		}{body, w}
	}
	return resp, nil
}

// attemptBody ends the attempt's context when the body is done with.
type attemptBody struct {
	io.ReadCloser
	cancel context.CancelCauseFunc
}

func (b *attemptBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err != nil {
		b.cancel(nil)
	}
	return n, err
}

func (b *attemptBody) Close() error {
	err := b.ReadCloser.Close()
	b.cancel(nil)
	return err
}
