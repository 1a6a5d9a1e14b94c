package main

import (
	"context"
	"fmt"
	"net/http"
	"time"
)

// fault is a switch of the service that is on for a part of the measured time.
type fault struct {
	name     string
	from, to float64 // shares of the measured time
	query    string
}

// script is what goes wrong in each mode, in this order. Between two faults the
// service has time to recover, and shows whether it does.
func script(limit int64) []fault {
	return []fault{
		{name: "upstream-flaky", from: 0.10, to: 0.25},
		{name: "upstream-hang", from: 0.30, to: 0.34},
		{name: "upstream", from: 0.38, to: 0.46},
		{name: "cdn", from: 0.50, to: 0.62},
		{name: "database", from: 0.66, to: 0.72},
		{name: "memory", from: 0.78, to: 0.92, query: fmt.Sprintf("&bytes=%d", limit*35/100)},
	}
}

// play turns the switches at their moments, from start on, and all of them off in the
// end. It returns what could not be switched: a service that is down cannot be broken.
func play(ctx context.Context, s *server, faults []fault, start time.Time, measure time.Duration) (failed []string) {
	type act struct {
		at time.Time
		f  fault
		on bool
	}
	var acts []act
	for _, f := range faults { // they do not overlap, so this is in order
		at := func(share float64) time.Time { return start.Add(time.Duration(share * float64(measure))) }
		acts = append(acts, act{at: at(f.from), f: f, on: true}, act{at: at(f.to), f: f})
	}
	for _, a := range acts {
		t := time.NewTimer(time.Until(a.at))
		select {
		case <-t.C:
		case <-ctx.Done():
			t.Stop()
			return failed
		}
		path := fmt.Sprintf("/debug/performance/switches/%s?on=%t", a.f.name, a.on)
		if a.on {
			path += a.f.query
		}
		if _, err := s.call(ctx, http.MethodPost, path); err != nil {
			failed = append(failed, fmt.Sprintf("%s %t: %v", a.f.name, a.on, err))
		}
	}
	return failed
}
