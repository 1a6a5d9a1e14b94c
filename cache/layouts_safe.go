//go:build perfblocks_safe

package cache

// box says which struct an Item is in.
type box struct{ of any }

func (it *Item) in(x any) { it.of = x }

// The layouts find themselves: each struct with a value has the methods of its layout.
func (t *tagged) asTagged() *tagged       { return t }
func (w *windowed) asWindowed() *windowed { return w }
func (f *full) asFull() *full             { return f }

func (it *Item) tagged() *tagged     { return it.of.(interface{ asTagged() *tagged }).asTagged() }
func (it *Item) windowed() *windowed { return it.of.(interface{ asWindowed() *windowed }).asWindowed() }
func (it *Item) full() *full         { return it.of.(interface{ asFull() *full }).asFull() }

// held returns the place of what it holds: T must be what makeItem was given.
func held[T any](it *Item) *T {
	switch it.layout() {
	case layoutPlain:
		return &it.of.(*plainOf[T]).value
	case layoutTagged:
		return &it.of.(*taggedOf[T]).value
	case layoutWindowed:
		return &it.of.(*windowedOf[T]).value
	}
	return &it.of.(*fullOf[T]).value
}

// nodeList is a slice whose length is also kept elsewhere.
type nodeList []*node

func listOf(nodes []*node) nodeList       { return nodes }
func (l nodeList) slice(n uint32) []*node { return l[:n] }
