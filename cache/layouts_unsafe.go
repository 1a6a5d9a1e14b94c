//go:build !perfblocks_safe

package cache

import "unsafe"

// An Item is the first field of the layout that it is the head of, and the layout the
// first of the struct with the value, so that one address is that of all of them. The
// garbage collector knows an allocation by the type that it was made as. The tag perfblocks_safe
// chooses the same without casts, for 24 to 32 more bytes in an entry.

// box says which struct an Item is in: no more than meta does.
type box struct{}

func (*Item) in(any) {}

func (it *Item) tagged() *tagged     { return (*tagged)(unsafe.Pointer(it)) }
func (it *Item) windowed() *windowed { return (*windowed)(unsafe.Pointer(it)) }
func (it *Item) full() *full         { return (*full)(unsafe.Pointer(it)) }

// held returns the place of what it holds: T must be what makeItem was given.
func held[T any](it *Item) *T {
	switch it.layout() {
	case layoutPlain:
		return &(*plainOf[T])(unsafe.Pointer(it)).value
	case layoutTagged:
		return &(*taggedOf[T])(unsafe.Pointer(it)).value
	case layoutWindowed:
		return &(*windowedOf[T])(unsafe.Pointer(it)).value
	}
	return &(*fullOf[T])(unsafe.Pointer(it)).value
}

// nodeList is a slice whose length is kept elsewhere.
type nodeList struct{ first **node }

func listOf(nodes []*node) nodeList       { return nodeList{unsafe.SliceData(nodes)} }
func (l nodeList) slice(n uint32) []*node { return unsafe.Slice(l.first, n) }
