package leakprograms

import (
	"context"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"time"
)

func heapLeaks() []Program {
	return []Program{
		{Name: "map never deleted from", Leaks: Heap, start: mapGrowth},
		{Name: "slice appended for ever", Leaks: Heap, start: sliceGrowth},
		{Name: "subslice keeps its buffer", Leaks: Heap, start: subslice},
		{Name: "substring keeps its text", Leaks: Heap, start: substring},
		{Name: "sync.Map of sessions", Leaks: Heap, start: sessions},
		{Name: "cache without a bound", Leaks: Heap, start: unboundedCache},
		{Name: "listeners never removed", Leaks: Heap, start: listeners},
		{Name: "contexts never cancelled", Leaks: Heap, start: contexts},
		{Name: "timers far in the future", Leaks: Heap, start: timers},
		{Name: "cycle with a finalizer", Leaks: Heap, start: finalizerCycle},
		{Name: "slow: 0.5 % a window", Leaks: Heap, start: slowLeak},
		{Name: "leak under a sawtooth", Leaks: Heap, start: leakUnderSawtooth},
		{Name: "leak after a warm-up", Leaks: Heap, From: 6, start: leakAfterWarmUp},
		{Name: "two types in turn", Leaks: Heap, start: twoTypes},
	}
}

type record struct {
	id   int
	name string
	_    [6]uint64 // what a record weighs
}

func mapGrowth() run {
	base, m := block(8*mib), map[int]*record{}
	return run{step: func(int) {
		for range 3000 {
			m[len(m)] = &record{id: len(m), name: fmt.Sprint("record ", len(m))}
		}
		churn(mib)
		runtime.KeepAlive(base)
	}}
}

func sliceGrowth() run {
	base, log := block(8*mib), []*record(nil)
	return run{step: func(w int) {
		for i := range 4000 {
			log = append(log, &record{id: w*4000 + i, name: strings.Repeat("x", i%50)})
		}
		churn(mib)
		runtime.KeepAlive(base)
	}}
}

func subslice() run {
	base, headers := block(8*mib), [][]byte(nil)
	return run{step: func(int) {
		for range 8 {
			headers = append(headers, block(64 * kib)[:16])
		}
		churn(mib)
		runtime.KeepAlive(base)
	}}
}

func substring() run {
	base, keys := block(8*mib), map[string]int{}
	return run{step: func(w int) {
		for i := range 20 {
			body := fmt.Sprintf("%08d%08d", w, i) + strings.Repeat("body", 5000)
			keys[body[:16]] = i
		}
		runtime.KeepAlive(base)
	}}
}

func sessions() run {
	var m sync.Map
	base := block(8 * mib)
	return run{step: func(w int) {
		for i := range 200 {
			id := fmt.Sprint(w, "/", i)
			m.Store(id, block(2*kib))
			if i%2 == 0 { // half of the users log out
				m.Delete(id)
			}
		}
		churn(mib)
		runtime.KeepAlive(base)
	}}
}

func unboundedCache() run {
	base, cache, rng := block(8*mib), map[uint64][]byte{}, seeded(1)
	return run{step: func(int) {
		for range 500 {
			id := rng.Uint64() >> (rng.Uint64() % 60) // some ids come often
			if _, ok := cache[id]; !ok {
				cache[id] = block(64 + rng.IntN(4*kib))
			}
		}
		runtime.KeepAlive(base)
	}}
}

func listeners() run {
	base, bus := block(8*mib), []func(int) byte(nil)
	return run{step: func(int) {
		for range 30 { // each connection listens, none stops
			buffer := block(16 * kib)
			bus = append(bus, func(i int) byte { return buffer[i%len(buffer)] })
		}
		for i, f := range bus {
			f(i)
		}
		runtime.KeepAlive(base)
	}}
}

func contexts() run {
	base := block(8 * mib)
	server, cancel := context.WithCancel(context.Background())
	type key struct{}
	return run{
		step: func(w int) {
			for range 400 {
				request := context.WithValue(server, key{}, block(kib))
				_, forgotten := context.WithCancel(request)
				runtime.KeepAlive(forgotten)
			}
			churn(mib)
			runtime.KeepAlive(base)
		},
		stop: cancel,
	}
}

func timers() run {
	base, all := block(8*mib), []*time.Timer(nil)
	return run{
		step: func(int) {
			for range 50 { // a day's timeout for each request, never stopped
				payload := block(8 * kib)
				all = append(all, time.AfterFunc(24*time.Hour, func() { payload[0]++ }))
			}
			runtime.KeepAlive(base)
		},
		stop: func() {
			for _, t := range all {
				t.Stop()
			}
		},
	}
}

type node struct {
	peer *node
	data []byte
}

func finalizerCycle() run {
	base, made := block(8*mib), []*node(nil)
	var links []func()
	return run{
		step: func(int) {
			made = made[:0]
			for range 40 {
				a, b := &node{data: block(8 * kib)}, &node{}
				a.peer, b.peer = b, a
				runtime.SetFinalizer(a, func(*node) {})
				// The cycle is broken at the very end by someone who holds only
				// weakly, as nothing in a program that leaks this way would.
				links = append(links, unlink(a))
			}
			churn(mib)
			runtime.KeepAlive(base)
		},
		stop: func() {
			for _, f := range links {
				f()
			}
		},
	}
}

func slowLeak() run {
	base, kept := block(24*mib), [][]byte(nil)
	return run{step: func(int) {
		for range 30 {
			kept = append(kept, block(4*kib))
		}
		churn(4 * mib)
		runtime.KeepAlive(base)
	}}
}

func leakUnderSawtooth() run {
	base, saw, kept := block(8*mib), blocks{}, blocks{}
	return run{step: func(w int) {
		saw.resize((w%3)*mib, 16*kib) // filled for three windows, then dropped
		kept.resize((w+1)*mib, 16*kib)
		churn(mib)
		runtime.KeepAlive(base)
	}}
}

func leakAfterWarmUp() run {
	cache, kept := blocks{}, blocks{}
	return run{step: func(w int) {
		cache.resize(min(w+1, 6)*2*mib, 16*kib)
		kept.resize(max(0, w-5)*512*kib, 16*kib)
		churn(mib)
	}}
}

func twoTypes() run {
	base, orders, users := block(8*mib), []*record(nil), map[string][]byte{}
	return run{step: func(w int) {
		if w%2 == 0 {
			for i := range 3000 {
				orders = append(orders, &record{id: i, name: fmt.Sprint(w, i)})
			}
		} else {
			for i := range 200 {
				users[fmt.Sprint(w, "/", i)] = block(kib)
			}
		}
		churn(mib)
		runtime.KeepAlive(base)
	}}
}
