package leakprograms

import (
	"math/rand/v2"
	"runtime"
)

// Leak says what a program leaks.
type Leak uint8

const (
	// Nothing is leaked: the program is healthy.
	Nothing Leak = iota
	// Heap grows without end.
	Heap
	// Goroutines are started that never end.
	Goroutines
)

// Program is one program. Its work is made of windows of equal length, in which a
// service would see about the same load.
type Program struct {
	// Name is unique.
	Name string
	// Leaks says what is leaked.
	Leaks Leak
	// From is the number of windows before the leak begins.
	From  int
	start func() run
}

// run is a program at work.
type run struct {
	step func(window int) // does the work of one window, counted from 0
	stop func()           // ends what still runs; nil for nothing
}

// Run does the work of the given number of windows and calls after each, counted
// from 1, until after returns false. What the program holds stays reachable while
// after runs, and is released before Run returns.
func (p Program) Run(windows int, after func(window int) (more bool)) {
	r := p.start()
	for w := range windows {
		r.step(w)
		if !after(w + 1) {
			break
		}
	}
	if r.stop != nil {
		r.stop()
	}
	runtime.KeepAlive(r)
}

// All returns the programs: twenty that leak and twenty that do not.
func All() []Program {
	return append(append(heapLeaks(), goroutineLeaks()...), append(healthyHeaps(), healthyGoroutines()...)...)
}

const (
	kib = 1 << 10
	mib = 1 << 20
)

// seeded is the source of chance of a program; a run can be repeated.
func seeded(n uint64) *rand.Rand { return rand.New(rand.NewPCG(n, 0)) }

// block is memory in use: touched, and with a pointer's cost to find it.
func block(size int) []byte {
	b := make([]byte, size)
	b[0], b[size-1] = 1, 1
	return b
}

// churn makes the garbage that any service makes.
func churn(bytes int) {
	for ; bytes > 0; bytes -= 4 * kib {
		runtime.KeepAlive(block(4 * kib))
	}
}

// blocks holds bytes in pieces, so that it can grow and shrink.
type blocks [][]byte

func (b *blocks) resize(bytes, piece int) {
	n := max(0, bytes/piece)
	for len(*b) > n {
		(*b)[len(*b)-1] = nil
		*b = (*b)[:len(*b)-1]
	}
	for len(*b) < n {
		*b = append(*b, block(piece))
	}
}
