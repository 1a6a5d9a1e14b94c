package resilience

import (
	"errors"

	"github.com/failsafe-go/failsafe-go"
	"github.com/failsafe-go/failsafe-go/common"
	"github.com/failsafe-go/failsafe-go/policy"
)

// BreakerPolicy returns b as a failsafe-go policy for results of type R, for use in
// a failsafe.Executor, outside or inside a timeout. A rejected execution gets a
// *[BreakerOpenError]; let a retry policy around it abort on ErrOpen. An execution
// that its caller canceled is neutral.
func BreakerPolicy[R any](b *Breaker) failsafe.Policy[R] { return breakerPolicy[R]{b} }

// BudgetPolicy returns b as a failsafe-go policy for results of type R, to stand
// inside a retry policy: it refuses the retries that b does not allow with an
// error that matches [ErrBudget] and the last failure. Let the retry policy abort
// on ErrBudget.
func BudgetPolicy[R any](b *Budget) failsafe.Policy[R] { return budgetPolicy[R]{b} }

type breakerPolicy[R any] struct{ b *Breaker }

// ToExecutor is part of failsafe.Policy.
func (p breakerPolicy[R]) ToExecutor(R) any { return p }

type (
	inner[R any] = func(failsafe.Execution[R]) *common.PolicyResult[R]
)

// Apply is called by failsafe-go for each execution.
func (p breakerPolicy[R]) Apply(next inner[R]) inner[R] {
	return func(e failsafe.Execution[R]) *common.PolicyResult[R] {
		permit, err := p.b.Acquire()
		if err != nil {
			return &common.PolicyResult[R]{Error: err, Done: true}
		}
		returned := false
		defer func() {
			if !returned {
				permit.Failure(errPanicked)
			}
		}()
		r := next(e)
		returned = true
		settle(&permit, e, r.Error)
		return r
	}
}

// settle reports the outcome of an execution. One that was canceled fails in ways
// that tell nothing: of those, a timeout around the breaker speaks against the other
// side, and a caller that gave up, or a hedge that was not needed, against nobody.
func settle[R any](permit *Permit, e failsafe.Execution[R], err error) {
	if x, ok := e.(policy.ExecutionInternal[R]); ok && err != nil {
		switch canceled, by := x.IsCanceledWithResult(); {
		case !canceled:
		case by != nil && Classify(by.Error).Class == ClassTimeout:
			err = by.Error
		default:
			permit.Ignore()
			return
		}
	}
	permit.Done(err)
}

type budgetPolicy[R any] struct{ b *Budget }

// ToExecutor is part of failsafe.Policy.
func (p budgetPolicy[R]) ToExecutor(R) any { return p }

// Apply is called by failsafe-go for each execution.
func (p budgetPolicy[R]) Apply(next inner[R]) inner[R] {
	return func(e failsafe.Execution[R]) *common.PolicyResult[R] {
		if !e.IsRetry() {
			r := next(e)
			if r.Error == nil {
				p.b.Earn()
			}
			return r
		}
		cost, ok := p.b.Spend(Classify(e.LastError()).Class)
		if !ok {
			return &common.PolicyResult[R]{Error: errors.Join(ErrBudget, e.LastError()), Done: true}
		}
		r := next(e)
		if r.Error == nil {
			p.b.Refund(cost)
		}
		return r
	}
}
