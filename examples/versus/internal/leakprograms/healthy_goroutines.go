package leakprograms

import (
	"sync"
	"time"
)

func healthyGoroutines() []Program {
	return []Program{
		{Name: "pool that grows to its cap", start: growingPool},
		{Name: "requests that come and go", start: requests},
		{Name: "connections that come and go", start: sessionsThatEnd},
	}
}

// parked is goroutines that wait until they are told to end, oldest first.
type parked struct {
	wg  sync.WaitGroup
	end []chan struct{}
}

// resize starts or ends goroutines until n are there.
func (p *parked) resize(n int) {
	for len(p.end) > n {
		close(p.end[0])
		p.end = p.end[1:]
	}
	for len(p.end) < n {
		end := make(chan struct{})
		p.end = append(p.end, end)
		p.wg.Go(func() { <-end })
	}
	time.Sleep(2 * time.Millisecond) // until they are where they will be
}

func (p *parked) stop() {
	p.resize(0)
	p.wg.Wait()
}

func growingPool() run {
	var p parked
	return run{step: func(w int) { p.resize(min(4*(w+1), 28)); churn(mib) }, stop: p.stop}
}

func requests() run {
	var p parked
	rng := seeded(6)
	return run{step: func(int) { p.resize(rng.IntN(40)); churn(mib) }, stop: p.stop}
}

// sessionsThatEnd are opened and closed at equal rates, so that their number walks.
func sessionsThatEnd() run {
	var p parked
	rng, n := seeded(7), 20
	return run{step: func(int) {
		n += rng.IntN(7) - 3 + (20-n)/5
		p.resize(max(0, n))
		churn(mib)
	}, stop: p.stop}
}
