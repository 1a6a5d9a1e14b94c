package memory_test

import (
	"errors"
	"math"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/perfblocks/perfblocks/memory"
)

type address struct{ Street, City string }

type user struct {
	Name, Mail string
	Tags       []string
	Address    *address
	Props      map[string]string
	Born       time.Time
}

type selfSized struct {
	_    *int
	size int64
}

func (s selfSized) MemSize() int64 { return s.size }

func text(n int) string { return string(make([]byte, n)) }

// measure returns the heap bytes of what build makes: the median of several means,
// since the runtime and other tests' leftovers allocate and free beside it.
func measure[T any](build func() T) int64 {
	means := make([]int64, 7)
	for i := range means {
		means[i] = measureOnce(build)
	}
	slices.Sort(means)
	return means[len(means)/2]
}

// measureOnce leaves out the slack of the slice that holds the values.
func measureOnce[T any](build func() T) int64 {
	const n = 200
	keep := make([]T, n)
	before := liveHeap()
	for i := range keep {
		keep[i] = build()
	}
	after := liveHeap()
	runtime.KeepAlive(keep)
	return (after - before) / n
}

func inlineSize[T any](v T) int64 { return memory.SizeOf(v) }

// TestSizeOfMatchesHeap compares SizeOf with what the runtime says it allocated.
func TestSizeOfMatchesHeap(t *testing.T) {
	sizeMatches(t, "string", func() string { return text(100) })
	sizeMatches(t, "bytes", func() []byte { return make([]byte, 100, 5000) })
	sizeMatches(t, "big bytes", func() []byte { return make([]byte, 100_000) })
	sizeMatches(t, "pointer to bytes", func() *[]byte { b := make([]byte, 100); return &b })
	sizeMatches(t, "strings", func() []string {
		s := make([]string, 100)
		for i := range s {
			s[i] = text(40)
		}
		return s
	})
	sizeMatches(t, "user", func() *user {
		return &user{
			Name: text(20), Mail: text(30), Tags: []string{text(16), text(16), text(16)}, Address: &address{text(24), text(16)},
			Props: map[string]string{text(16): text(32), text(17): text(32)}, Born: time.Now(),
		}
	})
	sizeMatches(t, "small map", func() map[int]int { return intMap(5) })
	sizeMatches(t, "map", func() map[int]int { return intMap(100) })
	sizeMatches(t, "large map", func() map[int]int { return intMap(5000) })
	sizeMatches(t, "map of any", func() map[string]any {
		m := map[string]any{}
		for i := range 20 {
			m[text(16+i)] = float64(i)
		}
		return m
	})
	sizeMatches(t, "any of struct", func() any { return address{text(32), text(48)} })
	sizeMatches(t, "structs with pointers", func() []*address {
		s := make([]*address, 50)
		for i := range s {
			s[i] = &address{text(16), text(64)}
		}
		return s
	})
}

func intMap(n int) map[int]int {
	m := map[int]int{}
	for i := range n {
		m[i] = i
	}
	return m
}

func sizeMatches[T any](t *testing.T, name string, build func() T) {
	t.Helper()
	var zero T
	want := measure(build)
	got := memory.SizeOf(build()) - inlineSize(zero)
	if diff := float64(got-want) / float64(want); diff < -0.10 || diff > 0.10 {
		t.Errorf("%s: SizeOf = %d beyond its own size; the heap grew by %d (%+.1f%%)", name, got, want, diff*100)
	}
}

func TestSizeOfSharedAndCyclic(t *testing.T) {
	type node struct {
		next *node
		_    [100]byte
	}
	a := &node{}
	one := memory.SizeOf(a)
	a.next = &node{next: a}
	if two := memory.SizeOf(a); two != 2*one-memory.SizeOf(uintptr(0)) {
		t.Errorf("SizeOf a cycle of two = %d; want twice %d, less a pointer", two, one)
	}
	b := make([]byte, 1000)
	shared, single := memory.SizeOf([][]byte{b, b}), memory.SizeOf([][]byte{b})
	if shared-single > 100 {
		t.Errorf("SizeOf counted shared bytes twice: %d against %d", shared, single)
	}
}

func TestSizeOfSpecial(t *testing.T) {
	word := memory.SizeOf(uintptr(0))
	for _, tc := range []struct {
		name      string
		got, want int64
	}{
		{"struct", memory.SizeOf(struct{ a, b int64 }{}), 16},
		{"array", memory.SizeOf([100]byte{}), 100},
		{"nil pointer", memory.SizeOf[*user](nil), word},
		{"nil slice", memory.SizeOf[[]byte](nil), 3 * word},
		{"nil map", memory.SizeOf[map[int]int](nil), word},
		{"nil any", memory.SizeOf[any](nil), 2 * word},
		{"func", memory.SizeOf(func() {}), word},
		{"chan", memory.SizeOf(make(chan [1000]byte, 9)), word},
		{"sizer", memory.SizeOf(selfSized{size: 12345}), 12345},
		{"sizer behind a pointer", memory.SizeOf(&selfSized{size: 12345}), 12345 + word},
		{"sizer in any", memory.SizeOf[any](&selfSized{size: 12345}), 12345 + 2*word},
		{"negative sizer", memory.SizeOf(selfSized{size: -5}), memory.SizeOf(struct {
			_ *int
			n int64
		}{})},
		{"nil sizer", memory.SizeOf[*selfSized](nil), word},
	} {
		if tc.got != tc.want {
			t.Errorf("%s: SizeOf = %d; want %d", tc.name, tc.got, tc.want)
		}
	}
}

// TestSizeOfExtrapolates: beyond the visit budget the size comes from a sample.
func TestSizeOfExtrapolates(t *testing.T) {
	big := make([]string, 100_000)
	for i := range big {
		big[i] = text(32)
	}
	got, want := memory.SizeOf(big), 100_000*(memory.SizeOf("")+32)
	if got < want*98/100 || got > want*102/100 {
		t.Errorf("SizeOf = %d; want about %d", got, want)
	}
	m := map[int]string{}
	for i := range 50_000 {
		m[i] = big[i]
	}
	if got := memory.SizeOf(m); got < 50_000*32 {
		t.Errorf("SizeOf a large map = %d; want at least its strings", got)
	}
}

type hugeSizer struct{ _ *int }

func (hugeSizer) MemSize() int64 { return math.MaxInt64 }

// TestSizeOfNeverOverflows: a size beyond all bounds must not come out small.
func TestSizeOfNeverOverflows(t *testing.T) {
	if n := memory.SizeOf(make([]hugeSizer, 10_000)); n < 1<<40 {
		t.Errorf("SizeOf = %d; want a huge size", n)
	}
	c := newCache(t, memory.CacheOptions[string, hugeSizer]{})
	if err := c.Set("a", hugeSizer{}); !errors.Is(err, memory.ErrTooLarge) {
		t.Errorf("Set = %v with %d bytes held; want ErrTooLarge", err, c.Bytes())
	}
}

func TestSizeOfAllocations(t *testing.T) {
	s, b, p := text(50), make([]byte, 50), struct{ a, b int }{}
	if n := testing.AllocsPerRun(100, func() { _ = memory.SizeOf(s) + memory.SizeOf(b) + memory.SizeOf(p) }); n != 0 {
		t.Errorf("SizeOf of flat values allocates %v; want 0", n)
	}
}

// TestSizeOfInterface: what an interface holds is boxed, whatever type SizeOf is
// called with.
func TestSizeOfInterface(t *testing.T) {
	type wrapped struct{ v any }
	for _, tc := range []struct {
		name      string
		got, want int64
	}{
		{"string", memory.SizeOf[any](text(100)), memory.SizeOf(wrapped{text(100)})},
		{"bytes", memory.SizeOf[any](make([]byte, 100)), memory.SizeOf(wrapped{make([]byte, 100)})},
	} {
		if tc.got != tc.want {
			t.Errorf("SizeOf[any](%s) = %d; want %d as in a struct", tc.name, tc.got, tc.want)
		}
	}
}

// TestSizeOfHostile: shapes that refer to themselves by all ways there are.
func TestSizeOfHostile(t *testing.T) {
	var itself any
	itself = &itself
	list := []any{nil}
	list[0] = list
	table := map[string]any{}
	table["itself"] = table
	table["list"] = list
	for name, v := range map[string]any{"interface": itself, "slice": list, "map": table} {
		if n := memory.SizeOf(v); n <= 0 || n > 2000 {
			t.Errorf("SizeOf a %s that holds itself = %d", name, n)
		}
	}
}
