package main

import (
	"github.com/perfblocks/perfblocks/examples/versus/internal/bench"
)

// cacheSuite compares package cache with the caches that its users come from. Its own
// figures are those of the full typed layer: views, strategies, tags and statistics.
func cacheSuite(r *bench.Report) error {
	for _, part := range []func(*bench.Report) error{cacheHits, cacheMemory, cacheInvalidation, cacheHitRatios} {
		if err := part(r); err != nil {
			return err
		}
	}
	return nil
}
