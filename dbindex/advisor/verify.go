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
	// limit bounds a run.
	limit(d time.Duration)
}

func (t *Toggle) limit(d time.Duration) { t.timeout = d }

// VerifyOptions configures [Verify]. The zero value works.
type VerifyOptions struct {
	// Rounds is how often each query runs with and without the advice. Default 5, at
	// most 1000.
	Rounds int
	// Timeout bounds one run. A query that takes longer is counted with it. Default 15
	// seconds.
	Timeout time.Duration
	// Progress is called on the caller's goroutine before each step. Nil is silent.
	Progress func(Progress)
}

// What makes a query too slow: both bounds have to be passed.
const (
	slowerFactor = 1.2
	slowerBy     = time.Millisecond
)

// maxRejections bounds how often Verify takes indexes out, against an endless hunt for
// noise.
const maxRejections = 8

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
	if o.Rounds == 0 {
		o.Rounds = 5
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
	v := &verifier{s: s, o: o, a: &out, work: work}
	if err := v.begin(ctx); err != nil {
		return nil, fail(ctx, err)
	}
	if err := v.settle(ctx); err != nil {
		return nil, fail(ctx, err)
	}
	if err := v.gains(ctx); err != nil {
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
		_, toks, ok := oneStatement(q.SQL)
		if err == nil && ok && (params(toks) == 0 || len(q.Args) > 0) {
			v.runs = append(v.runs, i)
		}
	}
	if c == nil {
		return nil
	}
	v.a.Bytes = 0
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
	v.before, v.after = make([]time.Duration, len(v.work)), make([]time.Duration, len(v.work))
	v.uses = make([][]string, len(v.work))
	return nil
}

func (v *verifier) with() config { return config{with: v.cands, hidden: v.hidden} }

// settle measures, and rejects until no query is slower than before.
func (v *verifier) settle(ctx context.Context) error {
	for range maxRejections {
		if err := v.compare(ctx); err != nil {
			return err
		}
		worst := v.worst()
		if worst < 0 {
			return nil
		}
		if found, err := v.reject(ctx, worst); err != nil || !found {
			return err
		}
	}
	return v.compare(ctx)
}

// compare runs everything in turns with and without, and keeps medians.
func (v *verifier) compare(ctx context.Context) error {
	times, err := v.race(ctx, v.runs, config{}, v.with())
	if err != nil {
		return err
	}
	for n, i := range v.runs {
		e, err := v.s.estimate(ctx, v.work[i], firstArgs(v.work[i]), v.with())
		if err != nil {
			return err
		}
		v.before[i], v.after[i], v.uses[i] = times[0][n], times[1][n], e.used
		qa := &v.a.Queries[i]
		qa.RunBefore, qa.RunAfter, qa.Uses = v.before[i], v.after[i], e.used
	}
	return nil
}

// race runs the given queries under several choices in turns, one round of all queries
// after the other, so that all choices see the same machine. It returns for each choice
// and query the mean over the samples of the median over the rounds.
func (v *verifier) race(ctx context.Context, which []int, choices ...config) ([][]time.Duration, error) {
	runs := make([][][]time.Duration, len(choices)) // by choice, sample of a query, round
	for round := range v.o.Rounds + 1 {             // the first brings the data to memory
		for k := range choices {
			c := (k + round) % len(choices)
			if err := v.s.use(ctx, choices[c]); err != nil {
				return nil, err
			}
			n := 0
			for _, i := range which {
				v.o.Progress(Progress{Stage: "verify", Done: round, Total: v.o.Rounds, What: v.work[i].Name})
				for _, args := range v.samples(i) {
					d, err := v.s.run(ctx, v.work[i], args)
					if ctx.Err() != nil {
						return nil, err
					}
					if err != nil {
						d = v.o.Timeout // it ran into the bound, or cannot be run
					}
					if round == 0 {
						runs[c] = append(runs[c], nil)
					} else {
						runs[c][n] = append(runs[c][n], d)
					}
					n++
				}
			}
		}
	}
	out := make([][]time.Duration, len(choices))
	for c := range choices {
		n := 0
		for _, i := range which {
			var sum time.Duration
			for range v.samples(i) {
				slices.Sort(runs[c][n])
				sum += runs[c][n][v.o.Rounds/2]
				n++
			}
			out[c] = append(out[c], sum/time.Duration(len(v.samples(i))))
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
	return args[:min(len(args), max(v.a.samples, 1))]
}

func tooSlow(before, after time.Duration) bool {
	return float64(after) > slowerFactor*float64(before) && after-before > slowerBy
}

// worst is the query that lost most, or -1.
func (v *verifier) worst() int {
	worst, most := -1, 0.0
	for _, i := range v.runs {
		if lost := float64(v.after[i]-v.before[i]) * v.work[i].Weight; tooSlow(v.before[i], v.after[i]) && lost > most {
			worst, most = i, lost
		}
	}
	return worst
}

// reject finds the index whose absence helps a query most, and takes it out; else it
// keeps what was to be dropped. It reports whether that changed anything: a query that
// is not slower when measured again was slowed by something else.
func (v *verifier) reject(ctx context.Context, i int) (bool, error) {
	q := v.work[i]
	var suspects []*candidate
	choices := []config{v.with(), {}, {with: v.cands}}
	for _, c := range v.cands {
		if slices.Contains(v.uses[i], c.index.Name) {
			suspects = append(suspects, c)
			choices = append(choices, config{with: without(v.cands, c), hidden: v.hidden})
		}
	}
	all, err := v.race(ctx, []int{i}, choices...)
	if err != nil {
		return false, err
	}
	times := make([]time.Duration, len(all))
	for k := range all {
		times[k] = all[k][0]
	}
	if !tooSlow(times[1], times[0]) {
		return false, nil
	}
	best := 2
	for k := range times {
		if k > 2 && times[k] < times[best] {
			best = k
		}
	}
	if !tooSlow(times[best], times[0]) {
		return false, nil
	}
	if best == 2 {
		v.hidden, v.a.Drop = nil, nil
		return true, nil
	}
	c := suspects[best-3]
	v.cands = without(v.cands, c)
	v.a.Rejected = append(v.a.Rejected, Rejection{Index: c.index,
		Reason: fmt.Sprintf("with it, %s takes %.3g ms; without it, %.3g ms; before, %.3g ms", q.Name, ms(times[0]), ms(times[best]), ms(times[1]))})
	v.a.Create = slices.DeleteFunc(v.a.Create, func(p Proposal) bool { return p.Index.Name == c.index.Name })
	return true, nil
}

// gains measures what each index is worth beside the others: runs of the queries that
// use it, without it.
func (v *verifier) gains(ctx context.Context) error {
	total := 0.0
	for _, i := range v.runs {
		total += ms(v.before[i]) * v.work[i].Weight
	}
	for n := range v.a.Create {
		p := &v.a.Create[n]
		v.o.Progress(Progress{Stage: "verify", Done: n, Total: len(v.a.Create), What: p.Index.Name})
		c := v.cands[slices.IndexFunc(v.cands, func(c *candidate) bool { return c.index.Name == p.Index.Name })]
		p.Gain, p.Queries, p.Confidence = 0, nil, Measured
		var users []int
		for _, i := range v.runs {
			if slices.Contains(v.uses[i], p.Index.Name) {
				users = append(users, i)
				p.Queries = append(p.Queries, v.work[i].Name)
			}
		}
		times, err := v.race(ctx, users, v.with(), config{with: without(v.cands, c), hidden: v.hidden})
		if err != nil {
			return err
		}
		for k, i := range users {
			p.Gain += ms(times[1][k]-times[0][k]) * v.work[i].Weight
		}
		p.Gain = max(p.Gain/max(total, 1e-9), 0)
		v.a.Bytes += p.Bytes
	}
	slices.SortStableFunc(v.a.Create, func(x, y Proposal) int {
		switch {
		case x.Gain > y.Gain:
			return -1
		case x.Gain < y.Gain:
			return 1
		}
		return 0
	})
	for i := range v.a.Drop {
		v.a.Drop[i].Confidence = Measured
		v.a.Bytes -= v.s.sizeOf(v.a.Drop[i].Index)
	}
	return nil
}
