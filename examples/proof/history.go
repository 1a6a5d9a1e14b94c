package main

import (
	"context"
	"time"
)

// history is what the service said of itself while it was measured, so that a service
// that ends early has figures too.
type history struct {
	figures figures       // the last ones
	at      time.Duration // when they were asked for, from the start of the measured time
	hits    []float64     // hit rate of each second, in percent
}

// watch asks each second until ctx ends.
func (h *history) watch(ctx context.Context, s *server, zero time.Time) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		at := time.Since(zero)
		f, err := s.figures(ctx)
		if err != nil {
			continue
		}
		hits, all := f.Cache.Hits-h.figures.Cache.Hits, f.Cache.Hits+f.Cache.Misses-h.figures.Cache.Hits-h.figures.Cache.Misses
		rate := 0.0
		if all > 0 {
			rate = 100 * float64(hits) / float64(all)
		}
		for len(h.hits) < int(at.Seconds())-1 { // seconds in which the service did not answer
			h.hits = append(h.hits, rate)
		}
		h.hits, h.figures, h.at = append(h.hits, rate), f, at
	}
}
