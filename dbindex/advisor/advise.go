package advisor

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/perfblocks/perfblocks/dbindex"
)

// Options configures [Advise]. The zero value proposes whatever helps.
type Options struct {
	// MaxBytes bounds the size of the proposals, in bytes, less that of the drops. Zero
	// is no bound.
	MaxBytes int64
	// MaxIndexes bounds their number. Zero is no bound.
	MaxIndexes int
	// MaxWriteGrowth bounds [Advice].WriteGrowth, such as 0.5. Zero is no bound.
	MaxWriteGrowth float64
	// MaxKeys bounds the keys of one index. Default 4, at most 16.
	MaxKeys int
	// Methods that may be proposed. Empty means all that the backend knows.
	Methods []dbindex.Method
	// Samples is how many of a query's Args are planned. Default 3, at most 100.
	Samples int
	// DisableDrops keeps every existing index.
	DisableDrops bool
	// DisableRuns leaves it at the planner's costs. By default a backend that can run
	// queries, a [Scratch], runs each one first and takes costs for what they meant in
	// milliseconds: the planner's costs of different queries are often ten times apart
	// for the same time. A run is bounded by 15 seconds, and what it writes is undone.
	DisableRuns bool
	// Shortlist, if not nil, searches first, and only what it chooses, or cannot judge, is
	// tried with the backend proper: a HypoPG on the same scratch database spares a
	// Toggle from building hundreds of indexes.
	Shortlist WhatIf
	// Progress is called on the caller's goroutine now and then. Nil is silent.
	Progress func(Progress)
}

// Progress is how far a long call has come.
type Progress struct {
	Stage string // "probe", "candidates", "build", "search", "prune", "verify", "gain"
	Done  int    // of Total, or a count when Total is zero
	Total int    // 0 when nobody can know
	What  string // what is being done now: a query or an index
}

func (o Options) filled() (Options, error) {
	var errs []error
	bad := func(format string, args ...any) {
		errs = append(errs, fmt.Errorf("%w: %s", ErrOptions, fmt.Sprintf(format, args...)))
	}
	if o.MaxBytes < 0 {
		bad("MaxBytes %d is negative", o.MaxBytes)
	}
	if o.MaxIndexes < 0 {
		bad("MaxIndexes %d is negative", o.MaxIndexes)
	}
	if !(o.MaxWriteGrowth >= 0) {
		bad("MaxWriteGrowth %v is negative", o.MaxWriteGrowth)
	}
	if o.MaxKeys < 0 || o.MaxKeys > 16 {
		bad("MaxKeys %d is outside 1 to 16", o.MaxKeys)
	}
	if o.Samples < 0 || o.Samples > 100 {
		bad("Samples %d is outside 1 to 100", o.Samples)
	}
	if o.MaxKeys == 0 {
		o.MaxKeys = 4
	}
	if o.Samples == 0 {
		o.Samples = 3
	}
	o.Methods = slices.Clone(o.Methods)
	if o.Progress == nil {
		o.Progress = func(Progress) {}
	}
	return o, errors.Join(errs...)
}

// Advise looks for the set of indexes that makes the whole workload cheapest within
// the budgets. It plans each query, derives candidates from what the plans filter,
// join, sort and read, and then adds, widens, merges, exchanges and removes indexes as
// long as costs fall. A backend that can run queries weighs costs by run times, unless
// [Options].DisableRuns. Half of what counts is the factor by which the weighted sum
// of costs falls, half the mean of the queries' own factors, so that one giant does not
// hide the others.
//
// A query that cannot be planned is told in its [QueryAdvice].Reason and left out. The
// error matches [ErrOptions], ctx.Err(), or is the backend's.
func Advise(ctx context.Context, w WhatIf, work Workload, o Options) (*Advice, error) {
	start := time.Now()
	o, err := o.filled()
	if err != nil {
		return nil, err
	}
	work, err = work.named()
	if err != nil {
		return nil, err
	}
	var only map[string]bool
	var probed []float64
	if sc, ok := w.(Scratch); ok && !o.DisableRuns {
		if probed, err = probe(ctx, sc, work, o); err != nil {
			return nil, fail(ctx, err)
		}
	}
	var first *search
	if o.Shortlist != nil {
		if first, err = searchWith(ctx, o.Shortlist, work, o, nil, probed); err != nil {
			return nil, fail(ctx, err)
		}
		if only, err = first.shortlist(ctx, probed != nil); err != nil {
			return nil, fail(ctx, err)
		}
	}
	s, err := searchWith(ctx, w, work, o, only, probed)
	if sc, ok := w.(Scratch); ok && !o.DisableRuns && err == nil {
		err = s.refine(ctx, sc, first)
	}
	if err != nil {
		return nil, fail(ctx, err)
	}
	a, err := s.advice(ctx)
	if err != nil {
		return nil, fail(ctx, err)
	}
	a.Took = time.Since(start)
	return a, nil
}

// searchWith runs the search on one backend, among the definitions of only unless that
// is nil, with what the queries take now, if that is known.
func searchWith(ctx context.Context, w WhatIf, work Workload, o Options, only map[string]bool, probed []float64) (*search, error) {
	s := &search{w: w, o: o, only: only, byKey: map[string]*candidate{}, cache: map[string]cached{}}
	if err := s.begin(ctx, work); err != nil {
		return nil, err
	}
	s.calibrate(probed)
	return s, s.run(ctx)
}

// shortlist returns the definitions of what was chosen, also without their included
// columns, and of what the backend cannot judge. That may be big and leave little of the
// budget, so what would be chosen with half and a quarter of it is there as well, and
// what would be chosen by costs alone, for times change with what is chosen.
func (s *search) shortlist(ctx context.Context, timed bool) (map[string]bool, error) {
	only := map[string]bool{}
	s.list(only)
	if timed {
		was := make([]curve, len(s.items))
		for i, it := range s.items {
			was[i], it.took = it.took, curve{base: it.base, baseMS: it.base * msPerCost}
		}
		if err := s.again(ctx, only); err != nil {
			return nil, err
		}
		for i, it := range s.items {
			it.took = was[i]
		}
	}
	for range 2 {
		if s.o.MaxBytes == 0 {
			break
		}
		s.o.MaxBytes /= 2
		if err := s.again(ctx, only); err != nil {
			return nil, err
		}
	}
	return only, nil
}

// again searches from nothing.
func (s *search) again(ctx context.Context, only map[string]bool) error {
	s.hidden = nil
	if err := s.accept(ctx, nil); err != nil {
		return err
	}
	if err := s.run(ctx); err != nil {
		return err
	}
	s.list(only)
	return nil
}

// list adds the definitions of the present choice, of what cannot be judged, and of
// others that are useful.
func (s *search) list(only map[string]bool, others ...*candidate) {
	for key, c := range s.byKey {
		if errors.Is(c.err, errors.ErrUnsupported) || slices.Contains(s.chosen, c) {
			only[key] = true
		}
	}
	allow := func(ix dbindex.Index) {
		if key, err := canonical(ix).SQL(s.c.dialect); err == nil && s.byKey[key] != nil {
			only[key] = true
		}
	}
	for _, c := range others {
		allow(c.index)
		for _, o := range s.chosen {
			if ix, ok := merged(c.index, o.index); ok {
				allow(ix)
			}
		}
	}
	for _, c := range s.chosen {
		narrow := c.index
		narrow.Include = nil
		allow(narrow)
		if s.heavy(c) {
			for _, ix := range s.gen.lighter(c.index) {
				allow(ix)
			}
		}
		for _, o := range s.chosen {
			if ix, ok := merged(c.index, o.index); ok {
				allow(ix)
			}
		}
	}
}

// fail adds the cause of an ended context.
func fail(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil {
		return fmt.Errorf("%w: %w", cause, err)
	}
	return err
}
