package main

import (
	"fmt"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/DmitriyVTitov/size"

	"github.com/perfblocks/perfblocks/examples/versus/internal/bench"
	"github.com/perfblocks/perfblocks/memory"
)

const titov = "DmitriyVTitov/size"

type street struct{ Name, City string }

type person struct {
	Name, Mail string
	Tags       []string
	Home       *street
	Props      map[string]string
	Born       time.Time
}

// point is flat: its size is that of the type.
type point struct {
	ID      int64
	X, Y, Z float64
	Flags   [4]uint16
	Seen    bool
}

func text(n int) string { return strings.Repeat("x", n) }

func ints(n int) map[int]int {
	m := map[int]int{}
	for i := range n {
		m[i] = i
	}
	return m
}

func texts(n, length int) []string {
	s := make([]string, n)
	for i := range s {
		s[i] = text(length)
	}
	return s
}

// sizesOf compares sizes with what the heap grew by, for values of many shapes.
func sizesOf(r *bench.Report) error {
	shape(r, "string of 100", func() string { return text(100) })
	shape(r, "[]byte of 100 in 5000", func() []byte { return make([]byte, 100, 5000) })
	shape(r, "[]byte of 100 000", func() []byte { return make([]byte, 100_000) })
	shape(r, "*[]byte of 100", func() *[]byte { b := make([]byte, 100); return &b })
	shape(r, "[]string of 100 × 40", func() []string { return texts(100, 40) })
	shape(r, "*struct with strings, slice, pointer, map", func() *person {
		return &person{Name: text(20), Mail: text(30), Tags: texts(3, 16), Home: &street{text(24), text(16)},
			Props: map[string]string{text(16): text(32), text(17): text(32)}, Born: time.Now()}
	})
	shape(r, "map[int]int of 5", func() map[int]int { return ints(5) })
	shape(r, "map[int]int of 100", func() map[int]int { return ints(100) })
	shape(r, "map[int]int of 5000", func() map[int]int { return ints(5000) })
	shape(r, "map[string]any of 20", func() map[string]any {
		m := map[string]any{}
		for i := range 20 {
			m[text(16+i)] = float64(i)
		}
		return m
	})
	shape(r, "any of struct with strings", func() any { return street{text(32), text(48)} })
	shape(r, "[]*struct of 50", func() []*street {
		s := make([]*street, 50)
		for i := range s {
			s[i] = &street{text(16), text(64)}
		}
		return s
	})
	return nil
}

// shape adds the row of one shape: by how much we are wrong, in percent.
func shape[T any](r *bench.Report, name string, build func() T) {
	heap := heapOf(build)
	v := build()
	off := func(n int64) float64 {
		own := memory.SizeOf(*new(T)) // the value itself is not on the heap that was measured
		return 100 * (float64(n-own)/float64(heap) - 1)
	}
	mine, theirs := off(memory.SizeOf(v)), off(int64(size.Of(v)))
	r.Add(bench.Row{
		Measure: "SizeOf against the heap: " + name, Unit: "% off", Ours: mine, Goal: "±10", OK: mine >= -10 && mine <= 10,
		Peers: []bench.Value{{Name: titov, Value: theirs}, {Name: "heap B", Value: float64(heap)}},
	})
}

// heapOf is by how much the live heap grows for one value: the median of several means.
func heapOf[T any](build func() T) int64 {
	const n = 200
	means := make([]int64, 5)
	for i := range means {
		keep := make([]T, n)
		before := live()
		for j := range keep {
			keep[j] = build()
		}
		means[i] = (live() - before) / n
		runtime.KeepAlive(keep)
	}
	slices.Sort(means)
	return means[len(means)/2]
}

func live() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// sizeOfSpeed compares the time for flat structs.
func sizeOfSpeed(r *bench.Report) error {
	small := struct{ A, B int64 }{1, 2}
	large := [16]point{}
	if err := flat(r, "small", small); err != nil {
		return err
	}
	if err := flat(r, "of six fields", point{ID: 1}); err != nil {
		return err
	}
	return flat(r, "array of 16", large)
}

func flat[T any](r *bench.Report, name string, v T) error {
	var sum int64
	sides := []bench.Side{
		{Name: ours, Op: func(n int) {
			for range n {
				sum += memory.SizeOf(v)
			}
		}},
		{Name: titov, Op: func(n int) {
			for range n {
				sum += int64(size.Of(v))
			}
		}},
	}
	if err := r.Compare(bench.Comparison{Measure: "SizeOf a flat struct, " + name, Sides: sides}, bench.Goal{Peer: titov, MaxRatio: 0.2, MaxAllocs: -1}); err != nil {
		return err
	}
	if sum <= 0 {
		return fmt.Errorf("sizes add up to %d", sum)
	}
	return nil
}
