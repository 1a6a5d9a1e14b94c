package main

import (
	"context"
	"time"
)

// memoryUse is what a process held over a while, in bytes.
type memoryUse struct {
	Mean  float64 `json:"mean"`
	Peak  int64   `json:"peak"`
	Idle  int64   `json:"idle"`  // before the users came
	Limit int64   `json:"limit"` // that the kernel enforces; 0: only GOMEMLIMIT
	Kills int64   `json:"kills"` // by the kernel, for lack of memory
}

// watch reads the meter until ctx ends.
func (m *meter) watch(ctx context.Context) (u memoryUse) {
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	n := 0
	for {
		if now, err := m.used(); err == nil {
			u.Mean += float64(now)
			u.Peak = max(u.Peak, now)
			n++
		}
		select {
		case <-ctx.Done():
			u.Mean /= float64(max(n, 1))
			u.Limit, u.Kills = m.limit, m.kills()
			return u
		case <-tick.C:
		}
	}
}
