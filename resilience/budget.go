package resilience

import (
	"iter"
	"sync"
	"sync/atomic"
	"time"
)

// BudgetOptions configures a [Budget]. The zero value is a working configuration.
type BudgetOptions struct {
	// Name labels metrics. Default "budget".
	Name string
	// Capacity is how many tokens the bucket holds, and starts with. Default 100.
	Capacity int
	// RetryCost is how many tokens a retry takes; at most Capacity. Default 5, or
	// Capacity if that is less.
	RetryCost int
	// TimeoutCost is how many tokens a retry after a timeout takes; at most Capacity.
	// Default 10, or Capacity if that is less.
	TimeoutCost int
	// Earn is how many tokens the success of a first attempt brings. Default 1.
	Earn int
	// MinPerSecond is how many retries a second are earned by time alone, so that
	// a service with little traffic can retry at all. Default 0.1; negative: none.
	MinPerSecond float64
}

// Budget bounds retries by what succeeds: a retry takes tokens, a retry that
// succeeds gives them back, a first attempt that succeeds earns a few. Scattered
// failures are retried freely, but in an outage retries stop after
// Capacity/RetryCost of them. It is safe for concurrent use, may be shared by
// pipelines that call the same thing, and must not be copied after first use.
type Budget struct {
	opts   BudgetOptions // defaults filled in; never changes
	tokens atomic.Int64
	spent  atomic.Uint64
	denied atomic.Uint64

	mu   sync.Mutex
	last time.Time // of the last trickle; guarded by mu
	part float64   // of a token, trickled; guarded by mu
}

// BudgetStats is a snapshot of a budget.
type BudgetStats struct {
	// Tokens are in the bucket now, of Capacity.
	Tokens, Capacity int
	// Spent counts retries allowed and Denied retries refused, since NewBudget.
	Spent, Denied uint64
}

// NewBudget returns a full budget, or an error matching [ErrOptions] that names
// every field that is out of range.
func NewBudget(o BudgetOptions) (*Budget, error) {
	var v validator
	v.check(o.Capacity >= 0, "Capacity %d is negative", o.Capacity)
	v.check(o.RetryCost >= 0, "RetryCost %d is negative", o.RetryCost)
	v.check(o.TimeoutCost >= 0, "TimeoutCost %d is negative", o.TimeoutCost)
	v.check(o.Earn >= 0, "Earn %d is negative", o.Earn)
	v.check(o.MinPerSecond <= 1e6, "MinPerSecond %v is over 1e6", o.MinPerSecond)
	setDefault(&o.Name, "budget")
	setDefault(&o.Capacity, 100)
	setDefault(&o.RetryCost, max(1, min(5, o.Capacity)))
	setDefault(&o.TimeoutCost, max(1, min(10, o.Capacity)))
	setDefault(&o.Earn, 1)
	setDefault(&o.MinPerSecond, 0.1)
	v.check(o.Capacity < 0 || o.RetryCost <= o.Capacity, "RetryCost %d is over Capacity %d", o.RetryCost, o.Capacity)
	v.check(o.Capacity < 0 || o.TimeoutCost <= o.Capacity, "TimeoutCost %d is over Capacity %d", o.TimeoutCost, o.Capacity)
	if err := v.err("budget " + o.Name); err != nil {
		return nil, err
	}
	b := &Budget{opts: o, last: time.Now()}
	b.tokens.Store(int64(o.Capacity))
	return b, nil
}

// Spend takes the tokens for one retry after a failure of class c. It returns
// what it took, to be given back by Refund if the retry succeeds, or false when
// the budget does not allow the retry.
func (b *Budget) Spend(c Class) (cost int, ok bool) {
	b.trickle()
	cost = b.opts.RetryCost
	if c == ClassTimeout {
		cost = b.opts.TimeoutCost
	}
	for {
		n := b.tokens.Load()
		if n < int64(cost) {
			b.denied.Add(1)
			return 0, false
		}
		if b.tokens.CompareAndSwap(n, n-int64(cost)) {
			b.spent.Add(1)
			return cost, true
		}
	}
}

// trickle adds the tokens that time has earned.
func (b *Budget) trickle() {
	if b.opts.MinPerSecond <= 0 {
		return
	}
	b.mu.Lock()
	now := time.Now()
	b.part += now.Sub(b.last).Seconds() * b.opts.MinPerSecond * float64(b.opts.RetryCost)
	b.last = now
	b.part = min(b.part, float64(b.opts.Capacity))
	whole := int(min(max(0, b.part), 1<<30)) // More would be lost in a float anyway.
	b.part -= float64(whole)
	b.mu.Unlock()
	b.add(whole)
}

// Refund gives back what Spend took, because the retry succeeded.
func (b *Budget) Refund(cost int) { b.add(max(0, cost)) }

// Earn credits the success of a first attempt.
func (b *Budget) Earn() { b.add(b.opts.Earn) }

func (b *Budget) add(k int) {
	for limit := int64(b.opts.Capacity); k > 0; {
		n := b.tokens.Load()
		if n >= limit || b.tokens.CompareAndSwap(n, n+min(limit-n, int64(k))) {
			return
		}
	}
}

// Stats returns the tokens and counters as they are now.
func (b *Budget) Stats() BudgetStats {
	b.trickle()
	return BudgetStats{
		Tokens: int(b.tokens.Load()), Capacity: b.opts.Capacity,
		Spent: b.spent.Load(), Denied: b.denied.Load(),
	}
}

// Metrics yields the budget's figures under Prometheus names with the label
// budget, read afresh at each iteration.
func (b *Budget) Metrics() iter.Seq2[string, float64] {
	return func(yield func(string, float64) bool) {
		s, l := b.Stats(), labels("budget", b.opts.Name)
		_ = yield("resilience_budget_tokens"+l, float64(s.Tokens)) &&
			yield("resilience_budget_capacity_tokens"+l, float64(s.Capacity)) &&
			yield("resilience_budget_retries_total"+l, float64(s.Spent)) &&
			yield("resilience_budget_denied_total"+l, float64(s.Denied))
	}
}
