package main

import (
	"context"
	"time"
)

// sustainedShare is the share of good answers that counts as sustained.
const sustainedShare = 0.999

// searchUsers looks for the most users whom fk and all serve well, without faults: by
// doubling, then by halving the gap until it is an eighth.
func (c *settings) searchUsers(ctx context.Context, r *report, say func(string, ...any)) error {
	r.Sustained = map[string]int{}
	for _, m := range modes(false)[1:] {
		try := func(users int) (bool, error) {
			p := c.plan
			p.users, p.faults, p.warmup, p.measure = users, false, 10*time.Second, 20*time.Second
			x, err := p.run(ctx, m)
			if err != nil {
				return false, err
			}
			ok := !x.Died && x.All.GoodShare() >= sustainedShare
			say("%s with %d users: %.0f answers/s, %.2f %% good", m.name, users, x.All.PerSecond, 100*x.All.GoodShare())
			if ok {
				r.Sustained[m.name] = max(r.Sustained[m.name], users)
				r.Sustained[m.name+" per second"] = max(r.Sustained[m.name+" per second"], int(x.All.PerSecond))
			}
			return ok, nil
		}
		low, high := 0, 600
		for high <= 38_400 {
			ok, err := try(high)
			if err != nil {
				return err
			}
			if !ok {
				break
			}
			low, high = high, 2*high
		}
		for high-low > max(low/8, 75) {
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
	}
	return nil
}
