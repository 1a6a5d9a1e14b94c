package leakprograms

import (
	"runtime"
	"runtime/metrics"
	"testing"
)

// live is what a collection finds reachable, in bytes.
func live() int64 {
	runtime.GC()
	s := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	metrics.Read(s)
	return int64(s[0].Value.Uint64())
}

// TestProgramsDoWhatTheySay holds the programs to their own description: each leak
// goes on over windows 10 to 30, no healthy program is then beyond what it was.
func TestProgramsDoWhatTheySay(t *testing.T) {
	leaking := 0
	seen := map[string]bool{}
	for _, p := range All() {
		if seen[p.Name] {
			t.Errorf("%q is there twice", p.Name)
		}
		seen[p.Name] = true
		if p.Leaks != Nothing {
			leaking++
		}
		var heap, count [61]int64
		p.Run(60, func(w int) bool {
			heap[w], count[w] = live(), int64(runtime.NumGoroutine())
			return true
		})
		grown, started := heap[60]-heap[p.From+5], count[60]-count[p.From+5]
		switch {
		case p.Leaks == Heap && grown < int64(55-p.From)*100*kib:
			t.Errorf("%s: the heap grew by %d KiB only", p.Name, grown/kib)
		case p.Leaks == Goroutines && started < 55:
			t.Errorf("%s: %d goroutines more", p.Name, started)
		case p.Leaks == Nothing && (heap[60] > 28*mib || count[60] > 60):
			t.Errorf("%s: %d MiB and %d goroutines at the end", p.Name, heap[60]/mib, count[60])
		}
		t.Logf("%-42s heap %6d → %6d KiB, goroutines %3d → %3d", p.Name, heap[1]/kib, heap[60]/kib, count[1], count[60])
	}
	if all := len(All()); leaking != 20 || all != 40 {
		t.Errorf("%d programs, %d of them leak; want 40 and 20", all, leaking)
	}
	if h := live(); h > 8*mib {
		t.Errorf("%d MiB are left when all programs have ended", h/mib)
	}
}
