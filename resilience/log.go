package resilience

import (
	"context"
	"fmt"
	"log/slog"
)

// log writes the one record of a call that failed for good.
func (p *core) log(ctx context.Context, c *call, err error, reason StopReason) {
	level := levelOf(c.info)
	if !p.opts.Logger.Enabled(ctx, level) {
		return
	}
	attrs := make([]slog.Attr, 0, 7)
	attrs = append(attrs, slog.String("operation", p.opts.Name), slog.Any("failure", c.info),
		slog.String("type", rootType(err)), slog.String("fingerprint", fmt.Sprintf("%016x", fingerprint(err, p.opts.Classifier))),
		slog.Int("attempts", c.attempts), slog.String("reason", reason.String()))
	if p.breaker != nil {
		attrs = append(attrs, slog.String("breaker", p.breaker.State().String()))
	}
	p.opts.Logger.LogAttrs(context.WithoutCancel(ctx), level, "call failed", attrs...)
}

// levelOf grades a failure: of the other side or of ours, an answer that the caller
// may have expected, or a caller that gave up.
func levelOf(i Info) slog.Level {
	switch i.Class {
	case ClassCanceled:
		return slog.LevelDebug
	case ClassConflict, ClassNotFound, ClassInvalid, ClassUnauthorized, ClassPermanent:
		return slog.LevelWarn
	default:
		return slog.LevelError
	}
}

// rootType names the type of the innermost error, which tells more than a text that
// may hold secrets.
func rootType(err error) string {
	for range maxDepth {
		many, one := unwrap(err)
		if len(many) > 0 {
			one = many[0]
		}
		if one == nil {
			break
		}
		err = one
	}
	return fmt.Sprintf("%T", err)
}
