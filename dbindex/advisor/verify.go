package advisor

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/perfblocks/perfblocks/dbindex"
)

// Scratch is a backend that can run queries, not only plan them: [Toggle] and
// [SQLite]. Only this package implements it.
type Scratch interface {
	WhatIf
	// use shows exactly the indexes of a choice.
	use(ctx context.Context, cfg config) error
	// run times one execution under the choice in use, and undoes what it writes.
	run(ctx context.Context, q Query, args []any) (time.Duration, error)
	// sizeOf is the size of an existing index in bytes.
	sizeOf(ix dbindex.Index) int64
	// limit bounds a run; one that takes longer counts as that long.
	limit(d time.Duration)
	// unknown is the number of parameters of a statement.
	unknown(toks []token) int
}

func (t *Toggle) limit(d time.Duration) { t.timeout = d }

// VerifyOptions configures [Verify]. The zero value works.
type VerifyOptions struct {
	// Rounds is how often each query runs with and without the advice. Default 5, at
	// most 1000.
	Rounds int
	// Samples is how many of a query's Args it runs with. Default 5, at most 100.
	Samples int
	// Timeout bounds one run. A query that takes longer is counted with it. Default 15
	// seconds.
	Timeout time.Duration
	// Progress is called on the caller's goroutine before each step. Nil is silent.
	Progress func(Progress)
}

// Verify runs the workload on a scratch database as it is and with the advice, in
// turns, and returns the advice with what was measured: run times before and after, the
// gain of each index by runs without it, real sizes. When a query is more than 1.2
// times and 1 ms slower than before, the index at fault is found by leaving out those
// that its plan reads, one by one, and rejected; then everything is measured again. The
// given advice is not changed.
//
// A query whose parameters have no samples is not run. The error matches [ErrOptions],
// ctx.Err(), or is the backend's.
func Verify(ctx context.Context, s Scratch, a *Advice, work Workload, o VerifyOptions) (*Advice, error) {
	start := time.Now()
	if o.Rounds < 0 || o.Rounds > 1000 || o.Timeout < 0 {
		return nil, fmt.Errorf("%w: Rounds %d or Timeout %v is outside 1 to 1000 or negative", ErrOptions, o.Rounds, o.Timeout)
	}
	if o.Samples < 0 || o.Samples > 100 {
		return nil, fmt.Errorf("%w: Samples %d is outside 1 to 100", ErrOptions, o.Samples)
	}
	if o.Rounds == 0 {
		o.Rounds = 5
	}
	if o.Samples == 0 {
		o.Samples = 5
	}
	if o.Timeout == 0 {
		o.Timeout = 15 * time.Second
	}
	if o.Progress == nil {
		o.Progress = func(Progress) {}
	}
	work, err := work.named()
	if err != nil {
		return nil, err
	}
	out := *a
	out.Create, out.Drop, out.Rejected = slices.Clone(a.Create), slices.Clone(a.Drop), slices.Clone(a.Rejected)
	out.Queries = slices.Clone(a.Queries)
	v := &verifier{s: s, o: o, a: &out, work: work, failed: map[int]error{}}
	if err := v.begin(ctx); err != nil {
		return nil, fail(ctx, err)
	}
	if err := v.settle(ctx); err != nil {
		return nil, fail(ctx, err)
	}
	if err := v.finish(ctx); err != nil {
		return nil, fail(ctx, err)
	}
	out.Verified = time.Since(start)
	return &out, nil
}

// verifier is one run of Verify.
type verifier struct {
	s      Scratch
	o      VerifyOptions
	a      *Advice
	work   Workload
	runs   []int // queries that can be run, by place
	cands  []*candidate
	hidden []dbindex.Index
	before []time.Duration
	after  []time.Duration
	uses   [][]string
	failed map[int]error // queries whose runs fail
}

// begin builds the proposals and finds the queries that can be run.
func (v *verifier) begin(ctx context.Context) error {
	v.s.limit(v.o.Timeout)
	if len(v.a.Queries) != len(v.work) {
		return fmt.Errorf("%w: the advice is for another workload: %d queries, not %d", ErrOptions, len(v.a.Queries), len(v.work))
	}
	var c *catalog
	for i, q := range v.work {
		got, err := v.s.tables(ctx, q)
		if got != nil {
			c = got
		}
		if ctx.Err() != nil {
			return err
		}
		if err == nil && runnable(v.s, q) {
			v.runs = append(v.runs, i)
		}
	}
	v.before, v.after = make([]time.Duration, len(v.work)), make([]time.Duration, len(v.work))
	v.uses = make([][]string, len(v.work))
	if c == nil {
		return nil
	}
	for i := range v.a.Create {
		p := &v.a.Create[i]
		v.o.Progress(Progress{Stage: "build", Done: i, Total: len(v.a.Create), What: p.Index.Name})
		cand := &candidate{id: -1 - i, index: p.Index}
		var err error
		if cand.bytes, err = v.s.prepare(ctx, cand); err != nil {
			return err
		}
		p.Bytes = cand.bytes
		v.cands = append(v.cands, cand)
	}
	for _, d := range v.a.Drop {
		if !d.Index.Invalid {
			v.hidden = append(v.hidden, d.Index)
		}
	}
	return nil
}

func (v *verifier) with() config { return config{with: v.cands, hidden: v.hidden} }

// compare runs everything in turns with and without, and keeps medians.
func (v *verifier) compare(ctx context.Context) error {
	times, err := v.race(ctx, []choice{{config{}, v.runs}, {v.with(), v.runs}})
	if err != nil {
		return err
	}
	v.runs = slices.DeleteFunc(v.runs, func(i int) bool { return v.failed[i] != nil })
	for i, why := range v.failed {
		v.a.Queries[i].Reason = "cannot be run: " + why.Error()
	}
	for _, i := range v.runs {
		used, err := v.reads(ctx, i, v.with())
		if err != nil {
			return err
		}
		v.before[i], v.after[i], v.uses[i] = times[0][i], times[1][i], used
		qa := &v.a.Queries[i]
		qa.RunBefore, qa.RunAfter, qa.Uses = v.before[i], v.after[i], used
	}
	return nil
}

// reads names the indexes in the plans of a query for its samples.
func (v *verifier) reads(ctx context.Context, i int, cfg config) (names []string, err error) {
	for _, args := range v.samples(i) {
		e, err := v.s.estimate(ctx, v.work[i], args, cfg)
		if ofStatement(err) { // it runs, though its plan is not shown
			if err := v.s.use(ctx, cfg); err != nil {
				return nil, err
			}
			continue
		}
		if err != nil {
			return nil, err
		}
		for _, name := range e.used {
			if !slices.Contains(names, name) {
				names = append(names, name)
			}
		}
	}
	return names, nil
}

// choice is a set of indexes, and the queries to run with it.
type choice struct {
	config
	queries []int
}

// race runs queries under several choices in turns, one round of all queries after the
// other, so that all choices see the same machine and each query finds in memory what
// the others leave there. It returns for each choice and query the mean over the samples
// of the median over the rounds. A query that fails is noted, and not run again.
func (v *verifier) race(ctx context.Context, choices []choice) ([]map[int]time.Duration, error) {
	type sample struct{ choice, query, place int }
	runs := map[sample][]time.Duration{}
	for round := range v.o.Rounds + 1 { // the first brings the data to memory
		for k := range choices {
			k = (k + round) % len(choices)
			if err := v.s.use(ctx, choices[k].config); err != nil {
				return nil, err
			}
			for _, i := range choices[k].queries {
				v.o.Progress(Progress{Stage: "verify", Done: round, Total: v.o.Rounds, What: v.work[i].Name})
				for n, args := range v.samples(i) {
					if v.failed[i] != nil {
						continue
					}
					d, err := v.s.run(ctx, v.work[i], args)
					if ctx.Err() != nil {
						return nil, err
					}
					if err != nil {
						v.failed[i] = err
					}
					if at := (sample{k, i, n}); round > 0 {
						runs[at] = append(runs[at], d)
					}
				}
			}
		}
	}
	out := make([]map[int]time.Duration, len(choices))
	for k := range choices {
		out[k] = map[int]time.Duration{}
		for _, i := range choices[k].queries {
			if v.failed[i] != nil {
				continue
			}
			var sum time.Duration
			for n := range v.samples(i) {
				list := runs[sample{k, i, n}]
				slices.Sort(list)
				sum += list[len(list)/2]
			}
			out[k][i] = sum / time.Duration(len(v.samples(i)))
		}
	}
	return out, nil
}

// samples are the arguments that a query runs with.
func (v *verifier) samples(i int) [][]any {
	args := v.work[i].Args
	if len(args) == 0 {
		return [][]any{nil}
	}
	return args[:min(len(args), v.o.Samples)]
}
