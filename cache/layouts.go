package cache

import (
	"sync/atomic"
	"unsafe"
)

// layout says which struct an Item is the head of.
type layout uint32

const (
	layoutPlain    layout = iota // an Item: neither tags nor windows
	layoutTagged                 // a tagged
	layoutWindowed               // a windowed: it may be stale, or is refreshed ahead
	layoutFull                   // a full: what is rare
)

// tagged is an item that depends on something, or that something may depend on.
type tagged struct {
	Item
	nodes   nodeList      // as many as meta says; refs are held until it left
	stamp   uint64        // the epoch before the value was loaded
	checked atomic.Uint64 // last epoch at which the stamps were found good
}

// windowed is an item that outlives its freshness.
type windowed struct {
	tagged
	retry atomic.Int64 // when to refresh ahead; below 0: less the moment of the last failed load
	soft  atomic.Int64 // moment of the first Expire; 0: none
}

// full is an item of a cache with a second level or an Evict hook, of a strategy with
// Idle, or with very many tags.
type full struct {
	windowed
	many []*node // the nodes, instead of tagged.nodes
	id   string  // the key given by the caller, for the Evict hook
	dead int64   // no stale window reaches further
	used atomic.Int64

	rpos     uint64 // position on the Remote before the load; 0: unknown
	rgen     uint64 // generation of the push connection at the load; 0: none
	verified int64  // moment of the load, for TagRecheck
	byHand   bool   // by Set
}

// The layouts with their values: nothing is boxed.
type (
	plainOf[T any] struct {
		Item
		value T
	}
	taggedOf[T any] struct {
		tagged
		value T
	}
	windowedOf[T any] struct {
		windowed
		value T
	}
	fullOf[T any] struct {
		full
		value T
	}
)

func layoutOf(meta uint32) layout { return layout(meta>>layoutShift) & 3 }
func (it *Item) layout() layout   { return layoutOf(it.meta.Load()) }

// makeItem returns a new item that holds val, and the bytes that it takes.
func makeItem[T any](l layout, k kind, val T) (it *Item, size uintptr) {
	switch l {
	case layoutPlain:
		x := &plainOf[T]{value: val}
		it, size = &x.Item, unsafe.Sizeof(*x)
		it.in(x)
	case layoutTagged:
		x := &taggedOf[T]{value: val}
		it, size = &x.Item, unsafe.Sizeof(*x)
		it.in(x)
	case layoutWindowed:
		x := &windowedOf[T]{value: val}
		it, size = &x.Item, unsafe.Sizeof(*x)
		it.in(x)
	default:
		x := &fullOf[T]{value: val}
		it, size = &x.Item, unsafe.Sizeof(*x)
		it.in(x)
	}
	it.meta.Store(uint32(l)<<layoutShift | uint32(k)<<kindShift)
	return it, size
}

// tags returns what it depends on. It must not be modified.
func (it *Item) tags() []*node {
	m := it.meta.Load()
	switch layoutOf(m) {
	case layoutPlain:
		return nil
	case layoutFull:
		return it.full().many
	}
	return it.tagged().nodes.slice(m >> tagsShift)
}

// attach makes it, which is new, depend on nodes.
func (it *Item) attach(nodes []*node) {
	switch l := it.layout(); {
	case l == layoutFull:
		it.full().many = nodes
	case l >= layoutTagged:
		it.tagged().nodes = listOf(nodes)
		it.meta.Or(uint32(len(nodes)) << tagsShift)
	}
}
