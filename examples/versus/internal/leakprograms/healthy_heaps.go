package leakprograms

import (
	"container/list"
	"math"
	"runtime"
	"runtime/debug"
)

func healthyHeaps() []Program {
	return []Program{
		{Name: "sawtooth within a window", start: level(func(w int) float64 { return 4 * float64(w*7%10) / 10 })},
		{Name: "sawtooth over 3 windows", start: level(func(w int) float64 { return 2 * float64(w%3) })},
		{Name: "sawtooth over 7 windows", start: level(func(w int) float64 { return float64(w % 7) })},
		{Name: "warm-up, exponential", start: level(func(w int) float64 { return 16 * (1 - math.Exp(-float64(w)/2)) })},
		{Name: "warm-up, slowly exponential", start: level(func(w int) float64 { return 16 * (1 - math.Exp(-float64(w)/6)) })},
		{Name: "warm-up, logarithmic", start: level(func(w int) float64 { return 4 * math.Log1p(float64(w)) })},
		{Name: "step", start: level(func(w int) float64 { return steps(w, 9) })},
		{Name: "two steps", start: level(func(w int) float64 { return steps(w, 8, 13) })},
		{Name: "sine over 8 windows", start: level(func(w int) float64 { return 4 - 4*math.Cos(2*math.Pi*float64(w)/8) })},
		{Name: "sine over 24 windows, a day", start: level(func(w int) float64 { return 4 - 4*math.Cos(2*math.Pi*float64(w)/24) })},
		{Name: "bursts", start: bursts},
		{Name: "collector retuned all the time", start: retuned},
		{Name: "batch that fills and frees", start: level(func(w int) float64 { return 6 * float64(min(w%5, 3)) / 3 })},
		{Name: "random walk back to its mean", start: randomWalk},
		{Name: "LRU that fills for 8 windows", start: fillingLRU},
		{Name: "reload that doubles once", start: level(func(w int) float64 { return 6 + 6*steps(w, 7)/4 - 6*steps(w, 8)/4 })},
		{Name: "buffers as large as the largest request", start: highWater},
	}
}

// steps is 4 for each of the given windows that has come.
func steps(w int, at ...int) (sum float64) {
	for _, a := range at {
		if w >= a {
			sum += 4
		}
	}
	return sum
}

// level is a program whose state has the given size in MiB, besides a base of 8.
func level(size func(window int) float64) func() run {
	return func() run {
		base, state := block(8*mib), blocks{}
		return run{step: func(w int) {
			state.resize(int(size(w)*mib), 16*kib)
			churn(mib)
			runtime.KeepAlive(base)
		}}
	}
}

func bursts() run {
	base, state, rng := block(8*mib), blocks{}, seeded(2)
	return run{step: func(int) {
		state.resize(int(math.Pow(rng.Float64(), 4)*12*mib), 16*kib)
		churn(mib)
		runtime.KeepAlive(base)
	}}
}

func retuned() run {
	base, rng := block(8*mib), seeded(3)
	before := debug.SetGCPercent(100)
	return run{
		step: func(int) {
			debug.SetGCPercent(20 + rng.IntN(400))
			churn(rng.IntN(32) * mib)
			runtime.KeepAlive(base)
		},
		stop: func() { debug.SetGCPercent(before) },
	}
}

func randomWalk() run {
	base, state, rng, x := block(8*mib), blocks{}, seeded(4), 0.0
	return run{step: func(int) {
		x = 0.8*x + rng.NormFloat64()*mib
		state.resize(int(6*mib+x), 16*kib)
		churn(mib)
		runtime.KeepAlive(base)
	}}
}

// fillingLRU is full after 8 windows and then replaces.
func fillingLRU() run {
	type entry struct {
		key   int
		value []byte
	}
	base, order, index, next := block(8*mib), list.New(), map[int]*list.Element{}, 0
	return run{step: func(int) {
		for range 64 {
			if order.Len() >= 512 {
				last := order.Back()
				delete(index, last.Value.(entry).key)
				order.Remove(last)
			}
			index[next] = order.PushFront(entry{next, block(16 * kib)})
			next++
		}
		churn(mib)
		runtime.KeepAlive(base)
	}}
}

// highWater keeps buffers that only ever grow, each to the largest request so far.
func highWater() run {
	base, buffers, rng := block(8*mib), [16][]byte{}, seeded(5)
	return run{step: func(int) {
		for i := range 40 {
			size := kib + int(rng.ExpFloat64()*64*kib)
			if size > len(buffers[i%16]) {
				buffers[i%16] = block(size)
			}
		}
		churn(mib)
		runtime.KeepAlive(base)
	}}
}
