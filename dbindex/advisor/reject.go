package advisor

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/perfblocks/perfblocks/dbindex"
)

// What makes a query too slow: both bounds have to be passed.
const (
	slowerFactor = 1.2
	slowerBy     = time.Millisecond
)

const (
	maxRejections = 6 // against an endless hunt for noise
	maxSteps      = 2 // changes taken back for one query at once
)

func tooSlow(before, after time.Duration) bool {
	return float64(after) > slowerFactor*float64(before) && after-before > slowerBy
}

// settle measures, and rejects until no query is slower than before.
func (v *verifier) settle(ctx context.Context) error {
	if err := v.compare(ctx); err != nil {
		return err
	}
	noise := map[int]bool{} // queries that nothing of the advice slows
	for range maxRejections {
		worst := v.worst(noise)
		if worst < 0 {
			return nil
		}
		changed, err := v.reject(ctx, worst)
		if err != nil {
			return err
		}
		if noise[worst] = !changed; changed {
			if err := v.compare(ctx); err != nil {
				return err
			}
		}
	}
	return nil
}

// worst is the query that lost most, or -1.
func (v *verifier) worst(except map[int]bool) int {
	worst, most := -1, 0.0
	for _, i := range v.runs {
		if lost := float64(v.after[i]-v.before[i]) * v.work[i].Weight; !except[i] && tooSlow(v.before[i], v.after[i]) && lost > most {
			worst, most = i, lost
		}
	}
	return worst
}

// change is one thing taken back from the advice: an index that was to be made, or one
// that was to be dropped.
type change struct {
	out  *candidate
	back *dbindex.Index
}

// from takes it back: without an index, those that were to go because of it stay.
func (c change) from(cfg config) config {
	if c.out != nil {
		return config{with: without(cfg.with, c.out), hidden: restored(cfg.hidden, c.out)}
	}
	return config{with: cfg.with, hidden: slices.DeleteFunc(slices.Clone(cfg.hidden), func(ix dbindex.Index) bool {
		return ix.Name == c.back.Name && ix.Schema == c.back.Schema
	})}
}

// reject finds what has to be taken back so that a query is as fast as before: the
// change that helps most, and if that is not enough a further one. The whole workload
// runs each time, as it is too, since alone the query would find everything in memory.
// It reports whether it found such changes: a query that is not slower when measured again was
// slowed by something else.
func (v *verifier) reject(ctx context.Context, i int) (bool, error) {
	cfg := v.with()
	var taken []change
	var slow time.Duration
	for range maxSteps {
		suspects, err := v.suspects(ctx, i, cfg)
		if err != nil {
			return false, err
		}
		choices := []choice{{cfg, v.runs}, {config{}, v.runs}}
		for _, s := range suspects {
			choices = append(choices, choice{s.from(cfg), v.runs})
		}
		times, err := v.race(ctx, choices)
		if err != nil {
			return false, err
		}
		before := times[1][i]
		if slow = max(slow, times[0][i]); !tooSlow(before, slow) || len(suspects) == 0 {
			return false, nil
		}
		best := 2
		for k := 3; k < len(times); k++ {
			if times[k][i] < times[best][i] {
				best = k
			}
		}
		taken = append(taken, suspects[best-2])
		cfg = suspects[best-2].from(cfg)
		if fast := times[best][i]; !tooSlow(before, fast) && tooSlow(fast, slow) {
			v.take(i, taken, slow, fast)
			return true, nil
		}
	}
	return false, nil
}

// suspects are the changes that may slow a query: the proposals that its plan reads, and
// the drops of what it reads without the advice.
func (v *verifier) suspects(ctx context.Context, i int, cfg config) (list []change, err error) {
	now, err := v.reads(ctx, i, cfg)
	if err != nil {
		return nil, err
	}
	was, err := v.reads(ctx, i, config{})
	if err != nil {
		return nil, err
	}
	for _, c := range cfg.with {
		if slices.Contains(now, c.index.Name) {
			list = append(list, change{out: c})
		}
	}
	for n := range cfg.hidden {
		if slices.Contains(was, cfg.hidden[n].Name) {
			list = append(list, change{back: &cfg.hidden[n]})
		}
	}
	return list, nil
}

// take makes the changes, with their reason.
func (v *verifier) take(i int, list []change, slow, fast time.Duration) {
	for _, c := range list {
		if c.out == nil {
			v.hidden = c.from(v.with()).hidden
			v.a.Drop = slices.DeleteFunc(v.a.Drop, func(r Removal) bool { return r.Index.Name == c.back.Name && r.Index.Schema == c.back.Schema })
			continue
		}
		v.out(c.out, fmt.Sprintf("with it, %s takes %.3g ms; without it, %.3g ms; before, %.3g ms", v.work[i].Name, ms(slow), ms(fast), ms(v.before[i])))
	}
}

// out takes a proposal out of the advice, and the drops with it for which it stood in.
func (v *verifier) out(c *candidate, reason string) {
	v.hidden = restored(v.hidden, c)
	v.a.Drop = slices.DeleteFunc(v.a.Drop, func(r Removal) bool { return !r.Index.Invalid && replaces(c.index, r.Index) })
	v.cands = without(v.cands, c)
	v.a.Rejected = append(v.a.Rejected, Rejection{Index: c.index, Reason: reason})
	v.a.Create = slices.DeleteFunc(v.a.Create, func(p Proposal) bool { return p.Index.Name == c.index.Name && p.Index.Schema == c.index.Schema })
}

// restored are the hidden indexes that stay hidden once c is gone.
func restored(hidden []dbindex.Index, c *candidate) []dbindex.Index {
	return slices.DeleteFunc(slices.Clone(hidden), func(ix dbindex.Index) bool { return replaces(c.index, ix) })
}

// replaces reports whether an index finds the same rows first as one that is to go,
// whose foreign key it may serve.
func replaces(ix, gone dbindex.Index) bool {
	return ix.Schema == gone.Schema && ix.Table == gone.Table && ix.Where == nil && ix.Method == gone.Method && ix.Keys[0].Column == gone.Keys[0].Column
}
