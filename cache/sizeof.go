package cache

import (
	"reflect"
)

const (
	sizeBudget = 2048 // values looked at for one estimate
	sizeDepth  = 16
	mapSlot    = 16 // bookkeeping of a map per element, about
)

// sizeOf returns the bytes that val keeps alive outside of its own memory, which is
// part of the item. What the user tells is taken for that, in doubt too much.
func (v *View[V]) sizeOf(val V) int64 {
	if v.s.SizeOf != nil {
		return max(v.s.SizeOf(val), 0)
	}
	if s, ok := any(val).(Sizer); ok {
		return max(s.SizeBytes(), 0)
	}
	switch x := any(val).(type) {
	case string:
		return int64(len(x))
	case []byte:
		return int64(cap(x))
	}
	rv := reflect.ValueOf(&val).Elem()
	e := estimator{budget: sizeBudget}
	return e.beyond(rv, 0)
}

// estimator walks a value and adds up what it points to. It looks at no more than
// budget values and extrapolates for the elements that it did not see, so a shared
// or cyclic structure is counted more than once rather than walked for ever.
type estimator struct{ budget int }

// beyond returns the bytes that v refers to outside of its own memory.
func (e *estimator) beyond(v reflect.Value, depth int) int64 {
	if e.budget--; e.budget < 0 || depth > sizeDepth {
		return 0
	}
	switch v.Kind() {
	case reflect.String:
		return int64(v.Len())
	case reflect.Pointer:
		if v.IsNil() {
			return 0
		}
		return int64(v.Type().Elem().Size()) + e.beyond(v.Elem(), depth+1)
	case reflect.Interface:
		if v.IsNil() {
			return 0
		}
		return int64(v.Elem().Type().Size()) + e.beyond(v.Elem(), depth+1)
	case reflect.Slice:
		return int64(v.Cap())*int64(v.Type().Elem().Size()) + e.elements(v, depth)
	case reflect.Array:
		return e.elements(v, depth)
	case reflect.Struct:
		n := int64(0)
		for _, field := range v.Fields() {
			if !flat(field.Kind()) {
				n += e.beyond(field, depth+1)
			}
		}
		return n
	case reflect.Map:
		return e.mapping(v, depth)
	}
	return 0
}

// elements sums over a slice or an array, from a part if it is long.
func (e *estimator) elements(v reflect.Value, depth int) int64 {
	n := v.Len()
	if n == 0 || flat(v.Type().Elem().Kind()) {
		return 0
	}
	sum, seen := int64(0), 0
	for seen < n && seen < 64 && e.budget > 0 {
		sum += e.beyond(v.Index(seen), depth+1)
		seen++
	}
	return extrapolate(sum, seen, n)
}

func (e *estimator) mapping(v reflect.Value, depth int) int64 {
	n := v.Len()
	t := v.Type()
	sum, seen := int64(0), 0
	for it := v.MapRange(); seen < 64 && e.budget > 0 && it.Next(); seen++ {
		sum += e.beyond(it.Key(), depth+1) + e.beyond(it.Value(), depth+1)
	}
	return 48 + int64(n)*int64(t.Key().Size()+t.Elem().Size()+mapSlot) + extrapolate(sum, seen, n)
}

func extrapolate(sum int64, seen, n int) int64 {
	if seen == 0 || seen == n {
		return sum
	}
	return int64(float64(sum) / float64(seen) * float64(n))
}

// flat tells whether values of kind k refer to nothing outside of themselves.
func flat(k reflect.Kind) bool {
	switch k {
	case reflect.String, reflect.Pointer, reflect.Interface, reflect.Slice, reflect.Array, reflect.Struct, reflect.Map:
		return false
	}
	return true
}
