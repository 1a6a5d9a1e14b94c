package memory

import (
	"math/bits"
	"reflect"
	"sort"
	"strconv"
	"sync"
	"time"
)

const (
	// visitBudget is how many values one SizeOf looks at before it extrapolates.
	visitBudget = 4096
	// maxPart is the most that one value can say or be thought to hold, in bytes;
	// a sum over the budget stays an int64.
	maxPart = 1 << 48
)

// Sizer is an optional method of values that know their own size. SizeOf and the
// caches use it instead of looking inside.
type Sizer interface {
	// MemSize returns the bytes of the value and of all that it owns. For a pointer
	// that is what it points to, without the pointer itself.
	MemSize() int64
}

// SizeOf returns about how many bytes v occupies: itself and everything reachable
// from it, each allocation rounded up as the runtime does. What pointers and maps reach
// twice counts once, and so do slices with the same beginning; strings count each time.
// A slice counts with its capacity, channels and functions count as pointers. A panic of
// MemSize reaches the caller. After 4096 values it extrapolates from those. v must not change
// meanwhile. For types without pointers the result is constant and takes no time.
func SizeOf[T any](v T) int64 {
	p := planOf(reflect.TypeFor[T]())
	if p.flat {
		return p.inline
	}
	var zero T // v itself may be an interface, which holds its string in a box
	switch any(zero).(type) {
	case string:
		return p.inline + roundHeap(int64(len(any(v).(string))), false)
	case []byte:
		return p.inline + roundHeap(int64(cap(any(v).([]byte))), false)
	}
	return p.inline + heapOf(v)
}

// heapOf returns the bytes reachable from v, without v itself. It is apart from
// SizeOf because v moves to the heap here.
func heapOf[T any](v T) int64 {
	w := sizeWalk{budget: visitBudget}
	return w.heap(reflect.ValueOf(&v).Elem())
}

// heapSizer returns the function that sizes what values of T hold on the heap, or
// nil if they hold nothing.
func heapSizer[T any]() func(T) int64 {
	if planOf(reflect.TypeFor[T]()).flat {
		return nil
	}
	var zero T
	switch any(zero).(type) {
	case string:
		return func(v T) int64 { return roundHeap(int64(len(any(v).(string))), false) }
	case []byte:
		return func(v T) int64 { return roundHeap(int64(cap(any(v).([]byte))), false) }
	}
	return heapOf[T]
}

// defaultSizer charges an entry's place in the cache and what it holds on the heap.
func defaultSizer[K comparable, V any]() func(K, V) int64 {
	fixed := entryBytes[K, V]() + slotBytes
	key, value := heapSizer[K](), heapSizer[V]()
	return func(k K, v V) int64 {
		n := fixed
		if key != nil {
			n += key(k)
		}
		if value != nil {
			n += value(v)
		}
		return n
	}
}

// plan is what SizeOf needs to know about a type.
type plan struct {
	inline int64 // size of the value itself
	flat   bool  // nothing is reachable from it
	sizer  bool  // it implements Sizer
	fields []int // of a struct: those that are not flat
}

// plans caches facts about types, which never change.
var plans sync.Map // reflect.Type → *plan

func planOf(t reflect.Type) *plan {
	if p, ok := plans.Load(t); ok {
		return p.(*plan)
	}
	p := &plan{inline: int64(t.Size()), sizer: t.Implements(reflect.TypeFor[Sizer]())}
	switch t.Kind() {
	case reflect.Bool, reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Uintptr,
		reflect.Float32, reflect.Float64, reflect.Complex64, reflect.Complex128,
		reflect.Chan, reflect.Func, reflect.UnsafePointer:
		p.flat = !p.sizer
	case reflect.Array:
		p.flat = !p.sizer && (t.Len() == 0 || planOf(t.Elem()).flat)
	case reflect.Struct:
		for i := range t.NumField() {
			if !planOf(t.Field(i).Type).flat {
				p.fields = append(p.fields, i)
			}
		}
		// A time's location is shared by all times of that zone.
		p.flat = !p.sizer && (len(p.fields) == 0 || t == reflect.TypeFor[time.Time]())
	}
	plans.Store(t, p)
	return p
}

// sizeWalk is one SizeOf under way.
type sizeWalk struct {
	seen   map[visit]struct{}
	budget int
}

// visit is one allocation as seen through one type: a struct and its first field
// have the same address.
type visit struct {
	ptr uintptr
	typ reflect.Type
}

// first reports whether the allocation at ptr has not been counted yet.
func (w *sizeWalk) first(ptr uintptr, t reflect.Type) bool {
	if ptr == 0 {
		return false
	}
	v := visit{ptr, t}
	if _, ok := w.seen[v]; ok {
		return false
	}
	if w.seen == nil {
		w.seen = make(map[visit]struct{})
	}
	w.seen[v] = struct{}{}
	return true
}

// heap returns the bytes reachable from v, without v itself.
func (w *sizeWalk) heap(v reflect.Value) int64 {
	t := v.Type()
	p := planOf(t)
	if p.flat || w.budget <= 0 {
		return 0
	}
	w.budget--
	if n, ok := sizeBySelf(v, p); ok {
		return n
	}
	switch v.Kind() {
	case reflect.String:
		return roundHeap(int64(v.Len()), false)
	case reflect.Slice:
		if !w.first(v.Pointer(), t) {
			return 0
		}
		e := planOf(t.Elem())
		return roundHeap(int64(v.Cap())*e.inline, !e.flat) + w.elements(v, e)
	case reflect.Array:
		return w.elements(v, planOf(t.Elem()))
	case reflect.Struct:
		var n int64
		for _, i := range p.fields {
			n += w.heap(v.Field(i))
		}
		return n
	case reflect.Pointer:
		if !w.first(v.Pointer(), t) {
			return 0
		}
		e := planOf(t.Elem())
		return roundHeap(e.inline, !e.flat) + w.heap(v.Elem())
	case reflect.Interface:
		return w.boxed(v.Elem())
	case reflect.Map:
		if !w.first(v.Pointer(), t) {
			return 0
		}
		return mapBytes(v.Len(), t) + w.mapped(v)
	}
	return 0
}

// sizeBySelf asks a value that implements Sizer; unexported fields cannot be asked.
func sizeBySelf(v reflect.Value, p *plan) (int64, bool) {
	if !p.sizer || !v.CanInterface() {
		return 0, false
	}
	switch v.Kind() {
	case reflect.Interface:
		return 0, false // its element is asked
	case reflect.Pointer:
		if v.IsNil() {
			return 0, true
		}
		return min(max(0, v.Interface().(Sizer).MemSize()), maxPart), true
	}
	return min(max(p.inline, v.Interface().(Sizer).MemSize())-p.inline, maxPart), true
}

// boxed returns the bytes behind an interface that holds v.
func (w *sizeWalk) boxed(v reflect.Value) int64 {
	if !v.IsValid() {
		return 0
	}
	switch v.Kind() {
	case reflect.Pointer, reflect.Map, reflect.Chan, reflect.Func, reflect.UnsafePointer:
		return w.heap(v)
	}
	p := planOf(v.Type())
	return roundHeap(p.inline, !p.flat) + w.heap(v)
}

// elements sums the elements of a slice or array, evenly spaced ones if there are
// more than the budget allows.
func (w *sizeWalk) elements(v reflect.Value, e *plan) int64 {
	n := v.Len()
	if e.flat || n == 0 || w.budget <= 0 {
		return 0
	}
	var sum int64
	visited := 0
	step := (n + w.budget - 1) / w.budget
	for i := 0; i < n && w.budget > 0; i += step {
		sum += w.heap(v.Index(i))
		visited++
	}
	return scale(sum, visited, n)
}

func (w *sizeWalk) mapped(v reflect.Value) int64 {
	key, elem := planOf(v.Type().Key()), planOf(v.Type().Elem())
	if key.flat && elem.flat {
		return 0
	}
	var sum int64
	visited := 0
	for it := v.MapRange(); w.budget > 0 && it.Next(); {
		w.budget--
		sum += w.heap(it.Key()) + w.heap(it.Value())
		visited++
	}
	return scale(sum, visited, v.Len())
}

// scale extrapolates from the visited elements to all n.
func scale(sum int64, visited, n int) int64 {
	if visited == 0 || visited >= n {
		return sum
	}
	return int64(min(float64(sum)/float64(visited)*float64(n), maxPart))
}

// mapBytes returns the size of a map's own structures: groups of eight slots with
// a control word each, at most 7/8 full, in tables of at most 1024 slots.
func mapBytes(n int, t reflect.Type) int64 {
	const word, maxInlineSlot = strconv.IntSize / 8, 128
	const header, table = 16 + 4*word, 2*8 + 2*word // runtime structures; 48 and 32 on 64-bit systems
	size := func(t reflect.Type) (slot, apart int64) {
		if t.Size() > maxInlineSlot {
			return word, roundHeap(int64(t.Size()), true)
		}
		return int64(t.Size()), 0
	}
	key, keyApart := size(t.Key())
	elem, elemApart := size(t.Elem())
	align := int64(max(t.Key().Align(), t.Elem().Align()))
	group := 8 + 8*((key+elem+align-1)/align*align)
	pointers := !planOf(t.Key()).flat || !planOf(t.Elem()).flat
	switch {
	case n == 0:
		return header
	case n <= 8:
		return header + roundHeap(group, pointers) + int64(n)*(keyApart+elemApart)
	}
	slots := int64(1) << bits.Len(uint((n*8+6)/7-1))
	tables := max(1, slots/1024)
	groups := roundHeap(slots/tables/8*group, pointers)
	return header + tables*(table+word+groups) + int64(n)*(keyApart+elemApart)
}

// sizeClasses are the allocation sizes of the Go runtime, in bytes; a test compares
// them with the runtime's own rounding.
var sizeClasses = [...]int64{
	8, 16, 24, 32, 48, 64, 80, 96, 112, 128, 144, 160, 176, 192, 208, 224, 240, 256, 288, 320, 352, 384,
	416, 448, 480, 512, 576, 640, 704, 768, 896, 1024, 1152, 1280, 1408, 1536, 1792, 2048, 2304, 2688,
	3072, 3200, 3456, 4096, 4864, 5376, 6144, 6528, 6784, 6912, 8192, 9472, 9728, 10240, 10880,
	12288, 13568, 14336, 16384, 18432, 19072, 20480, 21760, 24576, 27264, 28672, 32768,
}

// roundHeap returns what an allocation of n bytes takes. Objects with pointers
// over 512 bytes have a header of 8 bytes.
func roundHeap(n int64, pointers bool) int64 {
	const page, headerAbove, header = 8 << 10, 512, 8
	if n <= 0 {
		return 0
	}
	largest := sizeClasses[len(sizeClasses)-1]
	if pointers && n > headerAbove && n <= largest-header {
		n += header
	}
	if n > largest {
		return (n + page - 1) / page * page
	}
	return sizeClasses[sort.Search(len(sizeClasses), func(i int) bool { return sizeClasses[i] >= n })]
}
