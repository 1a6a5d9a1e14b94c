package rediscache

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/redis/rueidis"
)

// ErrClosed is returned by every method of a [Remote] after [Remote.Close], and by
// those that Close interrupted.
var ErrClosed = errors.New("rediscache: closed")

var (
	errReply  = errors.New("the answer of Redis is not understood")
	errSilent = errors.New("the push connection is silent")
	errEnded  = errors.New("the push connection has ended")
)

const maxErrorText = 200

// fail makes the error of an operation. What Redis says is shortened: an error about
// an unknown command repeats its arguments, which are payloads, or a password.
func (r *Remote) fail(op string, err error) error {
	if r.ctx.Err() != nil {
		return fmt.Errorf("rediscache: %s: %w", op, ErrClosed)
	}
	return fmt.Errorf("rediscache: %s: %w", op, cleanError(err))
}

func cleanError(err error) error {
	if re, ok := errors.AsType[*rueidis.RedisError](err); ok {
		return errors.New("redis: " + cleanText(re.Error()))
	}
	return err
}

func cleanText(text string) string {
	text, _, _ = strings.Cut(text, ", with args")
	if len(text) > maxErrorText {
		text = text[:maxErrorText]
	}
	return strings.ToValidUTF8(text, "?")
}

// ctxError is the error of a ctx that has ended, with its cause.
func ctxError(ctx context.Context) error {
	err, cause := ctx.Err(), context.Cause(ctx)
	if cause == nil || errors.Is(err, cause) {
		return err
	}
	return fmt.Errorf("%w: %w", err, cause)
}
