package resiliencehttp

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/perfblocks/perfblocks/resilience"
)

// report tells the breaker how the handler did, by the status it answered with.
// A handler that aborts without having said what is wrong has no outcome.
func (v *visit) report(aborted bool) {
	status := int(v.w.status.Load())
	failed := status >= 500 && status != http.StatusNotImplemented
	switch {
	case v.w.refused.Load(), aborted && !failed:
		v.permit.Ignore()
	case status != 0 && !failed:
		v.permit.Success()
	case errors.Is(v.r.Context().Err(), context.Canceled):
		v.permit.Ignore() // Nobody waits for the answer, and the handler was told so.
	case failed:
		v.permit.Failure(&StatusError{Status: status})
	default:
		v.permit.Success() // An answer without a body.
	}
}

// openProblem is the answer while a breaker refuses.
func openProblem(err error) Problem {
	p := Problem{Status: http.StatusServiceUnavailable, Code: "unavailable", RetryAfter: time.Second}
	if e, ok := errors.AsType[*resilience.BreakerOpenError](err); ok {
		p.RetryAfter = max(p.RetryAfter, e.RetryAfter())
	}
	return p
}
