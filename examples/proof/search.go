package main

import (
	"context"
	"time"
)

// sustainedShare is the share of good answers that counts as sustained.
const sustainedShare = 0.999

// leastUsers is the gap at which the search ends, and what a service that sustains
// nobody is compared as.
const leastUsers = 75

// sustained is what the search found for one mode.
type sustained struct {
	Users     int     `json:"users"`
	PerSecond float64 `json:"perSecond"` // answers, with so many users
}

// searchUsers looks for the most users whom fk and all serve well, without faults: by
// doubling, then by halving the gap until it is an eighth. Stale answers of fk are
// forgiven: with them it would sustain nobody.
func (c *settings) searchUsers(ctx context.Context, r *report, say func(string, ...any)) error {
	for _, m := range mainModes()[1:] {
		best := sustained{}
		try := func(users int) (bool, error) {
			p := c.plan
			p.users, p.faults, p.search, p.warmup, p.measure = users, false, true, min(p.warmup, 10*time.Second), min(p.measure, 20*time.Second)
			x, err := p.run(ctx, m)
			if err != nil {
				return false, err
			}
			share := sustainedBy(m, x)
			say("%s with %d users: %.0f answers/s, %.2f %% good", m.name, users, x.All.PerSecond, 100*share)
			ok := !x.Died && share >= sustainedShare
			if ok && users > best.Users {
				best = sustained{users, x.All.PerSecond}
			}
			return ok, nil
		}
		if err := most(2*c.users, try); err != nil {
			return err
		}
		if r.Sustained == nil {
			r.Sustained = map[string]sustained{}
		}
		r.Sustained[m.name] = best
	}
	return nil
}

// sustainedBy is the share that the search judges.
func sustainedBy(m mode, x result) float64 {
	good := x.All.Good
	if m.base {
		good += x.All.Stale
	}
	return float64(good) / float64(max(x.All.N, 1))
}

// most tries numbers of users from first on until it knows the largest that works to
// an eighth, or that 64 times the first works. The number that ends the doubling is
// tried twice: a hiccup of the machine must not halve what is found.
func most(first int, try func(users int) (bool, error)) error {
	low, high := 0, first
	for {
		ok, err := try(high)
		if err == nil && !ok {
			ok, err = try(high)
		}
		if err != nil {
			return err
		}
		if !ok {
			break
		}
		if high >= 64*first {
			return nil
		}
		low, high = high, 2*high
	}
	for high-low > max(low/8, leastUsers) {
		mid := (low + high) / 2
		ok, err := try(mid)
		if err != nil {
			return err
		}
		if ok {
			low = mid
		} else {
			high = mid
		}
	}
	return nil
}
