package main

import (
	"errors"

	"github.com/perfblocks/perfblocks/examples/versus/internal/bench"
)

// cacheSuite compares package cache with the caches that its users come from. Its own
// figures are those of the full typed layer: views, strategies, tags and statistics.
func cacheSuite(r *bench.Report) error {
	for _, part := range []func(*bench.Report) error{cacheLoads, cacheMemory, cacheInvalidation, cacheHitRatios, cacheDict, cacheProofs} {
		if err := part(r); err != nil {
			return err
		}
	}
	return nil
}

// cacheProofs runs what needs a test: histories against a sequential model, nodes over
// a real Redis, and what sweeping costs.
func cacheProofs(r *bench.Report) error {
	ops := "20000"
	if r.Full {
		ops = "1000000"
	}
	return errors.Join(
		r.FromTests("./linear", "^TestHistories$", "VERSUS_OPS="+ops),
		r.FromTests("./nodes", "."),
		r.FromTests("./sweep", "."))
}
